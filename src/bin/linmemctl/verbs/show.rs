//! `show`: everything about one memory.

use clap::Args;
use linmemd::client::proto::{GetMemoryRequest, MemoryView};
use serde_json::Value;

use crate::failure::CtlError;
use crate::json;
use crate::session::{Session, Target};
use crate::table::pairs;

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl show scratch
  linmemctl show scratch --full            also what the kernel really gave
  linmemctl show scratch --json | jq .stats.access_count")]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    target: Target,
    /// Also resident bytes and placement, which cost the daemon a look at the host.
    #[arg(long)]
    full: bool,
}

/// Shows the memory.
pub(crate) async fn run(args: ShowArgs, session: &Session) -> Result<(), CtlError> {
    let view = if args.full { MemoryView::Full } else { MemoryView::Basic };
    let request = GetMemoryRequest {
        memory_id: args.target.memory_id,
        uid: args.target.uid,
        view: view.into(),
    };
    let value = json::memory(&session.client.get_memory(request).await?);
    session.output.either(&value, &text(&value))
}

/// The memory's own fields first, then each part under its name.
fn text(value: &Value) -> String {
    let (mut own, mut parts) = (Vec::new(), Vec::new());
    for (path, shown) in json::flat(value) {
        match path.split_once('.') {
            None => own.push((path, shown)),
            Some(_) => parts.push((path, shown)),
        }
    }
    // The id leads; the rest is in order of name.
    own.sort_by_key(|(name, _)| name != "memory_id");
    own.extend(parts);
    pairs(&own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_id_leads_and_parts_follow_by_path() {
        let value = json!({
            "a": 1, "memory_id": "m", "peak_bytes": 65_536, "stats": { "access_count": 7 },
        });
        let text = text(&value);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("memory_id") && lines[0].ends_with(" m"), "{text}");
        assert!(lines[2].ends_with("65536 (64 KiB)"), "{text}");
        assert!(lines[3].starts_with("stats.access_count") && lines[3].ends_with(" 7"), "{text}");
    }
}

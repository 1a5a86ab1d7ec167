//! `reload`: the daemon's config anew.

use clap::Args;
use linmemd::client::proto::{ConfigChange, ReloadResponse};
use serde_json::{Value, json};

use crate::failure::CtlError;
use crate::session::Session;

/// Arguments of `reload`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl reload --validate-only         what would change, or every mistake
  linmemctl reload
  linmemctl reload --json | jq -r .config_hash

The config is put in force whole or not at all. On a listener without credentials it is read anew over
the Unix socket only, for the daemon's own user or root; SIGHUP does the same.")]
pub(crate) struct ReloadArgs {
    /// Only say what would change.
    #[arg(long)]
    validate_only: bool,
}

/// Has the config read anew.
pub(crate) async fn run(args: ReloadArgs, session: &Session) -> Result<(), CtlError> {
    let reloaded = session.client.reload(args.validate_only).await?;
    session.output.either(&value(&reloaded), &text(&reloaded))
}

fn value(reloaded: &ReloadResponse) -> Value {
    let ReloadResponse { changes, more_changes, config_hash, previous_config_hash, applied } =
        reloaded;
    let change = |change: &ConfigChange| {
        let ConfigChange { key, kind: _, old_value, new_value } = change;
        json!({ "key": key, "kind": word(change), "old": old_value, "new": new_value })
    };
    json!({
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
        "more_changes": more_changes,
        "config_hash": config_hash,
        "previous_config_hash": previous_config_hash,
        "applied": applied,
    })
}

fn text(reloaded: &ReloadResponse) -> String {
    let mut lines: Vec<String> = reloaded.changes.iter().map(line).collect();
    if reloaded.more_changes > 0 {
        lines.push(format!("and {} more", reloaded.more_changes));
    }
    if lines.is_empty() {
        lines.push("nothing differs".to_owned());
    }
    let hash = &reloaded.config_hash;
    lines.push(match reloaded.applied {
        true => format!("in force: {hash}"),
        false => format!("would be: {hash}"),
    });
    lines.join("\n")
}

fn line(change: &ConfigChange) -> String {
    let ConfigChange { key, old_value, new_value, .. } = change;
    match (old_value, new_value) {
        (None, new) => format!("+ {key} = {}", new.as_deref().unwrap_or_default()),
        (Some(old), None) => format!("- {key} = {old}"),
        (Some(old), Some(new)) => format!("~ {key} = {new} (was {old})"),
    }
}

fn word(change: &ConfigChange) -> String {
    let name = change.kind().as_str_name();
    name.trim_start_matches("CONFIG_CHANGE_KIND_").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use linmemd::client::proto::ConfigChangeKind;

    #[test]
    fn what_differs_is_a_line_each_and_the_hash_stands_last() {
        let change = |key: &str, kind: ConfigChangeKind, old: Option<&str>, new: Option<&str>| {
            let (old_value, new_value) = (old.map(str::to_owned), new.map(str::to_owned));
            ConfigChange { key: key.to_owned(), kind: kind.into(), old_value, new_value }
        };
        let mut reloaded = ReloadResponse {
            changes: vec![
                change("a", ConfigChangeKind::Added, None, Some("1")),
                change("b", ConfigChangeKind::Removed, Some("2"), None),
                change("c", ConfigChangeKind::Changed, Some("3"), Some("4")),
            ],
            config_hash: "ff".to_owned(),
            applied: true,
            ..Default::default()
        };
        assert_eq!(text(&reloaded), "+ a = 1\n- b = 2\n~ c = 4 (was 3)\nin force: ff");
        assert_eq!(value(&reloaded)["changes"][2]["kind"], "changed");
        reloaded.changes.clear();
        reloaded.applied = false;
        assert_eq!(text(&reloaded), "nothing differs\nwould be: ff");
    }
}

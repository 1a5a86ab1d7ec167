//! `update`: a memory's name, labels and lease.
//!
//! Labels are replaced whole by the RPC; here they are read, changed and written back under the
//! etag, and again where somebody else was faster.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use linmemd::client::ClientError;
use linmemd::client::proto::{Memory, UpdateMemoryRequest};
use prost_types::FieldMask;

use crate::failure::CtlError;
use crate::session::{Session, Target};
use crate::verbs::create::lease;
use crate::{json, selector, size};

/// Arguments of `update`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl update cache --name 'the hot one'
  linmemctl update cache --label tier=hot --unlabel old
  linmemctl update session --lease 1h
  linmemctl update session --lease none")]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    target: Target,
    /// The new name for people; '' for none.
    #[arg(long)]
    name: Option<String>,
    /// Set a label; may be given many times.
    #[arg(long, short, value_parser = selector::label, value_name = "KEY=VALUE")]
    label: Vec<(String, String)>,
    /// Take a label away; may be given many times.
    #[arg(long, value_parser = selector::key, value_name = "KEY")]
    unlabel: Vec<String>,
    /// The new lease, from now, or `none`.
    #[arg(long, value_parser = new_lease, value_name = "DURATION|none")]
    lease: Option<NewLease>,
    /// Only if its etag is still this one.
    #[arg(long)]
    etag: Option<String>,
}

/// What becomes of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NewLease {
    None,
    For(Duration),
}

/// Changes the memory.
pub(crate) async fn run(args: UpdateArgs, session: &Session) -> Result<(), CtlError> {
    let mut turns = 0;
    let memory = loop {
        turns += 1;
        let request = request(&args, session).await?;
        match session.client.update_memory(request).await {
            Ok(memory) => break memory,
            Err(ClientError::Refused(failure))
                if failure.reason == "ETAG_MISMATCH" && args.etag.is_none() && turns < TURNS => {}
            Err(error) => return Err(error.into()),
        }
    };
    let done = format!("updated; etag {}", memory.etag);
    session.output.either(&json::memory(&memory), &done)
}

/// How often a change by somebody else in between is met.
const TURNS: u32 = 5;

async fn request(args: &UpdateArgs, session: &Session) -> Result<UpdateMemoryRequest, CtlError> {
    let mut request = UpdateMemoryRequest {
        memory_id: args.target.memory_id.clone(),
        uid: args.target.uid.clone(),
        etag: args.etag.clone(),
        ..Default::default()
    };
    let mut mask = Vec::new();
    if let Some(name) = &args.name {
        request.display_name = name.clone();
        mask.push("display_name".to_owned());
    }
    if let Some(change) = args.lease {
        request.lease_ttl = match change {
            NewLease::None => None,
            NewLease::For(duration) => Some(lease(duration)?),
        };
        mask.push("lease_ttl".to_owned());
    }
    if !args.label.is_empty() || !args.unlabel.is_empty() {
        let memory = session.memory(&args.target).await?;
        request.labels = labels(&memory, &args.label, &args.unlabel);
        request.uid.get_or_insert(memory.uid);
        request.etag.get_or_insert(memory.etag);
        mask.push("labels".to_owned());
    }
    if mask.is_empty() {
        let text = "nothing to change: say --name, --label, --unlabel or --lease";
        return Err(CtlError::Usage(text.to_owned()));
    }
    request.update_mask = Some(FieldMask { paths: mask });
    Ok(request)
}

fn labels(memory: &Memory, set: &[(String, String)], unset: &[String]) -> BTreeMap<String, String> {
    let mut labels = memory.spec.as_ref().map(|spec| spec.labels.clone()).unwrap_or_default();
    labels.retain(|key, _| !unset.contains(key));
    labels.extend(set.iter().cloned());
    labels
}

fn new_lease(text: &str) -> Result<NewLease, size::SizeError> {
    match text {
        "none" => Ok(NewLease::None),
        text => size::duration(text).map(NewLease::For),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linmemd::client::proto::MemorySpec;

    #[test]
    fn labels_are_taken_away_first_and_then_set() {
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let spec =
            MemorySpec { labels: [("a", "1"), ("b", "2")].map(pair).into(), ..Default::default() };
        let memory = Memory { spec: Some(spec), ..Default::default() };
        let changed = labels(&memory, &[pair(("c", "3"))], &["a".to_owned(), "x".to_owned()]);
        assert_eq!(changed, [("b", "2"), ("c", "3")].map(pair).into());
    }

    #[test]
    fn a_lease_is_a_duration_or_none() {
        assert_eq!(new_lease("none").unwrap(), NewLease::None);
        assert_eq!(new_lease("1m").unwrap(), NewLease::For(Duration::from_secs(60)));
        assert!(new_lease("later").is_err());
    }
}

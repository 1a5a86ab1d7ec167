//! `rm` and `keepalive`: the end of memories, and putting it off.

use clap::Args;
use linmemd::client::proto::{DeleteMemoryRequest, KeepAliveMemoryRequest};
use serde_json::json;

use crate::failure::CtlError;
use crate::session::{Session, Target};

/// Arguments of `rm`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl rm scratch
  linmemctl rm a b c --if-exists
  linmemctl ls -l team=red --quiet | xargs -r linmemctl rm

Every id is tried; the exit code is that of the first that failed.")]
pub(crate) struct RemoveArgs {
    /// The memories' ids.
    #[arg(value_name = "ID", required = true)]
    memory_ids: Vec<String>,
    /// A memory that is not there is no failure.
    #[arg(long)]
    if_exists: bool,
    /// Only if the memory behind the (one) id is still this one.
    #[arg(long, value_name = "UUID")]
    uid: Option<String>,
}

/// Arguments of `keepalive`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl keepalive session
  while linmemctl keepalive session; do sleep 60; done")]
pub(crate) struct KeepaliveArgs {
    #[command(flatten)]
    target: Target,
}

/// Deletes the memories.
pub(crate) async fn run(args: RemoveArgs, session: &Session) -> Result<(), CtlError> {
    if args.uid.is_some() && args.memory_ids.len() > 1 {
        return Err(CtlError::Usage("--uid goes with one id".to_owned()));
    }
    let (mut deleted, mut first_failure) = (Vec::new(), None);
    for memory_id in args.memory_ids {
        let request = DeleteMemoryRequest {
            memory_id: memory_id.clone(),
            uid: args.uid.clone(),
            etag: None,
            allow_missing: args.if_exists,
        };
        match session.client.delete_memory(request).await {
            Ok(()) => deleted.push(memory_id),
            Err(error) => {
                let code = session.output.failure(&error.into());
                first_failure.get_or_insert(code);
            }
        }
    }
    if session.output.json || !deleted.is_empty() {
        session.output.either(&json!({ "deleted": deleted }), &deleted.join("\n"))?;
    }
    first_failure.map_or(Ok(()), |code| Err(CtlError::Reported(code)))
}

/// Starts the lease anew.
pub(crate) async fn keepalive(args: KeepaliveArgs, session: &Session) -> Result<(), CtlError> {
    let Target { memory_id, uid } = args.target;
    let request = KeepAliveMemoryRequest { memory_id, uid };
    let answer = session.client.keep_alive_memory(request).await?;
    let expires = answer.expire_time.map(|time| time.to_string());
    let text = format!("lives until {}", expires.as_deref().unwrap_or("it is deleted"));
    session.output.either(&json!({ "expire_time": expires }), &text)
}

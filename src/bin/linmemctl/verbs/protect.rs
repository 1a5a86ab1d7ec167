//! `protect`: what may be done with a range of a memory.

use clap::{Args, ValueEnum};
use linmemd::client::proto::{ProtectMemoryRequest, Protection};
use serde_json::json;

use crate::failure::CtlError;
use crate::session::{Session, Target};
use crate::size;

/// Arguments of `protect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl protect demo 0 1page read
  linmemctl protect demo 4096 100 none
  linmemctl protect demo 0 1GiB read-write")]
pub(crate) struct ProtectArgs {
    #[command(flatten)]
    target: Target,
    /// From where.
    #[arg(value_parser = size::bytes)]
    offset: u64,
    /// How many bytes.
    #[arg(value_parser = size::bytes)]
    length: u64,
    /// What may be done with them.
    protection: Allowed,
}

/// What may be done with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Allowed {
    /// Nothing.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// Protects a range.
pub(crate) async fn run(args: ProtectArgs, session: &Session) -> Result<(), CtlError> {
    let ProtectArgs { target, offset, length, protection } = args;
    let (protection, words) = match protection {
        Allowed::None => (Protection::None, "allow nothing"),
        Allowed::Read => (Protection::Read, "allow reading"),
        Allowed::ReadWrite => (Protection::ReadWrite, "allow reading and writing"),
    };
    let request = ProtectMemoryRequest {
        memory_id: target.memory_id,
        uid: target.uid,
        offset,
        length,
        protection: protection.into(),
    };
    session.client.protect_memory(request).await?;
    let name = protection.as_str_name();
    let object = json!({ "offset": offset, "length": length, "protection": name });
    session.output.either(&object, &format!("{length} bytes at {offset} now {words}"))
}

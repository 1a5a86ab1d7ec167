//! `copy`: a range to another place, in the same memory or another.

use clap::Args;
use linmemd::client::proto::CopyMemoryRequest;
use serde_json::json;

use crate::failure::CtlError;
use crate::session::Session;
use crate::size;

/// Arguments of `copy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl copy demo 0 backup 0 1page
  linmemctl copy demo 0 demo 4096 100     # the ranges may overlap")]
pub(crate) struct CopyArgs {
    /// From which memory.
    source: String,
    /// From where in it.
    #[arg(value_parser = size::bytes)]
    source_offset: u64,
    /// To which memory; may be the same.
    destination: String,
    /// To where in it.
    #[arg(value_parser = size::bytes)]
    destination_offset: u64,
    /// How many bytes.
    #[arg(value_parser = size::bytes)]
    length: u64,
}

/// Copies a range.
pub(crate) async fn run(args: CopyArgs, session: &Session) -> Result<(), CtlError> {
    let CopyArgs { source, source_offset, destination, destination_offset, length } = args;
    let object = json!({
        "source": source, "source_offset": source_offset,
        "destination": destination, "destination_offset": destination_offset,
        "length": length,
    });
    let text = format!("copied {length} bytes to {destination}, from {destination_offset} on");
    let request = CopyMemoryRequest {
        source_memory_id: source,
        source_offset,
        destination_memory_id: destination,
        destination_offset,
        length,
        ..Default::default()
    };
    session.client.copy_memory(request).await?;
    session.output.either(&object, &text)
}

//! `grow`: more pages for a memory.

use clap::Args;
use linmemd::client::proto::GrowMemoryRequest;
use serde_json::json;

use crate::failure::CtlError;
use crate::session::{Session, Target};
use crate::size::{self, human_pages};

/// Arguments of `grow`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl grow scratch 4
  linmemctl grow scratch 1MiB
  linmemctl grow scratch 4 --expected 16       only if it has 16 pages now
  linmemctl grow scratch 0                     says its size")]
pub(crate) struct GrowArgs {
    #[command(flatten)]
    target: Target,
    /// By how many: 3, 3pages or whole pages in bytes such as 1MiB.
    #[arg(value_parser = size::pages)]
    pages: u64,
    /// Only if its size is this many pages.
    #[arg(long, value_parser = size::pages, value_name = "PAGES")]
    expected: Option<u64>,
}

/// Grows the memory.
pub(crate) async fn run(args: GrowArgs, session: &Session) -> Result<(), CtlError> {
    let request = GrowMemoryRequest {
        memory_id: args.target.memory_id,
        uid: args.target.uid,
        delta_pages: args.pages,
        expected_pages: args.expected,
        request_id: None,
    };
    let grown = session.client.grow_memory(request).await?;
    let (previous, current) = (grown.previous_pages, grown.current_pages);
    let value = json!({ "previous_pages": previous, "current_pages": current });
    let text = format!("{} -> {}", human_pages(previous), human_pages(current));
    session.output.either(&value, &text)
}

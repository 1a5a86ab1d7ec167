//! `read` and `dump`: a range's bytes as they are, or as people look at them.
//!
//! A range that one ReadMemory may not carry is downloaded; it then is no snapshot.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use linmemd::client::ClientError;
use linmemd::client::proto::{DownloadMemoryRequest, ReadMemoryRequest};
use serde_json::json;

use crate::failure::CtlError;
use crate::hex::{self, HexView};
use crate::session::{Session, Target};
use crate::size;

/// Arguments of `read`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl read scratch 0 64KiB > bytes.bin
  linmemctl read scratch 0x1000 4096 -o bytes.bin
  linmemctl read scratch 2pages 16            on a terminal: a hex view
  linmemctl read scratch 0 16 --json          the bytes as data_hex

A range beyond the server's max_read_bytes is downloaded in slices: then it is not a snapshot.")]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    target: Target,
    /// From where.
    #[arg(value_parser = size::bytes)]
    offset: u64,
    /// How many bytes.
    #[arg(value_parser = size::bytes)]
    length: u64,
    /// Into this file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Arguments of `dump`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl dump scratch                      all of it
  linmemctl dump scratch 0x1000 256
  linmemctl dump scratch 3pages | less

Repeated lines are shown as one `*`, so that a large empty memory is a few lines.")]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    target: Target,
    /// From where.
    #[arg(value_parser = size::bytes, default_value = "0")]
    offset: u64,
    /// How many bytes [default: to the end].
    #[arg(value_parser = size::bytes)]
    length: Option<u64>,
}

/// Reads a range.
pub(crate) async fn run(args: ReadArgs, session: &Session) -> Result<(), CtlError> {
    let range = Range { target: args.target, offset: args.offset, length: Some(args.length) };
    let output = &session.output;
    if let Some(path) = args.out {
        let failed =
            |source| CtlError::File { action: "write", path: path.display().to_string(), source };
        // The first bytes before the file: a refused read must not leave an empty one behind.
        let mut file = None;
        fetch(session, &range, |data| {
            let file = match &mut file {
                Some(file) => file,
                None => file.insert(fs::File::create(&path).map_err(failed)?),
            };
            file.write_all(data).map_err(failed)
        })
        .await?;
        if file.is_none() {
            fs::File::create(&path).map_err(failed)?;
        }
        return Ok(());
    }
    if output.json {
        let mut digits = String::new();
        fetch(session, &range, |data| {
            digits.push_str(&hex::digits(data));
            Ok(())
        })
        .await?;
        let length = digits.len() / 2;
        let (id, offset) = (&range.target.memory_id, range.offset);
        return output.value(&json!({
            "memory_id": id, "offset": offset, "length": length, "data_hex": digits,
        }));
    }
    if output.on_terminal() {
        output.note("(a hex view, for this is a terminal; use -o FILE or a pipe for the bytes)");
        return view(session, &range).await;
    }
    fetch(session, &range, |data| output.raw(data)).await
}

/// Shows a range.
pub(crate) async fn dump(args: DumpArgs, session: &Session) -> Result<(), CtlError> {
    let range = Range { target: args.target, offset: args.offset, length: args.length };
    view(session, &range).await
}

/// What one ReadMemory carries where the server was not told otherwise.
const READ_BYTES: u64 = 63 * size::PAGE_BYTES;

struct Range {
    target: Target,
    offset: u64,
    length: Option<u64>,
}

async fn view(session: &Session, range: &Range) -> Result<(), CtlError> {
    let output = &session.output;
    let mut view = HexView::new(range.offset, output.color());
    fetch(session, range, |data| output.raw(view.push(data).as_bytes())).await?;
    output.raw(view.finish().as_bytes())
}

async fn fetch(
    session: &Session,
    range: &Range,
    mut take: impl FnMut(&[u8]) -> Result<(), CtlError>,
) -> Result<(), CtlError> {
    let (memory_id, uid) = (range.target.memory_id.clone(), range.target.uid.clone());
    let offset = range.offset;
    if let Some(length) = range.length
        && length <= READ_BYTES
    {
        let request =
            ReadMemoryRequest { memory_id: memory_id.clone(), uid: uid.clone(), offset, length };
        match session.client.read_memory(request).await {
            Ok(data) => return take(&data),
            // This server's limit is a smaller one.
            Err(ClientError::Refused(failure)) if failure.reason == "TOO_LARGE" => (),
            Err(error) => return Err(error.into()),
        }
    }
    let mut download = session
        .client
        .download(DownloadMemoryRequest {
            memory_id,
            uid,
            offset,
            length: range.length,
            checksum: true,
            ..Default::default()
        })
        .await?;
    while let Some(data) = download.next().await? {
        take(&data)?;
    }
    Ok(())
}

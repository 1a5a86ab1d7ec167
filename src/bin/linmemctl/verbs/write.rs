//! `write`, `fill` and `discard`: bytes into a memory, and out of RAM.
//!
//! Bytes beyond what one WriteMemory may carry are uploaded, message by message, and that is said.

use std::io::IsTerminal;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use linmemd::client::proto::{DiscardMemoryRequest, FillMemoryRequest, WriteMemoryRequest};
use linmemd::client::{ClientError, Upload};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::failure::CtlError;
use crate::session::{Session, Target};
use crate::{hex, size};

/// Arguments of `write`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl write scratch 0 --text 'hello'
  linmemctl write scratch 0x100 --hex 'de ad be ef'
  linmemctl write scratch 1page --file page.bin
  head -c 4096 /dev/urandom | linmemctl write scratch 0

Bytes beyond the server's max_write_bytes are uploaded in slices, which are atomic one by one.")]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    target: Target,
    /// To where.
    #[arg(value_parser = size::bytes)]
    offset: u64,
    #[command(flatten)]
    source: Source,
}

/// Where the bytes come from.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Source {
    /// These characters, as UTF-8, without a newline.
    #[arg(long)]
    text: Option<String>,
    /// These bytes, in pairs of hexadecimal digits.
    #[arg(long, value_parser = hex_bytes, value_name = "DIGITS")]
    hex: Option<HexBytes>,
    /// This file's bytes [default: standard input].
    #[arg(long, short)]
    file: Option<PathBuf>,
}

/// Arguments of `fill`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl fill scratch 0 1page 0
  linmemctl fill scratch 64KiB 16 0xff")]
pub(crate) struct FillArgs {
    #[command(flatten)]
    target: Target,
    /// From where.
    #[arg(value_parser = size::bytes)]
    offset: u64,
    /// How many bytes.
    #[arg(value_parser = size::bytes)]
    length: u64,
    /// To which value: 0 to 255 or 0x00 to 0xff.
    #[arg(value_parser = size::byte_value)]
    value: u8,
}

/// Arguments of `discard`.
#[derive(Debug, Args)]
#[command(after_help = "\
The range reads as zero afterwards. What the memory is charged for stays the same.

Examples:
  linmemctl discard scratch 0 1GiB
  linmemctl discard scratch 16pages 4pages")]
pub(crate) struct DiscardArgs {
    #[command(flatten)]
    target: Target,
    /// From where.
    #[arg(value_parser = size::bytes)]
    offset: u64,
    /// How many bytes.
    #[arg(value_parser = size::bytes)]
    length: u64,
}

/// Writes bytes.
pub(crate) async fn run(args: WriteArgs, session: &Session) -> Result<(), CtlError> {
    let data = read_source(args.source, session).await?;
    let (offset, length) = (args.offset, data.len());
    let request = WriteMemoryRequest {
        memory_id: args.target.memory_id.clone(),
        uid: args.target.uid.clone(),
        offset,
        data: data.clone(),
    };
    if length > WRITE_BYTES {
        upload(args.target, offset, data, session).await?;
    } else {
        match session.client.write_memory(request).await {
            Ok(()) => (),
            // This server's limit is a smaller one.
            Err(ClientError::Refused(failure)) if failure.reason == "TOO_LARGE" => {
                upload(args.target, offset, data, session).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let value = json!({ "offset": offset, "length": length });
    session.output.either(&value, &format!("wrote {length} bytes at {offset}"))
}

/// Fills a range.
pub(crate) async fn fill(args: FillArgs, session: &Session) -> Result<(), CtlError> {
    let FillArgs { target, offset, length, value } = args;
    let request = FillMemoryRequest {
        memory_id: target.memory_id,
        uid: target.uid,
        offset,
        length,
        value: value.into(),
    };
    session.client.fill_memory(request).await?;
    let object = json!({ "offset": offset, "length": length, "value": value });
    let text = format!("filled {length} bytes at {offset} with {value:#04x}");
    session.output.either(&object, &text)
}

/// Makes a range zero and gives its RAM back.
pub(crate) async fn discard(args: DiscardArgs, session: &Session) -> Result<(), CtlError> {
    let DiscardArgs { target, offset, length } = args;
    let Target { memory_id, uid } = target;
    let request = DiscardMemoryRequest { memory_id, uid, offset, length };
    let discarded = session.client.discard_memory(request).await?;
    let object = json!({ "offset": offset, "length": length, "discarded_bytes": discarded });
    let text =
        format!("zeroed {length} bytes at {offset}; {discarded} of them went back to the host");
    session.output.either(&object, &text)
}

/// What one WriteMemory carries where the server was not told otherwise.
const WRITE_BYTES: usize = 63 << 16;

/// Hexadecimal digits, read. A type of its own, for clap takes a `Vec` for many values.
#[derive(Clone, Debug)]
struct HexBytes(Bytes);

fn hex_bytes(text: &str) -> Result<HexBytes, hex::HexError> {
    hex::parse(text).map(|bytes| HexBytes(bytes.into()))
}

pub(crate) async fn read_source(source: Source, session: &Session) -> Result<Bytes, CtlError> {
    if let Some(text) = source.text {
        return Ok(text.into());
    }
    if let Some(hex) = source.hex {
        return Ok(hex.0);
    }
    if let Some(path) = source.file {
        let read = tokio::fs::read(&path).await;
        let path = path.display().to_string();
        return read.map(Bytes::from).map_err(|source| CtlError::File {
            action: "read",
            path,
            source,
        });
    }
    if std::io::stdin().is_terminal() {
        session.output.note("(reading the bytes from this terminal; Ctrl-D ends them)");
    }
    let mut data = Vec::new();
    tokio::io::stdin().read_to_end(&mut data).await.map_err(|source| CtlError::File {
        action: "read",
        path: "standard input".to_owned(),
        source,
    })?;
    Ok(data.into())
}

async fn upload(
    target: Target,
    offset: u64,
    data: Bytes,
    session: &Session,
) -> Result<(), CtlError> {
    let upload = Upload {
        memory_id: target.memory_id,
        uid: target.uid,
        offset,
        length: u64::try_from(data.len()).ok(),
        chunk_bytes: session.chunk_bytes().await?,
    };
    session.output.note("(more than one write may carry: uploading in slices)");
    session.client.upload_chunks(upload, [data], |_| ()).await?;
    Ok(())
}

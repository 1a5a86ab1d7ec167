//! `segment` and `init`: bytes kept beside memories, and put into them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use linmemd::client::proto::{GetSegmentRequest, InitMemoryRequest, PutSegmentRequest, Segment};
use serde_json::{Value, json};

use crate::failure::CtlError;
use crate::json;
use crate::session::{Session, Target};
use crate::size::{self, human};
use crate::table::{pairs, table};
use crate::verbs::write::{Source, read_source};

/// Arguments of `segment`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl segment put rodata --file rodata.bin
  linmemctl segment put greeting --text 'hello'
  linmemctl segment ls
  linmemctl segment get greeting --json
  linmemctl segment get rodata -o rodata.bin
  linmemctl segment drop greeting --if-exists")]
pub(crate) struct SegmentArgs {
    #[command(subcommand)]
    verb: SegmentVerb,
}

/// What to do with segments.
#[derive(Debug, Subcommand)]
enum SegmentVerb {
    /// Keep bytes as a segment.
    Put {
        /// Its id: letters, digits and . _ : - up to 128.
        segment_id: String,
        #[command(flatten)]
        source: Source,
    },
    /// Show one segment, or write its bytes to a file.
    Get {
        /// Its id.
        segment_id: String,
        /// Write its bytes to this file.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// List segments.
    #[command(visible_alias = "list")]
    Ls,
    /// End a segment.
    #[command(visible_alias = "rm")]
    Drop {
        /// Its id.
        segment_id: String,
        /// One that does not exist is as good as dropped.
        #[arg(long)]
        if_exists: bool,
    },
}

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl init demo 0 greeting
  linmemctl init demo 1page rodata --from 4KiB --length 100")]
pub(crate) struct InitArgs {
    #[command(flatten)]
    target: Target,
    /// To where in the memory.
    #[arg(value_parser = size::bytes)]
    offset: u64,
    /// The segment's id.
    segment_id: String,
    /// From where in the segment.
    #[arg(long, value_parser = size::bytes, value_name = "OFFSET", default_value = "0")]
    from: u64,
    /// How many bytes [default: to the segment's end].
    #[arg(long, value_parser = size::bytes, value_name = "BYTES")]
    length: Option<u64>,
}

/// Does what is to be done with segments.
pub(crate) async fn run(args: SegmentArgs, session: &Session) -> Result<(), CtlError> {
    let (client, output) = (&session.client, &session.output);
    match args.verb {
        SegmentVerb::Put { segment_id, source } => {
            let data = read_source(source, session).await?;
            let (segment_id, request_id) = (Some(segment_id), None);
            let put = client.put_segment(PutSegmentRequest { segment_id, data, request_id });
            let segment = put.await?;
            output.either(&json::segment(&segment), &segment.segment_id)
        }
        SegmentVerb::Get { segment_id, output: path } => {
            let with_data = path.is_some();
            let answer = client.get_segment(GetSegmentRequest { segment_id, with_data }).await?;
            if let Some(path) = path {
                tokio::fs::write(&path, &answer.data).await.map_err(|source| {
                    let path = path.display().to_string();
                    CtlError::File { action: "write", path, source }
                })?;
            }
            let value = json::segment(&answer.segment.unwrap_or_default());
            output.either(&value, &pairs(&json::flat(&value)))
        }
        SegmentVerb::Ls => {
            let all = client.segments().await?;
            let value = Value::Array(all.iter().map(json::segment).collect());
            let row = |one: &Segment| {
                let crc32c = format!("{:#010x}", one.crc32c);
                vec![one.segment_id.clone(), human(one.size_bytes), crc32c]
            };
            output.either(&value, &table(&["ID", "SIZE", "CRC32C"], all.iter().map(row).collect()))
        }
        SegmentVerb::Drop { segment_id, if_exists } => {
            client.drop_segment(&segment_id, if_exists).await?;
            output.either(&json!({ "segment_id": segment_id }), &segment_id)
        }
    }
}

/// Puts a part of a segment into a memory.
pub(crate) async fn init(args: InitArgs, session: &Session) -> Result<(), CtlError> {
    let InitArgs { target, offset, segment_id, from, length } = args;
    let length = match length {
        Some(length) => length,
        None => {
            let message = GetSegmentRequest { segment_id: segment_id.clone(), with_data: false };
            let segment = session.client.get_segment(message).await?.segment.unwrap_or_default();
            segment.size_bytes.saturating_sub(from)
        }
    };
    let request = InitMemoryRequest {
        memory_id: target.memory_id,
        uid: target.uid,
        segment_id: segment_id.clone(),
        destination_offset: offset,
        source_offset: from,
        length,
    };
    session.client.init_memory(request).await?;
    let value = json!({
        "segment_id": segment_id, "offset": offset, "source_offset": from, "length": length,
    });
    session.output.either(&value, &format!("put {length} bytes of {segment_id} at {offset}"))
}

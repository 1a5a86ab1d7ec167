//! `download`: a memory into a file, checked by CRC-32C message by message.
//!
//! A regular file appears under its name only when it is complete. The memory is pinned by its uid,
//! so that a broken stream may be resumed without ever mixing two memories.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use linmemd::client::proto::DownloadMemoryRequest;
use linmemd::client::{ClientError, Downloaded};
use serde_json::json;
use tokio::fs::{self, File};
use tokio::io::AsyncWrite;

use crate::failure::CtlError;
use crate::progress::Progress;
use crate::session::{Session, Target, reader_left};
use crate::size::{self, human};

/// Arguments of `download`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl download model weights.bin
  linmemctl download scratch part.bin --offset 3pages --length 1MiB
  linmemctl download archive - | tar t

Each message is atomic; the whole is not a snapshot where others write meanwhile. The file appears
under its name when it is complete.")]
pub(crate) struct DownloadArgs {
    #[command(flatten)]
    target: Target,
    /// The file, or - for standard output.
    file: String,
    /// From where.
    #[arg(long, value_parser = size::bytes, default_value = "0")]
    offset: u64,
    /// How many bytes [default: to the end].
    #[arg(long, value_parser = size::bytes)]
    length: Option<u64>,
    /// Data bytes of one message [default: the server's].
    #[arg(long, value_parser = size::bytes, value_name = "BYTES")]
    chunk: Option<u64>,
}

/// Downloads the range.
pub(crate) async fn run(args: DownloadArgs, session: &Session) -> Result<(), CtlError> {
    let memory = session.memory(&args.target).await?;
    let length = match args.length {
        Some(length) => length,
        None => memory.size_bytes.saturating_sub(args.offset),
    };
    let request = DownloadMemoryRequest {
        memory_id: memory.memory_id.clone(),
        uid: Some(memory.uid),
        offset: args.offset,
        length: args.length,
        chunk_bytes: args.chunk,
        checksum: true,
        ..Default::default()
    };
    if args.file == "-" {
        return match pass(request, &mut tokio::io::stdout(), length, session).await {
            Err(error) if reader_left(&error) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(done) => {
                session.output.note(&text(&done));
                Ok(())
            }
        };
    }
    let done = into_file(request, Path::new(&args.file), length, session).await?;
    let value = json!({
        "memory_id": memory.memory_id, "offset": args.offset,
        "length": done.bytes, "crc32c": done.crc32c,
    });
    session.output.either(&value, &text(&done))
}

async fn into_file(
    request: DownloadMemoryRequest,
    path: &Path,
    length: u64,
    session: &Session,
) -> Result<Downloaded, CtlError> {
    let failed = |source| {
        let path = path.display().to_string();
        CtlError::File { action: "write", path, source }
    };
    // A device or a pipe is written as it is; it cannot be replaced.
    let special = fs::metadata(path).await.is_ok_and(|facts| !facts.is_file());
    let partial = if special { path.to_owned() } else { partial(path) };
    let mut file = match special {
        true => File::options().write(true).open(path).await,
        false => File::create(&partial).await,
    }
    .map_err(failed)?;
    let result = pass(request, &mut file, length, session).await;
    drop(file);
    match (result, special) {
        (Ok(done), true) => Ok(done),
        (Ok(done), false) => {
            fs::rename(&partial, path).await.map_err(failed)?;
            Ok(done)
        }
        (Err(error), special) => {
            if !special {
                // The failure that is told is the download's.
                drop(fs::remove_file(&partial).await);
            }
            Err(error.into())
        }
    }
}

async fn pass<W: AsyncWrite + Unpin>(
    request: DownloadMemoryRequest,
    writer: &mut W,
    length: u64,
    session: &Session,
) -> Result<Downloaded, ClientError> {
    let progress = Progress::new(&session.output, "download", Some(length));
    session.client.download_to(request, writer, |done| progress.at(done)).await
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(format!(".partial-{}", std::process::id()));
    path.with_file_name(name)
}

fn text(done: &Downloaded) -> String {
    let Downloaded { bytes, crc32c } = done;
    format!("downloaded {bytes} bytes ({}), crc32c {crc32c:08x}", human(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_file_stands_beside_its_goal() {
        let partial = partial(Path::new("/a/b/weights.bin"));
        assert_eq!(partial.parent(), Some(Path::new("/a/b")));
        assert!(partial.to_string_lossy().starts_with("/a/b/weights.bin.partial-"));
    }
}

//! `upload`: a file into a memory, made or grown to fit where that is asked for.
//!
//! Bytes that can be had again are resumed where the daemon stopped if it says SAME; standard input
//! as it comes cannot be. What is made or grown is pinned by uid for the bytes that follow.

use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Args;
use linmemd::client::proto::{CreateMemoryRequest, GrowMemoryRequest, Memory, MemorySpec};
use linmemd::client::{ClientError, Retry, Upload, Uploaded};
use serde_json::json;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::failure::CtlError;
use crate::progress::Progress;
use crate::session::{Session, Target};
use crate::size::{self, human, pages_for};

/// Arguments of `upload`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl upload model weights.bin --create
  linmemctl upload model weights.bin --create --grow     make it, or grow it, as needed
  linmemctl upload scratch part.bin --offset 3pages
  tar c . | linmemctl upload archive - --create

Every byte is checked by CRC-32C on both sides. With - and --create or --grow the bytes are held in
this process first, for their number decides the size.")]
pub(crate) struct UploadArgs {
    #[command(flatten)]
    target: Target,
    /// The file, or - for standard input.
    file: String,
    /// Where in the memory the first byte goes.
    #[arg(long, value_parser = size::bytes, default_value = "0")]
    offset: u64,
    /// Make the memory, as large as the bytes need; with --grow, only if there is none.
    #[arg(long)]
    create: bool,
    /// Grow the memory where the bytes need it.
    #[arg(long)]
    grow: bool,
    /// With --create: the size that it may grow to [default: the server's, or what the bytes need].
    #[arg(long, requires = "create", value_parser = size::pages, value_name = "PAGES")]
    max: Option<u64>,
}

/// Uploads the file.
pub(crate) async fn run(args: UploadArgs, session: &Session) -> Result<(), CtlError> {
    let source = open(&args, session).await?;
    let mut target = args.target.clone();
    if args.create || args.grow {
        let length = source.length().unwrap_or_default();
        let end = args.offset.checked_add(length);
        let end = end.ok_or_else(|| CtlError::Usage("offset and length overflow".to_owned()))?;
        target.uid = Some(fit(&args, pages_for(end), session).await?.uid);
    }
    let upload = Upload {
        memory_id: target.memory_id.clone(),
        uid: target.uid,
        offset: args.offset,
        length: source.length(),
        chunk_bytes: session.chunk_bytes().await?,
    };
    let progress = Progress::new(&session.output, "upload", source.length());
    let uploaded = match source {
        Source::Input => {
            let input = tokio::io::stdin();
            session.client.upload(upload, input, |done| progress.at(done)).await?
        }
        Source::Known(again, length) => resumed(again, length, upload, &progress, session).await?,
    };
    drop(progress);
    let Uploaded { bytes_written, crc32c } = uploaded;
    let value = json!({
        "memory_id": target.memory_id, "offset": args.offset,
        "bytes_written": bytes_written, "crc32c": crc32c,
    });
    let text =
        format!("uploaded {bytes_written} bytes ({}), crc32c {crc32c:08x}", human(bytes_written));
    session.output.either(&value, &text)
}

/// How often an upload without any progress is resumed.
const RESUMES: u32 = 8;

enum Source {
    /// Bytes of known number, that can be had again.
    Known(Again, u64),
    /// Standard input as it comes.
    Input,
}

/// Bytes that can be had again.
enum Again {
    File(File),
    Held(Vec<Bytes>),
}

impl Source {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Known(_, length) => Some(*length),
            Self::Input => None,
        }
    }
}

async fn open(args: &UploadArgs, session: &Session) -> Result<Source, CtlError> {
    let failed = |source| CtlError::File { action: "read", path: args.file.clone(), source };
    let sized = args.create || args.grow;
    if args.file == "-" {
        return match sized {
            true => held(tokio::io::stdin(), session).await.map_err(failed),
            false => Ok(Source::Input),
        };
    }
    let file = File::open(Path::new(&args.file)).await.map_err(failed)?;
    let facts = file.metadata().await.map_err(failed)?;
    if facts.is_dir() {
        return Err(failed(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
    }
    match facts.is_file() {
        true => Ok(Source::Known(Again::File(file), facts.len())),
        // A pipe or a device: its length says nothing.
        false => held(file, session).await.map_err(failed),
    }
}

async fn held(
    mut reader: impl tokio::io::AsyncRead + Unpin,
    session: &Session,
) -> std::io::Result<Source> {
    let progress = Progress::new(&session.output, "read", None);
    let (mut chunks, mut length) = (Vec::new(), 0u64);
    loop {
        let mut chunk = BytesMut::with_capacity(HELD_CHUNK_BYTES);
        if reader.read_buf(&mut chunk).await? == 0 {
            return Ok(Source::Known(Again::Held(chunks), length));
        }
        length = length.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        chunks.push(chunk.freeze());
        progress.at(length);
    }
}

const HELD_CHUNK_BYTES: usize = 1 << 18;

/// The memory, made or grown until it has the pages that the bytes need.
async fn fit(args: &UploadArgs, pages: u64, session: &Session) -> Result<Memory, CtlError> {
    if args.create {
        match create(args, pages, session).await {
            Ok(memory) => return Ok(memory),
            Err(ClientError::Refused(failure))
                if args.grow && failure.reason == "MEMORY_EXISTS" => {}
            Err(error) => return Err(error.into()),
        }
    }
    loop {
        let memory = session.memory(&args.target).await?;
        if memory.size_pages >= pages {
            return Ok(memory);
        }
        let request = GrowMemoryRequest {
            memory_id: memory.memory_id.clone(),
            uid: Some(memory.uid.clone()),
            delta_pages: pages - memory.size_pages,
            expected_pages: Some(memory.size_pages),
            request_id: None,
        };
        match session.client.grow_memory(request).await {
            Ok(_) => return Ok(memory),
            // Somebody else grew it: perhaps it is large enough now. Sizes only go up.
            Err(ClientError::Refused(failure)) if failure.reason == "SIZE_MISMATCH" => (),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn create(
    args: &UploadArgs,
    initial_pages: u64,
    session: &Session,
) -> Result<Memory, ClientError> {
    // An absent maximum is never below initial_pages.
    let spec = MemorySpec { initial_pages, maximum_pages: args.max, ..Default::default() };
    session
        .client
        .create_memory(CreateMemoryRequest {
            memory_id: Some(args.target.memory_id.clone()),
            spec: Some(spec),
            ..Default::default()
        })
        .await
}

/// Uploads, resumed where the daemon stopped as often as it asks for the same again.
async fn resumed(
    mut again: Again,
    length: u64,
    mut upload: Upload,
    progress: &Progress,
    session: &Session,
) -> Result<Uploaded, CtlError> {
    let begin = upload.offset;
    let (mut done, mut resumes) = (0u64, 0);
    loop {
        let left = length.saturating_sub(done);
        upload.offset = begin.saturating_add(done);
        upload.length = Some(left);
        let told = |part: u64| progress.at(done.saturating_add(part));
        let result = match &mut again {
            Again::File(file) => {
                file.seek(SeekFrom::Start(done)).await.map_err(ClientError::Source)?;
                session.client.upload(upload.clone(), file.take(left), told).await
            }
            Again::Held(chunks) => {
                session.client.upload_chunks(upload.clone(), beyond(chunks, done), told).await
            }
        };
        match result {
            Ok(part) if done == 0 => return Ok(part),
            Ok(part) => {
                let bytes_written = done.saturating_add(part.bytes_written);
                let crc32c = checksum(again, length).await.map_err(ClientError::Source)?;
                return Ok(Uploaded { bytes_written, crc32c });
            }
            Err(ClientError::Refused(failure))
                if failure.retry == Retry::Same && resumes < RESUMES =>
            {
                let stands = failure.bytes_written().unwrap_or_default();
                resumes = if stands > 0 { 0 } else { resumes + 1 };
                done = done.saturating_add(stands).min(length);
                let pause = failure.retry_after.unwrap_or(Duration::from_millis(200));
                tokio::time::sleep(pause.min(Duration::from_secs(30))).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The chunks without their first bytes.
fn beyond(chunks: &[Bytes], mut done: u64) -> Vec<Bytes> {
    let mut rest = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let passed = usize::try_from(done).unwrap_or(usize::MAX).min(chunk.len());
        done -= u64::try_from(passed).unwrap_or(done);
        rest.push(chunk.slice(passed..));
    }
    rest
}

/// Of all bytes: each part of a resumed upload was checked on its own.
async fn checksum(again: Again, length: u64) -> std::io::Result<u32> {
    let mut file = match again {
        Again::Held(chunks) => {
            return Ok(chunks
                .iter()
                .fold(0, |crc, chunk| linmemd::client::crc32c_append(crc, chunk)));
        }
        Again::File(file) => file,
    };
    file.seek(SeekFrom::Start(0)).await?;
    let (mut crc, mut reader) = (0, file.take(length));
    let mut chunk = BytesMut::with_capacity(HELD_CHUNK_BYTES);
    while reader.read_buf(&mut chunk).await? > 0 {
        crc = linmemd::client::crc32c_append(crc, &chunk);
        chunk.clear();
    }
    Ok(crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_is_not_sent_again() {
        let chunks = [Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
        for done in 0..=5 {
            let rest = beyond(&chunks, done).concat();
            assert_eq!(rest, b"abcde"[usize::try_from(done).unwrap()..], "{done}");
        }
    }

    #[tokio::test]
    async fn a_file_and_held_bytes_have_the_same_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"abcde").unwrap();
        let file = File::open(&path).await.unwrap();
        let held = vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
        let expected = linmemd::client::crc32c(b"abcde");
        assert_eq!(checksum(Again::File(file), 5).await.unwrap(), expected);
        assert_eq!(checksum(Again::Held(held), 5).await.unwrap(), expected);
    }
}

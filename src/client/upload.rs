//! Bytes into a memory as one client stream.
//!
//! Its law: the CRC-32C of all bytes travels in the last message and the server's own comes back
//! and is compared; no message is longer than the chunk. A stream is not repeated here, for its
//! source cannot be rewound: a failure says through `bytes_written` where a caller may resume.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use crate::checksum;
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::proto::UploadMemoryRequest;
use crate::client::retry::Attempts;

/// Data bytes of one upload message where the caller names no other number.
pub const DEFAULT_CHUNK_BYTES: usize = 1 << 20;

/// Where an upload goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Into which memory.
    pub memory_id: String,
    /// Only if it is still this one.
    pub uid: Option<String>,
    /// Where the first byte goes.
    pub offset: u64,
    /// How many bytes will come, where that is known; the server then checks the range at once.
    pub length: Option<u64>,
    /// Data bytes of one message, at most `Limits.max_chunk_bytes`.
    pub chunk_bytes: usize,
}

/// What an upload wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// How many bytes.
    pub bytes_written: u64,
    /// CRC-32C of them, on which both sides agree.
    pub crc32c: u32,
}

impl Upload {
    /// From the memory's start, length unknown, in default chunks.
    pub fn to(memory_id: impl Into<String>) -> Self {
        Self {
            memory_id: memory_id.into(),
            uid: None,
            offset: 0,
            length: None,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
        }
    }
}

impl Client {
    /// Uploads what the reader gives, to its end. `progress` is told the bytes handed over so far.
    pub async fn upload<R>(
        &self,
        upload: Upload,
        reader: R,
        progress: impl FnMut(u64),
    ) -> Result<Uploaded, ClientError>
    where
        R: AsyncRead + Unpin,
    {
        let source = ReaderChunks { reader, chunk_bytes: upload.chunk_bytes.max(1) };
        self.upload_from(upload, source, progress).await
    }

    /// Uploads chunks that are at hand, without a copy; longer ones are split.
    pub async fn upload_chunks<I>(
        &self,
        upload: Upload,
        chunks: I,
        progress: impl FnMut(u64),
    ) -> Result<Uploaded, ClientError>
    where
        I: IntoIterator<Item = Bytes>,
    {
        let chunk_bytes = upload.chunk_bytes.max(1);
        let source = SplitChunks { chunks: chunks.into_iter(), rest: Bytes::new(), chunk_bytes };
        self.upload_from(upload, source, progress).await
    }

    async fn upload_from(
        &self,
        upload: Upload,
        source: impl ChunkSource,
        progress: impl FnMut(u64),
    ) -> Result<Uploaded, ClientError> {
        let left = Attempts::begin(self.retry(), self.deadline()).start()?;
        let (sender, receiver) = mpsc::channel(QUEUED_MESSAGES);
        let request = self.request_within(ReceiverStream::new(receiver), left);
        let mut stub = self.memory_service();
        let offset = upload.offset;
        let answer = stub.upload_memory(request);
        let pumped = pump(upload, source, sender, progress);
        tokio::pin!(answer);
        // The answer first: a server that refuses early ends the pumping.
        let (response, sent) = tokio::select! {
            biased;
            early = &mut answer => {
                early?;
                return Err(ClientError::Answer("an upload ended before its last message".into()));
            }
            sent = pumped => match sent? {
                Some(sent) => (answer.await?.into_inner(), sent),
                None => {
                    answer.await?;
                    return Err(ClientError::Answer("an upload was closed early".into()));
                }
            },
        };
        if response.bytes_written != sent.bytes_written {
            return Err(ClientError::Answer(format!(
                "sent {} bytes and {} were written",
                sent.bytes_written, response.bytes_written
            )));
        }
        if response.crc32c != sent.crc32c {
            let (expected, found) = (sent.crc32c, response.crc32c);
            return Err(ClientError::Checksum { offset, expected, found });
        }
        Ok(sent)
    }
}

/// Messages read ahead of the connection.
const QUEUED_MESSAGES: usize = 2;

trait ChunkSource {
    async fn next(&mut self) -> io::Result<Option<Bytes>>;
}

struct ReaderChunks<R> {
    reader: R,
    chunk_bytes: usize,
}

impl<R: AsyncRead + Unpin> ChunkSource for ReaderChunks<R> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut chunk = BytesMut::with_capacity(self.chunk_bytes);
        while chunk.len() < self.chunk_bytes {
            let room = self.chunk_bytes - chunk.len();
            let limited = &mut (&mut self.reader).take(u64::try_from(room).unwrap_or(u64::MAX));
            if limited.read_buf(&mut chunk).await? == 0 {
                break;
            }
        }
        Ok(if chunk.is_empty() { None } else { Some(chunk.freeze()) })
    }
}

struct SplitChunks<I> {
    chunks: I,
    rest: Bytes,
    chunk_bytes: usize,
}

impl<I: Iterator<Item = Bytes>> ChunkSource for SplitChunks<I> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.rest.is_empty() {
            match self.chunks.next() {
                Some(chunk) => self.rest = chunk,
                None => return Ok(None),
            }
        }
        Ok(Some(self.rest.split_to(self.chunk_bytes.min(self.rest.len()))))
    }
}

/// Turns chunks into messages, one held back so that the last can carry the checksum. None: the
/// call took no more.
async fn pump(
    upload: Upload,
    mut source: impl ChunkSource,
    sender: mpsc::Sender<UploadMemoryRequest>,
    mut progress: impl FnMut(u64),
) -> Result<Option<Uploaded>, ClientError> {
    let mut sent = Uploaded { bytes_written: 0, crc32c: 0 };
    let mut held = UploadMemoryRequest {
        memory_id: Some(upload.memory_id),
        uid: upload.uid,
        offset: Some(upload.offset),
        length: upload.length,
        ..Default::default()
    };
    let mut first = true;
    while let Some(data) = source.next().await.map_err(ClientError::Source)? {
        sent.crc32c = checksum::crc32c_append(sent.crc32c, &data);
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        if first {
            held.data = data;
            first = false;
        } else {
            let next = UploadMemoryRequest { data, ..Default::default() };
            if sender.send(std::mem::replace(&mut held, next)).await.is_err() {
                return Ok(None);
            }
        }
        sent.bytes_written = sent.bytes_written.saturating_add(length);
        progress(sent.bytes_written);
    }
    held.crc32c = Some(sent.crc32c);
    Ok(sender.send(held).await.is_ok().then_some(sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn messages(upload: Upload, source: impl ChunkSource) -> Vec<UploadMemoryRequest> {
        let (sender, mut receiver) = mpsc::channel(64);
        let sent = pump(upload, source, sender, |_| ()).await.unwrap().unwrap();
        let mut all = Vec::new();
        while let Some(message) = receiver.recv().await {
            all.push(message);
        }
        assert_eq!(all.last().unwrap().crc32c, Some(sent.crc32c));
        assert_eq!(all.iter().filter(|message| message.memory_id.is_some()).count(), 1);
        assert_eq!(all.iter().filter(|message| message.crc32c.is_some()).count(), 1);
        all
    }

    #[tokio::test]
    async fn a_reader_becomes_full_chunks_and_a_rest() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let upload = Upload { offset: 7, length: Some(1000), ..Upload::to("m") };
        let source = ReaderChunks { reader: &bytes[..], chunk_bytes: 300 };
        let all = messages(upload, source).await;
        let lengths: Vec<usize> = all.iter().map(|message| message.data.len()).collect();
        assert_eq!(lengths, [300, 300, 300, 100]);
        assert_eq!((all[0].offset, all[0].length), (Some(7), Some(1000)));
        assert_eq!(all[3].crc32c, Some(checksum::crc32c(&bytes)));
    }

    #[tokio::test]
    async fn an_empty_upload_is_one_message() {
        let source = ReaderChunks { reader: &b""[..], chunk_bytes: 300 };
        let all = messages(Upload::to("m"), source).await;
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].crc32c, Some(0));
    }

    #[tokio::test]
    async fn chunks_longer_than_a_message_are_split_and_empty_ones_skipped() {
        let chunks = [Bytes::from_static(b"abcdefg"), Bytes::new(), Bytes::from_static(b"h")];
        let source = SplitChunks { chunks: chunks.into_iter(), rest: Bytes::new(), chunk_bytes: 3 };
        let all = messages(Upload::to("m"), source).await;
        let data: Vec<&[u8]> = all.iter().map(|message| &message.data[..]).collect();
        assert_eq!(data, [&b"abc"[..], b"def", b"g", b"h"]);
    }
}

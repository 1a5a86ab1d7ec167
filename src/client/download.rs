//! Bytes out of a memory as one server stream.
//!
//! Its law: every message follows the one before without a gap, each one's checksum is verified,
//! and a stream that breaks is resumed where it broke only if it cannot continue in another memory
//! (a uid was given, or nothing had arrived). It is no snapshot: messages are atomic one by one.

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tonic::Streaming;

use crate::checksum;
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::proto::{DownloadMemoryRequest, DownloadMemoryResponse};
use crate::client::retry::{Attempts, Repeat};

/// An open download.
#[derive(Debug)]
pub struct Download {
    stream: Streaming<DownloadMemoryResponse>,
    checker: Checker,
    deadline: Option<Instant>,
}

/// What a download brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// How many bytes.
    pub bytes: u64,
    /// CRC-32C of them all.
    pub crc32c: u32,
}

impl Download {
    /// The next bytes, checked, or None at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let next = self.stream.message();
        let message = match self.deadline {
            None => next.await?,
            Some(deadline) => {
                timeout_at(deadline, next).await.map_err(|_| ClientError::DeadlinePassed)??
            }
        };
        match message {
            Some(message) => self.checker.accept(message).map(Some),
            None => self.checker.end().map(|()| None),
        }
    }
}

impl Client {
    /// Opens a download. Checksums are verified where the request asks for them.
    pub async fn download(&self, request: DownloadMemoryRequest) -> Result<Download, ClientError> {
        let mut attempts = Attempts::begin(self.retry(), self.deadline());
        loop {
            match self.open(&request, &mut attempts).await {
                Ok(download) => return Ok(download),
                Err(error) => attempts.pause_after(error, Repeat::Harmless).await?,
            }
        }
    }

    /// Downloads a range into a writer, checksums always on. `progress` is told the bytes passed
    /// on so far.
    pub async fn download_to<W>(
        &self,
        mut request: DownloadMemoryRequest,
        writer: &mut W,
        mut progress: impl FnMut(u64),
    ) -> Result<Downloaded, ClientError>
    where
        W: AsyncWrite + Unpin,
    {
        request.checksum = true;
        let mut attempts = Attempts::begin(self.retry(), self.deadline());
        let mut all = Downloaded { bytes: 0, crc32c: 0 };
        loop {
            let before = all.bytes;
            let error = match self
                .pass_on(&request, &mut attempts, writer, |data| {
                    all.crc32c = checksum::crc32c_append(all.crc32c, data);
                    all.bytes = all.bytes.saturating_add(length_of(data));
                    progress(all.bytes);
                })
                .await
            {
                Ok(()) => break,
                Err(error) => error,
            };
            let arrived = all.bytes - before;
            if arrived > 0 {
                if request.uid.is_none() {
                    return Err(error);
                }
                attempts.progressed();
                request.offset = request.offset.saturating_add(arrived);
                request.length = request.length.map(|length| length.saturating_sub(arrived));
            }
            attempts.pause_after(error, Repeat::Harmless).await?;
        }
        writer.flush().await.map_err(ClientError::Sink)?;
        Ok(all)
    }

    async fn open(
        &self,
        request: &DownloadMemoryRequest,
        attempts: &mut Attempts,
    ) -> Result<Download, ClientError> {
        let left = attempts.start()?;
        let message = self.request_within(request.clone(), left);
        let stream = self.memory_service().download_memory(message).await?.into_inner();
        Ok(Download { stream, checker: Checker::of(request), deadline: attempts.deadline() })
    }

    async fn pass_on<W: AsyncWrite + Unpin>(
        &self,
        request: &DownloadMemoryRequest,
        attempts: &mut Attempts,
        writer: &mut W,
        mut passed: impl FnMut(&[u8]),
    ) -> Result<(), ClientError> {
        let mut download = self.open(request, attempts).await?;
        while let Some(data) = download.next().await? {
            writer.write_all(&data).await.map_err(ClientError::Sink)?;
            passed(&data);
        }
        Ok(())
    }
}

/// What the next message must be.
#[derive(Debug)]
struct Checker {
    next_offset: u64,
    end: Option<u64>,
    checksum: bool,
}

impl Checker {
    fn of(request: &DownloadMemoryRequest) -> Self {
        let end = request.length.map(|length| request.offset.saturating_add(length));
        Self { next_offset: request.offset, end, checksum: request.checksum }
    }

    fn accept(&mut self, message: DownloadMemoryResponse) -> Result<Bytes, ClientError> {
        let offset = message.offset;
        if offset != self.next_offset {
            let expected = self.next_offset;
            let text = format!("a download went on at {offset} instead of {expected}");
            return Err(ClientError::Answer(text));
        }
        match message.crc32c {
            Some(expected) => {
                let found = checksum::crc32c(&message.data);
                if found != expected {
                    return Err(ClientError::Checksum { offset, expected, found });
                }
            }
            None if self.checksum => {
                return Err(ClientError::Answer("a download without its checksums".to_owned()));
            }
            None => (),
        }
        self.next_offset = offset.saturating_add(length_of(&message.data));
        if self.end.is_some_and(|end| self.next_offset > end) {
            return Err(ClientError::Answer("a download brought too much".to_owned()));
        }
        Ok(message.data)
    }

    fn end(&self) -> Result<(), ClientError> {
        match self.end {
            Some(end) if self.next_offset != end => Err(ClientError::Answer(format!(
                "a download ended at {} instead of {end}",
                self.next_offset
            ))),
            _ => Ok(()),
        }
    }
}

fn length_of(data: &[u8]) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checker() -> Checker {
        Checker::of(&DownloadMemoryRequest {
            offset: 10,
            length: Some(6),
            checksum: true,
            ..Default::default()
        })
    }

    fn message(offset: u64, data: &'static [u8]) -> DownloadMemoryResponse {
        let crc32c = Some(checksum::crc32c(data));
        DownloadMemoryResponse { offset, data: Bytes::from_static(data), crc32c }
    }

    #[test]
    fn messages_in_order_with_right_checksums_pass() {
        let mut checker = checker();
        checker.accept(message(10, b"abc")).unwrap();
        checker.accept(message(13, b"def")).unwrap();
        checker.end().unwrap();
    }

    #[test]
    fn a_gap_a_wrong_checksum_a_missing_one_and_a_wrong_length_are_refused() {
        assert!(matches!(checker().accept(message(11, b"a")), Err(ClientError::Answer(_))));
        let wrong = DownloadMemoryResponse { crc32c: Some(1), ..message(10, b"abc") };
        let refused = checker().accept(wrong);
        assert!(matches!(refused, Err(ClientError::Checksum { offset: 10, expected: 1, .. })));
        let missing = DownloadMemoryResponse { crc32c: None, ..message(10, b"abc") };
        assert!(matches!(checker().accept(missing), Err(ClientError::Answer(_))));
        assert!(matches!(checker().accept(message(10, b"abcdefg")), Err(ClientError::Answer(_))));
        assert!(matches!(checker().end(), Err(ClientError::Answer(_))));
    }
}

//! What h2load cannot see: whether the bytes are right.
//!
//! Owns: a generated client of one server, the memory that is read and written, and the checks
//! before and after each run. Law: a run counts only if the same call gave the right bytes just
//! before it, and, for uploads, if the bytes that were spoiled before it are right after it. Does
//! not: measure.

use bytes::Bytes;
use linmemd::proto::v1::memory_service_client::MemoryServiceClient;
use linmemd::proto::v1::{
    CreateMemoryRequest, DownloadMemoryRequest, MemorySpec, ReadMemoryRequest, UploadMemoryRequest,
    WriteMemoryRequest,
};
use prost::Message;
use tonic::codegen::tokio_stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::Failure;
use crate::groups::{self, Form};
use crate::peer::Peer;
use crate::shape::{
    CALL_BYTES, CHUNK_BYTES, CONNECTION_WINDOW_BYTES, DOWNLOAD_OFFSET, GROUP, MEMORY, MEMORY_BYTES,
    MEMORY_PAGES, Operation, READ_BYTES, READ_OFFSET, STREAM_WINDOW_BYTES, pattern,
};

// Where an upload's effect is looked for: inside its last message.
const SPOILED_OFFSET: usize = CALL_BYTES - CHUNK_BYTES / 2;
const SPOILED_BYTES: usize = 4096;
// A gRPC message on the wire: one byte of flags, four of length.
const PREFIX_BYTES: usize = 5;

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Checker {
    name: &'static str,
    client: MemoryServiceClient<Channel>,
}

impl Checker {
    /// Connects, creates the memory where there is none, and fills it.
    pub(crate) async fn new(peer: &Peer) -> Result<Self, Failure> {
        let channel = Endpoint::from_shared(peer.url.clone())?
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .connect()
            .await
            .map_err(|error| format!("{}: {error}\n{}", peer.name, peer.log()))?;
        let mut checker = Self { name: peer.name, client: MemoryServiceClient::new(channel) };
        checker.create().await?;
        for offset in (0..MEMORY_BYTES).step_by(CALL_BYTES) {
            checker.upload(offset).await?;
        }
        Ok(checker)
    }

    async fn create(&mut self) -> Result<(), Failure> {
        let spec = MemorySpec {
            initial_pages: MEMORY_PAGES,
            maximum_pages: Some(MEMORY_PAGES),
            ..MemorySpec::default()
        };
        let request = CreateMemoryRequest {
            memory_id: Some(MEMORY.to_owned()),
            spec: Some(spec),
            ..CreateMemoryRequest::default()
        };
        match self.client.create_memory(request).await {
            Ok(_) => Ok(()),
            // The plain server has one array; a server that ran already may have the memory.
            Err(status) if matches!(status.code(), Code::Unimplemented | Code::AlreadyExists) => {
                Ok(())
            }
            Err(status) => Err(self.failed("create", &status)),
        }
    }

    /// Makes one call as the load will, looks at every byte of its effect or reply, and says how
    /// many bytes of DATA a reply is.
    pub(crate) async fn check(&mut self, operation: Operation) -> Result<usize, Failure> {
        match operation {
            Operation::Read => self.read(READ_OFFSET, READ_BYTES).await,
            Operation::Download => self.download().await,
            Operation::Packed => self.group(Form::Packed).await,
            Operation::List => self.group(Form::List).await,
            Operation::Gather => self.group(Form::Gather).await,
            // Every byte of the load itself is compared.
            Operation::Session => Ok(0),
            Operation::Upload => {
                self.spoil().await?;
                let reply = self.upload(0).await?;
                self.read(SPOILED_OFFSET, SPOILED_BYTES).await?;
                Ok(reply)
            }
        }
    }

    /// Before a run of uploads: bytes that they must put right.
    pub(crate) async fn before(&mut self, operation: Operation) -> Result<(), Failure> {
        if operation == Operation::Upload { self.spoil().await } else { Ok(()) }
    }

    /// After a run of uploads: they did.
    pub(crate) async fn after(&mut self, operation: Operation) -> Result<(), Failure> {
        if operation == Operation::Upload {
            self.read(SPOILED_OFFSET, SPOILED_BYTES).await?;
        }
        Ok(())
    }

    async fn spoil(&mut self) -> Result<(), Failure> {
        let request = WriteMemoryRequest {
            memory_id: MEMORY.to_owned(),
            offset: SPOILED_OFFSET as u64,
            data: Bytes::from(vec![0; SPOILED_BYTES]),
            uid: None,
        };
        self.client.write_memory(request).await.map_err(|status| self.failed("write", &status))?;
        Ok(())
    }

    async fn read(&mut self, offset: usize, length: usize) -> Result<usize, Failure> {
        let reply = self.client.read_memory(read_request(offset, length)).await;
        let reply = reply.map_err(|status| self.failed("read", &status))?.into_inner();
        self.same(&reply.data, offset, length)?;
        Ok(PREFIX_BYTES + reply.encoded_len())
    }

    async fn group(&mut self, form: Form) -> Result<usize, Failure> {
        let reply = self.client.execute_operations(groups::request(form)).await;
        let reply = reply.map_err(|status| self.failed("group", &status))?.into_inner();
        let data = groups::data(&reply).ok_or_else(|| self.wrong("no data"))?;
        let wanted: Vec<u8> =
            (0..GROUP).flat_map(|number| pattern(groups::offset(number), READ_BYTES)).collect();
        if data != wanted {
            return Err(self.wrong("other bytes of a group"));
        }
        Ok(PREFIX_BYTES + reply.encoded_len())
    }

    async fn download(&mut self) -> Result<usize, Failure> {
        let reply = self.client.download_memory(download_request()).await;
        let mut messages = reply.map_err(|status| self.failed("download", &status))?.into_inner();
        let (mut offset, mut bytes) = (DOWNLOAD_OFFSET, 0);
        while let Some(message) =
            messages.message().await.map_err(|status| self.failed("download", &status))?
        {
            if message.offset != offset as u64 {
                return Err(
                    self.wrong(&format!("message at {} instead of {offset}", message.offset))
                );
            }
            self.same(&message.data, offset, CHUNK_BYTES)?;
            offset += message.data.len();
            bytes += PREFIX_BYTES + message.encoded_len();
        }
        if offset != DOWNLOAD_OFFSET + CALL_BYTES {
            return Err(self.wrong(&format!("download ended at {offset}")));
        }
        Ok(bytes)
    }

    async fn upload(&mut self, offset: usize) -> Result<usize, Failure> {
        let reply = self.client.upload_memory(tokio_stream::iter(upload_requests(offset))).await;
        let reply = reply.map_err(|status| self.failed("upload", &status))?.into_inner();
        if reply.bytes_written != CALL_BYTES as u64 {
            return Err(self.wrong(&format!("{} bytes written", reply.bytes_written)));
        }
        // The plain server makes no checksum.
        if reply.crc32c != 0 && reply.crc32c != crc32c::crc32c(&pattern(offset, CALL_BYTES)) {
            return Err(self.wrong("another checksum"));
        }
        Ok(PREFIX_BYTES + reply.encoded_len())
    }

    fn same(&self, data: &[u8], offset: usize, length: usize) -> Result<(), Failure> {
        if data == pattern(offset, length) {
            return Ok(());
        }
        Err(self.wrong(&format!("other bytes at {offset}, {} of {length}", data.len())))
    }

    fn wrong(&self, what: &str) -> Failure {
        format!("{}: {what}", self.name).into()
    }

    fn failed(&self, what: &str, status: &Status) -> Failure {
        format!("{}: {what}: {status}", self.name).into()
    }
}

/// The body of every call of a load.
pub(crate) fn body(operation: Operation) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    match operation {
        Operation::Read => frame(&read_request(READ_OFFSET, READ_BYTES), &mut body)?,
        Operation::Download => frame(&download_request(), &mut body)?,
        Operation::Packed => frame(&groups::request(Form::Packed), &mut body)?,
        Operation::List => frame(&groups::request(Form::List), &mut body)?,
        Operation::Gather => frame(&groups::request(Form::Gather), &mut body)?,
        Operation::Session => {}
        Operation::Upload => {
            for message in upload_requests(0) {
                frame(&message, &mut body)?;
            }
        }
    }
    Ok(body)
}

/// A message with its header.
pub(crate) fn frame(message: &impl Message, body: &mut Vec<u8>) -> Result<(), Failure> {
    body.push(0);
    body.extend_from_slice(&u32::try_from(message.encoded_len())?.to_be_bytes());
    message.encode(body)?;
    Ok(())
}

fn read_request(offset: usize, length: usize) -> ReadMemoryRequest {
    ReadMemoryRequest {
        memory_id: MEMORY.to_owned(),
        uid: None,
        offset: offset as u64,
        length: length as u64,
    }
}

fn download_request() -> DownloadMemoryRequest {
    DownloadMemoryRequest {
        memory_id: MEMORY.to_owned(),
        offset: DOWNLOAD_OFFSET as u64,
        length: Some(CALL_BYTES as u64),
        chunk_bytes: Some(CHUNK_BYTES as u64),
        ..DownloadMemoryRequest::default()
    }
}

fn upload_requests(offset: usize) -> Vec<UploadMemoryRequest> {
    let data = Bytes::from(pattern(offset, CALL_BYTES));
    let mut messages: Vec<UploadMemoryRequest> = (0..CALL_BYTES)
        .step_by(CHUNK_BYTES)
        .map(|at| UploadMemoryRequest {
            data: data.slice(at..at + CHUNK_BYTES),
            ..UploadMemoryRequest::default()
        })
        .collect();
    if let Some(first) = messages.first_mut() {
        first.memory_id = Some(MEMORY.to_owned());
        first.offset = Some(offset as u64);
    }
    messages
}

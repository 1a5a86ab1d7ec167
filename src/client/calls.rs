//! One method per unary RPC of both services.
//!
//! Its law: a method takes the RPC's own message, sets a request_id where the message has one and
//! the caller gave none, repeats the call as `retry.rs` allows, and answers the resource inside the
//! response. Short forms for the commonest calls stand at the end. Streams, segments and what is for
//! operators are elsewhere.

use std::future::Future;

use bytes::Bytes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use uuid::Builder;

use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::pages::{PAGE_SIZE, every};
use crate::client::proto::memory_service_client::MemoryServiceClient;
use crate::client::proto::{
    CreateMemoryRequest, DeleteMemoryRequest, DiscardMemoryRequest, FillMemoryRequest,
    GetMemoryRequest, GetServerInfoRequest, GrowMemoryRequest, GrowMemoryResponse,
    KeepAliveMemoryRequest, KeepAliveMemoryResponse, ListMemoriesRequest, ListMemoriesResponse,
    Memory, MemorySpec, ProtectMemoryRequest, ReadMemoryRequest, ServerInfo, SetVolatilityRequest,
    UpdateMemoryRequest, VerificationReport, VerifyMemoryRequest, WriteMemoryRequest,
};
use crate::client::retry::{Attempts, Repeat};

impl Client {
    /// What the server is, can do and allows, and what the tenant uses.
    pub async fn server_info(&self) -> Result<ServerInfo, ClientError> {
        let message = GetServerInfoRequest {};
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.get_server_info(request).await
        })
        .await?
        .server_info
        .ok_or_else(|| without("server_info"))
    }

    /// Creates a memory, under a request_id.
    pub async fn create_memory(
        &self,
        mut message: CreateMemoryRequest,
    ) -> Result<Memory, ClientError> {
        set_request_id(&mut message.request_id)?;
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.create_memory(request).await
        })
        .await?
        .memory
        .ok_or_else(|| without("memory"))
    }

    /// Describes one memory.
    pub async fn get_memory(&self, message: GetMemoryRequest) -> Result<Memory, ClientError> {
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.get_memory(request).await
        })
        .await?
        .memory
        .ok_or_else(|| without("memory"))
    }

    /// Describes one page of the tenant's memories.
    pub async fn list_memories(
        &self,
        message: ListMemoriesRequest,
    ) -> Result<ListMemoriesResponse, ClientError> {
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.list_memories(request).await
        })
        .await
    }

    /// Changes display_name, labels or lease_ttl.
    pub async fn update_memory(&self, message: UpdateMemoryRequest) -> Result<Memory, ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.update_memory(request).await
        })
        .await?
        .memory
        .ok_or_else(|| without("memory"))
    }

    /// Removes a memory.
    pub async fn delete_memory(&self, message: DeleteMemoryRequest) -> Result<(), ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.delete_memory(request).await
        })
        .await
        .map(drop)
    }

    /// Starts a lease anew.
    pub async fn keep_alive_memory(
        &self,
        message: KeepAliveMemoryRequest,
    ) -> Result<KeepAliveMemoryResponse, ClientError> {
        // A second arrival only starts the lease anew once more.
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.keep_alive_memory(request).await
        })
        .await
    }

    /// Adds pages, under a request_id.
    pub async fn grow_memory(
        &self,
        mut message: GrowMemoryRequest,
    ) -> Result<GrowMemoryResponse, ClientError> {
        set_request_id(&mut message.request_id)?;
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.grow_memory(request).await
        })
        .await
    }

    /// Reads one range, at most `Limits.max_read_bytes`.
    pub async fn read_memory(&self, message: ReadMemoryRequest) -> Result<Bytes, ClientError> {
        let length = message.length;
        let response = self
            .call(Repeat::Harmless, message, async |mut stub: Stub, request| {
                stub.read_memory(request).await
            })
            .await?;
        match u64::try_from(response.data.len()) {
            Ok(found) if found == length => Ok(response.data),
            _ => Err(ClientError::Answer(format!(
                "asked for {length} bytes and got {}",
                response.data.len()
            ))),
        }
    }

    /// Writes one range, at most `Limits.max_write_bytes`.
    pub async fn write_memory(&self, message: WriteMemoryRequest) -> Result<(), ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.write_memory(request).await
        })
        .await
        .map(drop)
    }

    /// Sets every byte of a range to one value.
    pub async fn fill_memory(&self, message: FillMemoryRequest) -> Result<(), ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.fill_memory(request).await
        })
        .await
        .map(drop)
    }

    /// Sets what may be done with a range.
    pub async fn protect_memory(&self, message: ProtectMemoryRequest) -> Result<(), ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.protect_memory(request).await
        })
        .await
        .map(drop)
    }

    /// Lets the bytes of a range go, or has them stay; whether any had gone.
    pub async fn set_volatility(&self, message: SetVolatilityRequest) -> Result<bool, ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.set_volatility(request).await
        })
        .await
        .map(|response| response.was_purged)
    }

    /// Verifies a memory as far as its spec says.
    pub async fn verify(&self, memory_id: &str) -> Result<VerificationReport, ClientError> {
        let message = VerifyMemoryRequest { memory_id: memory_id.to_owned(), uid: None };
        self.verify_memory(message).await
    }

    /// Verifies a memory as far as its spec says.
    pub async fn verify_memory(
        &self,
        message: VerifyMemoryRequest,
    ) -> Result<VerificationReport, ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.verify_memory(request).await
        })
        .await
        .map(|response| response.report.unwrap_or_default())
    }

    /// Makes a range zero; how many bytes of its RAM went back to the host.
    pub async fn discard_memory(&self, message: DiscardMemoryRequest) -> Result<u64, ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.discard_memory(request).await
        })
        .await
        .map(|answer| answer.discarded_bytes)
    }

    /// Short for [`Client::create_memory`].
    pub async fn create(
        &self,
        memory_id: Option<&str>,
        spec: MemorySpec,
    ) -> Result<Memory, ClientError> {
        let memory_id = memory_id.map(str::to_owned);
        let spec = Some(spec);
        self.create_memory(CreateMemoryRequest { memory_id, spec, ..Default::default() }).await
    }

    /// Short for [`Client::get_memory`], BASIC.
    pub async fn memory(&self, memory_id: &str) -> Result<Memory, ClientError> {
        let memory_id = memory_id.to_owned();
        self.get_memory(GetMemoryRequest { memory_id, ..Default::default() }).await
    }

    /// Every memory that the selector matches, page by page.
    pub async fn list(&self, label_selector: &str) -> Result<Vec<Memory>, ClientError> {
        every(|page_token| async move {
            let message = ListMemoriesRequest {
                label_selector: label_selector.to_owned(),
                page_size: PAGE_SIZE,
                page_token,
                ..Default::default()
            };
            let page = self.list_memories(message).await?;
            Ok((page.memories, page.next_page_token))
        })
        .await
    }

    /// Short for [`Client::grow_memory`].
    pub async fn grow(
        &self,
        memory_id: &str,
        delta_pages: u64,
    ) -> Result<GrowMemoryResponse, ClientError> {
        let memory_id = memory_id.to_owned();
        self.grow_memory(GrowMemoryRequest { memory_id, delta_pages, ..Default::default() }).await
    }

    /// Short for [`Client::read_memory`].
    pub async fn read(
        &self,
        memory_id: &str,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, ClientError> {
        let memory_id = memory_id.to_owned();
        self.read_memory(ReadMemoryRequest { memory_id, uid: None, offset, length }).await
    }

    /// Short for [`Client::write_memory`].
    pub async fn write(
        &self,
        memory_id: &str,
        offset: u64,
        data: impl Into<Bytes>,
    ) -> Result<(), ClientError> {
        let (memory_id, data) = (memory_id.to_owned(), data.into());
        self.write_memory(WriteMemoryRequest { memory_id, uid: None, offset, data }).await
    }

    /// Short for [`Client::fill_memory`].
    pub async fn fill(
        &self,
        memory_id: &str,
        offset: u64,
        length: u64,
        value: u8,
    ) -> Result<(), ClientError> {
        let (memory_id, value) = (memory_id.to_owned(), u32::from(value));
        self.fill_memory(FillMemoryRequest { memory_id, uid: None, offset, length, value }).await
    }

    /// Short for [`Client::discard_memory`].
    pub async fn discard(
        &self,
        memory_id: &str,
        offset: u64,
        length: u64,
    ) -> Result<u64, ClientError> {
        let memory_id = memory_id.to_owned();
        self.discard_memory(DiscardMemoryRequest { memory_id, uid: None, offset, length }).await
    }

    /// Short for [`Client::delete_memory`]: it must exist.
    pub async fn delete(&self, memory_id: &str) -> Result<(), ClientError> {
        let memory_id = memory_id.to_owned();
        self.delete_memory(DeleteMemoryRequest { memory_id, ..Default::default() }).await
    }

    /// One call of the memories' service, repeated as `repeat` allows.
    pub(super) async fn call<Q: Clone, R, Send, Sent>(
        &self,
        repeat: Repeat,
        message: Q,
        send: Send,
    ) -> Result<R, ClientError>
    where
        Send: Fn(Stub, Request<Q>) -> Sent,
        Sent: Future<Output = Result<Response<R>, Status>>,
    {
        self.repeated(repeat, message, |request| send(self.memory_service(), request)).await
    }

    /// One call of any service: each attempt over the next connection.
    pub(super) async fn repeated<Q: Clone, R, Send, Sent>(
        &self,
        repeat: Repeat,
        message: Q,
        send: Send,
    ) -> Result<R, ClientError>
    where
        Send: Fn(Request<Q>) -> Sent,
        Sent: Future<Output = Result<Response<R>, Status>>,
    {
        let mut attempts = Attempts::begin(self.retry(), self.deadline());
        let mut message = Some(message);
        loop {
            let left = attempts.start()?;
            // Only a call that may be repeated pays for a copy of its message.
            let copy = if attempts.is_last() { message.take() } else { message.clone() };
            let Some(copy) = copy else { return Err(ClientError::DeadlinePassed) };
            match send(self.request_within(copy, left)).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => attempts.pause_after(status.into(), repeat).await?,
            }
        }
    }
}

pub(super) type Stub = MemoryServiceClient<Channel>;

pub(super) fn without(field: &str) -> ClientError {
    ClientError::Answer(format!("a response without `{field}`"))
}

pub(super) fn set_request_id(request_id: &mut Option<String>) -> Result<(), ClientError> {
    if request_id.is_none() {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| ClientError::Random(error.to_string()))?;
        *request_id = Some(Builder::from_random_bytes(bytes).into_uuid().to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_call_can_be_spawned() {
        fn sendable<T: Send>(_: T) {}
        let endpoint = "http://127.0.0.1:1".parse().unwrap();
        let options = crate::client::ConnectOptions::new(endpoint);
        let client = Client::connect_lazy(&options).unwrap();
        sendable(client.read("m", 0, 1));
        sendable(client.list(""));
        let upload = crate::client::Upload::to("m");
        sendable(client.upload(upload, tokio::io::empty(), |_| ()));
        let sink = &mut tokio::io::sink();
        sendable(client.download_to(Default::default(), sink, |_| ()));
    }

    #[test]
    fn a_request_id_is_a_uuid_v4_and_the_callers_own_is_kept() {
        let mut id = None;
        set_request_id(&mut id).unwrap();
        let made = uuid::Uuid::parse_str(id.as_deref().unwrap()).unwrap();
        assert_eq!(made.get_version_num(), 4);
        let mut own = Some("mine".to_owned());
        set_request_id(&mut own).unwrap();
        assert_eq!(own.as_deref(), Some("mine"));
    }
}

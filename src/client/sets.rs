//! Memory sets: MemoryService's calls about them.
//!
//! Its law: that of `calls.rs`.

use crate::client::calls::{Stub, set_request_id, without};
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::pages::{PAGE_SIZE, every};
use crate::client::proto::{
    CreateMemorySetRequest, DeleteMemorySetRequest, GetMemorySetRequest, ListMemorySetsRequest,
    ListMemorySetsResponse, MemorySet,
};
use crate::client::retry::Repeat;

impl Client {
    /// Creates a set and its memories, all or none, under a request_id.
    pub async fn create_memory_set(
        &self,
        mut message: CreateMemorySetRequest,
    ) -> Result<MemorySet, ClientError> {
        set_request_id(&mut message.request_id)?;
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.create_memory_set(request).await
        })
        .await?
        .memory_set
        .ok_or_else(|| without("memory_set"))
    }

    /// Describes one set and its memories.
    pub async fn memory_set(&self, set_id: &str) -> Result<MemorySet, ClientError> {
        let message = GetMemorySetRequest { set_id: set_id.to_owned() };
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.get_memory_set(request).await
        })
        .await?
        .memory_set
        .ok_or_else(|| without("memory_set"))
    }

    /// Describes one page of the tenant's sets.
    pub async fn list_memory_sets(
        &self,
        message: ListMemorySetsRequest,
    ) -> Result<ListMemorySetsResponse, ClientError> {
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.list_memory_sets(request).await
        })
        .await
    }

    /// All of them, page by page.
    pub async fn memory_sets(&self) -> Result<Vec<MemorySet>, ClientError> {
        every(|page_token| async move {
            let message = ListMemorySetsRequest { page_size: PAGE_SIZE, page_token };
            let page = self.list_memory_sets(message).await?;
            Ok((page.memory_sets, page.next_page_token))
        })
        .await
    }

    /// Ends a set and every memory of it that is still there.
    pub async fn delete_memory_set(
        &self,
        set_id: &str,
        allow_missing: bool,
    ) -> Result<(), ClientError> {
        let message = DeleteMemorySetRequest { set_id: set_id.to_owned(), allow_missing };
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.delete_memory_set(request).await
        })
        .await
        .map(drop)
    }
}

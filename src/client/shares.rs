//! Shares: MemoryService's calls about them.
//!
//! Its law: that of `calls.rs`. A share whose answer was lost is there, in the list.

use crate::client::calls::{Stub, without};
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::pages::{PAGE_SIZE, every};
use crate::client::proto::{
    ListSharesRequest, ListSharesResponse, Memory, MountShareRequest, RevokeShareRequest, Share,
    ShareDirection, ShareMemoryRequest,
};
use crate::client::retry::Repeat;

impl Client {
    /// Gives another tenant a share of a memory.
    pub async fn share_memory(&self, message: ShareMemoryRequest) -> Result<Share, ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.share_memory(request).await
        })
        .await?
        .share
        .ok_or_else(|| without("share"))
    }

    /// Describes one page of the tenant's shares.
    pub async fn list_shares(
        &self,
        message: ListSharesRequest,
    ) -> Result<ListSharesResponse, ClientError> {
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.list_shares(request).await
        })
        .await
    }

    /// All of them, page by page.
    pub async fn shares(&self, direction: ShareDirection) -> Result<Vec<Share>, ClientError> {
        every(|page_token| async move {
            let message =
                ListSharesRequest { direction: direction.into(), page_size: PAGE_SIZE, page_token };
            let page = self.list_shares(message).await?;
            Ok((page.shares, page.next_page_token))
        })
        .await
    }

    /// Gives a share a name among the tenant's memories; the server's choice where there is none.
    pub async fn mount_share(
        &self,
        share_id: &str,
        memory_id: Option<&str>,
    ) -> Result<Memory, ClientError> {
        let (share_id, memory_id) = (share_id.to_owned(), memory_id.map(str::to_owned));
        let message = MountShareRequest { share_id, memory_id };
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.mount_share(request).await
        })
        .await?
        .memory
        .ok_or_else(|| without("memory"))
    }

    /// Ends a share, as its owner or its grantee.
    pub async fn revoke_share(
        &self,
        share_id: &str,
        allow_missing: bool,
    ) -> Result<(), ClientError> {
        let message = RevokeShareRequest { share_id: share_id.to_owned(), allow_missing };
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.revoke_share(request).await
        })
        .await
        .map(drop)
    }
}

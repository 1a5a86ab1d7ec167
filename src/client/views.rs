//! Views: MemoryService's calls about them.
//!
//! Its law: that of `calls.rs`. A refresh whose answer may have been lost is repeated only where the caller
//! said which version it has: else a change that was told once would never be told again.

use crate::client::calls::Stub;
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::proto::{
    CloseViewRequest, OpenViewRequest, OpenViewResponse, RefreshViewRequest, RefreshViewResponse,
};
use crate::client::retry::Repeat;

impl Client {
    /// Opens a view.
    pub async fn open_view(
        &self,
        message: OpenViewRequest,
    ) -> Result<OpenViewResponse, ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.open_view(request).await
        })
        .await
    }

    /// Looks at what a view shows and starts its lease anew.
    pub async fn refresh_view(
        &self,
        message: RefreshViewRequest,
    ) -> Result<RefreshViewResponse, ClientError> {
        let repeat = if message.version.is_some() { Repeat::Harmless } else { Repeat::Effective };
        self.call(repeat, message, async |mut stub: Stub, request| stub.refresh_view(request).await)
            .await
    }

    /// Ends a view.
    pub async fn close_view(&self, view_id: &str, allow_missing: bool) -> Result<(), ClientError> {
        let message = CloseViewRequest { view_id: view_id.to_owned(), allow_missing };
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.close_view(request).await
        })
        .await
        .map(drop)
    }
}

//! Statistics: MemoryService's call about them.
//!
//! Its law: that of `calls.rs`. A reset is not repeated blindly: it would throw away what was counted since.

use crate::client::calls::{Stub, without};
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::proto::{Memory, ResetMemoryStatsRequest};
use crate::client::retry::Repeat;

impl Client {
    /// Begins a memory's statistics anew.
    pub async fn reset_memory_stats(
        &self,
        message: ResetMemoryStatsRequest,
    ) -> Result<Memory, ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.reset_memory_stats(request).await
        })
        .await?
        .memory
        .ok_or_else(|| without("memory"))
    }

    /// Short for [`Client::reset_memory_stats`].
    pub async fn reset_stats(&self, memory_id: &str) -> Result<Memory, ClientError> {
        let memory_id = memory_id.to_owned();
        self.reset_memory_stats(ResetMemoryStatsRequest { memory_id, uid: None }).await
    }
}

//! Waiting for an address of a shared memory, and waking those who wait.
//!
//! Its law: that of `calls.rs`. Neither is repeated where the first may have been carried out: a wake is
//! for one wait, and is lost with an answer that is lost.

use std::time::Duration;

use crate::client::calls::Stub;
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::proto::{NotifyAddressRequest, WaitOnAddressRequest, WaitOutcome};
use crate::client::retry::Repeat;

impl Client {
    /// Waits for an address to be notified, if the bytes there are the expected ones; how that ended.
    pub async fn wait_on_address(
        &self,
        message: WaitOnAddressRequest,
    ) -> Result<WaitOutcome, ClientError> {
        let answer = self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.wait_on_address(request).await
        });
        let outcome = answer.await?.outcome;
        WaitOutcome::try_from(outcome)
            .map_err(|_unknown| ClientError::Answer(format!("the unknown outcome {outcome}")))
    }

    /// Wakes those who wait for an address; how many.
    pub async fn notify_address(&self, message: NotifyAddressRequest) -> Result<u32, ClientError> {
        let answer = self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.notify_address(request).await
        });
        answer.await.map(|answer| answer.woken_count)
    }

    /// Short for [`Client::wait_on_address`] of four bytes.
    pub async fn wait32(
        &self,
        memory_id: &str,
        address: u64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<WaitOutcome, ClientError> {
        self.wait(memory_id, address, 4, expected.into(), timeout).await
    }

    /// Short for [`Client::wait_on_address`] of eight bytes.
    pub async fn wait64(
        &self,
        memory_id: &str,
        address: u64,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<WaitOutcome, ClientError> {
        self.wait(memory_id, address, 8, expected, timeout).await
    }

    /// Short for [`Client::notify_address`]; absent: all.
    pub async fn notify(
        &self,
        memory_id: &str,
        address: u64,
        count: Option<u32>,
    ) -> Result<u32, ClientError> {
        let memory_id = memory_id.to_owned();
        self.notify_address(NotifyAddressRequest { memory_id, uid: None, address, count }).await
    }

    async fn wait(
        &self,
        memory_id: &str,
        address: u64,
        width: u32,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<WaitOutcome, ClientError> {
        // Longer than the protocol can say is for ever.
        let timeout = timeout.and_then(|timeout| timeout.try_into().ok());
        let memory_id = memory_id.to_owned();
        self.wait_on_address(WaitOnAddressRequest {
            memory_id,
            uid: None,
            address,
            width,
            expected,
            timeout,
        })
        .await
    }
}

//! The part of [`Access`] that waits for an address, and wakes those who wait.
//!
//! Law: as `access.rs`; apart from it for its length alone. The seat is the caller's tenant's.

use std::future::Future;
use std::sync::Arc;

use crate::error::Failure;
use crate::metrics::{TenantMeters, Trap};
use crate::model::{Now, ShareAccess};
use crate::registry::{Expected, Found, Gate, Share, Waited};
use crate::tenancy::access::{Access, Occasion, Target};

impl Access {
    /// Waits for an address to be notified, if the bytes there are the expected ones.
    ///
    /// # Errors
    /// As [`Self::find`] and [`crate::registry::Registry::wait`].
    pub async fn wait(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        address: u64,
        expected: Expected,
    ) -> Result<Waited, Failure> {
        let found = self.reach(target, occasion.now)?;
        self.wait_on(&found, address, expected, Arc::clone(&occasion.gate)).await
    }

    /// The same for a memory that was found before. Owns all that it needs.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::wait`].
    pub fn wait_on(
        &self,
        found: &Found,
        address: u64,
        expected: Expected,
        gate: Arc<Gate>,
    ) -> impl Future<Output = Result<Waited, Failure>> + Send + use<> {
        let (tenant, share) = (Arc::clone(&self.tenant), found.share().map(Arc::clone));
        let (record, look) = (Arc::clone(found.record()), Arc::clone(&gate));
        let waited = self.registry.wait(&tenant.namespace, record, address, expected, look);
        async move {
            let waited = match share {
                None => waited.await,
                Some(share) => match share.through(ShareAccess::Read, &gate, waited) {
                    Ok(waited) => waited.await.map(|waited| waited.until(&share)),
                    Err(failure) => Err(failure),
                },
            };
            waited.inspect_err(|failure| note(&tenant.meters, failure))
        }
    }

    /// Wakes those who wait for an address, `count` at most; how many.
    ///
    /// # Errors
    /// As [`Self::find`] and [`crate::registry::Registry::notifiable`].
    pub fn notify(
        &self,
        target: Target<'_>,
        address: u64,
        count: u32,
        now: Now,
    ) -> Result<u32, Failure> {
        let found = self.reach(target, now)?;
        let pass = |share: &Arc<Share>| share.pass(ShareAccess::ReadWrite, &Gate::new());
        let _passage = found.share().map(pass).transpose()?;
        let notifiable = self.registry.notifiable(found.record(), address);
        notifiable.inspect_err(|failure| note(&self.tenant.meters, failure))?;
        Ok(self.registry.notify(found.record(), address, count))
    }
}

/// Counts a trap.
fn note(meters: &TenantMeters, failure: &Failure) {
    match failure {
        Failure::OutOfBounds(_) => meters.trapped(Trap::OutOfBounds),
        Failure::Unaligned { .. } => meters.trapped(Trap::Unaligned),
        Failure::ExpectedShared => meters.trapped(Trap::ExpectedShared),
        Failure::Protected { .. } => meters.trapped(Trap::Protected),
        Failure::Purged { .. } => meters.trapped(Trap::Purged),
        _ => {}
    }
}

//! The part of [`Access`] for what tenants share, and the way to memories that others own.
//!
//! Law: as `access.rs`. [`Access::find`] finds the tenant's own memories and nothing else, so that what
//! does not ask for more is its owner's to do; who comes by [`Access::reach`] goes on by
//! [`Access::through`], which asks the share.

use std::future::Future;
use std::sync::Arc;

use crate::error::Failure;
use crate::memory::Sources;
use crate::model::{AccessKind, MemoryId, Now, ShareAccess, ShareId};
use crate::registry::{Found, Gate, NewShare, Share};
use crate::tenancy::access::{Access, Occasion, Target};
use crate::units::ByteRange;

impl Access {
    /// Finds a memory, the tenant's own or one that is shared with it.
    ///
    /// # Errors
    /// MEMORY_NOT_FOUND, UID_MISMATCH.
    pub fn reach(&self, target: Target<'_>, now: Now) -> Result<Found, Failure> {
        self.tenant.namespace.reach(target.id, target.uid, now)
    }

    /// Why there is no memory of the tenant's own: more is asked of one that is shared with it, where
    /// there is that.
    #[cold]
    pub(super) fn not_own(&self, target: Target<'_>, failure: Failure, now: Now) -> Failure {
        match (&failure, self.reach(target, now)) {
            (Failure::MemoryNotFound { .. }, Ok(Found::Lent(share))) => share.beyond(),
            (Failure::MemoryNotFound { .. }, Err(failure)) => failure,
            _ => failure,
        }
    }

    /// Carries out what needs no more of a memory than this. Its failures are told by the caller's names.
    ///
    /// # Errors
    /// GRANT_READ_ONLY, GRANT_REVOKED, and what the work says.
    pub async fn through<T>(
        &self,
        found: &Found,
        needs: ShareAccess,
        gate: &Arc<Gate>,
        work: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        match found.share() {
            None => work.await,
            Some(share) => share.through(needs, gate, work)?.await,
        }
    }

    /// Gives another tenant a share of a memory.
    ///
    /// # Errors
    /// As [`Self::find`] and [`crate::registry::Registry::share`].
    pub fn share(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        new: NewShare,
    ) -> Result<Arc<Share>, Failure> {
        let Occasion { now, gate } = occasion;
        let record = self.find(target, *now)?;
        self.registry.share(&self.tenant.namespace, record, new, *now, gate)
    }

    /// Gives a share that was given to the tenant a name among its memories.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::mount`].
    pub fn mount(
        &self,
        occasion: &Occasion,
        id: &ShareId,
        name: Option<MemoryId>,
    ) -> Result<Arc<Share>, Failure> {
        let Occasion { now, gate } = occasion;
        self.registry.mount(&self.tenant.namespace, id, name, *now, gate)
    }

    /// Ends a share that the tenant gave or was given.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::revoke_share`].
    pub async fn revoke_share(&self, occasion: &Occasion, id: &ShareId) -> Result<(), Failure> {
        let Occasion { now, gate } = occasion;
        self.registry.revoke_share(&self.tenant.namespace, id, *now, gate).await
    }

    /// A page of those that it gave, or was given, and, where there are more, the last id looked at.
    #[must_use]
    pub fn shares(
        &self,
        given_or_received: [bool; 2],
        after: Option<&ShareId>,
        most: usize,
        now: Now,
    ) -> (Vec<Arc<Share>>, Option<ShareId>) {
        let namespace = &self.tenant.namespace;
        self.registry.list_shares(namespace, given_or_received, after, most, now)
    }

    /// Ends a share if its time is over.
    pub fn expire_share(&self, share: &Arc<Share>, now: Now) {
        self.registry.expire_share(share, now);
    }

    /// Reads a range by a share.
    pub(super) async fn read_lent(
        &self,
        occasion: &Occasion,
        share: Arc<Share>,
        range: ByteRange,
        out: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let record = Arc::clone(share.record());
        let read = self.read_range(occasion, record, range, out, AccessKind::Read);
        share.through(ShareAccess::Read, &occasion.gate, read)?.await
    }

    /// Writes by one.
    pub(super) async fn write_lent(
        &self,
        occasion: &Occasion,
        share: Arc<Share>,
        offset: u64,
        data: Sources,
    ) -> Result<(), Failure> {
        let (record, kind) = (Arc::clone(share.record()), AccessKind::Write);
        let write = self.write_at(occasion, record, offset, data, kind, |_written| ());
        share.through(ShareAccess::ReadWrite, &occasion.gate, write)?.await
    }
}

//! [`Shares`]: all tenants' shares, by who they are for and by when they run out; [`Mounts`]: those that
//! have a name in one namespace.
//!
//! Law: a share is found by its id only by one of its two; to everybody else it is as one that is not
//! there. Each lock is held for a look or a change; what is told of a mount's coming and going is told
//! under the lock of its namespace's. What a tenant gave is in its namespace (`by_name.rs`).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Instant;

use crate::error::Failure;
use crate::model::{MemoryId, Now, ShareId, TenantName};
use crate::registry::directory::Listing;
use crate::registry::share::{MOST_MOUNTS, Share};

/// All shares that are not over.
#[derive(Debug, Default)]
pub(in crate::registry) struct Shares {
    received: RwLock<BTreeMap<TenantName, BTreeMap<ShareId, Arc<Share>>>>,
    /// Those that run out.
    ends: Mutex<BTreeMap<(Instant, ShareId), Weak<Share>>>,
}

impl Shares {
    /// For [`Share::settle`] alone, which looks at its life afterwards.
    pub(super) fn put(&self, share: &Arc<Share>) {
        if let Some(expiry) = share.expiry() {
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.insert((expiry, share.id.clone()), Arc::downgrade(share));
        }
        let mut received = self.received.write().unwrap_or_else(PoisonError::into_inner);
        let to = received.entry(share.grantee.clone()).or_default();
        to.insert(share.id.clone(), Arc::clone(share));
    }

    pub(in crate::registry) fn forget(&self, share: &Share) {
        if let Some(expiry) = share.expiry() {
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.remove(&(expiry, share.id.clone()));
        }
        let mut received = self.received.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(to) = received.get_mut(&share.grantee) {
            to.remove(&share.id);
            if to.is_empty() {
                received.remove(&share.grantee);
            }
        }
    }

    /// A share for this tenant.
    pub(in crate::registry) fn find(&self, grantee: &TenantName, id: &str) -> Option<Arc<Share>> {
        let received = self.received.read().unwrap_or_else(PoisonError::into_inner);
        received.get(grantee)?.get(id).map(Arc::clone)
    }

    /// Up to `most` for this tenant after an id, in order.
    pub(in crate::registry) fn list(
        &self,
        grantee: &TenantName,
        after: Option<&ShareId>,
        most: usize,
    ) -> Vec<Arc<Share>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let received = self.received.read().unwrap_or_else(PoisonError::into_inner);
        let Some(to) = received.get(grantee) else { return Vec::new() };
        to.range::<ShareId, _>((from, Bound::Unbounded))
            .take(most)
            .map(|(_, share)| Arc::clone(share))
            .collect()
    }

    /// Those that have run out.
    pub(in crate::registry) fn run_out(&self, now: Now) -> Vec<Arc<Share>> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let due = ends.iter().take_while(|((expiry, _), _)| *expiry <= now.steady);
        due.filter_map(|(_, share)| share.upgrade()).collect()
    }
}

/// The shares that have a name in one namespace.
#[derive(Debug, Default)]
pub(in crate::registry) struct Mounts(RwLock<BTreeMap<MemoryId, Arc<Share>>>);

impl Mounts {
    /// One that counts.
    pub(in crate::registry) fn find(&self, id: &MemoryId, now: Now) -> Option<Arc<Share>> {
        self.get(id).filter(|share| share.is_there(now))
    }

    pub(in crate::registry) fn get(&self, id: &MemoryId) -> Option<Arc<Share>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).map(Arc::clone)
    }

    /// That a name is none of theirs.
    pub(in crate::registry) fn admit(&self, id: &MemoryId) -> Result<(), Failure> {
        match self.get(id) {
            Some(_share) => Err(Failure::MemoryExists { memory_id: id.clone() }),
            None => Ok(()),
        }
    }

    /// Gives one a name; `commit` has the last word.
    pub(in crate::registry) fn insert(
        &self,
        id: &MemoryId,
        share: &Arc<Share>,
        commit: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut mounts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if mounts.contains_key(id) {
            return Err(Failure::MemoryExists { memory_id: id.clone() });
        }
        if mounts.len() >= MOST_MOUNTS {
            return Err(Failure::QuotaExceeded {
                limit_name: "mounts",
                limit: MOST_MOUNTS as u64,
                used: mounts.len() as u64,
                asked: 1,
            });
        }
        commit()?;
        mounts.insert(id.clone(), Arc::clone(share));
        Ok(())
    }

    /// Takes exactly this one out, and tells of it if it was there.
    pub(in crate::registry) fn remove(
        &self,
        id: &MemoryId,
        share: &Arc<Share>,
        tell: impl FnOnce(),
    ) -> bool {
        let mut mounts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_there = mounts.get(id).is_some_and(|there| Arc::ptr_eq(there, share));
        if is_there {
            mounts.remove(id);
            tell();
        }
        is_there
    }

    /// Puts those that `wanted` accepts where they belong in a page of the namespace's own memories.
    pub(in crate::registry) fn join(
        &self,
        listing: &mut Listing,
        after: Option<&MemoryId>,
        page_size: usize,
        wanted: impl Fn(&Share) -> bool,
    ) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = listing.next.as_ref().map_or(Bound::Unbounded, Bound::Included);
        if matches!((from, to), (Bound::Excluded(from), Bound::Included(to)) if from >= to) {
            return;
        }
        {
            let mounts = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let page = mounts.range::<MemoryId, _>((from, to)).map(|(_, share)| share);
            let page = page.filter(|share| wanted(share)).take(page_size.saturating_add(1));
            listing.mounts.extend(page.map(Arc::clone));
        }
        let own = listing.records.iter().map(|record| &record.id);
        let mounted = listing.mounts.iter().filter_map(|share| share.name());
        let mut names: Vec<&MemoryId> = own.chain(mounted).collect();
        names.sort_unstable();
        if names.len() > page_size
            && let Some(last) = page_size.checked_sub(1).and_then(|last| names.get(last))
        {
            let last = (*last).clone();
            listing.records.retain(|record| record.id <= last);
            listing.mounts.retain(|share| share.name().is_some_and(|name| *name <= last));
            listing.next = Some(last);
        }
    }
}

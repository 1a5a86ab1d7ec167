//! [`Leases`]: which memories end by themselves, and when.
//!
//! Law: a lease is looked at where it stands, in the record; this only says when to look. A memory has one
//! entry here at most, under the moment that its record remembers: it moves with the lease and goes with
//! the memory. It may be early (the lease was renewed) and is then put back, never late. Time is an
//! argument.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::model::{Now, Uuid};
use crate::registry::record::Record;

type Entries = BTreeMap<(Instant, Uuid), Weak<Record>>;

/// All memories with a lease, by when to look at it.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Entries>);

impl Leases {
    /// To be called whenever a memory comes to have a lease, another one or none. Of one that has ended
    /// nothing is kept.
    pub(super) fn watch(&self, record: &Arc<Record>) {
        let mut entries = self.entries();
        let end = record.expiry().filter(|_end| !record.has_ended());
        if let Some(before) = record.file_lease(end) {
            entries.remove(&(before, record.uid));
        }
        if let Some(end) = end {
            entries.insert((end, record.uid), Arc::downgrade(record));
        }
    }

    /// The memory has ended.
    pub(super) fn forget(&self, record: &Record) {
        let mut entries = self.entries();
        if let Some(before) = record.file_lease(None) {
            entries.remove(&(before, record.uid));
        }
    }

    /// The memories whose leases have run out, from now on for good.
    pub(super) fn expired(&self, now: Now) -> Vec<Arc<Record>> {
        let mut expired = Vec::new();
        while let Some(record) = self.take_due(now) {
            if record.expire(now) {
                expired.push(record);
            } else {
                self.watch(&record);
            }
        }
        expired
    }

    /// A memory whose lease is to be looked at, which has no entry any more.
    fn take_due(&self, now: Now) -> Option<Arc<Record>> {
        let mut entries = self.entries();
        while let Some(first) = entries.first_entry()
            && first.key().0 <= now.steady
        {
            if let Some(record) = first.remove().upgrade() {
                record.file_lease(None);
                return Some(record);
            }
        }
        None
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Nobody panics in the middle of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(all(test, not(linmemd_loom)))]
    pub(super) fn count(&self) -> usize {
        self.entries().len()
    }
}

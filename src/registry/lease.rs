//! [`Leases`]: which memories end by themselves, and when.
//!
//! Law: a lease is looked at where it stands, in the record; this only says when to look. A memory has one
//! entry here at most: it moves with the lease and goes with the memory. It may be early (the lease was
//! renewed) and is then put back, never late. Time is an argument.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::model::{Now, Uuid};
use crate::registry::record::Record;

/// All memories with a lease.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Entries>);

/// Each is in both; in no field of the record, for a million memories without a lease would have it too.
#[derive(Debug, Default)]
struct Entries {
    /// By when to look at it.
    by_time: BTreeMap<(Instant, Uuid), Weak<Record>>,
    times: BTreeMap<Uuid, Instant>,
}

impl Leases {
    /// To be called whenever a memory comes to have a lease, another one or none. Of one that has ended
    /// nothing is kept.
    pub(super) fn watch(&self, record: &Arc<Record>) {
        let mut entries = self.entries();
        entries.remove(record.uid);
        if let Some(end) = record.expiry().filter(|_end| !record.has_ended()) {
            entries.times.insert(record.uid, end);
            entries.by_time.insert((end, record.uid), Arc::downgrade(record));
        }
    }

    /// The memory has ended.
    pub(super) fn forget(&self, record: &Record) {
        self.entries().remove(record.uid);
    }

    /// The memories whose leases have run out, from now on for good.
    pub(super) fn expired(&self, now: Now) -> Vec<Arc<Record>> {
        let mut expired = Vec::new();
        while let Some(due) = self.take_due(now) {
            let Some(record) = due.upgrade() else { continue };
            if record.expire(now) {
                expired.push(record);
            } else {
                self.watch(&record);
            }
        }
        expired
    }

    /// A memory whose lease is to be looked at, which has no entry any more.
    fn take_due(&self, now: Now) -> Option<Weak<Record>> {
        let mut entries = self.entries();
        let (at, uid) = *entries.by_time.first_key_value()?.0;
        if at > now.steady {
            return None;
        }
        entries.remove(uid)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Nobody panics in the middle of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(all(test, not(linmemd_loom)))]
    pub(super) fn count(&self) -> usize {
        let entries = self.entries();
        assert_eq!(entries.times.len(), entries.by_time.len());
        entries.times.len()
    }
}

impl Entries {
    fn remove(&mut self, uid: Uuid) -> Option<Weak<Record>> {
        let at = self.times.remove(&uid)?;
        self.by_time.remove(&(at, uid))
    }
}

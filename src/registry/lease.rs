//! [`Leases`]: which memories end by themselves, and when.
//!
//! Law: a lease is looked at where it stands, in the record; this heap only says when to look. An
//! entry may be early (the lease was renewed) and is then put back, never late. Time is an argument.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use crate::model::Now;
use crate::registry::record::Record;

#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<BinaryHeap<Reverse<Look>>>);

#[derive(Debug)]
struct Look {
    at: Instant,
    record: Weak<Record>,
}

impl Leases {
    /// To be called whenever a memory comes to have a lease or another one.
    pub(super) fn watch(&self, record: &Arc<Record>) {
        if let Some(at) = record.expiry() {
            self.push(at, Arc::downgrade(record));
        }
    }

    /// The memories whose leases have run out, from now on for good.
    pub(super) fn expired(&self, now: Now) -> Vec<Arc<Record>> {
        let mut expired = Vec::new();
        while let Some(look) = self.pop_before(now.steady) {
            let Some(record) = look.record.upgrade() else { continue };
            if record.expire(now) {
                expired.push(record);
            } else if let Some(at) = record.expiry() {
                self.push(at, look.record);
            }
        }
        expired
    }

    fn push(&self, at: Instant, record: Weak<Record>) {
        let mut heap = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heap.push(Reverse(Look { at, record }));
    }

    fn pop_before(&self, moment: Instant) -> Option<Look> {
        let mut heap = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heap.peek()?.0.at > moment {
            return None;
        }
        heap.pop().map(|Reverse(look)| look)
    }
}

impl PartialEq for Look {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Look {}

impl PartialOrd for Look {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Look {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

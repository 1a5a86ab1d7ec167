//! [`Quota`]: so many of one kind for one tenant, of what is not in the ledger.
//!
//! Law: taken before what it is for is there, and given back by `Drop`. A limit may be lowered below what
//! is taken: nothing is taken back, and no more is given out. Does not know what it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many.
#[derive(Debug)]
pub(super) struct Quota {
    limit: AtomicU64,
    taken: AtomicU64,
}

/// Some of them. Given back when dropped.
#[must_use = "given back when dropped"]
#[derive(Debug)]
pub(super) struct Taken {
    quota: Arc<Quota>,
    count: u64,
}

/// There are not as many left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) limit: u64,
    pub(super) used: u64,
}

impl Quota {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit: AtomicU64::new(limit), taken: AtomicU64::new(0) })
    }

    pub(super) fn take(self: &Arc<Self>, count: u64) -> Result<Taken, Full> {
        let limit = self.limit();
        let more = |taken: u64| taken.checked_add(count).filter(|taken| *taken <= limit);
        match self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more) {
            Ok(_before) => Ok(Taken { quota: Arc::clone(self), count }),
            Err(used) => Err(Full { limit, used }),
        }
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.quota.taken.fetch_sub(self.count, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_limit_is_there_and_a_lowered_one_gives_no_more_out() {
        let quota = Quota::new(10);
        let first = quota.take(7).unwrap();
        let second = quota.take(3).unwrap();
        assert_eq!(quota.take(1).unwrap_err(), Full { limit: 10, used: 10 });
        quota.set_limit(4);
        drop(second);
        assert_eq!(quota.take(1).unwrap_err(), Full { limit: 4, used: 7 });
        drop(first);
        assert_eq!(quota.taken(), 0);
        assert!(quota.take(u64::MAX).is_err());
    }
}

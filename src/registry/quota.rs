//! [`Quota`]: so many of one kind for one tenant, of what is not in the ledger.
//!
//! Law: taken before what it is for is there, and given back by `Drop`. Does not know what it counts.

use std::sync::Arc;

use crate::registry::counter::{Counter, Full};

/// So many.
#[derive(Debug)]
pub(super) struct Quota(Counter);

/// Some of them. Given back when dropped.
#[must_use = "given back when dropped"]
#[derive(Debug)]
pub(super) struct Taken {
    quota: Arc<Quota>,
    count: u64,
}

impl Quota {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self(Counter::new(limit)))
    }

    pub(super) fn take(self: &Arc<Self>, count: u64) -> Result<Taken, Full> {
        self.0.admit(count).map(|()| Taken { quota: Arc::clone(self), count })
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.0.set_limit(limit);
    }

    pub(super) fn limit(&self) -> u64 {
        self.0.limit()
    }

    pub(super) fn taken(&self) -> u64 {
        self.0.used()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.quota.0.give_back(self.count);
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

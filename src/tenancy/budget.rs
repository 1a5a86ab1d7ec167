//! [`Budget`]: so much at once, for one tenant and for all together; [`Held`]: a part of it.
//!
//! Law: held before anything is buffered or begun, given back by `Drop`. The tenant's part is looked
//! at first, so that one tenant's excess is never another's refusal. Does not know what is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Failure;

/// When to try again what was refused for too much at once.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// So much at once.
#[derive(Debug)]
pub struct Budget {
    limit_name: &'static str,
    limit: u64,
    used: AtomicU64,
    refused: AtomicU64,
}

impl Budget {
    /// A budget of which nothing is held.
    #[must_use]
    pub fn new(limit_name: &'static str, limit: u64) -> Arc<Self> {
        Arc::new(Self { limit_name, limit, used: AtomicU64::new(0), refused: AtomicU64::new(0) })
    }

    /// How much there may be.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// How much is held.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// How often it was refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Holds so much until the value is dropped.
    ///
    /// # Errors
    /// [`Failure::Overloaded`] naming the limit.
    pub fn hold(self: &Arc<Self>, amount: u64) -> Result<Held, Failure> {
        let sum = self.used.fetch_add(amount, Ordering::AcqRel).saturating_add(amount);
        let held = Held { budget: Arc::clone(self), amount };
        if sum <= self.limit {
            return Ok(held);
        }
        drop(held);
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(Failure::Overloaded {
            limit_name: self.limit_name,
            limit: self.limit,
            after: RETRY_AFTER,
        })
    }
}

/// A part of a budget. Dropped, it is given back.
#[must_use = "given back when dropped"]
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    amount: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.amount, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_holds_nothing_and_what_is_dropped_comes_back() {
        let budget = Budget::new("in_flight_bytes", 10);
        let held = budget.hold(10).unwrap();
        assert!(matches!(budget.hold(1), Err(Failure::Overloaded { limit: 10, .. })));
        assert_eq!((budget.used(), budget.refused()), (10, 1));
        drop(held);
        assert_eq!(budget.used(), 0);
    }
}

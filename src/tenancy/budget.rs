//! [`Budget`]: so much at once, for one tenant or for all together.
//!
//! Law: taken before anything is buffered or begun; whoever takes gives back as much, by `Drop`. Does
//! not know what is taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Failure;

/// When to try again what was refused for too much at once.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// So much at once.
#[derive(Debug)]
pub struct Budget {
    limit_name: &'static str,
    limit: AtomicU64,
    used: AtomicU64,
    /// Whether who is refused is told how much of it is used.
    is_told: bool,
}

impl Budget {
    /// A budget of all tenants together of which nothing is taken. What others use of it is nobody's to
    /// know.
    #[must_use]
    pub const fn new(limit_name: &'static str, limit: u64) -> Self {
        let (limit, used) = (AtomicU64::new(limit), AtomicU64::new(0));
        Self { limit_name, limit, used, is_told: false }
    }

    /// The same for one tenant.
    #[must_use]
    pub const fn of_tenant(limit_name: &'static str, limit: u64) -> Self {
        Self { is_told: true, ..Self::new(limit_name, limit) }
    }

    /// How much there may be.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Another limit from now on. What is taken stays so.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// How much is taken.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes so much, to be given back.
    ///
    /// # Errors
    /// [`Failure::Overloaded`] naming the limit; nothing is taken.
    pub fn take(&self, amount: u64) -> Result<(), Failure> {
        self.take_up_to(self.limit(), amount)
    }

    /// The same, but only if half of the budget stays free: for what others' need goes before.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_of_half(&self, amount: u64) -> Result<(), Failure> {
        self.take_up_to(self.limit() / 2, amount)
    }

    /// Takes so much, even past the limit: of what is there already, so that the next one is refused.
    pub fn take_anyway(&self, amount: u64) {
        self.used.fetch_add(amount, Ordering::AcqRel);
    }

    fn take_up_to(&self, most: u64, amount: u64) -> Result<(), Failure> {
        let sum = self.used.fetch_add(amount, Ordering::AcqRel).saturating_add(amount);
        if sum <= most {
            return Ok(());
        }
        self.give_back(amount);
        Err(Failure::Overloaded {
            limit_name: self.limit_name,
            limit: self.limit(),
            used: self.is_told.then(|| sum.saturating_sub(amount)),
            after: RETRY_AFTER,
        })
    }

    /// Gives back what was taken.
    pub fn give_back(&self, amount: u64) {
        self.used.fetch_sub(amount, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_takes_nothing_and_what_is_given_back_is_there_again() {
        let budget = Budget::new("in_flight_bytes", 10);
        budget.take(10).unwrap();
        assert!(matches!(budget.take(1), Err(Failure::Overloaded { limit: 10, .. })));
        assert_eq!(budget.used(), 10);
        budget.give_back(10);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_lowered_limit_takes_nothing_back_and_gives_no_more_out() {
        let budget = Budget::of_tenant("tenant_handlers", 3);
        budget.take(3).unwrap();
        budget.set_limit(2);
        let refused = budget.take(1);
        assert!(matches!(refused, Err(Failure::Overloaded { limit: 2, used: Some(3), .. })));
        budget.give_back(2);
        budget.take(1).unwrap();
        assert_eq!(budget.used(), 2);
    }

    #[test]
    fn what_is_taken_ahead_leaves_half_of_all_to_those_whose_turn_it_is() {
        let budget = Budget::new("in_flight_bytes", 10);
        assert!(budget.take_of_half(3).is_ok());
        assert!(budget.take_of_half(3).is_err());
        assert!(budget.take_of_half(2).is_ok());
        budget.take(5).unwrap();
        assert!(budget.take_of_half(1).is_err());
        assert_eq!(budget.used(), 10);
    }
}

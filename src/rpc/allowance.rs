//! [`Allowance`]: so much of something, which time gives back.
//!
//! Law: one thread's own, without lock or clock; whoever takes from it says what time it is. It may be
//! overdrawn, as deep as its [`Terms`] say, and says how long it takes to make that good. Shared rates are
//! `tenancy/rate.rs`.

use std::time::{Duration, Instant};

/// What an allowance is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// So much there is of it at most, and from the start.
    pub(super) most: i64,
    /// One is given back in so long.
    pub(super) each: Duration,
    /// So much may be owed; more is forgotten.
    pub(super) deepest: i64,
}

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    left: i64,
    counted: Instant,
}

impl Allowance {
    /// All of it.
    pub(super) const fn whole(terms: &Terms, now: Instant) -> Self {
        Self { left: terms.most, counted: now }
    }

    /// Gives so much back.
    pub(super) fn give(&mut self, terms: &Terms, count: i64) {
        self.left = self.left.saturating_add(count).min(terms.most);
    }

    /// Takes so much if there was as much when time was last counted: most takers need no clock.
    pub(super) const fn draw(&mut self, count: i64) -> bool {
        let is_there = count <= self.left;
        if is_there {
            self.left = self.left.saturating_sub(count);
        }
        is_there
    }

    /// What is left after so much was taken; less than nothing where it is owed.
    pub(super) fn take(&mut self, terms: &Terms, count: i64, now: Instant) -> i64 {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let passed = nanos(now.saturating_duration_since(self.counted));
        let brought = passed.checked_div(nanos(terms.each)).unwrap_or(0);
        let brought = u32::try_from(brought).unwrap_or(u32::MAX);
        // What is less than the time of one goes on running.
        self.counted = self.counted.checked_add(terms.each.saturating_mul(brought)).unwrap_or(now);
        let left = self.left.saturating_add(brought.into()).min(terms.most);
        self.left = left.saturating_sub(count).max(terms.deepest.saturating_neg());
        self.left
    }
}

impl Terms {
    /// How long it takes until nothing is owed, where `left` is.
    pub(super) fn until_even(&self, left: i64) -> Option<Duration> {
        let owed = u32::try_from(left.saturating_neg()).unwrap_or(0);
        (left < 0).then(|| self.each.saturating_mul(owed))
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { most: 256, each: Duration::from_nanos(62_500), deepest: 500 };

    #[test]
    fn time_brings_an_allowance_back_and_no_more_than_all_of_it() {
        let (begin, each) = (Instant::now(), TERMS.each);
        let mut allowance = Allowance::whole(&TERMS, begin);
        assert_eq!(allowance.take(&TERMS, 300, begin), -44);
        assert_eq!(TERMS.until_even(-44), Some(each * 44));
        assert_eq!(allowance.take(&TERMS, 0, begin + each * 3 / 2), -43);
        assert_eq!(allowance.take(&TERMS, 0, begin + each * 2), -42, "halves are not lost");
        assert_eq!(allowance.take(&TERMS, 100_000, begin + each * 2), -500);
        assert_eq!(allowance.take(&TERMS, 0, begin + Duration::from_secs(9)), 256);
        allowance.give(&TERMS, 10);
        assert_eq!(allowance.take(&TERMS, 1, begin + Duration::from_secs(9)), 255);
        assert_eq!(TERMS.until_even(0), None);
        assert!(
            allowance.draw(255) && !allowance.draw(1),
            "what time has brought is not looked at"
        );
    }
}

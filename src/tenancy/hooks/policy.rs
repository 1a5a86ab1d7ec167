//! [`GrowPolicy`]: limits on growth from the config, looked at before any hook is asked.
//!
//! Law: a growth that is refused, later too, takes nothing of its tenant's rate. Time comes in as an
//! argument.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::error::{DenialCause, Failure};
use crate::registry::Wish;
use crate::tenancy::hooks::Hooks;

/// Limits on growth of one tenant's memories; each may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrowPolicy {
    /// Pages at a time.
    pub largest_step_pages: Option<u64>,
    /// Pages a second, all memories together.
    pub rate_pages_per_second: Option<u64>,
    /// What the tenant may hold of the host's budget, in millionths of it.
    pub budget_share_millionths: Option<u32>,
}

impl GrowPolicy {
    /// No limits.
    pub const NONE: Self = Self {
        largest_step_pages: None,
        rate_pages_per_second: None,
        budget_share_millionths: None,
    };
}

const NANOS: i128 = 1_000_000_000;

/// What of a rate has not been taken, in billionths of a page: a second's worth at most. It may be less
/// than nothing: a growth of more than a second's worth goes on when a whole one is there, and those
/// after it wait until it is paid off.
#[derive(Debug)]
pub(super) struct Bucket {
    /// What of a full one is missing.
    taken: i128,
    at: Instant,
}

impl Bucket {
    pub(super) const fn full(now: Instant) -> Self {
        Self { taken: 0, at: now }
    }

    /// Takes so many pages of such a rate; whether they were there.
    fn take(&mut self, rate: u64, pages: u64, now: Instant) -> bool {
        let gone = now.saturating_duration_since(self.at).as_nanos();
        let back = i128::try_from(gone).unwrap_or(i128::MAX).saturating_mul(rate.into());
        self.taken = self.taken.saturating_sub(back).max(0);
        self.at = self.at.max(now);
        let (all, wanted) =
            (i128::from(rate).saturating_mul(NANOS), i128::from(pages).saturating_mul(NANOS));
        let is_there = all.saturating_sub(self.taken) >= wanted.min(all);
        if is_there {
            self.taken = self.taken.saturating_add(wanted);
        }
        is_there
    }

    fn give_back(&mut self, pages: u64) {
        self.taken = self.taken.saturating_sub(i128::from(pages).saturating_mul(NANOS)).max(0);
    }
}

/// Pages taken of a rate. Given back when dropped, unless they were used.
#[derive(Debug)]
pub(super) struct Debit {
    hooks: Arc<Hooks>,
    pages: u64,
}

impl Debit {
    pub(super) fn used(mut self) {
        self.pages = 0;
    }
}

impl Drop for Debit {
    fn drop(&mut self) {
        if self.pages > 0 {
            let mut bucket = self.hooks.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.give_back(self.pages);
        }
    }
}

/// Judges a growth that has been paid for.
pub(super) fn judge(hooks: &Arc<Hooks>, wish: &Wish, now: Instant) -> Result<Debit, Failure> {
    let GrowPolicy { largest_step_pages, rate_pages_per_second, budget_share_millionths } =
        hooks.policy();
    let step = wish.current.get().saturating_sub(wish.previous.get());
    if let Some(most) = largest_step_pages.filter(|most| step > *most) {
        let why = format!("{step} pages at a time; at most {most}: grow in smaller steps");
        return Err(denied("largest_step_pages", why));
    }
    if let Some(millionths) = budget_share_millionths {
        let held = hooks.tenant.bytes().used;
        let share =
            u128::from(hooks.host.bytes().limit).saturating_mul(millionths.into()) / 1_000_000;
        if u128::from(held) > share {
            // The share and the tenant's own bytes; the host's are not the tenant's to know.
            let percent = f64::from(millionths) / 10_000.0;
            let why = format!(
                "{held} bytes, {step} pages more among them, are past the tenant's {percent} % of the \
                 host's budget; delete something"
            );
            return Err(denied("budget_share", why));
        }
    }
    let mut debit = Debit { hooks: Arc::clone(hooks), pages: 0 };
    if let Some(rate) = rate_pages_per_second {
        let mut bucket = hooks.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if !bucket.take(rate, step, now) {
            let why = format!("{step} pages now would pass {rate} a second; grow more slowly");
            return Err(denied("rate_pages_per_second", why));
        }
        debit.pages = step;
    }
    Ok(debit)
}

fn denied(key: &str, why: String) -> Failure {
    Failure::GrowDenied { cause: DenialCause::Denied, hook_id: format!("policy:{key}"), why }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_takes_no_more_than_its_rate_and_a_larger_step_is_paid_off() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut bucket = Bucket::full(start);
        assert!(bucket.take(10, 10, start));
        assert!(!bucket.take(10, 1, at(99)));
        assert!(bucket.take(10, 1, at(100)));
        assert!(!bucket.take(10, 1, at(100)));
        assert!(bucket.take(10, 35, at(1_200)), "a whole second's worth is there");
        assert!(!bucket.take(10, 1, at(3_700)), "and 25 pages are owed");
        assert!(bucket.take(10, 1, at(3_800)));
        // A clock that was read earlier gives nothing twice.
        assert!(!bucket.take(10, 1, at(2_000)));
        assert!(!bucket.take(10, 1, at(3_800)));
    }

    #[test]
    fn what_is_given_back_is_there_again_and_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        assert!(bucket.take(4, 4, start));
        bucket.give_back(4);
        bucket.give_back(4);
        assert!(bucket.take(4, 4, start));
        assert!(!bucket.take(4, 1, start));
    }
}

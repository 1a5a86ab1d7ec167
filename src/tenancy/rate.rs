//! [`Rate`]: so many a second, and so many at once.
//!
//! ```text
//!                 now                     due
//!  ────────────────┼───────────────────────┼──────────> time
//!                  └─ what has been taken ─┘   at most `burst` of it where something is taken
//! ```
//!
//! One word: the moment at which all that was taken will have come in at the rate (GCRA). What is left is
//! the burst less what lies between now and then; nothing is refilled, for time passes by itself.
//!
//! Law: no lock and no clock; whatever the threads, what is taken in any time is at most the rate times
//! it and the burst, and once more what one taker took that asked for more than there was. Costs are
//! rounded up and the burst down. Limits may be replaced at any moment: what is owed stays owed, in time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time is counted in these, so that a rate of ten billion a second is kept to a part in a hundred for
/// takes of a few bytes, and 64 bits last for 36 years.
const TICKS_PER_NANO: u64 = 16;
const TICKS_PER_SECOND: u128 = 16_000_000_000;

/// Of what there may be so many a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many a second.
    pub per_second: u64,
    /// How many at once, after a time without any.
    pub burst: u64,
}

/// A moment, in ticks after an epoch that its [`Rate`]s share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

impl Tick {
    /// So long after the epoch.
    pub(super) fn after(epoch: Duration) -> Self {
        let ticks = epoch.as_nanos().saturating_mul(TICKS_PER_NANO.into());
        Self(u64::try_from(ticks).unwrap_or(u64::MAX))
    }
}

/// So many a second.
#[derive(Debug)]
pub(super) struct Rate {
    /// 0: any number.
    per_second: AtomicU64,
    burst: AtomicU64,
    due: AtomicU64,
}

impl Rate {
    /// A rate of which nothing is taken.
    pub(super) fn new(limit: Option<RateLimit>) -> Self {
        let rate = Self {
            per_second: AtomicU64::new(0),
            burst: AtomicU64::new(0),
            due: AtomicU64::new(0),
        };
        rate.set(limit);
        rate
    }

    /// Another limit from now on.
    pub(super) fn set(&self, limit: Option<RateLimit>) {
        let RateLimit { per_second, burst } =
            limit.unwrap_or(RateLimit { per_second: 0, burst: 0 });
        self.burst.store(burst, Ordering::Relaxed);
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// How many there may be.
    pub(super) fn limit(&self) -> Option<RateLimit> {
        let (per_second, burst) =
            (self.per_second.load(Ordering::Relaxed), self.burst.load(Ordering::Relaxed));
        (per_second > 0).then_some(RateLimit { per_second, burst })
    }

    /// Takes so many; of more than the burst as many as that must be left, and the rest is owed.
    ///
    /// # Errors
    /// The time until they are there; nothing is taken.
    pub(super) fn take(&self, count: u64, now: Tick) -> Result<(), Duration> {
        self.change(now, |cost, room| cost.min(room), count)
    }

    /// Takes so many as soon as any is left, and owes the rest.
    ///
    /// # Errors
    /// The time until one is; nothing is taken.
    pub(super) fn take_ahead(&self, count: u64, now: Tick) -> Result<(), Duration> {
        let one = self.cost(1);
        self.change(now, |cost, room| cost.min(one).min(room), count)
    }

    /// Takes so many, whatever is left.
    pub(super) fn owe(&self, count: u64, now: Tick) {
        // Nothing is wanted to be left, so that nothing is refused.
        let _taken = self.change(now, |_cost, _room| 0, count);
    }

    /// Whether so many could be taken.
    ///
    /// # Errors
    /// The time until they could.
    pub(super) fn look(&self, count: u64, now: Tick) -> Result<(), Duration> {
        let Some(room) = self.room().filter(|_| count > 0) else { return Ok(()) };
        let (due, wanted) = (self.due.load(Ordering::Acquire), self.cost(count).min(room));
        admit(due, wanted, room, now)
    }

    /// How many of the burst are not left; more than it where some are owed.
    pub(super) fn taken(&self, now: Tick) -> u64 {
        let Some(RateLimit { per_second, .. }) = self.limit() else { return 0 };
        let ahead = self.due.load(Ordering::Acquire).saturating_sub(now.0);
        let taken = u128::from(ahead).saturating_mul(per_second.into()) / TICKS_PER_SECOND;
        u64::try_from(taken).unwrap_or(u64::MAX)
    }

    fn change(
        &self,
        now: Tick,
        wanted: impl Fn(u64, u64) -> u64,
        count: u64,
    ) -> Result<(), Duration> {
        let Some(room) = self.room().filter(|_| count > 0) else { return Ok(()) };
        let cost = self.cost(count);
        let wanted = wanted(cost, room);
        let mut refused = Ok(());
        let step = |due: u64| {
            refused = if wanted == 0 { Ok(()) } else { admit(due, wanted, room, now) };
            refused.is_ok().then(|| due.max(now.0).saturating_add(cost))
        };
        let _due = self.due.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        refused
    }

    /// The burst in time; none where there is no limit.
    fn room(&self) -> Option<u64> {
        let RateLimit { per_second, burst } = self.limit()?;
        let ticks = u128::from(burst).saturating_mul(TICKS_PER_SECOND);
        let ticks = ticks.checked_div(per_second.into()).unwrap_or(0);
        Some(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    fn cost(&self, count: u64) -> u64 {
        let per_second = self.per_second.load(Ordering::Relaxed).max(1);
        let ticks = u128::from(count).saturating_mul(TICKS_PER_SECOND);
        u64::try_from(ticks.div_ceil(per_second.into())).unwrap_or(u64::MAX)
    }
}

/// Whether what is wanted is left of the room.
fn admit(due: u64, wanted: u64, room: u64, now: Tick) -> Result<(), Duration> {
    let taken = due.saturating_sub(now.0);
    match taken.saturating_add(wanted).checked_sub(room) {
        None | Some(0) => Ok(()),
        Some(missing) => Err(Duration::from_nanos(missing.div_ceil(TICKS_PER_NANO))),
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: u64, burst: u64) -> Rate {
        Rate::new(Some(RateLimit { per_second, burst }))
    }

    fn at(nanos: u64) -> Tick {
        Tick::after(Duration::from_nanos(nanos))
    }

    #[test]
    fn exactly_the_burst_is_there_at_once_and_then_one_at_a_time() {
        let rate = rate(10, 5);
        for _ in 0..5 {
            rate.take(1, at(0)).unwrap();
        }
        assert_eq!(rate.take(1, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(rate.taken(at(0)), 5);
        assert_eq!(rate.take(1, at(99_999_999)), Err(Duration::from_nanos(1)));
        rate.take(1, at(100_000_000)).unwrap();
        // A long time gives no more than the burst.
        rate.take(5, at(60_000_000_000)).unwrap();
        assert!(rate.take(1, at(60_000_000_000)).is_err());
        // A clock that was read earlier gives nothing twice.
        assert!(rate.take(1, at(0)).is_err());
    }

    #[test]
    fn more_than_the_burst_waits_for_a_full_one_and_is_paid_off() {
        let rate = rate(10, 5);
        rate.take(1, at(0)).unwrap();
        assert_eq!(rate.take(25, at(0)), Err(Duration::from_millis(100)));
        rate.take(25, at(100_000_000)).unwrap();
        assert_eq!(rate.take(1, at(100_000_000)), Err(Duration::from_millis(2_100)));
        assert_eq!(rate.take(1, at(2_199_999_999)), Err(Duration::from_nanos(1)));
        rate.take(1, at(2_200_000_000)).unwrap();
    }

    #[test]
    fn what_is_taken_ahead_needs_one_left_and_what_is_owed_none() {
        let rate = rate(10, 2);
        rate.take(1, at(0)).unwrap();
        rate.take_ahead(21, at(0)).unwrap();
        assert_eq!(rate.take_ahead(1, at(0)), Err(Duration::from_millis(2_100)));
        rate.owe(10, at(0));
        assert_eq!(rate.look(1, at(0)), Err(Duration::from_millis(3_100)));
        assert_eq!(rate.taken(at(0)), 32);
    }

    #[test]
    fn without_a_limit_anything_is_there_and_a_limit_may_come_and_go() {
        let rate = Rate::new(None);
        rate.take(u64::MAX, at(0)).unwrap();
        assert_eq!(rate.limit(), None);
        rate.set(Some(RateLimit { per_second: 1, burst: 1 }));
        rate.take(1, at(0)).unwrap();
        assert_eq!(rate.take(1, at(0)), Err(Duration::from_secs(1)));
        rate.set(Some(RateLimit { per_second: 1, burst: 2 }));
        rate.take(1, at(0)).unwrap();
        rate.set(None);
        rate.take(1, at(0)).unwrap();
    }

    #[test]
    fn the_largest_numbers_refuse_and_do_not_wrap() {
        let rate = rate(1, 1);
        rate.take(u64::MAX, at(0)).unwrap();
        assert!(rate.take(1, Tick(u64::MAX - 1)).is_err());
        let fast = super::Rate::new(Some(RateLimit { per_second: u64::MAX, burst: u64::MAX }));
        fast.take(1 << 40, at(0)).unwrap();
    }

    #[derive(Clone, Copy, Debug)]
    struct Taken {
        at: u64,
        count: u64,
    }

    proptest! {
        /// In no window is more taken than the rate gives in it, and the burst; what is refused is
        /// there after the time that was told, and not a nanosecond before.
        #[test]
        fn random_takes_never_pass_the_rate_and_the_burst(
            per_second in prop_oneof![1..50u64, 1_000..20_000_000_000u64],
            burst in 1..5_000u64,
            steps in prop::collection::vec((0..3_000_000_000u64, 1..6_000u64), 1..60),
        ) {
            let rate = rate(per_second, burst);
            let mut now = 0u64;
            let mut passed: Vec<Taken> = Vec::new();
            for (step, count) in steps {
                now += step / 7;
                let count = count.min(burst);
                match rate.take(count, at(now)) {
                    Ok(()) => passed.push(Taken { at: now, count }),
                    Err(after) => {
                        let after = u64::try_from(after.as_nanos()).unwrap();
                        prop_assert!(after > 0);
                        prop_assert!(rate.look(count, at(now + after - 1)).is_err());
                        prop_assert!(rate.look(count, at(now + after)).is_ok());
                    }
                }
            }
            for (number, first) in passed.iter().enumerate() {
                let mut sum = 0u128;
                for taken in &passed[number..] {
                    sum += u128::from(taken.count);
                    let time = u128::from(taken.at - first.at);
                    let most = u128::from(burst) * 1_000_000_000 + time * u128::from(per_second);
                    prop_assert!(sum * 1_000_000_000 <= most, "{sum} from {first:?} to {taken:?}");
                }
            }
        }
    }

    #[test]
    fn threads_that_take_at_once_pass_no_more_than_the_rate_and_the_burst() {
        const RATE: u64 = 100_000;
        const BURST: u64 = 50;
        let (rate, epoch, stop) = (rate(RATE, BURST), Instant::now(), AtomicBool::new(false));
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (rate, stop, taken) = (&rate, &stop, &taken);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let count = 1 + thread;
                        if rate.take(count, Tick::after(epoch.elapsed())).is_ok() {
                            taken.fetch_add(count, Ordering::Relaxed);
                        }
                    }
                });
            }
            while taken.load(Ordering::Relaxed) < 10_000 {
                std::hint::spin_loop();
            }
            stop.store(true, Ordering::Relaxed);
        });
        // All of it was taken by now.
        let most =
            u128::from(BURST) + epoch.elapsed().as_nanos() * u128::from(RATE) / 1_000_000_000;
        assert!(u128::from(taken.load(Ordering::Relaxed)) <= most);
    }
}

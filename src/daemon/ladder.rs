//! [`Ladder`]: which step of want of memory the host has come to.
//!
//! ```text
//! b = memory.purge_at, r = 1 - b     share of the fullest limit      0.9      what else
//! stop populating                    above b - r/4                   87.5 %   more promised than there is
//! purge volatile ranges              above b                         90 %     stalls, a limit reached
//! drop warm slots                    above b, nothing left to purge  90 %
//! refuse growth                      above b + r/4                   92.5 %   } only where nothing is
//! refuse creates                     above b + r/2                   95 %     } left to purge
//! shed calls                         above b + 3r/4                  97.5 %   }
//! ```
//!
//! Law: up at once, as far as it is due; down a step at a time, each after a quiet while in which less
//! than the step takes was used, by half the distance between two. While tasks wait for memory, or a
//! limit was reached all the same, it is one step further than use alone would have it: so stalls, which
//! others' disks cause as well, refuse nothing by themselves.
//!
//! The ledger counts for the first step alone, and only where `memory.overcommit` lets more be promised
//! than there is. What it has charged is RAM that was promised, and it admits no more itself
//! (QUOTA_EXCEEDED, HOST_EXHAUSTED): to refuse growth below the budget would take that promise back, and
//! a purge does not lower a charge. Has no clock and does nothing: `pressure.rs` looks and acts.

use std::time::{Duration, Instant};

use crate::registry::Step;

/// All of a limit, in millionths.
const WHOLE: u64 = 1_000_000;

/// What a look found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// What is used of the fullest limit, millionths.
    pub(super) share: u64,
    /// What is charged of the host's budget where more may be than there is, millionths of the budget.
    pub(super) promised: u64,
    /// Stalls, or a limit that was reached, were told of.
    pub(super) is_told: bool,
    /// A purge has given something back.
    pub(super) gives: bool,
}

/// Which step it is.
#[derive(Debug)]
pub(super) struct Ladder {
    purge_at: u64,
    /// How long a step stays once it is no longer called for.
    quiet: Duration,
    step: Step,
    /// When its step was called for last, or it came down to it.
    since: Option<Instant>,
}

impl Ladder {
    /// Calm, with purges from so many thousandths of a limit on.
    pub(super) const fn new(per_mille: u64, quiet: Duration) -> Self {
        Self { purge_at: per_mille.saturating_mul(1000), quiet, step: Step::Calm, since: None }
    }

    /// The step that it has come to.
    pub(super) const fn step(&self) -> Step {
        self.step
    }

    /// The step after such a look.
    pub(super) fn judge(&mut self, reading: Reading, now: Instant) -> Step {
        let due = self.due(reading, 0);
        if due > self.step {
            self.step = due;
        } else if self.due(reading, self.quarter() / 2) < self.step {
            let quiet = self.since.is_none_or(|since| now.duration_since(since) >= self.quiet);
            if !quiet {
                return self.step;
            }
            self.step = self.step.previous();
        }
        self.since = Some(now);
        self.step
    }

    /// The step that is called for, by so much more use.
    fn due(&self, reading: Reading, more: u64) -> Step {
        let above = |share: u64, step| share.saturating_add(more) > self.from(step);
        let refusing = [Step::DropWarm, Step::RefuseGrowth, Step::RefuseCreates, Step::ShedCalls];
        let by_use = if !above(reading.share, Step::PurgeVolatile) {
            Step::Calm
        } else if reading.gives {
            Step::PurgeVolatile
        } else {
            let highest = refusing.into_iter().rfind(|step| above(reading.share, *step));
            highest.unwrap_or(Step::PurgeVolatile)
        };
        let fullest = reading.share.max(reading.promised);
        let least = match above(fullest, Step::StopPopulating) {
            true => Step::StopPopulating,
            false => Step::Calm,
        };
        match reading.is_told {
            true => by_use.max(Step::StopPopulating).next(),
            false => by_use.max(least),
        }
    }

    /// Above which share a step is called for.
    fn from(&self, step: Step) -> u64 {
        let quarters = |count: u64| self.purge_at.saturating_add(self.quarter() * count);
        match step {
            Step::Calm => 0,
            Step::StopPopulating => {
                self.purge_at.saturating_sub(self.quarter().min(self.purge_at / 4))
            }
            Step::PurgeVolatile | Step::DropWarm => self.purge_at,
            Step::RefuseGrowth => quarters(1),
            Step::RefuseCreates => quarters(2),
            Step::ShedCalls => quarters(3),
        }
    }

    /// A quarter of what is above the share from which on there are purges.
    const fn quarter(&self) -> u64 {
        WHOLE.saturating_sub(self.purge_at) / 4
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use Step::{
        Calm, DropWarm, PurgeVolatile, RefuseCreates, RefuseGrowth, ShedCalls, StopPopulating,
    };

    const QUIET: Duration = Duration::from_secs(1);

    fn used(share: u64) -> Reading {
        Reading { share: share * 1000, ..Reading::default() }
    }

    fn first(per_mille: u64, reading: Reading) -> Step {
        Ladder::new(per_mille, QUIET).judge(reading, Instant::now())
    }

    #[test]
    fn each_step_is_called_for_above_its_share_of_the_limit() {
        let rows = [
            (900, [875, 900, 925, 950, 975]),
            (500, [375, 500, 625, 750, 875]),
            (100, [75, 100, 325, 550, 775]),
        ];
        for (per_mille, [populating, purge, growth, creates, calls]) in rows {
            let at = |share, step| {
                assert_eq!(first(per_mille, used(share)), step, "{share} of {per_mille}");
            };
            at(0, Calm);
            at(populating, Calm);
            at(populating + 1, StopPopulating);
            at(purge, StopPopulating);
            at(purge + 1, DropWarm);
            at(growth, DropWarm);
            at(growth + 1, RefuseGrowth);
            at(creates, RefuseGrowth);
            at(creates + 1, RefuseCreates);
            at(calls, RefuseCreates);
            at(calls + 1, ShedCalls);
            at(1000, ShedCalls);
        }
        assert_eq!(first(1000, used(1000)), Calm, "what is no more than the limit is no want");
    }

    #[test]
    fn nothing_is_refused_for_want_of_what_a_purge_still_gives() {
        for share in [901, 930, 960, 999] {
            let reading = Reading { gives: true, ..used(share) };
            assert_eq!(first(900, reading), PurgeVolatile, "{share}");
        }
        assert_eq!(first(900, Reading { gives: true, ..used(880) }), StopPopulating);
    }

    #[test]
    fn what_is_told_of_is_one_step_more_than_use_calls_for() {
        let rows = [
            (100, PurgeVolatile),
            (880, PurgeVolatile),
            (910, RefuseGrowth),
            (930, RefuseCreates),
            (960, ShedCalls),
            (990, ShedCalls),
        ];
        for (share, step) in rows {
            assert_eq!(first(900, Reading { is_told: true, ..used(share) }), step, "{share}");
        }
        let mut ladder = Ladder::new(900, QUIET);
        let now = Instant::now();
        for look in 0..100 {
            let told = Reading { is_told: true, ..used(100) };
            assert_eq!(ladder.judge(told, now + QUIET * look), PurgeVolatile, "nor ever more");
        }
    }

    #[test]
    fn what_is_promised_beyond_what_there_is_stops_populating_and_nothing_else() {
        let promised = |promised: u64| Reading { promised: promised * 1000, ..used(100) };
        assert_eq!(first(900, promised(875)), Calm);
        assert_eq!(first(900, promised(876)), StopPopulating);
        assert_eq!(first(900, promised(64_000)), StopPopulating);
    }

    #[test]
    fn it_goes_up_at_once_and_down_a_step_at_a_time_after_a_quiet_while_each() {
        let (mut ladder, begun) = (Ladder::new(900, QUIET), Instant::now());
        let mut after =
            |ms: u64, share| ladder.judge(used(share), begun + Duration::from_millis(ms));
        assert_eq!(after(0, 100), Calm);
        assert_eq!(after(1, 990), ShedCalls);
        assert_eq!(after(1_000, 100), ShedCalls, "no quiet second yet");
        assert_eq!(after(1_001, 100), RefuseCreates);
        assert_eq!(after(2_000, 100), RefuseCreates);
        assert_eq!(after(2_001, 100), RefuseGrowth);
        assert_eq!(after(2_500, 960), RefuseCreates, "up again at once");
        assert_eq!(after(3_499, 100), RefuseCreates, "and a second anew");
        assert_eq!(after(3_500, 100), RefuseGrowth);
        for (number, step) in
            [DropWarm, PurgeVolatile, StopPopulating, Calm, Calm].iter().enumerate()
        {
            assert_eq!(after(4_500 + 1_000 * number as u64, 100), *step);
        }
    }

    #[test]
    fn use_about_a_threshold_does_not_have_it_go_up_and_down() {
        let (mut ladder, begun) = (Ladder::new(900, QUIET), Instant::now());
        assert_eq!(ladder.judge(used(951), begun), RefuseCreates);
        for look in 1..20 {
            // Below its threshold, but by less than half the distance between two.
            let share = if look % 2 == 0 { 949 } else { 938 };
            assert_eq!(ladder.judge(used(share), begun + QUIET * look), RefuseCreates, "{share}");
        }
        assert_eq!(ladder.judge(used(937), begun + QUIET * 20), RefuseGrowth);
    }
}

//! Volatile ranges: made so, made to stay, and purged oldest first.
//!
//! Law: a purge takes a memory by try and for one step at a time; one that is in use is passed over
//! and is there for the next round. What the host refuses stays as it is, and the next one is tried.

use std::sync::{Arc, Weak};

use crate::error::Failure;
use crate::memory::{Hand, MOST_RANGES, PurgeStep, TooManyVolatile};
use crate::model::Volatility;
use crate::registry::events::Happening;
use crate::registry::gate::Gate;
use crate::registry::ledger::{Amount, Charge};
use crate::registry::lifecycle;
use crate::registry::operations::bytes::writing;
use crate::registry::operations::{hand, not_had, priced};
use crate::registry::record::Record;
use crate::registry::settings::Registry;
use crate::units::{ByteCount, ByteRange};

/// What a range costs the daemon, with what a purge may make of it and its place in the order of ages,
/// rounded up.
const RANGE_BYTES: u64 = 512;

/// What a purge came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeOutcome {
    /// RAM that went back to the host.
    pub given_back_bytes: u64,
    /// Bytes that can no longer be read.
    pub purged_bytes: u64,
    /// Ranges that lost bytes.
    pub ranges: u64,
    /// Ranges that were passed over for now: their memories were in use.
    pub busy: u64,
    /// Ranges that the host refused to take.
    pub refused: u64,
}

impl PurgeOutcome {
    /// Both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            given_back_bytes: self.given_back_bytes.saturating_add(other.given_back_bytes),
            purged_bytes: self.purged_bytes.saturating_add(other.purged_bytes),
            ranges: self.ranges.saturating_add(other.ranges),
            busy: self.busy.saturating_add(other.busy),
            refused: self.refused.saturating_add(other.refused),
        }
    }
}

impl Registry {
    /// Lets the bytes of a range be purged from now on, or has them stay. Whether any had been.
    ///
    /// # Errors
    /// QUOTA_EXCEEDED and HOST_EXHAUSTED, MEMORY_NOT_FOUND, QUARANTINED, and what ends any call;
    /// nothing has changed then.
    pub async fn set_volatility(
        &self,
        record: Arc<Record>,
        range: ByteRange,
        volatility: Volatility,
        gate: &Gate,
    ) -> Result<bool, Failure> {
        let mut writing = writing(record, gate).await?;
        let record = Arc::clone(writing.owner());
        let memory = hand(writing.memory()).map_err(|ended| not_had(&record, ended.into()))?;
        let age = match volatility {
            Volatility::Volatile => Some(self.ages.youngest()),
            Volatility::Nonvolatile => None,
        };
        let charge = pay(&record, &memory, range, age)?;
        gate.pass()?;
        let done = memory.set_volatile(range, age).map_err(too_many)?;
        record.pay_more(charge);
        self.ages.forget(done.over);
        if let Some(age) = age.filter(|_| done.is_held)
            && self.ages.remember(age, &record)
        {
            self.wake_watcher();
        }
        Ok(done.was_purged)
    }

    /// Purges volatile ranges, oldest first, until so much RAM has gone back or there is no more.
    /// Kernel work: not for a serving thread.
    pub fn purge(&self, wanted: ByteCount) -> PurgeOutcome {
        let (mut outcome, mut from, mut last) = (PurgeOutcome::default(), 0, None);
        while let Some(left) = wanted.get().checked_sub(outcome.given_back_bytes)
            && left > 0
            && let Some((age, record)) = self.ages.oldest(from)
        {
            match self.purge_some(age, &record, ByteCount::new(left)) {
                Step::Gone { bytes, given_back, more } => {
                    outcome.purged_bytes = outcome.purged_bytes.saturating_add(bytes);
                    outcome.given_back_bytes = outcome.given_back_bytes.saturating_add(given_back);
                    if last.replace(age) != Some(age) {
                        outcome.ranges = outcome.ranges.saturating_add(1);
                    }
                    if more {
                        from = age;
                        continue;
                    }
                    self.ages.forget([age]);
                }
                Step::Over => self.ages.forget([age]),
                Step::Busy => outcome.busy = outcome.busy.saturating_add(1),
                Step::Refused => outcome.refused = outcome.refused.saturating_add(1),
            }
            from = age.saturating_add(1);
        }
        outcome
    }

    /// How many volatile ranges there are that could be purged.
    #[must_use]
    pub fn volatile_ranges(&self) -> usize {
        self.ages.count()
    }

    fn purge_some(&self, age: u64, record: &Weak<Record>, at_most: ByteCount) -> Step {
        // What is quarantined stays so, and is not purged.
        let alive = record.upgrade().filter(|record| record.quarantined().is_none());
        let Some(record) = alive else { return Step::Over };
        let Some(mut writing) = lifecycle::write_now(Arc::clone(&record)) else {
            return Step::Busy;
        };
        let Ok(memory) = hand(writing.memory()) else { return Step::Over };
        match memory.purge(age, at_most) {
            Ok(PurgeStep::Gone { range, given_back, more }) => {
                let bytes = range.length();
                tracing::debug!(memory_id = %record.id, uid = %record.uid, %bytes, "purged");
                record.tell(Happening::Purged { range }, || true);
                Step::Gone { bytes: bytes.get(), given_back: given_back.get(), more }
            }
            Ok(PurgeStep::Nothing) => Step::Over,
            Err(error) => {
                tracing::debug!(memory_id = %record.id, uid = %record.uid, %error, "not purged");
                Step::Refused
            }
        }
    }
}

/// What came of one step.
enum Step {
    Gone { bytes: u64, given_back: u64, more: bool },
    Over,
    Busy,
    Refused,
}

/// What it costs more. Given back with the memory: ranges that were there may be there again.
fn pay(
    record: &Record,
    memory: &Hand<'_>,
    range: ByteRange,
    age: Option<u64>,
) -> Result<Charge, Failure> {
    let more = memory.volatile_costs(range, age).map_err(too_many)?;
    let amount = Amount::overhead((more as u64).saturating_mul(RANGE_BYTES));
    let payer = record.payer().ok_or_else(|| record.not_found())?;
    Charge::pay(&payer, priced(record, amount))
}

const fn too_many(TooManyVolatile: TooManyVolatile) -> Failure {
    Failure::QuotaExceeded {
        limit_name: "volatile_ranges",
        limit: MOST_RANGES as u64,
        used: MOST_RANGES as u64,
        asked: 1,
    }
}

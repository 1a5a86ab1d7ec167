//! [`Rates`]: how many operations and bytes a second one tenant may have.
//!
//! Law: without a limit it costs a load and a branch. An operation is what `accesses_total` counts, and
//! a call that makes none is one; bytes are what `access_bytes_total` counts, but discards, and those of
//! segments. What is refused, at once or later for another reason, has taken what it was let in by: a
//! flood of bad requests is not free. A call is refused; a stream's message waits, with nothing held, and
//! may owe what it takes beyond what is left. The time comes from a [`Clock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::Failure;
use crate::memory::Sum;
use crate::registry::{Gate, Holding};
use crate::tenancy::hooks::Clock;
use crate::tenancy::rate::{Rate, RateLimit, Tick};

const OPERATIONS: &str = "operations_per_second";
const BYTES: &str = "bytes_per_second";

/// How many a second there may be; none: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Operations.
    pub operations: Option<RateLimit>,
    /// Bytes in either direction.
    pub bytes: Option<RateLimit>,
}

/// One tenant's rates.
#[derive(Debug)]
pub struct Rates {
    is_limited: AtomicBool,
    operations: Rate,
    bytes: Rate,
    clock: Arc<dyn Clock>,
    epoch: Instant,
}

impl Rates {
    pub(super) fn new(limits: RateLimits, clock: &Arc<dyn Clock>) -> Self {
        let rates = Self {
            is_limited: AtomicBool::new(false),
            operations: Rate::new(None),
            bytes: Rate::new(None),
            clock: Arc::clone(clock),
            epoch: clock.now(),
        };
        rates.set_limits(limits);
        rates
    }

    /// Other limits from now on.
    pub(super) fn set_limits(&self, limits: RateLimits) {
        self.operations.set(limits.operations);
        self.bytes.set(limits.bytes);
        self.is_limited.store(limits != RateLimits::default(), Ordering::Release);
    }

    /// What they are.
    #[must_use]
    pub fn limits(&self) -> RateLimits {
        RateLimits { operations: self.operations.limit(), bytes: self.bytes.limit() }
    }

    /// What is taken of each burst and not back yet, beside what comes back in a second.
    #[must_use]
    pub fn holdings(&self) -> [Holding; 2] {
        if !self.are_limited() {
            return [OPERATIONS, BYTES].map(|resource| Holding {
                resource,
                limit: u64::MAX,
                used: 0,
            });
        }
        let now = self.now();
        [(OPERATIONS, &self.operations), (BYTES, &self.bytes)].map(|(resource, rate)| Holding {
            resource,
            limit: rate.limit().map_or(u64::MAX, |limit| limit.per_second),
            used: rate.taken(now),
        })
    }

    /// Whether there is any limit.
    #[inline]
    #[must_use]
    pub fn are_limited(&self) -> bool {
        self.is_limited.load(Ordering::Acquire)
    }

    /// Takes so many of each.
    ///
    /// # Errors
    /// RATE_LIMITED; nothing is taken.
    #[inline]
    pub fn take(&self, operations: u64, bytes: u64) -> Result<(), Failure> {
        if self.are_limited() { self.take_limited(operations, bytes) } else { Ok(()) }
    }

    #[cold]
    fn take_limited(&self, operations: u64, bytes: u64) -> Result<(), Failure> {
        let now = self.now();
        let refused = |rate: &Rate, limit_name| {
            let limit = rate.limit().map_or(0, |limit| limit.per_second);
            let used = rate.taken(now);
            move |after| Failure::RateLimited { limit_name, limit, used, after }
        };
        // Looked at first: what one rate refuses takes nothing of the other.
        self.bytes.look(bytes, now).map_err(refused(&self.bytes, BYTES))?;
        self.operations.take(operations, now).map_err(refused(&self.operations, OPERATIONS))?;
        self.bytes.take(bytes, now).map_err(refused(&self.bytes, BYTES))
    }

    /// Takes so many of each, whatever is left.
    pub fn owe(&self, operations: u64, bytes: u64) {
        if self.are_limited() {
            let now = self.now();
            self.operations.owe(operations, now);
            self.bytes.owe(bytes, now);
        }
    }

    /// Takes what a group accesses, beside the one operation that its message is, whatever is left. The sum
    /// is made where it counts.
    #[inline]
    pub fn owe_group(&self, whole: impl FnOnce() -> Sum) {
        if self.are_limited() {
            let Sum { accesses, bytes } = whole();
            self.owe(accesses.saturating_sub(1), bytes);
        }
    }

    /// The same, where that much is left.
    ///
    /// # Errors
    /// As [`Self::take`].
    #[inline]
    pub fn take_group(&self, whole: impl FnOnce() -> Sum) -> Result<(), Failure> {
        if !self.are_limited() {
            return Ok(());
        }
        let Sum { accesses, bytes } = whole();
        self.take(accesses.saturating_sub(1), bytes)
    }

    /// How long until something is left of each; none where it is.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        if !self.are_limited() {
            return None;
        }
        let now = self.now();
        let waits = [&self.operations, &self.bytes].map(|rate| rate.look(1, now).err());
        waits.into_iter().flatten().max()
    }

    /// Takes so many of each for a message of a stream, as soon as any is left of each.
    ///
    /// # Errors
    /// What ends the call.
    pub async fn take_in_time(
        &self,
        operations: u64,
        bytes: u64,
        gate: &Gate,
    ) -> Result<(), Failure> {
        while self.are_limited() {
            let now = self.now();
            let left = self
                .bytes
                .look(1, now)
                .and_then(|()| self.operations.take_ahead(operations, now))
                .map(|()| self.bytes.owe(bytes, now));
            match left {
                Ok(()) => break,
                Err(after) => gate.wait(self.clock.after(after)).await?,
            }
        }
        Ok(())
    }

    /// Waits until something is left of each.
    ///
    /// # Errors
    /// What ends the call.
    pub async fn until_some_is_left(&self, gate: &Gate) -> Result<(), Failure> {
        while let Some(after) = self.wait() {
            gate.wait(self.clock.after(after)).await?;
        }
        Ok(())
    }

    fn now(&self) -> Tick {
        Tick::after(self.clock.now().saturating_duration_since(self.epoch))
    }
}

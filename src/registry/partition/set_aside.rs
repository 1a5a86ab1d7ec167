//! The RAM that is held for what of a partition's minimum nobody uses, and its hand-over.
//!
//! ```text
//! create, grow   pay → hand_over: ballast given back → the memory's pages taken at once
//! delete         pages given back → charge dropped → take_up: ballast taken again
//! ```
//!
//! Law: what is to be held follows from the books alone, so that who pays and who gives back need not
//! know of it. Given is before a memory takes; taken again is as soon as there is time for it, by
//! whoever made room or by the sweep; what the host refuses then is counted, shown, and tried again.
//! All of it is slow kernel work: on the pool, at start, or in the sweep. Its lock is held meanwhile,
//! and the books are looked at under it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Failure;
use crate::memory::{Ballast, BallastForm, Footprint, PageAllocator, Refused};
use crate::registry::ledger::{Account, Amount, Payer};
use crate::registry::partition::Partition;
use crate::units::ByteCount;

/// Taken before anyone else has a turn: some 10 ms of the kernel's time.
const SLICE: ByteCount = ByteCount::new(16 << 20);
/// Slices taken by who does other work as well: a third of a second.
const AT_ONCE: usize = 32;

#[derive(Debug)]
pub(super) struct SetAside {
    kept: Mutex<Option<Kept>>,
    host: Arc<Account>,
    /// What the ballast holds, to be seen while it changes.
    held: AtomicU64,
    failures: AtomicU64,
}

/// A ballast, and what it costs the host beside what it holds. Dropped, that is given back.
#[derive(Debug)]
struct Kept {
    ballast: Ballast,
    host: Arc<Account>,
    cost: Amount,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.host.give_back(self.cost);
    }
}

impl SetAside {
    pub(super) fn new(host: &Arc<Account>) -> Self {
        Self {
            kept: Mutex::default(),
            host: Arc::clone(host),
            held: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// What is held, and how often the host refused to have it held again.
    pub(super) fn figures(&self) -> (u64, u64) {
        (self.held.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, ballast: &Ballast) {
        self.held.store(ballast.held().get(), Ordering::Relaxed);
    }
}

impl Partition {
    /// Makes the place for what is set aside, and pays for that.
    pub(in crate::registry) fn prepare(
        &self,
        allocator: &dyn PageAllocator,
        refused: impl Fn(&Refused) -> Failure,
    ) -> Result<(), Failure> {
        if self.spec.minimum == ByteCount::ZERO {
            return Ok(());
        }
        let pages = self.spec.pages.unwrap_or_default();
        let form = BallastForm { total: self.spec.minimum, pages, nodes: self.spec.nodes.clone() };
        let cost = cost(&form.footprint());
        let host = Arc::clone(&self.set_aside.host);
        host.pay_as_host(cost)?;
        match allocator.ballast(&form) {
            Ok(ballast) => {
                *self.set_aside.kept() = Some(Kept { ballast, host, cost });
                Ok(())
            }
            Err(why) => {
                host.give_back(cost);
                Err(refused(&why))
            }
        }
    }

    /// Gives back what its contents, and those of the partitions it is in, have paid for.
    pub(in crate::registry) fn hand_over(&self) -> Result<(), Refused> {
        self.upwards().try_for_each(|one| {
            let mut kept = one.set_aside.kept();
            let Some(Kept { ballast, .. }) = &mut *kept else { return Ok(()) };
            let given = ballast.give(one.to_hold(ballast.held()));
            one.set_aside.note(ballast);
            given
        })
    }

    /// What is to be held now: all that is left of the minimum, or no more than is held.
    fn to_hold(&self, held: ByteCount) -> ByteCount {
        self.unused().min(held)
    }

    /// A pool's pages are in use by what is committed; what memories cost beside is not of the pool.
    fn unused(&self) -> ByteCount {
        let (unused, uncommitted) = self.unused_minimum();
        let Some(page) = self.spec.pages.unwrap_or_default().pool() else {
            return ByteCount::new(unused);
        };
        // Rounded up, for what children borrow may hold a little that is no page.
        let extra = self.spec.minimum.get().checked_rem(page.get()).unwrap_or(0);
        let whole = ByteCount::new(uncommitted.saturating_sub(extra));
        whole.checked_round_up(page).unwrap_or(whole)
    }

    /// Takes some of what is to be held and is not, here and in the partitions it is in. Whether there
    /// is nothing more to take.
    pub(in crate::registry) fn take_up(&self) -> Result<bool, Refused> {
        for one in self.upwards() {
            if !one.take_up_alone()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same of this partition alone.
    pub(in crate::registry) fn take_up_alone(&self) -> Result<bool, Refused> {
        let mut kept = self.set_aside.kept();
        let Some(Kept { ballast, .. }) = &mut *kept else { return Ok(true) };
        let taken = ballast.take(self.unused(), SLICE);
        self.set_aside.note(ballast);
        taken
    }

    /// Takes some of it again, a slice after the other; what is left, and what the host refuses, is for
    /// the next sweep.
    pub(in crate::registry) fn take_up_much(&self) {
        for _slice in 0..AT_ONCE {
            if self.take_up_some() {
                break;
            }
        }
    }

    /// One slice of that; whether it is over.
    pub(in crate::registry) fn take_up_some(&self) -> bool {
        self.take_up().unwrap_or_else(|error| {
            let failures = self.set_aside.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            // The sweep tries again every second or so: it is said less and less often.
            if failures.is_power_of_two() {
                let partition = &self.id;
                tracing::warn!(%partition, failures, %error, "a part of a minimum is not set aside");
            }
            true
        })
    }

    /// Gives all of it back, for good.
    pub(in crate::registry) fn lay_down(&self) -> Result<(), Refused> {
        let mut kept = self.set_aside.kept();
        if let Some(Kept { ballast, .. }) = &mut *kept {
            let released = ballast.release();
            self.set_aside.note(ballast);
            released?;
        }
        *kept = None;
        Ok(())
    }
}

impl Payer {
    /// What a partition has set aside makes room for what was paid from it; to be called before pages
    /// are taken.
    pub(in crate::registry) fn hand_over(&self) -> Result<(), Refused> {
        self.partition().map_or(Ok(()), |partition| partition.hand_over())
    }

    /// A partition sets aside again what was given back to it.
    pub(in crate::registry) fn take_up(&self) {
        if let Some(partition) = self.partition() {
            partition.take_up_much();
        }
    }
}

fn cost(footprint: &Footprint) -> Amount {
    Amount { memories: 0, ..Amount::memory(footprint) }
}

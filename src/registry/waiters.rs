//! [`Waiters`]: who waits for which address of which memory, in order of arrival.
//!
//! ```text
//! park, after the compare and under the memory's own lock ──> parked
//! parked ── notify ──────────────────────────> told: woken ──┬─ polled ──> over
//!   │  └─── the memory's end, the drain ─────> told: why  ───┘
//!   └─ leave (dropped, out of time) ──> over   told: woken ── dropped before polled ──> the next is woken
//! ```
//!
//! Law: each is told once, and who is told first came first. A wake whose waiter went away before it
//! heard of it passes on to the next of those who waited when the notify came: as if the one had gone
//! just before. With none left it is gone with its waiter, as a wake of an agent that then ends.
//!
//! All of one memory is in one shard, whose lock is held for a look or a change and no wake or drop of
//! a [`Waker`]: a task's last share may go with its waker, and another wait with the task. Knows no
//! clock: who waits no longer says so ([`Waiting::give_up`]). Who does not wait costs nothing here.

use std::array;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::memory::sync::{Mutex, MutexGuard, lock};
use crate::model::Uuid;

/// Beside the first: enough that two cores' memories rarely meet.
const MORE_SHARDS: usize = if cfg!(linmemd_loom) { 0 } else { 63 };

/// All waiters of one registry.
#[derive(Debug)]
pub(super) struct Waiters {
    first: Mutex<Shard>,
    more: [Mutex<Shard>; MORE_SHARDS],
}

#[derive(Default)]
struct Shard {
    parked: BTreeMap<Place, Option<Waker>>,
    /// By arrival: who is not parked any more and has not heard of it.
    told: BTreeMap<u64, Told>,
    arrivals: u64,
    is_closed: bool,
}

/// Where one waits, ordered as they are to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    memory: Uuid,
    address: u64,
    arrival: u64,
}

#[derive(Clone, Copy, Debug)]
enum Told {
    /// By a notify that came when there had been so many arrivals.
    Woken {
        arrivals: u64,
    },
    Over(Over),
}

/// Why nobody will be woken any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The memory has ended.
    Gone,
    /// The memory is quarantined.
    Quarantined(&'static str),
    /// The daemon is ending.
    Draining,
}

/// The wakers of those who were told, to be woken without the lock.
type Wakers = Vec<Option<Waker>>;

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("parked", &self.parked.len()).finish_non_exhaustive()
    }
}

impl Shard {
    /// Tells up to `count` of those in a range.
    fn tell(&mut self, from: Place, to: Place, count: usize, told: Told) -> Wakers {
        let places: Vec<Place> =
            self.parked.range(from..=to).take(count).map(|(place, _)| *place).collect();
        let mut wakers = Vec::with_capacity(places.len());
        for place in places {
            if let Some(waker) = self.parked.remove(&place) {
                self.told.insert(place.arrival, told);
                wakers.push(waker);
            }
        }
        wakers
    }

    /// Wakes up to `count` of those who waited when there had been so many arrivals.
    fn wake(&mut self, memory: Uuid, address: u64, count: usize, arrivals: u64) -> Wakers {
        let Some(last) = arrivals.checked_sub(1) else { return Vec::new() };
        let place = |arrival| Place { memory, address, arrival };
        self.tell(place(0), place(last), count, Told::Woken { arrivals })
    }
}

impl Default for Waiters {
    fn default() -> Self {
        Self { first: Mutex::default(), more: array::from_fn(|_| Mutex::default()) }
    }
}

impl Waiters {
    /// Parks one more, unless `is_over` says that it would wait in vain. Whoever makes that true tells
    /// those who are parked after it.
    pub(super) fn park(
        self: &Arc<Self>,
        memory: Uuid,
        address: u64,
        is_over: impl FnOnce() -> Option<Over>,
    ) -> Result<Waiting, Over> {
        let mut shard = self.shard(memory);
        if shard.is_closed {
            return Err(Over::Draining);
        }
        if let Some(over) = is_over() {
            return Err(over);
        }
        let place = Place { memory, address, arrival: shard.arrivals };
        shard.arrivals = shard.arrivals.saturating_add(1);
        shard.parked.insert(place, None);
        Ok(Waiting { waiters: Arc::clone(self), place, is_over: false })
    }

    /// Wakes those who wait for an address, `count` at most; how many.
    pub(super) fn notify(&self, memory: Uuid, address: u64, count: usize) -> u32 {
        let wakers = {
            let mut shard = self.shard(memory);
            let arrivals = shard.arrivals;
            shard.wake(memory, address, count, arrivals)
        };
        let woken = u32::try_from(wakers.len()).unwrap_or(u32::MAX);
        wake(wakers);
        woken
    }

    /// Nobody waits for anything of this memory any more.
    pub(super) fn end(&self, memory: Uuid, over: Over) {
        let from = Place { memory, address: 0, arrival: 0 };
        let to = Place { memory, address: u64::MAX, arrival: u64::MAX };
        let wakers = self.shard(memory).tell(from, to, usize::MAX, Told::Over(over));
        wake(wakers);
    }

    /// Nobody waits for anything any more, now or later.
    pub(super) fn close(&self) {
        let from = Place { memory: Uuid::nil(), address: 0, arrival: 0 };
        let to = Place { memory: Uuid::max(), address: u64::MAX, arrival: u64::MAX };
        for shard in [&self.first].into_iter().chain(&self.more) {
            let wakers = {
                let mut shard = lock(shard);
                shard.is_closed = true;
                shard.tell(from, to, usize::MAX, Told::Over(Over::Draining))
            };
            wake(wakers);
        }
    }

    /// Whether nobody waits and nobody has anything to hear.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        [&self.first].into_iter().chain(&self.more).all(|shard| {
            let shard = lock(shard);
            shard.parked.is_empty() && shard.told.is_empty()
        })
    }

    /// A uid is random, so any byte of it but the version's spreads well.
    fn shard(&self, memory: Uuid) -> MutexGuard<'_, Shard> {
        let [.., last] = *memory.as_bytes();
        let number = usize::from(last & 63);
        lock(self.more.get(number).unwrap_or(&self.first))
    }
}

fn wake(wakers: Wakers) {
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}

/// One wait. Dropped, it is over, and a wake that it has not heard of passes on.
#[must_use = "nobody waits where it is dropped"]
#[derive(Debug)]
pub(super) struct Waiting {
    waiters: Arc<Waiters>,
    place: Place,
    is_over: bool,
}

impl Waiting {
    /// Waits no longer. What it had been told before that; none where it was still parked.
    pub(super) fn give_up(&mut self) -> Option<Result<(), Over>> {
        let (waker, told) = {
            let mut shard = self.waiters.shard(self.place.memory);
            (shard.parked.remove(&self.place), shard.told.remove(&self.place.arrival))
        };
        drop(waker);
        self.is_over = true;
        told.map(Told::outcome)
    }
}

impl Told {
    const fn outcome(self) -> Result<(), Over> {
        match self {
            Self::Woken { .. } => Ok(()),
            Self::Over(over) => Err(over),
        }
    }
}

impl Future for Waiting {
    type Output = Result<(), Over>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_over {
            return Poll::Pending;
        }
        let (old, told) = {
            let mut shard = self.waiters.shard(self.place.memory);
            match shard.parked.get_mut(&self.place) {
                Some(waker) => (waker.replace(context.waker().clone()), None),
                None => (None, shard.told.remove(&self.place.arrival)),
            }
        };
        drop(old);
        let Some(told) = told else { return Poll::Pending };
        self.is_over = true;
        Poll::Ready(told.outcome())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let Place { memory, address, arrival } = self.place;
        let (waker, next) = {
            let mut shard = self.waiters.shard(memory);
            let waker = shard.parked.remove(&self.place);
            let next = match shard.told.remove(&arrival) {
                Some(Told::Woken { arrivals }) => shard.wake(memory, address, 1, arrivals),
                Some(Told::Over(_)) | None => Vec::new(),
            };
            (waker, next)
        };
        drop(waker);
        wake(next);
    }
}

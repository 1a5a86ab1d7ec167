//! [`Events`]: what happened to a tenant's memories, the last of it in a ring, and who waits for more.
//!
//! ```text
//! told ──> │ oldest … newest │ next        a sequence for each, from 1 on, without a gap
//!             ^ a watch, wherever it is: behind `oldest` it has lost what was between, and is told
//! ```
//!
//! Law: telling takes one short lock, waits for nobody and is O(1) over time; watches are woken after
//! the lock. What an event says comes true under that lock or, where a memory comes or goes, under the
//! directory's and that one in it; so whoever holds both sees memories as the events before `next` made
//! them, which is what a snapshot rests on (`watch.rs`). The ring is charged as overhead in steps that it
//! then keeps; where it may have no more, the oldest go. Reads and writes know nothing of it. The clock
//! is handed down, as all time is.

mod happening;
#[cfg(all(test, not(linmemd_loom)))]
mod tests;
mod watch;

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

pub use happening::{Event, EventKind, EventKinds, Happening, ShareStep, Sharing};
pub use watch::{Beginning, Present, Seen, Unwatchable, Watch};

use crate::registry::ledger::{Amount, Charge, Payer};

/// How much is paid for at once: some sixty events.
const STEP_BYTES: u64 = 16 << 10;
/// Less is not worth it.
const LEAST_BYTES: u64 = 1 << 10;
/// The part of a tenant's quota that its events may take: who never watches must not feel them.
const SHARE: u64 = 64;
/// Events that a watch takes at once.
const AHEAD: usize = 64;
/// What those may cost that it then keeps, whoever still pays for them: the first it looks at at once.
pub const AHEAD_BYTES: u64 = 4 << 10;

/// How events are kept.
#[derive(Clone, Copy, Debug)]
pub struct EventSettings {
    /// How many of each tenant at most; 0: nothing is told.
    pub ring: usize,
    /// What their times are read from.
    pub clock: fn() -> SystemTime,
}

impl EventSettings {
    /// Nothing is told.
    pub const NONE: Self = Self { ring: 0, clock: SystemTime::now };
}

/// One tenant's events.
#[derive(Debug)]
pub struct Events {
    settings: EventSettings,
    payer: Arc<Payer>,
    /// What they may cost.
    most_bytes: AtomicU64,
    ring: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    /// The sequence of the event that comes next; those kept are the ones just before it.
    next: u64,
    kept: VecDeque<Arc<Event>>,
    /// What those cost.
    bytes: u64,
    paid: Option<Charge>,
    /// Watches that have seen everything, by number.
    waiting: Vec<(u64, Waker)>,
    /// How many watches there have been.
    watches: u64,
}

/// What there is for a watch.
enum Next {
    /// The events from there on were taken.
    Taken,
    /// It has to go on at this one.
    Lost { oldest: u64 },
}

impl Events {
    pub(super) fn new(settings: EventSettings, payer: Arc<Payer>, quota_bytes: u64) -> Arc<Self> {
        let ring = Ring {
            next: 1,
            kept: VecDeque::new(),
            bytes: 0,
            paid: None,
            waiting: Vec::new(),
            watches: 0,
        };
        let most_bytes = AtomicU64::new(quota_bytes / SHARE);
        Arc::new(Self { settings, payer, most_bytes, ring: Mutex::new(ring) })
    }

    /// Another quota to have a share of. What is kept stays.
    pub(super) fn set_quota(&self, quota_bytes: u64) {
        self.most_bytes.store(quota_bytes / SHARE, Ordering::Relaxed);
    }

    /// Forgets the oldest until as much is free, or nothing is left; how much that is.
    pub(super) fn give_way(&self, bytes: u64) -> u64 {
        let mut ring = self.ring();
        while ring.paid().saturating_sub(ring.bytes) < bytes && ring.forget_oldest() {}
        let spare = ring.paid().saturating_sub(ring.bytes);
        let freed = ring.paid.as_mut().map(|paid| paid.split(Amount::overhead(spare)));
        drop(ring);
        freed.map_or(0, |freed| freed.amount().overhead_bytes)
    }

    /// How many are kept at most.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.settings.ring
    }

    /// What is charged for them.
    #[must_use]
    pub fn charged_bytes(&self) -> u64 {
        self.ring().paid()
    }

    /// Forgets all of them and gives back what they cost.
    pub(super) fn forget_all(&self) {
        let mut ring = self.ring();
        ring.kept.clear();
        ring.bytes = 0;
        let paid = ring.paid.take();
        drop(ring);
        drop(paid);
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.settings.clock)()
    }

    /// Carries a change out and, where it was one, tells of it at the same time.
    pub(super) fn tell(&self, event: impl FnOnce() -> Event, change: impl FnOnce() -> bool) {
        if self.settings.ring == 0 {
            let _changed = change();
            return;
        }
        let event = event();
        let mut ring = self.ring();
        if !change() {
            return;
        }
        ring.put(event, self);
        let waiting = mem::take(&mut ring.waiting);
        drop(ring);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Tells of a change that the directory's lock keeps together with this; [`Self::wake`] follows
    /// when that is free.
    pub(super) fn put(&self, event: Event) {
        if self.settings.ring > 0 {
            self.ring().put(event, self);
        }
    }

    /// Wakes whoever waits.
    pub(super) fn wake(&self) {
        let waiting = mem::take(&mut self.ring().waiting);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Looks while nothing is told; and the sequence of what comes next.
    fn at_once<T>(&self, look: impl FnOnce() -> T) -> (u64, T) {
        let ring = self.ring();
        (ring.next, look())
    }

    /// A number for a watch; and the sequences of the oldest event kept and of the next one.
    fn enlist(&self) -> (u64, u64, u64) {
        let mut ring = self.ring();
        ring.watches = ring.watches.wrapping_add(1);
        (ring.watches, ring.oldest(), ring.next)
    }

    /// The sequence of what comes next.
    fn next(&self) -> u64 {
        self.ring().next
    }

    /// Takes some events from `from` on, or has the watch woken when there are any.
    fn take(
        &self,
        number: u64,
        from: u64,
        into: &mut VecDeque<Arc<Event>>,
        context: &mut Context<'_>,
    ) -> Poll<Next> {
        let mut ring = self.ring();
        let oldest = ring.oldest();
        if from < oldest {
            return Poll::Ready(Next::Lost { oldest });
        }
        let place = usize::try_from(from.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let mut rest = ring.kept.iter().skip(place).take(AHEAD);
        if let Some(first) = rest.next() {
            let mut room = AHEAD_BYTES;
            let fits = |event: &&Arc<Event>| {
                let left = room.checked_sub(event.cost());
                room = left.unwrap_or(room);
                left.is_some()
            };
            into.push_back(Arc::clone(first));
            into.extend(rest.take_while(fits).map(Arc::clone));
            return Poll::Ready(Next::Taken);
        }
        match ring.waiting.iter_mut().find(|(waiting, _)| *waiting == number) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => ring.waiting.push((number, context.waker().clone())),
        }
        Poll::Pending
    }

    /// A watch has gone.
    fn dismiss(&self, number: u64) {
        self.ring().waiting.retain(|(waiting, _)| *waiting != number);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nobody panics in the middle of a change.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn oldest(&self) -> u64 {
        self.next.saturating_sub(self.kept.len() as u64)
    }

    fn paid(&self) -> u64 {
        self.paid.as_ref().map_or(0, |paid| paid.amount().overhead_bytes)
    }

    fn put(&mut self, event: Event, of: &Events) {
        let cost = event.cost();
        self.next = self.next.saturating_add(1);
        while self.kept.len() >= of.settings.ring && self.forget_oldest() {}
        while self.bytes.saturating_add(cost) > self.paid() {
            if !self.pay_more(of) && !self.forget_oldest() {
                // Nothing fits: it is lost to whoever watches.
                return;
            }
        }
        self.bytes = self.bytes.saturating_add(cost);
        self.kept.push_back(Arc::new(event));
    }

    fn forget_oldest(&mut self) -> bool {
        let oldest = self.kept.pop_front();
        self.bytes = self.bytes.saturating_sub(oldest.as_ref().map_or(0, |oldest| oldest.cost()));
        oldest.is_some()
    }

    fn pay_more(&mut self, of: &Events) -> bool {
        let step =
            of.most_bytes.load(Ordering::Relaxed).saturating_sub(self.paid()).min(STEP_BYTES);
        if step < LEAST_BYTES {
            return false;
        }
        let Ok(more) = Charge::pay(&of.payer, Amount::overhead(step)) else { return false };
        match &mut self.paid {
            Some(paid) => paid.absorb(more),
            None => self.paid = Some(more),
        }
        true
    }
}

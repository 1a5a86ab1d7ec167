//! [`Shelves`]: the free slots of one size, several shelves of them.
//!
//! Law: a thread puts slots on its own shelf and takes them from there first, the last one first, so
//! that threads which make and give back memories at once do not meet; it looks at the others' before
//! a new slot is cut. Once closed, for the slabs are no more, what comes is let go of, and its space
//! with the last of its slots. Locks: one a shelf, a leaf; nothing is dropped while it is held.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::memory::slab::Free;

/// As many threads come and go without meeting.
const SHELVES: usize = 8;
/// Free slots whose places on a shelf are not worth giving back.
const FEW: usize = 1_024;

/// Free slots of one size.
#[derive(Debug, Default)]
pub(super) struct Shelves([Shelf; SHELVES]);

/// Aligned so that two threads' shelves share no line of the processors' caches.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shelf {
    /// A hint, so that an empty shelf is passed by without its lock.
    count: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last one first.
    free: Vec<Free>,
    closed: bool,
}

impl Shelves {
    /// Where the next who asks finds it.
    pub(super) fn put(&self, free: Free) {
        let Some(shelf) = self.0.get(own()) else { return };
        shelf.put([free]);
    }

    /// The slot that this thread gave back last, or another.
    pub(super) fn take(&self) -> Option<Free> {
        let (before, from_own) = self.0.split_at_checked(own())?;
        from_own.iter().chain(before).find_map(Shelf::take)
    }

    /// Lets go of all that are free and of all that come back.
    pub(super) fn close(&self) {
        for shelf in &self.0 {
            let mut state = shelf.state();
            state.closed = true;
            let free = std::mem::take(&mut state.free);
            shelf.count.store(0, Ordering::Relaxed);
            drop(state);
            drop(free);
        }
    }

    /// Does something to each free slot that keeps RAM. Nobody gets one meanwhile, and none is waited
    /// for: a shelf without them has other slots, or new ones are cut.
    pub(super) fn each_warm(&self, deed: impl Fn(&mut Free)) {
        for shelf in &self.0 {
            let mut warm = shelf.take_warm();
            warm.iter_mut().for_each(&deed);
            shelf.put(warm);
        }
    }

    /// Looks at all that are free.
    #[cfg(all(test, not(linmemd_loom)))]
    pub(super) fn look(&self, mut at: impl FnMut(&Free)) {
        self.0.iter().for_each(|shelf| shelf.state().free.iter().for_each(&mut at));
    }
}

impl Shelf {
    fn put(&self, free: impl IntoIterator<Item = Free>) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            drop(free);
        } else {
            state.free.extend(free);
            self.count.store(state.free.len(), Ordering::Relaxed);
        }
    }

    /// Those that keep RAM.
    fn take_warm(&self) -> Vec<Free> {
        let mut state = self.state();
        let warm = state.free.extract_if(.., |free| free.warm > 0).collect();
        self.count.store(state.free.len(), Ordering::Relaxed);
        warm
    }

    /// The last one. What room for others has become idle is given back, a quarter kept.
    fn take(&self) -> Option<Free> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut state = self.state();
        let free = state.free.pop()?;
        let kept = state.free.len().saturating_mul(2);
        if state.free.capacity() >= FEW.max(kept.saturating_mul(2)) {
            state.free.shrink_to(kept);
        }
        self.count.store(state.free.len(), Ordering::Relaxed);
        Some(free)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; a poisoned state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of this thread's shelf: threads have them in turn.
fn own() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: Cell<Option<usize>> = const { Cell::new(None) });
    OWN.get().unwrap_or_else(|| {
        let own = THREADS.fetch_add(1, Ordering::Relaxed) % SHELVES;
        OWN.set(Some(own));
        own
    })
}

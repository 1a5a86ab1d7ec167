//! [`Movable`]: a value that many use at a time and that one may take away from all of them.
//!
//! ```text
//! word   | users × 2 | MOVING 1 |
//!
//! enter  ── MOVING? ──> refused         freeze ── MOVING set ──> waits until no user is left ──> moves
//!        └─ users + 1 ─> leave: users - 1, and the last one out wakes who waits        thaw: MOVING off
//! ```
//!
//! Law: while someone moves it nobody is inside, and nobody comes in; so no user ever sees a place that
//! is no more, and what a user wrote is there to be moved. Who is refused has done nothing and waits
//! elsewhere: in the order of a memory's lock, where there is one. Blocks no thread: who freezes is a
//! task. Does not know what it holds.

#![expect(unsafe_code, reason = "a value that many share and one changes is an UnsafeCell")]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::memory::sync::{AtomicUsize, Mutex, Ordering, UnsafeCell, lock};

const MOVING: usize = 1;
const USER: usize = 2;

/// A value with users that may be moved away from under none of them.
pub(super) struct Movable<T> {
    word: AtomicUsize,
    /// Who waits for the last user.
    mover: Mutex<Option<Waker>>,
    value: UnsafeCell<T>,
}

// SAFETY: `&T` is given to several threads at once (T: Sync) and `&mut T` to one at a time, possibly
// another than made it (T: Send); the word's protocol keeps the two apart.
unsafe impl<T: Send + Sync> Sync for Movable<T> {}
// SAFETY: the value moves with it, which needs T: Send and nothing more.
unsafe impl<T: Send> Send for Movable<T> {}

impl<T> Movable<T> {
    /// Nobody is inside.
    pub(super) fn new(value: T) -> Self {
        Self { word: AtomicUsize::new(0), mover: Mutex::new(None), value: UnsafeCell::new(value) }
    }

    /// A share in the value; none while it is being moved.
    pub(super) fn enter(&self) -> Option<Inside<'_, T>> {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & MOVING == 0 {
            let more = word.wrapping_add(USER);
            match self.word.compare_exchange_weak(word, more, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return Some(Inside(self)),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Lets nobody in from here on; to be awaited until everybody is out. None where someone else moves
    /// it already.
    pub(super) fn freeze(&self) -> Option<Freezing<'_, T>> {
        let before = self.word.fetch_or(MOVING, Ordering::AcqRel);
        // Not then_some: a Freezing that is dropped lets everybody in again.
        (before & MOVING == 0).then(|| Freezing { movable: self, over: false })
    }

    /// The value, for who has all of it.
    pub(super) fn into_inner(self) -> T {
        self.value.into_inner()
    }

    fn thaw(&self) {
        self.word.fetch_and(!MOVING, Ordering::Release);
    }
}

impl<T> fmt::Debug for Movable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Movable").field("word", &self.word).finish_non_exhaustive()
    }
}

/// A share in a value that stays where it is as long as this lives.
#[derive(Debug)]
pub(super) struct Inside<'a, T>(&'a Movable<T>);

impl<T> Inside<'_, T> {
    /// Looks at it.
    pub(super) fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.0.value.with(|value| {
            // SAFETY: the word counts this user, so nobody moves the value before it is dropped.
            look(unsafe { &*value })
        })
    }
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        if self.0.word.fetch_sub(USER, Ordering::AcqRel) == USER | MOVING {
            let waker = lock(&self.0.mover).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// The wait until nobody is inside. Dropped before that, it lets them in again.
#[must_use = "nobody comes in as long as this lives"]
pub struct Freezing<'a, T> {
    movable: &'a Movable<T>,
    over: bool,
}

impl<'a, T> Future for Freezing<'a, T> {
    type Output = Moving<'a, T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Moving<'a, T>> {
        let movable = self.movable;
        if self.over {
            // There is one Moving of it.
            return Poll::Pending;
        }
        // First the waker, then the look: the last one out does it the other way round.
        let before = lock(&movable.mover).replace(context.waker().clone());
        drop(before);
        if movable.word.load(Ordering::Acquire) != MOVING {
            return Poll::Pending;
        }
        self.over = true;
        Poll::Ready(Moving(movable))
    }
}

impl<T> Drop for Freezing<'_, T> {
    fn drop(&mut self) {
        if !self.over {
            self.movable.thaw();
        }
    }
}

impl<T> fmt::Debug for Freezing<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Freezing").field(&self.movable).finish()
    }
}

/// The value, alone. Dropped, it lets them in again.
pub struct Moving<'a, T>(&'a Movable<T>);

impl<T> Moving<'_, T> {
    /// Changes it.
    pub fn with_mut<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.0.value.with_mut(|value| {
            // SAFETY: MOVING is this value's and was seen without users, so nobody was or will be let
            // in before it is dropped; `&mut self` keeps its own references apart.
            change(unsafe { &mut *value })
        })
    }
}

impl<T> Drop for Moving<'_, T> {
    fn drop(&mut self) {
        self.0.thaw();
    }
}

impl<T> fmt::Debug for Moving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Moving").field(&self.0).finish()
    }
}

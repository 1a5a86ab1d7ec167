//! [`ReadGuard`] and [`WriteGuard`]: what a holder of a [`Locked`] has.
//!
//! Law: a guard is an owned value that keeps the lock's owner alive, so it can move into a job on
//! another thread; dropped there, it hands the lock on. Takes and grants nothing: `lock.rs` does.

#![expect(unsafe_code, reason = "hands out the value of an UnsafeCell")]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::lock::{Kind, Locked};

/// A share in the value of a lock inside `R`.
pub struct ReadGuard<R, T> {
    owner: Arc<R>,
    lock: NonNull<Locked<T>>,
}

/// The value of a lock inside `R`, alone.
pub struct WriteGuard<R, T> {
    owner: Arc<R>,
    lock: NonNull<Locked<T>>,
}

// SAFETY: a guard is an `Arc<R>` and a `&T` that may be used and dropped on another thread.
unsafe impl<R: Send + Sync, T: Send + Sync> Send for ReadGuard<R, T> {}
// SAFETY: `&ReadGuard` gives no more than `&R` and `&T`.
unsafe impl<R: Send + Sync, T: Send + Sync> Sync for ReadGuard<R, T> {}
// SAFETY: a guard is an `Arc<R>` and a `&mut T` that may be used and dropped on another thread.
unsafe impl<R: Send + Sync, T: Send + Sync> Send for WriteGuard<R, T> {}
// SAFETY: `&WriteGuard` gives no more than `&R` and `&T`.
unsafe impl<R: Send + Sync, T: Send + Sync> Sync for WriteGuard<R, T> {}

impl<R, T> ReadGuard<R, T> {
    /// # Safety
    /// `lock` is inside `*owner`, stays there as long as that lives, and its word counts a reader
    /// for this guard alone.
    pub(super) unsafe fn new(owner: Arc<R>, lock: NonNull<Locked<T>>) -> Self {
        Self { owner, lock }
    }

    /// What the lock is inside of.
    pub fn owner(&self) -> &Arc<R> {
        &self.owner
    }

    fn locked(&self) -> &Locked<T> {
        // SAFETY: `lock` is inside `*owner` (new's condition); the Arc keeps that alive and in
        // place, and nobody gets `&mut R` while it is shared.
        unsafe { self.lock.as_ref() }
    }
}

impl<R, T> WriteGuard<R, T> {
    /// # Safety
    /// `lock` is inside `*owner`, stays there as long as that lives, and WRITER was set in its word
    /// for this guard alone.
    pub(super) unsafe fn new(owner: Arc<R>, lock: NonNull<Locked<T>>) -> Self {
        Self { owner, lock }
    }

    /// What the lock is inside of.
    pub fn owner(&self) -> &Arc<R> {
        &self.owner
    }

    fn locked(&self) -> &Locked<T> {
        // SAFETY: as in ReadGuard::locked.
        unsafe { self.lock.as_ref() }
    }
}

impl<R, T> Deref for ReadGuard<R, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the word counts this reader, so no writer was or will be admitted before drop.
        unsafe { &*self.locked().value.get() }
    }
}

impl<R, T> Deref for WriteGuard<R, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: WRITER is this guard's, so nobody else was or will be admitted before drop.
        unsafe { &*self.locked().value.get() }
    }
}

impl<R, T> DerefMut for WriteGuard<R, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in deref; `&mut self` keeps this guard's own references apart.
        unsafe { &mut *self.locked().value.get() }
    }
}

impl<R, T> Drop for ReadGuard<R, T> {
    fn drop(&mut self) {
        self.locked().release(Kind::Read);
    }
}

impl<R, T> Drop for WriteGuard<R, T> {
    fn drop(&mut self) {
        self.locked().release(Kind::Write);
    }
}

impl<R: fmt::Debug, T> fmt::Debug for ReadGuard<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadGuard").field(&self.owner).finish()
    }
}

impl<R: fmt::Debug, T> fmt::Debug for WriteGuard<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteGuard").field(&self.owner).finish()
    }
}

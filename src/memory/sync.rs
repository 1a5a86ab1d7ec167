//! Atomics and mutexes of the protocols that loom explores: std's, or loom's under
//! `--cfg linmemd_loom`. Owns nothing else.

#[cfg(linmemd_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU8, AtomicUsize, Ordering},
};
#[cfg(not(linmemd_loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU8, AtomicUsize, Ordering},
};

/// The value behind a mutex whose holders never leave it half changed, so that a panic elsewhere
/// in them poisons nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

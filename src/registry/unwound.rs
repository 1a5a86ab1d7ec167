//! Panics: caught here, and made known to whatever is dropped because of them.
//!
//! Law: a panic never passes a request or a pool job; a guard that is dropped because of one
//! quarantines its memory ([`unwinding`]). Does not count or report; callers do.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

thread_local! {
    static DROPPING: Cell<bool> = const { Cell::new(false) };
}

/// Something panicked and was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Runs `work`; a panic in it ends here.
///
/// What `work` only borrowed may be left in the middle of a change: give it to
/// [`drop_as_unwound`].
///
/// # Errors
/// [`Panicked`].
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_payload| Panicked)
}

/// Drops what a panic was caught in, so that the guards within know of it.
pub fn drop_as_unwound<T>(value: T) {
    DROPPING.set(true);
    // Its drop may panic in turn; the flag must not outlive it.
    let _second_panic = catch(move || drop(value));
    DROPPING.set(false);
}

/// Whether the value being dropped is dropped because of a panic.
pub(super) fn unwinding() -> bool {
    thread::panicking() || DROPPING.get()
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    struct Noted<'a>(&'a Cell<bool>);

    impl Drop for Noted<'_> {
        fn drop(&mut self) {
            self.0.set(unwinding());
        }
    }

    #[test]
    fn a_guard_knows_whether_a_panic_dropped_it() {
        let seen = Cell::new(true);
        drop(Noted(&seen));
        assert!(!seen.get());
        assert_eq!(
            catch(|| {
                let _noted = Noted(&seen);
                panic!("planted")
            }),
            Err::<(), _>(Panicked)
        );
        assert!(seen.get());
        seen.set(false);
        drop_as_unwound(Noted(&seen));
        assert!(seen.get());
        assert!(!unwinding());
    }
}

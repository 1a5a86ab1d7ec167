//! [`give_back`]: what the process's own heap has no use for goes back to the host.
//!
//! Law: of the calling thread, for every thread's part of the heap is its own, and nobody else may look
//! into it; what threads have freed whole is everybody's, and goes back then too. The heap would do that
//! itself as it frees, on whichever thread that is: [`only_when_told`] leaves it to who has the time for
//! it. Huge pages are no part of the heap: a thread that touches the first byte of one waits until all
//! two mebibytes are clear. Where another heap is the process's, as in tests, all this does nothing.

use std::ffi::{c_int, c_long};
use std::time::Duration;

/// The heap's `mi_option_purge_delay`, in milliseconds, which the bindings do not name.
const PURGE_DELAY: c_int = 15;
/// Longer than anybody waits who calls [`give_back`] now and then.
const NEVER: Duration = Duration::from_secs(3600);

/// Gives back what the calling thread has freed, as far as whole pages of it are free, and what others
/// have given back to the heap.
pub fn give_back() {
    #[expect(unsafe_code, reason = "the heap's own interface is C's")]
    // SAFETY: mi_collect asks for nothing but that it is called by a thread, which it looks up itself.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

/// From now on the heap gives back when it is told to.
pub fn only_when_told() {
    let delay = c_long::try_from(NEVER.as_millis()).unwrap_or(c_long::MAX);
    #[expect(unsafe_code, reason = "the heap's own interface is C's")]
    // SAFETY: mi_option_set takes two numbers, looks at the first, and may be called at any time.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, delay);
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    fn purge_delay() -> c_long {
        #[expect(unsafe_code, reason = "the heap's own interface is C's")]
        // SAFETY: mi_option_get takes a number and looks at it.
        unsafe {
            libmimalloc_sys::mi_option_get(PURGE_DELAY)
        }
    }

    /// The bindings count options; a heap of another version may count them otherwise.
    #[test]
    fn the_option_that_is_set_is_the_one_that_is_meant() {
        assert_eq!(purge_delay(), 1_000, "the heap's own");
        only_when_told();
        assert_eq!(purge_delay(), 3_600_000);
    }
}

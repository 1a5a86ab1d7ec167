//! [`poll`]: one poll of a connection, as those who take part in it know it: which one it is, and whether
//! what is answered waits for what is still to be begun.
//!
//! h2 hands calls over one at a time, and before each it looks at its socket and writes what is there to be
//! written. Calls that are answered as they are handed over (`task.rs`) would be a write each.
//!
//! ```text
//!  three HEADERS come │ call, held │ call, held │ call, written: all three in one
//! ```
//!
//! Law: a thread's own, and of the one connection that is being polled there. Nothing is held beyond a
//! poll: where something still is at its end, for HEADERS that were no call's, another poll comes at once.

use std::cell::Cell;
use std::task::Context;

thread_local! {
    /// Polls of connections on this thread.
    static POLLS: Cell<u64> = const { Cell::new(0) };
    /// HEADERS that came in this poll, less the calls that were begun in it.
    static TO_BEGIN: Cell<i64> = const { Cell::new(0) };
    /// Something was to be written and was not.
    static HELD: Cell<bool> = const { Cell::new(false) };
}

/// Polls a connection.
pub(crate) fn poll<R>(context: &mut Context<'_>, work: impl FnOnce(&mut Context<'_>) -> R) -> R {
    POLLS.set(POLLS.get().wrapping_add(1));
    TO_BEGIN.set(0);
    let outcome = work(context);
    TO_BEGIN.set(0);
    if HELD.take() {
        context.waker().wake_by_ref();
    }
    outcome
}

/// The number of this poll: another one's is another.
pub(crate) fn number() -> u64 {
    POLLS.get()
}

/// HEADERS came: most likely a call's.
pub(crate) fn headers_came() {
    TO_BEGIN.set(TO_BEGIN.get().saturating_add(1));
}

/// A call is handed over.
pub(crate) fn call_begins() {
    TO_BEGIN.set(TO_BEGIN.get().saturating_sub(1));
}

/// Whether what is to be written now is held until more is.
pub(crate) fn holds() -> bool {
    let holds = TO_BEGIN.get() > 0;
    HELD.set(holds);
    holds
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often a poll that does this asks for another one.
    fn wakes(work: impl FnOnce()) -> usize {
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        poll(&mut Context::from_waker(&waker), |_context| work());
        woken.0.load(Ordering::Relaxed)
    }

    #[test]
    fn what_is_answered_is_held_until_the_last_call_that_came_with_it_was_begun() {
        let woken = wakes(|| {
            assert!(!holds());
            (0..3).for_each(|_| headers_came());
            for left in [true, true, false] {
                call_begins();
                assert_eq!(holds(), left);
            }
        });
        assert_eq!(woken, 0, "all of it was written");
    }

    #[test]
    fn what_is_still_held_at_the_end_is_written_in_another_poll_at_once() {
        let woken = wakes(|| {
            headers_came();
            assert!(holds());
        });
        assert_eq!(woken, 1);
        assert!(!holds(), "and outside of one nothing is");
        assert_eq!(wakes(|| assert!(!holds())), 0);
        assert_eq!(wakes(headers_came), 0, "there was nothing to be written");
    }

    #[test]
    fn a_call_that_came_in_a_poll_before_holds_nothing() {
        let woken = wakes(|| {
            call_begins();
            assert!(!holds());
            headers_came();
            assert!(!holds(), "one came and one was begun");
        });
        assert_eq!(woken, 0);
    }
}

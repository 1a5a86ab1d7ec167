//! [`Gate`]: a call's point of no return.
//!
//! ```text
//! OPEN ──pass (the work, just before its first effect)──> PASSED ──rearm (a stream, next message)──> OPEN
//!   └───close (the deadline, or the caller has gone)────> CLOSED    (for good)
//! ```
//!
//! Law: of pass and close the first wins, so a call that answers DEADLINE_PASSED has changed
//! nothing and never will. Has no timer and wakes nobody.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Failure;
use crate::memory::sync::{AtomicU8, Ordering};

const OPEN: u8 = 0;
const PASSED: u8 = 1;
const CLOSED: u8 = 2;
/// Closed while a stream's message was being carried out: takes effect at [`Gate::rearm`].
const CLOSING: u8 = 3;

/// Decides once whether a call takes effect or is called off.
#[derive(Debug, Default)]
pub struct Gate(AtomicU8);

impl Gate {
    /// An open gate.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// To be called just before the first effect, which must not happen unless this is `Ok`.
    ///
    /// # Errors
    /// [`Failure::DeadlinePassed`]: called off.
    pub fn pass(&self) -> Result<(), Failure> {
        match self.0.compare_exchange(OPEN, PASSED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(PASSED | CLOSING) => Ok(()),
            Err(_) => Err(Failure::DeadlinePassed),
        }
    }

    /// Calls off what has not begun. Whether it had not.
    pub fn close(&self) -> bool {
        // In one step: a rearm between a look and an act would leave the gate open for good.
        let before =
            self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
                OPEN => Some(CLOSED),
                PASSED => Some(CLOSING),
                _ => None,
            });
        matches!(before, Ok(OPEN) | Err(CLOSED))
    }

    /// Between two messages of a stream: the next one may be called off again.
    pub fn rearm(&self) {
        if self.0.compare_exchange(PASSED, OPEN, Ordering::AcqRel, Ordering::Acquire)
            == Err(CLOSING)
        {
            self.0.store(CLOSED, Ordering::Release);
        }
    }

    /// Whether it was called off.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) == CLOSED
    }

    /// A wait that ends when the gate closes. Whoever closes the gate polls or drops it next.
    ///
    /// # Errors
    /// [`Failure::DeadlinePassed`]: called off.
    pub async fn wait<T>(&self, wait: impl Future<Output = T> + Unpin) -> Result<T, Failure> {
        self.guard(wait).await
    }

    /// The same wait, ended when the gate closes. Whoever closes the gate polls or
    /// drops it next.
    pub(super) fn guard<F: Future + Unpin>(&self, wait: F) -> Guarded<'_, F> {
        Guarded { gate: self, wait }
    }
}

pub(super) struct Guarded<'a, F> {
    gate: &'a Gate,
    wait: F,
}

impl<F: Future + Unpin> Future for Guarded<'_, F> {
    type Output = Result<F::Output, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.gate.is_closed() {
            return Poll::Ready(Err(Failure::DeadlinePassed));
        }
        Pin::new(&mut self.wait).poll(context).map(Ok)
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_pass_and_close_wins() {
        let gate = Gate::new();
        assert!(gate.close());
        assert_eq!(gate.pass(), Err(Failure::DeadlinePassed));
        let gate = Gate::new();
        assert_eq!(gate.pass(), Ok(()));
        assert!(!gate.close());
        assert!(!gate.is_closed());
    }

    #[test]
    fn a_stream_closed_within_a_message_ends_before_the_next() {
        let gate = Gate::new();
        assert_eq!(gate.pass(), Ok(()));
        gate.rearm();
        assert_eq!(gate.pass(), Ok(()));
        assert!(!gate.close());
        gate.rearm();
        assert!(gate.is_closed());
    }
}

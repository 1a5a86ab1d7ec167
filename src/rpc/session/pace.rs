//! [`Pace`]: how much a session does before others of its thread have their turn.
//!
//! Law: what is accessed counts, and each operation besides; what is over the bound waits for the
//! session's next turn. Groups that run and the session that polls them count together.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use crate::memory::Sum;

/// Bytes in a turn: some tenths of a millisecond, where they are of pages that nobody has touched.
const TURN: u64 = 512 << 10;
/// What an operation counts for beside its bytes: its page may be one that nobody has touched.
const OPERATION: u64 = 1 << 10;

/// What was done in this turn.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    /// Another turn begins.
    pub(super) fn begin(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// So much is done in this one.
    pub(super) fn spend(&self, done: Sum) {
        let cost = done.accesses.saturating_mul(OPERATION).saturating_add(done.bytes);
        self.0.fetch_add(cost, Ordering::Relaxed);
    }

    /// Whether there is nothing left of it.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= TURN
    }

    /// Waits for the next one, where nothing is left of this.
    pub(super) async fn turn(&self) {
        poll_fn(|context| {
            if !self.is_over() {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

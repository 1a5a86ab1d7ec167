//! [`Pace`]: how much a stream does before others of its thread have their turn.
//!
//! Law: what is accessed counts by its bytes, and each message or operation besides, for one without any
//! is work too. What is over the bound waits for the next turn, though all that it needs is there already.
//! All that shares a turn, as a session and its groups do, counts together.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use crate::memory::Sum;

/// Bytes in a turn: some tenths of a millisecond, where they are of pages that nobody has touched.
const TURN: u64 = 512 << 10;
/// What a message counts for beside its bytes: 64 empty ones are a turn.
const MESSAGE: u64 = TURN / 64;
/// What a message counts for that another has in its turn with it, beside what it leads to.
const TAKEN: u64 = 256;
/// What an operation counts for beside its bytes: its page may be one that nobody has touched.
const OPERATION: u64 = 1 << 10;

/// What was done in this turn.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    /// Another turn begins.
    pub(crate) fn begin(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// So much is accessed in this one.
    pub(crate) fn accessed(&self, sum: Sum) {
        self.spend(sum.accesses.saturating_mul(OPERATION), sum.bytes);
    }

    /// A message has been taken, of which `begins` says whether it begins or ends what goes on.
    pub(crate) fn took(&self, begins: bool) {
        self.spend(if begins { MESSAGE } else { TAKEN }, 0);
    }

    /// Whether there is nothing left of it.
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= TURN
    }

    /// Waits where nothing is left of this turn, until whoever shares it begins the next.
    pub(crate) async fn turn(&self) {
        poll_fn(|context| {
            if !self.is_over() {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// A message of so many bytes is next, after others' turn where nothing is left of this: for a stream
    /// that shares its turns with nothing.
    pub(crate) async fn message(&self, bytes: u64) {
        if self.is_over() {
            self.begin();
            tokio::task::yield_now().await;
        }
        self.spend(MESSAGE, bytes);
    }

    fn spend(&self, besides: u64, bytes: u64) {
        self.0.fetch_add(besides.saturating_add(bytes), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    /// How many messages of so many bytes, all there already, are gone through in each poll.
    fn at_a_time(bytes: u64) -> Vec<u32> {
        let done = std::cell::Cell::new(0);
        let mut stream = pin!(async {
            let pace = Pace::default();
            for _message in 0..200 {
                pace.message(bytes).await;
                done.set(done.get() + 1);
            }
        });
        let mut context = Context::from_waker(Waker::noop());
        let mut polls = Vec::new();
        while stream.as_mut().poll(&mut context).is_pending() {
            polls.push(done.replace(0));
        }
        polls
    }

    #[test]
    fn others_have_their_turn_after_some_messages_or_many_bytes() {
        assert_eq!(at_a_time(0), [64, 64, 64]);
        assert_eq!(at_a_time(120 << 10)[..3], [4, 4, 4]);
        assert_eq!(at_a_time(1 << 20)[..3], [1, 1, 1]);
    }
}

//! [`Untaken`]: the large replies of one connection that are on their way and not out yet.
//!
//! Once a reply's last byte is handed to hyper its call is over, whether or not the peer takes a byte
//! of it. So the reply's bytes themselves keep its part of the in-flight budgets, until the last of
//! them is in the socket or the stream is gone; and they are due by some moment, after which the
//! connection is ended, for nobody else could end them.
//!
//! Law: due after `grpc.stall_timeout` and the time that its bytes take at [`A_SECOND`] bytes a
//! second. A short reply is neither kept nor watched while the socket takes what there is, for then it is
//! out; while it does not, many of them would be as much as a large one, and each is like one.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::rpc::admission::InFlight;
use crate::rpc::task;

/// Bytes a second that the slowest peer takes or sends.
const A_SECOND: u64 = 64 << 10;
/// A reply below this is short.
pub(crate) const SHORT: usize = 4 << 10;
/// Whoever else would end it (`task.rs`) has done so by then.
const GRACE: Duration = Duration::from_secs(1);

/// How long a message of so many bytes may be on its way, where none may be for longer than `limit`.
pub(crate) fn patience(limit: Duration, bytes: usize) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    limit.saturating_add(Duration::from_secs(bytes / A_SECOND))
}

/// One connection's.
#[derive(Debug, Default)]
pub(crate) struct Untaken {
    kept: Mutex<Kept>,
    /// Whether the socket took less than it was given last.
    behind: AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    ever: u64,
    due: BTreeMap<u64, Instant>,
}

/// A reply's bytes, what they are charged and when they are due.
struct Charged {
    bytes: Bytes,
    _held: Option<InFlight>,
    number: u64,
    untaken: Arc<Untaken>,
    /// Dropped with this, which is how it tells.
    _tells: oneshot::Sender<()>,
}

/// Ready when a message is out. While it is awaited its peer is due to take it.
#[derive(Debug)]
pub(crate) struct Departure {
    out: oneshot::Receiver<()>,
    handed_over: Instant,
    within: Duration,
}

impl Future for Departure {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let out = Pin::new(&mut self.out).poll(context);
        if out.is_pending() {
            task::handed_over(self.within.saturating_sub(self.handed_over.elapsed()));
        }
        out.map(|_told| ())
    }
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.untaken.kept().due.remove(&self.number);
    }
}

impl Untaken {
    /// The same bytes, which keep what they are charged until they are out, and what tells when that is.
    pub(crate) fn charge(
        self: &Arc<Self>,
        bytes: Bytes,
        held: Option<InFlight>,
        limit: Duration,
    ) -> (Bytes, Departure) {
        self.keep(bytes, held, limit, Some(GRACE))
    }

    /// The same of a stream that goes on, and ends itself where its peer takes nothing: the connection is
    /// not ended for it.
    pub(crate) fn charge_of_stream(
        self: &Arc<Self>,
        bytes: Bytes,
        held: Option<InFlight>,
        limit: Duration,
    ) -> (Bytes, Departure) {
        self.keep(bytes, held, limit, None)
    }

    fn keep(
        self: &Arc<Self>,
        bytes: Bytes,
        held: Option<InFlight>,
        limit: Duration,
        grace: Option<Duration>,
    ) -> (Bytes, Departure) {
        let (tells, out) = oneshot::channel();
        let (handed_over, within) = (Instant::now(), patience(limit, bytes.len()));
        let due = grace.and_then(|grace| handed_over.checked_add(within.saturating_add(grace)));
        let number = {
            let mut kept = self.kept();
            kept.ever = kept.ever.wrapping_add(1);
            let number = kept.ever;
            if let Some(due) = due {
                kept.due.insert(number, due);
            }
            number
        };
        let untaken = Arc::clone(self);
        let charged = Charged { bytes, _held: held, number, untaken, _tells: tells };
        (Bytes::from_owner(charged), Departure { out, handed_over, within })
    }

    /// Whether a reply of so many bytes is charged until it is out.
    pub(crate) fn minds(&self, bytes: usize) -> bool {
        bytes >= SHORT || self.behind.load(Ordering::Relaxed)
    }

    /// Whether the socket is full.
    pub(crate) fn set_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::Relaxed);
    }

    /// Whether something should have been out by now.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        self.kept().due.values().any(|due| *due <= now)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_out_in_time_is_late_and_what_is_out_is_not() {
        let untaken = Arc::new(Untaken::default());
        let limit = Duration::from_secs(2);
        let (reply, _departure) = untaken.charge(vec![7; 128 << 10].into(), None, limit);
        let part = reply.slice(5..9);
        drop(reply);
        let now = Instant::now();
        assert_eq!(part, [7; 4].as_slice());
        assert!(!untaken.is_late(now + Duration::from_secs(4)), "two seconds for its bytes");
        assert!(untaken.is_late(now + Duration::from_secs(6)));
        drop(part);
        assert!(!untaken.is_late(now + Duration::from_secs(6)));
    }
}

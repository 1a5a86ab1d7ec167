//! [`LogQueue`]: the log's lines, between those who tell them and the one thread that waits for their sink.
//!
//! ```text
//! direct ── open ──> queued ── end ──> ending ── nothing is left, or the sink takes too long ──> over
//! ```
//!
//! Law: telling never waits for the sink. Lines come out in the order in which they were told; what finds
//! no room is lost and counted, and so is all that comes after it until the other end has taken what there
//! is: a gap is one, and its place is known. Bounded in bytes. Writes nothing.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Half a second's lines of ten thousand creates a second.
const ROOM: usize = 1 << 20;

/// The lines on their way.
#[derive(Debug)]
pub(super) struct LogQueue {
    pending: Mutex<Pending>,
    changed: Condvar,
    /// In all.
    lost: AtomicU64,
}

#[derive(Debug)]
struct Pending {
    stage: Stage,
    lines: Vec<u8>,
    /// After those lines.
    lost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody takes anything.
    Direct,
    Queued,
    /// What there is is still taken.
    Ending,
    /// Nothing is told any more.
    Over,
}

/// What was taken out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    /// Lines that are missing after those.
    pub(super) lost: u64,
}

impl LogQueue {
    pub(super) const fn new() -> Self {
        let pending = Pending { stage: Stage::Direct, lines: Vec::new(), lost: 0 };
        Self { pending: Mutex::new(pending), changed: Condvar::new(), lost: AtomicU64::new(0) }
    }

    /// One more line, or one more that is lost; false where whoever tells it is to write it.
    pub(super) fn tell(&self, line: &[u8]) -> bool {
        let mut pending = self.pending();
        if pending.stage == Stage::Direct {
            return false;
        }
        let is_full = pending.lost > 0 || pending.lines.len().saturating_add(line.len()) > ROOM;
        if is_full || pending.stage == Stage::Over {
            pending.lost = pending.lost.saturating_add(1);
            self.lose();
            return true;
        }
        let was_empty = pending.lines.is_empty();
        pending.lines.extend_from_slice(line);
        drop(pending);
        if was_empty {
            self.changed.notify_all();
        }
        true
    }

    /// Lines are taken from now on; false where they are already.
    pub(super) fn open(&self) -> bool {
        let mut pending = self.pending();
        let is_direct = pending.stage == Stage::Direct;
        if is_direct {
            pending.stage = Stage::Queued;
        }
        is_direct
    }

    /// Nobody takes them after all.
    pub(super) fn shut(&self) {
        self.pending().stage = Stage::Direct;
    }

    /// Waits for lines; none when it is over.
    pub(super) fn next(&self) -> Option<Batch> {
        let is_idle = |pending: &mut Pending| {
            pending.stage == Stage::Queued && pending.lines.is_empty() && pending.lost == 0
        };
        let waited = self.changed.wait_while(self.pending(), is_idle);
        let mut pending = waited.unwrap_or_else(PoisonError::into_inner);
        if pending.lines.is_empty() && pending.lost == 0 {
            pending.stage = Stage::Over;
            drop(pending);
            self.changed.notify_all();
            return None;
        }
        let lines = mem::take(&mut pending.lines);
        Some(Batch { lines, lost: mem::take(&mut pending.lost) })
    }

    /// Waits until what was told is taken and written, for so long at most.
    pub(super) fn end(&self, limit: Duration) {
        let mut pending = self.pending();
        if pending.stage != Stage::Queued {
            return;
        }
        pending.stage = Stage::Ending;
        self.changed.notify_all();
        let is_left = |pending: &mut Pending| pending.stage != Stage::Over;
        let waited = self.changed.wait_timeout_while(pending, limit, is_left);
        // Whoever still tells something must not wait for the sink either.
        waited.unwrap_or_else(PoisonError::into_inner).0.stage = Stage::Over;
    }

    /// One that came out could not be written.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    fn batch(lines: &[&[u8]], lost: u64) -> Option<Batch> {
        Some(Batch { lines: lines.concat(), lost })
    }

    #[test]
    fn lines_come_out_in_order_and_a_gap_is_told_where_it_is() {
        let queue = LogQueue::new();
        assert!(!queue.tell(b"before\n"), "to be written by who tells it");
        assert!(queue.open() && !queue.open());
        let large = vec![b'x'; ROOM - 4];
        for line in [b"a\n", &large[..], b"too long\n", b"b\n"] {
            assert!(queue.tell(line));
        }
        assert_eq!(queue.next(), batch(&[b"a\n", &large], 2), "short ones overtake nobody");
        queue.tell(b"c\n");
        assert_eq!((queue.next(), queue.lost()), (batch(&[b"c\n"], 0), 2));
    }

    #[test]
    fn the_end_waits_for_what_was_told_and_not_for_a_sink_that_takes_nothing() {
        let (queue, long) = (LogQueue::new(), Duration::from_secs(600));
        queue.open();
        queue.tell(b"a\n");
        let taken = thread::scope(|scope| {
            let taken = scope.spawn(|| std::iter::from_fn(|| queue.next()).collect::<Vec<_>>());
            queue.end(long);
            taken.join().unwrap()
        });
        assert_eq!(taken, Vec::from_iter(batch(&[b"a\n"], 0)));
        let (queue, begun) = (LogQueue::new(), Instant::now());
        queue.open();
        queue.tell(b"a\n");
        queue.end(Duration::from_millis(10));
        assert!(queue.tell(b"after the end\n"), "not to be written by who tells it");
        assert!(queue.lost() == 1 && begun.elapsed() < long);
    }
}

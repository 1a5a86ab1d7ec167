//! [`LogQueue`]: the log's lines, between those who tell them and the one thread that waits for their sink.
//!
//! ```text
//! direct ── open ──> queued ── end ──> ending ── nothing is left, or the sink takes too long ──> over
//! ```
//!
//! Law: telling never waits for the sink. Lines come out in the order in which they were told; what finds
//! no room is lost and counted, and so is all that comes after it until the other end has taken what there
//! is: a gap is one, and its place is known. Bounded in bytes; a line that is longer than that is cut, and
//! says so. Whoever waits is woken by the first that there is to take, a line or a gap. Writes nothing.

use std::borrow::Cow;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Half a second's lines of ten thousand creates a second.
const ROOM: usize = 1 << 20;
/// Of it, for what a line that was cut says of the rest.
const MORE: usize = 64;

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
        let line = cut(line);
        let was_idle = pending.is_empty();
        let is_full = pending.lost > 0 || pending.lines.len().saturating_add(line.len()) > ROOM;
        if is_full || pending.stage == Stage::Over {
            pending.lost = pending.lost.saturating_add(1);
            self.lose();
        } else {
            pending.lines.extend_from_slice(&line);
        }
        drop(pending);
        if was_idle {
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
        let is_idle = |pending: &mut Pending| pending.stage == Stage::Queued && pending.is_empty();
        let waited = self.changed.wait_while(self.pending(), is_idle);
        let mut pending = waited.unwrap_or_else(PoisonError::into_inner);
        if pending.is_empty() {
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

impl Pending {
    /// Whether there is nothing to take.
    const fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost == 0
    }
}

/// A line as far as there is room for it in an empty queue, and how much is missing.
fn cut(line: &[u8]) -> Cow<'_, [u8]> {
    if line.len() <= ROOM {
        return Cow::Borrowed(line);
    }
    let begin = line.get(..ROOM.saturating_sub(MORE)).unwrap_or_default();
    // Not within a character.
    let begin = match std::str::from_utf8(begin) {
        Err(torn) => begin.get(..torn.valid_up_to()).unwrap_or_default(),
        Ok(_) => begin,
    };
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let more = format!("... ({} bytes more)\n", text.len().saturating_sub(begin.len()));
    Cow::Owned([begin, more.as_bytes()].concat())
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
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
    fn a_line_that_no_room_is_large_enough_for_is_cut_and_those_after_it_come_out() {
        let (queue, (taken, batches)) = (Arc::new(LogQueue::new()), channel());
        queue.open();
        let other_end = Arc::clone(&queue);
        let writer =
            thread::spawn(
                move || while other_end.next().is_some_and(|one| taken.send(one).is_ok()) {},
            );
        let next = || batches.recv_timeout(Duration::from_secs(60)).expect("the writer is woken");
        let long = format!("a{}\n", "\u{e4}".repeat(ROOM));
        queue.tell(long.as_bytes());
        let cut = next();
        assert!(cut.lines.len() <= ROOM && cut.lost == 0, "{} bytes", cut.lines.len());
        let text = String::from_utf8(cut.lines).unwrap();
        let (begin, rest) = text.split_once("... (").unwrap();
        let more = rest.strip_suffix(" bytes more)\n").unwrap().parse::<usize>().unwrap();
        assert!(long.starts_with(begin) && begin.len() + more + 1 == long.len(), "{rest}");
        queue.tell(b"b\n");
        assert_eq!(Some(next()), batch(&[b"b\n"], 0));
        queue.end(Duration::from_secs(600));
        writer.join().unwrap();
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

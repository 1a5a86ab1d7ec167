//! [`Watch`]: one watcher's way through a tenant's events, from wherever it begins.
//!
//! ```text
//! snapshot   page │ page │ … │ last page       each read at one moment: names up to .., as of q1, q2, … Q
//! catch up   events from the beginning to Q, less those that their memory's page shows already
//! the end mark, and then every event from Q on
//! ```
//!
//! Law: an event of a memory's state is told if and only if it came after the moment at which the page
//! that the memory's name falls into was read. So a snapshot and its tail hold each change once, though
//! no lock is held for longer than a page. Nobody waits for a watch: it is behind, or it waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::model::MemoryId;
use crate::registry::events::{Event, EventKinds, Events, Next};
use crate::registry::looks::{LOOK, Looks};
use crate::registry::namespace::Namespace;
use crate::registry::record::Record;
use crate::registry::selector::LabelSelector;
use crate::units::WasmPages;

/// Memories read under one hold of the directory's lock.
const PAGE: usize = 256;

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// With what comes next.
    Now,
    /// With this event.
    At(u64),
    /// With every memory that there is.
    Snapshot,
}

/// Why a watch cannot begin there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwatchable {
    /// It is no longer kept.
    Compacted {
        /// The oldest that is, or the next one.
        oldest: u64,
    },
    /// It has not happened.
    Ahead {
        /// The next one.
        next: u64,
    },
}

/// What a watch sees.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A memory of the snapshot.
    Present(Present),
    /// The snapshot is whole; this comes next.
    SnapshotEnd(u64),
    /// What happened, and its sequence.
    Event(u64, Arc<Event>),
    /// These were overwritten before the watch came to them.
    Lost {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
}

/// A memory as a snapshot shows it.
#[derive(Clone, Debug)]
pub struct Present {
    /// The memory.
    pub record: Arc<Record>,
    /// Its size at that moment.
    pub size: WasmPages,
    /// Why it was quarantined then, if it was.
    pub quarantined: Option<&'static str>,
}

/// One watcher's way through the events.
#[derive(Debug)]
pub struct Watch {
    events: Arc<Events>,
    number: u64,
    /// The sequence of the first of `ahead`, or of what is to be taken next.
    position: u64,
    ahead: VecDeque<Arc<Event>>,
    selector: LabelSelector,
    kinds: EventKinds,
    snapshot: Option<Snapshot>,
    /// What is left before whoever polls has another turn.
    looks: Looks,
}

#[derive(Debug)]
struct Snapshot {
    namespace: Arc<Namespace>,
    page: VecDeque<Present>,
    /// The last name of each page but the last one, and what came next when it was read.
    pages: Vec<(MemoryId, u64)>,
    /// The same of the last page, once it has been read.
    whole: Option<u64>,
}

impl Watch {
    pub(in crate::registry) fn new(
        namespace: &Arc<Namespace>,
        beginning: Beginning,
        selector: LabelSelector,
        kinds: EventKinds,
    ) -> Result<Self, Unwatchable> {
        let events = Arc::clone(&namespace.home.events);
        let (number, oldest, next) = events.enlist();
        let position = match beginning {
            Beginning::At(sequence) if sequence < oldest => {
                return Err(Unwatchable::Compacted { oldest });
            }
            Beginning::At(sequence) if sequence > next => return Err(Unwatchable::Ahead { next }),
            Beginning::At(sequence) => sequence,
            Beginning::Now | Beginning::Snapshot => next,
        };
        let snapshot = (beginning == Beginning::Snapshot).then(|| Snapshot {
            namespace: Arc::clone(namespace),
            page: VecDeque::new(),
            pages: Vec::new(),
            whole: None,
        });
        let (ahead, looks) = (VecDeque::new(), Looks::new());
        Ok(Self { events, number, position, ahead, selector, kinds, snapshot, looks })
    }

    /// Everything before it has been seen, or passed over.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Whether a snapshot is still being told.
    #[must_use]
    pub const fn is_in_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// The sequence of what comes next for anybody.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.events.next()
    }

    /// What comes next.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Seen> {
        while !self.looks.are_over() {
            if let Some(seen) = self.of_snapshot() {
                return Poll::Ready(seen);
            }
            if self.snapshot.as_ref().is_some_and(Snapshot::has_more) {
                continue;
            }
            while self.caught_up().is_none()
                && !self.looks.are_over()
                && let Some(event) = self.ahead.pop_front()
            {
                let sequence = self.position;
                self.position = sequence.saturating_add(1);
                if self.wants(sequence, &event) {
                    return Poll::Ready(Seen::Event(sequence, event));
                }
            }
            if let Some(end) = self.caught_up() {
                self.snapshot = None;
                return Poll::Ready(Seen::SnapshotEnd(end));
            }
            // What is taken now is looked at in this turn: the first of it may be long.
            if !self.ahead.is_empty() || self.looks.are_over() {
                continue;
            }
            match self.events.take(self.number, self.position, &mut self.ahead, context) {
                Poll::Ready(Next::Taken) => {}
                Poll::Ready(Next::Lost { oldest }) => {
                    let first = std::mem::replace(&mut self.position, oldest);
                    return Poll::Ready(Seen::Lost { first, last: oldest.saturating_sub(1) });
                }
                Poll::Pending => {
                    self.looks = Looks::new();
                    return Poll::Pending;
                }
            }
        }
        // Much was looked at: others first.
        self.looks = Looks::new();
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// A memory of the snapshot, of the page at hand or of one that is now read.
    fn of_snapshot(&mut self) -> Option<Seen> {
        let snapshot = self.snapshot.as_mut()?;
        if snapshot.page.is_empty() && snapshot.whole.is_none() {
            snapshot.read_page();
        }
        while !self.looks.are_over()
            && let Some(present) = snapshot.page.pop_front()
        {
            self.looks.spend(LOOK);
            if present.record.is_selected(&self.selector, &mut self.looks) {
                return Some(Seen::Present(present));
            }
        }
        None
    }

    /// Where the watch is, once it has come to where its snapshot was whole.
    fn caught_up(&self) -> Option<u64> {
        let whole = self.snapshot.as_ref()?.whole?;
        (self.position >= whole).then_some(self.position)
    }

    fn wants(&mut self, sequence: u64, event: &Event) -> bool {
        self.looks.spend(LOOK);
        self.kinds.has(event.happening.kind())
            && event.is_selected(&self.selector, &mut self.looks)
            && !self.snapshot.as_ref().is_some_and(|snapshot| snapshot.shows(sequence, event))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.events.dismiss(self.number);
    }
}

impl Snapshot {
    fn read_page(&mut self) {
        let after = self.pages.last().map(|(last, _)| last);
        let (next, page, last) = self.namespace.present(after, PAGE);
        self.page = page;
        match last {
            Some(last) => self.pages.push((last, next)),
            None => self.whole = Some(next),
        }
    }

    /// Whether memories of it are still to be told, or read.
    fn has_more(&self) -> bool {
        self.whole.is_none() || !self.page.is_empty()
    }

    /// Whether the page that the memory's name falls into was read after that event.
    fn shows(&self, sequence: u64, event: &Event) -> bool {
        let page = self.pages.partition_point(|(last, _)| *last < event.memory_id);
        let read = self.pages.get(page).map(|(_, next)| *next).or(self.whole).unwrap_or(0);
        event.happening.is_of_state() && sequence < read
    }
}

impl Namespace {
    /// Begins to watch what happens to its memories.
    ///
    /// # Errors
    /// [`Unwatchable`].
    pub fn watch(
        self: &Arc<Self>,
        beginning: Beginning,
        selector: LabelSelector,
        kinds: EventKinds,
    ) -> Result<Watch, Unwatchable> {
        Watch::new(self, beginning, selector, kinds)
    }

    /// Up to `most` memories in order of name, all as they are at one moment; what is told next after
    /// it, and, where there are more, the last name.
    fn present(
        &self,
        after: Option<&MemoryId>,
        most: usize,
    ) -> (u64, VecDeque<Present>, Option<MemoryId>) {
        self.directory.page(after, most, |records, last| {
            let (next, page) = self.home.events.at_once(|| {
                let present = |record: &Arc<Record>| Present {
                    record: Arc::clone(record),
                    size: record.size(),
                    quarantined: record.quarantined(),
                };
                records.iter().map(present).collect()
            });
            (next, page, last)
        })
    }
}

//! [`Audit`]: the queue between those who make entries and the one who writes them.
//!
//! Law: telling never waits: where the queue is full the entry is lost and counted, and the other end
//! learns how many where they are missing: a gap is one, behind what was there before it. Refusals, of which
//! strangers can make as many as they like, have half of the queue at most, so that they cover nothing up, and
//! are told at a pace (`denials.rs`), so that they fill no disk. What they are beyond it is a number, a second
//! later at most, of which none is lost here.
//! Bounded: no two gaps are neighbours, so there is at most one more of them than of entries.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use metrics::Counter;

use crate::rpc::audit::{AuditEntry, Deed};
use crate::rpc::denials::{Denials, Untold};

/// Where entries go.
#[derive(Debug)]
pub struct Audit(Arc<Shared>);

/// Where they come out.
#[derive(Debug)]
pub struct AuditQueue(Arc<Shared>);

/// What comes out.
#[derive(Debug)]
pub enum AuditLine {
    /// One thing that was done.
    Entry(Box<AuditEntry>),
    /// So many are missing here.
    Lost {
        /// When the first of them was told.
        since: SystemTime,
        /// How many.
        entries: u64,
    },
    /// So many refusals were not told one by one.
    Denials(Untold),
}

#[derive(Debug)]
struct Shared {
    /// Of what is lost.
    counter: Counter,
    /// Entries in the queue at most; refusals, half of them.
    most: usize,
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    lines: VecDeque<AuditLine>,
    /// Among them.
    entries: usize,
    /// Among those.
    refusals: usize,
    denials: Denials,
    over: bool,
}

impl Audit {
    /// A queue of so many entries, and its other end.
    #[must_use]
    pub fn new(entries: usize, lost: Counter) -> (Self, AuditQueue) {
        let shared = Arc::new(Shared {
            counter: lost,
            most: entries,
            pending: Mutex::default(),
            changed: Condvar::new(),
        });
        (Self(Arc::clone(&shared)), AuditQueue(shared))
    }

    /// One more entry, or one more that is lost.
    pub fn tell(&self, entry: AuditEntry) {
        let entry = Box::new(entry);
        let mut pending = self.0.pending();
        let was_idle = pending.lines.is_empty();
        if entry.is_refusal() {
            let was_due = pending.denials.next().is_some();
            if !pending.denials.is_told(entry.peer, entry.time, Instant::now()) {
                drop(pending);
                // Who waits for lines waits for its moment too from now on.
                if !was_due {
                    self.0.changed.notify_all();
                }
                return;
            }
        }
        let refusals = pending.refusals.saturating_add(usize::from(entry.is_refusal()));
        let is_crowded = entry.is_refusal() && refusals > self.0.most / 2;
        if is_crowded || pending.entries >= self.0.most {
            pending.lose(entry.time);
            self.0.counter.increment(1);
        } else {
            pending.refusals = refusals;
            pending.entries = pending.entries.saturating_add(1);
            pending.lines.push_back(AuditLine::Entry(entry));
        }
        drop(pending);
        if was_idle {
            self.0.changed.notify_all();
        }
    }

    /// No more are told: the other end gives what there is, and then none.
    pub fn end(&self) {
        self.0.pending().over = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Nobody panics in the middle of a change.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// One more is missing behind all there is.
    fn lose(&mut self, time: SystemTime) {
        match self.lines.back_mut() {
            Some(AuditLine::Lost { entries, .. }) => *entries = entries.saturating_add(1),
            _ => self.lines.push_back(AuditLine::Lost { since: time, entries: 1 }),
        }
    }

    fn take(&mut self) -> Option<AuditLine> {
        let line = self.lines.pop_front()?;
        if let AuditLine::Entry(entry) = &line {
            self.entries = self.entries.saturating_sub(1);
            self.refusals = self.refusals.saturating_sub(usize::from(entry.is_refusal()));
        }
        Some(line)
    }
}

impl AuditEntry {
    fn is_refusal(&self) -> bool {
        self.deed == Deed::Deny || self.is_of_the_door
    }
}

impl AuditQueue {
    /// Waits for what is next; none when it is over.
    #[must_use]
    pub fn next(&self) -> Option<AuditLine> {
        let mut pending = self.0.pending();
        loop {
            let now = Instant::now();
            // Not behind lines that never end; but at the end, when each may be the last.
            let due = if pending.over { None } else { pending.denials.take(Some(now)) };
            if let Some(line) = due.map(AuditLine::Denials).or_else(|| pending.take()) {
                return Some(line);
            }
            if pending.over {
                return pending.denials.take(None).map(AuditLine::Denials);
            }
            pending = match pending.denials.next() {
                None => self.0.changed.wait(pending).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let left = due.saturating_duration_since(now);
                    let waited = self.0.changed.wait_timeout(pending, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// So many that came out could not be kept either.
    pub fn lose(&self, entries: u64) {
        self.0.counter.increment(entries);
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use crate::rpc::audit::Subject;

    fn entry(deed: Deed) -> AuditEntry {
        AuditEntry {
            time: SystemTime::UNIX_EPOCH,
            deed,
            method: "m",
            call_id: None,
            tenant: None,
            caller: None,
            peer: None,
            subject: Subject::default(),
            outcome: "OK",
            is_of_the_door: false,
        }
    }

    /// What there is, a word each.
    fn all(queue: &AuditQueue) -> Vec<String> {
        let word = |line| match line {
            AuditLine::Entry(entry) => entry.deed.word().to_owned(),
            AuditLine::Lost { entries, .. } => format!("lost {entries}"),
            AuditLine::Denials(untold) => format!("{} more", untold.entries),
        };
        std::iter::from_fn(|| queue.next()).map(word).collect()
    }

    #[test]
    fn refusals_have_half_of_the_queue_and_what_does_not_fit_is_counted() {
        let (audit, queue) = Audit::new(8, Counter::noop());
        (0..20).for_each(|_| audit.tell(entry(Deed::Deny)));
        (0..20).for_each(|_| audit.tell(entry(Deed::Create)));
        audit.end();
        let (deny, create) = (["deny"; 4], ["create"; 4]);
        assert_eq!(all(&queue), [&deny[..], &["lost 16"], &create, &["lost 16"]].concat());
        audit.tell(entry(Deed::Deny));
        assert_eq!(all(&queue), ["deny"], "what was taken makes room");
    }

    #[test]
    fn what_is_lost_is_told_where_it_is_missing() {
        let (audit, queue) = Audit::new(2, Counter::noop());
        let tell = |deed| audit.tell(entry(deed));
        for deed in [Deed::Deny, Deed::Deny, Deed::Deny, Deed::Create, Deed::Grow] {
            tell(deed);
        }
        let next = || match queue.next() {
            Some(AuditLine::Entry(entry)) => entry.deed.word(),
            Some(AuditLine::Lost { entries: 2, .. }) => "two",
            Some(AuditLine::Lost { entries: 1, .. }) => "one",
            other => panic!("{other:?}"),
        };
        assert_eq!([next(), next()], ["deny", "two"]);
        tell(Deed::Delete);
        audit.end();
        assert_eq!(all(&queue), ["create", "lost 1", "delete"], "after what was queued before it");
    }

    #[test]
    fn refusals_beyond_their_pace_take_no_room_and_their_number_comes_by_itself() {
        let (audit, queue) = Audit::new(1_024, Counter::noop());
        let begin = Instant::now();
        (0..300).for_each(|_| audit.tell(entry(Deed::Deny)));
        audit.tell(entry(Deed::Create));
        let mut lines = std::iter::from_fn(|| queue.next());
        let (mut told, mut counted, mut has_created) = (0, 0, false);
        while told + counted < 300 || !has_created {
            match lines.next() {
                Some(AuditLine::Entry(entry)) if entry.deed == Deed::Create => has_created = true,
                Some(AuditLine::Entry(_)) => told += 1,
                Some(AuditLine::Denials(untold)) => counted += untold.entries,
                other => panic!("{other:?}"),
            }
        }
        // Nothing woke the other end for it.
        assert!(counted > 0 && begin.elapsed() >= std::time::Duration::from_secs(1));
        (0..100).for_each(|_| audit.tell(entry(Deed::Deny)));
        audit.end();
        let last = all(&queue);
        assert!(last.last().is_some_and(|last| last.ends_with(" more")), "{last:?}");
    }
}

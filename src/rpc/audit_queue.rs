//! [`Audit`]: the queue between those who make entries and the one who writes them.
//!
//! Law: telling never waits: where the queue is full the entry is lost and counted, and the other end
//! learns how many. Refusals, of which strangers can make as many as they like, have half of the queue at
//! most, so that they cover nothing up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use metrics::Counter;

use crate::rpc::audit::{AuditEntry, Deed};

/// Where entries go.
#[derive(Debug)]
pub struct Audit {
    queue: SyncSender<Queued>,
    shared: Arc<Shared>,
    /// Refusals in the queue at most.
    refusals: usize,
}

/// Where they come out.
#[derive(Debug)]
pub struct AuditQueue {
    queue: Receiver<Queued>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
enum Queued {
    Entry(Box<AuditEntry>),
    /// Nothing: look whether it is over.
    Bell,
}

#[derive(Debug)]
struct Shared {
    counter: Counter,
    /// In the queue.
    refusals: AtomicUsize,
    /// Lost and not told.
    lost: AtomicU64,
    over: AtomicBool,
}

impl Audit {
    /// A queue of so many entries, and its other end.
    #[must_use]
    pub fn new(entries: usize, lost: Counter) -> (Self, AuditQueue) {
        let (sender, receiver) = sync_channel(entries);
        let shared = Arc::new(Shared {
            counter: lost,
            refusals: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let queue = AuditQueue { queue: receiver, shared: Arc::clone(&shared) };
        (Self { queue: sender, shared, refusals: entries / 2 }, queue)
    }

    /// One more entry, or one more that is lost.
    pub fn tell(&self, entry: AuditEntry) {
        let is_refusal = entry.deed == Deed::Deny;
        let refusals = &self.shared.refusals;
        if is_refusal && refusals.fetch_add(1, Ordering::AcqRel) >= self.refusals {
            refusals.fetch_sub(1, Ordering::AcqRel);
            return self.shared.lose();
        }
        if self.queue.try_send(Queued::Entry(Box::new(entry))).is_err() {
            if is_refusal {
                refusals.fetch_sub(1, Ordering::AcqRel);
            }
            self.shared.lose();
        }
    }

    /// No more are told: the other end gives what there is, and then none.
    pub fn end(&self) {
        self.shared.over.store(true, Ordering::Release);
        // Whoever takes from a full queue looks anyway.
        let _full_or_gone = self.queue.try_send(Queued::Bell);
    }
}

impl Shared {
    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::AcqRel);
        self.counter.increment(1);
    }
}

impl AuditQueue {
    /// Waits for the next entry; none when it is over.
    #[must_use]
    pub fn next(&self) -> Option<AuditEntry> {
        loop {
            let queued = if self.shared.over.load(Ordering::Acquire) {
                self.queue.try_recv().ok()?
            } else {
                self.queue.recv().ok()?
            };
            if let Queued::Entry(entry) = queued {
                if entry.deed == Deed::Deny {
                    self.shared.refusals.fetch_sub(1, Ordering::AcqRel);
                }
                return Some(*entry);
            }
        }
    }

    /// How many were lost since this was last asked.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.swap(0, Ordering::AcqRel)
    }

    /// One that came out could not be kept either.
    pub fn lose(&self) {
        self.shared.lose();
    }

    /// Those were not told after all: they are still to be.
    pub fn owe(&self, lost: u64) {
        self.shared.lost.fetch_add(lost, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::time::SystemTime;

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
        }
    }

    #[test]
    fn refusals_have_half_of_the_queue_and_what_does_not_fit_is_counted() {
        let (audit, queue) = Audit::new(8, Counter::noop());
        (0..20).for_each(|_| audit.tell(entry(Deed::Deny)));
        (0..20).for_each(|_| audit.tell(entry(Deed::Create)));
        assert_eq!(queue.lost(), 16 + 16);
        audit.end();
        let deeds: Vec<Deed> = std::iter::from_fn(|| queue.next()).map(|one| one.deed).collect();
        assert_eq!(deeds, [[Deed::Deny; 4], [Deed::Create; 4]].concat());
        assert_eq!(queue.lost(), 0, "told once");
        audit.tell(entry(Deed::Deny));
        assert!(queue.next().is_some(), "what was taken makes room");
    }
}

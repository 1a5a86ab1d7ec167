//! [`Attachments`]: what happens to the memories that one session has attached.
//!
//! ```text
//! a record: who has it attached ──tell──> the session's inbox: what changed, of which ──wake──> its poll
//! ```
//!
//! Law: telling waits for nobody and costs a memory that nobody has attached one look. What a handle is
//! told is what became of its memory in the end: many growths are one, and its end is the last. A handle
//! that is given up is told nothing more, and one that takes its place, even for the same memory, is
//! another. Does not know sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::registry::found::Found;
use crate::registry::record::Record;

/// What became of an attached memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// It has grown.
    Grown,
    /// What it was attached by is over.
    Revoked,
    /// Its name is gone.
    Gone,
}

/// Where one session hears of its memories.
#[derive(Debug, Default)]
pub struct Attachments(Mutex<Inbox>);

#[derive(Debug, Default)]
struct Inbox {
    /// With their handles, by the numbers of the attachments.
    changed: BTreeMap<u64, (u32, Changed)>,
    waker: Option<Waker>,
    /// Attachments so far.
    count: u64,
}

/// One attachment: the place of its inbox, and its number there.
pub(super) type Place = (usize, u64);

/// One memory that is attached. Given up when dropped.
#[must_use = "given up when dropped"]
#[derive(Debug)]
pub struct Attachment {
    found: Found,
    number: u64,
    told: Arc<Attachments>,
}

/// Who has a memory attached, and their handles for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Attached(BTreeMap<Place, (u32, Arc<Attachments>)>);

impl Attached {
    pub(super) fn insert(&mut self, place: Place, handle: u32, told: Arc<Attachments>) {
        self.0.insert(place, (handle, told));
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Arc<Attachments>> {
        self.0.remove(&place).map(|(_, told)| told)
    }

    /// Tells all of them.
    pub(super) fn tell(self, changed: Changed) {
        for ((_, number), (handle, told)) in self.0 {
            told.put(number, handle, changed);
        }
    }
}

impl Attachments {
    /// Hears of a memory from now on, as of this handle's.
    pub fn attach(self: &Arc<Self>, found: impl Into<Found>, handle: u32) -> Attachment {
        let attachment =
            Attachment { found: found.into(), number: self.number(), told: Arc::clone(self) };
        let (found, place) = (&attachment.found, attachment.place());
        found.record().aside().rare.get_or_insert_default().attached.insert(
            place,
            handle,
            Arc::clone(self),
        );
        if let Some(share) = found.share() {
            share.attach(place, handle, self);
        }
        attachment
    }

    fn number(&self) -> u64 {
        let mut inbox = self.inbox();
        inbox.count = inbox.count.wrapping_add(1);
        inbox.count
    }

    /// What became of the memory of an attachment, by its number and with its handle.
    pub fn poll_changed(&self, context: &mut Context<'_>) -> Poll<(u64, (u32, Changed))> {
        let mut inbox = self.inbox();
        match inbox.changed.pop_first() {
            Some(changed) => Poll::Ready(changed),
            None => {
                match &mut inbox.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    fn put(&self, number: u64, handle: u32, changed: Changed) {
        let mut inbox = self.inbox();
        let (_, last) = inbox.changed.entry(number).or_insert((handle, changed));
        *last = changed.max(*last);
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Nobody panics in the middle of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attachment {
    /// The memory, as it was found.
    #[must_use]
    pub const fn found(&self) -> &Found {
        &self.found
    }

    /// No other of this session has it.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    fn place(&self) -> Place {
        (Arc::as_ptr(&self.told).addr(), self.number)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(rare) = &mut self.found.record().aside().rare {
            rare.attached.remove(self.place());
        }
        if let Some(share) = self.found.share() {
            share.detach(self.place());
        }
        self.told.inbox().changed.remove(&self.number);
    }
}

impl Record {
    /// Tells those who have it attached.
    pub(super) fn tell_attached(&self, changed: Changed) {
        let told = match &self.aside().rare {
            Some(rare) if !rare.attached.0.is_empty() => rare.attached.clone(),
            _ => return,
        };
        told.tell(changed);
    }
}

//! [`Attachments`]: what happens to the memories that one session has attached.
//!
//! ```text
//! a record: who has it attached ──tell──> the session's inbox: what changed, by handle ──wake──> its poll
//! ```
//!
//! Law: telling waits for nobody and costs a memory that nobody has attached one look. What a handle is
//! told is what became of its memory in the end: many growths are one, and its end is the last. A handle
//! that is given up is told nothing more. Does not know sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::registry::record::Record;

/// What became of an attached memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// It has grown.
    Grown,
    /// Its name is gone.
    Gone,
}

/// Where one session hears of its memories.
#[derive(Debug, Default)]
pub struct Attachments(Mutex<Inbox>);

#[derive(Debug, Default)]
struct Inbox {
    changed: BTreeMap<u32, Changed>,
    waker: Option<Waker>,
}

/// One memory that is attached. Given up when dropped.
#[must_use = "given up when dropped"]
#[derive(Debug)]
pub struct Attachment {
    record: Arc<Record>,
    handle: u32,
    told: Arc<Attachments>,
}

/// Who has a memory attached: by the place of their inboxes and their handles.
#[derive(Debug, Default)]
pub(super) struct Attached(BTreeMap<(usize, u32), Arc<Attachments>>);

impl Attachments {
    /// Hears of a memory from now on, by a handle that is free.
    pub fn attach(self: &Arc<Self>, record: Arc<Record>, handle: u32) -> Attachment {
        let place = (Arc::as_ptr(self).addr(), handle);
        let mut aside = record.aside();
        aside.rare.get_or_insert_default().attached.0.insert(place, Arc::clone(self));
        drop(aside);
        Attachment { record, handle, told: Arc::clone(self) }
    }

    /// What became of the memory of a handle.
    pub fn poll_changed(&self, context: &mut Context<'_>) -> Poll<(u32, Changed)> {
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

    fn put(&self, handle: u32, changed: Changed) {
        let mut inbox = self.inbox();
        let last = inbox.changed.entry(handle).or_insert(changed);
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
    /// The memory.
    #[must_use]
    pub const fn record(&self) -> &Arc<Record> {
        &self.record
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(rare) = &mut self.record.aside().rare {
            rare.attached.0.remove(&(Arc::as_ptr(&self.told).addr(), self.handle));
        }
        self.told.inbox().changed.remove(&self.handle);
    }
}

impl Record {
    /// Tells those who have it attached.
    pub(super) fn tell_attached(&self, changed: Changed) {
        let told: Vec<_> = match &self.aside().rare {
            Some(rare) if !rare.attached.0.is_empty() => {
                let each =
                    |(at, told): (&(usize, u32), &Arc<Attachments>)| (at.1, Arc::clone(told));
                rare.attached.0.iter().map(each).collect()
            }
            _ => return,
        };
        told.into_iter().for_each(|(handle, told)| told.put(handle, changed));
    }
}

//! [`Handles`]: the memories of a session, and what is still to be done with each.
//!
//! Law: one group of a handle runs, those after it wait in order, those that failed before they ran
//! among them, so that results come in the order of their groups. A handle that is taken back while
//! something waits goes when that is done.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::error::Failure;
use crate::registry::Record;
use crate::rpc::operations::invalid;
use crate::rpc::session::group::Work;

/// Handles at once.
pub(super) const MAX_HANDLES: u32 = 1_024;

/// A memory that is attached.
pub(super) struct Attached {
    pub(super) record: Arc<Record>,
    pub(super) read_only: bool,
    runs: bool,
    queue: VecDeque<Queued>,
}

enum Queued {
    Work(Box<Work>),
    Failure(u64, Failure),
}

/// What is next on a handle.
pub(super) enum Next {
    /// Something runs, or nothing waits.
    Nothing,
    Work(Box<Work>),
    Failure(u64, Failure),
}

/// All that are attached.
#[derive(Default)]
pub(super) struct Handles {
    all: HashMap<u32, Attached>,
    /// Taken back, and not done yet: these answer to no group any more.
    leaving: HashMap<u32, Attached>,
}

impl Attached {
    /// Whether a group would be the next.
    pub(super) fn is_free(&self) -> bool {
        !self.runs && self.queue.is_empty()
    }
}

impl Handles {
    pub(super) fn get(&self, handle: u32) -> Option<&Attached> {
        self.all.get(&handle)
    }

    /// Gives a memory a handle.
    ///
    /// # Errors
    /// INVALID_FIELD where it is in use, TOO_LARGE where there are too many.
    pub(super) fn attach(
        &mut self,
        handle: u32,
        record: Arc<Record>,
        read_only: bool,
    ) -> Result<(), Failure> {
        if self.all.contains_key(&handle) || self.leaving.contains_key(&handle) {
            return Err(invalid("handle", "is in use"));
        }
        let count = self.all.len().saturating_add(self.leaving.len());
        if count >= MAX_HANDLES as usize {
            return Err(Failure::TooLarge {
                field: "handle",
                length: (count as u64).saturating_add(1),
                limit_name: "max_handles",
                limit: MAX_HANDLES.into(),
                instead: "detach one, or open another session",
            });
        }
        let attached = Attached { record, read_only, runs: false, queue: VecDeque::new() };
        self.all.insert(handle, attached);
        Ok(())
    }

    /// Takes a handle back, after what was sent on it; whether there was one.
    pub(super) fn detach(&mut self, handle: u32) -> bool {
        let Some(attached) = self.all.remove(&handle) else { return false };
        if !attached.is_free() {
            self.leaving.insert(handle, attached);
        }
        true
    }

    pub(super) fn queue(&mut self, handle: u32, work: Box<Work>) {
        if let Some(attached) = self.all.get_mut(&handle) {
            attached.queue.push_back(Queued::Work(work));
        }
    }

    pub(super) fn queue_failure(&mut self, handle: u32, tag: u64, failure: Failure) {
        if let Some(attached) = self.all.get_mut(&handle) {
            attached.queue.push_back(Queued::Failure(tag, failure));
        }
    }

    /// What is to be done next on a handle, unless something runs.
    pub(super) fn next(&mut self, handle: u32) -> Next {
        let Some(attached) = self.all.get_mut(&handle).or_else(|| self.leaving.get_mut(&handle))
        else {
            return Next::Nothing;
        };
        if attached.runs {
            return Next::Nothing;
        }
        match attached.queue.pop_front() {
            Some(Queued::Work(work)) => {
                attached.runs = true;
                Next::Work(work)
            }
            Some(Queued::Failure(tag, failure)) => Next::Failure(tag, failure),
            None => {
                self.leaving.remove(&handle);
                Next::Nothing
            }
        }
    }

    /// What ran on a handle has ended.
    pub(super) fn finished(&mut self, handle: u32) {
        if let Some(attached) = self.all.get_mut(&handle).or_else(|| self.leaving.get_mut(&handle))
        {
            attached.runs = false;
        }
    }
}

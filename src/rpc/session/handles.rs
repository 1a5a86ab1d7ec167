//! [`Handles`]: the memories of a session, and what is still to be done with each.
//!
//! Law: one group of a handle runs, those after it wait in order, those that failed before they ran
//! among them, so that results come in the order of their groups. A handle that is taken back while
//! something waits goes when that is done.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::error::Failure;
use crate::registry::{Attachment, Found, Record};
use crate::rpc::operations::invalid;
use crate::rpc::session::group::Work;
use crate::units::WasmPages;

/// Handles at once.
pub(super) const MAX_HANDLES: u32 = 1_024;

/// A memory that is attached.
pub(super) struct Attached {
    pub(super) attachment: Attachment,
    pub(super) read_only: bool,
    /// The size that the client has been told.
    pub(super) told: WasmPages,
    /// It is gone, and the client has been told.
    is_gone: bool,
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
    pub(super) const fn found(&self) -> &Found {
        self.attachment.found()
    }

    pub(super) fn record(&self) -> &Arc<Record> {
        self.found().record()
    }

    /// Whether a group would be the next.
    pub(super) fn is_free(&self) -> bool {
        !self.runs && self.queue.is_empty()
    }
}

impl Handles {
    pub(super) fn get(&self, handle: u32) -> Option<&Attached> {
        self.all.get(&handle)
    }

    /// The size that a memory has grown to, if the client has not been told of it.
    pub(super) fn grown(&mut self, handle: u32) -> Option<WasmPages> {
        let attached = self.all.get_mut(&handle)?;
        let size = attached.record().size();
        (size > attached.told).then(|| {
            attached.told = size;
            size
        })
    }

    /// The memory of a handle is gone: what is asked of it from now on says so, until another is
    /// attached in its place.
    pub(super) fn gone(&mut self, handle: u32) -> Option<&Found> {
        let attached = self.all.get_mut(&handle)?;
        attached.is_gone = true;
        Some(attached.found())
    }

    /// Gives a memory a handle, which may be that of one that is gone and has nothing left to do.
    ///
    /// # Errors
    /// INVALID_FIELD where it is in use, TOO_LARGE where there are too many, and why there is no memory;
    /// handles then are as they were.
    pub(super) fn attach(
        &mut self,
        handle: u32,
        attach: impl FnOnce() -> Result<Attachment, Failure>,
        read_only: bool,
    ) -> Result<&Attached, Failure> {
        let own = self.all.get(&handle);
        let is_in_use = own.is_some_and(|attached| !attached.is_gone || !attached.is_free());
        if is_in_use || self.leaving.contains_key(&handle) {
            return Err(invalid("handle", "is in use"));
        }
        let count = self.all.len().saturating_add(self.leaving.len());
        if own.is_none() && count >= MAX_HANDLES as usize {
            return Err(Failure::TooLarge {
                field: "handle",
                length: (count as u64).saturating_add(1),
                limit_name: "max_handles",
                limit: MAX_HANDLES.into(),
                instead: "detach one, or open another session",
            });
        }
        let attachment = attach()?;
        let told = attachment.found().record().size();
        let queue = VecDeque::new();
        let attached = Attached { attachment, read_only, told, is_gone: false, runs: false, queue };
        Ok(self.all.entry(handle).insert_entry(attached).into_mut())
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

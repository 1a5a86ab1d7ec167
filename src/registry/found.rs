//! [`Found`]: a memory, and how a caller of one namespace came to it.
//!
//! Law: what is [`Found::Own`] costs nothing more than its record; what is lent is told by the name that
//! it has here, never by its owner's.

use std::sync::Arc;

use crate::error::Failure;
use crate::model::{MemoryId, Now};
use crate::registry::record::Record;
use crate::registry::share::Share;

/// A memory that was looked up.
#[derive(Clone, Debug)]
pub enum Found {
    /// One of the namespace's own.
    Own(Arc<Record>),
    /// Another's, by a share that is mounted here.
    Lent(Arc<Share>),
}

impl Found {
    /// What the daemon keeps of it.
    #[must_use]
    pub fn record(&self) -> &Arc<Record> {
        match self {
            Self::Own(record) => record,
            Self::Lent(share) => share.record(),
        }
    }

    /// The memory, and what it goes by, where it is another's.
    #[must_use]
    pub fn into_parts(self) -> (Arc<Record>, Option<Arc<Share>>) {
        match self {
            Self::Own(record) => (record, None),
            Self::Lent(share) => (Arc::clone(share.record()), Some(share)),
        }
    }

    /// Its name here.
    #[must_use]
    pub fn name(&self) -> &MemoryId {
        match self {
            Self::Own(record) => &record.id,
            Self::Lent(share) => share.name().unwrap_or(&share.record().id),
        }
    }

    /// What it goes by, where it is another's.
    #[must_use]
    pub const fn share(&self) -> Option<&Arc<Share>> {
        match self {
            Self::Own(_) => None,
            Self::Lent(share) => Some(share),
        }
    }

    /// Whether its time here is over: its lease's, or the share's.
    #[must_use]
    pub fn has_expired(&self, now: Now) -> bool {
        match self {
            Self::Own(record) => record.has_expired(now),
            Self::Lent(share) => !share.is_there(now),
        }
    }

    /// What is told of it once it is over.
    #[must_use]
    pub fn gone(&self, now: Now) -> Failure {
        let record = self.record();
        match self {
            Self::Lent(share) if !record.has_ended() && !record.has_expired(now) => share.gone(),
            _ => Failure::MemoryNotFound { memory_id: self.name().clone() },
        }
    }

    /// A failure as it is told here.
    #[must_use]
    pub fn told(&self, failure: Failure) -> Failure {
        match self {
            Self::Own(_) => failure,
            Self::Lent(share) => share.told(failure),
        }
    }
}

impl From<Arc<Record>> for Found {
    fn from(record: Arc<Record>) -> Self {
        Self::Own(record)
    }
}

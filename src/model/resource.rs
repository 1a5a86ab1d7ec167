//! [`Resource`]: what a tenant has beside its memories, for failures that name one; and the bytes that a
//! spec has put in place.

use bytes::Bytes;

use crate::model::Id;

/// A segment's name within its tenant.
pub type SegmentId = Id;
/// A memory set's name within its tenant.
pub type SetId = Id;
/// A view's name within its tenant.
pub type ViewId = Id;

/// A share's name: 128 random bits, and nobody's who is not of it.
pub type ShareId = Id;

/// What a share lets its grantee do with the memory's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShareAccess {
    /// Read them, and wait for them to change.
    Read,
    /// That, and change them and wake who waits.
    ReadWrite,
}

impl ShareAccess {
    /// Its name on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::ReadWrite => "READ_WRITE",
        }
    }
}

/// Active segments that a spec may have: what a list shows of a thousand memories stays below 4 MiB.
pub const MAX_ACTIVE_SEGMENTS: usize = 256;

/// A kind of what a tenant has beside its memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Bytes to be put into memories.
    Segment,
    /// Memories that come and go together.
    MemorySet,
    /// A window on a memory.
    View,
    /// One tenant's memory for another tenant.
    Share,
}

impl Resource {
    /// Its name in sentences.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::MemorySet => "memory set",
            Self::View => "view",
            Self::Share => "share",
        }
    }

    /// Many of them, as a limit's name.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Segment => "segments",
            Self::MemorySet => "memory_sets",
            Self::View => "views",
            Self::Share => "shares",
        }
    }

    /// The field that names one.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Segment => "segment_id",
            Self::MemorySet => "set_id",
            Self::View => "view_id",
            Self::Share => "share_id",
        }
    }
}

/// Bytes to be put in place at create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveSegment {
    /// Where, from the memory's start.
    pub offset: u64,
    /// What.
    pub data: Bytes,
}

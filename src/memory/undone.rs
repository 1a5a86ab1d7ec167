//! [`Undone`]: why an access did not happen, or not as a whole.
//!
//! Law: says what became of the bytes, by kind; what is done about it is for who asked.

use crate::memory::access::NotMoved;
use crate::memory::integrity::Corruption;
use crate::memory::protections::Protected;
use crate::memory::volatile::Purged;
use crate::units::ByteRange;

/// The host failed under an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where the access began.
    pub offset: u64,
    /// How many bytes at most were not moved.
    pub count: u64,
}

/// An access did not happen, or not as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// Nothing has happened.
    Protected(Protected),
    /// The memory is being moved: nothing has happened.
    Moving,
    /// Nothing has happened now; its bytes went before.
    Purged(Purged),
    /// Bytes are lost, where it was a write.
    Fault(Fault),
    /// What was stored is not what is there.
    Corrupted(Corruption),
}

impl From<Protected> for Undone {
    fn from(protected: Protected) -> Self {
        Self::Protected(protected)
    }
}

impl From<Purged> for Undone {
    fn from(purged: Purged) -> Self {
        Self::Purged(purged)
    }
}

impl From<Fault> for Undone {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) const fn fault(range: ByteRange, not_moved: NotMoved) -> Fault {
    Fault { offset: range.start(), count: not_moved.count }
}

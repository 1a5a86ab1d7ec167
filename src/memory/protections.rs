//! [`Protections`]: the ranges of one memory that may not be read or not be written.
//!
//! Law: READ_WRITE is what bytes are that have no value here. Knows no bytes and no kernel.

use crate::memory::ranges::{Ranges, TooMany};
use crate::model::Protection;
use crate::units::{ByteCount, ByteRange};

/// What may not be done where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Protections(Ranges<Protection>);

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Read.
    Read,
    /// Write.
    Write,
}

/// An access of bytes that do not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protected {
    /// The first such byte.
    pub offset: u64,
    /// How many of them the access has in a row.
    pub length: u64,
    /// What they do allow.
    pub protection: Protection,
}

impl Protections {
    /// The same with a range of this protection.
    pub(super) fn with(&self, range: ByteRange, protection: Protection) -> Result<Self, TooMany> {
        let value = (protection != Protection::ReadWrite).then_some(protection);
        self.0.changed(range, |_old| value).wished(&self.0).map(Self)
    }

    /// The first bytes of an access that do not allow it.
    pub(super) fn against(&self, range: ByteRange, wanted: Use) -> Option<Protected> {
        let (found, protection) = self.0.first(range, |one| !one.allows(wanted == Use::Write))?;
        Some(Protected { offset: found.start(), length: found.length().get(), protection })
    }

    /// What may be done with the byte of a range that allows most.
    pub(super) fn widest(&self, range: ByteRange) -> Protection {
        let mut covered = ByteCount::ZERO;
        let mut reads = false;
        for (part, protection) in self.within(range) {
            covered = covered.checked_add(part.length()).unwrap_or(covered);
            reads |= protection == Protection::Read;
        }
        match (covered < range.length(), reads) {
            (true, _) => Protection::ReadWrite,
            (false, true) => Protection::Read,
            (false, false) => Protection::None,
        }
    }

    /// What the parts of a range are that are not READ_WRITE.
    pub(super) fn within(&self, range: ByteRange) -> impl Iterator<Item = (ByteRange, Protection)> {
        self.0.within(range)
    }

    /// How many more ranges are to be paid for than before.
    pub(super) const fn more_than(&self, before: &Self) -> usize {
        self.0.more_than(&before.0)
    }
}

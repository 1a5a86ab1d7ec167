//! [`Plan`]: a mutation that has been checked and not yet begun.
//!
//! Law: a plan that exists has its range within the size and its sources in hand, exactly as long as
//! the range; nothing has been done. `apply.rs` alone carries plans out.

use crate::memory::sources::Sources;
use crate::units::{ByteCount, ByteRange, OutOfBounds};

/// A checked mutation of one memory.
#[derive(Debug)]
pub struct Plan<'a>(pub(super) Change<'a>);

#[derive(Debug)]
pub(super) enum Change<'a> {
    /// `sources` are as long as `range`.
    Write {
        range: ByteRange,
        sources: &'a Sources,
    },
    /// As `Write`, in one piece.
    Put {
        range: ByteRange,
        bytes: &'a [u8],
    },
    Fill {
        range: ByteRange,
        value: u8,
    },
}

impl<'a> Plan<'a> {
    /// Puts `sources` at `offset` of a memory of `size` bytes.
    ///
    /// # Errors
    /// [`OutOfBounds`] where they do not lie within the size.
    pub fn write(offset: u64, sources: &'a Sources, size: ByteCount) -> Result<Self, OutOfBounds> {
        let range = ByteRange::within(offset, sources.length().get(), size)?;
        Ok(Self(Change::Write { range, sources }))
    }

    /// Puts bytes at the start of a range; as many as both have.
    #[must_use]
    pub fn put(range: ByteRange, bytes: &'a [u8]) -> Self {
        let (range, _past) = range.split(ByteCount::of(bytes));
        let bytes = bytes.get(..range.length().as_usize()).unwrap_or(bytes);
        Self(Change::Put { range, bytes })
    }

    /// Sets every byte of a range to `value`.
    #[must_use]
    pub const fn fill(range: ByteRange, value: u8) -> Self {
        Self(Change::Fill { range, value })
    }

    /// What it will change.
    #[must_use]
    pub const fn range(&self) -> ByteRange {
        match self.0 {
            Change::Write { range, .. }
            | Change::Put { range, .. }
            | Change::Fill { range, .. } => range,
        }
    }
}

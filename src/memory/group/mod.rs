//! [`Group`]: operations on one memory that happen as one, or not at all.
//!
//! ```text
//! Draft ── each operation checked against the size and the limits ──> Group ── run.rs ──> results
//! ```
//!
//! Law: a group that exists has every range within the size, every atomic aligned and every operand in
//! hand, exactly as long as it must be; nothing has been done. Compares are of the memory as it was
//! before the group. Does not know how operations come over a wire, nor who waits at an address.

mod draft;
mod run;
mod tally;

use bytes::Bytes;

use crate::memory::scalars::{Load, Operator, Width};
use crate::units::{ByteCount, ByteRange};

pub use draft::{Address, Draft, GroupLimits};
pub use run::{Notice, Slices, Stopped, Unfit};
pub use tally::{Sum, Tally};

/// Checked operations on one memory.
#[derive(Debug, Default)]
pub struct Group {
    steps: Vec<Step>,
    /// The operation of each step, where operations are not one step each.
    operations: Vec<u32>,
    /// What is written and compared; the first holds the small ones.
    operands: Vec<Bytes>,
    compares: bool,
    writes: bool,
    notifies: bool,
    touched: u64,
    pages: Pages,
    reply: u64,
    tally: Tally,
}

/// The host's pages that a group touches, one after the other: what of them nobody has touched yet, the
/// kernel has to make, which takes as long as a hundred small operations.
#[derive(Debug, Default)]
struct Pages {
    count: u64,
    /// The last one, and one more.
    last: u64,
}

impl Pages {
    /// More than one takes its turn on the pool for: some tenths of a millisecond, if all are to be made.
    const FEW: u64 = 256;
    /// The smallest that there are.
    const BYTES: u64 = 4096;

    const fn add(&mut self, range: ByteRange) {
        let first = range.start() / Self::BYTES;
        let end = range.end().div_ceil(Self::BYTES);
        let is_last = self.last == first.saturating_add(1) && end == self.last;
        if !is_last {
            self.count = self.count.saturating_add(end.saturating_sub(first));
            self.last = end;
        }
    }
}

/// Where an operand begins; it is as long as its range.
#[derive(Clone, Copy, Debug)]
struct Operand {
    piece: u32,
    at: u32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read(ByteRange),
    Load(ByteRange, Load),
    Compare(ByteRange, Operand),
    Write(ByteRange, Operand),
    Fill(ByteRange, u8),
    /// From where, and to where.
    Copy(ByteRange, ByteRange),
    /// The old number is answered, so wide.
    Rmw {
        range: ByteRange,
        to: Width,
        operator: Operator,
        operand: u64,
    },
    /// The operand is what is expected and then what is stored, eight bytes each.
    Cmpxchg {
        range: ByteRange,
        to: Width,
        operand: Operand,
    },
    Size,
    Notify {
        address: u64,
        count: u32,
    },
}

impl Group {
    /// Whether it changes any byte.
    #[must_use]
    pub const fn writes(&self) -> bool {
        self.writes
    }

    /// Whether it wakes who waits at an address.
    #[must_use]
    pub const fn notifies(&self) -> bool {
        self.notifies
    }

    /// Whether it does what a reader may not: write, or wake who waits.
    #[must_use]
    pub const fn is_a_writers(&self) -> bool {
        self.writes || self.notifies
    }

    /// How many bytes it touches.
    #[must_use]
    pub const fn touched(&self) -> ByteCount {
        ByteCount::new(self.touched)
    }

    /// Whether it is of so few bytes, and of few pages, that it is done at once.
    #[must_use]
    pub const fn is_short(&self, bytes: ByteCount) -> bool {
        self.touched <= bytes.get() && self.pages.count <= Pages::FEW
    }

    /// How many bytes its results have.
    #[must_use]
    pub const fn reply(&self) -> ByteCount {
        ByteCount::new(self.reply)
    }

    /// How many bytes it takes until it happens, beside its operands.
    #[must_use]
    pub const fn kept_bytes(&self) -> usize {
        let steps = self.steps.capacity().saturating_mul(size_of::<Step>());
        let operations = self.operations.capacity().saturating_mul(size_of::<u32>());
        let operands = self.operands.capacity().saturating_mul(size_of::<Bytes>());
        steps.saturating_add(operations).saturating_add(operands)
    }

    /// What is counted once it has happened.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The operation that a step is of, or a part of.
    fn operation(&self, step: usize) -> u32 {
        let own = || u32::try_from(step).unwrap_or(u32::MAX);
        self.operations.get(step).copied().unwrap_or_else(own)
    }

    /// An operand of this length.
    fn operand(&self, operand: Operand, length: usize) -> &[u8] {
        let at = operand.at as usize;
        let piece = self.operands.get(operand.piece as usize);
        piece.and_then(|piece| piece.get(at..at.saturating_add(length))).unwrap_or_default()
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    /// A group of 16,384 operations is then 640 KiB.
    #[test]
    fn a_step_is_small() {
        assert!(size_of::<Step>() <= 40, "{}", size_of::<Step>());
    }
}

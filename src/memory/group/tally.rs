//! [`Tally`]: what the accesses of one group add to counters, once it has happened.
//!
//! Law: a contiguous range of one operation is one access, of any length; one that reads and stores a
//! number is one, and counts as a write. Counts nothing by itself.

use crate::memory::regions::regions;
use crate::model::AccessKind;
use crate::units::{ByteRange, WasmPages};

/// Sums over the accesses of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    kinds: [Sum; AccessKind::COUNT],
    /// Of those that store nothing.
    pub reads: Sum,
    /// Of those that store.
    pub writes: Sum,
    /// The longest, in bytes.
    pub largest: u64,
    /// The last; none where there was none.
    pub last: Option<ByteRange>,
    /// Which 64ths of the maximum they touch.
    pub regions: u64,
}

/// So many accesses, of so many bytes in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub accesses: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Sum {
    const fn merge(&mut self, more: Self) {
        self.accesses = self.accesses.saturating_add(more.accesses);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    const fn add(&mut self, bytes: u64) {
        self.accesses = self.accesses.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Tally {
    /// Adds an access.
    pub fn add(&mut self, kind: AccessKind, range: ByteRange, stores: bool, maximum: WasmPages) {
        let bytes = range.length().get();
        if let Some(sum) = self.kinds.get_mut(kind.index()) {
            sum.add(bytes);
        }
        if stores { &mut self.writes } else { &mut self.reads }.add(bytes);
        self.largest = self.largest.max(bytes);
        self.last = Some(range);
        self.regions |= regions(range, maximum);
    }

    /// Adds what another has.
    pub fn merge(&mut self, more: &Self) {
        for (sum, more) in self.kinds.iter_mut().zip(more.kinds) {
            sum.merge(more);
        }
        self.reads.merge(more.reads);
        self.writes.merge(more.writes);
        self.largest = self.largest.max(more.largest);
        self.last = more.last.or(self.last);
        self.regions |= more.regions;
    }

    /// All of them together.
    #[must_use]
    pub fn whole(&self) -> Sum {
        let mut whole = self.reads;
        whole.merge(self.writes);
        whole
    }

    /// What there is of each kind of which there is any.
    pub fn kinds(&self) -> impl Iterator<Item = (AccessKind, Sum)> {
        let sums = AccessKind::ALL.into_iter().zip(self.kinds);
        sums.filter(|(_, sum)| sum.accesses > 0)
    }
}

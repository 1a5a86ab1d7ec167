//! [`Place`]: where a memory of the heap has its bytes, and how they come to be elsewhere.
//!
//! Law: what was ever written here is noted in the page map, here and, before its first byte is
//! copied, there; what was not is zero in both. Who may call what at the same time is said by its
//! owner, by `&` and `&mut`.

use crate::memory::access::{self, Opened};
use crate::memory::allocator::Pages;
use crate::memory::apply;
use crate::memory::heap::Block;
use crate::memory::linear::{LinearMemory, PublishedSize};
use crate::memory::page_map::{Granules, PageMap, PlainPageMap};
use crate::memory::plan::Plan;
use crate::memory::undone::{Fault, fault};
use crate::units::{ByteCount, ByteRange, WasmPages};

/// A page map of one kind or the other.
pub trait Written {
    /// Nothing written yet.
    fn none(granules: Granules) -> Self;
    /// What has been.
    fn seen(&self) -> (Granules, u64);
    /// Bytes of the range are about to be stored.
    fn add(&mut self, range: ByteRange);
}

impl Written for PlainPageMap {
    fn none(granules: Granules) -> Self {
        Self::of(granules)
    }

    fn seen(&self) -> (Granules, u64) {
        self.bits()
    }

    fn add(&mut self, range: ByteRange) {
        self.note(range);
    }
}

impl Written for PageMap {
    fn none(granules: Granules) -> Self {
        Self::of(granules, 0)
    }

    fn seen(&self) -> (Granules, u64) {
        self.bits()
    }

    fn add(&mut self, range: ByteRange) {
        self.note(range);
    }
}

/// Where a memory's bytes are.
#[derive(Debug)]
pub struct Place<W> {
    block: Block,
    size: WasmPages,
    written: W,
}

impl<W: Written> Place<W> {
    /// A memory of this size in a block that is as long and all zero.
    #[must_use]
    pub fn new(block: Block, size: WasmPages) -> Self {
        let granules = Granules::of(block.room(), block.host_page());
        Self { block: block.had(), size, written: W::none(granules) }
    }

    pub(super) const fn size(&self) -> WasmPages {
        self.size
    }

    pub(super) const fn block(&self) -> &Block {
        &self.block
    }

    pub(super) fn opened(&self) -> Opened<'_> {
        self.block.opened(self.size.bytes())
    }

    pub(super) fn read(&self, range: ByteRange, out: &mut Vec<u8>) -> Result<(), Fault> {
        access::append_to(out, self.opened(), range).map_err(|not_moved| fault(range, not_moved))
    }

    /// Carries a plan out, for who has the place alone.
    pub(super) fn apply_alone(&mut self, plan: &Plan<'_>) -> Result<(), Fault> {
        let Self { block, size, written } = self;
        apply::apply(block.opened(size.bytes()), |range| written.add(range), plan)
            .map_err(|not_moved| fault(plan.range(), not_moved))
    }

    /// Bytes of the range may have been stored by code that runs on them in place.
    pub fn note(&mut self, range: ByteRange) {
        self.written.add(range);
    }

    /// Copies at most `slice` of what was ever written at or past `from` to the same place there. How
    /// far it came; none where all is there.
    ///
    /// # Errors
    /// [`Fault`]: the host failed on either side.
    pub fn copy_some(
        &self,
        there: &mut Self,
        from: ByteCount,
        slice: ByteCount,
    ) -> Result<Option<ByteCount>, Fault> {
        let (granules, bits) = self.written.seen();
        let size = self.size.bytes();
        let Some((start, stop)) = granules.next(bits, from, slice, size) else { return Ok(None) };
        let length = stop.checked_sub(start).unwrap_or(ByteCount::ZERO);
        let lost = Fault { offset: start.get(), count: length.get() };
        let range = ByteRange::within(start.get(), length.get(), size).map_err(|_past| lost)?;
        let Self { block, size, written } = there;
        let to = block.opened(size.bytes());
        apply::carry(self.opened(), to, |range| written.add(range), range)
            .map_err(|not_moved| fault(range, not_moved))?;
        Ok(Some(stop))
    }

    /// Moves there, where everything has been copied; what is left here, to be wiped. Those who look
    /// without a lock see the new size last.
    #[must_use = "what is left holds the memory's bytes"]
    pub fn settle(&mut self, there: Self, shown: &PublishedSize) -> LinearMemory {
        let old = std::mem::replace(self, there);
        shown.raise(self.size);
        old.into_memory()
    }

    /// All that there is to it.
    #[cfg(all(test, not(linmemd_loom)))]
    pub(super) fn parts(self) -> (Block, WasmPages, W) {
        let Self { block, size, written } = self;
        (block, size, written)
    }

    /// As a memory that nobody uses any more: to be wiped and released like any other.
    #[must_use]
    pub fn into_memory(self) -> LinearMemory {
        let (granules, bits) = self.written.seen();
        LinearMemory::ended(Box::new(self.block), self.size, PageMap::of(granules, bits))
    }
}

impl Place<PageMap> {
    /// Carries a plan out, beside others that do.
    pub(super) fn apply(&self, plan: &Plan<'_>) -> Result<(), Fault> {
        apply::apply(self.opened(), |range| self.written.note(range), plan)
            .map_err(|not_moved| fault(plan.range(), not_moved))
    }
}

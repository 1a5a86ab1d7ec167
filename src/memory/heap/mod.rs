//! Memories on the process's heap, in two forms: [`ExclusiveMemory`], of which one at a time has the
//! whole, and [`SharedMemory`], which many use at a time.
//!
//! ```text
//! HeapAllocator → Block ──> Place (block, size, page map)
//!                             ├─ plain ────────────> ExclusiveMemory    &mut self, no atomics, no locks
//!                             └─ within Movable ───> SharedMemory       enter, use, leave; freeze, move
//! ```
//!
//! Law: a block is as long as its memory is now, so growth is a move: another block is taken, what was
//! ever written is copied, and the old block is wiped before the heap has it again. A growth that fails
//! leaves the old block as it was. There are no guards: bounds are kept by software alone, and
//! `placed` says so.

mod alone;
mod block;
mod exclusive;
mod movable;
#[cfg(all(test, linmemd_loom))]
mod movable_loom;
mod place;
mod shared;
#[cfg(all(test, not(linmemd_loom)))]
mod tests;

use std::sync::Arc;

pub use alone::Alone;
pub use block::Block;
pub use exclusive::ExclusiveMemory;
pub use movable::{Freezing, Moving};
pub use place::{Place, Written};
pub use shared::SharedMemory;

use crate::memory::allocator::{
    Fallbacks, Footprint, GuardKind, PageAllocator, Pages, Unallocated,
};
use crate::memory::layout::Layout;
use crate::memory::refused::{Going, Refused};
use crate::memory::slab::RECORD;
use crate::model::Populate;
use crate::os::kernel::Kernel;
use crate::units::ByteCount;

/// The record, the memory, its block, and what a heap keeps of a block, rounded up.
const HEAP_OVERHEAD: ByteCount = ByteCount::new(RECORD.get().saturating_add(384));
/// A heap takes blocks of pages from the kernel by a mapping each, as soon as they are long.
pub(super) const HEAP_MAPPINGS: u64 = 1;

/// Gets blocks from the process's heap.
#[derive(Debug)]
pub struct HeapAllocator {
    kernel: Arc<dyn Kernel>,
    fallbacks: Fallbacks,
}

impl HeapAllocator {
    /// An allocator on this kernel's process.
    #[must_use]
    pub fn new(kernel: Arc<dyn Kernel>) -> Self {
        Self { kernel, fallbacks: Fallbacks::default() }
    }
}

impl PageAllocator for HeapAllocator {
    fn footprint(&self, layout: &Layout) -> Footprint {
        Footprint {
            committed: layout.initial.bytes(),
            overhead: HEAP_OVERHEAD,
            mappings: HEAP_MAPPINGS,
            // Nothing is set aside for growth.
            ..Footprint::default()
        }
    }

    fn guard_kind(&self) -> GuardKind {
        GuardKind::None
    }

    fn fallbacks(&self) -> &Fallbacks {
        &self.fallbacks
    }

    /// A block of the initial size, which is all the room there is.
    fn allocate(&self, layout: &Layout, going: Going<'_>) -> Result<Box<dyn Pages>, Unallocated> {
        let block = self.block(layout.initial.bytes(), layout.form.populate, going)?;
        Ok(Box::new(block.had()))
    }

    fn block(
        &self,
        length: ByteCount,
        populate: Populate,
        going: Going<'_>,
    ) -> Result<Block, Refused> {
        let block = Block::take(Arc::clone(&self.kernel), length)?;
        if populate != Populate::None {
            block.touch(going)?;
        }
        Ok(block)
    }
}

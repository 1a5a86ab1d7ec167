//! [`Allocators`]: every way to get pages, chosen memory by memory.
//!
//! Law: a spec names its allocator and gets that or a refusal by name, never another. Which there are
//! is decided once, at start.

use std::sync::Arc;

use crate::memory::allocator::{
    Fallbacks, Footprint, GuardKind, PageAllocator, Pages, Unallocated,
};
use crate::memory::heap::{Block, HeapAllocator};
use crate::memory::layout::Layout;
use crate::memory::mmap::MmapAllocator;
use crate::memory::refused::{Going, Refused};
use crate::model::{Allocator, Populate};
use crate::os::kernel::Kernel;
use crate::units::ByteCount;

/// Every allocator of this daemon.
#[derive(Debug)]
pub struct Allocators {
    mmap: MmapAllocator,
    heap: HeapAllocator,
}

impl Allocators {
    /// By mmap and, on this kernel's process, from the heap.
    #[must_use]
    pub fn new(mmap: MmapAllocator, kernel: Arc<dyn Kernel>) -> Self {
        Self { mmap, heap: HeapAllocator::new(kernel) }
    }
}

impl PageAllocator for Allocators {
    fn footprint(&self, layout: &Layout) -> Footprint {
        match layout.form.allocator {
            Allocator::Mmap | Allocator::Fixed => self.mmap.footprint(layout),
            Allocator::Heap => self.heap.footprint(layout),
        }
    }

    fn guard_kind(&self) -> GuardKind {
        self.mmap.guard_kind()
    }

    fn fallbacks(&self) -> &Fallbacks {
        self.mmap.fallbacks()
    }

    fn allocate(&self, layout: &Layout, going: Going<'_>) -> Result<Box<dyn Pages>, Unallocated> {
        match layout.form.allocator {
            Allocator::Mmap => self.mmap.allocate(layout, going),
            Allocator::Heap => self.heap.allocate(layout, going),
            Allocator::Fixed => Err(no_arena().into()),
        }
    }

    fn block(
        &self,
        length: ByteCount,
        populate: Populate,
        going: Going<'_>,
    ) -> Result<Block, Refused> {
        self.heap.block(length, populate, going)
    }
}

fn no_arena() -> Refused {
    Refused::NotHere {
        field: "spec.allocator",
        value: "ALLOCATOR_FIXED".to_owned(),
        why: "no arena was set aside at start; an operator sets fixed.slots in the config",
    }
}

//! [`Allocators`]: every way to get pages, chosen memory by memory.
//!
//! Law: a spec names its allocator and gets that or a refusal by name, never another. Which there are
//! is decided once, at start.

use std::sync::Arc;

use crate::memory::allocator::{
    Fallbacks, Footprint, GuardKind, PageAllocator, Pages, Unallocated,
};
use crate::memory::ballast::{Ballast, BallastForm};
use crate::memory::fixed::FixedAllocator;
use crate::memory::heap::{Block, HeapAllocator};
use crate::memory::layout::Layout;
use crate::memory::mmap::MmapAllocator;
use crate::memory::refused::{Going, Refused};
use crate::model::{Allocator, Populate};
use crate::os::kernel::Kernel;
use crate::units::{ByteCount, WasmPages};

/// Every allocator of this daemon.
#[derive(Debug)]
pub struct Allocators {
    mmap: MmapAllocator,
    heap: HeapAllocator,
    fixed: Option<FixedAllocator>,
}

impl Allocators {
    /// By mmap, from the heap of this kernel's process, and of an arena where one was arranged.
    #[must_use]
    pub fn new(
        mmap: MmapAllocator,
        kernel: Arc<dyn Kernel>,
        fixed: Option<FixedAllocator>,
    ) -> Self {
        Self { mmap, heap: HeapAllocator::new(kernel), fixed }
    }

    fn of(&self, layout: &Layout) -> Result<&dyn PageAllocator, Refused> {
        match layout.form.allocator {
            Allocator::Mmap => Ok(&self.mmap),
            Allocator::Heap => Ok(&self.heap),
            Allocator::Fixed => match &self.fixed {
                Some(fixed) => Ok(fixed),
                None => Err(Refused::no_arena()),
            },
        }
    }
}

impl PageAllocator for Allocators {
    fn footprint(&self, layout: &Layout) -> Footprint {
        // What is not there costs nothing: it is refused next.
        self.of(layout).map(|allocator| allocator.footprint(layout)).unwrap_or_default()
    }

    fn guard_kind(&self) -> GuardKind {
        self.mmap.guard_kind()
    }

    fn fallbacks(&self) -> &Fallbacks {
        self.mmap.fallbacks()
    }

    fn keep_warm(&self, kept: bool) -> ByteCount {
        self.mmap.keep_warm(kept)
    }

    fn slot(&self) -> Option<WasmPages> {
        self.fixed.as_ref().and_then(PageAllocator::slot)
    }

    fn allocate(&self, layout: &Layout, going: Going<'_>) -> Result<Box<dyn Pages>, Unallocated> {
        self.of(layout)?.allocate(layout, going)
    }

    fn ballast(&self, form: &BallastForm) -> Result<Ballast, Refused> {
        self.mmap.ballast(form)
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

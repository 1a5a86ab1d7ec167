//! [`Block`]: pages on the heap, as long as they are and no longer.
//!
//! Law: it is wiped before the heap has it again; where that fails it is kept from the heap for good,
//! or by whoever quarantines it. Wiped by stores: the heap's pages are not the kernel's to take back.

#![expect(unsafe_code, reason = "states what a heap block guarantees of its addresses")]

use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::access::{self, Opened};
use crate::memory::allocator::{GuardKind, Held, Pages, Placed};
use crate::memory::refused::{Going, Refused, in_slices};
use crate::model::PageKind;
use crate::os::OsError;
use crate::os::heap_block::HeapBlock;
use crate::os::kernel::Kernel;
use crate::units::{ByteCount, ByteRange, PAGE_BYTES};

/// Pages of one memory, on the heap.
#[derive(Debug)]
pub struct Block {
    heap: HeapBlock,
    /// It is all zero: nobody has had it yet, or whoever had it says so.
    wiped: bool,
}

impl Block {
    /// What every block is.
    pub(super) const PLACED: Placed = Placed {
        guard: GuardKind::None,
        pages: PageKind::Base,
        granule: ByteCount::new(PAGE_BYTES),
        on_nodes: true,
        tags: None,
    };

    pub(super) fn take(kernel: Arc<dyn Kernel>, length: ByteCount) -> Result<Self, Refused> {
        let heap = HeapBlock::take(kernel, length).map_err(Refused::Heap)?;
        Ok(Self { heap, wiped: true })
    }

    /// Somebody has it from now on, and may write to it.
    pub(super) const fn had(mut self) -> Self {
        self.wiped = false;
        self
    }

    /// The first `size` bytes, as far as there are so many.
    pub(super) fn opened(&self, size: ByteCount) -> Opened<'_> {
        Opened::of(self, size.min(self.heap.length()))
    }

    /// Takes its pages from the host now.
    pub(super) fn touch(&self, going: Going<'_>) -> Result<(), Refused> {
        let whole = self.heap.length();
        in_slices(ByteCount::ZERO, whole, ByteCount::new(PAGE_BYTES), going, |from, to| {
            Ok(self.zero(from, to)?)
        })
    }

    fn zero(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let length = to.checked_sub(from).unwrap_or(ByteCount::ZERO);
        let lost = OsError::fault("store", length);
        let whole = self.heap.length();
        let range = ByteRange::within(from.get(), length.get(), whole).map_err(|_past| lost)?;
        access::set(self.opened(whole), range, 0).map_err(|_fault| lost)
    }
}

// SAFETY: a HeapBlock owns its whole range until it is dropped, never moves it, hands out no reference
// into it, and all of it is readable and writable from the start.
unsafe impl Pages for Block {
    fn base(&self) -> NonNull<u8> {
        self.heap.base()
    }

    fn host_page(&self) -> ByteCount {
        self.heap.host_page()
    }

    fn placed(&self) -> Placed {
        Self::PLACED
    }

    fn room(&self) -> ByteCount {
        self.heap.length()
    }

    fn open(&self, _from: ByteCount, to: ByteCount, _going: Going<'_>) -> Result<(), Refused> {
        if to <= self.room() { Ok(()) } else { Err(OsError::invalid("alloc_zeroed", to).into()) }
    }

    fn close(&self, _from: ByteCount, _to: ByteCount) -> Result<(), OsError> {
        Ok(())
    }

    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.zero(from, to)
    }

    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        let (before, all) = (self.heap.resident_bytes(from)?, self.heap.resident_bytes(to)?);
        Ok(all.checked_sub(before).unwrap_or(ByteCount::ZERO))
    }

    fn held(&self, extent: ByteCount) -> Result<Held, OsError> {
        Ok(Held { resident: self.heap.resident_bytes(extent)?, ..Held::default() })
    }

    fn release(mut self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)> {
        self.wiped = true;
        Ok(())
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !self.wiped && self.zero(ByteCount::ZERO, self.heap.length()).is_err() {
            self.heap.leak();
        }
    }
}

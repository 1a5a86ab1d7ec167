//! What a [`LinearMemory`] of some verification level keeps, and what that costs.
//!
//! Law: it is decided at create, kept in [`Kept`], and its cost is known before anything is allocated.

use crate::memory::allocator::{Footprint, PageAllocator};
use crate::memory::checksums::Checksums;
use crate::memory::integrity::Integrity;
use crate::memory::layout::Layout;
use crate::memory::linear::{Kept, LinearMemory};
use crate::model::Verification;
use crate::units::{ByteCount, WasmPages};

impl LinearMemory {
    /// What one of this layout costs at its initial size, with all that is kept of it.
    #[must_use]
    pub fn footprint(
        allocator: &dyn PageAllocator,
        layout: &Layout,
        host_page: ByteCount,
    ) -> Footprint {
        let (verification, once) = (layout.form.verification, allocator.footprint(layout));
        let times =
            |bytes: ByteCount| ByteCount::new(bytes.get().saturating_mul(verification.copies()));
        let (size, room) = (layout.initial.bytes(), layout.room.bytes());
        let kept = kept_bytes(verification.keeps_checksums(), size, room, host_page);
        Footprint {
            committed: times(once.committed),
            overhead: times(once.overhead).checked_add(kept).unwrap_or(kept),
            mappings: once.mappings.saturating_mul(verification.copies()),
            reserved: times(once.reserved),
            ..once
        }
    }

    pub(super) fn keep(&self, verification: Verification) {
        let integrity = Integrity::of(verification, self.pages.room(), self.pages.host_page());
        if integrity.is_some() {
            // Nothing has been kept of it yet.
            let _kept_already = self.kept.set(Box::new(Kept { integrity, ..Kept::default() }));
        }
    }

    pub(super) fn integrity(&self) -> Option<&Integrity> {
        self.kept.get()?.integrity.as_ref()
    }

    /// The bytes that are charged beside them, for what is kept of it at that size.
    #[must_use]
    pub fn kept_bytes(&self, size: WasmPages) -> ByteCount {
        let (room, host_page) = (self.pages.room(), self.pages.host_page());
        kept_bytes(self.integrity().is_some(), size.bytes(), room, host_page)
    }
}

fn kept_bytes(
    checksums: bool,
    size: ByteCount,
    room: ByteCount,
    host_page: ByteCount,
) -> ByteCount {
    if checksums { Checksums::overhead(size, room, host_page) } else { ByteCount::ZERO }
}

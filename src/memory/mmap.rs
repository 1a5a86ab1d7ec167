//! [`MmapAllocator`]: anonymous pages, in a slab (`slab.rs`) or in a dedicated reservation with
//! `PROT_NONE` guards, which is here.
//!
//! Law: small memories between guards of the usual length live in slabs where the kernel can do it,
//! all others have a reservation: three mappings at most (guard, bytes, the rest), growth by
//! protection only. Memory files and huge pages are not built yet.

#![expect(unsafe_code, reason = "states what a reservation guarantees of its addresses")]

use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::allocator::{Footprint, GuardKind, PageAllocator, Pages, Unallocated};
use crate::memory::layout::Layout;
use crate::memory::slab::{Slab, Slabs};
use crate::os::OsError;
use crate::os::kernel::Kernel;
use crate::os::reservation::{ReleaseFailed, Reservation, ReserveFailed};
use crate::units::{ByteCount, WasmPages};

/// Mappings of a dedicated reservation: guard, bytes, rest. Neighbours may merge; not relied on.
const DEDICATED_MAPPINGS: u64 = 3;

/// The daemon's record of a memory, its place in the maps, and the kernel's record of the
/// mappings (about 200 bytes each), rounded up.
const DEDICATED_OVERHEAD: ByteCount = ByteCount::new(2_048);

/// Gets anonymous pages by mmap.
#[derive(Debug)]
pub struct MmapAllocator {
    kernel: Arc<dyn Kernel>,
    slabs: Option<Slabs>,
}

impl MmapAllocator {
    /// An allocator on this kernel that gives every memory a reservation of its own.
    #[must_use]
    pub fn dedicated(kernel: Arc<dyn Kernel>) -> Self {
        Self { kernel, slabs: None }
    }

    /// One that puts small memories into slabs where the kernel can guard them there; and why not,
    /// where it cannot.
    #[must_use]
    pub fn new(kernel: Arc<dyn Kernel>) -> (Self, Option<OsError>) {
        match Slabs::probe(&kernel) {
            Ok(slabs) => (Self { kernel, slabs: Some(slabs) }, None),
            Err(error) => (Self::dedicated(kernel), Some(error)),
        }
    }

    fn slab(&self, layout: &Layout) -> Option<&Arc<Slab>> {
        self.slabs.as_ref().and_then(|slabs| slabs.slab(layout))
    }
}

impl PageAllocator for MmapAllocator {
    fn footprint(&self, layout: &Layout) -> Footprint {
        let committed = self.committed(layout.initial);
        match self.slab(layout) {
            Some(slab) => slab.footprint(committed),
            None => Footprint {
                committed,
                overhead: DEDICATED_OVERHEAD,
                mappings: DEDICATED_MAPPINGS,
                reserved: layout.total,
            },
        }
    }

    fn committed(&self, pages: WasmPages) -> ByteCount {
        pages.bytes()
    }

    fn guard_kind(&self) -> GuardKind {
        if self.slabs.is_some() { GuardKind::GuardInstall } else { GuardKind::ProtNone }
    }

    fn allocate(&self, layout: &Layout) -> Result<Box<dyn Pages>, Unallocated> {
        match self.slab(layout) {
            Some(slab) => slab.allocate(layout),
            None => dedicated(Arc::clone(&self.kernel), layout),
        }
    }
}

fn dedicated(kernel: Arc<dyn Kernel>, layout: &Layout) -> Result<Box<dyn Pages>, Unallocated> {
    let (guard, room) = (layout.guard, layout.room.bytes());
    let reservation = match Reservation::reserve(kernel, guard.before, room, guard.after) {
        Ok(reservation) => reservation,
        Err(ReserveFailed { error, left }) => {
            return Err(Unallocated { error, left: left.map(|left| unreleased(*left)) });
        }
    };
    if let Err(error) = reservation.open(ByteCount::ZERO, layout.initial.bytes()) {
        return Err(Unallocated { error, left: reservation.release().err().map(unreleased) });
    }
    Ok(Box::new(Dedicated(reservation)))
}

fn unreleased(ReleaseFailed { reservation, error }: ReleaseFailed) -> (Box<dyn Pages>, OsError) {
    (Box::new(Dedicated(reservation)), error)
}

#[derive(Debug)]
struct Dedicated(Reservation);

// SAFETY: a Reservation owns its whole range from reserve() to release() or drop, never moves it,
// hands out no reference into it, and its open() makes a range readable and writable.
unsafe impl Pages for Dedicated {
    fn base(&self) -> NonNull<u8> {
        self.0.body()
    }

    fn host_page(&self) -> ByteCount {
        self.0.host_page()
    }

    fn guard_kind(&self) -> GuardKind {
        GuardKind::ProtNone
    }

    fn room(&self) -> ByteCount {
        self.0.body_bytes()
    }

    fn open(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.0.open(from, to)
    }

    fn close(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.0.close(from, to)
    }

    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.0.wipe(from, to)
    }

    fn resident(&self, extent: ByteCount) -> Result<ByteCount, OsError> {
        self.0.resident_bytes(ByteCount::ZERO, extent)
    }

    fn release(self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)> {
        self.0.release().map_err(unreleased)
    }
}

//! [`MmapAllocator`]: anonymous pages in a dedicated reservation with `PROT_NONE` guards.
//!
//! Law: three mappings at most (guard, bytes, the rest), growth by protection only. Slabs, memory
//! files and huge pages are not built yet.

#![expect(unsafe_code, reason = "states what a reservation guarantees of its addresses")]

use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::allocator::{Footprint, PageAllocator, Pages, Unallocated};
use crate::memory::layout::Layout;
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
}

impl MmapAllocator {
    /// An allocator on this kernel.
    #[must_use]
    pub fn new(kernel: Arc<dyn Kernel>) -> Self {
        Self { kernel }
    }
}

impl PageAllocator for MmapAllocator {
    fn footprint(&self, layout: &Layout) -> Footprint {
        Footprint {
            committed: self.committed(layout.initial),
            overhead: DEDICATED_OVERHEAD,
            mappings: DEDICATED_MAPPINGS,
            reserved: layout.total,
        }
    }

    fn committed(&self, pages: WasmPages) -> ByteCount {
        pages.bytes()
    }

    fn allocate(&self, layout: &Layout) -> Result<Box<dyn Pages>, Unallocated> {
        let reserved = Reservation::reserve(
            Arc::clone(&self.kernel),
            layout.guard.before,
            layout.room.bytes(),
            layout.guard.after,
        );
        let reservation = match reserved {
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
        self.0.resident_bytes(extent)
    }

    fn release(self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)> {
        self.0.release().map_err(unreleased)
    }
}

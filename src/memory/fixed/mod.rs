//! [`FixedAllocator`]: slots of one arena that was mapped, populated and locked at start.
//!
//! ```text
//! arena   | guard | slot 0: open, resident, locked, zero | guard | slot 1 | guard | ...
//!           PROT_NONE: what is locked takes no other guards, so each slot costs two mappings
//! ```
//!
//! Law: no page is taken after the start, and none given back before the end: creating, growing and
//! deleting are book-keeping and stores. A slot that is free is zero; it comes back wiped, or not at all.
//! Past a memory's size its slot is open to the daemon alone, and zero. One lock, held over a list.

mod slot;
#[cfg(all(test, not(linmemd_loom)))]
mod tests;
mod verify;

use std::borrow::Borrow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::memory::allocator::{
    Fallbacks, Footprint, GuardKind, PageAllocator, Pages, Unallocated,
};
use crate::memory::fixed::slot::FixedSlot;
use crate::memory::layout::Layout;
use crate::memory::mmap::committed;
use crate::memory::refused::{Going, Refused};
use crate::memory::slab::RECORD;
use crate::model::Locking;
use crate::os::OsError;
use crate::os::host;
use crate::os::kernel::Kernel;
use crate::os::reservation::{Reservation, ReserveFailed, Span};
use crate::units::{ByteCount, WasmPages};

/// Between slots, before the first and after the last.
pub(super) const GUARD: ByteCount = ByteCount::new(64 << 10);
/// The guard after a slot, and the slot.
const SLOT_MAPPINGS: u64 = 2;

/// An arena could not be set aside, or is not what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unarranged {
    /// A call was refused.
    #[error("{0}")]
    Host(#[from] OsError),
    /// More than the process may lock in RAM.
    #[error(
        "{needed} have to be locked in RAM and RLIMIT_MEMLOCK allows {limit}: raise it (ulimit -l, \
         LimitMEMLOCK= in systemd, ulimits.memlock in Docker), give CAP_IPC_LOCK, or lower fixed.slots \
         or fixed.slot_pages ({error})"
    )]
    LockLimit {
        /// `RLIMIT_MEMLOCK`.
        limit: ByteCount,
        /// The arena without its guards.
        needed: ByteCount,
        /// What the kernel said.
        error: OsError,
    },
    /// More address space than there is.
    #[error(
        "{slots} slots of {slot} are more than any host has: lower fixed.slots or fixed.slot_pages"
    )]
    TooLong {
        /// How many.
        slots: u32,
        /// Of which length.
        slot: ByteCount,
    },
    /// The kernel took every call, and the arena is not what was asked for.
    #[error(
        "slot {slot} {what}: this host cannot be trusted with fixed memories; set fixed.slots = 0"
    )]
    Broken {
        /// Its number.
        slot: u32,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Hands out slots of an arena.
#[derive(Debug)]
pub struct FixedAllocator {
    arena: Arc<Arena>,
    fallbacks: Fallbacks,
}

/// One reservation, cut into slots.
#[derive(Debug)]
struct Arena {
    reservation: Reservation,
    kernel: Arc<dyn Kernel>,
    slot: WasmPages,
    slots: u32,
    /// The last one first.
    free: Mutex<Vec<u32>>,
}

impl Borrow<Reservation> for Arena {
    fn borrow(&self) -> &Reservation {
        &self.reservation
    }
}

impl Arena {
    fn slot_bytes(&self) -> ByteCount {
        self.slot.bytes()
    }

    /// Where a slot begins.
    fn at(&self, number: u32) -> ByteCount {
        // Below the arena's length, which was checked.
        let step = self.slot_bytes().get().saturating_add(GUARD.get());
        ByteCount::new(u64::from(number).saturating_mul(step).saturating_add(GUARD.get()))
    }

    /// Where it ends.
    fn end(&self, number: u32) -> ByteCount {
        self.at(number).checked_add(self.slot_bytes()).unwrap_or(self.reservation.body_bytes())
    }

    fn free(&self) -> MutexGuard<'_, Vec<u32>> {
        // Nothing panics while it holds the lock; a poisoned list would still be whole.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FixedAllocator {
    /// Maps, opens, locks and verifies an arena of so many slots. Takes time in proportion to it.
    ///
    /// # Errors
    /// [`Unarranged`]; nothing is left of it.
    pub fn arrange(
        kernel: Arc<dyn Kernel>,
        slots: u32,
        slot: WasmPages,
    ) -> Result<Self, Unarranged> {
        let too_long = Unarranged::TooLong { slots, slot: slot.bytes() };
        let step = slot.bytes().checked_add(GUARD);
        let body = step
            .and_then(|step| step.get().checked_mul(u64::from(slots)))
            .and_then(|body| ByteCount::new(body).checked_add(GUARD))
            .ok_or_else(|| too_long.clone())?;
        let none = ByteCount::ZERO;
        let reservation = Reservation::reserve(Arc::clone(&kernel), none, body, none)
            .map_err(|ReserveFailed { error, .. }| error)?;
        let arena = Arena { reservation, kernel, slot, slots, free: Mutex::default() };
        for number in 0..slots {
            arena.reservation.open(arena.at(number), arena.end(number))?;
            arena.lock(number)?;
        }
        let arena = Arc::new(arena);
        // Places are counted in 32 bits of host pages.
        let last = slots.saturating_sub(1);
        Span::of(&arena, arena.at(last), arena.slot_bytes()).ok_or(too_long)?;
        arena.verify()?;
        arena.free().extend((0..slots).rev());
        Ok(Self { arena, fallbacks: Fallbacks::default() })
    }

    /// What such an arena costs the host, whoever uses it.
    #[must_use]
    pub fn whole(slots: u32, slot: WasmPages) -> Footprint {
        let (slots, slot) = (u64::from(slots), slot.bytes().get());
        let reserved = slot.saturating_add(GUARD.get()).saturating_mul(slots);
        let reserved = reserved.saturating_add(GUARD.get());
        Footprint {
            committed: ByteCount::new(slot.saturating_mul(slots)),
            // Page tables, and places in the list.
            overhead: ByteCount::new(
                reserved.div_ceil(512).saturating_add(slots.saturating_mul(4)),
            ),
            mappings: slots.saturating_mul(SLOT_MAPPINGS).saturating_add(1),
            reserved: ByteCount::new(reserved),
            ..Footprint::default()
        }
    }
}

impl Arena {
    fn lock(&self, number: u32) -> Result<(), Unarranged> {
        let (from, to) = (self.at(number), self.end(number));
        self.reservation.lock(from, to).map_err(|error| {
            let limit = ByteCount::new(self.kernel.lock_limit());
            let needed = self.slot_bytes().get().saturating_mul(u64::from(self.slots));
            if error.is_for_want_of_memory() && limit.get() != u64::MAX {
                Unarranged::LockLimit { limit, needed: ByteCount::new(needed), error }
            } else {
                Unarranged::Host(error)
            }
        })
    }
}

impl PageAllocator for FixedAllocator {
    fn footprint(&self, layout: &Layout) -> Footprint {
        Footprint {
            committed: committed(layout, layout.initial.bytes()),
            overhead: RECORD,
            mappings: SLOT_MAPPINGS,
            reserved: self.arena.slot_bytes().checked_add(GUARD).unwrap_or(GUARD),
            is_prepaid: true,
            ..Footprint::default()
        }
    }

    fn guard_kind(&self) -> GuardKind {
        GuardKind::ProtNone
    }

    fn fallbacks(&self) -> &Fallbacks {
        &self.fallbacks
    }

    fn slot(&self) -> Option<WasmPages> {
        Some(self.arena.slot)
    }

    fn allocate(&self, layout: &Layout, _going: Going<'_>) -> Result<Box<dyn Pages>, Unallocated> {
        if layout.form.locking == Locking::LockedNoSwap && host::has_swap(&*self.arena.kernel) {
            return Err(Refused::swap().into());
        }
        let number = self.arena.free().pop().ok_or(Refused::FixedSlots)?;
        match FixedSlot::new(&self.arena, number, layout) {
            Some(slot) => Ok(Box::new(slot)),
            None => {
                self.arena.free().push(number);
                Err(OsError::invalid("a fixed slot", layout.body).into())
            }
        }
    }
}

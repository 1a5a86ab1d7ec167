//! [`Slabs`]: many small memories in few mappings.
//!
//! ```text
//! space (one reservation)   | guard | slot 0 | guard | slot 1 | guard | … not opened yet
//! a slot                    | 0 … size: open | size … room: guards |
//! ```
//!
//! A space is opened an extent at a time: made accessible and guarded whole, in that order, before
//! any of it is a slot; growth then takes guards away. So a slot costs no mapping, and creating one
//! no more than the removal of its first guards (design, sections 3 and 4).
//!
//! Law: a slot that is free is zero, and everything of it past `opened` is guards. A slot comes back
//! wiped, or not at all: what could not be wiped stays with whoever could not. Locks: one for each
//! size of slot, held while new ones are cut, extents opened and all; under it none of `shelves.rs`,
//! where the free ones are.

mod shelves;
mod slot;
#[cfg(all(test, not(linmemd_loom)))]
mod tests;
mod warm;

use std::borrow::Borrow;
use std::sync::{Arc, Mutex, PoisonError};

use crate::memory::allocator::{Footprint, Pages, Unallocated};
use crate::memory::layout::Layout;
use crate::memory::page_map::Granules;
use crate::memory::refused::Going;
use crate::memory::slab::shelves::Shelves;
use crate::memory::slab::slot::Slot;
use crate::memory::slab::warm::Warm;
use crate::os::OsError;
use crate::os::kernel::Kernel;
use crate::os::reservation::{Reservation, ReserveFailed, Span};
use crate::units::ByteCount;

/// The guard between slots, and the only one that a slot can have.
pub(super) const GUARD: ByteCount = ByteCount::new(64 << 10);
/// Sizes of slots: 1, 2, 4, 8 and 16 pages.
const SIZES: usize = 5;
const SHORTEST: ByteCount = ByteCount::new(64 << 10);
/// Address space of one reservation: 131,070 slots of one page.
const SPACE: ByteCount = ByteCount::new(16 << 30);
/// How much is opened and guarded at once: half a millisecond.
const EXTENT: ByteCount = ByteCount::new(64 << 20);
/// So much is cleared by stores, which keep the RAM; more is given back. Clearing a host page by
/// store takes 0.1 µs, by the kernel 2.5 µs and as much again when it is next touched.
const STORED: ByteCount = ByteCount::new(64 << 10);
/// The daemon's record of a memory and its places in the maps. Measured (`tests/host/million.rs`):
/// 480 to 500 bytes, 112 more for one that has grown, has been looked at or has refused an access,
/// rounded up.
pub(super) const RECORD: ByteCount = ByteCount::new(640);

/// Slots of every size, the shortest first.
#[derive(Debug)]
pub(super) struct Slabs([Arc<Slab>; SIZES]);

/// Slots of one size.
#[derive(Debug)]
pub(super) struct Slab {
    kernel: Arc<dyn Kernel>,
    room: ByteCount,
    shelves: Arc<Shelves>,
    cutting: Mutex<Cutting>,
    warm: Arc<Warm>,
}

/// Where new slots come from.
#[derive(Debug, Default)]
struct Cutting {
    spaces: Vec<Arc<Space>>,
    /// Of the last space: how much has been opened, and where the next slot would begin.
    opened: ByteCount,
    next: ByteCount,
}

/// A reservation, and where its slots go when they are free. A slot finds that through it: there may
/// be a million slots.
#[derive(Debug)]
struct Space {
    reservation: Reservation,
    shelves: Arc<Shelves>,
    warm: Arc<Warm>,
}

impl Borrow<Reservation> for Space {
    fn borrow(&self) -> &Reservation {
        &self.reservation
    }
}

#[derive(Debug)]
struct Free {
    span: Span<Space>,
    opened: u32,
    /// The granules that keep their RAM.
    warm: u64,
}

impl Free {
    /// A slot that never was one.
    const fn new(span: Span<Space>) -> Self {
        Self { span, opened: 0, warm: 0 }
    }

    fn warm_bytes(&self) -> u64 {
        granules(&self.span).bytes(self.warm)
    }

    /// Has the kernel take the RAM that it keeps.
    fn cool(&mut self) {
        let end = ByteCount::new(u64::from(self.opened));
        if self.span.wipe(ByteCount::ZERO, end).is_ok() {
            self.span.space().warm.less(self.warm_bytes());
            self.warm = 0;
        }
    }
}

fn granules(span: &Span<Space>) -> Granules {
    Granules::of(span.length(), span.host_page())
}

impl Slabs {
    /// Slots from this kernel; none where it has no guards that cost no mapping, or not the address
    /// space.
    pub(super) fn probe(kernel: &Arc<dyn Kernel>) -> Result<Self, OsError> {
        let page = crate::os::host_page(&**kernel);
        let none = ByteCount::ZERO;
        let probe = Reservation::reserve(Arc::clone(kernel), none, SPACE, none)
            .map_err(|refused| refused.error)?;
        probe.open(none, page)?;
        probe.guard(none, page)?;
        probe.unguard(none, page)?;
        drop(probe);
        let warm = Arc::<Warm>::default();
        let slabs = std::array::from_fn(|size| {
            Arc::new(Slab {
                kernel: Arc::clone(kernel),
                room: ByteCount::new(SHORTEST.get() << size),
                shelves: Arc::default(),
                cutting: Mutex::default(),
                warm: Arc::clone(&warm),
            })
        });
        Ok(Self(slabs))
    }

    /// Whether free slots may keep RAM from now on. Where not, what they keep goes back to the host:
    /// how much.
    pub(super) fn keep_warm(&self, kept: bool) -> ByteCount {
        let Some(warm) = self.0.first().map(|slab| &slab.warm) else { return ByteCount::ZERO };
        warm.allow(kept);
        let before = warm.kept();
        if !kept && before > 0 {
            self.0.iter().for_each(|slab| slab.shelves.each_warm(Free::cool));
        }
        ByteCount::new(before.saturating_sub(warm.kept()))
    }

    /// Where a memory of this layout can live; none where it needs a reservation of its own.
    pub(super) fn slab(&self, layout: &Layout) -> Option<&Arc<Slab>> {
        let room = layout.room.bytes();
        let usual = layout.guard.before == GUARD && layout.guard.after == GUARD;
        let usual = usual && room > ByteCount::ZERO;
        self.0.iter().find(|slab| room <= slab.room).filter(|_| usual)
    }
}

impl Slab {
    /// What a memory costs in one of its slots.
    pub(super) fn footprint(&self, committed: ByteCount) -> Footprint {
        let reserved = ByteCount::new(self.room.get().saturating_add(GUARD.get()));
        // Page tables take 8 bytes for each host page of 4 KiB.
        let overhead = ByteCount::new(RECORD.get().saturating_add(reserved.get().div_ceil(512)));
        Footprint { committed, overhead, mappings: 0, reserved, ..Footprint::default() }
    }

    /// A slot with the layout's initial size open, all zero.
    ///
    /// # Errors
    /// [`Unallocated`]: the slot itself is left where its guards are in doubt.
    pub(super) fn allocate(
        &self,
        layout: &Layout,
        going: Going<'_>,
    ) -> Result<Box<dyn Pages>, Unallocated> {
        let free = self.take()?;
        let slot = Box::new(Slot::new(free, layout.room, layout.form.populate));
        match slot.adapt(layout.initial.bytes(), going) {
            Ok(()) => Ok(slot),
            Err(refused) => {
                let left: Result<(), (Box<dyn Pages>, OsError)> = slot.release();
                Err(Unallocated { refused, left: left.err() })
            }
        }
    }

    fn take(&self) -> Result<Free, OsError> {
        if let Some(free) = self.shelves.take() {
            self.warm.less(free.warm_bytes());
            return Ok(free);
        }
        // Nothing panics while it holds the lock; a poisoned state would still be whole.
        let mut cutting = self.cutting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(free) = cutting.carve(self.room)? {
                return Ok(free);
            }
            let none = ByteCount::ZERO;
            let reservation = Reservation::reserve(Arc::clone(&self.kernel), none, SPACE, none)
                .map_err(|ReserveFailed { error, .. }| error)?;
            let (shelves, warm) = (Arc::clone(&self.shelves), Arc::clone(&self.warm));
            cutting.spaces.push(Arc::new(Space { reservation, shelves, warm }));
            (cutting.opened, cutting.next) = (none, GUARD);
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // The slots have the space, which has the shelves.
        self.shelves.close();
    }
}

impl Cutting {
    /// The next slot that never was one; none where there is no space, or the last one is full.
    fn carve(&mut self, room: ByteCount) -> Result<Option<Free>, OsError> {
        let Some(space) = self.spaces.last() else { return Ok(None) };
        let end = self.next.checked_add(room).and_then(|end| end.checked_add(GUARD));
        let Some(end) = end.filter(|end| *end <= SPACE) else { return Ok(None) };
        while self.opened < end {
            let to = self.opened.checked_add(EXTENT).unwrap_or(SPACE).min(SPACE);
            space.reservation.open(self.opened, to)?;
            space.reservation.guard(self.opened, to)?;
            self.opened = to;
        }
        let free = Span::of(space, self.next, room).map(Free::new);
        self.next = end;
        Ok(free)
    }
}

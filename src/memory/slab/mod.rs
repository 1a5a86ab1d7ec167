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
//! wiped, or not at all: what could not be wiped stays with whoever could not. One lock for each
//! size of slot, held over nothing but book-keeping, but while an extent is opened.

#![expect(unsafe_code, reason = "states what a slot guarantees of its addresses")]

#[cfg(all(test, not(linmemd_loom)))]
mod tests;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::memory::access;
use crate::memory::allocator::{Footprint, GuardKind, Held, Pages, Placed, Unallocated};
use crate::memory::layout::Layout;
use crate::memory::page_map::PageMap;
use crate::memory::refused::{Going, Refused, in_slices};
use crate::model::{PageKind, Populate};
use crate::os::OsError;
use crate::os::kernel::Kernel;
use crate::os::reservation::{Reservation, ReserveFailed, Span};
use crate::units::{ByteCount, ByteRange};

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
/// The daemon's record of a memory and its places in the maps, rounded up.
const RECORD: ByteCount = ByteCount::new(1_024);
/// RAM that free slots may keep, beside every budget: enough for the slots that come and go, which
/// are always the last ones used.
const WARM: u64 = 16 << 20;

/// Slots of every size, the shortest first.
#[derive(Debug)]
pub(super) struct Slabs([Arc<Slab>; SIZES]);

/// Slots of one size.
#[derive(Debug)]
pub(super) struct Slab {
    kernel: Arc<dyn Kernel>,
    room: ByteCount,
    state: Mutex<State>,
    /// RAM that free slots of all sizes keep.
    warm: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    /// The last one first.
    free: Vec<Free>,
    spaces: Vec<Arc<Reservation>>,
    /// Of the last space: how much has been opened, and where the next slot would begin.
    opened: ByteCount,
    next: ByteCount,
}

#[derive(Debug)]
struct Free {
    span: Span,
    opened: ByteCount,
    warm: PageMap,
}

impl Free {
    /// A slot that never was one.
    fn new(span: Span) -> Self {
        Self { warm: cold(&span), span, opened: ByteCount::ZERO }
    }
}

/// That a slot keeps no RAM.
fn cold(span: &Span) -> PageMap {
    PageMap::new(span.length(), span.host_page())
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
        let warm = Arc::new(AtomicU64::new(0));
        let slabs = std::array::from_fn(|size| {
            Arc::new(Slab {
                kernel: Arc::clone(kernel),
                room: ByteCount::new(SHORTEST.get() << size),
                state: Mutex::default(),
                warm: Arc::clone(&warm),
            })
        });
        Ok(Self(slabs))
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
        Footprint { committed, overhead, mappings: 0, reserved }
    }

    /// A slot with the layout's initial size open, all zero.
    ///
    /// # Errors
    /// [`Unallocated`]: the slot itself is left where its guards are in doubt.
    pub(super) fn allocate(
        self: &Arc<Self>,
        layout: &Layout,
        going: Going<'_>,
    ) -> Result<Box<dyn Pages>, Unallocated> {
        let free = self.take()?;
        let populate = layout.form.populate;
        let slot = Box::new(Slot::new(Arc::clone(self), free, layout.room.bytes(), populate));
        match slot.adapt(layout.initial.bytes(), going) {
            Ok(()) => Ok(slot),
            Err(refused) => {
                let left: Result<(), (Box<dyn Pages>, OsError)> = slot.release();
                Err(Unallocated { refused, left: left.err() })
            }
        }
    }

    fn take(&self) -> Result<Free, OsError> {
        let mut state = self.state();
        if let Some(free) = state.free.pop() {
            drop(state);
            self.warm.fetch_sub(free.warm.bytes(), Ordering::Relaxed);
            return Ok(free);
        }
        loop {
            if let Some(free) = state.carve(self.room)? {
                return Ok(free);
            }
            let none = ByteCount::ZERO;
            let space = Reservation::reserve(Arc::clone(&self.kernel), none, SPACE, none)
                .map_err(|ReserveFailed { error, .. }| error)?;
            state.spaces.push(Arc::new(space));
            (state.opened, state.next) = (none, GUARD);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; a poisoned state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next slot that never was one; none where there is no space, or the last one is full.
    fn carve(&mut self, room: ByteCount) -> Result<Option<Free>, OsError> {
        let Some(space) = self.spaces.last() else { return Ok(None) };
        let end = self.next.checked_add(room).and_then(|end| end.checked_add(GUARD));
        let Some(end) = end.filter(|end| *end <= SPACE) else { return Ok(None) };
        while self.opened < end {
            let to = self.opened.checked_add(EXTENT).unwrap_or(SPACE).min(SPACE);
            space.open(self.opened, to)?;
            space.guard(self.opened, to)?;
            self.opened = to;
        }
        let free = Span::of(space, self.next, room).map(Free::new);
        self.next = end;
        Ok(free)
    }
}

/// A slot that is in use. Dropped without [`Pages::release`], it is made guards whole, or else
/// never used again.
#[derive(Debug)]
struct Slot {
    slab: Arc<Slab>,
    span: Span,
    room: ByteCount,
    /// How much of it may be without guards.
    opened: AtomicU64,
    /// What of it keeps its RAM once its bytes have been wiped.
    warm: PageMap,
    /// A change of its guards failed: [`Slot::opened`] says nothing.
    doubtful: AtomicBool,
    free: bool,
    populate: Populate,
}

impl Slot {
    fn new(slab: Arc<Slab>, free: Free, room: ByteCount, populate: Populate) -> Self {
        let Free { span, opened, warm } = free;
        let (opened, doubtful) = (AtomicU64::new(opened.get()), AtomicBool::new(false));
        Self { slab, span, room, opened, warm, doubtful, free: false, populate }
    }

    /// Opens as much as a memory is to have at first, and takes its pages where it is to have them.
    fn adapt(&self, initial: ByteCount, going: Going<'_>) -> Result<(), Refused> {
        let opened = self.opened();
        if opened > initial {
            self.close(initial, opened)?;
        } else {
            self.known(initial, self.span.unguard(opened, initial))?;
        }
        match self.populate {
            Populate::None => Ok(()),
            _ => self.take_pages(ByteCount::ZERO, initial, going),
        }
    }

    fn take_pages(&self, from: ByteCount, to: ByteCount, going: Going<'_>) -> Result<(), Refused> {
        in_slices(from, to, self.host_page(), going, |from, to| Ok(self.span.populate(from, to)?))
    }

    fn opened(&self) -> ByteCount {
        ByteCount::new(self.opened.load(Ordering::Acquire))
    }

    fn known(&self, opened: ByteCount, done: Result<(), OsError>) -> Result<(), OsError> {
        match done {
            Ok(()) => self.opened.store(opened.get(), Ordering::Release),
            Err(_) => self.doubtful.store(true, Ordering::Release),
        }
        done
    }

    /// Guards it whole, which gives its RAM back as well.
    fn shut(&mut self) -> Result<(), OsError> {
        self.span.guard(ByteCount::ZERO, self.span.length())?;
        *self.opened.get_mut() = 0;
        self.warm = cold(&self.span);
        *self.doubtful.get_mut() = false;
        Ok(())
    }

    /// To the free ones, zero as it is. Whether its RAM may stay is decided here, where it becomes
    /// nobody's.
    fn give_back(&mut self) {
        let mine = self.warm.bytes();
        let warm = &self.slab.warm;
        let add = |kept: u64| kept.checked_add(mine).filter(|sum| mine == 0 || *sum <= WARM);
        if warm.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_err() {
            if self.span.wipe(ByteCount::ZERO, self.opened()).is_ok() {
                self.warm = cold(&self.span);
            } else {
                warm.fetch_add(mine, Ordering::Relaxed);
            }
        }
        let warm = std::mem::replace(&mut self.warm, cold(&self.span));
        let free = Free { span: self.span.clone(), opened: self.opened(), warm };
        self.free = true;
        self.slab.state().free.push(free);
    }
}

// SAFETY: a span belongs to the one Free or Slot that has it: carve() cuts each once, and give_back()
// is the last thing that a Slot does. Its space lives as long as the span and never moves; its bytes
// are read and written by address only. room <= the span's length, and unguard() makes a range of
// it readable and writable.
unsafe impl Pages for Slot {
    fn base(&self) -> NonNull<u8> {
        self.span.base()
    }

    fn host_page(&self) -> ByteCount {
        self.span.host_page()
    }

    fn placed(&self) -> Placed {
        let (guard, granule) = (GuardKind::GuardInstall, SHORTEST);
        Placed { guard, pages: PageKind::Base, granule, on_nodes: true }
    }

    fn room(&self) -> ByteCount {
        self.room
    }

    fn committed(&self, extent: ByteCount) -> ByteCount {
        extent
    }

    fn open(&self, from: ByteCount, to: ByteCount, going: Going<'_>) -> Result<(), Refused> {
        let done = self.span.unguard(from, to);
        self.known(to.max(self.opened()), done)?;
        match self.populate {
            Populate::OnGrow => self.take_pages(from, to, going),
            _ => Ok(()),
        }
    }

    fn close(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.known(from, self.span.guard(from, to))?;
        self.warm.forget(from, to);
        Ok(())
    }

    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let length = to.checked_sub(from).unwrap_or(ByteCount::ZERO);
        let mine = self.warm.bytes().saturating_add(length.get());
        // Where it would not be let stay, storing zeros would be for nothing.
        let stays = self.slab.warm.load(Ordering::Relaxed).saturating_add(mine) <= WARM;
        if length <= STORED && stays {
            let range = ByteRange::within(from.get(), length.get(), self.opened());
            if let Ok(range) = range
                && access::set(self, self.opened(), range, 0).is_ok()
            {
                self.warm.note(range);
                return Ok(());
            }
        }
        self.span.wipe(from, to)?;
        self.warm.forget(from, to);
        Ok(())
    }

    fn held(&self, extent: ByteCount) -> Result<Held, OsError> {
        let resident = self.span.resident_bytes(extent)?;
        Ok(Held { resident, ..Held::default() })
    }

    fn release(mut self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)> {
        if *self.doubtful.get_mut()
            && let Err(error) = self.shut()
        {
            return Err((self, error));
        }
        self.give_back();
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.free && self.shut().is_ok() {
            self.give_back();
        }
    }
}

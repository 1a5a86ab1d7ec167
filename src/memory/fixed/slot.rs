//! [`FixedSlot`]: the pages of one memory in the arena.
//!
//! Law: growth is nothing but a larger size, for all of the slot is open, resident and zero. It is wiped
//! by stores, which leave its pages where they are; only a page that the host lost is taken back by the
//! kernel, and had anew before the slot is anyone's again.

#![expect(unsafe_code, reason = "states what a slot guarantees of its addresses")]

use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::access::{self, Opened};
use crate::memory::allocator::{GuardKind, Held, Pages, Placed};
use crate::memory::fixed::{Arena, GUARD};
use crate::memory::inspect::Fenced;
use crate::memory::layout::Layout;
use crate::memory::refused::{Going, Refused};
use crate::model::{PageKind, Populate};
use crate::os::OsError;
use crate::os::reservation::{Fences, Span};
use crate::units::{ByteCount, ByteRange, PAGE_BYTES, WasmPages};

/// A slot that is in use. Dropped without [`Pages::release`], it is wiped whole, or else never used
/// again.
#[derive(Debug)]
pub(super) struct FixedSlot {
    span: Span<Arena>,
    number: u32,
    room: WasmPages,
    /// Charged for all its room from the start.
    is_paid: bool,
    /// To be given back when it is dropped.
    is_used: bool,
}

/// All of a slot, for who only looks.
pub(super) fn whole(arena: &Arc<Arena>, number: u32) -> Option<FixedSlot> {
    let span = Span::of(arena, arena.at(number), arena.slot_bytes())?;
    let (room, is_paid) = (arena.slot, false);
    Some(FixedSlot { span, number, room, is_paid, is_used: false })
}

impl FixedSlot {
    /// The slot of that number, which nobody else has; none where it has no room for the layout.
    pub(super) fn new(arena: &Arc<Arena>, number: u32, layout: &Layout) -> Option<Self> {
        let is_paid = layout.form.populate == Populate::Maximum;
        let mut slot = whole(arena, number).filter(|slot| layout.room <= slot.room)?;
        (slot.room, slot.is_paid, slot.is_used) = (layout.room, is_paid, true);
        Some(slot)
    }

    fn zero(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let length = to.checked_sub(from).unwrap_or(ByteCount::ZERO);
        let lost = OsError::fault("store", length);
        let whole = self.span.length();
        let range = ByteRange::within(from.get(), length.get(), whole).map_err(|_past| lost)?;
        if access::set(Opened::of(self, whole), range, 0).is_ok() {
            return Ok(());
        }
        self.span.wipe_locked(from, to)?;
        self.span.populate(from, to)
    }

    /// To the free ones, zero as it is.
    fn give_back(&mut self) {
        self.is_used = false;
        self.span.space().free().push(self.number);
    }
}

// SAFETY: a slot's number is on the arena's list or with the one FixedSlot that is in use, which alone
// puts it back. The arena lives as long as its spans and never moves; its slots are opened before the
// first is handed out and stay so; bytes are read and written by address only. room <= the span's length.
unsafe impl Pages for FixedSlot {
    fn base(&self) -> NonNull<u8> {
        self.span.base()
    }

    fn host_page(&self) -> ByteCount {
        self.span.host_page()
    }

    fn placed(&self) -> Placed {
        let (guard, granule) = (GuardKind::ProtNone, ByteCount::new(PAGE_BYTES));
        Placed { guard, pages: PageKind::Base, granule, on_nodes: true, tags: None }
    }

    fn room(&self) -> ByteCount {
        self.room.bytes()
    }

    fn committed(&self, extent: ByteCount) -> ByteCount {
        if self.is_paid { self.room() } else { extent }
    }

    fn open(&self, _from: ByteCount, to: ByteCount, _going: Going<'_>) -> Result<(), Refused> {
        if to <= self.room() { Ok(()) } else { Err(OsError::invalid("a fixed slot", to).into()) }
    }

    fn close(&self, _from: ByteCount, _to: ByteCount) -> Result<(), OsError> {
        Ok(())
    }

    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.zero(from, to)
    }

    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        self.span.resident_bytes(from, to)
    }

    fn held(&self, extent: ByteCount) -> Result<Held, OsError> {
        let resident = self.span.resident_bytes(ByteCount::ZERO, extent)?;
        Ok(Held { resident, ..Held::default() })
    }

    fn space(&self) -> Option<&dyn Fenced> {
        Some(self)
    }

    fn release(mut self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)> {
        self.give_back();
        Ok(())
    }
}

impl Fenced for FixedSlot {
    fn fences(&self) -> Fences {
        Fences { before: GUARD, body: self.span.length(), after: GUARD }
    }

    fn is_mapped(&self) -> Result<bool, OsError> {
        self.span.is_mapped(GUARD)
    }

    fn refuses(&self, at: i64) -> Result<bool, OsError> {
        self.span.refuses(at)
    }

    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        self.span.resident_bytes(from, to)
    }

    fn is_open_past_size(&self) -> bool {
        true
    }
}

impl Drop for FixedSlot {
    fn drop(&mut self) {
        if self.is_used && self.zero(ByteCount::ZERO, self.span.length()).is_ok() {
            self.give_back();
        }
    }
}

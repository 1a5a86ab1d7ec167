//! [`Slot`]: the pages of one memory in a slab.
//!
//! Law: a slot's own book-keeping says how far it may be without guards and what of it keeps RAM;
//! where a change of its guards failed it says that it does not know. It comes back wiped, or not at
//! all. Cuts no slots and keeps none that are free (`mod.rs`).

#![expect(unsafe_code, reason = "states what a slot guarantees of its addresses")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::memory::access::{self, Opened};
use crate::memory::allocator::{GuardKind, Held, Pages, Placed};
use crate::memory::inspect::Fenced;
use crate::memory::refused::{Going, Refused, in_slices};
use crate::memory::slab::{Free, GUARD, SHORTEST, STORED, Space, granules};
use crate::model::{PageKind, Populate};
use crate::os::OsError;
use crate::os::reservation::{Fences, Span};
use crate::units::{ByteCount, ByteRange, WasmPages};

/// A slot that is in use. Dropped without [`Pages::release`], it is made guards whole, or else
/// never used again.
#[derive(Debug)]
pub(super) struct Slot {
    span: Span<Space>,
    /// What of it keeps its RAM once its bytes have been wiped.
    warm: AtomicU64,
    /// How much of it may be without guards, in bytes: a slot has 1 MiB at most.
    opened: AtomicU32,
    /// How many pages it has room for: 16 at most.
    room: u8,
    /// A change of its guards failed: [`Slot::opened`] says nothing.
    doubtful: AtomicBool,
    free: bool,
    populate: Populate,
}

impl Slot {
    pub(super) fn new(free: Free, room: WasmPages, populate: Populate) -> Self {
        let Free { span, opened, warm } = free;
        let (warm, opened) = (AtomicU64::new(warm), AtomicU32::new(opened));
        // Slabs::slab() found that it fits.
        let room = u8::try_from(room.get()).unwrap_or(0);
        Self { span, warm, opened, room, doubtful: AtomicBool::new(false), free: false, populate }
    }

    /// Opens as much as a memory is to have at first, and takes its pages where it is to have them.
    pub(super) fn adapt(&self, initial: ByteCount, going: Going<'_>) -> Result<(), Refused> {
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
        in_slices(from, to, self.host_page(), going, |from, to| {
            let length = to.checked_sub(from).unwrap_or(ByteCount::ZERO);
            // Noted first: what is populated in part keeps RAM as well.
            if let Ok(range) = ByteRange::within(from.get(), length.get(), self.span.length()) {
                self.warm.fetch_or(granules(&self.span).touched(range), Ordering::AcqRel);
            }
            Ok(self.span.populate(from, to)?)
        })
    }

    fn opened(&self) -> ByteCount {
        ByteCount::new(u64::from(self.opened.load(Ordering::Acquire)))
    }

    fn known(&self, opened: ByteCount, done: Result<(), OsError>) -> Result<(), OsError> {
        match (done, u32::try_from(opened.get())) {
            (Ok(()), Ok(opened)) => self.opened.store(opened, Ordering::Release),
            _ => self.doubtful.store(true, Ordering::Release),
        }
        done
    }

    fn warm_bytes(&self) -> u64 {
        granules(&self.span).bytes(self.warm.load(Ordering::Acquire))
    }

    /// The kernel has taken the RAM of `[from, to)`.
    fn cool(&self, from: ByteCount, to: ByteCount) {
        self.warm.fetch_and(!granules(&self.span).whole(from, to), Ordering::AcqRel);
    }

    /// Guards it whole, which gives its RAM back as well.
    fn shut(&mut self) -> Result<(), OsError> {
        self.span.guard(ByteCount::ZERO, self.span.length())?;
        *self.opened.get_mut() = 0;
        *self.warm.get_mut() = 0;
        *self.doubtful.get_mut() = false;
        Ok(())
    }

    /// To the free ones, zero as it is. Whether its RAM may stay is decided here, where it becomes
    /// nobody's.
    fn give_back(&mut self) {
        let mine = self.warm_bytes();
        let warm = &self.span.space().warm;
        if !warm.keep(mine) {
            if self.span.wipe(ByteCount::ZERO, self.opened()).is_ok() {
                self.warm.store(0, Ordering::Release);
            } else {
                warm.keep_anyway(mine);
            }
        }
        self.free = true;
        let (opened, warm) = (*self.opened.get_mut(), *self.warm.get_mut());
        self.span.space().shelves.put(Free { span: self.span.clone(), opened, warm });
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
        Placed { guard, pages: PageKind::Base, granule, on_nodes: true, tags: None }
    }

    fn room(&self) -> ByteCount {
        ByteCount::new(SHORTEST.get().saturating_mul(u64::from(self.room)))
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
        self.cool(from, to);
        Ok(())
    }

    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let length = to.checked_sub(from).unwrap_or(ByteCount::ZERO);
        let mine = self.warm_bytes().saturating_add(length.get());
        // Where it would not be let stay, storing zeros would be for nothing.
        let stays = self.span.space().warm.has_room_for(mine);
        if length <= STORED && stays {
            let range = ByteRange::within(from.get(), length.get(), self.opened());
            if let Ok(range) = range
                && access::set(Opened::of(self, self.opened()), range, 0).is_ok()
            {
                self.warm.fetch_or(granules(&self.span).touched(range), Ordering::AcqRel);
                return Ok(());
            }
        }
        self.span.wipe(from, to)?;
        self.cool(from, to);
        Ok(())
    }

    fn discard(&self, from: ByteCount, to: ByteCount) -> Result<bool, OsError> {
        self.span.wipe(from, to)?;
        self.cool(from, to);
        Ok(true)
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
        if *self.doubtful.get_mut()
            && let Err(error) = self.shut()
        {
            return Err((self, error));
        }
        self.give_back();
        Ok(())
    }
}

impl Fenced for Slot {
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
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.free && self.shut().is_ok() {
            self.give_back();
        }
    }
}

//! [`Dedicated`]: anonymous pages in a reservation of their own, between `PROT_NONE` guards.
//!
//! Law: growth is by protection only; policy and page kind are set before anything is touched.
//! Pages that were asked for in advance are there before [`Pages::open`] answers, or given back.
//! What is locked in RAM is wiped by stores, for the kernel will not take it back.

#![expect(unsafe_code, reason = "states what a reservation guarantees of its addresses")]

use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::access::{self, Opened};
use crate::memory::allocator::{Fallbacks, GuardKind, Held, Pages, Placed, Unallocated};
use crate::memory::inspect::Fenced;
use crate::memory::layout::Layout;
use crate::memory::mmap::{committed, place};
use crate::memory::refused::{Going, Refused, in_slices};
use crate::model::{Locking, NumaPolicy, PageKind, Populate, Protection};
use crate::os::OsError;
use crate::os::kernel::Kernel;
use crate::os::reservation::{ReleaseFailed, Reservation, ReserveFailed};
use crate::units::{ByteCount, ByteRange};

/// Anonymous pages of one memory.
#[derive(Debug)]
pub(super) struct Dedicated {
    reservation: Reservation,
    kernel: Arc<dyn Kernel>,
    layout: Layout,
    on_nodes: bool,
}

impl Dedicated {
    pub(super) fn allocate(
        kernel: Arc<dyn Kernel>,
        layout: &Layout,
        fallbacks: &Fallbacks,
        going: Going<'_>,
    ) -> Result<Box<dyn Pages>, Unallocated> {
        let reservation = reserve(&kernel, layout)?;
        let mut pages =
            Box::new(Self { reservation, kernel, layout: layout.clone(), on_nodes: false });
        match pages.prepare(fallbacks, going) {
            Ok(()) => Ok(pages),
            Err(refused) => Err(Unallocated { refused, left: pages.release().err() }),
        }
    }

    fn prepare(&mut self, fallbacks: &Fallbacks, going: Going<'_>) -> Result<(), Refused> {
        let (none, initial) = (ByteCount::ZERO, self.layout.initial.bytes());
        if self.layout.pages == PageKind::Transparent {
            self.reservation.let_be_huge()?;
        }
        self.on_nodes = place(&*self.kernel, &self.reservation, &self.layout.form.numa, fallbacks)?;
        match self.layout.form.populate {
            Populate::Maximum => {
                self.reservation.open(none, self.layout.body)?;
                self.take(none, self.layout.body, going)?;
                // Their pages stay; whoever grows gets them as they are.
                Ok(self.reservation.close(initial, self.layout.body)?)
            }
            Populate::Initial => {
                self.reservation.open(none, initial)?;
                self.take(none, initial, going)
            }
            Populate::None | Populate::OnGrow => self.open(none, initial, going),
        }
    }

    fn take(&self, from: ByteCount, to: ByteCount, going: Going<'_>) -> Result<(), Refused> {
        in_slices(from, to, self.layout.granule(), going, |from, to| {
            if self.is_locked() {
                lock(&*self.kernel, &self.reservation, from, to)
            } else {
                Ok(self.reservation.populate(from, to)?)
            }
        })
    }

    fn is_locked(&self) -> bool {
        self.layout.form.locking != Locking::None
    }

    /// How far pages may be that it has.
    fn had(&self, extent: ByteCount) -> ByteCount {
        if self.layout.form.populate == Populate::Maximum { self.layout.body } else { extent }
    }

    /// Whether pages come with every growth.
    fn takes(&self) -> bool {
        match self.layout.form.populate {
            Populate::Maximum => false,
            Populate::OnGrow => true,
            Populate::None | Populate::Initial => self.is_locked(),
        }
    }
}

/// The address space of a layout, nothing of it open.
pub(super) fn reserve(
    kernel: &Arc<dyn Kernel>,
    layout: &Layout,
) -> Result<Reservation, Unallocated> {
    let (guard, body) = (layout.guard, layout.body);
    let kernel = Arc::clone(kernel);
    Reservation::reserve_aligned(kernel, guard.before, body, guard.after, layout.align).map_err(
        |ReserveFailed { error, left }| Unallocated {
            refused: error.into(),
            left: left.map(|left| bare(*left)),
        },
    )
}

/// Locks a range in RAM, and names the limit where that is why not.
pub(super) fn lock(
    kernel: &dyn Kernel,
    reservation: &Reservation,
    from: ByteCount,
    to: ByteCount,
) -> Result<(), Refused> {
    reservation.lock(from, to).map_err(|error| {
        let limit = ByteCount::new(kernel.lock_limit());
        let asked = to.checked_sub(from).unwrap_or(ByteCount::ZERO);
        if error.is_for_want_of_memory() && limit.get() != u64::MAX {
            Refused::LockLimit { limit, asked, error }
        } else {
            error.into()
        }
    })
}

/// Address space that could not be given back, to be tried again.
pub(super) fn bare(failed: ReleaseFailed) -> (Box<dyn Pages>, OsError) {
    (Box::new(Bare(failed.reservation)), failed.error)
}

// SAFETY: a Reservation owns its whole range from reserve() to release() or drop, never moves it,
// hands out no reference into it, and its open() makes a range readable and writable.
unsafe impl Pages for Dedicated {
    fn base(&self) -> NonNull<u8> {
        self.reservation.body()
    }

    fn host_page(&self) -> ByteCount {
        self.reservation.host_page()
    }

    fn placed(&self) -> Placed {
        Placed {
            guard: GuardKind::ProtNone,
            pages: self.layout.pages,
            granule: self.layout.granule(),
            on_nodes: self.on_nodes,
            tags: None,
        }
    }

    fn room(&self) -> ByteCount {
        self.layout.room.bytes()
    }

    fn committed(&self, extent: ByteCount) -> ByteCount {
        committed(&self.layout, extent)
    }

    fn open(&self, from: ByteCount, to: ByteCount, going: Going<'_>) -> Result<(), Refused> {
        self.reservation.open(from, to)?;
        if self.takes() { self.take(from, to, going) } else { Ok(()) }
    }

    fn close(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        if self.takes() {
            if self.is_locked() {
                self.reservation.unlock(from, to)?;
            }
            self.reservation.wipe(from, to)?;
        }
        self.reservation.close(from, to)
    }

    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        if !self.is_locked() {
            return self.reservation.wipe(from, to);
        }
        let length = to.checked_sub(from).unwrap_or(ByteCount::ZERO);
        let lost = OsError::fault("store", length);
        let range =
            ByteRange::within(from.get(), length.get(), self.layout.body).map_err(|_past| lost)?;
        // Where the host lost a page no store will do; the kernel takes it back all the same.
        access::set(Opened::of(self, self.layout.body), range, 0)
            .or_else(|_fault| self.reservation.wipe_locked(from, to))
    }

    fn discard(&self, from: ByteCount, to: ByteCount) -> Result<bool, OsError> {
        if self.is_locked() {
            return Ok(false);
        }
        self.reservation.wipe(from, to).map(|()| true)
    }

    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        self.reservation.resident_bytes(from, to)
    }

    fn protect(
        &self,
        from: ByteCount,
        to: ByteCount,
        protection: Protection,
    ) -> Result<bool, OsError> {
        match protection {
            Protection::None => self.reservation.close(from, to),
            Protection::Read => self.reservation.make_read_only(from, to),
            Protection::ReadWrite => self.reservation.open(from, to),
        }
        .map(|()| true)
    }

    fn held(&self, extent: ByteCount) -> Result<Held, OsError> {
        let reservation = &self.reservation;
        let asked_for_nodes = self.layout.form.numa.policy != NumaPolicy::Local;
        let transparent = self.layout.pages == PageKind::Transparent;
        let nodes = || reservation.bytes_by_node(extent, reservation.host_page()).ok();
        Ok(Held {
            resident: reservation.resident_bytes(ByteCount::ZERO, self.had(extent))?,
            huge: if transparent { reservation.huge_bytes(extent).ok() } else { None },
            nodes: if asked_for_nodes { nodes() } else { None },
        })
    }

    fn space(&self) -> Option<&dyn Fenced> {
        Some(&self.reservation)
    }

    fn release(self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)> {
        self.reservation.release().map_err(bare)
    }
}

/// Address space that is kept only because the kernel would not take it back.
#[derive(Debug)]
struct Bare(Reservation);

// SAFETY: as for Dedicated; nothing of it is ever opened.
unsafe impl Pages for Bare {
    fn base(&self) -> NonNull<u8> {
        self.0.body()
    }

    fn host_page(&self) -> ByteCount {
        self.0.host_page()
    }

    fn placed(&self) -> Placed {
        let (guard, granule) = (GuardKind::ProtNone, self.0.host_page());
        Placed { guard, pages: PageKind::Base, granule, on_nodes: false, tags: None }
    }

    fn room(&self) -> ByteCount {
        self.0.body_bytes()
    }

    fn open(&self, _from: ByteCount, to: ByteCount, _going: Going<'_>) -> Result<(), Refused> {
        Err(OsError::invalid("mprotect", to).into())
    }

    fn close(&self, _from: ByteCount, _to: ByteCount) -> Result<(), OsError> {
        Ok(())
    }

    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.0.wipe(from, to)
    }

    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        self.0.resident_bytes(from, to)
    }

    fn held(&self, extent: ByteCount) -> Result<Held, OsError> {
        let resident = self.0.resident_bytes(ByteCount::ZERO, extent)?;
        Ok(Held { resident, ..Held::default() })
    }

    fn release(self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)> {
        self.0.release().map_err(bare)
    }
}

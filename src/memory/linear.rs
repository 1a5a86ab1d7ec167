//! [`LinearMemory`]: one memory's pages, its size, and the operations on its bytes.
//!
//! Law: size only grows and is published after the pages are open, and to those who look without a
//! lock ([`PublishedSize`], which is theirs to keep) after that; every operation checks its range
//! before it does anything. Who may call what at the same time as what is the lock's business
//! (`lock.rs`), not this file's: nothing here is unsound if it is got wrong.
//!
//! There may be a million of these, so a field is worth its eight bytes or is not here.

use std::ptr::NonNull;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use once_cell::race::OnceBox;

use crate::memory::access::{self, Opened};
use crate::memory::allocator::{Held, PageAllocator, Pages, Placed, Unallocated};
use crate::memory::apply;
use crate::memory::integrity::{Copies, Integrity};
use crate::memory::layout::Layout;
use crate::memory::page_map::PageMap;
use crate::memory::plan::Plan;
use crate::memory::protections::{Protections, Use};
use crate::memory::redundant::Redundant;
use crate::memory::refused::{Going, Refused};
use crate::memory::undone::{Undone, fault};
use crate::memory::volatile::Volatile;
use crate::os::OsError;
use crate::units::{ByteCount, ByteRange, WasmPages};

/// A size that anyone may look at without a lock. It only grows, and never shows a page that is
/// not open yet.
#[derive(Debug, Default)]
pub struct PublishedSize(AtomicU64);

impl PublishedSize {
    /// What those without a lock see of a memory: its size, until [`LinearMemory::publish`] raises
    /// it.
    #[must_use]
    pub fn of(memory: &LinearMemory) -> Self {
        Self::at(memory.size())
    }

    /// That size, of a memory that was made with it.
    #[must_use]
    pub const fn at(size: WasmPages) -> Self {
        Self(AtomicU64::new(size.get()))
    }

    /// The size now.
    #[must_use]
    pub fn pages(&self) -> WasmPages {
        // Only ever stored from a WasmPages.
        WasmPages::new(self.0.load(Ordering::Acquire)).unwrap_or(WasmPages::ZERO)
    }

    /// The size now, in bytes.
    #[must_use]
    pub fn bytes(&self) -> ByteCount {
        self.pages().bytes()
    }

    pub(super) fn raise(&self, to: WasmPages) {
        self.0.fetch_max(to.get(), Ordering::AcqRel);
    }
}

/// Which step of giving a memory back failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseStep {
    /// Making its bytes zero.
    Wipe,
    /// Giving its address space back.
    Release,
}

/// A memory that could not be given back: it may hold bytes and is to be kept, charged, and tried
/// again.
#[derive(Debug)]
pub struct Unreleased {
    /// The memory itself.
    pub memory: LinearMemory,
    /// What failed.
    pub step: ReleaseStep,
    /// What the kernel said.
    pub error: OsError,
}

/// A memory could not be made.
#[derive(Debug)]
pub struct Uncreated {
    /// Why.
    pub refused: Refused,
    /// What of it could not be given back: an empty memory, to be kept, charged, and tried again.
    pub left: Option<Box<Unreleased>>,
}

/// One linear memory.
#[derive(Debug)]
pub struct LinearMemory {
    pub(super) pages: Box<dyn Pages>,
    pub(super) size: PublishedSize,
    pub(super) written: PageMap,
    /// Allocated for the first thing that is kept there.
    pub(super) kept: OnceBox<Kept>,
}

/// What is kept of few memories, beside their bytes.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) protections: RwLock<Protections>,
    pub(super) volatile: Volatile,
    /// What its bytes are known by, where it was made so.
    pub(super) integrity: Option<Integrity>,
    /// Pages past the size could not be closed again.
    pub(super) left_open: AtomicBool,
}

/// A memory that is being wiped, a slice at a time.
#[derive(Debug)]
pub struct Wiping {
    memory: LinearMemory,
    /// How far it came.
    wiped: ByteCount,
}

impl LinearMemory {
    /// A memory of the layout's initial size, all zero.
    ///
    /// # Errors
    /// [`Uncreated`], with what is left behind where the host did not take it back.
    pub fn create(
        allocator: &dyn PageAllocator,
        layout: &Layout,
        going: Going<'_>,
    ) -> Result<Self, Uncreated> {
        let verification = layout.form.verification;
        let allocated = if verification.copies() > 1 {
            Redundant::allocate(allocator, layout, going)
        } else {
            allocator.allocate(layout, going)
        };
        match allocated {
            Ok(pages) => {
                let memory = Self::empty(pages);
                memory.keep(verification);
                memory.size.raise(layout.initial);
                Ok(memory)
            }
            Err(Unallocated { refused, left }) => {
                let left = left.map(|(pages, error)| {
                    let (memory, step) = (Self::empty(pages), ReleaseStep::Release);
                    Box::new(Unreleased { memory, step, error })
                });
                Err(Uncreated { refused, left })
            }
        }
    }

    /// What a memory of another kind is once it has ended.
    pub(super) fn ended(pages: Box<dyn Pages>, size: WasmPages, written: PageMap) -> Self {
        Self { pages, size: PublishedSize::at(size), written, kept: OnceBox::new() }
    }

    fn empty(pages: Box<dyn Pages>) -> Self {
        let written = PageMap::new(pages.room(), pages.host_page());
        let (size, kept) = (PublishedSize::default(), OnceBox::new());
        Self { pages, size, written, kept }
    }

    /// Its size.
    #[must_use]
    pub fn size(&self) -> WasmPages {
        self.size.pages()
    }

    fn opened(&self) -> Opened<'_> {
        Opened::of(&*self.pages, self.size.bytes())
    }

    fn copies(&self) -> Copies<'_> {
        Copies::of(&*self.pages, self.size.bytes())
    }

    /// Appends the range's bytes to `out`, whose length is unchanged on failure.
    ///
    /// # Errors
    /// [`Undone`] where the range is protected or purged, the host failed under it, or what was stored
    /// there is not what is there.
    pub fn read(&self, range: ByteRange, out: &mut Vec<u8>) -> Result<(), Undone> {
        if let Some(kept) = self.kept.get() {
            kept.admit(range, Use::Read)?;
            if let Some(integrity) = kept.integrity.as_ref().filter(|kept| kept.checks_reads()) {
                return integrity.read(self.copies(), range, out);
            }
        }
        access::append_to(out, self.opened(), range)
            .map_err(|not_moved| fault(range, not_moved).into())
    }

    /// Carries a plan out.
    ///
    /// # Errors
    /// [`Undone`] where its range is protected or purged, or the host failed in the middle: then bytes
    /// are lost; or where the rest of a page that it changes in part is not what was stored.
    pub fn apply(&self, plan: &Plan<'_>) -> Result<(), Undone> {
        if let Some(kept) = self.kept.get() {
            kept.admit(plan.range(), Use::Write)?;
            if let Some(integrity) = &kept.integrity {
                return apply::apply_verified(integrity, self.copies(), &self.written, plan);
            }
        }
        apply::apply(self.opened(), |range| self.written.note(range), plan)
            .map_err(|not_moved| fault(plan.range(), not_moved).into())
    }

    /// Makes a range zero and gives the RAM of its whole host pages back where it can be had again at
    /// once; how much that was.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn discard(&self, range: ByteRange) -> Result<ByteCount, Undone> {
        let give_back = |from, to| self.pages.discard(from, to);
        if let Some(kept) = self.kept.get() {
            kept.admit(range, Use::Write)?;
            if let Some(integrity) = &kept.integrity {
                let (copies, written) = (self.copies(), &self.written);
                return apply::discard_verified(integrity, copies, written, give_back, range);
            }
        }
        let note = |range| self.written.note(range);
        apply::discard(self.opened(), note, self.pages.host_page(), give_back, range)
            .map_err(|not_moved| fault(range, not_moved).into())
    }

    /// Opens pages up to `to` without showing them; [`Self::publish`] does.
    ///
    /// # Errors
    /// [`Refused`]; the size is unchanged, and what was opened is closed again.
    pub fn open(&self, to: WasmPages, going: Going<'_>) -> Result<(), Refused> {
        self.pages.open(self.size.bytes(), to.bytes(), going).inspect_err(|_refused| {
            if let Err(error) = self.close(to) {
                tracing::warn!(%error, "pages of a growth that was refused stay open");
            }
        })
    }

    /// Shows the pages that [`Self::open`] opened, last of all to those who look without a lock.
    pub fn publish(&self, to: WasmPages, shown: &PublishedSize) {
        self.size.raise(to);
        shown.raise(to);
    }

    /// What the kernel says that it holds.
    ///
    /// # Errors
    /// [`OsError`].
    pub fn held(&self) -> Result<Held, OsError> {
        self.pages.held(self.size.bytes())
    }

    /// Where its byte 0 lies, at one place until it is dropped or released: for an engine that runs
    /// code on it in place, which the daemon never does.
    ///
    /// Bytes below the published size may be read and written there; what follows faults. Such
    /// writes are not in the page map that [`Self::release`] wipes by. A memory that took any is
    /// written whole by [`Self::apply`] first, or dropped: what is dropped is never handed on dirty. To
    /// one that keeps checksums they are corruption.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.pages.base()
    }

    /// What it was given.
    #[must_use]
    pub fn placed(&self) -> Placed {
        self.pages.placed()
    }

    /// The bytes that are charged for it at that size.
    #[must_use]
    pub fn committed(&self, size: WasmPages) -> ByteCount {
        self.pages.committed(size.bytes())
    }

    /// Undoes [`Self::open`] of pages that were not shown.
    ///
    /// # Errors
    /// [`OsError`]: they stay accessible to the daemon, and zero.
    pub fn close(&self, to: WasmPages) -> Result<(), OsError> {
        self.pages.close(self.size.bytes(), to.bytes()).inspect_err(|_refused| {
            self.kept.get_or_init(Box::default).left_open.store(true, Ordering::Release);
        })
    }

    /// Begins to wipe it.
    #[must_use]
    pub fn wiping(self) -> Wiping {
        self.unprotect();
        Wiping { memory: self, wiped: ByteCount::ZERO }
    }

    /// Wipes what is left to wipe and gives the address space back.
    ///
    /// # Errors
    /// [`Unreleased`] with the memory itself, so that it can be tried again.
    pub fn release(self) -> Result<(), Box<Unreleased>> {
        let everything = self.pages.room();
        let mut wiping = self.wiping();
        loop {
            match wiping.some(everything) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => return Err(Box::new(wiping.stopped(error))),
            }
        }
        let Self { pages, size, written, kept } = wiping.memory;
        pages.release().map_err(|(pages, error)| {
            let memory = Self { pages, size, written, kept };
            Box::new(Unreleased { memory, step: ReleaseStep::Release, error })
        })
    }
}

impl Wiping {
    /// Wipes at most `slice` more bytes. Whether all of it is now wiped.
    ///
    /// # Errors
    /// [`OsError`]: those bytes may still hold what they held.
    pub fn some(&mut self, slice: ByteCount) -> Result<bool, OsError> {
        let memory = &mut self.memory;
        let size = memory.size.bytes();
        let Some((from, to)) = memory.written.next(self.wiped, slice, size) else {
            memory.written.clear();
            return Ok(true);
        };
        memory.pages.wipe(from, to)?;
        self.wiped = to;
        let all = memory.written.next(to, slice, size).is_none();
        if all {
            memory.written.clear();
        }
        Ok(all)
    }

    /// The memory, wiped as far as it was.
    #[must_use]
    pub fn into_memory(self) -> LinearMemory {
        self.memory
    }

    /// What is to be kept of it where [`Self::some`] failed.
    #[must_use]
    pub fn stopped(self, error: OsError) -> Unreleased {
        Unreleased { memory: self.memory, step: ReleaseStep::Wipe, error }
    }
}

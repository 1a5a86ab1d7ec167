//! [`TagSource`]: dedicated pages whose bytes carry a tag, where this host has such a thing.
//!
//! Law: what cannot be had is known before anything is paid or allocated: a refusal, or a fallback
//! with its reason, as the spec chose. A memory has one tag; its base carries it, and a wipe of all
//! that is open gives it another. Tagged pages are resident from the moment that they are open, and
//! a wipe stores zeroes: RAM that was given back would have lost its tags. So opening and wiping take
//! time in proportion to their bytes, and are the pool's work beyond what a serving thread may do.
//! Does not count faults (`os/tagging/told.rs` does) and does not know slabs or huge pages, which a
//! tagged memory is never in.

#![expect(unsafe_code, reason = "states what a tagged reservation guarantees of its addresses")]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::allocator::{GuardKind, Held, Pages, Placed, Unallocated};
use crate::memory::inspect::Fenced;
use crate::memory::layout::Layout;
use crate::memory::refused::{Going, Refused, in_slices};
use crate::model::{PageKind, TagMode, TagRequirement, Tagging};
use crate::os::OsError;
use crate::os::kernel::Kernel;
use crate::os::reservation::{Tagged, TaggedReserveFailed, Tagger};
use crate::os::tagging::{MemoryTagging, TagCheck, TagMask, Untaggable};
use crate::units::{ByteCount, PAGE_BYTES};

/// Gets tagged pages from the host. One for the whole process: it asks the host once.
#[derive(Debug)]
pub struct TagSource {
    kernel: Arc<dyn Kernel>,
    found: Result<MemoryTagging, Untaggable>,
}

/// What becomes of a wish for tags.
#[derive(Clone, Copy, Debug)]
pub enum Granted {
    /// It was not asked for.
    NotAsked,
    /// It was preferred and is not to be had: to be reported with the memory.
    Without(Untaggable),
    /// How the memory will be tagged.
    With(Tagger),
}

impl TagSource {
    /// Asks the host.
    #[must_use]
    pub fn probe(kernel: Arc<dyn Kernel>) -> Self {
        let found = MemoryTagging::probe(&*kernel);
        Self { kernel, found }
    }

    /// Whether there are tags here, or why not.
    ///
    /// # Errors
    /// [`Untaggable`].
    pub fn availability(&self) -> Result<(), Untaggable> {
        self.found.map(|_tagging| ())
    }

    /// Judges a wish, before anything is paid.
    ///
    /// # Errors
    /// [`Untaggable`], where it is required.
    pub fn grant(&self, asked: &Tagging) -> Result<Granted, Untaggable> {
        match (asked.requirement, self.found) {
            (TagRequirement::Off, _) => Ok(Granted::NotAsked),
            (_, Ok(tagging)) => {
                let (mask, check) = (TagMask::from(asked.mask), asked.mode.into());
                Ok(Granted::With(Tagger { tagging, mask, check }))
            }
            (TagRequirement::Prefer, Err(why)) => Ok(Granted::Without(why)),
            (TagRequirement::Require, Err(why)) => Err(why),
        }
    }

    /// Sets the address space aside and opens the initial size, all zero and tagged.
    ///
    /// # Errors
    /// [`Unallocated`], with what is left behind where the host did not take it back.
    pub fn allocate(
        &self,
        layout: &Layout,
        tagger: Tagger,
        going: Going<'_>,
    ) -> Result<Box<dyn Pages>, Unallocated> {
        let (kernel, guard) = (Arc::clone(&self.kernel), layout.guard);
        let room = layout.room.bytes();
        let tagged = match Tagged::reserve(kernel, guard.before, room, guard.after, tagger) {
            Ok(tagged) => tagged,
            Err(TaggedReserveFailed { error, left }) => {
                let left = left.map(|(tagged, error)| {
                    let pages: Box<dyn Pages> = TaggedPages::closed(*tagged);
                    (pages, error)
                });
                return Err(Unallocated { refused: error.into(), left });
            }
        };
        let pages = TaggedPages::closed(tagged);
        match pages.open(ByteCount::ZERO, layout.initial.bytes(), going) {
            Ok(()) => Ok(pages),
            Err(refused) => Err(Unallocated { refused, left: pages.release().err() }),
        }
    }
}

impl From<TagMode> for TagCheck {
    fn from(mode: TagMode) -> Self {
        match mode {
            TagMode::Synchronous => Self::Synchronous,
            TagMode::Asynchronous => Self::Asynchronous,
        }
    }
}

impl From<TagCheck> for TagMode {
    fn from(check: TagCheck) -> Self {
        match check {
            TagCheck::Synchronous => Self::Synchronous,
            TagCheck::Asynchronous => Self::Asynchronous,
        }
    }
}

#[derive(Debug)]
struct TaggedPages {
    tagged: Tagged,
    /// How far it is open, so that a wipe of everything is known as one.
    opened: AtomicU64,
}

impl TaggedPages {
    /// Nothing of it is open.
    fn closed(tagged: Tagged) -> Box<Self> {
        Box::new(Self { tagged, opened: AtomicU64::new(0) })
    }
}

// SAFETY: a Tagged owns its whole range from reserve() to release() or drop, never moves it, hands
// out no reference into it, and its open() makes a range readable and writable by the address that
// its body() gives, which is the range's own but for bits that the processor does not use to find
// the byte. A thread for which that cannot be so is given an address at which nothing is accessible.
unsafe impl Pages for TaggedPages {
    fn base(&self) -> NonNull<u8> {
        self.tagged.body()
    }

    fn host_page(&self) -> ByteCount {
        self.tagged.space().host_page()
    }

    fn placed(&self) -> Placed {
        let (guard, granule) = (GuardKind::ProtNone, ByteCount::new(PAGE_BYTES));
        let tags = Some(self.tagged.tagger().check.into());
        Placed { guard, pages: PageKind::Base, granule, on_nodes: true, tags }
    }

    fn room(&self) -> ByteCount {
        self.tagged.space().body_bytes()
    }

    fn open(&self, from: ByteCount, to: ByteCount, going: Going<'_>) -> Result<(), Refused> {
        in_slices(from, to, ByteCount::new(PAGE_BYTES), going, |from, to| {
            self.tagged.open(from, to)?;
            self.opened.fetch_max(to.get(), Ordering::Relaxed);
            Ok(())
        })
    }

    fn close(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.tagged.close(from, to)?;
        self.opened.fetch_min(from.get(), Ordering::Relaxed);
        Ok(())
    }

    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let everything = from == ByteCount::ZERO && to.get() >= self.opened.load(Ordering::Relaxed);
        if everything { self.tagged.renew(to) } else { self.tagged.wipe(from, to) }
    }

    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        self.tagged.space().resident_bytes(from, to)
    }

    fn held(&self, extent: ByteCount) -> Result<Held, OsError> {
        let resident = self.tagged.space().resident_bytes(ByteCount::ZERO, extent)?;
        Ok(Held { resident, ..Held::default() })
    }

    fn space(&self) -> Option<&dyn Fenced> {
        Some(self.tagged.space())
    }

    fn release(self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)> {
        let Self { tagged, opened } = *self;
        tagged.release().map_err(|(tagged, error)| {
            let pages: Box<dyn Pages> = Box::new(Self { tagged, opened });
            (pages, error)
        })
    }
}

//! [`PageAllocator`]: what gets pages from the host, and [`Pages`]: what it got.
//!
//! Law: a footprint is known, and charged, before anything is allocated. Owns no memory itself:
//! `mmap.rs`, `heap/` and `fixed/` do; `allocators.rs` chooses between them, memory by memory.

#![expect(unsafe_code, reason = "access.rs trusts what Pages says of its addresses")]

use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::ballast::{Ballast, BallastForm};
use crate::memory::heap::Block;
use crate::memory::inspect::Fenced;
use crate::memory::layout::Layout;
use crate::memory::refused::{Going, Refused};
use crate::model::{PageKind, Populate, Protection, TagMode};
use crate::os::OsError;
use crate::units::{ByteCount, WasmPages};

/// What a memory costs, whoever pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of RAM that it may come to hold.
    pub committed: ByteCount,
    /// Bytes of the daemon's and the kernel's own for it.
    pub overhead: ByteCount,
    /// Mappings of the process.
    pub mappings: u64,
    /// Bytes of address space.
    pub reserved: ByteCount,
    /// The host's part of all but the overhead was paid at start.
    pub is_prepaid: bool,
    /// The committed bytes are locked in RAM for it.
    pub is_locked: bool,
    /// They are pages of one of the host's pools.
    pub is_huge: bool,
}

/// What makes a guard inaccessible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardKind {
    /// A mapping of its own without any protection bit.
    #[default]
    ProtNone,
    /// Guard page-table entries inside one mapping.
    GuardInstall,
    /// Nothing: there are none, and bounds are kept by software alone.
    None,
}

/// What a memory was given, as far as it is known without a look at the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// What its guards are made of.
    pub guard: GuardKind,
    /// The kind of its pages.
    pub pages: PageKind,
    /// The smallest step in which they are committed.
    pub granule: ByteCount,
    /// Whether the NUMA policy that was asked for is in force.
    pub on_nodes: bool,
    /// When an access with a wrong tag is told of; none where its bytes carry no tags.
    pub tags: Option<TagMode>,
}

/// What the host says that a memory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// RAM behind it.
    pub resident: ByteCount,
    /// What of it is in huge pages; none where the kernel does not say.
    pub huge: Option<ByteCount>,
    /// Pairs of node and bytes there, by node; none where the host does not say.
    pub nodes: Option<Vec<(u32, ByteCount)>>,
}

/// How often a memory got a lesser form than it asked for first.
#[derive(Debug, Default)]
pub struct Fallbacks {
    huge_pages: AtomicU64,
    numa: AtomicU64,
    tagging: AtomicU64,
}

impl Fallbacks {
    /// Another kind of pages than the one preferred.
    pub fn note_huge_pages(&self) {
        self.huge_pages.fetch_add(1, Ordering::Relaxed);
    }

    /// No NUMA policy.
    pub fn note_numa(&self) {
        self.numa.fetch_add(1, Ordering::Relaxed);
    }

    /// No tags.
    pub fn note_tagging(&self) {
        self.tagging.fetch_add(1, Ordering::Relaxed);
    }

    /// How often, by the word for what was not had.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        [
            ("huge_pages", self.huge_pages.load(Ordering::Relaxed)),
            ("numa", self.numa.load(Ordering::Relaxed)),
            ("tagging", self.tagging.load(Ordering::Relaxed)),
        ]
    }
}

/// Gets pages from the host, in one way.
pub trait PageAllocator: Send + Sync + fmt::Debug {
    /// What a memory of this layout costs at its initial size.
    fn footprint(&self, layout: &Layout) -> Footprint;

    /// What the guards of small memories are made of: the best that this host has.
    fn guard_kind(&self) -> GuardKind;

    /// What was given in a lesser form.
    fn fallbacks(&self) -> &Fallbacks;

    /// Whether RAM of what nobody uses may be kept for the next from now on. Where not, what is kept goes
    /// back to the host: how much.
    fn keep_warm(&self, _kept: bool) -> ByteCount {
        ByteCount::ZERO
    }

    /// The most that a memory in a slot of the fixed arena can have, where there is one.
    fn slot(&self) -> Option<WasmPages> {
        None
    }

    /// Sets the address space aside and opens the initial size, all zero.
    ///
    /// # Errors
    /// [`Unallocated`], with what is left behind where the host did not take it back.
    fn allocate(&self, layout: &Layout, going: Going<'_>) -> Result<Box<dyn Pages>, Unallocated>;

    /// A block of the process's heap, all zero and exactly as long; with its pages where `populate`
    /// asks for any in advance.
    ///
    /// # Errors
    /// [`Refused`].
    fn block(
        &self,
        _length: ByteCount,
        _populate: Populate,
        _going: Going<'_>,
    ) -> Result<Block, Refused> {
        Err(Refused::NotHere {
            field: "spec.allocator",
            value: "ALLOCATOR_HEAP".to_owned(),
            why: "these pages are not from the heap",
        })
    }

    /// The place for a ballast of such pages, which holds nothing yet.
    ///
    /// # Errors
    /// [`Refused`], always where the allocator knows no such thing.
    fn ballast(&self, _form: &BallastForm) -> Result<Ballast, Refused> {
        let why = "this allocator sets nothing aside";
        Err(Refused::NotHere { field: "spec.minimum_bytes", value: "more than 0".to_owned(), why })
    }
}

/// Pages were not to be had.
#[derive(Debug)]
pub struct Unallocated {
    /// Why.
    pub refused: Refused,
    /// Address space that was set aside by then and could not be given back, and why not.
    pub left: Option<(Box<dyn Pages>, OsError)>,
}

impl<E: Into<Refused>> From<E> for Unallocated {
    fn from(refused: E) -> Self {
        Self { refused: refused.into(), left: None }
    }
}

/// The pages of one memory.
///
/// # Safety
/// [`Pages::base`] is the first of [`Pages::room`] bytes of address space that belong to this value
/// alone, at the same place until it is dropped or released, and no Rust reference points into them.
/// Bytes below an extent that [`Pages::open`] opened are readable and writable.
pub unsafe trait Pages: Send + Sync + fmt::Debug {
    /// Where the memory's byte 0 lies.
    fn base(&self) -> NonNull<u8>;

    /// The size of a host page there.
    fn host_page(&self) -> ByteCount;

    /// What was given.
    fn placed(&self) -> Placed;

    /// How many bytes there is address space for.
    fn room(&self) -> ByteCount;

    /// The bytes that are charged while the first `extent` are open.
    fn committed(&self, extent: ByteCount) -> ByteCount {
        extent
    }

    /// Makes `[from, to)` readable and writable, with their pages where those can run out or were
    /// asked for in advance. The bytes there read as zero.
    ///
    /// # Errors
    /// [`Refused`]; what was open stays open, the rest may be either, and is to be closed.
    fn open(&self, from: ByteCount, to: ByteCount, going: Going<'_>) -> Result<(), Refused>;

    /// Undoes [`Pages::open`] of bytes that nobody has touched, their pages included.
    ///
    /// # Errors
    /// [`OsError`]: they may still be open.
    fn close(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError>;

    /// Makes `[from, to)` zero, in whole host pages, giving the RAM back where that can be had
    /// again at once.
    ///
    /// # Errors
    /// [`OsError`]: they may still hold what they held.
    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError>;

    /// Gives the RAM behind `[from, to)`, whole open host pages, back while the memory lives on; they
    /// read as zero then. False, and nothing done, where it could not be had again at once.
    ///
    /// # Errors
    /// [`OsError`]: they hold what they held, or zero.
    fn discard(&self, _from: ByteCount, _to: ByteCount) -> Result<bool, OsError> {
        Ok(false)
    }

    /// How much of `[from, to)`, whole open host pages, is in RAM.
    ///
    /// # Errors
    /// [`OsError`].
    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError>;

    /// Has the kernel keep to a protection of `[from, to)`, whole open host pages. False, and nothing
    /// done, where it cannot without a share in others' mappings.
    ///
    /// # Errors
    /// [`OsError`]: some of them may be protected so.
    fn protect(
        &self,
        _from: ByteCount,
        _to: ByteCount,
        _protection: Protection,
    ) -> Result<bool, OsError> {
        Ok(false)
    }

    /// What the kernel says of the first `extent` bytes.
    ///
    /// # Errors
    /// [`OsError`].
    fn held(&self, extent: ByteCount) -> Result<Held, OsError>;

    /// The second copy of every byte, where there is one.
    fn shadow(&self) -> Option<&dyn Pages> {
        None
    }

    /// The address space, for whoever verifies it; none where it has no guards and no mapping of its
    /// own, as on a heap.
    fn space(&self) -> Option<&dyn Fenced> {
        None
    }

    /// Gives the address space back.
    ///
    /// # Errors
    /// The pages themselves, so that it can be tried again, and what the kernel said.
    fn release(self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)>;
}

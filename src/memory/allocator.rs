//! [`PageAllocator`]: what gets pages from the host, and [`Pages`]: what it got.
//!
//! Law: a footprint is known, and charged, before anything is allocated. Owns no memory itself;
//! `mmap.rs` is the one implementation so far.

#![expect(unsafe_code, reason = "access.rs trusts what Pages says of its addresses")]

use std::fmt;
use std::ptr::NonNull;

use crate::memory::layout::Layout;
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
}

/// What makes a guard inaccessible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardKind {
    /// A mapping of its own without any protection bit.
    #[default]
    ProtNone,
    /// Guard page-table entries inside one mapping.
    GuardInstall,
}

/// Gets pages from the host, in one way.
pub trait PageAllocator: Send + Sync + fmt::Debug {
    /// What a memory of this layout costs at its initial size.
    fn footprint(&self, layout: &Layout) -> Footprint;

    /// What one of these costs more at `pages` than at none: committed bytes, in whole granules.
    fn committed(&self, pages: WasmPages) -> ByteCount;

    /// What the guards of small memories are made of: the best that this host has.
    fn guard_kind(&self) -> GuardKind;

    /// Sets the address space aside and opens the initial size, all zero.
    ///
    /// # Errors
    /// [`Unallocated`], with what is left behind where the host did not take it back.
    fn allocate(&self, layout: &Layout) -> Result<Box<dyn Pages>, Unallocated>;
}

/// Pages were not to be had.
#[derive(Debug)]
pub struct Unallocated {
    /// Why.
    pub error: OsError,
    /// Address space that was set aside by then and could not be given back, and why not.
    pub left: Option<(Box<dyn Pages>, OsError)>,
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

    /// What its guards are made of.
    fn guard_kind(&self) -> GuardKind;

    /// How many bytes there is address space for.
    fn room(&self) -> ByteCount;

    /// Makes `[from, to)` readable and writable. The bytes there read as zero.
    ///
    /// # Errors
    /// [`OsError`]; what was open stays open, the rest may be either.
    fn open(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError>;

    /// Undoes [`Pages::open`] of bytes that nobody has touched.
    ///
    /// # Errors
    /// [`OsError`]: they may still be open.
    fn close(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError>;

    /// Makes `[from, to)` zero, in whole host pages, giving the RAM back.
    ///
    /// # Errors
    /// [`OsError`]: they may still hold what they held.
    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError>;

    /// RAM behind the first `extent` bytes, as the kernel counts it.
    ///
    /// # Errors
    /// [`OsError`].
    fn resident(&self, extent: ByteCount) -> Result<ByteCount, OsError>;

    /// Gives the address space back.
    ///
    /// # Errors
    /// The pages themselves, so that it can be tried again, and what the kernel said.
    fn release(self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)>;
}

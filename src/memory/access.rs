//! The one caller of the fault-safe copy routines: bytes in, bytes out, bytes set.
//!
//! Law: a range is checked against the opened extent here once more, whatever was checked before,
//! so that every function is safe by itself; no reference ever points into a memory. Does not know
//! plans, locks or sizes in pages.

#![expect(unsafe_code, reason = "calls os/copy.rs with the addresses of Pages")]

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::memory::allocator::Pages;
use crate::os::copy;
use crate::units::{ByteCount, ByteRange};

/// Bytes of an access that were not moved: the range was not open, or the host failed under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotMoved {
    /// At most so many.
    pub(super) count: u64,
}

/// The bytes of one memory that are open, at one place as long as its pages are borrowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened<'a> {
    base: NonNull<u8>,
    length: ByteCount,
    whose: PhantomData<&'a ()>,
}

impl<'a> Opened<'a> {
    /// The first `length` bytes of these pages, which are within their room.
    pub(super) fn of(pages: &'a (impl Pages + ?Sized), length: ByteCount) -> Self {
        Self { base: pages.base(), length, whose: PhantomData }
    }

    /// How many bytes are open.
    pub(super) const fn length(self) -> ByteCount {
        self.length
    }

    /// Where the range begins, and how long it is.
    fn part(self, range: ByteRange) -> Result<(*mut u8, usize), NotMoved> {
        if range.end() > self.length.get() {
            return Err(NotMoved { count: range.length().get() });
        }
        let start = ByteCount::new(range.start()).as_usize();
        // SAFETY: the range lies within the first `length` bytes from base() on, which Pages
        // promises to be one range of address space of its own.
        let start = unsafe { self.base.as_ptr().add(start) };
        Ok((start, range.length().as_usize()))
    }
}

/// Appends the range's bytes to `out`, whose length is unchanged on failure.
pub(super) fn append_to(
    out: &mut Vec<u8>,
    opened: Opened<'_>,
    range: ByteRange,
) -> Result<(), NotMoved> {
    let (from, length) = opened.part(range)?;
    out.reserve(length);
    let to = out.spare_capacity_mut().as_mut_ptr().cast::<u8>();
    // SAFETY: `to` is the start of at least `length` spare bytes, reserved above and borrowed
    // exclusively; `from` is the start of `length` bytes of Pages, which overlap no Rust object.
    let left = unsafe { copy::copy(to, from, length) };
    moved(left)?;
    let end = out.len().saturating_add(length);
    // SAFETY: `length` bytes past the old length were reserved above, and copy() said that all of
    // them were written.
    unsafe { out.set_len(end) };
    Ok(())
}

/// Copies `source` to the start of the range; it is exactly as long.
pub(super) fn put(opened: Opened<'_>, range: ByteRange, source: &[u8]) -> Result<(), NotMoved> {
    let (to, length) = opened.part(range)?;
    let length = length.min(source.len());
    // SAFETY: `to` is the start of at least `length` bytes of Pages, `source` of at least `length`
    // bytes of a Rust object, which Pages never overlap.
    moved(unsafe { copy::copy(to, source.as_ptr(), length) })
}

/// Sets every byte of the range to `value`.
pub(super) fn set(opened: Opened<'_>, range: ByteRange, value: u8) -> Result<(), NotMoved> {
    let (to, length) = opened.part(range)?;
    // SAFETY: `to` is the start of `length` bytes of Pages.
    moved(unsafe { copy::fill(to, value, length) })
}

/// Copies the range's bytes to the same range of another memory.
pub(super) fn carry(from: Opened<'_>, to: Opened<'_>, range: ByteRange) -> Result<(), NotMoved> {
    let (from, length) = from.part(range)?;
    let (to, _) = to.part(range)?;
    if from == to {
        return Ok(());
    }
    // SAFETY: both are the start of `length` bytes of Pages; they are not the same Pages, which would
    // begin at one place, and different ones never overlap.
    moved(unsafe { copy::copy(to, from, length) })
}

fn moved(left: usize) -> Result<(), NotMoved> {
    if left == 0 { Ok(()) } else { Err(NotMoved { count: left as u64 }) }
}

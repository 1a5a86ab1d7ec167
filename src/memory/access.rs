//! The one caller of the fault-safe copy routines: bytes in, bytes out, bytes set.
//!
//! Law: a range is checked against the opened extent here once more, whatever was checked before,
//! so that every function is safe by itself; no reference ever points into a memory. Does not know
//! plans, locks or sizes in pages.

#![expect(unsafe_code, reason = "calls os/copy.rs with the addresses of Pages")]

use crate::memory::allocator::Pages;
use crate::os::copy;
use crate::units::{ByteCount, ByteRange};

/// Bytes of an access that were not moved: the range was not open, or the host failed under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotMoved {
    /// At most so many.
    pub(super) count: u64,
}

/// Appends the range's bytes to `out`, whose length is unchanged on failure.
pub(super) fn append_to(
    out: &mut Vec<u8>,
    pages: &dyn Pages,
    opened: ByteCount,
    range: ByteRange,
) -> Result<(), NotMoved> {
    let length = within(opened, range)?;
    out.reserve(length);
    let to = out.spare_capacity_mut().as_mut_ptr().cast::<u8>();
    // SAFETY: within() holds the range inside the opened extent of these pages.
    let from = unsafe { address(pages, range) };
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
pub(super) fn put(
    pages: &dyn Pages,
    opened: ByteCount,
    range: ByteRange,
    source: &[u8],
) -> Result<(), NotMoved> {
    let length = within(opened, range)?.min(source.len());
    // SAFETY: within() holds the range inside the opened extent of these pages.
    let to = unsafe { address(pages, range) };
    // SAFETY: `to` is the start of at least `length` bytes of Pages, `source` of at least `length`
    // bytes of a Rust object, which Pages never overlap.
    moved(unsafe { copy::copy(to, source.as_ptr(), length) })
}

/// Sets every byte of the range to `value`.
pub(super) fn set(
    pages: &dyn Pages,
    opened: ByteCount,
    range: ByteRange,
    value: u8,
) -> Result<(), NotMoved> {
    let length = within(opened, range)?;
    // SAFETY: within() holds the range inside the opened extent of these pages.
    let to = unsafe { address(pages, range) };
    // SAFETY: `to` is the start of `length` bytes of Pages.
    moved(unsafe { copy::fill(to, value, length) })
}

fn within(opened: ByteCount, range: ByteRange) -> Result<usize, NotMoved> {
    if range.end() <= opened.get() {
        Ok(range.length().as_usize())
    } else {
        Err(NotMoved { count: range.length().get() })
    }
}

fn moved(left: usize) -> Result<(), NotMoved> {
    if left == 0 { Ok(()) } else { Err(NotMoved { count: left as u64 }) }
}

/// # Safety
/// The range lies within the room of `pages`.
unsafe fn address(pages: &dyn Pages, range: ByteRange) -> *mut u8 {
    let start = ByteCount::new(range.start()).as_usize();
    // SAFETY: the caller keeps the range within room() bytes of base(), which Pages promises to be
    // one range of address space of this value's own.
    unsafe { pages.base().as_ptr().add(start) }
}

//! [`Heap`]: the part of the seam that is no system call: blocks of the process's own heap.
//!
//! Law: `mod.rs`'s: each method is one call, so that what is above can be tested against a heap that
//! has nothing left. What a heap gives is the process's own: it is not kept out of children or core
//! dumps, and no guard stands around it.

#![expect(unsafe_code, reason = "a heap hands out and takes back bare addresses")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use crate::os::kernel::Linux;

/// The process's heap. Its methods are the real thing unless a double has others.
///
/// # Safety
/// [`Heap::heap_block`] gives a range that nothing else in the process uses, at least as long as
/// asked, readable, writable and zero, which stays so until it is freed.
pub unsafe trait Heap {
    /// `alloc_zeroed`: a block that begins at a multiple of `align`.
    ///
    /// # Errors
    /// ENOMEM where the heap has none so long, or no heap could; EINVAL for a length of 0.
    fn heap_block(&self, length: usize, align: usize) -> Result<NonNull<u8>, i32> {
        let layout = Layout::from_size_align(length, align).map_err(|_too_long| libc::ENOMEM)?;
        if length == 0 {
            return Err(libc::EINVAL);
        }
        // SAFETY: the layout is not of size 0.
        NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(libc::ENOMEM)
    }

    /// `dealloc`.
    ///
    /// # Safety
    /// The block is one that [`Heap::heap_block`] gave for this length and this alignment, was not
    /// freed since, and nothing uses it any more, by reference or by address.
    unsafe fn free_heap_block(&self, block: NonNull<u8>, length: usize, align: usize) {
        if let Ok(layout) = Layout::from_size_align(length, align) {
            // SAFETY: the block came from alloc_zeroed with this layout: this method's condition.
            unsafe { dealloc(block.as_ptr(), layout) }
        }
    }
}

// SAFETY: the methods above: the allocator's blocks are their caller's alone, until dealloc.
unsafe impl Heap for Linux {}

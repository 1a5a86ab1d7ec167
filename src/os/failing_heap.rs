//! The heap of [`FailingKernel`]: blocks can be refused like any call of the kernel, and count as
//! mapped bytes until they are freed.

#![expect(unsafe_code, reason = "implements the seam, whose calls are unsafe")]

use std::ptr::NonNull;

use crate::os::failing::FailingKernel;
use crate::os::kernel::{Call, Heap, Linux};

// SAFETY: both methods fail without doing anything or are Linux's own with the same arguments.
unsafe impl Heap for FailingKernel {
    fn heap_block(&self, length: usize, align: usize) -> Result<NonNull<u8>, i32> {
        self.admit(Call::HeapBlock)?;
        let block = Linux.heap_block(length, align)?;
        self.count_mapped(length as u64);
        Ok(block)
    }

    unsafe fn free_heap_block(&self, block: NonNull<u8>, length: usize, align: usize) {
        // SAFETY: the same block under the same condition, which our caller has met.
        unsafe { Linux.free_heap_block(block, length, align) };
        self.count_unmapped(length as u64);
    }
}

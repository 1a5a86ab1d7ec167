//! [`HeapBlock`]: a range of the process's heap, owned, in whole host pages.
//!
//! Law: it is all zero when it is taken, stays where it is, and is given back when it is dropped, as it
//! is: who must not leave bytes in the heap wipes them first. It is ordinary memory of the process: no
//! guard stands around it, and it is in children and core dumps. Reads and writes no byte, and hands
//! out no reference.

#![expect(unsafe_code, reason = "owns heap blocks, which are bare addresses")]

use std::num::NonZero;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::os::kernel::Kernel;
use crate::os::reservation::{note_leaked, resident};
use crate::os::{OsError, host_page};
use crate::units::ByteCount;

/// A range of the heap.
#[derive(Debug)]
pub struct HeapBlock {
    /// Asked by no operation on bytes.
    kernel: Arc<dyn Kernel>,
    base: NonNull<u8>,
    /// 0 where there is nothing to free.
    length: ByteCount,
}

// SAFETY: the fields but for the address are Send. The address belongs to the process, not to a
// thread, and to this value alone (heap_block's promise).
unsafe impl Send for HeapBlock {}

// SAFETY: with a shared reference one can ask the kernel about the range and copy out its address,
// whose use is unsafe; no field changes.
unsafe impl Sync for HeapBlock {}

impl HeapBlock {
    /// A block of so many bytes, all zero.
    ///
    /// # Errors
    /// EINVAL where that is no multiple of the host page; ENOMEM.
    pub fn take(kernel: Arc<dyn Kernel>, length: ByteCount) -> Result<Self, OsError> {
        const CALL: &str = "alloc_zeroed";
        let page = host_page(&*kernel);
        let refused = |errno| OsError { call: CALL, errno, bytes: length.get() };
        if length.checked_round_up(page) != Some(length) {
            return Err(OsError::invalid(CALL, length));
        }
        // Where there is nothing to take, an address that is aligned as a block would be.
        let nowhere = NonZero::new(page.as_usize()).unwrap_or(NonZero::<usize>::MIN);
        let base = match length {
            ByteCount::ZERO => NonNull::without_provenance(nowhere),
            _ => kernel.heap_block(length.as_usize(), page.as_usize()).map_err(refused)?,
        };
        Ok(Self { kernel, base, length })
    }

    /// Where it begins. Its bytes may be accessed only while this value lives, and never by reference.
    #[must_use]
    pub const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How long it is.
    #[must_use]
    pub const fn length(&self) -> ByteCount {
        self.length
    }

    /// The size of its host pages.
    #[must_use]
    pub fn host_page(&self) -> ByteCount {
        host_page(&*self.kernel)
    }

    /// Keeps it from the heap for good: for bytes that could not be wiped.
    pub fn leak(&mut self) {
        note_leaked(self.length);
        self.length = ByteCount::ZERO;
    }

    /// How much of its first `upto` bytes has memory behind it, in whole host pages.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn resident_bytes(&self, upto: ByteCount) -> Result<ByteCount, OsError> {
        // SAFETY: the range is the block's, which lives as long as self; no reference to its bytes
        // exists (the law of this file).
        unsafe { resident(&*self.kernel, self.base, upto.min(self.length)) }
    }
}

impl Drop for HeapBlock {
    fn drop(&mut self) {
        if self.length == ByteCount::ZERO {
            return;
        }
        let (length, align) = (self.length.as_usize(), self.host_page().as_usize());
        // SAFETY: the block is what heap_block gave for this length and alignment; the exclusive
        // reference means that nobody uses this value, and who uses an address that it handed out
        // broke base()'s condition.
        unsafe { self.kernel.free_heap_block(self.base, length, align) }
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use crate::os::failing::FailingKernel;
    use crate::os::kernel::Call;

    fn take(kernel: &Arc<FailingKernel>, bytes: u64) -> Result<HeapBlock, OsError> {
        HeapBlock::take(Arc::clone(kernel) as Arc<dyn Kernel>, ByteCount::new(bytes))
    }

    #[test]
    fn a_block_is_aligned_to_the_host_page_and_given_back_when_dropped() {
        let kernel = Arc::new(FailingKernel::new());
        let block = take(&kernel, 3 * 65_536).unwrap();
        assert!(block.base().as_ptr().addr().is_multiple_of(block.host_page().as_usize()));
        assert_eq!(kernel.mapped_bytes(), block.length());
        assert!(block.resident_bytes(block.length()).unwrap() <= block.length());
        drop(block);
        assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO);
    }

    #[test]
    fn nothing_is_taken_for_a_length_of_0_and_none_that_no_heap_has() {
        let kernel = Arc::new(FailingKernel::new());
        let nothing = take(&kernel, 0).unwrap();
        assert_eq!(nothing.resident_bytes(ByteCount::new(4096)), Ok(ByteCount::ZERO));
        assert!(kernel.calls().is_empty());
        assert_eq!(take(&kernel, u64::MAX - 4095).unwrap_err().errno, libc::ENOMEM);
        assert!(take(&kernel, 1).unwrap_err().is_invalid());
        kernel.fail_call(Call::HeapBlock, libc::ENOMEM, 1);
        assert!(take(&kernel, 4096).unwrap_err().is_exhaustion());
    }
}

//! [`MemoryFile`]: a file without a name, of base pages or of the host's huge ones.
//!
//! Law: as long as what may be used of it, so that an access past that is a fault and never finds
//! old bytes; its pages are there before its length says so. Maps nothing: a reservation does.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::os::OsError;
use crate::os::kernel::Kernel;
use crate::units::ByteCount;

const NAME: &CStr = c"linmemd";

/// A memory file. Dropping it gives its pages back, once nothing maps it.
#[derive(Debug)]
pub struct MemoryFile {
    kernel: Arc<dyn Kernel>,
    file: OwnedFd,
}

impl MemoryFile {
    /// An empty file; of huge pages of that size where `pool` names one.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn new(kernel: Arc<dyn Kernel>, pool: Option<ByteCount>) -> Result<Self, OsError> {
        let made = kernel.memory_file(NAME, pool.map(ByteCount::get));
        let file = made.map_err(|errno| OsError { call: "memfd_create", errno, bytes: 0 })?;
        Ok(Self { kernel, file })
    }

    /// Makes it so long. What is cut off is gone, what is added reads as zero.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn set_length(&self, length: ByteCount) -> Result<(), OsError> {
        let set = self.kernel.set_length(self.file.as_fd(), length.get());
        set.map_err(|errno| OsError { call: "ftruncate", errno, bytes: length.get() })
    }

    /// Takes the pages of `[from, to)` from the host, zero where there were none.
    ///
    /// # Errors
    /// ENOSPC where the host has no more of them.
    pub fn allocate(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let Some(length) = to.checked_sub(from).filter(|length| *length > ByteCount::ZERO) else {
            return Ok(());
        };
        let taken = self.kernel.allocate(self.file.as_fd(), from.get(), length.get());
        taken.map_err(|errno| OsError { call: "fallocate", errno, bytes: length.get() })
    }

    /// The bytes of the pages that it has.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn held_bytes(&self) -> Result<ByteCount, OsError> {
        let told = self.kernel.file_bytes(self.file.as_fd());
        told.map(ByteCount::new).map_err(|errno| OsError { call: "fstat", errno, bytes: 0 })
    }

    /// Gives the pages of `[from, to)` back; they read as zero from then on.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn punch(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let Some(length) = to.checked_sub(from).filter(|length| *length > ByteCount::ZERO) else {
            return Ok(());
        };
        let call = "fallocate(FALLOC_FL_PUNCH_HOLE)";
        let given = self.kernel.punch(self.file.as_fd(), from.get(), length.get());
        given.map_err(|errno| OsError { call, errno, bytes: length.get() })
    }
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

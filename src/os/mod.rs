//! Floor 0: every system call, and the machine below it.
//!
//! Law: a call of the kernel that can be refused goes through [`kernel::Kernel`], so that a test
//! can refuse it; a refusal is an [`OsError`] and never a panic. Does not know what a memory, a
//! tenant or a page of WebAssembly is.
//!
//! ```text
//!  host   limits   numa   pressure    what the machine has          reservation   copy   fault
//!    |       |      |        |                                            |        |       |
//!    +-------+------+--------+------------- kernel (the seam) ------------+        |       |
//!                                              |                                 assembly <+ fix-ups
//!                                     Linux, or failing::FailingKernel
//! ```
//!
//! `tagging` lets a reservation's bytes carry tags where the processor has them, with assembly and
//! fix-ups of its own.
//!
//! Two calls stay outside the seam. `sigaction` in `fault` is made once, at start, before there is
//! anything to lose; and the copy routines call nothing: they are stopped by faults instead.

#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux")))]
compile_error!(
    "linmemd runs on Linux on x86-64 and aarch64 only: a fault within tenant memory is survived by \
     assembly and a signal handler that are written for those machines (os/copy_*.rs, os/fault/)"
);

#[cfg(test)]
mod child;
pub mod confine;
pub mod copy;
#[cfg(target_arch = "aarch64")]
mod copy_aarch64;
#[cfg(target_arch = "x86_64")]
mod copy_x86_64;
pub mod facts;
pub mod failing;
mod failing_heap;
mod failing_threads;
mod failing_watch;
pub mod fault;
#[cfg(test)]
mod fault_tests;
mod fixups;
pub mod heap;
pub mod heap_block;
pub mod host;
pub mod kernel;
pub mod limits;
pub mod memory_file;
pub mod numa;
pub mod pressure;
pub mod process;
pub mod reservation;
pub mod tagging;
pub mod threads;

use std::error::Error;
use std::fmt;
use std::io;

#[cfg(target_arch = "aarch64")]
use crate::os::copy_aarch64 as machine;
#[cfg(target_arch = "x86_64")]
use crate::os::copy_x86_64 as machine;
use crate::os::kernel::Kernel;
use crate::units::ByteCount;

/// A system call that the host refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsError {
    /// The call, as its manual page names it.
    pub call: &'static str,
    /// The error number that it gave, or that it would have given for arguments that were not
    /// worth asking about.
    pub errno: i32,
    /// How many bytes it was about; 0 where it was not about bytes.
    pub bytes: u64,
}

impl OsError {
    /// Whether the host has run out of something (memory, or mappings), so that the same call may
    /// succeed later.
    #[must_use]
    pub const fn is_exhaustion(&self) -> bool {
        matches!(self.errno, libc::ENOMEM | libc::EAGAIN)
    }

    /// A call that was not made, for its range is none.
    #[must_use]
    pub const fn invalid(call: &'static str, length: ByteCount) -> Self {
        Self { call, errno: libc::EINVAL, bytes: length.get() }
    }

    /// A call that was not made now, and may be made later.
    #[must_use]
    pub const fn again(call: &'static str) -> Self {
        Self { call, errno: libc::EAGAIN, bytes: 0 }
    }

    /// An access that the host failed under.
    #[must_use]
    pub const fn fault(call: &'static str, length: ByteCount) -> Self {
        Self { call, errno: libc::EFAULT, bytes: length.get() }
    }

    /// Whether the kernel did not know or not take the arguments.
    #[must_use]
    pub const fn is_invalid(&self) -> bool {
        self.errno == libc::EINVAL
    }

    /// Whether a seccomp profile, a missing right or the kernel's build stands against the call.
    #[must_use]
    pub const fn is_forbidden(&self) -> bool {
        matches!(self.errno, libc::EPERM | libc::ENOSYS)
    }

    /// Whether memory, or the right to lock more of it, ran out.
    #[must_use]
    pub const fn is_for_want_of_memory(&self) -> bool {
        matches!(self.errno, libc::ENOMEM | libc::EPERM | libc::EAGAIN)
    }

    /// Of a file of huge pages: whether the pool is exhausted or there is none.
    #[must_use]
    pub const fn is_for_want_of_huge_pages(&self) -> bool {
        use libc::{EINVAL, ENOENT, ENOMEM, ENOSPC, ENOSYS};
        matches!(self.errno, ENOSPC | ENOMEM | ENOENT | EINVAL | ENOSYS)
    }

    /// Whether no more files can be opened.
    #[must_use]
    pub const fn is_for_want_of_files(&self) -> bool {
        matches!(self.errno, libc::EMFILE | libc::ENFILE)
    }
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call)?;
        if self.bytes > 0 {
            write!(f, " of {} bytes", self.bytes)?;
        }
        write!(f, ": {}", io::Error::from_raw_os_error(self.errno))
    }
}

impl Error for OsError {}

/// The size of one host page, the step in which guards and wipes go.
#[must_use]
pub fn host_page(kernel: &dyn Kernel) -> ByteCount {
    // At least 1, whatever a double says: it is divided by.
    ByteCount::new(kernel.host_page_bytes().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_call_bytes_and_reason() {
        let error = OsError { call: "mmap", errno: libc::ENOMEM, bytes: 65_536 };
        assert_eq!(error.to_string(), "mmap of 65536 bytes: Cannot allocate memory (os error 12)");
        assert!(error.is_exhaustion());
    }
}

//! [`Threads`]: the part of the seam for what a thread asks of the scheduler and of the allocation of
//! pages, for itself alone.
//!
//! Law: as `mod.rs`: one call each, nothing decided.

#![expect(unsafe_code, reason = "system calls that take numbers and a mask by its address")]

use std::ffi::c_ulong;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::os::kernel::linux::{MASK_BITS, last_errno, node_mask, outcome};
use crate::os::kernel::{Linux, Policy};

/// What a thread asks for itself.
pub trait Threads {
    /// `set_mempolicy`, of pages that the calling thread takes and that have no policy of their own;
    /// none is the one that threads begin with.
    ///
    /// # Errors
    /// As [`crate::os::kernel::Kernel::set_policy`].
    fn set_thread_policy(&self, policy: Option<Policy>, nodes: &[u32]) -> Result<(), i32>;

    /// `setpriority` for the calling thread alone.
    ///
    /// # Errors
    /// EACCES where a lower value is asked for than the process may have.
    fn set_thread_nice(&self, nice: i32) -> Result<(), i32>;

    /// `sched_setaffinity` for the calling thread alone.
    ///
    /// # Errors
    /// EINVAL where the process may use none of them.
    fn set_thread_processors(&self, processors: &[u32]) -> Result<(), i32>;
}

impl Threads for Linux {
    fn set_thread_policy(&self, policy: Option<Policy>, nodes: &[u32]) -> Result<(), i32> {
        let mask = node_mask(nodes);
        let number = policy.map_or(0, |policy| policy.number(nodes.len()));
        let (mask, bits) = match policy {
            Some(_) => (mask.as_ptr(), MASK_BITS),
            None => (std::ptr::null(), 0),
        };
        // SAFETY: the kernel reads as many bits of the mask, which outlives the call, as it has; none
        // where it is null.
        let set =
            unsafe { libc::syscall(libc::SYS_set_mempolicy, c_ulong::from(number), mask, bits) };
        if set == 0 { Ok(()) } else { Err(last_errno()) }
    }

    fn set_thread_nice(&self, nice: i32) -> Result<(), i32> {
        // SAFETY: setpriority takes numbers only. On Linux, 0 is the calling thread.
        outcome(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })
    }

    fn set_thread_processors(&self, processors: &[u32]) -> Result<(), i32> {
        let mut set = CpuSet::new();
        for processor in processors {
            set.set(*processor as usize).map_err(|error| error as i32)?;
        }
        sched_setaffinity(Pid::from_raw(0), &set).map_err(|error| error as i32)
    }
}

//! [`Watch`]: the part of the seam for files of the kernel's that tell of something by themselves, as
//! control groups and pressure stall information do (poll(2), POLLPRI).
//!
//! Law: as `mod.rs`: one call each, nothing decided.

#![expect(unsafe_code, reason = "poll takes an array by its address")]

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crate::os::kernel::Linux;
use crate::os::kernel::linux::{errno_of, last_errno};

/// Files that tell by themselves.
pub trait Watch {
    /// Opens a file that tells; with a trigger, which is written to it, of that.
    ///
    /// # Errors
    /// ENOENT where there is none; EACCES, EPERM or EINVAL where this process may not be told of that.
    fn watch(&self, path: &Path, trigger: Option<&str>) -> Result<OwnedFd, i32>;

    /// Waits until one of them tells, `bell` can be read or the time is over; which of them do. Made
    /// whenever there is nothing to do, so that it is no [`crate::os::kernel::Call`]: a refusal ends
    /// the wait.
    ///
    /// # Errors
    /// EINTR, ENOMEM.
    fn wait(
        &self,
        watched: &[BorrowedFd<'_>],
        bell: BorrowedFd<'_>,
        at_most: Option<Duration>,
    ) -> Result<Vec<bool>, i32>;

    /// Reads a watched file anew, from when on it tells of what is new. No call either.
    ///
    /// # Errors
    /// What reading says; ENODEV once the group is gone.
    fn reread(&self, watched: &OwnedFd) -> Result<String, i32>;
}

impl Watch for Linux {
    fn watch(&self, path: &Path, trigger: Option<&str>) -> Result<OwnedFd, i32> {
        let opened = OpenOptions::new().read(true).write(trigger.is_some()).open(path);
        let mut file = opened.map_err(errno_of)?;
        if let Some(trigger) = trigger {
            // The kernel wants the closing zero as well, and all in one call.
            let text = format!("{trigger}\0");
            file.write(text.as_bytes()).map_err(errno_of)?;
        }
        Ok(file.into())
    }

    fn wait(
        &self,
        watched: &[BorrowedFd<'_>],
        bell: BorrowedFd<'_>,
        at_most: Option<Duration>,
    ) -> Result<Vec<bool>, i32> {
        let asked = |file: &BorrowedFd<'_>, events| libc::pollfd {
            fd: file.as_raw_fd(),
            events,
            revents: 0,
        };
        let mut files: Vec<libc::pollfd> =
            watched.iter().map(|file| asked(file, libc::POLLPRI)).collect();
        files.push(asked(&bell, libc::POLLIN));
        let timeout =
            at_most.map_or(-1, |time| i32::try_from(time.as_millis()).unwrap_or(i32::MAX).max(1));
        let count = libc::nfds_t::try_from(files.len()).map_err(|_| libc::EINVAL)?;
        // SAFETY: the kernel reads and writes as many entries of `files`, borrowed for this call
        // alone, as it has; the descriptors are open as long as they are borrowed.
        let told = unsafe { libc::poll(files.as_mut_ptr(), count, timeout) };
        if told < 0 {
            return Err(last_errno());
        }
        files.pop();
        Ok(files.iter().map(|file| file.revents != 0).collect())
    }

    fn reread(&self, watched: &OwnedFd) -> Result<String, i32> {
        let mut file = File::from(watched.try_clone().map_err(errno_of)?);
        file.rewind().map_err(errno_of)?;
        let mut text = String::new();
        match file.read_to_string(&mut text) {
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(libc::EINVAL),
            read => read.map(|_length| text).map_err(errno_of),
        }
    }
}

//! The one seam between linmemd and its host: [`Kernel`], a method per system call, and [`Linux`],
//! the real one.
//!
//! Law: no method decides anything. Each is one call with its arguments passed on and its error
//! number handed back, so that what is above can be tested against a host that refuses
//! (`failing.rs`). Does not retry, log, or know why it was called.

#![expect(unsafe_code, reason = "system calls about address ranges are unsafe by nature")]

use std::ffi::{CStr, c_int, c_uchar, c_ulong};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::ptr::NonNull;

/// What may be done with the bytes of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Nothing: an access is a fault.
    None,
    /// Reading and writing; never executing.
    ReadWrite,
}

/// What the kernel is told about a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// A child does not inherit it.
    DontFork,
    /// A core dump does not contain it.
    DontDump,
    /// It is never backed by huge pages, where one touched byte makes 2 MiB resident.
    NoHugePage,
    /// Its bytes are given back; they read as zero when touched again (anonymous mappings).
    DontNeed,
}

/// Every call that the seam knows and that can be refused, for a double to log and to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`Kernel::map_reserved`].
    MapReserved,
    /// [`Kernel::unmap`].
    Unmap,
    /// [`Kernel::protect`].
    Protect,
    /// [`Kernel::advise`] with that advice.
    Advise(Advice),
    /// [`Kernel::name`].
    Name,
    /// [`Kernel::residency`].
    Residency,
    /// [`Kernel::read_file`].
    ReadFile,
    /// [`Kernel::count_lines`].
    CountLines,
    /// [`Kernel::read_directory`].
    ReadDirectory,
    /// [`Kernel::set_thread_nice`].
    SetThreadNice,
}

/// The host's kernel. Errors are bare error numbers: the caller knows what it asked for.
///
/// # Safety
/// [`Kernel::map_reserved`] gives a range that nothing else in the process uses, at least as long
/// as asked, which stays so until it is unmapped; and the other methods either do what their
/// namesakes do, to the given range only, or fail. [`crate::os::reservation::Reservation`], which
/// is safe to use, believes both.
pub unsafe trait Kernel: Send + Sync + fmt::Debug {
    /// `mmap`: a fresh range of private anonymous memory that nobody can access yet and for which
    /// no memory is set aside.
    ///
    /// # Errors
    /// ENOMEM when address space or mappings run out; EINVAL for a length of 0.
    fn map_reserved(&self, length: usize) -> Result<NonNull<u8>, i32>;

    /// `munmap`.
    ///
    /// # Safety
    /// The range lies within ranges that [`Kernel::map_reserved`] gave and that are still mapped,
    /// and nothing uses it any more, by reference or by address.
    ///
    /// # Errors
    /// ENOMEM at the map limit, where the kernel would have to split a mapping to do it.
    unsafe fn unmap(&self, address: NonNull<u8>, length: usize) -> Result<(), i32>;

    /// `mprotect`.
    ///
    /// # Safety
    /// The range lies within ranges that [`Kernel::map_reserved`] gave and that are still mapped,
    /// and nothing holds a reference to its bytes.
    ///
    /// # Errors
    /// ENOMEM at the map limit.
    unsafe fn protect(
        &self,
        address: NonNull<u8>,
        length: usize,
        protection: Protection,
    ) -> Result<(), i32>;

    /// `madvise`.
    ///
    /// # Safety
    /// As for [`Kernel::protect`].
    ///
    /// # Errors
    /// EINVAL where the kernel does not know the advice, or the range cannot take it; ENOMEM at
    /// the map limit.
    unsafe fn advise(&self, address: NonNull<u8>, length: usize, advice: Advice)
    -> Result<(), i32>;

    /// `prctl(PR_SET_VMA_ANON_NAME)`: the name that `/proc/PID/maps` shows for the range.
    ///
    /// # Safety
    /// As for [`Kernel::protect`].
    ///
    /// # Errors
    /// EINVAL where the kernel was built without it.
    unsafe fn name(&self, address: NonNull<u8>, length: usize, name: &CStr) -> Result<(), i32>;

    /// `mincore`: bit 0 of each byte of `pages` tells whether that host page is resident.
    ///
    /// # Safety
    /// As for [`Kernel::protect`].
    ///
    /// # Errors
    /// EINVAL where `pages` is shorter than the range has host pages.
    unsafe fn residency(
        &self,
        address: NonNull<u8>,
        length: usize,
        pages: &mut [u8],
    ) -> Result<(), i32>;

    /// The whole text of a small file (of `/proc` or `/sys`), with what is no UTF-8 replaced.
    ///
    /// # Errors
    /// That of `open` or `read`.
    fn read_file(&self, path: &Path) -> Result<String, i32>;

    /// How many lines a file has, without holding them: near the map limit `/proc/self/maps` has
    /// megabytes, and an allocation of that size needs a mapping that is no longer to be had.
    ///
    /// # Errors
    /// That of `open` or `read`.
    fn count_lines(&self, path: &Path) -> Result<u64, i32>;

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// That of `open` or `getdents64`.
    fn read_directory(&self, path: &Path) -> Result<Vec<String>, i32>;

    /// The size of a host page. Handed over by the kernel at process start: it cannot fail, and is
    /// no [`Call`].
    fn host_page_bytes(&self) -> u64;

    /// `setpriority` for the calling thread alone.
    ///
    /// # Errors
    /// EACCES where a lower value is asked for than the process may have.
    fn set_thread_nice(&self, nice: i32) -> Result<(), i32>;
}

/// The kernel that this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

impl Advice {
    /// The call with this advice, as an error names it.
    #[must_use]
    pub const fn call(self) -> &'static str {
        match self {
            Self::DontFork => "madvise(MADV_DONTFORK)",
            Self::DontDump => "madvise(MADV_DONTDUMP)",
            Self::NoHugePage => "madvise(MADV_NOHUGEPAGE)",
            Self::DontNeed => "madvise(MADV_DONTNEED)",
        }
    }

    const fn number(self) -> c_int {
        match self {
            Self::DontFork => libc::MADV_DONTFORK,
            Self::DontDump => libc::MADV_DONTDUMP,
            Self::NoHugePage => libc::MADV_NOHUGEPAGE,
            Self::DontNeed => libc::MADV_DONTNEED,
        }
    }
}

impl Protection {
    const fn bits(self) -> c_int {
        match self {
            Self::None => libc::PROT_NONE,
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

// SAFETY: map_reserved passes no address and no MAP_FIXED, so the kernel chooses a free range; every
// other method is exactly the system call that it is named after, with its arguments unchanged.
unsafe impl Kernel for Linux {
    fn map_reserved(&self, length: usize) -> Result<NonNull<u8>, i32> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a null address without MAP_FIXED replaces no mapping; there is no descriptor.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(last_errno());
        }
        NonNull::new(address.cast()).ok_or(libc::ENOMEM)
    }

    unsafe fn unmap(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        // SAFETY: that the range is ours and unused is this method's own condition.
        outcome(unsafe { libc::munmap(address.as_ptr().cast(), length) })
    }

    unsafe fn protect(
        &self,
        address: NonNull<u8>,
        length: usize,
        protection: Protection,
    ) -> Result<(), i32> {
        // SAFETY: that the range is ours and without references is this method's own condition.
        outcome(unsafe { libc::mprotect(address.as_ptr().cast(), length, protection.bits()) })
    }

    unsafe fn advise(
        &self,
        address: NonNull<u8>,
        length: usize,
        advice: Advice,
    ) -> Result<(), i32> {
        // SAFETY: that the range is ours and without references is this method's own condition;
        // it matters for DontNeed alone, which changes bytes.
        outcome(unsafe { libc::madvise(address.as_ptr().cast(), length, advice.number()) })
    }

    unsafe fn name(&self, address: NonNull<u8>, length: usize, name: &CStr) -> Result<(), i32> {
        // prctl is variadic and reads longs.
        const ANON_NAME: c_ulong = 0;
        const _: () = assert!(libc::PR_SET_VMA_ANON_NAME == 0);
        // SAFETY: the kernel copies the name, which a CStr ends, before the call returns; it
        // changes no byte and no access of the range.
        outcome(unsafe {
            libc::prctl(libc::PR_SET_VMA, ANON_NAME, address.as_ptr(), length, name.as_ptr())
        })
    }

    unsafe fn residency(
        &self,
        address: NonNull<u8>,
        length: usize,
        pages: &mut [u8],
    ) -> Result<(), i32> {
        let page = usize::try_from(self.host_page_bytes()).map_err(|_| libc::EINVAL)?;
        if pages.len() < length.div_ceil(page) {
            return Err(libc::EINVAL);
        }
        let first: *mut c_uchar = pages.as_mut_ptr();
        // SAFETY: mincore writes one byte per host page of the range to `first`; the check above
        // has seen that `pages`, borrowed for this call alone, has that many.
        outcome(unsafe { libc::mincore(address.as_ptr().cast(), length, first) })
    }

    fn read_file(&self, path: &Path) -> Result<String, i32> {
        let bytes = fs::read(path).map_err(errno_of)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn count_lines(&self, path: &Path) -> Result<u64, i32> {
        let mut file = File::open(path).map_err(errno_of)?;
        let mut block = [0_u8; 8192];
        let mut lines = 0_u64;
        loop {
            match file.read(&mut block) {
                Ok(0) => return Ok(lines),
                Ok(read) => {
                    let filled = block.iter().take(read);
                    let ends = filled.filter(|byte| **byte == b'\n').count();
                    lines = lines.saturating_add(ends as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(errno_of(error)),
            }
        }
    }

    fn read_directory(&self, path: &Path) -> Result<Vec<String>, i32> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(errno_of)? {
            names.push(entry.map_err(errno_of)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn host_page_bytes(&self) -> u64 {
        // SAFETY: sysconf takes a number and touches no memory of ours.
        let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        // The C library cannot fail to know it; 4 KiB is what x86-64 has.
        u64::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
    }

    fn set_thread_nice(&self, nice: i32) -> Result<(), i32> {
        // SAFETY: setpriority takes numbers only. On Linux, 0 is the calling thread.
        outcome(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })
    }
}

fn outcome(returned: c_int) -> Result<(), i32> {
    if returned == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> i32 {
    errno_of(io::Error::last_os_error())
}

/// What std itself found wrong (a name with a NUL) has no number of the kernel's: EINVAL.
fn errno_of(error: io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_page_is_a_power_of_two_no_larger_than_a_page() {
        let bytes = Linux.host_page_bytes();
        assert!(bytes.is_power_of_two());
        assert!((4096..=65_536).contains(&bytes));
    }

    #[test]
    fn a_length_that_no_host_has_is_an_error_number() {
        assert_eq!(Linux.map_reserved(usize::MAX - 4095), Err(libc::ENOMEM));
        assert_eq!(Linux.map_reserved(0), Err(libc::EINVAL));
    }

    #[test]
    fn a_missing_file_is_an_error_number() {
        let nowhere = Path::new("/proc/self/no-such-file");
        assert_eq!(Linux.read_file(nowhere), Err(libc::ENOENT));
        assert_eq!(Linux.count_lines(nowhere), Err(libc::ENOENT));
        assert_eq!(Linux.read_directory(nowhere), Err(libc::ENOENT));
    }

    #[test]
    fn lines_are_counted_as_reading_them_would() {
        let file = Path::new("/proc/filesystems");
        let lines = Linux.read_file(file).unwrap().lines().count() as u64;
        assert_eq!(Linux.count_lines(file), Ok(lines));
    }
}

//! [`Linux`]: the kernel that this process runs on.
//!
//! Law: `mod.rs`'s: each method is one call, its arguments unchanged, its error number handed back.

#![expect(unsafe_code, reason = "system calls about address ranges are unsafe by nature")]

use std::ffi::{CStr, c_int, c_uchar, c_ulong};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;

use crate::model::MAX_NODES;
use crate::os::kernel::{Advice, Kernel, PageState, Policy, Protection, pagemap};
use crate::os::tagging::TagCheck;

/// The kernel that this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

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
        // it matters for DontNeed and GuardInstall, which change bytes.
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

    fn memory_file(&self, name: &CStr, pool: Option<u64>) -> Result<OwnedFd, i32> {
        // The size of a huge page is said by its logarithm, above the other flags.
        let pool = pool.map_or(0, |bytes| {
            libc::MFD_HUGETLB | (bytes.trailing_zeros() << libc::MFD_HUGE_SHIFT)
        });
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | pool;
        // SAFETY: the kernel copies the name, which a CStr ends, before the call returns.
        let file = unsafe { libc::memfd_create(name.as_ptr(), flags) };
        if file < 0 {
            return Err(last_errno());
        }
        // SAFETY: the kernel has just made this descriptor, and nobody else has its number.
        Ok(unsafe { OwnedFd::from_raw_fd(file) })
    }

    fn set_length(&self, file: BorrowedFd<'_>, length: u64) -> Result<(), i32> {
        let length = libc::off_t::try_from(length).map_err(|_| libc::EFBIG)?;
        // SAFETY: ftruncate takes numbers only; the descriptor is open as long as it is borrowed.
        outcome(unsafe { libc::ftruncate(file.as_raw_fd(), length) })
    }

    fn allocate(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), i32> {
        fallocate(file, libc::FALLOC_FL_KEEP_SIZE, from, length)
    }

    fn punch(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), i32> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        fallocate(file, mode, from, length)
    }

    fn file_bytes(&self, file: BorrowedFd<'_>) -> Result<u64, i32> {
        let status = nix::sys::stat::fstat(file).map_err(|errno| errno as i32)?;
        // Blocks of 512 bytes, whatever the file's pages are (stat(2)).
        Ok(u64::try_from(status.st_blocks).unwrap_or(0).saturating_mul(512))
    }

    unsafe fn map_file(
        &self,
        address: NonNull<u8>,
        length: usize,
        file: BorrowedFd<'_>,
    ) -> Result<(), i32> {
        let protection = Protection::ReadWrite.bits();
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let (wanted, file) = (address.as_ptr().cast(), file.as_raw_fd());
        // SAFETY: that the range is ours and without references is this method's own condition; the
        // descriptor is open as long as it is borrowed.
        let mapped = unsafe { libc::mmap(wanted, length, protection, flags, file, 0) };
        if mapped == libc::MAP_FAILED { Err(last_errno()) } else { Ok(()) }
    }

    unsafe fn lock(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        // SAFETY: that the range is ours is this method's own condition; mlock changes no byte.
        outcome(unsafe { libc::mlock(address.as_ptr().cast(), length) })
    }

    unsafe fn unlock(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        // SAFETY: that the range is ours is this method's own condition; munlock changes no byte.
        outcome(unsafe { libc::munlock(address.as_ptr().cast(), length) })
    }

    fn lock_limit(&self) -> u64 {
        let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MEMLOCK);
        limit.map_or(0, |(soft, _hard)| soft)
    }

    unsafe fn set_policy(
        &self,
        address: NonNull<u8>,
        length: usize,
        policy: Policy,
        nodes: &[u32],
    ) -> Result<(), i32> {
        let mask = node_mask(nodes);
        // SAFETY: that the range is ours is this method's own condition; the kernel reads as many
        // bits of `mask`, which outlives the call, as it has.
        let set = unsafe {
            libc::syscall(
                libc::SYS_mbind,
                address.as_ptr(),
                length,
                c_ulong::from(policy.number(nodes.len())),
                mask.as_ptr(),
                MASK_BITS,
                0_u32,
            )
        };
        if set == 0 { Ok(()) } else { Err(last_errno()) }
    }

    fn nodes_of(&self, pages: &[usize], nodes: &mut [i32]) -> Result<(), i32> {
        if nodes.len() < pages.len() {
            return Err(libc::EINVAL);
        }
        let none: *const c_int = std::ptr::null();
        // SAFETY: without target nodes nothing is moved; the kernel reads one address for each page
        // and writes one int for each, which `nodes` has (checked above).
        let asked = unsafe {
            libc::syscall(
                libc::SYS_move_pages,
                0_i32,
                pages.len(),
                pages.as_ptr(),
                none,
                nodes.as_mut_ptr(),
                0_i32,
            )
        };
        if asked >= 0 { Ok(()) } else { Err(last_errno()) }
    }

    fn scan(&self, address: NonNull<u8>, length: usize, state: PageState) -> Result<u64, i32> {
        pagemap::scan(address, length, state)
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
        // The C library cannot fail to know it; 4 KiB is what most machines have.
        u64::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
    }

    fn set_receive_low_water(&self, socket: BorrowedFd<'_>, bytes: u32) -> Result<(), i32> {
        let value = c_int::try_from(bytes).map_err(|_| libc::EINVAL)?;
        let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(|_| libc::EINVAL)?;
        // SAFETY: the kernel reads one int from `value`, which outlives the call, as the length
        // says; the descriptor is open as long as it is borrowed.
        outcome(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVLOWAT,
                std::ptr::from_ref(&value).cast(),
                length,
            )
        })
    }

    unsafe fn protect_tagged(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        // asm/mman.h of aarch64; the C library of many hosts is older.
        const PROT_MTE: c_int = 0x20;
        let access = Protection::ReadWrite.bits() | PROT_MTE;
        // SAFETY: that the range is ours and without references is this method's own condition.
        outcome(unsafe { libc::mprotect(address.as_ptr().cast(), length, access) })
    }

    fn check_tags(&self, how: TagCheck) -> Result<(), i32> {
        // linux/prctl.h; the C library of many hosts is older.
        const PR_SET_TAGGED_ADDR_CTRL: c_int = 55;
        const PR_TAGGED_ADDR_ENABLE: c_ulong = 1;
        const EVERY_TAG: c_ulong = 0xFFFF << 3;
        const NONE: c_ulong = 0;
        let mode = match how {
            TagCheck::Synchronous => 1 << 1,
            TagCheck::Asynchronous => 1 << 2,
        };
        let control = PR_TAGGED_ADDR_ENABLE | mode | EVERY_TAG;
        // SAFETY: this prctl takes numbers only, four of them, and touches no memory of ours.
        outcome(unsafe { libc::prctl(PR_SET_TAGGED_ADDR_CTRL, control, NONE, NONE, NONE) })
    }

    fn hardware_capabilities(&self) -> u64 {
        // SAFETY: getauxval takes a number, and reads what the kernel laid down at process start.
        unsafe { libc::getauxval(libc::AT_HWCAP2) }
    }
}

impl Advice {
    pub(super) const fn number(self) -> c_int {
        match self {
            Self::DontFork => libc::MADV_DONTFORK,
            Self::DontDump => libc::MADV_DONTDUMP,
            Self::NoHugePage => libc::MADV_NOHUGEPAGE,
            Self::HugePage => libc::MADV_HUGEPAGE,
            Self::PopulateRead => libc::MADV_POPULATE_READ,
            Self::PopulateWrite => libc::MADV_POPULATE_WRITE,
            Self::DontNeed => libc::MADV_DONTNEED,
            Self::DontNeedLocked => libc::MADV_DONTNEED_LOCKED,
            // madvise(2) of Linux 6.13; the C library of many hosts is older.
            Self::GuardInstall => 102,
            Self::GuardRemove => 103,
        }
    }
}

impl Protection {
    const fn bits(self) -> c_int {
        match self {
            Self::None => libc::PROT_NONE,
            Self::Read => libc::PROT_READ,
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

/// The kernel reads one bit less than it is told.
pub(super) const MASK_BITS: c_ulong = MAX_NODES as c_ulong + 1;

/// A bit for each node. The C library has no wrapper for the calls that take it.
pub(super) fn node_mask(nodes: &[u32]) -> [u64; MAX_NODES as usize / 64] {
    let mut mask = [0_u64; MAX_NODES as usize / 64];
    for node in nodes {
        if let Some(word) = mask.get_mut(*node as usize / 64) {
            *word |= 1 << (node % 64);
        }
    }
    mask
}

impl Policy {
    /// A kernel without PREFERRED_MANY still has PREFERRED, for one node.
    pub(super) const fn number(self, nodes: usize) -> u32 {
        match self {
            Self::Preferred if nodes > 1 => 5,
            Self::Preferred => 1,
            Self::Bind => 2,
            Self::Interleave => 3,
        }
    }
}

fn fallocate(file: BorrowedFd<'_>, mode: c_int, from: u64, length: u64) -> Result<(), i32> {
    let offset = |bytes| libc::off_t::try_from(bytes).map_err(|_| libc::EFBIG);
    let (from, length) = (offset(from)?, offset(length)?);
    // SAFETY: fallocate takes numbers only; the descriptor is open as long as it is borrowed.
    outcome(unsafe { libc::fallocate(file.as_raw_fd(), mode, from, length) })
}

pub(super) fn outcome(returned: c_int) -> Result<(), i32> {
    if returned == 0 { Ok(()) } else { Err(last_errno()) }
}

pub(super) fn last_errno() -> i32 {
    errno_of(io::Error::last_os_error())
}

/// What std itself found wrong (a name with a NUL) has no number of the kernel's: EINVAL.
pub(super) fn errno_of(error: io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}

//! The one seam between linmemd and its host: [`Kernel`], a method per system call, and [`Linux`],
//! the real one.
//!
//! Law: no method decides anything. Each is one call with its arguments passed on and its error
//! number handed back, so that what is above can be tested against a host that refuses
//! (`failing.rs`). Does not retry, log, or know why it was called.

#![expect(unsafe_code, reason = "system calls about address ranges are unsafe by nature")]

mod heap;
mod linux;
#[cfg(test)]
mod linux_tests;
mod pagemap;
mod threads;
mod watch;

use std::ffi::CStr;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;

pub use heap::Heap;
pub use linux::Linux;
pub use threads::Threads;
pub use watch::Watch;

use crate::os::tagging::TagCheck;

/// Opens what [`Kernel::scan`] looks at, which the process may not be allowed to later.
///
/// # Errors
/// That of `open`.
pub fn open_page_tables() -> Result<(), i32> {
    pagemap::open().map(|_tables| ())
}

/// What may be done with the bytes of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Nothing: an access is a fault.
    None,
    /// Reading; never writing or executing.
    Read,
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
    /// It may be backed by transparent huge pages.
    HugePage,
    /// Its pages are taken now, as if each were written to, and keep what they hold (Linux 5.14).
    PopulateWrite,
    /// Its pages are made readable now: EFAULT where a read would be a fault (Linux 5.14).
    PopulateRead,
    /// Its bytes are given back; they read as zero when touched again (anonymous mappings).
    DontNeed,
    /// The same of what is locked in RAM (Linux 5.18).
    DontNeedLocked,
    /// Its bytes are given back and its host pages become guards: an access is a fault, without a
    /// mapping of their own (Linux 6.13, private anonymous mappings).
    GuardInstall,
    /// Guards become host pages again, all zero; other pages are left alone.
    GuardRemove,
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
    /// [`Threads::set_thread_nice`].
    SetThreadNice,
    /// [`Threads::set_thread_processors`].
    SetThreadProcessors,
    /// [`Kernel::set_receive_low_water`].
    SetReceiveLowWater,
    /// [`Kernel::memory_file`].
    MemoryFile,
    /// [`Kernel::set_length`].
    SetLength,
    /// [`Kernel::allocate`].
    Allocate,
    /// [`Kernel::punch`].
    Punch,
    /// [`Kernel::file_bytes`].
    FileBytes,
    /// [`Kernel::map_file`].
    MapFile,
    /// [`Kernel::lock`].
    Lock,
    /// [`Kernel::unlock`].
    Unlock,
    /// [`Kernel::set_policy`].
    SetPolicy,
    /// [`Threads::set_thread_policy`].
    SetThreadPolicy,
    /// [`Kernel::nodes_of`].
    NodesOf,
    /// [`Kernel::scan`].
    Scan,
    /// [`Kernel::protect_tagged`].
    ProtectTagged,
    /// [`Kernel::check_tags`].
    CheckTags,
    /// [`Heap::heap_block`].
    HeapBlock,
    /// [`Watch::watch`].
    Watch,
}

/// Where new pages of a range are placed, as `mbind` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// These nodes while they have room (`MPOL_PREFERRED_MANY`, Linux 5.15; `MPOL_PREFERRED` for
    /// one).
    Preferred,
    /// Only these nodes.
    Bind,
    /// These nodes in turn, page by page.
    Interleave,
}

/// What [`Kernel::scan`] looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageState {
    /// Backed by a huge page, transparent or of a pool.
    Huge,
    /// In RAM.
    Present,
}

/// The host's kernel. Errors are bare error numbers: the caller knows what it asked for.
///
/// # Safety
/// [`Kernel::map_reserved`] gives a range that nothing else in the process uses, at least as long
/// as asked, which stays so until it is unmapped; and the other methods either do what their
/// namesakes do, to the given range only, or fail. [`crate::os::reservation::Reservation`], which
/// is safe to use, believes both.
pub unsafe trait Kernel: Heap + Threads + Watch + Send + Sync + fmt::Debug {
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
    /// As for [`Kernel::protect`], or within a block of [`Heap::heap_block`] that was not freed.
    ///
    /// # Errors
    /// EINVAL where `pages` is shorter than the range has host pages.
    unsafe fn residency(
        &self,
        address: NonNull<u8>,
        length: usize,
        pages: &mut [u8],
    ) -> Result<(), i32>;

    /// `memfd_create`: an empty memory file, closed in children; of huge pages where `pool` names
    /// their size.
    ///
    /// # Errors
    /// ENOENT, EINVAL or ENOSYS where the host has no such pages; EMFILE.
    fn memory_file(&self, name: &CStr, pool: Option<u64>) -> Result<OwnedFd, i32>;

    /// `ftruncate`: bytes past the length are gone, new ones are zero.
    ///
    /// # Errors
    /// EINVAL where it is no whole number of the file's pages.
    fn set_length(&self, file: BorrowedFd<'_>, length: u64) -> Result<(), i32>;

    /// `fallocate(FALLOC_FL_KEEP_SIZE)`: pages for `[from, from + length)`, which may lie past the
    /// file's end; zero where there were none.
    ///
    /// # Errors
    /// ENOSPC where the pool or the file system is exhausted.
    fn allocate(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), i32>;

    /// `fallocate(FALLOC_FL_PUNCH_HOLE)`: gives the pages of the range back; they read as zero.
    ///
    /// # Errors
    /// That of the call.
    fn punch(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), i32>;

    /// `fstat`: the bytes of the pages that a memory file has, wherever they lie in it.
    ///
    /// # Errors
    /// That of the call.
    fn file_bytes(&self, file: BorrowedFd<'_>) -> Result<u64, i32>;

    /// `mmap(MAP_SHARED | MAP_FIXED | MAP_NORESERVE)`: puts the start of a file in the place of what
    /// is mapped there, readable and writable as far as the file goes.
    ///
    /// # Safety
    /// As for [`Kernel::protect`]; what the range held is lost.
    ///
    /// # Errors
    /// ENOMEM at the map limit; EINVAL where the range does not suit the file's pages.
    unsafe fn map_file(
        &self,
        address: NonNull<u8>,
        length: usize,
        file: BorrowedFd<'_>,
    ) -> Result<(), i32>;

    /// `mlock`: the pages of an open range are taken now and never swapped out.
    ///
    /// # Safety
    /// As for [`Kernel::protect`].
    ///
    /// # Errors
    /// ENOMEM or EPERM past `RLIMIT_MEMLOCK`, or where a part cannot be accessed; EAGAIN.
    unsafe fn lock(&self, address: NonNull<u8>, length: usize) -> Result<(), i32>;

    /// `munlock`: the pages of a range stay where they are and may be swapped out again.
    ///
    /// # Safety
    /// As for [`Kernel::protect`].
    ///
    /// # Errors
    /// ENOMEM at the map limit.
    unsafe fn unlock(&self, address: NonNull<u8>, length: usize) -> Result<(), i32>;

    /// The soft limit of `RLIMIT_MEMLOCK`, in bytes; `u64::MAX` is none. It cannot fail, and is no
    /// [`Call`].
    fn lock_limit(&self) -> u64;

    /// `mbind`, of pages to come. Nodes are below [`crate::model::MAX_NODES`]; others are left out.
    ///
    /// # Safety
    /// As for [`Kernel::protect`].
    ///
    /// # Errors
    /// EINVAL where a node is not one of the host's or of the process's; EPERM and ENOSYS where a
    /// seccomp profile or the kernel's build has it not.
    unsafe fn set_policy(
        &self,
        address: NonNull<u8>,
        length: usize,
        policy: Policy,
        nodes: &[u32],
    ) -> Result<(), i32>;

    /// `move_pages` without a move: for each address that a page begins at, the node it lies on, or
    /// the negative error number (-ENOENT: no page yet).
    ///
    /// # Errors
    /// EPERM and ENOSYS where a seccomp profile or the kernel's build has it not.
    fn nodes_of(&self, pages: &[usize], nodes: &mut [i32]) -> Result<(), i32>;

    /// `PAGEMAP_SCAN` of the own page tables: how many bytes of the range are in this state.
    ///
    /// # Errors
    /// ENOTTY before Linux 6.7; what opening `/proc/self/pagemap` says.
    fn scan(&self, address: NonNull<u8>, length: usize, state: PageState) -> Result<u64, i32>;

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

    /// `setsockopt(SO_RCVLOWAT)`: the socket counts as readable once it has so many bytes, or all
    /// that it can hold, or its end. Wakes who waits, where it has them already.
    ///
    /// # Errors
    /// That of the call: none is known for a stream socket.
    fn set_receive_low_water(&self, socket: BorrowedFd<'_>, bytes: u32) -> Result<(), i32>;

    /// `mprotect` to reading, writing and tags of memory (PROT_MTE): the bytes are kept, and so are
    /// the tags, which are 0 at first.
    ///
    /// # Safety
    /// As for [`Kernel::protect`].
    ///
    /// # Errors
    /// EINVAL where the processor or the mapping has no tags; ENOMEM at the map limit.
    unsafe fn protect_tagged(&self, address: NonNull<u8>, length: usize) -> Result<(), i32>;

    /// `prctl(PR_SET_TAGGED_ADDR_CTRL)`: how accesses of the calling thread, and of threads that it
    /// starts later, are checked; no tag is kept from being generated.
    ///
    /// # Errors
    /// EINVAL where the kernel or the processor has no tags, or the operator forbade them.
    fn check_tags(&self, how: TagCheck) -> Result<(), i32>;

    /// The processor's second word of capabilities (`AT_HWCAP2`). Handed over by the kernel at
    /// process start: it cannot fail, and is no [`Call`].
    fn hardware_capabilities(&self) -> u64;
}

impl Advice {
    /// The call with this advice, as an error names it.
    #[must_use]
    pub const fn call(self) -> &'static str {
        match self {
            Self::DontFork => "madvise(MADV_DONTFORK)",
            Self::DontDump => "madvise(MADV_DONTDUMP)",
            Self::NoHugePage => "madvise(MADV_NOHUGEPAGE)",
            Self::HugePage => "madvise(MADV_HUGEPAGE)",
            Self::PopulateWrite => "madvise(MADV_POPULATE_WRITE)",
            Self::PopulateRead => "madvise(MADV_POPULATE_READ)",
            Self::DontNeed => "madvise(MADV_DONTNEED)",
            Self::DontNeedLocked => "madvise(MADV_DONTNEED_LOCKED)",
            Self::GuardInstall => "madvise(MADV_GUARD_INSTALL)",
            Self::GuardRemove => "madvise(MADV_GUARD_REMOVE)",
        }
    }
}

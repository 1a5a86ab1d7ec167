//! [`FailingKernel`]: the host as tests want it. The real kernel behind it, with chosen calls
//! refused, calls logged, mappings counted and files replaced.
//!
//! Law: a call that is made to fail never reaches the kernel, as if the kernel had refused it; any
//! other call is the kernel's own. Always compiled, so that tests of every floor and of the whole
//! daemon can use it, and never used by the daemon itself.

#![expect(unsafe_code, reason = "implements the seam, whose calls are unsafe")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::os::kernel::{Advice, Call, Kernel, Linux, PageState, Policy, Protection};
use crate::os::tagging::TagCheck;
use crate::units::ByteCount;

/// A kernel that does what a test says and otherwise what Linux does. Any thread may plan, and any
/// thread may meet the plan.
#[derive(Debug, Default)]
pub struct FailingKernel {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    /// Refused whatever it is: the call that finds as many calls logged.
    nth: Vec<(usize, i32)>,
    /// Refused so many times more.
    refused: Vec<(Call, i32, u64)>,
    panics: Vec<Call>,
    mapped_bytes: u64,
    files: Option<BTreeMap<PathBuf, String>>,
}

enum Verdict {
    PassOn,
    Refuse(i32),
    Panic,
}

impl FailingKernel {
    /// A kernel that refuses nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses the call that comes after `n` others, counted from now: 0 is the next one.
    pub fn fail_nth(&self, n: usize, errno: i32) {
        let mut state = self.state();
        let at = state.calls.len().saturating_add(n);
        state.nth.push((at, errno));
    }

    /// Refuses the next `times` calls of this kind.
    pub fn fail_call(&self, call: Call, errno: i32, times: u64) {
        self.state().refused.push((call, errno, times));
    }

    /// Panics, once, at the next call of this kind.
    pub fn panic_at(&self, call: Call) {
        self.state().panics.push(call);
    }

    /// Replaces every file of the host by these; all others do not exist any more.
    pub fn replace_files<P: Into<PathBuf>, T: Into<String>>(
        &self,
        files: impl IntoIterator<Item = (P, T)>,
    ) {
        let files = files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        self.state().files = Some(files);
    }

    /// Every call since the start or the last [`Self::forget`], the refused ones included.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Empties the log and drops every plan. Mappings stay counted and files replaced.
    pub fn forget(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.nth.clear();
        state.refused.clear();
        state.panics.clear();
    }

    /// How many bytes were mapped, or taken from the heap, through here and not given back since.
    #[must_use]
    pub fn mapped_bytes(&self) -> ByteCount {
        ByteCount::new(self.state().mapped_bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; a poisoned state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn admit(&self, call: Call) -> Result<(), i32> {
        // The lock is released before the panic: the guard is a temporary of this statement.
        let verdict = self.state().verdict(call);
        match verdict {
            Verdict::PassOn => Ok(()),
            Verdict::Refuse(errno) => Err(errno),
            Verdict::Panic => panic!("panic planned at {call:?}"),
        }
    }

    pub(super) fn count_mapped(&self, bytes: u64) {
        let mut state = self.state();
        state.mapped_bytes = state.mapped_bytes.saturating_add(bytes);
    }

    pub(super) fn count_unmapped(&self, bytes: u64) {
        let mut state = self.state();
        state.mapped_bytes = state.mapped_bytes.saturating_sub(bytes);
    }

    /// The text of a replaced file; `None` where files are the host's own.
    pub(super) fn replaced(&self, path: &Path) -> Option<Result<String, i32>> {
        let state = self.state();
        let files = state.files.as_ref()?;
        Some(files.get(path).cloned().ok_or(libc::ENOENT))
    }
}

impl State {
    fn verdict(&mut self, call: Call) -> Verdict {
        let at = self.calls.len();
        self.calls.push(call);
        if let Some(place) = self.panics.iter().position(|planned| *planned == call) {
            self.panics.remove(place);
            return Verdict::Panic;
        }
        if let Some((_, errno)) = self.nth.iter().find(|(n, _)| *n == at) {
            return Verdict::Refuse(*errno);
        }
        let planned = self.refused.iter_mut().find(|(kind, _, left)| *kind == call && *left > 0);
        match planned {
            Some((_, errno, left)) => {
                *left = left.saturating_sub(1);
                Verdict::Refuse(*errno)
            }
            None => Verdict::PassOn,
        }
    }
}

// SAFETY: every method either fails without doing anything or is Linux's own with the same
// arguments, and Linux keeps the trait's promises; only the texts of files may be a test's.
unsafe impl Kernel for FailingKernel {
    fn map_reserved(&self, length: usize) -> Result<NonNull<u8>, i32> {
        self.admit(Call::MapReserved)?;
        let address = Linux.map_reserved(length)?;
        self.count_mapped(length as u64);
        Ok(address)
    }

    unsafe fn unmap(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        self.admit(Call::Unmap)?;
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { Linux.unmap(address, length) }?;
        self.count_unmapped(length as u64);
        Ok(())
    }

    unsafe fn protect(
        &self,
        address: NonNull<u8>,
        length: usize,
        protection: Protection,
    ) -> Result<(), i32> {
        self.admit(Call::Protect)?;
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { Linux.protect(address, length, protection) }
    }

    unsafe fn advise(
        &self,
        address: NonNull<u8>,
        length: usize,
        advice: Advice,
    ) -> Result<(), i32> {
        self.admit(Call::Advise(advice))?;
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { Linux.advise(address, length, advice) }
    }

    unsafe fn name(&self, address: NonNull<u8>, length: usize, name: &CStr) -> Result<(), i32> {
        self.admit(Call::Name)?;
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { Linux.name(address, length, name) }
    }

    unsafe fn residency(
        &self,
        address: NonNull<u8>,
        length: usize,
        pages: &mut [u8],
    ) -> Result<(), i32> {
        self.admit(Call::Residency)?;
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { Linux.residency(address, length, pages) }
    }

    fn memory_file(&self, name: &CStr, pool: Option<u64>) -> Result<OwnedFd, i32> {
        self.admit(Call::MemoryFile)?;
        Linux.memory_file(name, pool)
    }

    fn set_length(&self, file: BorrowedFd<'_>, length: u64) -> Result<(), i32> {
        self.admit(Call::SetLength)?;
        Linux.set_length(file, length)
    }

    fn allocate(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), i32> {
        self.admit(Call::Allocate)?;
        Linux.allocate(file, from, length)
    }

    fn punch(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), i32> {
        self.admit(Call::Punch)?;
        Linux.punch(file, from, length)
    }

    fn file_bytes(&self, file: BorrowedFd<'_>) -> Result<u64, i32> {
        self.admit(Call::FileBytes)?;
        Linux.file_bytes(file)
    }

    unsafe fn map_file(
        &self,
        address: NonNull<u8>,
        length: usize,
        file: BorrowedFd<'_>,
    ) -> Result<(), i32> {
        self.admit(Call::MapFile)?;
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { Linux.map_file(address, length, file) }
    }

    unsafe fn lock(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        self.admit(Call::Lock)?;
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { Linux.lock(address, length) }
    }

    unsafe fn unlock(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        self.admit(Call::Unlock)?;
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { Linux.unlock(address, length) }
    }

    fn lock_limit(&self) -> u64 {
        Linux.lock_limit()
    }

    unsafe fn set_policy(
        &self,
        address: NonNull<u8>,
        length: usize,
        policy: Policy,
        nodes: &[u32],
    ) -> Result<(), i32> {
        self.admit(Call::SetPolicy)?;
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { Linux.set_policy(address, length, policy, nodes) }
    }

    fn nodes_of(&self, pages: &[usize], nodes: &mut [i32]) -> Result<(), i32> {
        self.admit(Call::NodesOf)?;
        Linux.nodes_of(pages, nodes)
    }

    fn scan(&self, address: NonNull<u8>, length: usize, state: PageState) -> Result<u64, i32> {
        self.admit(Call::Scan)?;
        Linux.scan(address, length, state)
    }

    fn read_file(&self, path: &Path) -> Result<String, i32> {
        self.admit(Call::ReadFile)?;
        self.replaced(path).unwrap_or_else(|| Linux.read_file(path))
    }

    fn count_lines(&self, path: &Path) -> Result<u64, i32> {
        self.admit(Call::CountLines)?;
        match self.replaced(path) {
            Some(text) => text.map(|text| text.lines().count() as u64),
            None => Linux.count_lines(path),
        }
    }

    fn read_directory(&self, path: &Path) -> Result<Vec<String>, i32> {
        self.admit(Call::ReadDirectory)?;
        let state = self.state();
        let Some(files) = state.files.as_ref() else {
            drop(state);
            return Linux.read_directory(path);
        };
        let below = files.keys().filter_map(|file| file.strip_prefix(path).ok());
        let names: BTreeSet<String> = below
            .filter_map(|rest| rest.components().next())
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        if names.is_empty() { Err(libc::ENOENT) } else { Ok(names.into_iter().collect()) }
    }

    fn host_page_bytes(&self) -> u64 {
        Linux.host_page_bytes()
    }

    fn set_receive_low_water(&self, socket: BorrowedFd<'_>, bytes: u32) -> Result<(), i32> {
        self.admit(Call::SetReceiveLowWater)?;
        Linux.set_receive_low_water(socket, bytes)
    }

    unsafe fn protect_tagged(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        self.admit(Call::ProtectTagged)?;
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { Linux.protect_tagged(address, length) }
    }

    fn check_tags(&self, how: TagCheck) -> Result<(), i32> {
        self.admit(Call::CheckTags)?;
        Linux.check_tags(how)
    }

    fn hardware_capabilities(&self) -> u64 {
        Linux.hardware_capabilities()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "/proc/meminfo";

    fn read(kernel: &FailingKernel) -> Result<(), i32> {
        kernel.read_file(Path::new(MEMINFO)).map(drop)
    }

    #[test]
    fn the_nth_call_from_now_fails_and_no_other() {
        let kernel = FailingKernel::new();
        assert_eq!(read(&kernel), Ok(()));
        kernel.fail_nth(1, libc::EIO);
        assert_eq!(read(&kernel), Ok(()));
        assert_eq!(read(&kernel), Err(libc::EIO));
        assert_eq!(read(&kernel), Ok(()));
        assert_eq!(kernel.calls(), [Call::ReadFile; 4]);
    }

    #[test]
    fn a_kind_of_call_fails_as_often_as_planned() {
        let kernel = FailingKernel::new();
        kernel.fail_call(Call::Advise(Advice::DontFork), libc::EIO, 9);
        kernel.fail_call(Call::ReadFile, libc::EACCES, 2);
        assert_eq!(read(&kernel), Err(libc::EACCES));
        assert_eq!(read(&kernel), Err(libc::EACCES));
        assert_eq!(read(&kernel), Ok(()));
    }

    #[test]
    fn a_planned_panic_happens_once_and_leaves_the_kernel_usable() {
        let kernel = FailingKernel::new();
        kernel.panic_at(Call::ReadFile);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(&kernel)));
        assert!(caught.is_err());
        assert_eq!(read(&kernel), Ok(()));
    }

    #[test]
    fn replaced_files_are_all_there_is() {
        let kernel = FailingKernel::new();
        kernel.replace_files([("/sys/a/b/c", "1\n"), ("/sys/a/d", "2\n3\n")]);
        assert_eq!(kernel.read_file(Path::new("/sys/a/b/c")), Ok("1\n".to_owned()));
        assert_eq!(kernel.count_lines(Path::new("/sys/a/d")), Ok(2));
        assert_eq!(kernel.read_directory(Path::new("/sys/a")), Ok(vec!["b".into(), "d".into()]));
        assert_eq!(read(&kernel), Err(libc::ENOENT));
        assert_eq!(kernel.read_directory(Path::new("/proc")), Err(libc::ENOENT));
    }
}

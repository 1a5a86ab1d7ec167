//! Owns [`PausingKernel`]: the host as the wire tests want it. Linux, or the failing kernel's plan,
//! with two things more: a kind of call can be held up until the test lets it go, and bytes of a
//! mapping can be taken away under a memory, as failing hardware does.
//!
//! Law: what is held up is told (`Pause::reached`), so that no test has to guess by time; a pause
//! that is dropped lets everything go. Decides nothing about memories.

#![expect(unsafe_code, reason = "implements the seam, whose calls are unsafe")]

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linmemd::os::failing::FailingKernel;
use linmemd::os::kernel::{
    Advice, Call, Heap, Kernel, Linux, PageState, Policy, Protection, Threads, Watch,
};
use linmemd::os::tagging::TagCheck;

use crate::harness::eventually;

/// A kernel whose calls can be held up.
#[derive(Debug, Default)]
pub(crate) struct PausingKernel {
    /// Refuses what it is told to.
    pub(crate) plan: FailingKernel,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    paused: Vec<Call>,
    held: usize,
    /// Where the last mapping or heap block begins.
    last: usize,
    /// Where mappings begin, the last one last.
    mapped: Vec<usize>,
    /// Where the bytes begin that were locked last.
    locked: usize,
    /// The bytes that were broken last.
    broken: std::ops::Range<usize>,
}

/// A kind of call is held up until this is dropped.
#[derive(Debug)]
pub(crate) struct Pause {
    kernel: Arc<PausingKernel>,
    call: Call,
}

impl PausingKernel {
    /// Holds up every call of this kind from now on.
    pub(crate) fn pause_at(self: &Arc<Self>, call: Call) -> Pause {
        self.state().paused.push(call);
        Pause { kernel: Arc::clone(self), call }
    }

    /// Makes bytes of the mapping made last inaccessible, as a broken memory module would.
    pub(crate) fn break_last_mapping(&self, offset: usize, length: usize) {
        let last = self.state().last;
        self.break_at(last, offset, length);
    }

    /// The same of what was locked last.
    pub(crate) fn break_last_locked(&self, offset: usize, length: usize) {
        let locked = self.state().locked;
        self.break_at(locked, offset, length);
    }

    fn break_at(&self, from: usize, offset: usize, length: usize) {
        let start = from.checked_add(offset).and_then(|at| NonNull::new(at as *mut u8)).unwrap();
        reprotect(start, length, Protection::None);
        self.state().broken = start.as_ptr().addr()..start.as_ptr().addr() + length;
    }

    /// Makes bytes of the mapping made last accessible, as a stray call would.
    pub(crate) fn open_last_mapping(&self, offset: usize, length: usize) {
        reprotect(self.mapped(0, offset), length, Protection::ReadWrite);
    }

    /// Makes what was broken last accessible again.
    pub(crate) fn mend_last_broken(&self) {
        let broken = self.state().broken.clone();
        let start = NonNull::new(broken.start as *mut u8).unwrap();
        reprotect(start, broken.len(), Protection::ReadWrite);
    }

    /// Where the mapping made last begins.
    pub(crate) fn last_mapping(&self) -> usize {
        self.state().last
    }

    /// Changes a byte, as a broken memory module would, of the mapping after which `later` others
    /// were made.
    pub(crate) fn flip(&self, later: usize, offset: usize) {
        let byte = self.mapped(later, offset).as_ptr();
        // SAFETY: the byte is below the size of a memory that is alive, and no reference points there.
        let before = unsafe { byte.read_volatile() };
        // SAFETY: as above.
        unsafe { byte.write_volatile(before ^ 0x10) };
    }

    fn mapped(&self, later: usize, offset: usize) -> NonNull<u8> {
        let start = self.state().mapped.iter().rev().nth(later).copied();
        let at = start.and_then(|start| start.checked_add(offset));
        at.and_then(|at| NonNull::new(at as *mut u8)).unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meet(&self, call: Call) {
        let mut state = self.state();
        if !state.paused.contains(&call) {
            return;
        }
        state.held += 1;
        while state.paused.contains(&call) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.held -= 1;
    }
}

fn reprotect(start: NonNull<u8>, length: usize, protection: Protection) {
    // SAFETY: the range lies in a mapping of a memory that is alive or quarantined, whose bytes are
    // reached by the copy routines only; those expect faults, and no reference points there.
    let done = unsafe { Linux.protect(start, length, protection) };
    assert_eq!(done, Ok(()));
}

impl Pause {
    /// Waits until so many calls are held up.
    pub(crate) async fn reached(&self, calls: usize) {
        eventually("calls are held up", async || self.kernel.state().held >= calls).await;
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.kernel.state().paused.retain(|paused| *paused != self.call);
        self.kernel.changed.notify_all();
    }
}

// SAFETY: both methods are the failing kernel's own, perhaps later.
unsafe impl Heap for PausingKernel {
    fn heap_block(&self, length: usize, align: usize) -> Result<NonNull<u8>, i32> {
        self.meet(Call::HeapBlock);
        let block = self.plan.heap_block(length, align)?;
        self.state().last = block.as_ptr().addr();
        Ok(block)
    }

    unsafe fn free_heap_block(&self, block: NonNull<u8>, length: usize, align: usize) {
        // SAFETY: the same block under the same condition, which our caller has met.
        unsafe { self.plan.free_heap_block(block, length, align) }
    }
}

impl Threads for PausingKernel {
    fn set_thread_policy(&self, policy: Option<Policy>, nodes: &[u32]) -> Result<(), i32> {
        self.meet(Call::SetThreadPolicy);
        self.plan.set_thread_policy(policy, nodes)
    }

    fn set_thread_nice(&self, nice: i32) -> Result<(), i32> {
        self.plan.set_thread_nice(nice)
    }

    fn set_thread_processors(&self, processors: &[u32]) -> Result<(), i32> {
        self.plan.set_thread_processors(processors)
    }
}

// SAFETY: every method is the failing kernel's own, perhaps later; it keeps the trait's promises.
unsafe impl Kernel for PausingKernel {
    fn map_reserved(&self, length: usize) -> Result<NonNull<u8>, i32> {
        self.meet(Call::MapReserved);
        let address = self.plan.map_reserved(length)?;
        let mut state = self.state();
        state.last = address.as_ptr().addr();
        state.mapped.push(address.as_ptr().addr());
        drop(state);
        Ok(address)
    }

    unsafe fn unmap(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        self.meet(Call::Unmap);
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { self.plan.unmap(address, length) }
    }

    unsafe fn protect(
        &self,
        address: NonNull<u8>,
        length: usize,
        protection: Protection,
    ) -> Result<(), i32> {
        self.meet(Call::Protect);
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { self.plan.protect(address, length, protection) }
    }

    unsafe fn advise(
        &self,
        address: NonNull<u8>,
        length: usize,
        advice: Advice,
    ) -> Result<(), i32> {
        self.meet(Call::Advise(advice));
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { self.plan.advise(address, length, advice) }
    }

    unsafe fn name(&self, address: NonNull<u8>, length: usize, name: &CStr) -> Result<(), i32> {
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { self.plan.name(address, length, name) }
    }

    unsafe fn residency(
        &self,
        address: NonNull<u8>,
        length: usize,
        pages: &mut [u8],
    ) -> Result<(), i32> {
        self.meet(Call::Residency);
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { self.plan.residency(address, length, pages) }
    }

    fn memory_file(&self, name: &CStr, pool: Option<u64>) -> Result<OwnedFd, i32> {
        self.meet(Call::MemoryFile);
        self.plan.memory_file(name, pool)
    }

    fn set_length(&self, file: BorrowedFd<'_>, length: u64) -> Result<(), i32> {
        self.meet(Call::SetLength);
        self.plan.set_length(file, length)
    }

    fn allocate(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), i32> {
        self.meet(Call::Allocate);
        self.plan.allocate(file, from, length)
    }

    fn punch(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), i32> {
        self.meet(Call::Punch);
        self.plan.punch(file, from, length)
    }

    fn file_bytes(&self, file: BorrowedFd<'_>) -> Result<u64, i32> {
        self.meet(Call::FileBytes);
        self.plan.file_bytes(file)
    }

    unsafe fn map_file(
        &self,
        address: NonNull<u8>,
        length: usize,
        file: BorrowedFd<'_>,
    ) -> Result<(), i32> {
        self.meet(Call::MapFile);
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { self.plan.map_file(address, length, file) }
    }

    unsafe fn lock(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        self.meet(Call::Lock);
        self.state().locked = address.as_ptr().addr();
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { self.plan.lock(address, length) }
    }

    unsafe fn unlock(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        self.meet(Call::Unlock);
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { self.plan.unlock(address, length) }
    }

    fn lock_limit(&self) -> u64 {
        self.plan.lock_limit()
    }

    unsafe fn set_policy(
        &self,
        address: NonNull<u8>,
        length: usize,
        policy: Policy,
        nodes: &[u32],
    ) -> Result<(), i32> {
        self.meet(Call::SetPolicy);
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { self.plan.set_policy(address, length, policy, nodes) }
    }

    fn nodes_of(&self, pages: &[usize], nodes: &mut [i32]) -> Result<(), i32> {
        self.meet(Call::NodesOf);
        self.plan.nodes_of(pages, nodes)
    }

    fn scan(&self, address: NonNull<u8>, length: usize, state: PageState) -> Result<u64, i32> {
        self.meet(Call::Scan);
        self.plan.scan(address, length, state)
    }

    fn read_file(&self, path: &Path) -> Result<String, i32> {
        self.plan.read_file(path)
    }

    fn count_lines(&self, path: &Path) -> Result<u64, i32> {
        self.plan.count_lines(path)
    }

    fn read_directory(&self, path: &Path) -> Result<Vec<String>, i32> {
        self.plan.read_directory(path)
    }

    fn host_page_bytes(&self) -> u64 {
        self.plan.host_page_bytes()
    }

    fn set_receive_low_water(&self, socket: BorrowedFd<'_>, bytes: u32) -> Result<(), i32> {
        self.meet(Call::SetReceiveLowWater);
        self.plan.set_receive_low_water(socket, bytes)
    }

    unsafe fn protect_tagged(&self, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        self.meet(Call::ProtectTagged);
        // SAFETY: the same range under the same condition, which our caller has met.
        unsafe { self.plan.protect_tagged(address, length) }
    }

    fn check_tags(&self, how: TagCheck) -> Result<(), i32> {
        self.meet(Call::CheckTags);
        self.plan.check_tags(how)
    }

    fn hardware_capabilities(&self) -> u64 {
        self.plan.hardware_capabilities()
    }
}

impl Watch for PausingKernel {
    fn watch(&self, path: &Path, trigger: Option<&str>) -> Result<OwnedFd, i32> {
        self.plan.watch(path, trigger)
    }

    fn wait(
        &self,
        watched: &[BorrowedFd<'_>],
        bell: BorrowedFd<'_>,
        at_most: Option<Duration>,
    ) -> Result<Vec<bool>, i32> {
        self.plan.wait(watched, bell, at_most)
    }

    fn reread(&self, watched: &OwnedFd) -> Result<String, i32> {
        self.plan.reread(watched)
    }
}

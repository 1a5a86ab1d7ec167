//! What is behind a reservation's body: which pages, from where, when, and what the kernel says it
//! gave.
//!
//! Law: `mod.rs`'s: a range is checked against the body before the kernel is asked, and no byte is
//! read or written here. Policy and page kind are set before anything is touched.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use crate::os::kernel::{Advice, Kernel, PageState, Policy};
use crate::os::memory_file::MemoryFile;
use crate::os::reservation::{Reservation, invalid, is_multiple, refused};
use crate::os::{OsError, host_page};
use crate::units::ByteCount;

/// Host pages asked about at once by [`Reservation::resident_bytes`].
pub(super) const RESIDENCY_SLICE: usize = 4096;

/// Pages whose nodes are asked for at once.
const NODES_SLICE: usize = 512;

/// How much of a range of whole host pages has memory behind it.
///
/// # Safety
/// As for [`Kernel::residency`].
pub(in crate::os) unsafe fn resident(
    kernel: &dyn Kernel,
    address: NonNull<u8>,
    length: ByteCount,
) -> Result<ByteCount, OsError> {
    let page = host_page(kernel);
    let (length, slice) = (length.as_usize(), page.as_usize().saturating_mul(RESIDENCY_SLICE));
    let mut pages = [0_u8; RESIDENCY_SLICE];
    let mut resident = 0_u64;
    for at in (0..length).step_by(slice) {
        let length = length.saturating_sub(at).min(slice);
        // SAFETY: at < length, so the sum lies within the range.
        let address = unsafe { address.add(at) };
        // SAFETY: [at, at + length) lies within the range: this function's own condition.
        let asked = unsafe { kernel.residency(address, length, &mut pages) };
        asked.map_err(refused("mincore", ByteCount::new(length as u64)))?;
        let asked_about = length.div_ceil(page.as_usize());
        let present = pages.iter().take(asked_about).filter(|flags| **flags & 1 == 1);
        resident = resident.saturating_add(present.count() as u64);
    }
    Ok(ByteCount::new(resident.saturating_mul(page.get())))
}

impl Reservation {
    /// Puts the start of `file` in the place of the body, for as long as the file is; past its end
    /// an access is a fault.
    ///
    /// # Errors
    /// What the kernel said; then the reservation is of no more use.
    pub fn map(&self, file: &MemoryFile) -> Result<(), OsError> {
        let length = self.body_bytes;
        if length == ByteCount::ZERO {
            return Ok(());
        }
        // SAFETY: the body is mapped as long as self lives; nobody has been given its address yet
        // but to use what open() opened, of which there is nothing (the caller's order).
        let mapped = unsafe { self.kernel.map_file(self.body, length.as_usize(), file.as_fd()) };
        mapped.map_err(refused("mmap(MAP_SHARED)", length))?;
        // The advice went with the mapping that this one replaced.
        self.advise(self.body, length, Advice::DontFork)?;
        self.advise(self.body, length, Advice::DontDump)
    }

    /// Lets the kernel join base pages of the body to huge ones.
    ///
    /// # Errors
    /// EINVAL where the kernel has none.
    pub fn let_be_huge(&self) -> Result<(), OsError> {
        self.advise_between(ByteCount::ZERO, self.body_bytes, Advice::HugePage)
    }

    /// Sets where new pages of the body are placed.
    ///
    /// # Errors
    /// EINVAL where a node is not to be had; EPERM or ENOSYS where the host forbids the call.
    pub fn place(&self, policy: Policy, nodes: &[u32]) -> Result<(), OsError> {
        let length = self.body_bytes;
        if length == ByteCount::ZERO {
            return Ok(());
        }
        // SAFETY: the body is mapped as long as self lives; no reference to its bytes exists.
        let set = unsafe { self.kernel.set_policy(self.body, length.as_usize(), policy, nodes) };
        set.map_err(refused("mbind", length))
    }

    /// Takes the pages of `[from, to)`, which is open, from the host.
    ///
    /// # Errors
    /// EINVAL as for [`Reservation::open`] or where the kernel has no such call; EFAULT where the
    /// host lost one; ENOMEM.
    pub fn populate(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.advise_between(from, to, Advice::PopulateWrite)
    }

    /// Takes the pages of `[from, to)`, which is open, and keeps them from being swapped out.
    ///
    /// # Errors
    /// EINVAL as for [`Reservation::open`]; ENOMEM or EPERM past the limit of locked bytes.
    pub fn lock(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let Some(length) = self.pages_between(from, to) else {
            return Err(invalid("mlock", to));
        };
        if length == ByteCount::ZERO {
            return Ok(());
        }
        // SAFETY: from < to <= body_bytes (pages_between), so the sum lies within the mapping.
        let address = unsafe { self.body.add(from.as_usize()) };
        // SAFETY: [from, to) lies within the body, which is mapped as long as self lives.
        let locked = unsafe { self.kernel.lock(address, length.as_usize()) };
        locked.map_err(refused("mlock", length))
    }

    /// Undoes [`Self::lock`]: the pages of `[from, to)` stay, and may be swapped out.
    ///
    /// # Errors
    /// EINVAL as for [`Reservation::open`]; ENOMEM at the map limit.
    pub fn unlock(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let Some(length) = self.pages_between(from, to) else {
            return Err(invalid("munlock", to));
        };
        if length == ByteCount::ZERO {
            return Ok(());
        }
        // SAFETY: from < to <= body_bytes (pages_between), so the sum lies within the mapping.
        let address = unsafe { self.body.add(from.as_usize()) };
        // SAFETY: [from, to) lies within the body, which is mapped as long as self lives.
        let unlocked = unsafe { self.kernel.unlock(address, length.as_usize()) };
        unlocked.map_err(refused("munlock", length))
    }

    /// How much of `[from, to)` of the body has memory behind it, in whole host pages.
    ///
    /// # Errors
    /// EINVAL where that is not within the body or `from` is no multiple of the host page; else what
    /// the kernel said.
    pub fn resident_bytes(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        const CALL: &str = "mincore";
        let end = self.whole_pages(to, CALL)?.as_usize();
        let page = host_page(&*self.kernel);
        if !is_multiple(from, page) || from > to {
            return Err(invalid(CALL, from));
        }
        let length = ByteCount::new(end.saturating_sub(from.as_usize()) as u64);
        // SAFETY: from <= to <= end <= body_bytes, so the sum lies within the mapping or at its end.
        let address = unsafe { self.body.add(from.as_usize()) };
        // SAFETY: [from, end) lies within the body, which is mapped as long as self lives; no
        // reference to its bytes exists (the law of mod.rs).
        unsafe { resident(&*self.kernel, address, length) }
    }

    /// Gives back bytes `[from, to)` of the body, which are locked in RAM: they are zero when they are
    /// next read, and locked again then.
    ///
    /// # Errors
    /// EINVAL as for [`Reservation::open`] or where the kernel has no such call.
    pub fn wipe_locked(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.advise_between(from, to, Advice::DontNeedLocked)
    }

    /// Bytes of the body's first `extent` that are backed by huge pages.
    ///
    /// # Errors
    /// What the kernel said; ENOTTY where it has no such question.
    pub fn huge_bytes(&self, extent: ByteCount) -> Result<ByteCount, OsError> {
        const CALL: &str = "ioctl(PAGEMAP_SCAN)";
        let length = self.whole_pages(extent, CALL)?;
        let found = self.kernel.scan(self.body, length.as_usize(), PageState::Huge);
        found.map(ByteCount::new).map_err(refused(CALL, length))
    }

    /// How many bytes of the body's first `extent` lie on each node, in steps of `step`: pairs of
    /// node and bytes, by node.
    ///
    /// # Errors
    /// What the kernel said; EPERM or ENOSYS where the host forbids the question.
    pub fn bytes_by_node(
        &self,
        extent: ByteCount,
        step: ByteCount,
    ) -> Result<Vec<(u32, ByteCount)>, OsError> {
        const CALL: &str = "move_pages";
        let length = self.whole_pages(extent, CALL)?.as_usize();
        let start = self.body.as_ptr().addr();
        let mut found = BTreeMap::<u32, u64>::new();
        let mut addresses = Vec::with_capacity(NODES_SLICE);
        let mut nodes = [0_i32; NODES_SLICE];
        let mut offsets = (0..length).step_by(step.as_usize().max(1)).peekable();
        while offsets.peek().is_some() {
            addresses.clear();
            addresses.extend(offsets.by_ref().take(NODES_SLICE).map(|at| start.saturating_add(at)));
            let asked = self.kernel.nodes_of(&addresses, &mut nodes);
            asked.map_err(refused(CALL, extent))?;
            for node in nodes.iter().take(addresses.len()) {
                if let Ok(node) = u32::try_from(*node) {
                    let bytes = found.entry(node).or_default();
                    *bytes = bytes.saturating_add(step.get());
                }
            }
        }
        Ok(found.into_iter().map(|(node, bytes)| (node, ByteCount::new(bytes))).collect())
    }
}

//! [`FileBacked`]: the pages of a memory file, of base pages or of the host's pool of huge ones.
//!
//! ```text
//! file      | 0 … size, to the end of its granule |            as long as what is open
//! mapping   | guard |  0 … body: the file as far as it goes, then a fault  | guard |
//! ```
//!
//! Law: mapped once, for the maximum; growth is a longer file. Pages of a pool are taken before the
//! file's length says so, for a touch could not be told that there are none (it is SIGBUS); for the
//! same reason they are never given back while the memory lives. Bytes between the size and the
//! granule's end can be reached by the daemon alone, and stay zero.

#![expect(unsafe_code, reason = "states what a reservation guarantees of its addresses")]

use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::allocator::{Fallbacks, GuardKind, Held, Pages, Placed, Unallocated};
use crate::memory::dedicated::{bare, lock, reserve};
use crate::memory::inspect::Fenced;
use crate::memory::layout::Layout;
use crate::memory::mmap::{committed, place};
use crate::memory::refused::{Going, Refused, in_slices};
use crate::model::{Locking, NumaPolicy, Populate};
use crate::os::OsError;
use crate::os::kernel::Kernel;
use crate::os::memory_file::MemoryFile;
use crate::os::numa::{ThreadPolicy, policy};
use crate::os::reservation::Reservation;
use crate::units::ByteCount;

/// The pages of one memory, in a file of its own.
#[derive(Debug)]
pub(super) struct FileBacked {
    // Unmapped before the file is closed.
    reservation: Reservation,
    file: MemoryFile,
    kernel: Arc<dyn Kernel>,
    layout: Layout,
    on_nodes: bool,
}

impl FileBacked {
    pub(super) fn allocate(
        kernel: Arc<dyn Kernel>,
        layout: &Layout,
        fallbacks: &Fallbacks,
        going: Going<'_>,
    ) -> Result<Box<dyn Pages>, Unallocated> {
        let file = MemoryFile::new(Arc::clone(&kernel), layout.pages.pool())
            .map_err(|error| no_pages(layout, layout.initial.bytes(), error))?;
        let reservation = reserve(&kernel, layout)?;
        let mut pages =
            Box::new(Self { reservation, file, kernel, layout: layout.clone(), on_nodes: false });
        match pages.prepare(fallbacks, going) {
            Ok(()) => Ok(pages),
            Err(refused) => Err(Unallocated { refused, left: pages.release().err() }),
        }
    }

    fn prepare(&mut self, fallbacks: &Fallbacks, going: Going<'_>) -> Result<(), Refused> {
        let (none, initial) = (ByteCount::ZERO, self.layout.initial.bytes());
        self.reservation.map(&self.file)?;
        self.on_nodes = place(&*self.kernel, &self.reservation, &self.layout.form.numa, fallbacks)?;
        match self.layout.form.populate {
            Populate::Maximum => {
                self.take(none, self.layout.body, going)?;
                self.lengthen(none, initial, going)
            }
            Populate::Initial => {
                self.take(none, initial, going)?;
                self.lengthen(none, initial, going)
            }
            Populate::None | Populate::OnGrow => self.open(none, initial, going),
        }
    }

    /// Takes the pages of `[from, to)`, which may lie past the file's end.
    fn take(&self, from: ByteCount, to: ByteCount, going: Going<'_>) -> Result<(), Refused> {
        let (from, to) = (self.whole(from), self.whole(to));
        let numa = &self.layout.form.numa;
        // A pool's pages are taken by the thread's policy, whatever the mapping's is (Linux 6.18,
        // fs/hugetlbfs/inode.c: such mappings cannot give theirs to the file).
        let policy = policy(numa.policy).filter(|_| self.on_nodes);
        let placed = policy.filter(|_| self.layout.pages.pool().is_some());
        let _policy = placed
            .map(|policy| ThreadPolicy::set(Arc::clone(&self.kernel), policy, &numa.nodes))
            .transpose()?;
        in_slices(from, to, self.layout.granule(), going, |from, to| {
            self.file.allocate(from, to).map_err(|error| {
                let length = to.checked_sub(from).unwrap_or(ByteCount::ZERO);
                no_pages(&self.layout, length, error)
            })
        })
    }

    fn lengthen(&self, from: ByteCount, to: ByteCount, going: Going<'_>) -> Result<(), Refused> {
        let (from, to) = (self.whole(from), self.whole(to));
        self.file.set_length(to)?;
        if self.layout.pages.pool().is_some() && self.asked_for_nodes() {
            // They are there; mapped, they can be asked which node they lie on. Else that is not told.
            let _unseen = self.reservation.populate(from, to);
        }
        if self.layout.form.locking == Locking::None {
            return Ok(());
        }
        in_slices(from, to, self.layout.granule(), going, |from, to| {
            lock(&*self.kernel, &self.reservation, from, to)
        })
    }

    /// Whether pages come with every growth.
    fn takes(&self) -> bool {
        match self.layout.form.populate {
            Populate::Maximum => false,
            Populate::OnGrow => true,
            Populate::None | Populate::Initial => self.layout.pages.pool().is_some(),
        }
    }

    fn asked_for_nodes(&self) -> bool {
        self.layout.form.numa.policy != NumaPolicy::Local
    }

    fn whole(&self, extent: ByteCount) -> ByteCount {
        extent.checked_round_up(self.layout.granule()).unwrap_or(self.layout.body)
    }
}

/// What ENOSPC and an absent pool are called.
fn no_pages(layout: &Layout, length: ByteCount, error: OsError) -> Refused {
    match layout.pages.pool() {
        Some(page_bytes) if error.is_for_want_of_huge_pages() => {
            let wanted = length.get().div_ceil(page_bytes.get());
            Refused::HugePages { page_bytes, wanted, error }
        }
        _ => error.into(),
    }
}

// SAFETY: a Reservation owns its whole range from reserve() to release() or drop, never moves it,
// and hands out no reference into it; the file over its body is this value's own, mapped by nobody
// else, and is readable and writable as far as it goes.
unsafe impl Pages for FileBacked {
    fn base(&self) -> NonNull<u8> {
        self.reservation.body()
    }

    fn host_page(&self) -> ByteCount {
        self.reservation.host_page()
    }

    fn placed(&self) -> Placed {
        Placed {
            guard: GuardKind::ProtNone,
            pages: self.layout.pages,
            granule: self.layout.granule(),
            on_nodes: self.on_nodes,
            tags: None,
        }
    }

    fn room(&self) -> ByteCount {
        self.layout.room.bytes()
    }

    fn committed(&self, extent: ByteCount) -> ByteCount {
        committed(&self.layout, extent)
    }

    fn open(&self, from: ByteCount, to: ByteCount, going: Going<'_>) -> Result<(), Refused> {
        if self.takes() {
            self.take(from, to, going)?;
        }
        self.lengthen(from, to, going)
    }

    fn close(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        if self.layout.form.locking != Locking::None {
            // Else the mapping stays counted as locked, with nothing behind it.
            self.reservation.unlock(self.whole(from), self.whole(to))?;
        }
        // Pages past the new end go, also those that were taken and not shown yet.
        self.file.punch(self.whole(from), self.whole(to))?;
        self.file.set_length(self.whole(from))?;
        if self.layout.form.populate == Populate::Maximum {
            self.file.allocate(self.whole(from), self.layout.body)?;
        }
        Ok(())
    }

    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        // Holes in pages of a pool go by whole ones: what is left over is stored.
        self.file.punch(from, to)
    }

    fn discard(&self, from: ByteCount, to: ByteCount) -> Result<bool, OsError> {
        if self.layout.pages.pool().is_some() || self.layout.form.locking != Locking::None {
            return Ok(false);
        }
        self.file.punch(from, to).map(|()| true)
    }

    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        self.reservation.resident_bytes(from, to)
    }

    fn held(&self, extent: ByteCount) -> Result<Held, OsError> {
        let reservation = &self.reservation;
        // Not by mincore, which passes over pages that were taken and never touched.
        let resident = self.file.held_bytes()?;
        let step = self.layout.pages.pool().unwrap_or(reservation.host_page());
        let nodes = || reservation.bytes_by_node(extent, step).ok();
        Ok(Held {
            resident,
            huge: self.layout.pages.pool().map(|_pool| resident),
            nodes: if self.asked_for_nodes() { nodes() } else { None },
        })
    }

    fn space(&self) -> Option<&dyn Fenced> {
        Some(&self.reservation)
    }

    fn release(self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)> {
        self.reservation.release().map_err(bare)
    }
}

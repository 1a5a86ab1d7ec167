//! [`Ballast`]: RAM that is held for nobody yet, so that it is there when a memory wants it.
//!
//! ```text
//! locked   anonymous base pages | 0 … held: locked in RAM | held … total: no pages |
//! pool     a memory file        | 0 … held: huge pages    | held … total: a hole   |
//! ```
//!
//! Law: what is held is in RAM and cannot be swapped out; it is taken from the end of what is held and
//! given back from there. What a refused call leaves behind is not counted as held and is given back
//! by the next call. Holds no byte of a tenant. Between giving back and a memory's own pages there is
//! a moment in which any process of the host may take them; the ledger keeps out memories only.

use std::mem;
use std::sync::Arc;

use crate::memory::allocator::Footprint;
use crate::memory::dedicated::lock;
use crate::memory::refused::Refused;
use crate::model::PageKind;
use crate::os::kernel::{Kernel, Policy};
use crate::os::memory_file::MemoryFile;
use crate::os::numa::{self, ThreadPolicy};
use crate::os::reservation::Reservation;
use crate::os::{OsError, host, host_page};
use crate::units::ByteCount;

/// What a ballast is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BallastForm {
    /// How much there may be of it.
    pub total: ByteCount,
    /// The kind of its pages: base pages, or those of a pool.
    pub pages: PageKind,
    /// The only nodes that it lies on; none: any.
    pub nodes: Vec<u32>,
}

/// RAM that is held.
#[derive(Debug)]
pub struct Ballast {
    home: Home,
    kernel: Arc<dyn Kernel>,
    page: ByteCount,
    nodes: Vec<u32>,
    held: ByteCount,
    /// How far pages may be; past `held` after a call that was refused.
    taken: ByteCount,
}

#[derive(Debug)]
enum Home {
    Locked(Reservation),
    Pool(MemoryFile),
    /// Nothing to give back any more.
    Gone,
}

impl BallastForm {
    /// What it costs the host beside the RAM that it holds.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let none = ByteCount::ZERO;
        match self.pages.pool() {
            // The kernel's inode, file and descriptor.
            Some(_) => Footprint { overhead: ByteCount::new(2_048), ..Footprint::default() },
            // Locked, not locked, and one while a part changes sides.
            None => Footprint {
                committed: none,
                overhead: ByteCount::new(1_280),
                mappings: 3,
                reserved: self.total,
                ..Footprint::default()
            },
        }
    }
}

impl Ballast {
    /// The place for a ballast that holds nothing yet.
    ///
    /// # Errors
    /// [`Refused`]; nothing is left behind but what [`crate::os::reservation::leaked_bytes`] counts.
    pub(super) fn new(kernel: &Arc<dyn Kernel>, form: &BallastForm) -> Result<Self, Refused> {
        let BallastForm { total, pages, nodes } = form;
        if !nodes.is_empty() && !numa::are_allowed(&**kernel, nodes) {
            return Err(not_on(nodes));
        }
        let page = pages.pool().unwrap_or_else(|| host_page(&**kernel));
        let (none, own) = (ByteCount::ZERO, Arc::clone(kernel));
        let home = if pages.pool().is_some() {
            Home::Pool(MemoryFile::new(own, pages.pool()).map_err(|error| no_pages(page, error))?)
        } else {
            let total = total.checked_round_up(page).unwrap_or(*total);
            let reservation =
                Reservation::reserve(own, none, total, none).map_err(|failed| failed.error)?;
            if !nodes.is_empty() {
                reservation.place(Policy::Bind, nodes).map_err(|error| {
                    let known = error.is_invalid() || error.is_forbidden();
                    if known { not_on(nodes) } else { error.into() }
                })?;
            }
            reservation.open(none, total)?;
            Home::Locked(reservation)
        };
        let (kernel, nodes) = (Arc::clone(kernel), nodes.clone());
        Ok(Self { home, kernel, page, nodes, held: none, taken: none })
    }

    /// What is held.
    #[must_use]
    pub const fn held(&self) -> ByteCount {
        self.held
    }

    /// Holds no more than the whole pages of `target`.
    ///
    /// # Errors
    /// [`Refused`]: what was to be given back may be in RAM still, and is not held.
    pub fn give(&mut self, target: ByteCount) -> Result<(), Refused> {
        let target = self.whole(target);
        if target < self.held {
            if let Home::Locked(reservation) = &self.home {
                reservation.unlock(target, self.held)?;
            }
            self.held = target;
        }
        if self.taken > self.held {
            match &self.home {
                Home::Locked(reservation) => reservation.wipe(self.held, self.taken)?,
                Home::Pool(file) => file.punch(self.held, self.taken)?,
                Home::Gone => {}
            }
            self.taken = self.held;
        }
        Ok(())
    }

    /// Holds up to `most` more of the whole pages of `target`; whether all of them are held now.
    ///
    /// # Errors
    /// [`Refused`]: what was held is.
    pub fn take(&mut self, target: ByteCount, most: ByteCount) -> Result<bool, Refused> {
        let target = self.whole(target);
        if target <= self.held {
            return Ok(true);
        }
        // First what a refused call may have left in a state that nobody knows.
        self.give(self.held)?;
        let most = most.checked_round_up(self.page).unwrap_or(most);
        let to = self.held.checked_add(most).map_or(target, |to| to.min(target));
        self.taken = to;
        match &self.home {
            Home::Locked(reservation) => {
                self.is_available(to)?;
                let locked = lock(&*self.kernel, reservation, self.held, to);
                locked.inspect_err(|_refused| {
                    // A refused mlock leaves a part of the range marked as locked.
                    let _tried_again = reservation.unlock(self.held, to);
                })?;
            }
            Home::Pool(file) => {
                let bound = (!self.nodes.is_empty())
                    .then(|| ThreadPolicy::set(Arc::clone(&self.kernel), Policy::Bind, &self.nodes))
                    .transpose();
                let _policy = bound.map_err(|_refused| not_on(&self.nodes))?;
                file.allocate(self.held, to).map_err(|error| no_pages(self.page, error))?;
            }
            Home::Gone => return Ok(true),
        }
        self.held = to;
        Ok(to == target)
    }

    /// Gives everything back, its address space too.
    ///
    /// # Errors
    /// [`Refused`]: it is as it was but for what it held, which may be less.
    pub fn release(&mut self) -> Result<(), Refused> {
        self.give(ByteCount::ZERO)?;
        match mem::replace(&mut self.home, Home::Gone) {
            Home::Locked(reservation) => reservation.release().map_err(|failed| {
                self.home = Home::Locked(failed.reservation);
                failed.error.into()
            }),
            // Its descriptor is closed.
            Home::Pool(_) | Home::Gone => Ok(()),
        }
    }

    /// The kernel would sooner end a process than refuse to lock what it has not.
    fn is_available(&self, to: ByteCount) -> Result<(), Refused> {
        let asked = to.checked_sub(self.held).unwrap_or(ByteCount::ZERO);
        match host::available(&*self.kernel) {
            Some(available) if available < asked => Err(Refused::NotAvailable { available, asked }),
            // Where the host does not say, the kernel has the last word.
            _ => Ok(()),
        }
    }

    fn whole(&self, bytes: ByteCount) -> ByteCount {
        let over = bytes.get().checked_rem(self.page.get()).unwrap_or(0);
        bytes.checked_sub(ByteCount::new(over)).unwrap_or(bytes)
    }
}

fn not_on(nodes: &[u32]) -> Refused {
    Refused::NotHere {
        field: "spec.nodes",
        value: format!("{nodes:?}"),
        why: "the host does not have these nodes, this process may not use them (cpuset.mems), or a \
              seccomp profile forbids mbind; GetHost shows the nodes",
    }
}

fn no_pages(page_bytes: ByteCount, error: OsError) -> Refused {
    if error.is_for_want_of_huge_pages() {
        Refused::HugePages { page_bytes, wanted: 1, error }
    } else {
        error.into()
    }
}

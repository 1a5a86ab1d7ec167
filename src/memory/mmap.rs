//! [`MmapAllocator`]: pages by mmap, in one of four homes.
//!
//! ```text
//! slab (slab/)                 small, usual guards, nothing special asked      no mapping of its own
//! dedicated (dedicated.rs)     anonymous, of base or transparent huge pages    3 or 4 mappings
//! tagged (tagged.rs)           the same of base pages, their bytes with tags   3
//! file (file.rs)               a memory file, of base pages or of a pool's     4, and a descriptor
//! ```
//!
//! Law: small memories between guards of the usual length live in slabs where the kernel can do it;
//! which home a layout has depends on the layout and the host alone, so that its footprint is known
//! before anything is allocated. What is not on the host is refused before anything is mapped.

use std::sync::Arc;

use crate::memory::allocator::{
    Fallbacks, Footprint, GuardKind, PageAllocator, Pages, Unallocated,
};
use crate::memory::ballast::{Ballast, BallastForm};
use crate::memory::dedicated::Dedicated;
use crate::memory::file::FileBacked;
use crate::memory::layout::Layout;
use crate::memory::refused::{Going, Refused};
use crate::memory::slab::{RECORD, Slab, Slabs};
use crate::memory::tagged::{Granted, TagSource};
use crate::model::{Backing, Form, Locking, Numa, NumaPolicy, PageKind, Populate};
use crate::os::OsError;
use crate::os::kernel::Kernel;
use crate::os::reservation::{Reservation, Tagger};
use crate::os::{host, numa};
use crate::units::ByteCount;

/// Mappings of a dedicated reservation: guard, bytes, rest. Neighbours may merge; not relied on.
const PLAIN_MAPPINGS: u64 = 3;
/// Where the body differs from the guards in more than protection: guard, bytes, rest, guard.
const OTHER_MAPPINGS: u64 = 4;

/// The daemon's record of a memory, its reservation, and the kernel's records of the mappings (192
/// bytes each and as much again for their places in its tree), rounded up.
const DEDICATED_OVERHEAD: ByteCount = ByteCount::new(RECORD.get().saturating_add(1_280));
/// The same and the kernel's inode, file and descriptor.
const FILE_OVERHEAD: ByteCount = ByteCount::new(RECORD.get().saturating_add(3_328));

/// Gets pages by mmap.
#[derive(Debug)]
pub struct MmapAllocator {
    kernel: Arc<dyn Kernel>,
    slabs: Option<Slabs>,
    tags: TagSource,
    fallbacks: Fallbacks,
}

enum Home<'a> {
    Slab(&'a Arc<Slab>),
    Dedicated,
    Tagged(Tagger),
    File,
}

impl MmapAllocator {
    /// An allocator on this kernel that gives every memory a reservation of its own.
    #[must_use]
    pub fn dedicated(kernel: Arc<dyn Kernel>) -> Self {
        let tags = TagSource::probe(Arc::clone(&kernel));
        Self { kernel, slabs: None, tags, fallbacks: Fallbacks::default() }
    }

    /// One that puts small memories into slabs where the kernel can guard them there; and why not,
    /// where it cannot.
    #[must_use]
    pub fn new(kernel: Arc<dyn Kernel>) -> (Self, Option<OsError>) {
        match Slabs::probe(&kernel) {
            Ok(slabs) => (Self { slabs: Some(slabs), ..Self::dedicated(kernel) }, None),
            Err(error) => (Self::dedicated(kernel), Some(error)),
        }
    }

    fn home(&self, layout: &Layout) -> Home<'_> {
        if layout.form.backing == Backing::Memfd || layout.pages.pool().is_some() {
            return Home::File;
        }
        if let Ok(Granted::With(tagger)) = self.tags.grant(&layout.form.tagging) {
            return Home::Tagged(tagger);
        }
        let slab = self.slabs.as_ref().filter(|_| may_share(layout));
        slab.and_then(|slabs| slabs.slab(layout)).map_or(Home::Dedicated, Home::Slab)
    }

    /// What the host must be for this layout, and is not.
    fn check(&self, layout: &Layout) -> Result<(), Refused> {
        let kernel = &*self.kernel;
        let not_here =
            |field, value: &str, why| Err(Refused::NotHere { field, value: value.to_owned(), why });
        if layout.form.locking == Locking::LockedNoSwap && host::has_swap(kernel) {
            return Err(Refused::swap());
        }
        if layout.pages == PageKind::Transparent && !host::has_transparent_huge_pages(kernel) {
            return not_here(
                "spec.huge_pages",
                "HUGE_PAGES_TRANSPARENT",
                "the kernel makes no transparent huge pages; an operator can write madvise to \
                 /sys/kernel/mm/transparent_hugepage/enabled",
            );
        }
        match self.tags.grant(&layout.form.tagging) {
            Ok(Granted::Without(_why)) => self.fallbacks.note_tagging(),
            Ok(Granted::NotAsked | Granted::With(_)) => {}
            Err(why) => {
                let (field, value) = ("spec.tagging.requirement", "TAGGING_REQUIREMENT_REQUIRE");
                return not_here(field, value, why.reason());
            }
        }
        Ok(())
    }
}

impl PageAllocator for MmapAllocator {
    fn footprint(&self, layout: &Layout) -> Footprint {
        let committed = committed(layout, layout.initial.bytes());
        let reserved = layout.total;
        let (overhead, mappings) = match self.home(layout) {
            Home::Slab(slab) => return slab.footprint(committed),
            Home::Dedicated => {
                let plain =
                    layout.pages == PageKind::Base && layout.form.numa.policy == NumaPolicy::Local;
                let mappings = if plain { PLAIN_MAPPINGS } else { OTHER_MAPPINGS };
                (DEDICATED_OVERHEAD, mappings)
            }
            Home::Tagged(_) => (DEDICATED_OVERHEAD, PLAIN_MAPPINGS),
            Home::File => (FILE_OVERHEAD, OTHER_MAPPINGS),
        };
        let is_locked = layout.form.locking != Locking::None;
        let is_huge = layout.pages.pool().is_some();
        Footprint { committed, overhead, mappings, reserved, is_prepaid: false, is_locked, is_huge }
    }

    fn guard_kind(&self) -> GuardKind {
        if self.slabs.is_some() { GuardKind::GuardInstall } else { GuardKind::ProtNone }
    }

    fn fallbacks(&self) -> &Fallbacks {
        &self.fallbacks
    }

    fn keep_warm(&self, kept: bool) -> ByteCount {
        self.slabs.as_ref().map_or(ByteCount::ZERO, |slabs| slabs.keep_warm(kept))
    }

    fn allocate(&self, layout: &Layout, going: Going<'_>) -> Result<Box<dyn Pages>, Unallocated> {
        self.check(layout)?;
        let kernel = Arc::clone(&self.kernel);
        match self.home(layout) {
            Home::Slab(slab) => slab.allocate(layout, going),
            Home::Dedicated => Dedicated::allocate(kernel, layout, &self.fallbacks, going),
            Home::Tagged(tagger) => self.tags.allocate(layout, tagger, going),
            Home::File => FileBacked::allocate(kernel, layout, &self.fallbacks, going),
        }
    }

    fn ballast(&self, form: &BallastForm) -> Result<Ballast, Refused> {
        Ballast::new(&self.kernel, form)
    }
}

/// Bytes charged while the first `extent` of such a memory are open.
pub(super) fn committed(layout: &Layout, extent: ByteCount) -> ByteCount {
    if layout.form.populate == Populate::Maximum {
        return layout.body;
    }
    extent.checked_round_up(layout.granule()).unwrap_or(layout.body)
}

/// Whether a memory of this form can have neighbours in its mapping.
fn may_share(layout: &Layout) -> bool {
    let Form { backing, numa, populate, locking, partition, .. } = &*layout.form;
    layout.pages == PageKind::Base
        && *backing == Backing::Anonymous
        && numa.policy == NumaPolicy::Local
        && *populate != Populate::Maximum
        && *locking == Locking::None
        // What a slab keeps of a memory that is gone would be missing from what is set aside.
        && (partition.is_none() || *populate == Populate::None)
}

/// Sets the NUMA policy of an untouched reservation; whether it is in force.
pub(super) fn place(
    kernel: &dyn Kernel,
    reservation: &Reservation,
    wanted: &Numa,
    fallbacks: &Fallbacks,
) -> Result<bool, Refused> {
    let Some(policy) = numa::policy(wanted.policy) else { return Ok(true) };
    let why = if numa::are_allowed(kernel, &wanted.nodes) {
        match reservation.place(policy, &wanted.nodes) {
            Ok(()) => return Ok(true),
            Err(error) if error.is_forbidden() => {
                "the host forbids mbind: allow it in the seccomp profile (container engines do so \
                 with CAP_SYS_NICE), or leave out strict"
            }
            Err(error) if error.is_invalid() => {
                "the kernel refuses these nodes; an operator finds the host's nodes with GetHost"
            }
            Err(error) => return Err(error.into()),
        }
    } else {
        "a node that the host does not have or this process may not use; an operator finds the \
         host's nodes with GetHost and the process's in its cpuset (cpuset.mems)"
    };
    if wanted.strict {
        let value = format!("{:?}", wanted.nodes);
        return Err(Refused::NotHere { field: "spec.numa.nodes", value, why });
    }
    tracing::warn!(nodes = ?wanted.nodes, why, "a memory goes without its NUMA policy");
    fallbacks.note_numa();
    Ok(false)
}

//! [`Form`]: what is asked of the host for a memory's pages: where they come from, of what kind they
//! are, on which nodes, when they are taken, whether they are kept in RAM, and how much is kept to
//! verify them by.
//!
//! Law: a form is what was asked; what was given is told by the memory floor, with its evidence.
//! Knows no host: whether a form can be had is found out where pages are allocated.

use std::sync::{Arc, LazyLock};

use crate::model::tagging::{TagRequirement, Tagging};
use crate::model::{DEFAULT_GUARD, Guard, PartitionId};
use crate::units::ByteCount;

/// The most NUMA nodes that a kernel can be built for (`MAX_NUMNODES`).
pub const MAX_NODES: u32 = 1024;

/// What gets pages from the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocator {
    /// Address space reserved once, pages opened as the memory grows, guarded.
    #[default]
    Mmap,
    /// The process's heap.
    Heap,
    /// A slot of the arena that was locked at start.
    Fixed,
}

/// What is behind the mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backing {
    /// Anonymous memory, private to the daemon.
    #[default]
    Anonymous,
    /// A memory file of its own.
    Memfd,
}

/// How much address space is set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressSpace {
    /// The maximum and the guards.
    #[default]
    Exact,
    /// 4 GiB of index, 4 GiB of offset and 64 KiB: whatever 32-bit code can compute.
    Wasm32Full,
}

/// A kind of host page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageKind {
    /// The host's base pages.
    #[default]
    Base,
    /// Base pages that the kernel may join to 2 MiB ones.
    Transparent,
    /// 2 MiB pages of the host's pool.
    Huge2M,
    /// 1 GiB pages of the host's pool.
    Huge1G,
}

impl PageKind {
    /// The size of a page of the host's pool; none where there is no pool.
    #[must_use]
    pub const fn pool(self) -> Option<ByteCount> {
        match self {
            Self::Base | Self::Transparent => None,
            Self::Huge2M => Some(ByteCount::new(2 << 20)),
            Self::Huge1G => Some(ByteCount::new(1 << 30)),
        }
    }

    /// Where such pages must begin and end; none where any host page will do.
    #[must_use]
    pub const fn alignment(self) -> Option<ByteCount> {
        match self {
            Self::Base => None,
            Self::Transparent => Some(ByteCount::new(2 << 20)),
            Self::Huge2M | Self::Huge1G => self.pool(),
        }
    }
}

/// On which NUMA nodes pages are placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumaPolicy {
    /// The node of the thread that first touches a page.
    #[default]
    Local,
    /// These nodes while they have room, then others.
    Preferred,
    /// Only these nodes.
    Bind,
    /// Spread over these nodes, page by page.
    Interleave,
}

/// Where pages are placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numa {
    /// The policy.
    pub policy: NumaPolicy,
    /// The nodes it names: ascending, each below [`MAX_NODES`]; none for LOCAL.
    pub nodes: Vec<u32>,
    /// Fail rather than fall back.
    pub strict: bool,
}

/// When pages are taken from the host before they are touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Populate {
    /// At first touch.
    #[default]
    None,
    /// The initial pages, at create.
    Initial,
    /// The initial pages and each growth.
    OnGrow,
    /// The maximum, at create.
    Maximum,
}

/// Whether pages are kept from being swapped out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locking {
    /// They are not.
    #[default]
    None,
    /// Locked in RAM.
    Locked,
    /// Locked in RAM, on a host that has no swap.
    LockedNoSwap,
}

/// How much is kept, and checked, to verify what was stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Nothing is kept; what can be verified without is, when asked.
    #[default]
    Off,
    /// Lengths, when asked.
    Basic,
    /// Lengths and structure, when asked.
    Standard,
    /// A checksum of every host page; a sixteenth of them is checked when asked.
    Sampling,
    /// A checksum of every host page, checked at each read.
    Full,
    /// The same and a copy of every byte, compared at each read.
    Redundant,
}

impl Verification {
    /// Whether checksums are kept.
    #[must_use]
    pub const fn keeps_checksums(self) -> bool {
        matches!(self, Self::Sampling | Self::Full | Self::Redundant)
    }

    /// Whether each read is checked before a byte of it is returned.
    #[must_use]
    pub const fn checks_reads(self) -> bool {
        matches!(self, Self::Full | Self::Redundant)
    }

    /// How many copies there are of every byte.
    #[must_use]
    pub const fn copies(self) -> u64 {
        if matches!(self, Self::Redundant) { 2 } else { 1 }
    }
}

/// What is asked of the host for a memory's pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What gets them.
    pub allocator: Allocator,
    /// What is behind the mapping.
    pub backing: Backing,
    /// How much address space is set aside.
    pub address_space: AddressSpace,
    /// Page kinds in order of preference; never empty. One that does not end in BASE fails where
    /// none of it can be had.
    pub page_kinds: Vec<PageKind>,
    /// Where they are placed.
    pub numa: Numa,
    /// When they are taken.
    pub populate: Populate,
    /// Whether they are locked in RAM.
    pub locking: Locking,
    /// Whether their bytes carry tags.
    pub tagging: Tagging,
    /// Whether the memory is a shared one, for many threads of code at a time.
    pub is_shared: bool,
    /// The partition that pays for them; none: the host.
    pub partition: Option<PartitionId>,
    /// How much is kept to verify them by.
    pub verification: Verification,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            allocator: Allocator::default(),
            backing: Backing::default(),
            address_space: AddressSpace::default(),
            page_kinds: vec![PageKind::Base],
            numa: Numa::default(),
            populate: Populate::default(),
            locking: Locking::default(),
            tagging: Tagging::default(),
            is_shared: false,
            partition: None,
            verification: Verification::default(),
        }
    }
}

/// Whether it is broken; the spec's field, and why.
type Rule = (bool, &'static str, &'static str);

impl Form {
    /// The form that most memories have, once for all of them.
    #[must_use]
    pub fn usual() -> Arc<Self> {
        static USUAL: LazyLock<Arc<Form>> = LazyLock::new(Arc::default);
        Arc::clone(&USUAL)
    }

    /// What of it, with these guards, no memory can have: the spec's field, and why.
    #[must_use]
    pub fn contradiction(&self, guard: Guard) -> Option<(&'static str, &'static str)> {
        let rules = self.beside_tags().into_iter().chain(self.beside_allocator(guard));
        let broken = rules.into_iter().find(|(is_broken, ..)| *is_broken);
        broken.map(|(_, field, why)| (field, why))
    }

    /// What tagged memories do not have: their bytes are anonymous, of base pages, and resident as long
    /// as they are open.
    fn beside_tags(&self) -> [Rule; 7] {
        const TAGGING: &str = "spec.tagging";
        let tagged = self.tagging.requirement != TagRequirement::Off;
        [
            (
                self.allocator != Allocator::Mmap,
                TAGGING,
                "is asked for beside allocator other than MMAP, which tagged memories do not have",
            ),
            (
                self.backing != Backing::Anonymous,
                TAGGING,
                "is asked for beside backing other than ANONYMOUS, which tagged memories do not have",
            ),
            (
                self.page_kinds != [PageKind::Base],
                TAGGING,
                "is asked for beside huge_pages other than BASE, which tagged memories do not have",
            ),
            (
                self.numa.policy != NumaPolicy::Local,
                TAGGING,
                "is asked for beside numa policy other than LOCAL, which tagged memories do not have",
            ),
            (
                self.populate == Populate::Maximum,
                TAGGING,
                "is asked for beside populate MAXIMUM, which tagged memories do not have",
            ),
            (
                self.locking != Locking::None,
                TAGGING,
                "is asked for beside locking, which tagged memories do not have",
            ),
            (
                self.verification.keeps_checksums(),
                "spec.verification",
                "is SAMPLING, FULL or REDUNDANT, which tagged memories do not have",
            ),
        ]
        .map(|(is_broken, field, why)| (tagged && is_broken, field, why))
    }

    /// What memories of its allocator do not have.
    fn beside_allocator(&self, guard: Guard) -> [Rule; 11] {
        let heap = self.allocator == Allocator::Heap;
        let fixed = self.allocator == Allocator::Fixed;
        let long = guard.before > DEFAULT_GUARD || guard.after > DEFAULT_GUARD;
        let elsewhere = self.allocator != Allocator::Mmap;
        [
            (
                elsewhere && self.partition.is_some(),
                "spec.partition",
                "is given, which is for ALLOCATOR_MMAP",
            ),
            (
                elsewhere && self.backing != Backing::Anonymous,
                "spec.backing",
                "is MEMFD, which is for ALLOCATOR_MMAP",
            ),
            (
                elsewhere && self.address_space != AddressSpace::Exact,
                "spec.reservation",
                "is WASM32_FULL, which is for ALLOCATOR_MMAP: neither a heap block nor a fixed slot is \
                 so long",
            ),
            (
                elsewhere && self.page_kinds != [PageKind::Base],
                "spec.huge_pages",
                "names more than BASE, which is for ALLOCATOR_MMAP",
            ),
            (
                elsewhere && self.numa.policy != NumaPolicy::Local,
                "spec.numa.policy",
                "is not LOCAL, which is for ALLOCATOR_MMAP",
            ),
            (
                heap && guard != Guard::NONE,
                "spec.guard",
                "a heap memory has no guards; leave them out, or 0",
            ),
            (fixed && long, "spec.guard", "a fixed slot has a guard of 65536 bytes on either side"),
            (
                heap && self.locking != Locking::None,
                "spec.locking",
                "locks pages that are the process's heap's; ALLOCATOR_FIXED and ALLOCATOR_MMAP can",
            ),
            (
                heap && self.populate == Populate::Maximum,
                "spec.populate",
                "is MAXIMUM; a heap memory has no more than its size",
            ),
            (
                heap && self.verification.keeps_checksums(),
                "spec.verification",
                "is SAMPLING, FULL or REDUNDANT, which a heap memory does not have; OFF, BASIC and \
                 STANDARD it has",
            ),
            (
                fixed && self.verification.copies() > 1,
                "spec.verification",
                "is REDUNDANT, which is for ALLOCATOR_MMAP: a fixed memory has one slot",
            ),
        ]
    }

    /// This form, shared with all others where it is the usual one.
    #[must_use]
    pub fn shared(self) -> Arc<Self> {
        let usual = Self::usual();
        if self == *usual { usual } else { Arc::new(self) }
    }
}

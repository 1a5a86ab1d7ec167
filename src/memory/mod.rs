//! Floor 1: linear memories, one at a time. Owns their layout, the allocators that get pages from
//! the host, the one door through which bytes move and change, and the lock of one memory.
//!
//! Law: reserve once, never move (all but the heap's); a range is checked before anything else; size is published last;
//! a mutation is a [`Plan`] first and [`LinearMemory::apply`] is its only execution. Everything here
//! is synchronous. Does not know clocks, tenants or RPCs.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod access;
mod allocator;
mod allocators;
mod any;
mod apply;
mod ballast;
mod checksums;
mod dedicated;
mod file;
mod fixed;
mod group;
pub mod guard;
mod heap;
mod inspect;
#[cfg(all(test, not(linmemd_loom)))]
mod inspect_tests;
mod integrity;
#[cfg(all(test, not(linmemd_loom)))]
mod integrity_tests;
mod kept;
mod layout;
mod linear;
pub mod lock;
#[cfg(all(test, linmemd_loom))]
mod lock_loom;
#[cfg(all(test, not(linmemd_loom)))]
mod lock_tests;
mod mmap;
mod page_map;
mod plan;
mod protect;
mod protections;
mod ranges;
mod redundant;
mod refused;
mod regions;
mod scalars;
mod scan;
mod slab;
mod sources;
pub(crate) mod sync;
mod tagged;
#[cfg(all(test, not(linmemd_loom)))]
mod tagged_tests;
mod undone;
mod volatile;

pub use allocator::{
    Fallbacks, Footprint, GuardKind, Held, PageAllocator, Pages, Placed, Unallocated,
};
pub use allocators::Allocators;
pub use any::{AnyMemory, Hand, HeapMemory};
pub use ballast::{Ballast, BallastForm};
pub use fixed::{FixedAllocator, Unarranged};
pub use group::{Address, Draft, Group, GroupLimits, Notice, Slices, Stopped, Sum, Tally, Unfit};
pub use heap::{
    Alone, Block, ExclusiveMemory, Freezing, HeapAllocator, Moving, Place, SharedMemory, Written,
};
pub use inspect::{Check, Fenced, Finding, Outcome, Promised};
pub use integrity::{Corruption, Replica};
pub use layout::{Layout, Unrepresentable};
pub use linear::{LinearMemory, PublishedSize, ReleaseStep, Uncreated, Unreleased, Wiping};
pub use mmap::MmapAllocator;
pub use plan::Plan;
pub use protect::Unprotected;
pub use protections::{Protected, Use};
pub use ranges::MOST_RANGES;
pub use refused::{Going, NO_ARENA, Refused};
pub use regions::regions;
pub use scalars::{Load, Operator, Widening, Width};
pub use scan::Scan;
pub use sources::Sources;
pub use tagged::{Granted, TagSource};
pub use undone::{Fault, Undone};
pub use volatile::{PurgeStep, Purged, Remembered, TooManyVolatile};

//! [`Amount`]: what something costs, kind by kind.
//!
//! Law: plain numbers; who pays them and what there may be of them is the ledger's.

use crate::memory::Footprint;
use crate::units::ByteCount;

/// What something costs, kind by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// RAM for tenants' bytes.
    pub committed_bytes: u64,
    /// RAM of the daemon's and the kernel's own.
    pub overhead_bytes: u64,
    /// Mappings of the process; the kernel counts them in 31 bits.
    pub mappings: u32,
    /// Address space.
    pub reserved_bytes: u64,
    /// Memories.
    pub memories: u16,
    /// What is the same of all its committed bytes.
    pub traits: Traits,
}

/// What is the same of all committed bytes of one memory, in the byte that an [`Amount`] has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits(u8);

impl Traits {
    /// The host's part of committed bytes, mappings and address space was paid at start, for the arena.
    pub const PREPAID: Self = Self(1);
    /// They are locked in RAM.
    pub const LOCKED: Self = Self(2);
    /// They are pages of one of the host's pools.
    pub const HUGE: Self = Self(4);

    const fn when(self, is_so: bool) -> Self {
        if is_so { self } else { Self(0) }
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    const fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }
}

impl Amount {
    /// One memory of this footprint.
    #[must_use]
    pub fn memory(footprint: &Footprint) -> Self {
        Self {
            committed_bytes: footprint.committed.get(),
            overhead_bytes: footprint.overhead.get(),
            mappings: u32::try_from(footprint.mappings).unwrap_or(u32::MAX),
            reserved_bytes: footprint.reserved.get(),
            memories: 1,
            traits: Traits::PREPAID
                .when(footprint.is_prepaid)
                .and(Traits::LOCKED.when(footprint.is_locked))
                .and(Traits::HUGE.when(footprint.is_huge)),
        }
    }

    /// What the host is charged.
    pub(super) const fn of_host(self) -> Self {
        if self.traits.has(Traits::PREPAID) {
            Self { memories: self.memories, ..Self::overhead(self.overhead_bytes) }
        } else {
            self
        }
    }

    /// Committed bytes alone.
    #[must_use]
    pub const fn committed(bytes: ByteCount) -> Self {
        Self {
            committed_bytes: bytes.get(),
            overhead_bytes: 0,
            mappings: 0,
            reserved_bytes: 0,
            memories: 0,
            traits: Traits(0),
        }
    }

    /// Overhead alone.
    #[must_use]
    pub const fn overhead(bytes: u64) -> Self {
        Self {
            committed_bytes: 0,
            overhead_bytes: bytes,
            mappings: 0,
            reserved_bytes: 0,
            memories: 0,
            traits: Traits(0),
        }
    }

    /// Committed bytes and overhead together, which share every limit.
    pub(super) const fn bytes(&self) -> u64 {
        self.committed_bytes.saturating_add(self.overhead_bytes)
    }

    /// The part of its committed bytes that is locked in RAM: all or nothing.
    pub(super) const fn locked_bytes(&self) -> u64 {
        if self.traits.has(Traits::LOCKED) { self.committed_bytes } else { 0 }
    }

    /// The part of them that is pages of the host's pools.
    pub(super) const fn huge_page_bytes(&self) -> u64 {
        if self.traits.has(Traits::HUGE) { self.committed_bytes } else { 0 }
    }

    /// The rest.
    pub(super) const fn without_bytes(self) -> Self {
        Self { committed_bytes: 0, overhead_bytes: 0, ..self }
    }

    /// Both together, of the same traits.
    pub(super) const fn plus(self, other: Self) -> Self {
        // Each part was admitted against a limit, so sums stay far below 2^64.
        Self {
            committed_bytes: self.committed_bytes.saturating_add(other.committed_bytes),
            overhead_bytes: self.overhead_bytes.saturating_add(other.overhead_bytes),
            mappings: self.mappings.saturating_add(other.mappings),
            reserved_bytes: self.reserved_bytes.saturating_add(other.reserved_bytes),
            memories: self.memories.saturating_add(other.memories),
            traits: self.traits,
        }
    }
}

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
    /// The host's part of committed bytes, mappings and address space was paid at start, for the arena.
    pub is_prepaid: bool,
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
            is_prepaid: footprint.is_prepaid,
        }
    }

    /// What the host is charged.
    pub(super) const fn of_host(self) -> Self {
        if self.is_prepaid {
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
            is_prepaid: false,
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
            is_prepaid: false,
        }
    }

    /// Committed bytes and overhead together, which share every limit.
    pub(super) const fn bytes(&self) -> u64 {
        self.committed_bytes.saturating_add(self.overhead_bytes)
    }

    /// The rest.
    pub(super) const fn without_bytes(self) -> Self {
        Self { committed_bytes: 0, overhead_bytes: 0, ..self }
    }

    /// Both together, of which the host's part was paid in the same way.
    pub(super) const fn plus(self, other: Self) -> Self {
        // Each part was admitted against a limit, so sums stay far below 2^64.
        Self {
            committed_bytes: self.committed_bytes.saturating_add(other.committed_bytes),
            overhead_bytes: self.overhead_bytes.saturating_add(other.overhead_bytes),
            mappings: self.mappings.saturating_add(other.mappings),
            reserved_bytes: self.reserved_bytes.saturating_add(other.reserved_bytes),
            memories: self.memories.saturating_add(other.memories),
            is_prepaid: self.is_prepaid,
        }
    }
}

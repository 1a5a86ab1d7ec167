//! What is counted of one tenant, or of all that share the label of those past the cap.
//!
//! Law: accesses, traps and growths are pushed, each an atomic add; what a tenant holds is read at the
//! scrape. How they are shown is `tenant_page.rs`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::hooks::HookCounts;
/// The kinds of access, in the order in which they are counted.
pub const OPERATIONS: [&str; 14] = [
    "read", "write", "fill", "discard", "upload", "download", "compare", "gather", "scatter",
    "load", "store", "copy", "init", "atomic",
];

/// The resources that a tenant has quotas of, in the order in which they are told.
pub const QUOTAS: [&str; 16] = [
    "committed_bytes",
    "overhead_bytes",
    "mappings",
    "reserved_bytes",
    "memories",
    "locked_bytes",
    "huge_page_bytes",
    "segments",
    "segment_bytes",
    "waiters",
    "sessions",
    "handlers",
    "in_flight_bytes",
    "connections",
    "operations_per_second",
    "bytes_per_second",
];

/// What became of a growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowOutcome {
    /// The size is larger.
    Grown,
    /// MAXIMUM_REACHED.
    MaximumReached,
    /// SIZE_MISMATCH.
    SizeMismatch,
    /// QUOTA_EXCEEDED.
    QuotaExceeded,
    /// HOST_EXHAUSTED.
    HostExhausted,
    /// GROW_DENIED.
    GrowDenied,
    /// Anything else.
    Failed,
}

impl GrowOutcome {
    pub(super) const ALL: [Self; 7] = [
        Self::Grown,
        Self::MaximumReached,
        Self::SizeMismatch,
        Self::QuotaExceeded,
        Self::HostExhausted,
        Self::GrowDenied,
        Self::Failed,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Grown => "grown",
            Self::MaximumReached => "maximum_reached",
            Self::SizeMismatch => "size_mismatch",
            Self::QuotaExceeded => "quota_exceeded",
            Self::HostExhausted => "host_exhausted",
            Self::GrowDenied => "grow_denied",
            Self::Failed => "failed",
        }
    }
}

/// Why an access was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// For its range.
    OutOfBounds,
    /// For what the bytes allow.
    Protected,
    /// Because the bytes are gone.
    Purged,
    /// For the alignment of an atomic access.
    Unaligned,
    /// Because a wait needs a shared memory.
    ExpectedShared,
}

impl Trap {
    pub(super) const ALL: [Self; 5] =
        [Self::OutOfBounds, Self::Protected, Self::Purged, Self::Unaligned, Self::ExpectedShared];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::OutOfBounds => "OUT_OF_BOUNDS",
            Self::Protected => "PROTECTED",
            Self::Purged => "PURGED",
            Self::Unaligned => "UNALIGNED",
            Self::ExpectedShared => "EXPECTED_SHARED",
        }
    }
}

/// What is counted of one kind of access.
#[derive(Debug, Default)]
pub(super) struct AccessCounts {
    pub(super) accesses: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// What is counted of one tenant.
#[derive(Debug, Default)]
pub struct TenantMeters {
    pub(super) accesses: [AccessCounts; OPERATIONS.len()],
    pub(super) traps: [AtomicU64; Trap::ALL.len()],
    pub(super) grows: [AtomicU64; GrowOutcome::ALL.len()],
    pub(super) events_dropped: AtomicU64,
    pub(super) hooks: HookCounts,
}

/// What a tenant, or all folded tenants together, hold at a scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct Occupancy {
    /// Memories.
    pub memories: u64,
    /// Sum of sizes.
    pub size_bytes: u64,
    /// Largest sum of sizes.
    pub peak_bytes: u64,
    /// Limit and use of each of [`QUOTAS`].
    pub quotas: [(u64, u64); QUOTAS.len()],
    /// Callers that wait for an address.
    pub waiters: u64,
}

impl TenantMeters {
    /// So many contiguous ranges were accessed with success, of so many bytes in all, in the one of
    /// [`OPERATIONS`] at that place.
    pub fn accessed(&self, operation: usize, accesses: u64, bytes: u64) {
        if let Some(counts) = self.accesses.get(operation) {
            add(&counts.accesses, accesses);
            add(&counts.bytes, bytes);
        }
    }

    /// An access was refused.
    pub fn trapped(&self, trap: Trap) {
        self.traps.get(trap as usize).into_iter().for_each(|counter| add(counter, 1));
    }

    /// A watcher was too slow for so many events.
    pub fn dropped_events(&self, count: u64) {
        add(&self.events_dropped, count);
    }

    /// A growth ended.
    pub fn grow(&self, outcome: GrowOutcome) {
        self.grows.get(outcome as usize).into_iter().for_each(|counter| add(counter, 1));
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Occupancy {
    /// The sum with another tenant's.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut quotas = self.quotas;
        for (sum, more) in quotas.iter_mut().zip(other.quotas) {
            *sum = (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1));
        }
        Self {
            memories: self.memories.saturating_add(other.memories),
            size_bytes: self.size_bytes.saturating_add(other.size_bytes),
            peak_bytes: self.peak_bytes.saturating_add(other.peak_bytes),
            quotas,
            waiters: self.waiters.saturating_add(other.waiters),
        }
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_has_the_place_of_its_word() {
        assert!(Trap::ALL.iter().enumerate().all(|(place, trap)| *trap as usize == place));
        assert!(GrowOutcome::ALL.iter().enumerate().all(|(place, one)| *one as usize == place));
    }
}

//! The handles of one tenant, or of all that share the label of those past the cap.
//!
//! Law: accesses, traps and growths are pushed; what a tenant holds is set at the scrape.

use std::sync::PoisonError;

use metrics::{Counter, Gauge};

use crate::metrics::{
    ACCESS_BYTES_TOTAL, ACCESSES_TOTAL, EVENTS_DROPPED_TOTAL, GROWS_TOTAL, Metrics, QUOTA_LIMIT,
    QUOTA_USED, TENANT_MEMORIES, TENANT_PEAK_BYTES, TENANT_SIZE_BYTES, TRAPS_TOTAL, WAITERS, float,
};

const QUOTAS: [&str; 5] =
    ["committed_bytes", "overhead_bytes", "mappings", "reserved_bytes", "memories"];

impl Metrics {
    /// A tenant's series are shown no more, until there is one of that label again.
    pub fn forget_tenant(&self, label: &str) {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).insert(label.to_owned());
    }

    /// The page without the series of tenants that have gone.
    pub(super) fn without_gone(&self, page: String) -> String {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if gone.is_empty() {
            return page;
        }
        let is_shown = |line: &&str| {
            let label = line.split_once("tenant=\"").and_then(|(_, rest)| rest.split_once('"'));
            label.is_none_or(|(label, _)| !gone.contains(label))
        };
        page.split_inclusive('\n').filter(is_shown).collect()
    }

    /// The handles of one tenant, and of these kinds of access.
    #[must_use]
    pub fn tenant(&self, label: &str, kinds: &[&'static str]) -> TenantMeters {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).remove(label);
        let of = |operation: &str| AccessMeters {
            accesses: self.counter(ACCESSES_TOTAL, &[("tenant", label), ("operation", operation)]),
            bytes: self.counter(ACCESS_BYTES_TOTAL, &[("tenant", label), ("operation", operation)]),
        };
        let traps = |reason| self.counter(TRAPS_TOTAL, &[("tenant", label), ("reason", reason)]);
        let gauge = |name| self.gauge(name, &[("tenant", label)]);
        let quota = |resource| {
            let labels = [("tenant", label), ("resource", resource)];
            (self.gauge(QUOTA_LIMIT, &labels), self.gauge(QUOTA_USED, &labels))
        };
        TenantMeters {
            accesses: kinds.iter().map(|kind| of(kind)).collect(),
            traps: traps("OUT_OF_BOUNDS"),
            protected: traps("PROTECTED"),
            purged: traps("PURGED"),
            unaligned: traps("UNALIGNED"),
            expected_shared: traps("EXPECTED_SHARED"),
            grows: GrowOutcome::ALL.map(|outcome| {
                self.counter(GROWS_TOTAL, &[("tenant", label), ("outcome", outcome.word())])
            }),
            events_dropped: self.counter(EVENTS_DROPPED_TOTAL, &[("tenant", label)]),
            memories: gauge(TENANT_MEMORIES),
            size_bytes: gauge(TENANT_SIZE_BYTES),
            peak_bytes: gauge(TENANT_PEAK_BYTES),
            quotas: QUOTAS.map(quota),
            waiters: gauge(WAITERS),
        }
    }
}

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
    const ALL: [Self; 7] = [
        Self::Grown,
        Self::MaximumReached,
        Self::SizeMismatch,
        Self::QuotaExceeded,
        Self::HostExhausted,
        Self::GrowDenied,
        Self::Failed,
    ];

    const fn word(self) -> &'static str {
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

/// What is counted of one kind of access.
#[derive(Debug)]
struct AccessMeters {
    accesses: Counter,
    bytes: Counter,
}

/// The handles of one tenant.
#[derive(Debug)]
pub struct TenantMeters {
    accesses: Vec<AccessMeters>,
    traps: Counter,
    protected: Counter,
    purged: Counter,
    unaligned: Counter,
    expected_shared: Counter,
    grows: [Counter; 7],
    events_dropped: Counter,
    memories: Gauge,
    size_bytes: Gauge,
    peak_bytes: Gauge,
    quotas: [(Gauge, Gauge); 5],
    waiters: Gauge,
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
    /// Limit and use of each quota, in the ledger's order.
    pub quotas: [(u64, u64); 5],
    /// Callers that wait for an address.
    pub waiters: u64,
}

impl TenantMeters {
    /// So many contiguous ranges were accessed with success, of so many bytes in all, in the kind of
    /// that place.
    pub fn accessed(&self, kind: usize, accesses: u64, bytes: u64) {
        if let Some(meters) = self.accesses.get(kind) {
            meters.accesses.increment(accesses);
            meters.bytes.increment(bytes);
        }
    }

    /// An access was refused for its range.
    pub fn trap(&self) {
        self.traps.increment(1);
    }

    /// An atomic access was refused for its alignment.
    pub fn unaligned(&self) {
        self.unaligned.increment(1);
    }

    /// A wait was refused because its memory is not shared.
    pub fn expected_shared(&self) {
        self.expected_shared.increment(1);
    }

    /// An access of protected bytes was refused.
    pub fn protected(&self) {
        self.protected.increment(1);
    }

    /// An access of purged bytes was refused.
    pub fn purged(&self) {
        self.purged.increment(1);
    }

    /// A watcher was too slow for so many events.
    pub fn dropped_events(&self, count: u64) {
        self.events_dropped.increment(count);
    }

    /// A growth ended.
    pub fn grow(&self, outcome: GrowOutcome) {
        for (counter, this) in self.grows.iter().zip(GrowOutcome::ALL) {
            if this == outcome {
                counter.increment(1);
            }
        }
    }

    /// What it holds now.
    pub fn set(&self, occupancy: &Occupancy) {
        self.memories.set(float(occupancy.memories));
        self.size_bytes.set(float(occupancy.size_bytes));
        self.peak_bytes.set(float(occupancy.peak_bytes));
        for ((limit_gauge, used_gauge), (limit, used)) in self.quotas.iter().zip(occupancy.quotas) {
            limit_gauge.set(float(limit));
            used_gauge.set(float(used));
        }
        self.waiters.set(float(occupancy.waiters));
    }
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

//! [`Tenant`]: one tenant's namespace, what it may hold in flight, and its meters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::metrics::{OTHER_TENANTS, Occupancy, QUOTAS, TenantMeters, TenantSeries};
use crate::registry::{Account, Holding, Namespace, NamespaceLimits};
use crate::tenancy::budget::Budget;
use crate::tenancy::hooks::{Clock, GrowPolicy, Hooks};
use crate::tenancy::rates::{RateLimits, Rates};

/// What one tenant may have at once, beside what its memories cost.
#[derive(Clone, Copy, Debug)]
pub struct TenantLimits {
    /// What its memories may cost.
    pub namespace: NamespaceLimits,
    /// Request and reply bytes.
    pub in_flight_bytes: u64,
    /// Running calls.
    pub handlers: u64,
    /// Open sessions.
    pub sessions: u64,
    /// Connections that have called for it.
    pub connections: u64,
    /// Operations and bytes a second.
    pub rates: RateLimits,
    /// How its memories may grow.
    pub growth: GrowPolicy,
}

impl TenantLimits {
    /// None but those that every tenant has.
    pub const NONE: Self = Self {
        namespace: NamespaceLimits::NONE,
        in_flight_bytes: u64::MAX,
        handlers: u64::MAX,
        sessions: u64::MAX,
        connections: u64::MAX,
        rates: RateLimits { operations: None, bytes: None },
        growth: GrowPolicy::NONE,
    };
}

/// One tenant.
#[derive(Debug)]
pub struct Tenant {
    /// Its memories.
    pub namespace: Arc<Namespace>,
    /// Its request and reply bytes.
    pub in_flight_bytes: Budget,
    /// Its running calls.
    pub handlers: Budget,
    /// Its open sessions.
    pub sessions: Budget,
    /// The connections that have called for it.
    pub connections: Budget,
    /// Its operations and bytes a second.
    pub rates: Rates,
    /// Who is asked before its memories grow.
    pub hooks: Arc<Hooks>,
    /// The label of its series: its name, or [`crate::metrics::OTHER_TENANTS`].
    pub label: Arc<str>,
    /// Whether that is shared, so that it has no series of its own on a page.
    pub(super) is_folded: bool,
    /// Whether anybody has ever come to it.
    is_known: AtomicBool,
    pub(super) meters: Arc<TenantMeters>,
}

impl Tenant {
    pub(super) fn new(
        namespace: Arc<Namespace>,
        limits: TenantLimits,
        label: Arc<str>,
        meters: Arc<TenantMeters>,
        host: &Arc<Account>,
        clock: &Arc<dyn Clock>,
    ) -> Arc<Self> {
        let accounts = [&namespace.account, host];
        Arc::new(Self {
            in_flight_bytes: Budget::of_tenant("tenant_in_flight_bytes", limits.in_flight_bytes),
            handlers: Budget::of_tenant("tenant_handlers", limits.handlers),
            sessions: Budget::of_tenant("tenant_sessions", limits.sessions),
            connections: Budget::of_tenant("tenant_connections", limits.connections),
            rates: Rates::new(limits.rates, clock),
            hooks: Hooks::new(limits.growth, accounts, clock, Arc::clone(&meters)),
            meters,
            namespace,
            is_known: AtomicBool::new(false),
            is_folded: &*label == OTHER_TENANTS,
            label,
        })
    }

    /// What it may have from now on, each in one step. What it has stays.
    pub fn set_limits(&self, limits: &TenantLimits) {
        self.namespace.set_limits(limits.namespace);
        self.in_flight_bytes.set_limit(limits.in_flight_bytes);
        self.handlers.set_limit(limits.handlers);
        self.sessions.set_limit(limits.sessions);
        self.connections.set_limit(limits.connections);
        self.rates.set_limits(limits.rates);
        self.hooks.set_policy(limits.growth);
    }

    /// From now on somebody has come to it.
    pub(super) fn come_to(&self) {
        // Callers are many, and a line that is only read is everybody's.
        if !self.is_known() {
            self.is_known.store(true, Ordering::Relaxed);
        }
    }

    /// Whether anybody has: another one holds nothing.
    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// Its quotas and what is used of each.
    #[must_use]
    pub fn holdings(&self) -> [Holding; QUOTAS.len()] {
        let mut quotas = self.quotas().into_iter();
        QUOTAS.map(|resource| {
            let (limit, used) = quotas.next().unwrap_or_default();
            Holding { resource, limit, used }
        })
    }

    /// Limit and use of each of [`QUOTAS`]. A page asks a hundred thousand tenants.
    pub(super) fn quotas(&self) -> [(u64, u64); QUOTAS.len()] {
        let pair = |holding: Holding| (holding.limit, holding.used);
        let budget = |budget: &Budget| (budget.limit(), budget.used());
        let [committed, overhead, mappings, reserved, memories, locked, huge_pages] =
            self.namespace.account.holdings().map(pair);
        let [segments, segment_bytes, waiters] = self.namespace.holdings().map(pair);
        let [operations, bytes] = self.rates.holdings().map(pair);
        [
            committed,
            overhead,
            mappings,
            reserved,
            memories,
            locked,
            huge_pages,
            segments,
            segment_bytes,
            waiters,
            budget(&self.sessions),
            budget(&self.handlers),
            budget(&self.in_flight_bytes),
            budget(&self.connections),
            operations,
            bytes,
        ]
    }

    /// One figure of each place where [`Self::series`] looks, in the order in which they lead to one
    /// another.
    pub(super) const PLACES: [fn(&Self) -> u64; 4] = [
        |tenant| tenant.sessions.used(),
        |tenant| tenant.namespace.size_bytes(),
        |tenant| tenant.namespace.account.bytes().limit,
        |tenant| tenant.namespace.holdings().iter().map(|one| one.used).sum(),
    ];

    /// What a page shows of it.
    #[must_use]
    pub(super) fn series(&self) -> TenantSeries<'_> {
        let quotas = self.quotas();
        let [_, _, _, _, (_most, memories), ..] = quotas;
        let occupancy = Occupancy {
            memories,
            size_bytes: self.namespace.size_bytes(),
            peak_bytes: self.namespace.peak_bytes(),
            quotas,
            waiters: self.namespace.waiters(),
        };
        TenantSeries { label: &self.label, meters: &self.meters, occupancy }
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use crate::metrics::OPERATIONS;
    use crate::model::AccessKind;

    #[test]
    fn accesses_are_counted_under_their_own_words() {
        assert_eq!(AccessKind::ALL.map(AccessKind::word), OPERATIONS);
    }
}

//! [`Tenant`]: one tenant's namespace, what it may hold in flight, and its meters.

use std::sync::Arc;

use crate::metrics::{Metrics, Occupancy, TenantMeters};
use crate::model::AccessKind;
use crate::registry::{Account, Namespace, NamespaceLimits};
use crate::tenancy::budget::Budget;
use crate::tenancy::hooks::{Clock, GrowPolicy, Hooks};

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
    /// How its memories may grow.
    pub growth: GrowPolicy,
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
    /// Who is asked before its memories grow.
    pub hooks: Arc<Hooks>,
    /// The label of its series: its name, or [`crate::metrics::OTHER_TENANTS`].
    pub label: Arc<str>,
    pub(super) meters: TenantMeters,
}

impl Tenant {
    pub(super) fn new(
        namespace: Arc<Namespace>,
        limits: TenantLimits,
        label: Arc<str>,
        host: &Arc<Account>,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let accounts = [&namespace.account, host];
        Arc::new(Self {
            in_flight_bytes: Budget::new("tenant_in_flight_bytes", limits.in_flight_bytes),
            handlers: Budget::new("tenant_handlers", limits.handlers),
            sessions: Budget::new("tenant_sessions", limits.sessions),
            connections: Budget::new("tenant_connections", limits.connections),
            hooks: Hooks::new(limits.growth, accounts, clock, metrics.hooks(&label)),
            meters: metrics.tenant(&label, &AccessKind::ALL.map(AccessKind::word)),
            namespace,
            label,
        })
    }

    /// What it may have from now on. What it has stays.
    pub(super) fn set_limits(&self, limits: &TenantLimits) {
        self.namespace.set_limits(limits.namespace);
        self.in_flight_bytes.set_limit(limits.in_flight_bytes);
        self.handlers.set_limit(limits.handlers);
        self.sessions.set_limit(limits.sessions);
        self.hooks.set_policy(limits.growth);
    }

    /// What it holds now.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        let holdings = self.namespace.account.holdings();
        Occupancy {
            memories: holdings.last().map_or(0, |memories| memories.used),
            size_bytes: self.namespace.size_bytes(),
            peak_bytes: self.namespace.peak_bytes(),
            quotas: holdings.map(|holding| (holding.limit, holding.used)),
            waiters: self.namespace.waiters(),
        }
    }
}

//! [`Tenants`]: the configured tenants, and who gets which [`Access`].
//!
//! Law: a caller without credentials may name any configured tenant and is `default` otherwise; a
//! tenant that is not configured does not exist. Roles follow from how the caller came.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Failure, printable};
use crate::metrics::{Metrics, OTHER_TENANTS, Occupancy};
use crate::model::TenantName;
use crate::registry::{Namespace, Registry};
use crate::tenancy::access::Access;
use crate::tenancy::each_memory::EachMemory;
use crate::tenancy::hooks::Clock;
use crate::tenancy::tenant::{Tenant, TenantLimits};

/// The tenant of a caller that names none.
const DEFAULT: &str = "default";

/// How a caller came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Over a listener that asks for no credentials.
    Anonymous,
    /// Over the Unix socket, as the daemon's own user or root.
    LocalOwner,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything with the tenant's own memories.
    Owner,
    /// Look at the host.
    OperatorReadOnly,
    /// Change the daemon's course.
    Operator,
}

impl Role {
    /// Its name on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::OperatorReadOnly => "operator_read_only",
            Self::Operator => "operator",
        }
    }
}

/// The configured tenants.
#[derive(Debug)]
pub struct Tenants {
    by_name: HashMap<TenantName, Arc<Tenant>>,
    default: Option<Arc<Tenant>>,
    registry: Arc<Registry>,
    each_memory: Arc<EachMemory>,
    folded: u64,
}

impl Tenants {
    /// These tenants; those past `label_cap` share one label in the metrics.
    #[must_use]
    pub fn new(
        configured: Vec<(TenantName, TenantLimits)>,
        label_cap: usize,
        registry: Arc<Registry>,
        each_memory: Arc<EachMemory>,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let mut by_name = HashMap::new();
        let mut folded = 0u64;
        for (number, (name, limits)) in configured.into_iter().enumerate() {
            let label = if number < label_cap {
                name.as_str().into()
            } else {
                folded = folded.saturating_add(1);
                OTHER_TENANTS.into()
            };
            let lane = u32::try_from(number).unwrap_or(u32::MAX);
            let namespace = Namespace::new(name.clone(), lane, limits.namespace, &registry);
            by_name.insert(
                name,
                Tenant::new(namespace, limits, label, &registry.host, clock, metrics),
            );
        }
        let default = by_name.get(DEFAULT).cloned();
        Self { by_name, default, registry, each_memory, folded }
    }

    /// The door of a caller, to the tenant it names or to `default`.
    ///
    /// # Errors
    /// [`Failure::TenantMismatch`] where there is no such tenant.
    pub fn access(&self, caller: Caller, named: Option<&[u8]>) -> Result<Access, Failure> {
        let tenant = match named {
            None => self.default.as_ref(),
            Some(name) => std::str::from_utf8(name).ok().and_then(|name| self.by_name.get(name)),
        };
        match tenant {
            Some(tenant) => Ok(Access::new(
                caller,
                Arc::clone(tenant),
                Arc::clone(&self.registry),
                Arc::clone(&self.each_memory),
            )),
            None => Err(Failure::TenantMismatch { tenant: printable(named.unwrap_or(b"default")) }),
        }
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.by_name.values()
    }

    /// Brings the tenants' gauges up to date. Walks tenants, not memories.
    pub fn observe(&self) {
        let mut others = Occupancy::default();
        let mut one_of_them = None;
        for tenant in self.iter() {
            let occupancy = tenant.occupancy();
            if &*tenant.label == OTHER_TENANTS {
                others = others.plus(&occupancy);
                one_of_them = Some(tenant);
            } else {
                tenant.meters.set(&occupancy);
            }
        }
        if let Some(tenant) = one_of_them {
            tenant.meters.set(&others);
        }
    }

    /// Tenants past the cap.
    #[must_use]
    pub const fn folded(&self) -> u64 {
        self.folded
    }

    /// The families of each memory.
    #[must_use]
    pub fn each_memory(&self) -> &EachMemory {
        &self.each_memory
    }
}

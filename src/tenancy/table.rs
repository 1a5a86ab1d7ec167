//! [`Table`]: which tenants there are and who may call as which, as one value, and how another takes its
//! place.
//!
//! Law: a caller meets one table, whole. A tenant that stays is the same one, with whatever it has; one
//! that has something is never left out, and while that is looked at nothing is let in. What does not
//! fit changes nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::error::Failure;
use crate::metrics::{OTHER_TENANTS, TenantMeters};
use crate::model::{HookId, TenantName};
use crate::registry::{Namespace, Registry};
use crate::tenancy::folded::Folded;
use crate::tenancy::hooks::{Clock, HookSpec};
use crate::tenancy::identity::{Denied, Grant, Identities};
use crate::tenancy::tenant::{Tenant, TenantLimits};
use crate::tenancy::tenants::{Shown, Tenants};

/// Which tenants there are, and who may call.
#[derive(Debug)]
pub(super) struct Table {
    /// In order, for who lists them.
    pub(super) by_name: BTreeMap<TenantName, Arc<Tenant>>,
    /// Those of them that nobody may call as.
    pub(super) closed: HashSet<TenantName>,
    pub(super) identities: Identities,
    /// Those with a label of their own, in its order.
    pub(super) labelled: Vec<Arc<Tenant>>,
    pub(super) folded: Folded,
}

impl Table {
    pub(super) fn new(
        by_name: BTreeMap<TenantName, Arc<Tenant>>,
        closed: HashSet<TenantName>,
        identities: Identities,
    ) -> Self {
        let (folded, mut labelled): (Vec<_>, Vec<_>) =
            by_name.values().cloned().partition(|tenant| tenant.is_folded);
        labelled.sort_unstable_by(|one, other| one.label.cmp(&other.label));
        Self { by_name, closed, identities, labelled, folded: Folded::new(folded) }
    }

    /// What a caller is given.
    ///
    /// # Errors
    /// As [`Identities::judge`]; [`Failure::CredentialsRefused`] too where its tenant is closed.
    pub(super) fn grant(
        &self,
        shown: Shown<'_>,
        now: SystemTime,
        leave: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Grant, Denied> {
        let grant = self.identities.judge(shown.peer, shown.authorization, now, leave)?;
        match &grant.identity {
            Some(known) if self.closed.contains(&known.tenant) => {
                Err(Denied::of(&grant, Failure::CredentialsRefused))
            }
            _ => Ok(grant),
        }
    }
}

/// A tenant as there is to be one.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: TenantName,
    /// What it may have.
    pub limits: TenantLimits,
    /// Whether nobody may call as it.
    pub is_closed: bool,
    /// The hooks that the config makes in it.
    pub hooks: Vec<(HookId, HookSpec)>,
}

/// Why a table cannot take another's place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A tenant that has something is not wanted.
    #[error(
        "tenant {tenant:?} is gone from the config and has {memories} memories and {segments} segments; \
         give it state = \"closed\" to refuse its callers and keep them, or delete them first"
    )]
    Occupied {
        /// The tenant.
        tenant: TenantName,
        /// How many.
        memories: u64,
        /// How many.
        segments: u64,
    },
    /// The config's hooks do not fit, beside a tenant's own or by themselves.
    #[error("[[hook]] of tenant {tenant:?}: {failure}")]
    Hooks {
        /// The tenant.
        tenant: TenantName,
        /// Why not.
        failure: Failure,
    },
}

impl Tenants {
    /// What keeps these from taking the place of those that there are, as it is now.
    #[must_use]
    pub fn misfits(&self, wanted: &[Wanted]) -> Vec<Misfit> {
        let table = self.table();
        let leaving = leaving(&table, wanted).filter_map(occupied);
        let hooks = wanted.iter().filter_map(|one| {
            let tenant = table.by_name.get(&one.name)?;
            let failure = tenant.hooks.fit(&one.hooks).err()?;
            Some(Misfit::Hooks { tenant: one.name.clone(), failure })
        });
        let mut all: Vec<_> = leaving.chain(hooks).collect();
        all.sort_by_key(ToString::to_string);
        all
    }

    /// Puts these in the place of those that there are, with those who may call as them.
    ///
    /// # Errors
    /// Each [`Misfit`]; nothing has changed.
    pub fn replace(&self, wanted: Vec<Wanted>, identities: Identities) -> Result<(), Vec<Misfit>> {
        let mut founder = self.founder();
        let misfits = self.misfits(&wanted);
        if !misfits.is_empty() {
            return Err(misfits);
        }
        let before = self.table();
        let gone: Vec<_> = leaving(&before, &wanted).cloned().collect();
        gone.iter().for_each(|tenant| tenant.namespace.set_leaving(true));
        let occupied: Vec<_> = gone.iter().filter_map(occupied).collect();
        if !occupied.is_empty() {
            gone.iter().for_each(|tenant| tenant.namespace.set_leaving(false));
            return Err(occupied);
        }
        let (mut by_name, mut closed) = (BTreeMap::new(), HashSet::new());
        for Wanted { name, limits, is_closed, hooks } in wanted {
            let tenant = match before.by_name.get(&name) {
                Some(tenant) => {
                    tenant.set_limits(&limits);
                    Arc::clone(tenant)
                }
                None => founder.found(name.clone(), limits),
            };
            tenant.hooks.configure(hooks);
            if is_closed {
                closed.insert(name.clone());
            }
            by_name.insert(name, tenant);
        }
        self.put_in_force(Table::new(by_name, closed, identities));
        gone.iter().for_each(|tenant| founder.forget(tenant));
        Ok(())
    }

    /// Nobody may call as these from now on, and as no others: for the start, before anything is served.
    pub fn close(&self, closed: HashSet<TenantName>) {
        let _founder = self.founder();
        let by_name = self.table().by_name.clone();
        self.put_in_force(Table::new(by_name, closed, Identities::nobody()));
    }

    pub(super) fn founder(&self) -> MutexGuard<'_, Founder> {
        self.founder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn leaving<'a>(
    table: &'a Table,
    wanted: &[Wanted],
) -> impl Iterator<Item = &'a Arc<Tenant>> + use<'a> {
    let names: HashSet<TenantName> = wanted.iter().map(|one| one.name.clone()).collect();
    let all = table.by_name.iter();
    all.filter(move |(name, _)| !names.contains(*name)).map(|(_, tenant)| tenant)
}

fn occupied(tenant: &Arc<Tenant>) -> Option<Misfit> {
    let [memories, segments] = tenant.namespace.contents();
    let tenant = tenant.namespace.name.clone();
    (memories.max(segments) > 0).then_some(Misfit::Occupied { tenant, memories, segments })
}

/// Makes tenants, each with a lane of its own, and with a label while there are few.
#[derive(Debug)]
pub(super) struct Founder {
    label_cap: usize,
    labels: usize,
    lanes: u32,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    /// What is counted of those without a label of their own.
    others: Arc<TenantMeters>,
}

impl Founder {
    pub(super) fn new(label_cap: usize, registry: Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { label_cap, labels: 0, lanes: 0, registry, clock, others: Arc::default() }
    }

    pub(super) fn found(&mut self, name: TenantName, limits: TenantLimits) -> Arc<Tenant> {
        let (label, meters) = if self.labels < self.label_cap {
            self.labels = self.labels.saturating_add(1);
            (name.as_str().into(), Arc::default())
        } else {
            (OTHER_TENANTS.into(), Arc::clone(&self.others))
        };
        let lane = self.lanes;
        self.lanes = lane.wrapping_add(1);
        let namespace = Namespace::new(name, lane, limits.namespace, &self.registry);
        let host = &self.registry.host;
        Tenant::new(namespace, limits, label, meters, host, &self.clock)
    }

    fn forget(&mut self, tenant: &Tenant) {
        tenant.namespace.forget();
        if !tenant.is_folded {
            self.labels = self.labels.saturating_sub(1);
        }
    }
}

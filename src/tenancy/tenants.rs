//! [`Tenants`]: the configured tenants, and who gets which [`Access`].
//!
//! Law: a tenant that is not configured does not exist; one that is closed keeps what it has, and nobody
//! comes to it but operators, to look. A caller with credentials has one tenant, and
//! as an operator may look at the others; one without may name any and is `default` otherwise.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use crate::error::{Failure, printable};
use crate::metrics::{TenantSeries, write_tenants};
use crate::model::TenantName;
use crate::registry::Registry;
use crate::tenancy::access::Access;
use crate::tenancy::each_memory::EachMemory;
use crate::tenancy::hooks::Clock;
use crate::tenancy::identity::{Denied, Grant, Identities, Peer};
use crate::tenancy::roles::{Role, Roles};
use crate::tenancy::table::{Founder, Table};
use crate::tenancy::tenant::{Tenant, TenantLimits};

/// The tenant of a caller that names none.
const DEFAULT: &str = "default";

/// What a caller shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// How its connection came.
    pub peer: &'a Peer,
    /// The call's `authorization`.
    pub authorization: Option<&'a [u8]>,
    /// The call's `linmem-tenant`.
    pub tenant: Option<&'a [u8]>,
}

impl<'a> Shown<'a> {
    /// Only how it came.
    #[must_use]
    pub const fn by(peer: &'a Peer) -> Self {
        Self { peer, authorization: None, tenant: None }
    }
}

/// A tenant in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// It.
    pub tenant: Arc<Tenant>,
    /// Nobody may call as it.
    pub is_closed: bool,
}

/// The configured tenants.
#[derive(Debug)]
pub struct Tenants {
    pub(super) table: RwLock<Arc<Table>>,
    generation: AtomicU64,
    registry: Arc<Registry>,
    each_memory: Arc<EachMemory>,
    /// Who changes the table has it: one at a time.
    pub(super) founder: Mutex<Founder>,
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
    ) -> Self {
        let mut founder = Founder::new(label_cap, Arc::clone(&registry), Arc::clone(clock));
        let found = |(name, limits): (TenantName, _)| (name.clone(), founder.found(name, limits));
        let by_name = configured.into_iter().map(found).collect();
        Self {
            table: RwLock::new(Arc::new(Table::new(by_name, HashSet::new(), Identities::nobody()))),
            generation: AtomicU64::new(0),
            registry,
            each_memory,
            founder: Mutex::new(founder),
        }
    }

    /// Who may call from now on. Callers that are there are looked at anew.
    pub fn set_identities(&self, identities: Identities) {
        let _founder = self.founder();
        let Table { by_name, closed, .. } = &*self.table();
        let (by_name, closed) = (by_name.clone(), closed.clone());
        self.put_in_force(Table::new(by_name, closed, identities));
    }

    /// A table from now on, whole. Asked of whoever has the founder.
    pub(super) fn put_in_force(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Something that the table goes by has changed: what was judged before is judged anew.
    pub fn judge_anew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Which table counts: another number after each change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The door of a caller, to its own tenant; to `default`, or the one that it names, where it is
    /// nobody that is known; and to look at the one that it names, where it is an operator.
    ///
    /// # Errors
    /// As [`Identities::judge`]; [`Failure::CredentialsRefused`] too where its tenant is closed;
    /// [`Failure::TenantMismatch`] where it may not name that tenant, or there is none.
    pub fn access(&self, shown: Shown<'_>, now: SystemTime) -> Result<Access, Failure> {
        self.judge(shown, now, || Ok(())).map_err(|denied| denied.failure)
    }

    /// The same; a signature is verified only with `leave`.
    ///
    /// # Errors
    /// As [`Self::access`], with all that was found out; as `leave`.
    pub fn judge(
        &self,
        shown: Shown<'_>,
        now: SystemTime,
        leave: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Access, Denied> {
        let table = self.table();
        let grant = table.grant(shown, now, leave)?;
        self.admit(&table, shown, grant.clone()).map_err(|failure| Denied::of(&grant, failure))
    }

    fn admit(&self, table: &Table, shown: Shown<'_>, mut grant: Grant) -> Result<Access, Failure> {
        let mismatch = || Failure::TenantMismatch {
            tenant: printable(shown.tenant.unwrap_or(DEFAULT.as_bytes())),
        };
        let named = shown.tenant.map(|name| std::str::from_utf8(name).map_err(|_| mismatch()));
        let named = named.transpose()?;
        let own = grant.identity.as_ref().map(|identity| identity.tenant.as_str());
        let name = match (own, named) {
            (Some(own), Some(named)) if own != named => {
                if !grant.roles.has(Role::Operator) {
                    return Err(mismatch());
                }
                grant.roles = grant.roles.and(Roles::of([Role::Operator]));
                named
            }
            (Some(own), _) => own,
            (None, named) => named.unwrap_or(DEFAULT),
        };
        let tenant = table.by_name.get(name).ok_or_else(mismatch)?;
        if table.closed.contains(name) {
            if !grant.roles.has(Role::Operator) {
                return Err(Failure::CredentialsRefused);
            }
            grant.roles = Roles::of([Role::Operator]);
        }
        let (registry, each) = (Arc::clone(&self.registry), Arc::clone(&self.each_memory));
        Ok(Access::new(grant, Arc::clone(tenant), registry, each))
    }

    /// What a caller of something that is no tenant's is given.
    ///
    /// # Errors
    /// As [`Identities::judge`].
    pub fn grant(&self, shown: Shown<'_>, now: SystemTime) -> Result<Grant, Denied> {
        self.table().grant(shown, now, || Ok(()))
    }

    pub(super) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// All of them, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Tenant>> {
        let all: Vec<_> = self.table().by_name.values().cloned().collect();
        all.into_iter()
    }

    /// Up to `most` of them after a name, in order, and whether there are more.
    #[must_use]
    pub fn list(&self, after: Option<&TenantName>, most: usize) -> (Vec<Listed>, bool) {
        let table = self.table();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = table.by_name.range::<TenantName, _>((from, Bound::Unbounded));
        let listed = rest.by_ref().take(most).map(|(name, tenant)| Listed {
            tenant: Arc::clone(tenant),
            is_closed: table.closed.contains(name),
        });
        (listed.collect(), rest.next().is_some())
    }

    /// Appends the tenants' families to a page. Walks tenants, not memories.
    pub fn render(&self, page: &mut String) {
        let table = self.table();
        let mut shown: Vec<TenantSeries<'_>> =
            table.labelled.iter().map(|tenant| tenant.series()).collect();
        shown.extend(table.folded.series());
        write_tenants(page, &shown);
    }

    /// Tenants past the cap.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.table().folded.count()
    }

    /// The families of each memory.
    #[must_use]
    pub fn each_memory(&self) -> &EachMemory {
        &self.each_memory
    }
}

//! [`Partition`]: a pool of budget that memories live in, with a maximum and a minimum that is really
//! set aside, and [`Partitions`], all of them.
//!
//! ```text
//! host ──┬── partition a ──┬── memories of any tenant that may
//!        │                 └── partition b ── memories
//!        └── partition c                       books.rs       who pays for what
//!                                              set_aside.rs   the RAM that nobody uses yet
//! ```
//!
//! Law: what is in the list is whole: paid and set aside. A tenant sees those alone that it may use.
//! Does not know how a partition is made or ended (`operations/partition.rs`).

mod books;
#[cfg(all(test, not(linmemd_loom)))]
mod books_tests;
mod demands;
mod set_aside;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use crate::error::Failure;
use crate::model::{PartitionId, PartitionLimits, PartitionSpec, TenantName};
use crate::registry::ledger::{Account, Limits};
use crate::registry::partition::books::Books;
use crate::registry::partition::set_aside::SetAside;

/// Partitions that there may be: each has series of its own on the metrics page.
const MOST_PARTITIONS: usize = 1_000;
/// How deep they may be nested: a payment may go through all of them.
const MOST_NESTED: usize = 8;

/// One partition.
#[derive(Debug)]
pub struct Partition {
    /// Its name.
    pub id: PartitionId,
    /// What was asked, with defaults spelled out.
    pub spec: PartitionSpec,
    /// When it was created.
    pub created: SystemTime,
    above: Above,
    books: Mutex<Books>,
    /// What its memories come to beside their bytes, those of its children among them.
    rest: Arc<Account>,
    set_aside: SetAside,
}

/// What a partition is a part of.
#[derive(Clone, Debug)]
enum Above {
    Partition(Arc<Partition>),
    Host(Arc<Purse>),
}

/// The host's account, and whether it is short of memory.
#[derive(Debug)]
struct Purse {
    account: Arc<Account>,
    pressure: AtomicBool,
}

/// What a partition holds; a reading, not live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionFigures {
    /// What its memories and children cost.
    pub used_bytes: u64,
    /// What of that is not of its minimum.
    pub borrowed_bytes: u64,
    /// RAM held for what of its minimum nobody uses.
    pub set_aside_bytes: u64,
    /// How often the host refused RAM that was to be held again.
    pub set_aside_failures: u64,
    /// Memories in it.
    pub memories: u64,
    /// Mappings of memories in it and in its children.
    pub mappings: u64,
    /// Address space of those.
    pub reserved_bytes: u64,
}

impl Partition {
    fn new(
        id: PartitionId,
        spec: PartitionSpec,
        above: Above,
        created: SystemTime,
        set_aside: SetAside,
    ) -> Self {
        let PartitionLimits { memories, mappings, reserved_bytes } = spec.limits;
        let rest = Account::new(Limits {
            memories: memories.unwrap_or(u64::MAX),
            mappings: mappings.unwrap_or(u64::MAX),
            reserved_bytes: reserved_bytes.unwrap_or(u64::MAX),
            ..Limits::NONE
        });
        Self { id, spec, created, above, books: Mutex::default(), rest, set_aside }
    }

    /// What it holds now.
    #[must_use]
    pub fn holds(&self) -> PartitionFigures {
        let [used_bytes, borrowed_bytes, memories] = self.figures();
        let (set_aside_bytes, set_aside_failures) = self.set_aside.figures();
        let [_committed, _overhead, mappings, reserved, ..] =
            self.rest.holdings().map(|holding| holding.used);
        PartitionFigures {
            used_bytes,
            borrowed_bytes,
            set_aside_bytes,
            set_aside_failures,
            memories,
            mappings,
            reserved_bytes: reserved,
        }
    }

    /// Whether memories of this tenant may live in it.
    #[must_use]
    pub fn allows(&self, tenant: &TenantName) -> bool {
        // Its own list, or that of the nearest one above it that has one.
        let list = self.upwards().map(|one| &one.spec.tenants).find(|list| !list.is_empty());
        list.is_none_or(|list| list.contains(tenant))
    }

    pub(super) fn parent(&self) -> Option<&Arc<Self>> {
        match &self.above {
            Above::Partition(parent) => Some(parent),
            Above::Host(_) => None,
        }
    }

    /// It and those that it is a part of, up to the host.
    fn upwards(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |one| one.parent().map(Arc::as_ref))
    }

    fn not_found(&self) -> Failure {
        Failure::PartitionNotFound { partition_id: self.id.clone() }
    }
}

/// All partitions.
#[derive(Debug)]
pub struct Partitions {
    by_id: RwLock<BTreeMap<PartitionId, Arc<Partition>>>,
    host: Arc<Purse>,
}

impl Partitions {
    pub(super) fn new(host: &Arc<Account>) -> Self {
        let host = Purse { account: Arc::clone(host), pressure: AtomicBool::new(false) };
        Self { by_id: RwLock::default(), host: Arc::new(host) }
    }

    /// The partition of this name.
    ///
    /// # Errors
    /// [`Failure::PartitionNotFound`].
    pub fn find(&self, id: &PartitionId) -> Result<Arc<Partition>, Failure> {
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        by_id.get(id).map(Arc::clone).ok_or_else(|| not_found(id))
    }

    /// The same, for memories of a tenant. One that it may not use does not exist.
    pub(super) fn find_for(
        &self,
        id: &PartitionId,
        tenant: &TenantName,
    ) -> Result<Arc<Partition>, Failure> {
        self.find(id).and_then(|found| match found.allows(tenant) {
            true => Ok(found),
            false => Err(not_found(id)),
        })
    }

    /// Up to `most` of them in order of name, after a name; and whether there are more.
    #[must_use]
    pub fn list(&self, after: Option<&PartitionId>, most: usize) -> (Vec<Arc<Partition>>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let mut rest = by_id.range::<PartitionId, _>((from, Bound::Unbounded));
        let some = rest.by_ref().take(most).map(|(_, partition)| Arc::clone(partition)).collect();
        (some, rest.next().is_some())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_id.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The names of those that are directly in another, by its name.
    #[must_use]
    pub fn children(&self) -> BTreeMap<PartitionId, Vec<PartitionId>> {
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let mut children = BTreeMap::<PartitionId, Vec<PartitionId>>::new();
        for one in by_id.values() {
            if let Some(parent) = &one.spec.parent {
                children.entry(parent.clone()).or_default().push(one.id.clone());
            }
        }
        children
    }

    /// A partition that nobody finds yet, its minimum paid and nothing of it set aside.
    pub(super) fn found(
        &self,
        id: PartitionId,
        spec: PartitionSpec,
        parent: Option<&Arc<Partition>>,
        created: SystemTime,
    ) -> Result<Arc<Partition>, Failure> {
        let above = match parent {
            None => Above::Host(Arc::clone(&self.host)),
            Some(parent) => Above::Partition(Arc::clone(parent)),
        };
        if parent.is_some_and(|parent| parent.upwards().count() >= MOST_NESTED) {
            let why = format!("partitions may be nested {MOST_NESTED} deep");
            return Err(Failure::InvalidSpec { field: "spec.parent", why });
        }
        self.has_room_for(&id)?;
        let set_aside = SetAside::new(&self.host.account);
        let partition = Partition::new(id, spec, above, created, set_aside);
        partition.pay_minimum()?;
        Ok(Arc::new(partition))
    }

    /// Puts a whole partition in; `commit` has the last word.
    pub(super) fn insert(
        &self,
        partition: &Arc<Partition>,
        commit: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut by_id = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        has_room_for(&by_id, &partition.id)?;
        commit()?;
        by_id.insert(partition.id.clone(), Arc::clone(partition));
        Ok(())
    }

    pub(super) fn remove(&self, partition: &Partition) {
        self.by_id.write().unwrap_or_else(PoisonError::into_inner).remove(&partition.id);
    }

    /// Has what is missing of minimums set aside. Slow kernel work.
    pub(super) fn take_up(&self) {
        let all = self.list(None, MOST_PARTITIONS).0;
        all.iter().for_each(|partition| partition.take_up_much());
    }

    /// Whether the host is short of memory: then no partition gets more than was set aside for it.
    pub(super) fn set_pressure(&self, pressure: bool) {
        self.host.pressure.store(pressure, Ordering::Relaxed);
    }

    fn has_room_for(&self, id: &PartitionId) -> Result<(), Failure> {
        has_room_for(&self.by_id.read().unwrap_or_else(PoisonError::into_inner), id)
    }
}

fn has_room_for(
    by_id: &BTreeMap<PartitionId, Arc<Partition>>,
    id: &PartitionId,
) -> Result<(), Failure> {
    if by_id.contains_key(id) {
        return Err(Failure::PartitionExists { partition_id: id.clone() });
    }
    let (used, limit) = (by_id.len() as u64, MOST_PARTITIONS as u64);
    if by_id.len() >= MOST_PARTITIONS {
        return Err(Failure::QuotaExceeded { limit_name: "partitions", limit, used, asked: 1 });
    }
    Ok(())
}

fn not_found(id: &PartitionId) -> Failure {
    Failure::PartitionNotFound { partition_id: id.clone() }
}

//! [`Access`]: everything that one caller may do, to one tenant's memories.
//!
//! Law: rpc's only door. A method here finds the memory within the tenant, lets the registry do the
//! work, and counts what came of it. Adds no state of its own.

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Failure;
use crate::metrics::{GrowOutcome, Trap};
use crate::model::{
    AccessKind, Id, MemoryId, MemorySpec, Now, Protection, RequestKey, ShareAccess, Uuid,
};
use crate::registry::{
    Deletion, Found, Gate, Grown, LabelSelector, Listing, Observation, PresentationChange, Record,
    Registry, Tie,
};
use crate::tenancy::each_memory::EachMemory;
use crate::tenancy::identity::Grant;
use crate::tenancy::tenant::Tenant;
use crate::units::{ByteCount, ByteRange};

/// When a call came, and its point of no return.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// When.
    pub now: Now,
    /// Its point of no return.
    pub gate: Arc<Gate>,
}

/// The memory that a request is about.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its name.
    pub id: &'a str,
    /// Only if it is this one.
    pub uid: Option<Uuid>,
}

/// Everything that one caller may do.
#[derive(Clone, Debug)]
pub struct Access {
    pub(super) grant: Grant,
    pub(super) tenant: Arc<Tenant>,
    pub(super) registry: Arc<Registry>,
    pub(super) each_memory: Arc<EachMemory>,
    /// What goes with the connection that it came by, where it came by one.
    pub(super) tie: Option<Arc<Tie>>,
}

impl Access {
    pub(super) fn new(
        grant: Grant,
        tenant: Arc<Tenant>,
        registry: Arc<Registry>,
        each_memory: Arc<EachMemory>,
    ) -> Self {
        tenant.come_to();
        Self { grant, tenant, registry, each_memory, tie: None }
    }

    /// The same over a connection, which memories can be tied to.
    #[must_use]
    pub fn tied_to(self, tie: &Arc<Tie>) -> Self {
        Self { tie: Some(Arc::clone(tie)), ..self }
    }

    /// The tenant it leads to.
    #[must_use]
    pub const fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    pub(super) const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Finds a memory of the tenant's own.
    ///
    /// # Errors
    /// MEMORY_NOT_FOUND, UID_MISMATCH; GRANT_READ_ONLY where it is shared with it.
    pub fn find(&self, target: Target<'_>, now: Now) -> Result<Arc<Record>, Failure> {
        let found = self.tenant.namespace.find(target.id, target.uid, now);
        found.map_err(|failure| self.not_own(target, failure, now))
    }

    /// Makes a memory.
    ///
    /// # Errors
    /// As [`Registry::create`].
    pub async fn create(
        &self,
        occasion: &Occasion,
        id: Option<MemoryId>,
        spec: MemorySpec,
        request: Option<RequestKey>,
    ) -> Result<Arc<Record>, Failure> {
        let Occasion { now, gate } = occasion;
        self.tenant.rates.take(0, bytes_of(&spec))?;
        let (namespace, hooks) = (&self.tenant.namespace, &self.tenant.hooks);
        let tie = self.tie.as_ref();
        let created =
            self.registry.create(namespace, id, spec, request, hooks, tie, *now, gate).await;
        let record = created?;
        self.each_memory.add(&self.tenant.label, &record);
        Ok(record)
    }

    /// A page of the tenant's memories.
    #[must_use]
    pub fn list(
        &self,
        selector: &LabelSelector,
        after: Option<&Id>,
        page_size: usize,
        now: Now,
    ) -> Listing {
        self.tenant.namespace.list(selector, after, page_size, now)
    }

    /// Changes what people see of a memory.
    ///
    /// # Errors
    /// As [`Self::find`] and [`Registry::update`].
    pub fn update(
        &self,
        target: Target<'_>,
        change: PresentationChange,
        now: Now,
    ) -> Result<Arc<Record>, Failure> {
        let record = self.find(target, now)?;
        self.registry.update(&record, change, now)?;
        Ok(record)
    }

    /// Ends a memory, once it is said which that is.
    ///
    /// # Errors
    /// As [`Self::find`] and [`Registry::delete`].
    pub async fn delete(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        deletion: Deletion,
        say: impl FnOnce(&Record),
    ) -> Result<(), Failure> {
        let record = self.find(target, occasion.now)?;
        say(&record);
        self.registry.delete(record, deletion, &occasion.gate).await
    }

    /// Starts a lease anew.
    ///
    /// # Errors
    /// As [`Self::find`] and [`Registry::keep_alive`].
    pub fn keep_alive(&self, target: Target<'_>, now: Now) -> Result<SystemTime, Failure> {
        let record = self.find(target, now)?;
        self.registry.keep_alive(&record, now)
    }

    /// Adds pages to a memory, once it is said which that is.
    ///
    /// # Errors
    /// As [`Self::find`] and [`Registry::grow`].
    pub async fn grow(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        delta_pages: u64,
        expected_pages: Option<u64>,
        request: Option<RequestKey>,
        say: impl FnOnce(&Record),
    ) -> Result<Grown, Failure> {
        let Occasion { now, gate } = occasion;
        let record = self.find(target, *now)?;
        say(&record);
        let (namespace, hooks) = (&self.tenant.namespace, &self.tenant.hooks);
        let grown = self
            .registry
            .grow(namespace, record, delta_pages, expected_pages, request, hooks, *now, gate)
            .await;
        match &grown {
            Ok(grown) if grown.previous == grown.current => {}
            Ok(_) => self.tenant.meters.grow(GrowOutcome::Grown),
            Err(failure) => self.tenant.meters.grow(outcome(failure)),
        }
        grown
    }

    /// Makes a range zero; how much of its RAM went back to the host.
    ///
    /// # Errors
    /// As [`Self::find`] and [`Registry::discard`], OUT_OF_BOUNDS.
    pub async fn discard(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        offset: u64,
        length: u64,
    ) -> Result<ByteCount, Failure> {
        let record = self.find(target, occasion.now)?;
        let range = self.within(&record, offset, length)?;
        let lane = self.tenant.namespace.lane();
        let discarded = self.registry.discard(lane, record, range, &occasion.gate).await;
        let discarded = discarded.inspect_err(|failure| self.note(failure))?;
        self.tenant.meters.accessed(AccessKind::Discard.index(), 1, length);
        Ok(discarded)
    }

    /// Sets what may be done with a range.
    ///
    /// # Errors
    /// As [`Self::find`] and [`Registry::protect`], OUT_OF_BOUNDS.
    pub async fn protect(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        offset: u64,
        length: u64,
        protection: Protection,
    ) -> Result<(), Failure> {
        let record = self.find(target, occasion.now)?;
        let range = self.within(&record, offset, length)?;
        let namespace = &self.tenant.namespace;
        self.registry.protect(namespace, record, range, protection, &occasion.gate).await
    }

    /// A range of a memory, if it lies within the size; a trap otherwise.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS.
    pub fn within(&self, record: &Record, offset: u64, length: u64) -> Result<ByteRange, Failure> {
        record.within(offset, length).map_err(|trap| {
            self.tenant.meters.trapped(Trap::OutOfBounds);
            trap.into()
        })
    }

    /// What the host holds of a memory; absent where it is quarantined.
    ///
    /// # Errors
    /// As [`Registry::observe`].
    pub async fn observe(
        &self,
        occasion: &Occasion,
        found: &Found,
    ) -> Result<Option<Observation>, Failure> {
        let Occasion { now, gate } = occasion;
        let observed = self.registry.observe(&self.tenant.namespace, found.record(), *now, gate);
        self.through(found, ShareAccess::Read, gate, observed).await
    }

    /// Counts a trap that only the memory could find.
    pub(super) fn note(&self, failure: &Failure) {
        match failure {
            Failure::Protected { .. } => self.tenant.meters.trapped(Trap::Protected),
            Failure::Purged { .. } => self.tenant.meters.trapped(Trap::Purged),
            Failure::InOperation { failure, .. } => self.note(failure),
            _ => {}
        }
    }
}

/// The bytes that come with a spec.
pub(super) fn bytes_of(spec: &MemorySpec) -> u64 {
    spec.segments.iter().fold(0, |sum, one| sum.saturating_add(ByteCount::of(&one.data).get()))
}

const fn outcome(failure: &Failure) -> GrowOutcome {
    match failure {
        Failure::MaximumReached { .. } => GrowOutcome::MaximumReached,
        Failure::SizeMismatch { .. } => GrowOutcome::SizeMismatch,
        Failure::QuotaExceeded { .. } => GrowOutcome::QuotaExceeded,
        Failure::HostExhausted { .. } | Failure::HostShort { .. } => GrowOutcome::HostExhausted,
        Failure::GrowDenied { .. } => GrowOutcome::GrowDenied,
        _ => GrowOutcome::Failed,
    }
}

//! [`Record`]: what the daemon keeps of one memory beside its bytes.
//!
//! Law: everything here can be read without the memory's lock; numbers that clients see are counted
//! after the operation succeeded. There may be a million records, so that what operations on bytes
//! need is inline, what is changed now and then is [`Aside`], and what most memories never have is
//! allocated when they come to have it; a test holds the size. Does not know how records are found
//! (`directory.rs`) nor what operations there are (`operations/`).

mod stats;
mod telling;
mod term;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::error::Failure;
use crate::memory::{AnyMemory, PublishedSize};
use crate::model::{Form, Guard, MemoryId, Now, Owner, Presentation, Shape, TenantName, Uuid};
use crate::registry::aside::{Aside, Observation, Rare};
use crate::registry::events::Happening;
use crate::registry::ledger::{Charge, Payer, Traits};
use crate::registry::lifecycle::{self, Lifecycle, Lives, Why};
use crate::registry::looks::Looks;
use crate::registry::namespace::{Home, Namespace};
use crate::registry::packed::Packed;
use crate::registry::pool::Lane;
use crate::registry::presentation::{PresentationVersion, Said, after_1970, since_1970};
use crate::registry::record::stats::Stats;
use crate::registry::record::term::expire_time;
use crate::registry::selector::LabelSelector;
use crate::registry::waiters::Over;
use crate::units::{ByteRange, OutOfBounds, WasmPages};

pub(super) use crate::registry::record::stats::RareStats;

/// One memory.
#[derive(Debug)]
pub struct Record {
    /// Its name.
    pub id: MemoryId,
    /// New for every memory ever made.
    pub uid: Uuid,
    pub(super) shape: Packed,
    pub(super) size: PublishedSize,
    home: Arc<Home>,
    life: Lifecycle<AnyMemory>,
    /// In nanoseconds after 1970.
    created: u64,
    /// When the lease runs out, in nanoseconds after the registry's epoch; `u64::MAX`: never.
    expiry: AtomicU64,
    stats: Stats,
    aside: Mutex<Aside>,
}

impl Lives for Record {
    type Memory = AnyMemory;

    fn life(&self) -> &Lifecycle<AnyMemory> {
        &self.life
    }

    fn quarantined_count(&self) -> &AtomicU64 {
        &self.home.quarantined
    }

    fn end_waits(&self, why: &'static str) {
        self.home.waiters.end(self.uid, Over::Quarantined(why));
    }

    fn quarantining(&self, why: &'static str, change: impl FnOnce() -> bool) {
        self.tell(Happening::Quarantined { why }, change);
    }
}

/// What a record is made of.
#[derive(Debug)]
pub(super) struct NewRecord {
    pub(super) id: MemoryId,
    pub(super) uid: Uuid,
    pub(super) shape: Shape,
    pub(super) guard: Guard,
    pub(super) owner: Owner,
    pub(super) presentation: Presentation,
    /// Where those were put that its spec had, and how long they were.
    pub(super) segments: Box<[(u64, u64)]>,
    pub(super) charge: Charge,
}

impl Record {
    /// Whose it is; none once the tenant itself is gone.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantName> {
        self.home.namespace.upgrade().map(|namespace| namespace.name.clone())
    }

    pub(super) fn new(
        new: NewRecord,
        memory: AnyMemory,
        namespace: &Arc<Namespace>,
        now: Now,
    ) -> Arc<Self> {
        let guards = [new.shape.guard, new.guard];
        let guards = (guards != [Guard::default(); 2]).then_some(guards);
        let form = (*new.shape.form != *Form::usual()).then(|| Arc::clone(&new.shape.form));
        let (shape, segments, initial) = (Packed::new(&new.shape), new.segments, new.shape.initial);
        let (owner, plain) = (new.owner, segments.is_empty() && new.owner == Owner::Tenant);
        let usual = guards.is_none() && form.is_none() && plain;
        let rare = (!usual || shape.initial().is_none())
            .then(|| Box::new(Rare { initial, guards, form, owner, segments, ..Rare::default() }));
        let lease = new.presentation.lease_ttl;
        let record = Self {
            id: new.id,
            uid: new.uid,
            shape,
            size: PublishedSize::at(new.shape.initial),
            home: Arc::clone(&namespace.home),
            life: Lifecycle::new(memory.is_exclusive(), memory),
            created: since_1970(now.wall),
            expiry: AtomicU64::new(u64::MAX),
            stats: Stats::default(),
            aside: Mutex::new(Aside {
                charge: Some(new.charge),
                said: Said::new(&new.presentation, expire_time(lease, now)),
                rare,
            }),
        };
        record.start_lease(lease, now);
        Arc::new(record)
    }

    /// What never changes.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape {
            initial: self.initial(),
            maximum: self.shape.maximum(),
            index_type: self.shape.index_type(),
            growth: self.shape.growth(),
            guard: self.guards()[0],
            form: self.form(),
        }
    }

    /// The guards it got.
    #[must_use]
    pub fn guard(&self) -> Guard {
        self.guards()[1]
    }

    /// Whose life it shares.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.aside().rare.as_ref().map_or(Owner::Tenant, |rare| rare.owner)
    }

    /// What was asked of the host for its pages.
    #[must_use]
    pub fn form(&self) -> Arc<Form> {
        let aside = self.aside();
        let form = aside.rare.as_ref().and_then(|rare| rare.form.clone());
        form.unwrap_or_else(Form::usual)
    }

    fn guards(&self) -> [Guard; 2] {
        let aside = self.aside();
        aside.rare.as_ref().and_then(|rare| rare.guards).unwrap_or_default()
    }

    /// Where the active segments of its spec were put, and how long each was.
    #[must_use]
    pub fn active_segments(&self) -> Box<[(u64, u64)]> {
        self.aside().rare.as_ref().map(|rare| rare.segments.clone()).unwrap_or_default()
    }

    /// How much there is to tell of it that is no fixed number: bytes of what is said of it, and how many
    /// active segments and nodes.
    #[must_use]
    pub fn extent(&self) -> [usize; 2] {
        let aside = self.aside();
        let rare = aside.rare.as_ref();
        let segments = rare.map_or(0, |rare| rare.segments.len());
        let form = rare.and_then(|rare| rare.form.as_ref());
        let nodes = form.map_or(0, |form| form.numa.nodes.len());
        [aside.said.length(), segments.saturating_add(nodes)]
    }

    /// Its size at create.
    pub(super) fn initial(&self) -> WasmPages {
        let aside = || self.aside().rare.as_ref().map_or(WasmPages::ZERO, |rare| rare.initial);
        self.shape.initial().unwrap_or_else(aside)
    }

    /// The most pages that it may have.
    #[must_use]
    pub fn maximum(&self) -> WasmPages {
        self.shape.maximum()
    }

    /// When it was created.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        after_1970(self.created).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Its size.
    #[must_use]
    pub fn size(&self) -> WasmPages {
        self.size.pages()
    }

    /// Why it is quarantined, if it is.
    #[must_use]
    pub fn quarantined(&self) -> Option<&'static str> {
        self.life.quarantined()
    }

    /// Whether it has been deleted or its lease has run out and been swept.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.life.has_ended()
    }

    /// What it is called, and the tag of that.
    #[must_use]
    pub fn presentation(&self) -> PresentationVersion {
        self.version(&self.aside())
    }

    /// The tag alone.
    pub(super) fn etag(&self) -> String {
        self.etag_of(&self.aside())
    }

    fn etag_of(&self, aside: &Aside) -> String {
        // Another for each version of each memory: uids are random, and both steps can be undone.
        const SPREAD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
        let version = aside.rare.as_ref().map_or(0, |rare| rare.version);
        let etag = self.uid.as_u128().wrapping_add(version.into()).wrapping_mul(SPREAD);
        Uuid::from_u128(etag).simple().to_string()
    }

    fn version(&self, aside: &Aside) -> PresentationVersion {
        PresentationVersion {
            presentation: aside.said.presentation(),
            etag: self.etag_of(aside),
            expire_time: aside.said.expire_time(),
        }
    }

    /// Whether its labels are what a selector wants.
    pub(super) fn is_selected(&self, selector: &LabelSelector, looks: &mut Looks) -> bool {
        // Without terms nothing is looked at, nor locked.
        selector.terms() == 0 || self.aside().said.is_selected(selector, looks)
    }

    /// The range, if it lies within the size.
    ///
    /// # Errors
    /// [`OutOfBounds`], counted.
    pub fn within(&self, offset: u64, length: u64) -> Result<ByteRange, OutOfBounds> {
        let within = ByteRange::within(offset, length, self.size.bytes());
        within.inspect_err(|_trap| self.note_trap())
    }

    /// The last look at the host's account of it.
    pub(super) fn observed(&self) -> Option<Observation> {
        self.aside().rare.as_ref()?.observed.clone()
    }

    pub(super) fn observe(&self, seen: Observation) {
        self.aside().rare.get_or_insert_default().observed = Some(seen);
    }

    /// Adds to what has been paid for it. Once it is over, that is given back.
    pub(super) fn pay_more(&self, more: Charge) {
        if let Some(charge) = &mut self.aside().charge {
            charge.absorb(more);
        }
    }

    /// Who pays for it, until it is over, where that is this namespace.
    pub(super) fn payer_of(&self, namespace: &Namespace) -> Option<Arc<Payer>> {
        if Arc::ptr_eq(&self.home, &namespace.home) { self.payer() } else { None }
    }

    /// Who pays for it, until it is over.
    pub(super) fn payer(&self) -> Option<Arc<Payer>> {
        self.aside().charge.as_ref().map(|charge| Arc::clone(charge.payer()))
    }

    /// What is the same of all bytes that are paid for it.
    pub(super) fn traits(&self) -> Traits {
        self.aside().charge.as_ref().map_or(Traits::default(), |charge| charge.amount().traits)
    }

    /// What has been paid for it, for whoever ends it.
    pub(super) fn take_charge(&self) -> Option<Charge> {
        self.aside().charge.take()
    }

    /// Whose it is, while they are there.
    pub(super) fn namespace(&self) -> Option<Arc<Namespace>> {
        self.home.namespace.upgrade()
    }

    /// The lane of a tenant's job that keeps this memory, its own or another's.
    pub(super) fn lane(&self, tenant: u32) -> Lane {
        let is_own = self.namespace().is_some_and(|namespace| namespace.lane == tenant);
        Lane { tenant, is_awaited: !is_own }
    }

    pub(super) fn aside(&self) -> MutexGuard<'_, Aside> {
        // Nobody panics in the middle of a change.
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn quarantine(&self, why: Why) {
        lifecycle::quarantine(self, why);
    }

    /// Why nobody is to wait on it, if so.
    pub(super) fn is_over(&self) -> Option<Over> {
        if self.has_ended() {
            return Some(Over::Gone);
        }
        self.quarantined().map(Over::Quarantined)
    }

    pub(super) fn not_found(&self) -> Failure {
        Failure::MemoryNotFound { memory_id: self.id.clone() }
    }

    /// Replaces what it is called, if `accept` agrees with what it is called now and with what has
    /// been paid for that.
    pub(super) fn represent(
        &self,
        now: Now,
        accept: impl FnOnce(
            &PresentationVersion,
            Option<&mut Charge>,
        ) -> Result<(Presentation, bool), Failure>,
    ) -> Result<(), Failure> {
        let mut aside = self.aside();
        if self.has_expired(now) {
            return Err(self.not_found());
        }
        let old = self.version(&aside);
        let (new, lease_is_new) = accept(&old, aside.charge.as_mut())?;
        if new != old.presentation {
            let rare = aside.rare.get_or_insert_default();
            rare.version = rare.version.wrapping_add(1);
        }
        let lease = new.lease_ttl;
        let expires = if lease_is_new { expire_time(lease, now) } else { old.expire_time };
        aside.said = Said::new(&new, expires);
        if lease_is_new {
            self.start_lease(lease, now);
        }
        Ok(())
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_record_and_its_memory_fit_their_allocations() {
        const COUNTS: usize = 16;
        // What the allocator hands out for a little more is 384 and 80: with a million memories, the
        // 512 bytes that each may cost would be gone. Of a length that is no power of two it may ask
        // itself for 7 more, to align.
        assert!(size_of::<Record>() + COUNTS + 7 <= 320, "{}", size_of::<Record>());
        assert!(size_of::<AnyMemory>() + COUNTS <= 64, "{}", size_of::<AnyMemory>());
    }
}

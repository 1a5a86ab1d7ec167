//! [`Record`]: what the daemon keeps of one memory beside its bytes.
//!
//! Law: everything here can be read without the memory's lock; numbers that clients see are counted
//! after the operation succeeded. Does not know how records are found (`directory.rs`) nor what
//! operations there are (`operations/`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use crate::error::Failure;
use crate::memory::{Held, LinearMemory, Placed, PublishedSize};
use crate::model::{Guard, MemoryId, MemoryStats, Now, Presentation, Shape, Uuid};
use crate::registry::ledger::Charge;
use crate::registry::lifecycle::{Lifecycle, Lives};
use crate::registry::namespace::Namespace;
use crate::units::{ByteCount, ByteRange, OutOfBounds, WasmPages};

/// One memory.
#[derive(Debug)]
pub struct Record {
    /// Its name.
    pub id: MemoryId,
    /// New for every memory ever made.
    pub uid: Uuid,
    /// What never changes.
    pub shape: Shape,
    /// The guards it got.
    pub guard: Guard,
    /// When it was created.
    pub created: SystemTime,
    pub(super) namespace: Weak<Namespace>,
    pub(super) size: PublishedSize,
    pub(super) charge: Mutex<Option<Charge>>,
    pub(super) observed: Mutex<Option<Observation>>,
    life: Lifecycle<LinearMemory>,
    presentation: RwLock<Arc<PresentationVersion>>,
    /// When the lease runs out, in nanoseconds after `epoch`; `u64::MAX`: never.
    expiry: AtomicU64,
    epoch: Instant,
    stats: Stats,
}

/// What UpdateMemory may change, and the tag of this version of it.
#[derive(Clone, Debug, Default)]
pub struct PresentationVersion {
    /// What it says.
    pub presentation: Presentation,
    /// Changes whenever it does.
    pub etag: String,
    /// When the lease runs out, for people.
    pub expire_time: Option<SystemTime>,
}

/// A look at the host's account of a memory.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When.
    pub at: Now,
    /// What the kernel says that it holds.
    pub held: Held,
    /// What it was given.
    pub placed: Placed,
}

#[derive(Debug, Default)]
struct Stats {
    read_count: AtomicU64,
    write_count: AtomicU64,
    read_bytes: AtomicU64,
    write_bytes: AtomicU64,
    grow_count: AtomicU64,
    grow_failure_count: AtomicU64,
    trap_count: AtomicU64,
    largest_access_bytes: AtomicU64,
}

impl Lives for Record {
    type Memory = LinearMemory;

    fn life(&self) -> &Lifecycle<LinearMemory> {
        &self.life
    }
}

/// What a record is made of.
#[derive(Debug)]
pub(super) struct NewRecord {
    pub(super) id: MemoryId,
    pub(super) uid: Uuid,
    pub(super) shape: Shape,
    pub(super) guard: Guard,
    pub(super) presentation: Presentation,
    pub(super) charge: Charge,
    pub(super) epoch: Instant,
    pub(super) quarantined: Arc<AtomicU64>,
}

impl Record {
    pub(super) fn new(
        new: NewRecord,
        memory: LinearMemory,
        namespace: &Arc<Namespace>,
        now: Now,
    ) -> Arc<Self> {
        let record = Self {
            id: new.id,
            uid: new.uid,
            shape: new.shape,
            guard: new.guard,
            created: now.wall,
            namespace: Arc::downgrade(namespace),
            size: memory.size(),
            charge: Mutex::new(Some(new.charge)),
            observed: Mutex::new(None),
            life: Lifecycle::new(memory, new.quarantined),
            presentation: RwLock::default(),
            expiry: AtomicU64::new(u64::MAX),
            epoch: new.epoch,
            stats: Stats::default(),
        };
        record.present(new.presentation, now);
        Arc::new(record)
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
    pub fn presentation(&self) -> Arc<PresentationVersion> {
        Arc::clone(&self.presentation.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What has happened to it.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MemoryStats {
            read_count: read(&self.stats.read_count),
            write_count: read(&self.stats.write_count),
            read_bytes: read(&self.stats.read_bytes),
            write_bytes: read(&self.stats.write_bytes),
            grow_count: read(&self.stats.grow_count),
            grow_failure_count: read(&self.stats.grow_failure_count),
            trap_count: read(&self.stats.trap_count),
            largest_access_bytes: read(&self.stats.largest_access_bytes),
        }
    }

    /// The range, if it lies within the size.
    ///
    /// # Errors
    /// [`OutOfBounds`], counted.
    pub fn within(&self, offset: u64, length: u64) -> Result<ByteRange, OutOfBounds> {
        ByteRange::within(offset, length, self.size.bytes()).inspect_err(|_trap| {
            self.stats.trap_count.fetch_add(1, Ordering::Relaxed);
        })
    }

    pub(super) fn note_read(&self, length: ByteCount) {
        self.stats.read_count.fetch_add(1, Ordering::Relaxed);
        self.stats.read_bytes.fetch_add(length.get(), Ordering::Relaxed);
        self.note_length(length);
    }

    pub(super) fn note_write(&self, length: ByteCount) {
        self.stats.write_count.fetch_add(1, Ordering::Relaxed);
        self.stats.write_bytes.fetch_add(length.get(), Ordering::Relaxed);
        self.note_length(length);
    }

    fn note_length(&self, length: ByteCount) {
        if length.get() > self.stats.largest_access_bytes.load(Ordering::Relaxed) {
            self.stats.largest_access_bytes.fetch_max(length.get(), Ordering::Relaxed);
        }
    }

    pub(super) fn note_grown(&self) {
        self.stats.grow_count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_not_grown(&self) {
        self.stats.grow_failure_count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn quarantine(&self, why: &'static str) {
        self.life.quarantine(why);
    }

    pub(super) fn not_found(&self) -> Failure {
        Failure::MemoryNotFound { memory_id: self.id.clone() }
    }

    /// Whether its lease has run out.
    pub(super) fn has_expired(&self, now: Now) -> bool {
        let expiry = self.expiry.load(Ordering::Acquire);
        expiry != u64::MAX && self.nanoseconds(now.steady) >= expiry
    }

    /// When its lease runs out.
    pub(super) fn expiry(&self) -> Option<Instant> {
        let expiry = self.expiry.load(Ordering::Acquire);
        if expiry == u64::MAX { None } else { self.epoch.checked_add(Duration::from_nanos(expiry)) }
    }

    /// Ends it for good if its lease has run out. Renewals hold the same lock, so of a renewal and
    /// this the first wins.
    pub(super) fn expire(&self, now: Now) -> bool {
        let _slot = self.presentation.write().unwrap_or_else(PoisonError::into_inner);
        let expired = self.has_expired(now);
        if expired {
            self.expiry.store(0, Ordering::Release);
        }
        expired
    }

    /// Starts the lease anew; when it now runs out, where there is one.
    pub(super) fn keep_alive(&self, now: Now) -> Result<Option<SystemTime>, Failure> {
        let mut slot = self.presentation.write().unwrap_or_else(PoisonError::into_inner);
        if self.has_expired(now) {
            return Err(self.not_found());
        }
        let Some(lease) = slot.presentation.lease_ttl else { return Ok(None) };
        let mut version = PresentationVersion::clone(&slot);
        self.start_lease(&mut version, Some(lease), now);
        let expire_time = version.expire_time;
        *slot = Arc::new(version);
        Ok(expire_time)
    }

    /// Replaces what it is called, if `accept` agrees with what it is called now.
    pub(super) fn represent(
        &self,
        now: Now,
        accept: impl FnOnce(&PresentationVersion) -> Result<(Presentation, bool), Failure>,
    ) -> Result<(), Failure> {
        let mut slot = self.presentation.write().unwrap_or_else(PoisonError::into_inner);
        if self.has_expired(now) {
            return Err(self.not_found());
        }
        let (presentation, lease_is_new) = accept(&slot)?;
        let lease = presentation.lease_ttl;
        let changed = presentation != slot.presentation;
        let mut version = PresentationVersion {
            etag: if changed { new_etag() } else { slot.etag.clone() },
            presentation,
            expire_time: slot.expire_time,
        };
        if lease_is_new {
            self.start_lease(&mut version, lease, now);
        }
        *slot = Arc::new(version);
        Ok(())
    }

    fn present(&self, presentation: Presentation, now: Now) {
        let lease = presentation.lease_ttl;
        let mut version = PresentationVersion { presentation, etag: new_etag(), expire_time: None };
        self.start_lease(&mut version, lease, now);
        *self.presentation.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(version);
    }

    fn start_lease(&self, version: &mut PresentationVersion, lease: Option<Duration>, now: Now) {
        let end = lease.and_then(|lease| now.steady.checked_add(lease));
        let expiry = end.map_or(u64::MAX, |end| self.nanoseconds(end));
        version.expire_time = lease.and_then(|lease| now.wall.checked_add(lease));
        self.expiry.store(expiry, Ordering::Release);
    }

    fn nanoseconds(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

fn new_etag() -> String {
    Uuid::from_u128(random_bits()).simple().to_string()
}

/// 128 random bits of the kernel's.
pub(super) fn random_bits() -> u128 {
    let mut bits = [0; 16];
    // getrandom fails only on kernels without the call; a zero etag or id is then caught as a
    // collision rather than handed out twice.
    let _unavailable = getrandom::fill(&mut bits);
    u128::from_le_bytes(bits)
}

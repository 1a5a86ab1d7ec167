//! [`Namespace`]: one tenant's memories, its account, its request ids and the sums of its sizes.
//!
//! Law: nothing of one namespace is reachable from another. Does not know who may use it
//! (`tenancy/`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::error::Failure;
use crate::model::{Id, MemoryId, Now, TenantName, Uuid};
use crate::registry::by_name::ByName;
use crate::registry::directory::{Directory, Listing};
use crate::registry::events::{Event, Events, Happening};
use crate::registry::found::Found;
use crate::registry::ledger::{Account, Holding, Limits, Payer};
use crate::registry::presentation::Said;
use crate::registry::quota::Quota;
use crate::registry::record::Record;
use crate::registry::requests::{Memory, RequestLog};
use crate::registry::segments::{MOST_SEGMENTS, Segment};
use crate::registry::selector::LabelSelector;
use crate::registry::sets::MemorySet;
use crate::registry::settings::Registry;
use crate::registry::share::{End, Mounts, Share, Shares};
use crate::registry::views::View;
use crate::registry::waiters::Waiters;
use crate::units::{ByteCount, WasmPages};

/// What one tenant may have.
#[derive(Clone, Copy, Debug)]
pub struct NamespaceLimits {
    /// What its account may hold.
    pub account: Limits,
    /// The largest maximum of a memory, where there is a cap.
    pub maximum_pages: Option<WasmPages>,
    /// Waits at a time.
    pub waiters: u64,
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
}

impl NamespaceLimits {
    /// None but those that every tenant has.
    pub const NONE: Self = Self {
        account: Limits::NONE,
        maximum_pages: None,
        waiters: u64::MAX,
        segments: MOST_SEGMENTS as u64,
        segment_bytes: u64::MAX,
    };
}

/// One tenant's memories.
#[derive(Debug)]
pub struct Namespace {
    /// The tenant.
    pub name: TenantName,
    /// What it may hold and holds.
    pub account: Arc<Account>,
    pub(super) home: Arc<Home>,
    pub(super) lane: u32,
    /// The cap's pages; all there can be where there is none.
    maximum_pages: AtomicU64,
    pub(super) directory: Directory,
    pub(super) requests: Arc<RequestLog>,
    pub(super) waiters: Arc<Quota>,
    pub(super) segments: ByName<Segment>,
    pub(super) segment_bytes: Arc<Quota>,
    pub(super) sets: ByName<MemorySet>,
    pub(super) views: ByName<View>,
    /// Those that it gave.
    pub(super) shares: ByName<Share>,
    /// Those given to it that have a name among its memories.
    pub(super) mounts: Mounts,
    size_bytes: AtomicU64,
    peak_bytes: AtomicU64,
    is_leaving: AtomicBool,
}

/// What all records of a namespace have in common, so that each needs one word for it.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) namespace: Weak<Namespace>,
    pub(super) payer: Arc<Payer>,
    /// The registry's beginning of time.
    pub(super) epoch: Instant,
    /// How many of the registry's memories are quarantined.
    pub(super) quarantined: Arc<AtomicU64>,
    pub(super) waiters: Arc<Waiters>,
    /// The registry's.
    pub(super) shares: Arc<Shares>,
    /// What has happened to them.
    pub(super) events: Arc<Events>,
}

impl Namespace {
    /// A namespace of a registry, without memories. `lane` is its own among those of one registry.
    #[must_use]
    pub fn new(
        name: TenantName,
        lane: u32,
        limits: NamespaceLimits,
        registry: &Registry,
    ) -> Arc<Self> {
        let account = Account::new(limits.account);
        let payer = Payer::new(&account, &registry.host);
        let events =
            Events::new(registry.settings.events, Arc::clone(&payer), limits.account.bytes);
        let made = Arc::new_cyclic(|namespace| Self {
            name,
            home: Arc::new(Home {
                namespace: Weak::clone(namespace),
                payer,
                epoch: registry.epoch,
                quarantined: Arc::clone(&registry.quarantined),
                waiters: Arc::clone(&registry.waiters),
                shares: Arc::clone(&registry.shares),
                events,
            }),
            account,
            lane,
            maximum_pages: AtomicU64::new(WasmPages::MAX.get()),
            directory: Directory::new(),
            requests: RequestLog::new(Memory {
                window: registry.settings.request_id_window,
                entries: registry.settings.request_ids,
            }),
            waiters: Quota::new(limits.waiters),
            segments: ByName::default(),
            segment_bytes: Quota::new(limits.segment_bytes),
            sets: ByName::default(),
            views: ByName::default(),
            shares: ByName::default(),
            mounts: Mounts::default(),
            size_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
            is_leaving: AtomicBool::new(false),
        });
        made.set_limits(limits);
        made
    }

    /// What it has beside what is in its account, kind by kind.
    #[must_use]
    pub fn holdings(&self) -> [Holding; 3] {
        let (segments, bytes) = (&self.segments, &self.segment_bytes);
        let (limit, used) = (segments.most() as u64, segments.count() as u64);
        [
            Holding { resource: "segments", limit, used },
            Holding { resource: "segment_bytes", limit: bytes.limit(), used: bytes.taken() },
            Holding { resource: "waiters", limit: self.most_waiters(), used: self.waiters() },
        ]
    }

    /// What it may have from now on: what there is stays, and memories keep their maximum.
    pub fn set_limits(&self, limits: NamespaceLimits) {
        let NamespaceLimits { account, maximum_pages, waiters, segments, segment_bytes } = limits;
        self.account.set_limits(account);
        self.home.events.set_quota(account.bytes);
        self.maximum_pages.store(maximum_pages.unwrap_or(WasmPages::MAX).get(), Ordering::Relaxed);
        self.waiters.set_limit(waiters);
        self.segments.set_most(usize::try_from(segments).unwrap_or(usize::MAX));
        self.segment_bytes.set_limit(segment_bytes);
    }

    /// The largest maximum of a memory.
    pub(super) fn maximum_pages(&self) -> WasmPages {
        WasmPages::new(self.maximum_pages.load(Ordering::Relaxed)).unwrap_or(WasmPages::MAX)
    }

    /// Lets in nothing that would be lost with it, or does again. What [`Self::contents`] says after
    /// the former stays true.
    pub fn set_leaving(&self, is_leaving: bool) {
        self.is_leaving.store(is_leaving, Ordering::Release);
    }

    /// What would be lost with it: memories and segments.
    #[must_use]
    pub fn contents(&self) -> [u64; 2] {
        [self.directory.count() as u64, self.segments.count() as u64]
    }

    /// Forgets what happened in it, and ends what it shared and what was shared with it, mounted or not:
    /// another namespace of its name is nobody's grantee. Nobody comes to it any more, but who is there
    /// may keep it a while.
    pub fn forget(&self) {
        let (given, _more) = self.shares.list(None, usize::MAX);
        let received = self.home.shares.list(&self.name, None, usize::MAX);
        given.iter().chain(&received).for_each(|share| share.end(End::Revoked));
        self.requests.forget_all();
        self.home.events.forget_all();
    }

    /// To be asked under the lock of what lets something in.
    pub(super) fn stays(&self) -> Result<(), Failure> {
        if self.is_leaving.load(Ordering::Acquire) {
            return Err(Failure::TenantMismatch { tenant: self.name.to_string() });
        }
        Ok(())
    }

    /// The live memory of this name, its own or one that is shared with it, if its uid is the one
    /// wanted.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn reach(&self, id: &str, uid: Option<Uuid>, now: Now) -> Result<Found, Failure> {
        match self.find(id, uid, now) {
            Ok(record) => Ok(Found::Own(record)),
            Err(Failure::MemoryNotFound { memory_id }) => self.mounted(memory_id, uid, now),
            Err(failure) => Err(failure),
        }
    }

    #[cold]
    fn mounted(&self, memory_id: MemoryId, uid: Option<Uuid>, now: Now) -> Result<Found, Failure> {
        let Some(share) = self.mounts.find(&memory_id, now) else {
            return Err(Failure::MemoryNotFound { memory_id });
        };
        match uid {
            Some(wanted) if wanted != share.record().uid => {
                Err(Failure::UidMismatch { wanted, found: share.record().uid })
            }
            _ => Ok(Found::Lent(share)),
        }
    }

    /// The live memory of its own of this name, if its uid is the one wanted.
    ///
    /// # Errors
    /// [`Failure::MemoryNotFound`], also where its lease has run out; [`Failure::UidMismatch`].
    pub fn find(&self, id: &str, uid: Option<Uuid>, now: Now) -> Result<Arc<Record>, Failure> {
        let Some(record) = self.directory.find(id).filter(|record| !record.has_expired(now)) else {
            return Err(match Id::new(id) {
                Ok(memory_id) => Failure::MemoryNotFound { memory_id },
                Err(bad) => Failure::InvalidField { field: "memory_id", why: bad.to_string() },
            });
        };
        match uid {
            Some(wanted) if wanted != record.uid => {
                Err(Failure::UidMismatch { wanted, found: record.uid })
            }
            _ => Ok(record),
        }
    }

    /// A page of its memories in order of name, those that are shared with it among them: these have no
    /// labels here. It has fewer than asked for, and a name to go on after, where more would keep others
    /// waiting, whatever the selector.
    #[must_use]
    pub fn list(
        &self,
        selector: &LabelSelector,
        after: Option<&Id>,
        page_size: usize,
        now: Now,
    ) -> Listing {
        let mut listing = self.directory.list(after, page_size, |record, looks| {
            !record.has_expired(now) && record.is_selected(selector, looks)
        });
        let without_labels = selector.selects(std::iter::empty());
        self.mounts
            .join(&mut listing, after, page_size, |share| without_labels && share.is_there(now));
        listing
    }

    /// Gives a memory its name and tells of it; `commit` has the last word.
    pub(super) fn enter(
        &self,
        records: &[Arc<Record>],
        commit: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let events = &self.home.events;
        let created =
            |record: &Arc<Record>| record.event(Happening::Created { size: record.size() });
        let made: Vec<_> = records.iter().map(created).collect();
        let tell = || made.into_iter().for_each(|event| events.put(event));
        let free = || records.iter().try_for_each(|record| self.mounts.admit(&record.id));
        let may = || self.stays().and_then(|()| free());
        self.directory.insert(records, || may().and_then(|()| commit()), tell)?;
        events.wake();
        Ok(())
    }

    /// Takes the names of memories away in one moment and tells of those that had theirs still: these.
    pub(super) fn leave_all(&self, records: &[Arc<Record>]) -> Vec<Arc<Record>> {
        let events = &self.home.events;
        let mut gone = Vec::new();
        self.directory.remove_all(records, |record| {
            events.put(record.event(Happening::Deleted));
            gone.push(Arc::clone(record));
        });
        events.wake();
        records.iter().for_each(|record| record.has_left());
        gone
    }

    /// Takes a memory's name away and tells why, if it had it still.
    pub(super) fn leave(&self, record: &Record, why: Happening) {
        let events = &self.home.events;
        let event = record.event(why);
        if self.directory.remove(record, || events.put(event)) {
            events.wake();
            record.has_left();
        }
    }

    /// Gives a share a name among its memories and tells of it; `commit` has the last word.
    pub(super) fn mount(
        &self,
        id: &MemoryId,
        share: &Arc<Share>,
        mounted: Happening,
        commit: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let event = self.event_of(id, share, mounted);
        self.directory.beside(id, || {
            self.mounts.insert(id, share, || {
                self.stays().and_then(|()| commit())?;
                self.home.events.put(event);
                Ok(())
            })
        })?;
        self.home.events.wake();
        Ok(())
    }

    /// Takes that away, and tells why.
    pub(super) fn unmount(&self, id: &MemoryId, share: &Arc<Share>, why: Happening) {
        let event = self.event_of(id, share, why);
        if self.mounts.remove(id, share, || self.home.events.put(event)) {
            self.home.events.wake();
        }
    }

    /// What its owner says of the memory is not told here.
    fn event_of(&self, id: &MemoryId, share: &Share, happening: Happening) -> Event {
        let (now, said) = (self.home.events.now(), Said::default());
        Event::new(now, id.clone(), share.record().uid, said, happening)
    }

    /// What has happened to its memories.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.home.events
    }

    /// Bytes of all its memories' sizes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Relaxed)
    }

    /// The largest that sum has been.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// How many of its callers wait.
    #[must_use]
    pub fn waiters(&self) -> u64 {
        self.waiters.taken()
    }

    /// How many may.
    #[must_use]
    pub fn most_waiters(&self) -> u64 {
        self.waiters.limit()
    }

    /// Its number among the namespaces of one registry: whose turn it is on the pool.
    #[must_use]
    pub const fn lane(&self) -> u32 {
        self.lane
    }

    pub(super) fn note_more(&self, bytes: ByteCount) {
        let before = self.size_bytes.fetch_add(bytes.get(), Ordering::Relaxed);
        self.peak_bytes.fetch_max(before.saturating_add(bytes.get()), Ordering::Relaxed);
    }

    pub(super) fn note_less(&self, bytes: ByteCount) {
        self.size_bytes.fetch_sub(bytes.get(), Ordering::Relaxed);
    }
}

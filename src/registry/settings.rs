//! [`Registry`]: what all namespaces share: the allocator, the host's account, the pool, the
//! quarantine and the leases, and [`Settings`], plain numbers from above.
//!
//! Law: one per daemon; holds no namespace, so that tenants may come and go. The operations are in
//! `operations/`.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::memory::PageAllocator;
use crate::model::Now;
use crate::registry::ages::Ages;
use crate::registry::events::EventSettings;
use crate::registry::lease::Leases;
use crate::registry::ledger::Account;
use crate::registry::overload::Overload;
use crate::registry::partition::Partitions;
use crate::registry::pool::Pool;
use crate::registry::quarantine::{Quarantine, QuarantinedRange};
use crate::registry::record::Record;
use crate::registry::share::Shares;
use crate::registry::views::ViewEnds;
use crate::registry::waiters::{Over, Waiters};
use crate::units::{ByteCount, WasmPages};

/// How the registry does things.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The host's own page.
    pub host_page: ByteCount,
    /// `maximum_pages` where a spec gives none.
    pub default_maximum: WasmPages,
    /// The longest operation on a serving thread.
    pub inline: ByteCount,
    /// What a pool thread does of a long operation before it looks at the other tenants.
    pub slice: ByteCount,
    /// Growths of one memory that may wait behind the one that runs.
    pub queued_grows: usize,
    /// How long a request id is remembered.
    pub request_id_window: Duration,
    /// How many of a tenant's are.
    pub request_ids: usize,
    /// What is kept of what happens.
    pub events: EventSettings,
}

/// What all namespaces share.
#[derive(Debug)]
pub struct Registry {
    /// How it does things.
    pub settings: Settings,
    /// What all tenants together may hold and hold.
    pub host: Arc<Account>,
    /// Threads for slow work.
    pub pool: Pool,
    /// Where pages come from.
    pub allocator: Box<dyn PageAllocator>,
    /// Pools of the host's budget.
    pub partitions: Partitions,
    /// How short of memory the host is.
    pub overload: Arc<Overload>,
    pub(super) quarantine: Quarantine,
    pub(super) leases: Leases,
    pub(super) views: ViewEnds,
    pub(super) ages: Ages,
    pub(super) waiters: Arc<Waiters>,
    pub(super) shares: Arc<Shares>,
    pub(super) epoch: Instant,
    /// Who looks for want of memory: woken when there comes to be something that would go for it.
    watcher: OnceLock<Waker>,
    /// How many memories are quarantined.
    pub(super) quarantined: Arc<AtomicU64>,
    /// Deletions of expired memories that wait for their drain; polled by the sweep, outside the lock.
    ending: Mutex<Vec<Ending>>,
}

struct Ending(Pin<Box<dyn Future<Output = ()> + Send>>);

/// Ends that are looked at without the lock, for serving threads take it. Those that are not over go
/// back, also where one panics.
struct Ends<'a> {
    ending: &'a Mutex<Vec<Ending>>,
    ends: Vec<Ending>,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let mut ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that came meanwhile come after them.
        std::mem::swap(&mut *ending, &mut self.ends);
        ending.append(&mut self.ends);
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ending")
    }
}

impl Registry {
    /// Who is woken when [`Self::minds_pressure`] may have become true. The first who asks.
    pub fn watch(&self, watcher: Waker) {
        // Asked once, at the start.
        let _another = self.watcher.set(watcher);
    }

    /// Whether anything would be given back, or lent no more, for want of memory on the host: something
    /// is volatile, or borrowed.
    #[must_use]
    pub fn minds_pressure(&self) -> bool {
        self.volatile_ranges() > 0 || self.partitions.count() > 0
    }

    pub(super) fn wake_watcher(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.wake_by_ref();
        }
    }

    /// A registry that holds nothing.
    #[must_use]
    pub fn new(
        settings: Settings,
        host: Arc<Account>,
        allocator: Box<dyn PageAllocator>,
        pool: Pool,
        now: Now,
    ) -> Arc<Self> {
        Arc::new(Self {
            settings,
            partitions: Partitions::new(&host),
            overload: Arc::default(),
            host,
            pool,
            allocator,
            quarantine: Quarantine::default(),
            leases: Leases::default(),
            views: ViewEnds::default(),
            ages: Ages::default(),
            waiters: Arc::default(),
            shares: Arc::default(),
            epoch: now.steady,
            watcher: OnceLock::new(),
            quarantined: Arc::default(),
            ending: Mutex::default(),
        })
    }

    /// What is to be done now and then: ends memories, views and shares whose time is over, tries
    /// quarantined ranges again, and sets aside what is missing of partitions' minimums. Slow kernel work: not for a serving thread.
    ///
    /// `expired` is told of each memory that ends.
    pub fn sweep(self: &Arc<Self>, now: Now, expired: impl Fn(&Record)) {
        for record in self.leases.expired(now) {
            expired(&record);
            self.retire(record);
        }
        self.close_expired(now);
        self.end_shares(now);
        self.go_on_ending();
        self.quarantine.retry();
        self.partitions.take_up();
    }

    /// Takes a memory's name away and ends its waits at once; the rest of its end comes with the next
    /// sweeps.
    pub(super) fn retire(self: &Arc<Self>, record: Arc<Record>) {
        self.waiters.end(record.uid, Over::Gone);
        if let Some(namespace) = record.namespace() {
            namespace.leave(&record, record.why_gone());
        }
        self.put_ending(Box::pin(Arc::clone(self).end(record)));
    }

    /// Each waits in its memory's queue in order of arrival, so being looked at once a sweep delays it by
    /// a sweep and no more.
    fn go_on_ending(&self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut all = Ends { ending: &self.ending, ends: std::mem::take(&mut *self.ending()) };
        all.ends.retain_mut(|end| end.0.as_mut().poll(&mut context).is_pending());
    }

    /// Has the sweep look after an end that is not over.
    pub(super) fn put_ending(&self, end: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.ending().push(Ending(end));
    }

    fn ending(&self) -> MutexGuard<'_, Vec<Ending>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memories that are quarantined.
    #[must_use]
    pub fn quarantined_memories(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Ranges that could not be wiped or given back.
    #[must_use]
    pub fn quarantined_ranges(&self) -> Vec<QuarantinedRange> {
        self.quarantine.list()
    }

    /// The committed bytes of those.
    #[must_use]
    pub fn quarantined_bytes(&self) -> u64 {
        self.quarantine.bytes()
    }
}

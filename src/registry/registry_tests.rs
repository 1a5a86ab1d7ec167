//! Leases, quarantine, paging and the ends of memories, on a registry of its own whose kernel can
//! be made to refuse.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use crate::error::Failure;
use crate::memory::{MmapAllocator, ReleaseStep};
use crate::model::{
    Form, Growth, Guard, Id, IndexType, MemorySpec, Now, Owner, Presentation, ShareAccess, ShareId,
    TenantName,
};
use crate::os::failing::FailingKernel;
use crate::os::kernel::{Advice, Call};
use crate::registry::ledger::Charge;
use crate::registry::share::End;
use crate::registry::{
    Account, Amount, Deletion, EventSettings, Gate, LabelSelector, Limits, Namespace,
    NamespaceLimits, NewShare, Pool, PresentationChange, Record, Registry, Settings, Share,
};
use crate::units::{ByteCount, PAGE_BYTES, WasmPages};

const LIMITS: Limits = Limits {
    bytes: 1 << 40,
    mappings: 1 << 20,
    reserved_bytes: 1 << 45,
    memories: 1 << 20,
    ..Limits::NONE
};

pub(super) fn one_page() -> MemorySpec {
    MemorySpec {
        initial: WasmPages::new(1).unwrap(),
        maximum: None,
        index_type: IndexType::I32,
        growth: Growth::Allowed,
        guard: Guard::default(),
        form: Form::usual(),
        owner: Owner::Tenant,
        presentation: Presentation::default(),
        segments: Vec::new(),
    }
}

pub(super) struct Floor {
    pub(super) kernel: Arc<FailingKernel>,
    pub(super) registry: Arc<Registry>,
    pub(super) namespace: Arc<Namespace>,
    pub(super) start: Now,
}

impl Floor {
    pub(super) fn new() -> Self {
        let kernel = Arc::new(FailingKernel::new());
        let start = Now { steady: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        let settings = Settings {
            host_page: ByteCount::new(4096),
            default_maximum: WasmPages::new(16).unwrap(),
            inline: ByteCount::new(256 * 1024),
            slice: ByteCount::new(1 << 20),
            queued_grows: 16,
            request_id_window: Duration::from_secs(600),
            request_ids: 8,
            events: EventSettings::NONE,
        };
        let allocator = Box::new(MmapAllocator::dedicated(Arc::<FailingKernel>::clone(&kernel)));
        let pool = Pool::start(1, |_| ()).unwrap();
        let registry = Registry::new(settings, Account::new(LIMITS), allocator, pool, start);
        let limits = NamespaceLimits { account: LIMITS, waiters: 8, ..NamespaceLimits::NONE };
        let namespace = Namespace::new(TenantName::new("t").unwrap(), 0, limits, &registry);
        Self { kernel, registry, namespace, start }
    }

    pub(super) fn after(&self, seconds: u64) -> Now {
        let passed = Duration::from_secs(seconds);
        Now { steady: self.start.steady + passed, wall: self.start.wall + passed }
    }

    pub(super) async fn create(
        &self,
        id: &str,
        lease: Option<Duration>,
        now: Now,
    ) -> Result<Arc<Record>, Failure> {
        let presentation = Presentation { lease_ttl: lease, ..Presentation::default() };
        self.make(id, MemorySpec { presentation, ..one_page() }, now).await
    }

    pub(super) async fn make(
        &self,
        id: &str,
        spec: MemorySpec,
        now: Now,
    ) -> Result<Arc<Record>, Failure> {
        let id = Some(Id::new(id).unwrap());
        self.registry.create(&self.namespace, id, spec, None, &(), None, now, &Gate::new()).await
    }

    pub(super) async fn delete(&self, record: &Arc<Record>) -> Result<(), Failure> {
        self.registry.delete(Arc::clone(record), Deletion::default(), &Gate::new()).await
    }

    pub(super) async fn write(&self, record: &Arc<Record>) {
        let source = bytes::Bytes::from_static(b"canary").into();
        let (gate, record) = (Gate::new(), Arc::clone(record));
        self.registry.write(0, record, 0, source, &gate, |_written| ()).await.unwrap();
    }

    pub(super) fn find(&self, id: &str, now: Now) -> bool {
        self.namespace.find(id, None, now).is_ok()
    }

    /// Sweeps until nothing is charged: an end's drain and its pool job take a few.
    pub(super) fn sweep_until_empty(&self, now: Now) {
        // The host is given back last.
        while !(self.namespace.account.is_empty() && self.registry.host.is_empty()) {
            self.registry.sweep(now, |_record| ());
            std::thread::yield_now();
        }
        assert_eq!(self.namespace.size_bytes(), 0);
        assert_eq!(self.kernel.mapped_bytes(), ByteCount::ZERO);
    }
}

#[tokio::test]
async fn an_end_is_taken_in_while_the_sweep_looks_at_another_and_none_is_lost() {
    let floor = Floor::new();
    let (over, is_over) = channel();
    let registry = Arc::clone(&floor.registry);
    let mut looks = 0;
    floor.registry.put_ending(Box::pin(poll_fn(move |_context| {
        looks += 1;
        if looks == 3 {
            over.send("the first").unwrap();
            return Poll::Ready(());
        }
        // As a serving thread does that finds the name of an expired memory.
        let (registry, over) = (Arc::clone(&registry), over.clone());
        let (put, is_put) = channel();
        std::thread::spawn(move || {
            registry.put_ending(Box::pin(async move { over.send("another").unwrap() }));
            put.send(())
        });
        let in_time = is_put.recv_timeout(Duration::from_secs(30));
        assert!(in_time.is_ok(), "it waits for as long as the sweep does");
        Poll::Pending
    })));
    for sweep in [&[][..], &["another"], &["the first", "another"], &[]] {
        floor.registry.sweep(floor.start, |_record| ());
        assert_eq!(is_over.try_iter().collect::<Vec<_>>(), sweep);
    }
}

#[tokio::test]
async fn a_page_of_a_list_is_in_order_and_the_next_begins_where_it_ended() {
    let floor = Floor::new();
    let mut names: Vec<String> = (0..25).map(|n| format!("m{:02}", (n * 7) % 25)).collect();
    for name in &names {
        floor.create(name, None, floor.start).await.unwrap();
    }
    names.sort();
    for page_size in [1, 4, 5, 24, 25, 26] {
        let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let selector = LabelSelector::default();
            let page = floor.namespace.list(&selector, after.as_ref(), page_size, floor.start);
            assert!(page.records.len() <= page_size);
            listed.extend(page.records.iter().map(|record| record.id.to_string()));
            pages += 1;
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(listed, names, "pages of {page_size}");
        assert_eq!(pages, names.len().div_ceil(page_size), "no empty last page");
    }
}

#[tokio::test]
async fn a_list_survives_the_deletion_of_the_name_it_goes_on_from() {
    let floor = Floor::new();
    for name in ["a", "b", "c"] {
        floor.create(name, None, floor.start).await.unwrap();
    }
    let selector = LabelSelector::default();
    let first = floor.namespace.list(&selector, None, 2, floor.start);
    floor.delete(&first.records[1]).await.unwrap();
    let rest = floor.namespace.list(&selector, first.next.as_ref(), 2, floor.start);
    assert_eq!(rest.records[0].id.as_str(), "c");
}

#[tokio::test]
async fn what_cannot_be_wiped_or_released_stays_charged_and_listed_until_a_retry_succeeds() {
    for (call, step) in
        [(Call::Advise(Advice::DontNeed), ReleaseStep::Wipe), (Call::Unmap, ReleaseStep::Release)]
    {
        let floor = Floor::new();
        let record = floor.create("m", None, floor.start).await.unwrap();
        floor.write(&record).await;
        let charged = floor.namespace.account.holdings();
        floor.kernel.fail_call(call, libc::ENOMEM, 2);
        floor.delete(&record).await.unwrap();
        assert!(!floor.find("m", floor.start));
        for attempts in [1, 2] {
            let listed = floor.registry.quarantined_ranges();
            assert_eq!(listed.len(), 1);
            let seen = (listed[0].bytes, listed[0].errno, listed[0].step, listed[0].attempts);
            assert_eq!(seen, (PAGE_BYTES, libc::ENOMEM, step, attempts));
            assert_eq!(floor.registry.quarantined_bytes(), PAGE_BYTES);
            assert_eq!(floor.namespace.account.holdings(), charged);
            floor.registry.sweep(floor.start, |_record| ());
        }
        assert!(floor.registry.quarantined_ranges().is_empty());
        assert_eq!(floor.registry.quarantined_bytes(), 0);
        floor.sweep_until_empty(floor.start);
    }
}

#[tokio::test]
async fn a_page_ends_early_where_there_are_many_labels_and_the_next_one_goes_on_from_there() {
    let floor = Floor::new();
    let key = |number: usize| format!("{number:0>128}");
    let terms: Vec<String> = (1..65).map(key).collect();
    let selector = LabelSelector::parse(&terms.join(",")).unwrap();
    let labels = (0..64).map(|number| (key(number), "v".repeat(256))).collect();
    let change = PresentationChange { labels: Some(labels), ..Default::default() };
    for number in 0..600 {
        let record = floor.create(&format!("m{number:03}"), None, floor.start).await.unwrap();
        floor.registry.update(&record, change.clone(), floor.start).unwrap();
    }
    let list = |after: Option<&Id>| floor.namespace.list(&selector, after, 9, floor.start);
    let first = list(None);
    let pages: Vec<_> =
        std::iter::successors(Some(first), |page| page.next.as_ref().map(|next| list(Some(next))))
            .collect();
    assert!((2..20).contains(&pages.len()), "{}", pages.len());
    assert!(pages.iter().all(|page| page.records.is_empty()));
    assert!(floor.namespace.list(&LabelSelector::default(), None, 900, floor.start).next.is_none());
}

#[tokio::test]
async fn a_panic_in_a_retry_leaves_the_other_ranges_where_they_are() {
    let floor = Floor::new();
    floor.kernel.fail_call(Call::Unmap, libc::ENOMEM, 3);
    for name in ["a", "b", "c"] {
        let record = floor.create(name, None, floor.start).await.unwrap();
        floor.delete(&record).await.unwrap();
    }
    floor.kernel.panic_at(Call::Unmap);
    let sweep = || floor.registry.sweep(floor.start, |_record| ());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(sweep)).is_err());
    assert_eq!(floor.registry.quarantined_ranges().len(), 3);
    floor.sweep_until_empty(floor.start);
}

#[tokio::test]
async fn a_memory_deleted_the_moment_it_appears_leaves_the_peak_as_it_was() {
    let floor = Arc::new(Floor::new());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let deleter = {
        let (floor, stop) = (Arc::clone(&floor), Arc::clone(&stop));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                if let Ok(record) = floor.namespace.find("m", None, floor.start) {
                    let _gone = runtime.block_on(floor.delete(&record));
                }
            }
        })
    };
    for _ in 0..200 {
        while floor.create("m", None, floor.start).await.is_err() {}
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    deleter.join().unwrap();
    assert_eq!(floor.namespace.peak_bytes(), PAGE_BYTES);
}

#[tokio::test]
async fn a_share_whose_end_comes_while_it_is_put_where_it_is_found_is_found_nowhere() {
    let floor = Floor::new();
    let record = floor.create("m", None, floor.start).await.unwrap();
    let grantee = TenantName::new("g").unwrap();
    for ends_first in [true, false] {
        let new = NewShare {
            grantee: grantee.clone(),
            access: ShareAccess::Read,
            expire_time: Some(floor.after(1).wall),
        };
        let id = ShareId::random(7);
        let charge = Charge::pay(&floor.namespace.home.payer, Amount::overhead(1)).unwrap();
        let (owner, expiry) = (floor.namespace.name.clone(), Some(floor.after(1).steady));
        let paid = (charge, floor.start);
        let share = Share::new(id.clone(), owner, Arc::clone(&record), new, expiry, paid);
        if ends_first {
            share.end(End::Revoked);
            share.settle();
        } else {
            share.settle();
            assert!(floor.registry.shares.find(&grantee, id.as_str()).is_some());
            share.end(End::Revoked);
        }
        assert!(floor.registry.shares.find(&grantee, id.as_str()).is_none(), "{ends_first}");
        assert!(floor.registry.shares.run_out(floor.after(2)).is_empty(), "{ends_first}");
        assert!(record.forget_share(&id).is_none(), "{ends_first}");
        assert_eq!(Arc::strong_count(&share), 1, "{ends_first}");
    }
    floor.delete(&record).await.unwrap();
    floor.sweep_until_empty(floor.start);
}

//! A million live memories of a page each: what one costs beside its bytes, how fast they come, and
//! that their guards hold; and the same without slabs, refused at the kernel's limit on mappings.
//!
//! Owns: a registry in this process, over the real kernel and with the daemon's own allocator, for a
//! daemon's wire would be most of the time and would hide the figures. Law: what is counted is the growth
//! of the process's resident set, less the pages of memories that were written, over a million created,
//! half of them destroyed and created again; page tables are no part of it and are said beside it.

#![expect(unsafe_code, reason = "asks whether addresses beside a memory can be touched")]

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use linmemd::error::Failure;
use linmemd::memory::{
    Fallbacks, Footprint, Going, GuardKind, Layout, MmapAllocator, PageAllocator, Pages,
    Unallocated,
};
use linmemd::model::{
    Form, Growth, Guard, Id, IndexType, MemoryId, MemorySpec, Now, Owner, Presentation, TenantName,
};
use linmemd::os::kernel::Linux;
use linmemd::os::{copy, fault};
use linmemd::registry::{
    Account, Deletion, Gate, Limits, Namespace, NamespaceLimits, Pool, Registry, Settings,
};
use linmemd::units::{ByteCount, PAGE_BYTES, WasmPages};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use tokio::runtime;
use tokio::task::LocalSet;

use crate::{host, median, say};

const MILLION: u64 = 1_000_000;
/// Bytes of bookkeeping that a memory may cost.
const AT_MOST: u64 = 512;
/// Between two looks at the clock.
const BATCH: u64 = 1_000;
const BATCHES: u64 = 100;
/// How much slower creation may become.
const SLOWER: f64 = 1.2;
/// Calls under way at a time.
const AT_ONCE: u64 = 64;
const PROBED: u64 = 1_000;
/// Of the host's RAM: the memories are hardly written, so most of what they may cost is never used.
const OVERCOMMIT: u64 = 8;
const MAPPING_MARGIN: u64 = 4_096;
const GUARD: u64 = 64 << 10;

/// An allocator whose memories' places are known.
#[derive(Debug)]
struct Placed {
    allocator: MmapAllocator,
    bases: Arc<Mutex<Vec<usize>>>,
}

impl PageAllocator for Placed {
    fn footprint(&self, layout: &Layout) -> Footprint {
        self.allocator.footprint(layout)
    }

    fn fallbacks(&self) -> &Fallbacks {
        self.allocator.fallbacks()
    }

    fn guard_kind(&self) -> GuardKind {
        self.allocator.guard_kind()
    }

    fn allocate(&self, layout: &Layout, going: Going<'_>) -> Result<Box<dyn Pages>, Unallocated> {
        let pages = self.allocator.allocate(layout, going)?;
        self.bases.lock().expect("no panic").push(pages.base().as_ptr().expose_provenance());
        Ok(pages)
    }
}

struct Floor {
    registry: Arc<Registry>,
    namespace: Arc<Namespace>,
    /// Where each memory ever made began, in order.
    bases: Arc<Mutex<Vec<usize>>>,
    now: Now,
}

impl Floor {
    fn new(allocator: MmapAllocator) -> Self {
        fault::install().expect("a handler");
        let settings = Settings {
            host_page: ByteCount::new(4096),
            default_maximum: pages(4096),
            inline: ByteCount::new(256 << 10),
            slice: ByteCount::new(16 << 20),
            queued_grows: 16,
            request_id_window: Duration::from_secs(600),
            request_ids: 16,
            events: linmemd::registry::EventSettings::NONE,
        };
        let limits = Limits {
            bytes: proc_number("/proc/meminfo", "MemTotal:") * 1024 * OVERCOMMIT,
            mappings: proc_number("/proc/sys/vm/max_map_count", "") - MAPPING_MARGIN,
            reserved_bytes: 1 << 46,
            ..Limits::NONE
        };
        // Written once, so that it is no part of what grows.
        let mut bases = vec![1; index(2 * MILLION)];
        bases.clear();
        let bases = Arc::new(Mutex::new(bases));
        let allocator = Box::new(Placed { allocator, bases: Arc::clone(&bases) });
        let now = Now { steady: Instant::now(), wall: SystemTime::now() };
        let pool = Pool::start(2, |_| ()).expect("threads");
        let registry = Registry::new(settings, Account::new(limits), allocator, pool, now);
        let limits = NamespaceLimits { account: limits, waiters: 8, ..NamespaceLimits::NONE };
        let tenant = TenantName::new("default").expect("a name");
        let namespace = Namespace::new(tenant, 0, limits, &registry);
        Self { registry, namespace, bases, now }
    }

    async fn create(&self, id: Option<MemoryId>, maximum: u64) -> Result<MemoryId, Failure> {
        let labels = [("app".to_owned(), "x".to_owned())].into();
        let spec = MemorySpec {
            initial: pages(1),
            maximum: Some(pages(maximum)),
            index_type: IndexType::I32,
            growth: Growth::Allowed,
            guard: Guard::default(),
            form: Form::usual(),
            owner: Owner::Tenant,
            presentation: Presentation { labels, ..Presentation::default() },
            segments: Vec::new(),
        };
        let (gate, namespace) = (Gate::new(), &self.namespace);
        let created = self.registry.create(namespace, id, spec, None, &(), None, self.now, &gate);
        Ok(created.await?.id.clone())
    }

    async fn delete(&self, id: &MemoryId) {
        let record = self.namespace.find(id.as_str(), None, self.now).expect("it lives");
        self.registry.delete(record, Deletion::default(), &Gate::new()).await.expect("its end");
    }

    async fn write(&self, id: &MemoryId) {
        let record = self.namespace.find(id.as_str(), None, self.now).expect("it lives");
        let (source, gate) = (bytes::Bytes::from_static(b"canary").into(), Gate::new());
        let written = self.registry.write(0, record, 0, source, &gate, |_written| ());
        written.await.expect("a write");
    }

    async fn grow(&self, id: &MemoryId, by: u64) {
        let record = self.namespace.find(id.as_str(), None, self.now).expect("it lives");
        let (namespace, gate) = (&self.namespace, Gate::new());
        let grown = self.registry.grow(namespace, record, by, None, None, &(), self.now, &gate);
        grown.await.expect("growth");
    }

    /// How much processor time each batch of creations took, a memory: on a machine that does other
    /// things as well, the clock tells of those.
    fn create_all(self: &Arc<Self>, numbers: impl Iterator<Item = u64>) -> Vec<f64> {
        let numbers: Vec<u64> = numbers.collect();
        numbers.chunks(index(BATCH)).map(|batch| self.create_batch(batch.to_vec())).collect()
    }

    fn create_batch(self: &Arc<Self>, numbers: Vec<u64>) -> f64 {
        let (count, begin) = (numbers.len() as f64, cpu_seconds());
        each(self, numbers, async |floor, number| {
            floor.create(Some(id(number)), 1).await.expect("a create");
        });
        (cpu_seconds() - begin) * 1e6 / count
    }

    fn places(&self, from: usize) -> Vec<usize> {
        self.bases.lock().expect("no panic").split_at(from).1.to_vec()
    }

    fn made(&self) -> usize {
        self.bases.lock().expect("no panic").len()
    }
}

/// Twelve bytes.
fn id(number: u64) -> MemoryId {
    Id::new(&format!("m-{number:010}")).expect("an id")
}

fn pages(count: u64) -> WasmPages {
    WasmPages::new(count).expect("a count")
}

/// Does something for each number, some at a time, on this thread and the pool's.
fn each(floor: &Arc<Floor>, numbers: Vec<u64>, work: impl AsyncFn(&Floor, u64) + Copy + 'static) {
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    let tasks = LocalSet::new();
    let numbers = std::rc::Rc::new(std::cell::RefCell::new(numbers.into_iter()));
    for _ in 0..AT_ONCE {
        let (floor, numbers) = (Arc::clone(floor), std::rc::Rc::clone(&numbers));
        tasks.spawn_local(async move {
            loop {
                let next = numbers.borrow_mut().next();
                let Some(number) = next else { return };
                work(&floor, number).await;
            }
        });
    }
    runtime.block_on(tasks);
}

/// The number after a word of a file of the kernel's, or the file itself.
fn proc_number(path: &str, word: &str) -> u64 {
    let text = fs::read_to_string(path).expect("a file of the kernel's");
    let line = text.lines().find_map(|line| line.strip_prefix(word)).expect("a line");
    line.split_whitespace().next().expect("a number").parse().expect("a number")
}

fn resident() -> u64 {
    proc_number("/proc/self/status", "VmRSS:") * 1024
}

fn page_tables() -> u64 {
    proc_number("/proc/self/status", "VmPTE:") * 1024
}

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").expect("the process's mappings").lines().count()
}

/// Whether a byte can be read and whether it can be written, each asked as the daemon's accesses are
/// made. What can be written is written.
fn can_be_touched(base: usize, at: i64) -> [bool; 2] {
    let address = std::ptr::with_exposed_provenance_mut::<u8>(base);
    let address = address.wrapping_offset(isize::try_from(at).expect("an offset"));
    let mut byte = 0_u8;
    // SAFETY: the routine expects any address to fault; the byte is ours.
    let read = unsafe { copy::copy(&raw mut byte, address, 1) };
    // SAFETY: the same; where it does not fault the address is in a memory of this test's.
    let written = unsafe { copy::copy(address, &raw const byte, 1) };
    [read == 0, written == 0]
}

/// That memories of this size are between guards, a thousand of them taken anywhere.
fn are_guarded(places: &[usize], size: u64) {
    let (size, guard) = (size.cast_signed(), GUARD.cast_signed());
    let mut random = places.len() as u64;
    for _ in 0..PROBED {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let base = places[(random >> 33) as usize % places.len()];
        for inside in [0, size - 1] {
            assert_eq!(can_be_touched(base, inside), [true; 2], "{inside} of {base:x}");
        }
        for outside in [-guard, -1, size, size + guard - 1] {
            assert_eq!(can_be_touched(base, outside), [false; 2], "{outside} of {base:x}");
        }
    }
}

/// Slabs on this kernel; none where it has no guards for them, said in a line.
fn slabs() -> Option<MmapAllocator> {
    let (allocator, slabless) = MmapAllocator::new(Arc::new(Linux));
    if let Some(error) = slabless {
        say(&format!("a million memories: left out: {error}"));
        return None;
    }
    Some(allocator)
}

#[test]
fn a_million_memories_cost_512_bytes_each_and_come_as_fast_as_the_first() {
    let Some(_daemon) = host("a million memories") else { return };
    let Some(allocator) = slabs() else { return };
    let floor = Arc::new(Floor::new(allocator));
    // The pool's threads and the maps' first pages.
    floor.create_all(0..BATCH);
    each(&floor, (0..BATCH).collect(), async |floor, number| floor.delete(&id(number)).await);
    let (before, tables, maps, begin) = (resident(), page_tables(), mappings(), Instant::now());

    let took = floor.create_all(0..MILLION);
    let (once, created) = (resident() - before, begin.elapsed());
    let odd = || (1..MILLION).step_by(2);
    each(&floor, odd().collect(), async |floor, number| floor.delete(&id(number)).await);
    let half = resident().saturating_sub(before);
    floor.create_all(odd());
    let touched = resident();
    each(&floor, (0..MILLION).step_by(1_000).collect(), async |floor, number| {
        floor.write(&id(number)).await;
    });
    let touched = resident() - touched;
    let bookkeeping = (resident() - before - touched) / MILLION;
    say(&format!(
        "a million memories of a page, ids of 12 bytes and one label, overcommit {OVERCOMMIT}: \
         created in {created:.1?}; {} bytes each at first, {} each with half of them destroyed, \
         {bookkeeping} with those created again; charged {} beside page tables of {} each; {} \
         mappings more",
        once / MILLION,
        half / MILLION,
        floor.namespace.account.holdings()[1].used / MILLION,
        (page_tables() - tables) / MILLION,
        mappings() - maps,
    ));
    assert!(bookkeeping <= AT_MOST, "{bookkeeping} bytes");
    assert!(mappings() - maps < 200, "{} mappings", mappings() - maps);

    are_guarded(&floor.places(0), PAGE_BYTES);
    grown_and_recycled_are_guarded(&floor);

    let [first, last] = [0..100, 900..1000].map(|batches| median(&took[batches]));
    let fresh = Arc::new(Floor::new(slabs().expect("as above")));
    let (mut among_few, mut among_many) = (Vec::new(), Vec::new());
    for batch in 0..BATCHES {
        let from = batch * BATCH;
        among_few.extend(fresh.create_all(from..from + BATCH));
        among_many.extend(floor.create_all(MILLION + from..MILLION + from + BATCH));
    }
    let (few, many) = (median(&among_few), median(&among_many));
    say(&format!(
        "a create takes {first:.2} µs of processor time among the first 100,000 and {last:.2} µs among the last; in \
         turns, {few:.2} µs among the first 100,000 of another registry and {many:.2} µs past a \
         million, ratio {:.3}",
        many / few
    ));
    assert!(many / few <= SLOWER, "{many} µs and {few} µs");
}

/// Memories that have grown, and those that come after them in the same places.
fn grown_and_recycled_are_guarded(floor: &Arc<Floor>) {
    const MAXIMUM: u64 = 4;
    let made = floor.made();
    let larger = || (2 * MILLION..2 * MILLION + PROBED).collect();
    each(floor, larger(), async |floor, number| {
        floor.create(Some(id(number)), MAXIMUM).await.expect("a larger one");
        floor.grow(&id(number), 2).await;
    });
    are_guarded(&floor.places(made), 3 * PAGE_BYTES);
    each(floor, larger(), async |floor, number| {
        floor.delete(&id(number)).await;
    });
    let made = floor.made();
    each(floor, larger(), async |floor, number| {
        floor.create(Some(id(number)), MAXIMUM).await.expect("another");
    });
    are_guarded(&floor.places(made), PAGE_BYTES);
}

#[test]
fn what_random_ids_of_32_digits_cost() {
    const LIVE: u64 = 200_000;
    let Some(_daemon) = host("200,000 server-chosen ids") else { return };
    let Some(allocator) = slabs() else { return };
    let floor = Arc::new(Floor::new(allocator));
    let before = resident();
    each(&floor, (0..LIVE).collect(), async |floor, _number| {
        floor.create(None, 1).await.expect("a create");
    });
    let each = (resident() - before) / LIVE;
    say(&format!("200,000 memories with ids of 32 random digits and one label: {each} bytes each"));
    assert!(each <= AT_MOST, "{each} bytes");
}

#[test]
fn without_slabs_memories_come_until_the_mappings_are_used_up_and_are_guarded() {
    let Some(_daemon) = host("a million memories without slabs") else { return };
    let floor = Arc::new(Floor::new(MmapAllocator::dedicated(Arc::new(Linux))));
    let maps = mappings();
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    let (live, refused) = runtime.block_on(async {
        for number in 0..MILLION {
            if let Err(failure) = floor.create(Some(id(number)), 1).await {
                return (number, failure);
            }
        }
        panic!("nothing was refused");
    });
    let Failure::HostExhausted { limit_name: "mappings", remedy } = refused else {
        panic!("{refused:?}")
    };
    assert!(remedy.contains("vm.max_map_count"), "{remedy}");
    are_guarded(&floor.places(0), PAGE_BYTES);
    say(&format!(
        "without slabs {live} memories live in {} mappings more, then HOST_EXHAUSTED",
        mappings() - maps
    ));
    runtime.block_on(floor.delete(&id(0)));
    runtime.block_on(floor.create(Some(id(0)), 1)).expect("room again");
    are_guarded(&floor.places(index(live)), PAGE_BYTES);
}

/// Of all threads, in the kernel too.
fn cpu_seconds() -> f64 {
    let used = getrusage(UsageWho::RUSAGE_SELF).expect("our own usage");
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    seconds(used.user_time()) + seconds(used.system_time())
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("64 bits")
}

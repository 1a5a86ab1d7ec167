//! The core alone, without the wire: what one read, write, create or look-up costs.
//!
//! `cargo bench --bench core`. Copies stand beside the memcpy of the same length in the same round;
//! each figure is the median of interleaved rounds.

#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use linmemd::memory::lock::Locked;
use linmemd::memory::{Layout, LinearMemory, MmapAllocator, Plan};
use linmemd::model::{
    Form, Growth, Guard, Id, IndexType, MemorySpec, Now, PageKind, Presentation, Shape, TenantName,
    Verification,
};
use linmemd::os::fault;
use linmemd::os::kernel::Linux;
use linmemd::registry::{
    Account, EventSettings, Gate, Limits, NamespaceLimits, Pool, Registry, Settings,
};
use linmemd::rpc::ServingClock;
use linmemd::tenancy::{
    Access, Clock, EachMemory, Occasion, Peer, Shown, Target, TenantLimits, Tenants,
};
use linmemd::units::{ByteCount, ByteRange, WasmPages};

const ROUNDS: usize = 15;
const LENGTHS: [u64; 3] = [64, 4096, 1 << 20];
const PAGES: u64 = 32;

fn main() {
    fault::install().unwrap();
    let floor = Floor::new();
    println!("{:<34}{:>12}{:>9}", "", "ns", "/memcpy");
    for length in LENGTHS {
        copies(&floor, length);
    }
    lock();
    contended_reads(&floor);
    pages_alone();
    create_and_destroy(&floor);
    look_ups(&floor);
}

struct Floor {
    access: Access,
    occasion: Occasion,
}

impl Floor {
    fn new() -> Self {
        let settings = Settings {
            host_page: ByteCount::new(4096),
            default_maximum: pages(4096),
            inline: ByteCount::new(256 << 10),
            slice: ByteCount::new(16 << 20),
            queued_grows: 16,
            request_id_window: Duration::from_secs(600),
            request_ids: 16,
            events: EventSettings::NONE,
        };
        let limits = Limits {
            bytes: 1 << 50,
            mappings: 1 << 50,
            reserved_bytes: 1 << 60,
            memories: 1 << 50,
            ..Limits::NONE
        };
        let now = Now { steady: Instant::now(), wall: SystemTime::now() };
        let allocator = Box::new(MmapAllocator::new(Arc::new(Linux)).0);
        let pool = Pool::start(2, |_| ()).unwrap();
        let registry = Registry::new(settings, Account::new(limits), allocator, pool, now);
        let namespace = NamespaceLimits { account: limits, waiters: 8, ..NamespaceLimits::NONE };
        let tenant = TenantLimits { namespace, ..TenantLimits::NONE };
        let tenants = Tenants::new(
            vec![(TenantName::new("default").unwrap(), tenant)],
            8,
            registry,
            Arc::new(EachMemory::new(0)),
            &(Arc::new(ServingClock) as Arc<dyn Clock>),
        );
        let access = tenants.access(Shown::by(&Peer::Anonymous), SystemTime::now()).unwrap();
        Self { access, occasion: Occasion { now, gate: Gate::new() } }
    }

    fn create(&self, id: &str, initial: u64) {
        let spec = MemorySpec {
            initial: pages(initial),
            maximum: Some(pages(initial)),
            index_type: IndexType::I32,
            growth: Growth::Allowed,
            guard: Guard::default(),
            form: Form::usual(),
            owner: linmemd::model::Owner::Tenant,
            presentation: Presentation::default(),
            segments: Vec::new(),
        };
        let id = Some(Id::new(id).unwrap());
        let occasion = Occasion { gate: Gate::new(), ..self.occasion };
        block_on(self.access.create(&occasion, id, spec, None)).unwrap();
    }

    fn delete(&self, id: &str) {
        let occasion = Occasion { gate: Gate::new(), ..self.occasion };
        block_on(self.access.delete(&occasion, target(id), Default::default(), |_| ())).unwrap();
    }

    fn read(&self, id: &str, length: u64, out: Vec<u8>) -> Vec<u8> {
        let occasion = &self.occasion;
        block_on(self.access.read(occasion, target(id), 128, length, |_| Ok(out))).unwrap()
    }
}

fn copies(floor: &Floor, length: u64) {
    let size = pages(PAGES).bytes();
    let range = ByteRange::within(128, length, size).unwrap();
    let memory = filled(Verification::Off);
    let verified = [Verification::Full, Verification::Redundant].map(filled);
    floor.create("copies", PAGES);
    let occasion = &floor.occasion;
    block_on(floor.access.fill(
        &Occasion { gate: Gate::new(), ..floor.occasion },
        target("copies"),
        0,
        size.get(),
        1,
    ))
    .unwrap();
    let count = usize::try_from(length).unwrap();
    let (source, mut sink) = (vec![7_u8; count], vec![0_u8; count]);
    let data = Bytes::from(source.clone());
    let sources = linmemd::memory::Sources::from(data.clone());
    let mut out = Vec::with_capacity(count);
    // Beyond 256 KiB the registry's way leads over the pool: a look at the hand-over, too.
    let calls = (2_000_000 / (length + 200)).max(20);
    let mut figures: [Vec<f64>; 9] = Default::default();
    for _ in 0..ROUNDS {
        figures[0].push(nanoseconds(calls, || {
            black_box(&mut sink).copy_from_slice(black_box(&source));
        }));
        figures[1].push(nanoseconds(calls, || {
            out.clear();
            memory.read(black_box(range), &mut out).unwrap();
            black_box(&out);
        }));
        figures[2].push(nanoseconds(calls, || {
            memory.apply(&Plan::write(128, black_box(&sources), size).unwrap()).unwrap();
        }));
        figures[3].push(nanoseconds(calls, || {
            let mut own = std::mem::take(&mut out);
            own.clear();
            out = floor.read("copies", length, own);
        }));
        figures[4].push(nanoseconds(calls, || {
            // Once past 256 KiB a gate is passed for good, so each has its own, as each call has.
            let occasion = Occasion { gate: Gate::new(), ..*occasion };
            let write = floor.access.write(&occasion, target("copies"), 128, data.clone().into());
            block_on(write).unwrap();
        }));
        for (memory, at) in verified.iter().zip([5, 7]) {
            figures[at].push(nanoseconds(calls, || {
                out.clear();
                memory.read(black_box(range), &mut out).unwrap();
                black_box(&out);
            }));
            figures[at + 1].push(nanoseconds(calls, || {
                memory.apply(&Plan::write(128, black_box(&sources), size).unwrap()).unwrap();
            }));
        }
    }
    let [memcpy, read, write, access_read, access_write, kept @ ..] = figures.map(median);
    let show = |what: &str, figure: f64| {
        println!("{:<34}{figure:>12.1}{:>9.2}", format!("{what} {length}"), figure / memcpy);
    };
    show("memcpy", memcpy);
    show("LinearMemory read", read);
    show("LinearMemory write", write);
    show("Access read", access_read);
    show("Access write", access_write);
    let rows = ["FULL read", "FULL write", "REDUNDANT read", "REDUNDANT write"];
    for (row, figure) in rows.iter().zip(kept) {
        show(row, figure);
    }
    floor.delete("copies");
}

/// A memory with a reservation of its own, full of ones.
fn filled(verification: Verification) -> LinearMemory {
    let allocator = MmapAllocator::dedicated(Arc::new(Linux));
    let shape = Shape {
        initial: pages(PAGES),
        maximum: pages(PAGES),
        index_type: IndexType::I32,
        growth: Growth::Allowed,
        guard: Guard::default(),
        form: Form { verification, ..Form::default() }.shared(),
    };
    let layout = Layout::of(&shape, PageKind::Base, ByteCount::new(4096)).unwrap();
    let memory = LinearMemory::create(&allocator, &layout, &|| true).unwrap();
    let size = memory.size().bytes();
    memory.apply(&Plan::fill(ByteRange::within(0, size.get(), size).unwrap(), 1)).unwrap();
    memory
}

struct Holder(Locked<u64>);

fn lock() {
    let owner = Arc::new(Holder(Locked::new(0)));
    let inside: fn(&Holder) -> &Locked<u64> = |owner| &owner.0;
    let rounds = |take: &mut dyn FnMut()| {
        median((0..ROUNDS).map(|_| nanoseconds(1_000_000, &mut *take)).collect())
    };
    let read = rounds(&mut || {
        black_box(Locked::try_read(Arc::clone(&owner), inside).is_ok());
    });
    let write = rounds(&mut || {
        black_box(Locked::try_write(Arc::clone(&owner), inside).is_ok());
    });
    println!("{:<34}{read:>12.1}", "lock: try_read and unlock");
    println!("{:<34}{write:>12.1}", "lock: try_write and unlock");
}

/// Reads of 64 bytes by two threads, of one memory and of one each.
fn contended_reads(floor: &Floor) {
    for (what, names) in [("one memory", ["a", "a"]), ("one memory each", ["a", "b"])] {
        floor.create("a", 1);
        floor.create("b", 1);
        let figures = (0..ROUNDS)
            .map(|_| {
                thread::scope(|scope| {
                    let threads = names.map(|name| {
                        scope.spawn(move || {
                            let mut out = Vec::with_capacity(64);
                            nanoseconds(100_000, || {
                                let mut own = std::mem::take(&mut out);
                                own.clear();
                                out = floor.read(name, 64, own);
                            })
                        })
                    });
                    let [one, other] = threads.map(|thread| thread.join().unwrap());
                    f64::midpoint(one, other)
                })
            })
            .collect();
        let label = format!("Access read 64, 2 threads, {what}");
        println!("{label:<46}{:>8.1}", median(figures));
        floor.delete("a");
        floor.delete("b");
    }
}

/// A guarded memory of one page made, touched and given back, without registry or names.
fn pages_alone() {
    let shape = Shape {
        initial: pages(1),
        maximum: pages(1),
        index_type: IndexType::I32,
        growth: Growth::Allowed,
        guard: Guard::default(),
        form: Form::usual(),
    };
    let layout = Layout::of(&shape, PageKind::Base, ByteCount::new(4096)).unwrap();
    let (slabs, slabless) = MmapAllocator::new(Arc::new(Linux));
    if let Some(error) = slabless {
        println!("slabs left out: {error}");
    }
    let byte = ByteRange::within(0, 1, layout.room.bytes()).unwrap();
    let once = |allocator: &MmapAllocator| {
        let memory = LinearMemory::create(allocator, &layout, &|| true).unwrap();
        memory.apply(&Plan::fill(byte, 7)).unwrap();
        memory.release().unwrap();
    };
    let dedicated = MmapAllocator::dedicated(Arc::new(Linux));
    for threads in [1, 2] {
        let mut figures: [Vec<f64>; 2] = Default::default();
        for _ in 0..ROUNDS {
            for (figures, allocator) in figures.iter_mut().zip([&slabs, &dedicated]) {
                thread::scope(|scope| {
                    let threads: Vec<_> = (0..threads)
                        .map(|_| scope.spawn(|| nanoseconds(20_000, || once(allocator))))
                        .collect();
                    figures.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
                });
            }
        }
        let [slabs, dedicated] = figures.map(median);
        let label = format!("page made, touched, released, {threads} threads, ns");
        println!("{label:<46}{slabs:>8.1} in a slab, {dedicated:>8.1} dedicated");
    }
}

fn create_and_destroy(floor: &Floor) {
    let figures = (0..ROUNDS)
        .map(|_| {
            nanoseconds(200, || {
                floor.create("c", 1);
                floor.delete("c");
            })
        })
        .collect();
    println!("{:<34}{:>12.1}", "create and destroy a page, µs", median(figures) / 1000.0);
}

fn look_ups(floor: &Floor) {
    // A memory that reserves nothing takes no mapping, so that the kernel's limit stays away.
    let spec = MemorySpec {
        initial: WasmPages::ZERO,
        maximum: Some(WasmPages::ZERO),
        index_type: IndexType::I32,
        growth: Growth::Disallowed,
        guard: Guard { before: ByteCount::ZERO, after: ByteCount::ZERO },
        form: Form::usual(),
        owner: linmemd::model::Owner::Tenant,
        presentation: Presentation::default(),
        segments: Vec::new(),
    };
    let mut made = 0;
    for count in [1, 100_000] {
        while made < count {
            let occasion = Occasion { gate: Gate::new(), ..floor.occasion };
            let id = Some(Id::new(&format!("memory-{made}")).unwrap());
            block_on(floor.access.create(&occasion, id, spec.clone(), None)).unwrap();
            made += 1;
        }
        let names: Vec<String> =
            (0..1000).map(|n| format!("memory-{}", (n * 7919) % count)).collect();
        let figures = (0..ROUNDS)
            .map(|_| {
                let mut next = names.iter().cycle();
                nanoseconds(100_000, || {
                    let name = next.next().map_or("", String::as_str);
                    black_box(floor.access.find(target(name), floor.occasion.now).is_ok());
                })
            })
            .collect();
        println!("{:<34}{:>12.1}", format!("look-up among {count}"), median(figures));
    }
}

fn nanoseconds(calls: u64, mut call: impl FnMut()) -> f64 {
    call();
    let begun = Instant::now();
    for _ in 0..calls {
        call();
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
    let calls = calls as f64;
    begun.elapsed().as_secs_f64() * 1e9 / calls
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn pages(count: u64) -> WasmPages {
    WasmPages::new(count).unwrap()
}

const fn target(id: &str) -> Target<'_> {
    Target { id, uid: None }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread. What is ready at once costs one poll, as on a serving thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

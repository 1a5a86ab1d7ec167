//! The ledger is the sum of what lives: random operations of several tenants on memories of every form, in
//! partitions and out of them, while one system call after the other fails; after each batch every kind of
//! charge, of every tenant, every partition and the host, is what its memories cost, computed from their
//! shapes and sizes alone.
//!
//! As many operations as `LEDGER_OPERATIONS` says; 20,000 where it does not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use linmemd::error::Failure;
use linmemd::memory::{Layout, LinearMemory};
use linmemd::model::{
    AddressSpace, Allocator, Backing, Form, Guard, Id, Locking, MemorySpec, PartitionLimits,
    PartitionSpec, Populate, SegmentId, Shape, Verification,
};
use linmemd::os::kernel::{Kernel, Linux};
use linmemd::registry::{Amount, KINDS, LabelSelector, Record};
use linmemd::tenancy::Access;
use linmemd::units::{ByteCount, PAGE_BYTES};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::failing_forms::left_out;
use crate::floors::{Floors, TENANTS, block_on, now, occasion, partition_of, spec, target};

/// Operations between two looks at the ledger.
const BATCH: usize = 100;
/// Names that memories and segments of a tenant may have.
const NAMES: u64 = 5;
/// The call of an operation that fails is one of so many, in turn, the first ones more often: no operation
/// here makes more, and most make few.
const SITES: usize = 24;
const ERRNOS: [i32; 3] = [libc::ENOMEM, libc::EAGAIN, libc::EPERM];
/// What a segment is charged beside its bytes.
const SEGMENT_BYTES: u64 = 256;
/// A partition that is full now and then.
const POOL: &str = "pool";
const POOL_BYTES: u64 = 24 * PAGE_BYTES;
/// And so many memories, of all tenants.
const POOL_MEMORIES: u64 = 2;

fn operations() -> usize {
    let count = std::env::var("LEDGER_OPERATIONS");
    count.map_or(20_000, |count| count.parse().expect("LEDGER_OPERATIONS is a count"))
}

fn forms(floors: &Floors) -> Vec<Form> {
    let usual = Form::default();
    let mut forms = vec![
        usual.clone(),
        usual.clone(),
        Form { is_shared: true, ..usual.clone() },
        Form { backing: Backing::Memfd, ..usual.clone() },
        Form { address_space: AddressSpace::Wasm32Full, ..usual.clone() },
        Form { populate: Populate::Initial, ..usual.clone() },
        Form { populate: Populate::Maximum, ..usual.clone() },
        Form { backing: Backing::Memfd, populate: Populate::Maximum, ..usual.clone() },
        Form { allocator: Allocator::Heap, ..usual.clone() },
        Form { allocator: Allocator::Heap, is_shared: true, ..usual.clone() },
        Form { partition: Some(Id::new(POOL).unwrap()), ..usual.clone() },
        Form { verification: Verification::Full, ..usual.clone() },
        Form { verification: Verification::Redundant, ..usual.clone() },
    ];
    if floors.has_arena() {
        forms.push(Form { allocator: Allocator::Fixed, ..usual.clone() });
    } else {
        left_out("fixed memories: this process may not lock an arena");
    }
    if Linux.lock_limit() >= 16 << 20 {
        forms.push(Form { locking: Locking::Locked, ..usual });
    } else {
        left_out("locked memories: RLIMIT_MEMLOCK is too small");
    }
    forms
}

/// What a memory costs by its shape and size: the tenant and, where another part is, the host.
fn cost(floors: &Floors, record: &Record) -> (Amount, bool) {
    let shape = Shape { initial: record.size(), ..record.shape() };
    let host_page = ByteCount::new(4096);
    let layout = Layout::candidates(&shape, host_page).unwrap().remove(0);
    let footprint = LinearMemory::footprint(&*floors.registry.allocator, &layout, host_page);
    (Amount::memory(&footprint), footprint.is_prepaid)
}

fn kinds(amount: &Amount, is_locked: bool) -> [u64; KINDS] {
    [
        amount.committed_bytes,
        amount.overhead_bytes,
        amount.mappings.into(),
        amount.reserved_bytes,
        amount.memories.into(),
        if is_locked { amount.committed_bytes } else { 0 },
        0,
    ]
}

fn add(sum: &mut [u64; KINDS], more: [u64; KINDS]) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

struct World {
    floors: Floors,
    access: Vec<Access>,
    forms: Vec<Form>,
    rng: StdRng,
    /// How many operations had the call fail that was to.
    failed: usize,
    /// What became of them.
    outcomes: BTreeMap<&'static str, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let floors = Floors::with_arena();
        let limits = PartitionLimits { memories: Some(POOL_MEMORIES), ..Default::default() };
        floors
            .create_partition(POOL, PartitionSpec { limits, ..partition_of(0, POOL_BYTES) })
            .unwrap();
        let access = TENANTS.map(|name| floors.access_of(name)).to_vec();
        let (forms, rng) = (forms(&floors), StdRng::seed_from_u64(seed));
        Self { floors, access, forms, rng, failed: 0, outcomes: BTreeMap::new() }
    }

    fn below(&mut self, most: u64) -> u64 {
        self.rng.random_range(0..most)
    }

    /// One random operation, of which the call at this place fails.
    fn operate(&mut self, number: usize) {
        let whose = usize::try_from(self.below(3)).unwrap();
        let access = self.access[whose].clone();
        let id = format!("m{}", self.below(NAMES));
        let kind = self.below(100);
        let kernel = Arc::clone(&self.floors.kernel);
        let site = number / 2 % (number / 2 / SITES % SITES + 1);
        kernel.forget();
        if number.is_multiple_of(2) {
            kernel.fail_nth(site, ERRNOS[number / 2 % ERRNOS.len()]);
        }
        let outcome = self.carry_out(&access, &id, kind);
        if number.is_multiple_of(2) && kernel.calls().len() > site {
            self.failed += 1;
        }
        kernel.forget();
        let word = match outcome {
            Ok(()) => "done",
            Err(Failure::QuotaExceeded { .. }) => "quota",
            Err(Failure::HostExhausted { .. }) => "host",
            Err(Failure::PartitionFull { .. }) => "partition",
            Err(Failure::InternalFault) => panic!("an internal fault"),
            Err(_other) => "refused",
        };
        *self.outcomes.entry(word).or_default() += 1;
    }

    fn carry_out(&mut self, access: &Access, id: &str, kind: u64) -> Result<(), Failure> {
        let (occasion, at) = (occasion(), self.below(3 * PAGE_BYTES));
        match kind {
            0..30 => {
                let which = usize::try_from(self.below(self.forms.len() as u64)).unwrap();
                let form = self.forms[which].clone();
                let heap = form.allocator == Allocator::Heap;
                let guard = if heap { Guard::NONE } else { Guard::default() };
                let spec = MemorySpec { guard, form: form.shared(), ..spec(self.below(5)) };
                let id = Some(Id::new(id).unwrap());
                block_on(access.create(&occasion, id, spec, None)).map(drop)
            }
            30..50 => {
                let delta = self.below(6);
                block_on(access.grow(&occasion, target(id), delta, None, None, |_| ())).map(drop)
            }
            50..70 => block_on(access.delete(&occasion, target(id), Default::default(), |_| ())),
            70..78 => {
                let data = Bytes::from(vec![0xA7; usize::try_from(self.below(70_000)).unwrap()]);
                block_on(access.write(&occasion, target(id), at, data.into()))
            }
            78..82 => {
                let length = self.below(70_000);
                block_on(access.fill(&occasion, target(id), at, length, 9))
            }
            82..86 => {
                let length = self.below(PAGE_BYTES);
                let discarded = block_on(access.discard(&occasion, target(id), at, length));
                discarded.map(drop)
            }
            86..89 => {
                let length = self.below(70_000);
                block_on(access.read(&occasion, target(id), at, length, |_| Ok(Vec::new())))
                    .map(drop)
            }
            89..95 => {
                let (segment, length) = (self.segment(), self.below(5_000));
                let data = Bytes::from(vec![1; usize::try_from(length).unwrap()]);
                let put = access.put_segment(&occasion, Some(segment), data.into(), None);
                block_on(put).map(drop)
            }
            _ => access.drop_segment(&occasion, &self.segment()),
        }
    }

    fn segment(&mut self) -> SegmentId {
        Id::new(&format!("s{}", self.below(NAMES))).unwrap()
    }

    /// Lets the kernel do everything again, until nothing is kept in quarantine.
    fn heal(&self) {
        self.floors.kernel.forget();
        for _look in 0..10 {
            self.floors.sweep();
            if self.floors.registry.quarantined_ranges().is_empty() {
                return;
            }
        }
        panic!("{:?} stay", self.floors.registry.quarantined_ranges());
    }

    /// That every account is the sum of what lives.
    fn is_exact(&self, number: usize) {
        let mut host = [0; KINDS];
        let mut pool = [0; 4];
        for access in &self.access {
            let mut tenant = [0; KINDS];
            let everything = access.list(&LabelSelector::default(), None, 1_000, now());
            for record in everything.records {
                let form = record.form();
                let (amount, is_prepaid) = cost(&self.floors, &record);
                let all = kinds(&amount, form.locking != Locking::None);
                add(&mut tenant, all);
                if is_prepaid {
                    add(&mut host, [0, all[1], 0, 0, all[4], 0, 0]);
                } else {
                    add(&mut host, all);
                }
                if form.partition.is_some() {
                    let more = [all[0] + all[1], all[2], all[3], all[4]];
                    pool.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                }
            }
            let (segments, _more) = access.tenant().namespace.list_segments(None, 1_000);
            let segments: u64 =
                segments.iter().map(|one| one.bytes.len() as u64 + SEGMENT_BYTES).sum();
            tenant[1] += segments;
            host[1] += segments;
            let found = access.tenant().namespace.account.holdings();
            let name = &access.tenant().namespace.name;
            assert_eq!(found.map(|one| one.used), tenant, "{name} after {number} operations");
        }
        let found = self.floors.host_charged();
        // To the host all bytes of a partition are committed ones.
        assert_eq!(found[0] + found[1], host[0] + host[1], "the host after {number} operations");
        assert_eq!(found[2..], host[2..], "the host after {number} operations");
        let partition = self.floors.registry.partitions.find(&Id::new(POOL).unwrap()).unwrap();
        let holds = partition.holds();
        let held = [holds.used_bytes, holds.mappings, holds.reserved_bytes, holds.memories];
        assert_eq!(held, pool, "{POOL} after {number} operations");
    }

    fn end(mut self) {
        for access in &self.access.clone() {
            for number in 0..NAMES {
                let id = format!("m{number}");
                let _gone =
                    block_on(access.delete(&occasion(), target(&id), Default::default(), |_| ()));
                let segment = Id::new(&format!("s{number}")).unwrap();
                let _gone = access.drop_segment(&occasion(), &segment);
            }
        }
        self.heal();
        self.is_exact(usize::MAX);
        let nothing = self.access.iter().all(|one| one.tenant().namespace.account.is_empty());
        assert!(nothing, "something stays charged");
        assert_eq!(self.floors.host_charged(), [0; KINDS]);
        self.access.clear();
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "what was shown is said")]
fn the_ledger_is_the_sum_of_what_lives_whatever_call_fails() {
    let (begun, seed) = (Instant::now(), 0x11AE);
    let mut world = World::new(seed);
    let count = operations();
    for number in 1..=count {
        world.operate(number);
        if number.is_multiple_of(BATCH) {
            world.heal();
            world.is_exact(number);
        }
    }
    let (failed, outcomes) = (world.failed, world.outcomes.clone());
    world.end();
    let took = begun.elapsed();
    eprintln!("{count} operations, {failed} with a call failing, {outcomes:?}, {took:.1?}");
    assert!(failed > count / 100, "{failed} calls failed");
    for word in ["done", "quota", "host", "refused"] {
        assert!(outcomes.contains_key(word), "no operation ended as {word}: {outcomes:?}");
    }
}

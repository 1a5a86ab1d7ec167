//! Claims about slabs: what is recycled, what is guarded, and what becomes of a slot that the kernel
//! was refused for.

#![expect(unsafe_code, reason = "asks whether an address can be read")]

use std::sync::Arc;

use super::warm::MOST as WARM;
use super::*;
use crate::memory::allocator::{Fallbacks, GuardKind, PageAllocator};
use crate::memory::linear::{LinearMemory, ReleaseStep};
use crate::memory::mmap::MmapAllocator;
use crate::memory::plan::Plan;
use crate::memory::sources::Sources;
use crate::model::{Form, Growth, Guard, IndexType, PageKind, Populate, Shape};
use crate::os::failing::FailingKernel;
use crate::os::kernel::{Advice, Call};
use crate::os::{copy, fault};
use crate::units::{ByteRange, WasmPages};

struct Shop {
    kernel: Arc<FailingKernel>,
    allocator: MmapAllocator,
}

impl Shop {
    /// None where this kernel has no guards for slabs, said in a line.
    fn open() -> Option<Self> {
        fault::install().unwrap();
        let kernel = Arc::new(FailingKernel::new());
        let (allocator, slabless) = MmapAllocator::new(Arc::<FailingKernel>::clone(&kernel));
        if let Some(error) = slabless {
            #[expect(clippy::print_stderr, reason = "what is left out is said")]
            {
                eprintln!("left out: {error}");
            }
            return None;
        }
        kernel.forget();
        Some(Self { kernel, allocator })
    }

    fn memory(&self, initial: u64, maximum: u64) -> LinearMemory {
        LinearMemory::create(&self.allocator, &layout(initial, maximum), &|| true).unwrap()
    }
}

fn layout(initial: u64, maximum: u64) -> Layout {
    let shape = Shape {
        initial: pages(initial),
        maximum: pages(maximum),
        index_type: IndexType::I32,
        growth: Growth::Allowed,
        guard: Guard { before: GUARD, after: GUARD },
        form: Form::usual(),
    };
    Layout::of(&shape, PageKind::Base, ByteCount::new(4096)).unwrap()
}

fn pages(count: u64) -> WasmPages {
    WasmPages::new(count).unwrap()
}

fn write(memory: &LinearMemory, offset: u64, length: usize) {
    let sources = Sources::new(vec![vec![7; length].into()]);
    let plan = Plan::write(offset, &sources, memory.size().bytes()).unwrap();
    memory.apply(&plan).unwrap();
}

fn bytes(memory: &LinearMemory) -> Vec<u8> {
    let (size, mut out) = (memory.size().bytes(), Vec::new());
    memory.read(ByteRange::within(0, size.get(), size).unwrap(), &mut out).unwrap();
    out
}

#[test]
fn a_recycled_slot_is_zero_whatever_was_written_where() {
    let Some(shop) = Shop::open() else { return };
    for (size, offset, length) in
        [(1, 0, 1), (1, 65_535, 1), (1, 0, 65_536), (4, 65_000, 100_000), (16, 1 << 19, 1 << 19)]
    {
        for _ in 0..3 {
            let memory = shop.memory(size, size);
            assert!(bytes(&memory).iter().all(|byte| *byte == 0), "{size} {offset} {length}");
            write(&memory, offset, length);
            memory.release().unwrap();
        }
    }
}

#[test]
fn small_wipes_are_stores_and_large_ones_the_kernels() {
    let Some(shop) = Shop::open() else { return };
    let wiped = |length| {
        let memory = shop.memory(4, 4);
        write(&memory, 0, length);
        shop.kernel.forget();
        memory.release().unwrap();
        shop.kernel.calls()
    };
    assert_eq!(wiped(STORED.as_usize()), []);
    assert_eq!(wiped(STORED.as_usize() + 1), [Call::Advise(Advice::DontNeed)]);
}

#[test]
fn a_slot_that_is_used_again_at_the_same_size_asks_the_kernel_for_nothing() {
    let Some(shop) = Shop::open() else { return };
    shop.memory(1, 1).release().unwrap();
    shop.kernel.forget();
    shop.memory(1, 1).release().unwrap();
    assert_eq!(shop.kernel.calls(), []);
}

/// Whether a byte can be read; asked as every access of the daemon is made.
fn can_be_read(slot: &dyn Pages, at: isize) -> bool {
    let address = slot.base().as_ptr().wrapping_offset(at);
    let mut byte = 0_u8;
    // SAFETY: the routine expects any address to fault; the byte is ours.
    unsafe { copy::copy(&raw mut byte, address, 1) == 0 }
}

fn is_open_up_to(slot: &dyn Pages, size: WasmPages) {
    let size = isize::try_from(size.bytes().get()).unwrap();
    let guard = isize::try_from(GUARD.get()).unwrap();
    assert!(size == 0 || (can_be_read(slot, 0) && can_be_read(slot, size - 1)), "{size}");
    for outside in [-guard, -1, size, size + guard - 1] {
        assert!(!can_be_read(slot, outside), "{outside} of {size}");
    }
}

#[test]
fn around_the_size_there_are_guards_also_after_growth_and_in_a_slot_that_was_larger() {
    let Some(shop) = Shop::open() else { return };
    for _ in 0..2 {
        let slot = shop.allocator.allocate(&layout(1, 4), &|| true).unwrap();
        assert_eq!(slot.placed().guard, GuardKind::GuardInstall);
        is_open_up_to(&*slot, pages(1));
        slot.open(pages(1).bytes(), pages(4).bytes(), &|| true).unwrap();
        is_open_up_to(&*slot, pages(4));
        slot.close(pages(3).bytes(), pages(4).bytes()).unwrap();
        is_open_up_to(&*slot, pages(3));
        slot.release().unwrap();
    }
    let empty = shop.allocator.allocate(&layout(0, 4), &|| true).unwrap();
    is_open_up_to(&*empty, pages(0));
}

#[test]
fn no_two_slots_overlap() {
    let Some(shop) = Shop::open() else { return };
    let mut slots: Vec<_> =
        (0..1500).map(|_| shop.allocator.allocate(&layout(1, 1), &|| true).unwrap()).collect();
    slots.sort_by_key(|slot| slot.base());
    let step = SHORTEST.as_usize() + GUARD.as_usize();
    for pair in slots.windows(2) {
        assert!(pair[1].base().as_ptr().addr() - pair[0].base().as_ptr().addr() >= step);
    }
}

#[test]
fn a_free_slot_is_found_by_whichever_thread_looks() {
    let Some(shop) = Shop::open() else { return };
    let memory = shop.memory(1, 1);
    let place = memory.base().as_ptr().addr();
    std::thread::scope(|scope| {
        scope.spawn(|| memory.release().unwrap());
    });
    assert_eq!(shop.memory(1, 1).base().as_ptr().addr(), place, "no new one is cut");
}

#[test]
fn a_slot_that_comes_back_after_the_slabs_goes_and_the_space_with_the_last() {
    let Some(Shop { kernel, allocator }) = Shop::open() else { return };
    let make = || LinearMemory::create(&allocator, &layout(1, 1), &|| true).unwrap();
    let [first, second, free] = [make(), make(), make()];
    free.release().unwrap();
    drop(allocator);
    assert_eq!(kernel.mapped_bytes(), SPACE);
    write(&first, 0, 100);
    first.release().unwrap();
    assert_eq!(bytes(&second), vec![0; SHORTEST.as_usize()]);
    drop(second);
    assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO);
}

#[test]
fn what_is_too_large_or_guarded_otherwise_has_a_reservation_of_its_own() {
    let Some(shop) = Shop::open() else { return };
    let mut thin = layout(1, 1);
    thin.guard.after = ByteCount::new(4096);
    for layout in [layout(1, 17), thin, layout(0, 0)] {
        let pages = shop.allocator.allocate(&layout, &|| true).unwrap();
        assert_eq!(pages.placed().guard, GuardKind::ProtNone, "{layout:?}");
        assert_eq!(shop.allocator.footprint(&layout).mappings, 3);
    }
    assert_eq!(shop.allocator.footprint(&layout(1, 16)).mappings, 0);
}

#[test]
fn a_slot_whose_guards_are_in_doubt_is_used_again_only_once_they_are_sure() {
    let Some(shop) = Shop::open() else { return };
    let (install, remove) = (Advice::GuardInstall, Advice::GuardRemove);
    drop(shop.memory(1, 1));
    shop.kernel.fail_call(Call::Advise(remove), libc::ENOMEM, 1);
    let refused = LinearMemory::create(&shop.allocator, &layout(1, 1), &|| true).unwrap_err();
    assert!(refused.left.is_none(), "it was guarded again at once");
    shop.kernel.fail_call(Call::Advise(remove), libc::ENOMEM, 1);
    shop.kernel.fail_call(Call::Advise(install), libc::ENOMEM, 1);
    let refused = LinearMemory::create(&shop.allocator, &layout(1, 1), &|| true).unwrap_err();
    let left = refused.left.unwrap();
    assert_eq!((left.step, left.error.errno), (ReleaseStep::Release, libc::ENOMEM));
    let other = shop.memory(1, 1);
    left.memory.release().unwrap();
    let again = shop.memory(1, 1);
    assert!(bytes(&other).iter().chain(&bytes(&again)).all(|byte| *byte == 0));
}

#[test]
fn a_memory_that_could_not_be_wiped_keeps_its_slot_until_it_is() {
    let Some(shop) = Shop::open() else { return };
    let memory = shop.memory(2, 2);
    write(&memory, 0, STORED.as_usize() + 1);
    shop.kernel.fail_call(Call::Advise(Advice::DontNeed), libc::EIO, 1);
    let left = memory.release().unwrap_err();
    assert_eq!((left.step, left.error.errno), (ReleaseStep::Wipe, libc::EIO));
    let other = shop.memory(2, 2);
    assert!(bytes(&other).iter().all(|byte| *byte == 0), "a slot of its own");
    assert_eq!(bytes(&left.memory)[0], 7);
    left.memory.release().unwrap();
    assert!(bytes(&shop.memory(2, 2)).iter().all(|byte| *byte == 0));
}

#[test]
fn free_slots_keep_no_more_ram_than_they_may() {
    let Some(shop) = Shop::open() else { return };
    let memories: Vec<_> = (0..2 * WARM / SHORTEST.get()).map(|_| shop.memory(1, 1)).collect();
    for memory in &memories {
        write(memory, 0, SHORTEST.as_usize());
    }
    shop.kernel.forget();
    for memory in memories {
        memory.release().unwrap();
    }
    let kernels = shop.kernel.calls().len() as u64;
    assert_eq!(kernels, WARM / SHORTEST.get(), "half by store, half by the kernel");
}

#[test]
fn pages_that_were_populated_and_never_written_are_counted_where_they_stay() {
    let Some(shop) = Shop::open() else { return };
    let kernel: Arc<dyn Kernel> = Arc::<FailingKernel>::clone(&shop.kernel);
    let slabs = Slabs::probe(&kernel).unwrap();
    let only = Only(Arc::clone(&slabs.0[0]), Fallbacks::default());
    let mut populated = layout(1, 1);
    populated.form = Form { populate: Populate::Initial, ..Form::default() }.shared();
    let memories: Vec<_> = (0..2 * WARM / SHORTEST.get())
        .map(|_| LinearMemory::create(&only, &populated, &|| true).unwrap())
        .collect();
    for memory in memories {
        memory.release().unwrap();
    }
    assert_eq!(only.ram_of_free_slots(), WARM);
    assert_eq!(only.0.warm.kept(), WARM, "as counted");
}

#[test]
fn a_host_without_such_guards_gives_reservations_and_says_why() {
    let kernel = Arc::new(FailingKernel::new());
    kernel.fail_call(Call::Advise(Advice::GuardInstall), libc::EINVAL, 1);
    let (allocator, slabless) = MmapAllocator::new(Arc::<FailingKernel>::clone(&kernel));
    let said = slabless.unwrap().to_string();
    assert!(said.contains("MADV_GUARD_INSTALL"), "{said}");
    assert_eq!(allocator.guard_kind(), GuardKind::ProtNone);
    assert_eq!(
        allocator.allocate(&layout(1, 1), &|| true).unwrap().placed().guard,
        GuardKind::ProtNone
    );
}

/// One slab alone, whose free slots can be looked at.
#[derive(Debug)]
struct Only(Arc<Slab>, Fallbacks);

impl PageAllocator for Only {
    fn footprint(&self, layout: &Layout) -> Footprint {
        self.0.footprint(layout.initial.bytes())
    }

    fn fallbacks(&self) -> &Fallbacks {
        &self.1
    }

    fn guard_kind(&self) -> GuardKind {
        GuardKind::GuardInstall
    }

    fn allocate(&self, layout: &Layout, going: Going<'_>) -> Result<Box<dyn Pages>, Unallocated> {
        self.0.allocate(layout, going)
    }
}

impl Only {
    fn ram_of_free_slots(&self) -> u64 {
        let mut sum = 0;
        let resident = |free: &Free| free.span.resident_bytes(ByteCount::ZERO, self.0.room);
        self.0.shelves.look(|free| sum += resident(free).unwrap().get());
        sum
    }
}

#[test]
fn whoever_comes_and_goes_in_whatever_order_free_slots_keep_no_more_ram_than_they_may() {
    let Some(shop) = Shop::open() else { return };
    let kernel: Arc<dyn Kernel> = Arc::<FailingKernel>::clone(&shop.kernel);
    let slabs = Slabs::probe(&kernel).unwrap();
    let only = Only(Arc::clone(&slabs.0[0]), Fallbacks::default());
    let some = || -> Vec<LinearMemory> {
        let one = || LinearMemory::create(&only, &layout(1, 1), &|| true).unwrap();
        (0..WARM / SHORTEST.get()).map(|_| one()).collect()
    };
    let written = || {
        let memories = some();
        memories.iter().for_each(|memory| write(memory, 0, SHORTEST.as_usize()));
        memories
    };
    let end = |memories: Vec<LinearMemory>| {
        memories.into_iter().for_each(|memory| memory.release().unwrap());
    };
    end(written());
    for _ in 0..3 {
        // They have the warm slots and write nothing, while others write to new ones.
        let quiet = some();
        end(written());
        end(quiet);
        assert!(only.ram_of_free_slots() <= WARM, "{}", only.ram_of_free_slots());
        assert_eq!(only.0.warm.kept(), only.ram_of_free_slots(), "as counted");
    }
    let (first, second) = (written(), written());
    end(first);
    end(second);
    assert_eq!(only.0.warm.kept(), only.ram_of_free_slots(), "as counted");
    shop.kernel.forget();
    let one = LinearMemory::create(&only, &layout(1, 1), &|| true).unwrap();
    write(&one, 0, 1);
    one.release().unwrap();
    assert!(
        shop.kernel.calls().len() <= 1,
        "the count did not run away: {:?}",
        shop.kernel.calls()
    );
}

#[test]
fn what_is_not_to_be_kept_goes_back_to_the_host_at_once_and_so_does_what_comes_later() {
    let Some(shop) = Shop::open() else { return };
    let kernel: Arc<dyn Kernel> = Arc::<FailingKernel>::clone(&shop.kernel);
    let slabs = Slabs::probe(&kernel).unwrap();
    let only = Only(Arc::clone(&slabs.0[0]), Fallbacks::default());
    let written = |count: usize| {
        let one = || LinearMemory::create(&only, &layout(1, 1), &|| true).unwrap();
        let memories: Vec<LinearMemory> = (0..count).map(|_| one()).collect();
        memories.iter().for_each(|memory| write(memory, 0, SHORTEST.as_usize()));
        memories.into_iter().for_each(|memory| memory.release().unwrap());
    };
    written(4);
    assert_eq!(only.ram_of_free_slots(), 4 * SHORTEST.get());
    shop.kernel.fail_call(Call::Advise(Advice::DontNeed), libc::EAGAIN, 1);
    let all_but_one = ByteCount::new(3 * SHORTEST.get());
    assert_eq!(slabs.keep_warm(false), all_but_one, "what the host refuses to take stays");
    assert_eq!((only.ram_of_free_slots(), only.0.warm.kept()), (SHORTEST.get(), SHORTEST.get()));
    assert_eq!(slabs.keep_warm(false), SHORTEST, "and goes the next time");
    written(6);
    assert_eq!((only.ram_of_free_slots(), only.0.warm.kept()), (0, 0), "nothing more is kept");
    assert_eq!(slabs.keep_warm(true), ByteCount::ZERO);
    written(2);
    assert_eq!(only.ram_of_free_slots(), 2 * SHORTEST.get());
    assert_eq!(only.0.warm.kept(), 2 * SHORTEST.get());
}

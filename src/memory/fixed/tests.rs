//! What an arena claims: that it is what it says, that nothing is taken from the kernel after its start,
//! that no slot is handed on with anyone's bytes, and that a host that refuses is told from one that
//! gives.

#![expect(unsafe_code, reason = "damages an arena as a defect would")]

use std::sync::Arc;

use crate::memory::fixed::{FixedAllocator, GUARD, Unarranged};
use crate::memory::{
    Check, Finding, GuardKind, Layout, LinearMemory, Outcome, Plan, Promised, PublishedSize,
    Refused, Scan, Uncreated,
};
use crate::model::{Allocator, Form, Growth, Guard, IndexType, PageKind, Shape, Verification};
use crate::os::failing::FailingKernel;
use crate::os::fault;
use crate::os::kernel::{Advice, Call, Kernel, Linux, Protection};
use crate::units::{ByteCount, ByteRange, WasmPages};

const SLOTS: u32 = 3;
const SLOT: u64 = 2;

fn pages(count: u64) -> WasmPages {
    WasmPages::new(count).unwrap()
}

fn arrange(kernel: &Arc<FailingKernel>) -> Result<FixedAllocator, Unarranged> {
    fault::install().unwrap();
    FixedAllocator::arrange(Arc::clone(kernel) as Arc<dyn Kernel>, SLOTS, pages(SLOT))
}

/// An arena, or a line that says why there is none here.
fn arena(kernel: &Arc<FailingKernel>) -> Option<FixedAllocator> {
    match arrange(kernel) {
        Err(Unarranged::LockLimit { limit, .. }) => {
            #[expect(clippy::print_stderr, reason = "what is left out is said")]
            {
                eprintln!("left out: RLIMIT_MEMLOCK is {limit}");
            }
            None
        }
        other => Some(other.unwrap()),
    }
}

fn shape(initial: u64) -> Shape {
    Shape {
        initial: pages(initial),
        maximum: pages(SLOT),
        index_type: IndexType::I32,
        growth: Growth::Allowed,
        guard: Guard::default(),
        form: Form { allocator: Allocator::Fixed, ..Form::default() }.shared(),
    }
}

fn layout(initial: u64) -> Layout {
    Layout::of(&shape(initial), PageKind::Base, ByteCount::new(4096)).unwrap()
}

fn create(arena: &FixedAllocator, initial: u64) -> Result<LinearMemory, Uncreated> {
    LinearMemory::create(arena, &layout(initial), &|| true)
}

fn fill(memory: &LinearMemory, value: u8) {
    let size = memory.size().bytes();
    memory.apply(&Plan::fill(ByteRange::within(0, size.get(), size).unwrap(), value)).unwrap();
}

fn is_zero(memory: &LinearMemory) -> bool {
    let (size, mut bytes) = (memory.size().bytes(), Vec::new());
    memory.read(ByteRange::within(0, size.get(), size).unwrap(), &mut bytes).unwrap();
    bytes.iter().all(|byte| *byte == 0)
}

fn grow(memory: &LinearMemory, to: u64) -> Result<(), Refused> {
    memory.open(pages(to), &|| true)?;
    memory.publish(pages(to), &PublishedSize::of(memory));
    Ok(())
}

#[test]
fn after_the_start_no_call_of_the_kernel_is_made_for_any_memory() {
    let kernel = Arc::new(FailingKernel::new());
    let Some(arena) = arena(&kernel) else { return };
    assert_eq!(kernel.mapped_bytes(), FixedAllocator::whole(SLOTS, pages(SLOT)).reserved);
    kernel.forget();
    for _ in 0..3 {
        let memory = create(&arena, 1).unwrap();
        assert!(is_zero(&memory), "whoever had it");
        fill(&memory, 0x5E);
        grow(&memory, SLOT).unwrap();
        fill(&memory, 0x5E);
        assert!(grow(&memory, SLOT + 1).is_err(), "a slot is as long as it is");
        memory.release().unwrap();
        let dropped = create(&arena, SLOT).unwrap();
        fill(&dropped, 0x5E);
    }
    assert_eq!(kernel.calls(), []);
    let memory = create(&arena, SLOT).unwrap();
    assert_eq!(memory.held().unwrap().resident, pages(SLOT).bytes());
    assert_eq!(memory.placed().guard, GuardKind::ProtNone);
    drop(memory);
    drop(arena);
    assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO);
}

#[test]
fn a_fixed_memory_is_verified_and_says_that_its_slot_is_open_past_the_size() {
    let kernel = Arc::new(FailingKernel::new());
    let Some(arena) = arena(&kernel) else { return };
    let other = create(&arena, SLOT).unwrap();
    let form =
        Form { allocator: Allocator::Fixed, verification: Verification::Full, ..Form::default() };
    let shape = Shape { form: form.clone().shared(), ..shape(1) };
    let layout = Layout::of(&shape, PageKind::Base, ByteCount::new(4096)).unwrap();
    let memory = LinearMemory::create(&arena, &layout, &|| true).unwrap();
    fill(&memory, 0x5E);
    let look = || {
        let size = memory.size();
        let promised = Promised { size, most: pages(SLOT), charged: Some(memory.committed(size)) };
        let mut findings = memory.verify_lengths(promised);
        findings.extend(memory.verify_structure(&form));
        let mut scan = Scan::begin(&memory).unwrap();
        while !scan.some(&memory, pages(1).bytes()).unwrap() {}
        findings.extend(scan.findings(Verification::Full));
        findings
    };
    for Finding { check, outcome } in look() {
        match (check, outcome) {
            (Check::Guards, Outcome::PassedBut(what)) => assert!(what.contains("65536"), "{what}"),
            (_, outcome) => assert_eq!(outcome, Outcome::Passed, "{check:?}"),
        }
    }
    grow(&memory, SLOT).unwrap();
    assert!(look().iter().all(|finding| finding.outcome == Outcome::Passed), "all of it is used");
    let gap = memory.base().as_ptr().wrapping_add(pages(SLOT).bytes().as_usize());
    let gap = std::ptr::NonNull::new(gap).unwrap();
    let reprotect = |access| {
        // SAFETY: the guard after the slot, into which no reference points.
        unsafe { Linux.protect(gap, 4096, access) }.unwrap();
    };
    reprotect(Protection::ReadWrite);
    let failed = look().iter().any(|finding| {
        finding.check == Check::Guards && matches!(finding.outcome, Outcome::Failed(_))
    });
    assert!(failed, "a gap that can be read is told");
    reprotect(Protection::None);
    drop((memory, other));
    assert!(is_zero(&create(&arena, SLOT).unwrap()));
}

#[test]
fn there_are_as_many_memories_as_slots_and_then_a_refusal_by_name() {
    let kernel = Arc::new(FailingKernel::new());
    let Some(arena) = arena(&kernel) else { return };
    let mut all: Vec<_> = (0..SLOTS).map(|_| create(&arena, 1).unwrap()).collect();
    let refused = create(&arena, 1).unwrap_err();
    assert_eq!(refused.refused, Refused::FixedSlots);
    let bases: Vec<usize> = all.iter().map(|memory| memory.base().as_ptr().addr()).collect();
    for pair in bases.windows(2) {
        let apart = pair[1].abs_diff(pair[0]);
        assert!(apart >= pages(SLOT).bytes().as_usize() + GUARD.as_usize(), "{bases:x?}");
    }
    all.pop().unwrap().release().unwrap();
    assert!(is_zero(&create(&arena, SLOT).unwrap()));
}

#[test]
fn an_arena_that_any_call_fails_is_not_had_and_nothing_is_left_of_it() {
    let kernel = Arc::new(FailingKernel::new());
    if arena(&kernel).is_none() {
        return;
    }
    // The last of them gives the arena back.
    let calls = kernel.calls();
    assert_eq!(calls.iter().filter(|call| **call == Call::Lock).count(), 3, "{calls:?}");
    for (n, call) in calls.iter().enumerate() {
        for errno in [libc::ENOMEM, libc::EINVAL, libc::EPERM] {
            let kernel = Arc::new(FailingKernel::new());
            kernel.fail_nth(n, errno);
            match (arrange(&kernel), call) {
                (Err(Unarranged::LockLimit { needed, limit, .. }), Call::Lock) => {
                    assert_eq!(needed.get(), 6 * 65_536);
                    assert_ne!(limit.get(), u64::MAX);
                }
                (Err(Unarranged::Host(error)), _) => assert_eq!(error.errno, errno, "{call:?}"),
                // What a host may lack, what a guard is meant to refuse, and the end of it.
                (
                    Ok(arena),
                    Call::Name
                    | Call::Unmap
                    | Call::Advise(Advice::NoHugePage | Advice::PopulateRead),
                ) => drop(arena),
                (other, _) => panic!("{call:?} {errno}: {other:?}"),
            }
            let left = kernel.mapped_bytes();
            assert!(left == ByteCount::ZERO || *call == Call::Unmap, "{call:?} {errno}: {left}");
        }
    }
}

#[test]
fn a_kernel_that_took_every_call_and_locked_nothing_is_found_out() {
    let kernel = Arc::new(FailingKernel::new());
    if arena(&kernel).is_none() {
        return;
    }
    kernel.replace_files([("/proc/self/smaps", "1000-2000 rw-p 0 00:00 0\nLocked: 4 kB\n")]);
    let broken = arrange(&kernel).unwrap_err();
    assert!(matches!(broken, Unarranged::Broken { .. }), "{broken:?}");
    assert!(broken.to_string().contains("fixed.slots"), "{broken}");
    assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO);
}

#[test]
fn a_limit_of_locked_bytes_is_named_with_what_is_needed_and_what_to_do() {
    let error = crate::os::OsError { call: "mlock", errno: libc::ENOMEM, bytes: 65_536 };
    let (limit, needed) = (ByteCount::new(65_536), ByteCount::new(1 << 20));
    let said = Unarranged::LockLimit { limit, needed, error }.to_string();
    for word in ["RLIMIT_MEMLOCK", "65536", "1048576", "ulimit -l", "fixed.slots"] {
        assert!(said.contains(word), "{said:?} lacks {word}");
    }
}

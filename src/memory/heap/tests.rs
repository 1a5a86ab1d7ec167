//! What heap memories claim by themselves, without a lock around them: what is theirs to say by type
//! and by protocol. What they do as memories is claimed with all others (`tests/core/model`).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::memory::heap::{Block, ExclusiveMemory, HeapAllocator, SharedMemory};
use crate::memory::linear::PublishedSize;
use crate::memory::undone::Undone;
use crate::memory::{GuardKind, PageAllocator, Plan, Sources};
use crate::model::Populate;
use crate::os::failing::FailingKernel;
use crate::os::fault;
use crate::os::kernel::{Call, Kernel};
use crate::units::{ByteCount, ByteRange, WasmPages};

const PAGE: u64 = 65_536;

fn pages(count: u64) -> WasmPages {
    WasmPages::new(count).unwrap()
}

fn kernel() -> (Arc<FailingKernel>, HeapAllocator) {
    fault::install().unwrap();
    let kernel = Arc::new(FailingKernel::new());
    let allocator = HeapAllocator::new(Arc::clone(&kernel) as Arc<dyn Kernel>);
    (kernel, allocator)
}

fn block(allocator: &HeapAllocator, size: u64) -> Block {
    allocator.block(pages(size).bytes(), Populate::None, &|| true).unwrap()
}

fn range(start: u64, length: u64, size: u64) -> ByteRange {
    ByteRange::within(start, length, ByteCount::new(size * PAGE)).unwrap()
}

#[test]
fn a_move_in_slices_takes_everything_along_and_leaves_nothing_behind() {
    let (kernel, allocator) = kernel();
    let mut memory = ExclusiveMemory::new(block(&allocator, 3), pages(3));
    let shown = PublishedSize::at(pages(3));
    for at in [0, PAGE + 17, 3 * PAGE - 100] {
        let sources = Sources::from(Bytes::from(vec![0x5E; 100]));
        memory.apply(&Plan::write(at, &sources, ByteCount::new(3 * PAGE)).unwrap()).unwrap();
    }
    let mut before = Vec::new();
    memory.read(range(0, 3 * PAGE, 3), &mut before).unwrap();
    let mut there = crate::memory::Place::new(block(&allocator, 5), pages(5));
    let (mut from, mut slices) = (ByteCount::ZERO, 0);
    while let Some(to) = memory.place().copy_some(&mut there, from, ByteCount::new(4096)).unwrap() {
        (from, slices) = (to, slices + 1);
    }
    assert!((3..10).contains(&slices), "what was never written is not copied: {slices}");
    let old = memory.place().settle(there, &shown);
    assert_eq!((memory.size(), shown.pages()), (pages(5), pages(5)));
    let mut after = Vec::new();
    memory.read(range(0, 5 * PAGE, 5), &mut after).unwrap();
    assert!(after[..before.len()] == before && after[before.len()..].iter().all(|b| *b == 0));
    old.release().unwrap();
    memory.into_memory().release().unwrap();
    assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO);
}

#[test]
fn who_comes_while_a_shared_memory_moves_is_refused_and_has_done_nothing() {
    let (_kernel, allocator) = kernel();
    let memory = SharedMemory::new(block(&allocator, 1), pages(1));
    let mut freezing = memory.freeze().unwrap();
    assert!(memory.freeze().is_none(), "one at a time");
    let polled = Pin::new(&mut freezing).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(moving) = polled else { panic!("nobody is inside") };
    let plan = Plan::fill(range(0, 10, 1), 0x5E);
    assert_eq!(memory.apply(&plan), Err(Undone::Moving));
    assert_eq!(memory.read(range(0, 10, 1), &mut Vec::new()), Err(Undone::Moving));
    drop(moving);
    let mut bytes = Vec::new();
    memory.read(range(0, 10, 1), &mut bytes).unwrap();
    assert_eq!(bytes, [0; 10]);
}

#[test]
fn pages_asked_for_in_advance_are_resident_and_a_block_that_is_not_to_be_had_is_said() {
    let (kernel, allocator) = kernel();
    let length = pages(64).bytes();
    let block = allocator.block(length, Populate::Initial, &|| true).unwrap();
    let memory = ExclusiveMemory::new(block, pages(64));
    assert_eq!(memory.held().unwrap().resident, length);
    assert_eq!(memory.placed().guard, GuardKind::None);
    drop(memory);
    assert!(allocator.block(length, Populate::Initial, &|| false).is_err(), "called off");
    kernel.fail_call(Call::HeapBlock, libc::ENOMEM, 1);
    let refused = allocator.block(length, Populate::None, &|| true).unwrap_err();
    assert!(matches!(refused, crate::memory::Refused::Heap(_)), "{refused:?}");
    assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO);
}

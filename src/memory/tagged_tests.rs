//! What [`TagSource`] claims. On a machine without tags: that it says so and gives nothing. On
//! aarch64: memories with tags, under a processor that has them; on one that has not, each of those
//! tests says that it is left out.

use std::sync::Arc;

use crate::memory::{Granted, TagSource};
use crate::model::{TagRequirement, Tagging};
use crate::os::kernel::Linux;

fn asked(requirement: TagRequirement) -> Tagging {
    Tagging { requirement, ..Tagging::default() }
}

#[test]
fn tags_that_are_not_to_be_had_are_refused_or_done_without_and_the_reason_is_given() {
    let source = TagSource::probe(Arc::new(Linux));
    let not_asked = source.grant(&asked(TagRequirement::Off));
    assert!(matches!(not_asked, Ok(Granted::NotAsked)), "{not_asked:?}");
    let preferred = source.grant(&asked(TagRequirement::Prefer)).unwrap();
    let required = source.grant(&asked(TagRequirement::Require));
    match source.availability() {
        Ok(()) => {
            assert!(matches!(preferred, Granted::With(_)), "{preferred:?}");
            assert!(matches!(required, Ok(Granted::With(_))), "{required:?}");
        }
        Err(why) => {
            assert!(matches!(preferred, Granted::Without(told) if told == why), "{preferred:?}");
            assert_eq!(required.unwrap_err(), why);
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod tagged {
    use bytes::Bytes;

    use super::*;
    use crate::memory::{
        Layout, LinearMemory, MmapAllocator, PageAllocator, Plan, PublishedSize, Refused, Sources,
        Unallocated,
    };
    use crate::model::{Form, Growth, Guard, IndexType, PageKind, Shape, TagMode};
    use crate::os::failing::FailingKernel;
    use crate::os::fault;
    use crate::os::kernel::{Call, Kernel};
    use crate::units::{ByteCount, ByteRange, WasmPages};

    /// What gives tagged pages to those who must have them; none where there are no tags.
    fn allocator(kernel: Arc<dyn Kernel>) -> Option<MmapAllocator> {
        fault::install().unwrap();
        match TagSource::probe(Arc::clone(&kernel)).availability() {
            Ok(()) => Some(MmapAllocator::dedicated(kernel)),
            Err(why) => {
                println!("left out: {why}");
                None
            }
        }
    }

    fn pages(count: u64) -> WasmPages {
        WasmPages::new(count).unwrap()
    }

    fn layout(initial: u64, maximum: u64, mode: TagMode) -> Layout {
        let tagging = Tagging { mode, ..asked(TagRequirement::Require) };
        let shape = Shape {
            initial: pages(initial),
            maximum: pages(maximum),
            index_type: IndexType::I32,
            growth: Growth::Allowed,
            guard: Guard::default(),
            form: Form { tagging, ..Form::default() }.shared(),
        };
        Layout::of(&shape, PageKind::Base, ByteCount::new(65_536)).unwrap()
    }

    fn range(memory: &LinearMemory, offset: u64, length: u64) -> ByteRange {
        ByteRange::within(offset, length, memory.size().bytes()).unwrap()
    }

    fn write(memory: &LinearMemory, offset: u64, bytes: &[u8]) {
        let sources: Sources = Bytes::copy_from_slice(bytes).into();
        let plan = Plan::write(offset, &sources, memory.size().bytes()).unwrap();
        memory.apply(&plan).unwrap();
    }

    fn read(memory: &LinearMemory, offset: u64, length: u64) -> Vec<u8> {
        let mut out = Vec::new();
        memory.read(range(memory, offset, length), &mut out).unwrap();
        out
    }

    #[test]
    fn a_tagged_memory_is_created_written_grown_and_read_in_either_mode() {
        for mode in [TagMode::Synchronous, TagMode::Asynchronous] {
            let Some(allocator) = allocator(Arc::new(Linux)) else { return };
            let memory = LinearMemory::create(&allocator, &layout(1, 3, mode), &|| true).unwrap();
            assert_eq!(memory.placed().tags, Some(mode));
            write(&memory, 65_529, b"the end");
            memory.open(pages(3), &|| true).unwrap();
            memory.publish(pages(3), &PublishedSize::of(&memory));
            write(&memory, 65_530, b"a border");
            assert_eq!(read(&memory, 65_529, 10), b"ta border\0");
            assert_eq!(read(&memory, 0, 3 * 65_536).len(), 3 * 65_536);
            memory.release().map_err(|left| left.error).unwrap();
        }
    }

    #[test]
    fn what_is_wiped_whole_reads_zero_and_its_base_has_another_tag() {
        let Some(allocator) = allocator(Arc::new(Linux)) else { return };
        let memory = allocator.allocate(&layout(2, 4, TagMode::Synchronous), &|| true).unwrap();
        let (none, two) = (ByteCount::ZERO, pages(2).bytes());
        for _ in 0..20 {
            let before = memory.base();
            memory.wipe(none, pages(1).bytes()).unwrap();
            assert_eq!(memory.base(), before, "a part keeps the tag");
            memory.wipe(none, two).unwrap();
            assert_ne!(memory.base(), before);
        }
        memory.open(two, pages(4).bytes(), &|| true).unwrap();
        memory.close(two, pages(4).bytes()).unwrap();
        let before = memory.base();
        memory.wipe(none, two).unwrap();
        assert_ne!(memory.base(), before, "what was closed is not part of it");
        memory.release().map_err(|(_, error)| error).unwrap();
    }

    #[test]
    fn what_is_open_is_resident_and_a_wipe_leaves_it_so() {
        let Some(allocator) = allocator(Arc::new(Linux)) else { return };
        let memory = allocator.allocate(&layout(2, 4, TagMode::Synchronous), &|| true).unwrap();
        let two = pages(2).bytes();
        assert_eq!(memory.held(two).unwrap().resident, two);
        memory.wipe(ByteCount::ZERO, two).unwrap();
        assert_eq!(memory.held(two).unwrap().resident, two);
    }

    #[test]
    fn whatever_call_fails_nothing_is_left_that_is_not_handed_back() {
        let kernel = Arc::new(FailingKernel::new());
        let Some(allocator) = allocator(Arc::<FailingKernel>::clone(&kernel)) else { return };
        let layout = layout(1, 2, TagMode::Synchronous);
        kernel.forget();
        allocator
            .allocate(&layout, &|| true)
            .unwrap()
            .release()
            .map_err(|(_, error)| error)
            .unwrap();
        let calls = kernel.calls().len();
        assert!(calls >= 5, "{:?}", kernel.calls());
        for n in 0..calls - 1 {
            for unmapping_fails in [false, true] {
                kernel.forget();
                kernel.fail_nth(n, 12);
                if unmapping_fails {
                    kernel.fail_call(Call::Unmap, 12, 1);
                }
                let Unallocated { refused, left } =
                    allocator.allocate(&layout, &|| true).unwrap_err();
                let Refused::Host(error) = refused else { panic!("{n}: {refused}") };
                assert_eq!(error.errno, 12, "{n}");
                let mapped = kernel.mapped_bytes() > ByteCount::ZERO;
                assert_eq!(mapped, left.is_some(), "{n}, {unmapping_fails}");
                if let Some((pages, _)) = left {
                    pages.release().map_err(|(_, error)| error).unwrap();
                }
                assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO, "{n}");
            }
        }
    }
}

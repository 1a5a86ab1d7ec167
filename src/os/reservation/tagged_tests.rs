//! What [`Tagged`] claims, against a processor that has tags. On one without them each test says
//! that it is left out.

#![expect(unsafe_code, reason = "reads and writes what was reserved, by the copy routines")]

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::*;
use crate::os::copy::{copy, fill};
use crate::os::failing::FailingKernel;
use crate::os::fault;
use crate::os::kernel::{Call, Linux};
use crate::os::tagging::{MemoryTagging, Tag, TagCheck, TagFaults, TagMask, tag_faults};

const PAGE: u64 = 65_536;
const GRANULE: usize = 16;

/// The counters are the whole process's, so tests that read them take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pages(count: u64) -> ByteCount {
    ByteCount::new(count * PAGE)
}

/// How to tag here; none, and a line that says so, where the processor cannot.
fn tagger(mask: u16, check: TagCheck) -> Option<Tagger> {
    fault::install().unwrap();
    let mask = TagMask::from(NonZero::new(mask).unwrap());
    match MemoryTagging::probe(&Linux) {
        Ok(tagging) => Some(Tagger { tagging, mask, check }),
        Err(why) => {
            println!("left out: {why}");
            None
        }
    }
}

fn reserved(kernel: Arc<dyn Kernel>, tagger: Tagger) -> Result<Tagged, OsError> {
    let (guard, room) = (pages(1), pages(4));
    Tagged::reserve(kernel, guard, room, guard, tagger).map_err(|failed| failed.error)
}

/// One whose first two pages are open and hold `pattern()`.
fn written(tagger: Tagger) -> Tagged {
    let tagged = reserved(Arc::new(Linux), tagger).unwrap();
    tagged.open(pages(0), pages(2)).unwrap();
    put(tagged.body(), &pattern());
    tagged
}

fn pattern() -> Vec<u8> {
    (0..2 * PAGE).map(|at| (at.wrapping_mul(167) ^ (at >> 8)).to_le_bytes()[0]).collect()
}

fn put(at: NonNull<u8>, bytes: &[u8]) {
    // SAFETY: callers stay within what is open, to which there is no reference.
    assert_eq!(unsafe { copy(at.as_ptr(), bytes.as_ptr(), bytes.len()) }, 0);
}

/// The bytes there, and how many were not moved.
fn get(at: NonNull<u8>, length: usize) -> (Vec<u8>, usize) {
    let mut bytes = vec![0xEE; length];
    // SAFETY: callers stay within the reservation, of which each byte is open or inaccessible.
    let left = unsafe { copy(bytes.as_mut_ptr(), at.as_ptr(), length) };
    (bytes, left)
}

/// The address with a tag that is not its own.
fn astray(address: NonNull<u8>) -> NonNull<u8> {
    address.map_addr(|bits| (bits.get() ^ (1 << 56)).try_into().unwrap())
}

fn told_since(before: TagFaults) -> (u64, u64) {
    let now = tag_faults();
    (now.synchronous - before.synchronous, now.asynchronous - before.asynchronous)
}

#[test]
fn a_wrong_tag_is_answered_with_a_count_and_no_byte_is_harmed() {
    let Some(tagger) = tagger(0xFFFE, TagCheck::Synchronous) else { return };
    let _turn = turn();
    let tagged = written(tagger);
    let wrong = astray(tagged.body());
    let before = tag_faults();
    for length in [1, 7, 16, 33, 100, 129, 5000, 65_536] {
        let (bytes, left) = get(wrong, length);
        assert_eq!(left, length);
        assert!(bytes.iter().all(|byte| *byte == 0xEE), "{length} bytes read");
        let source = vec![0x55; length];
        // SAFETY: the target is open memory of ours, though by an address that does not lead there.
        assert_eq!(unsafe { copy(wrong.as_ptr(), source.as_ptr(), length) }, length);
        // SAFETY: as above.
        assert_eq!(unsafe { fill(wrong.as_ptr(), 0x55, length) }, length);
    }
    assert_eq!(told_since(before), (24, 0));
    assert_eq!(get(tagged.body(), pattern().len()), (pattern(), 0));
}

#[test]
fn an_access_that_runs_into_another_tag_ends_there() {
    let Some(tagger) = tagger(0xFFFE, TagCheck::Synchronous) else { return };
    let _turn = turn();
    let tagged = written(tagger);
    let (first, all) = (tagged.tag(), pages(1).as_usize());
    let other = tagger.tagging.draw(tagger.mask, Some(first)).unwrap();
    // SAFETY: the second page, which is open and without references.
    let second = unsafe { tagged.space().body().add(all) };
    // SAFETY: as above; a page is a multiple of 64 bytes.
    unsafe { tagger.tagging.zero_and_tag(second, pages(1), other) }.unwrap();
    put(other.on(second), &vec![0xC3; all]);
    for length in [2, 17, 40, 100, 128, 200, 1000, 5000] {
        for reachable in (0..length).step_by(length / 20 + 1) {
            let at = tagged.body().map_addr(|start| start.checked_add(all - reachable).unwrap());
            let (bytes, left) = get(at, length);
            assert!((length - reachable..=length).contains(&left), "{length}, {reachable}: {left}");
            let moved = length - left;
            assert_eq!(bytes[..moved], pattern()[all - reachable..][..moved]);
            let source = pattern()[all - reachable..all].to_vec();
            let source = [source, vec![0x11; length]].concat();
            // SAFETY: open memory of ours on both sides of the border, without references.
            let left = unsafe { copy(at.as_ptr(), source.as_ptr(), length) };
            assert!((length - reachable..=length).contains(&left), "{length}, {reachable}: {left}");
        }
    }
    assert_eq!(get(tagged.body(), all), (pattern()[..all].to_vec(), 0));
    assert_eq!(get(other.on(second), all), (vec![0xC3; all], 0));
}

#[test]
fn an_asynchronous_fault_happens_and_is_told_by_the_next_call_of_the_kernel() {
    let Some(tagger) = tagger(0xFFFE, TagCheck::Asynchronous) else { return };
    let _turn = turn();
    let tagged = written(tagger);
    let before = tag_faults();
    let wrong = astray(tagged.body());
    // SAFETY: open memory of ours, though by an address that does not lead there.
    assert_eq!(unsafe { fill(wrong.as_ptr(), 0x77, 100) }, 0, "it is not held up");
    // SAFETY: getppid takes nothing.
    assert!(unsafe { libc::getppid() } > 0);
    // An interrupt in the middle of the fill is an entry too: it may be told in parts.
    let told = told_since(before);
    assert!(told.0 == 0 && told.1 >= 1, "{told:?}");
    assert_eq!(get(tagged.body(), 100).0, vec![0x77; 100], "and it did happen");
    // SAFETY: as above.
    assert!(unsafe { libc::getppid() } > 0);
    assert_eq!(told_since(before), told, "a right tag is not told of");
}

#[test]
fn tags_outside_the_mask_never_appear_and_all_within_it_do() {
    for bits in [1_u16 << 15, 1, 0x0006, 0x00F0, 0x8001, 0xFFFE, 0xFFFF] {
        let Some(tagger) = tagger(bits, TagCheck::Synchronous) else { return };
        let mut seen = BTreeSet::new();
        let mut last = None;
        for _ in 0..500 {
            let tag = tagger.tagging.draw(tagger.mask, last).unwrap();
            assert!(tagger.mask.allows(tag), "{bits:#x}: {tag:?}");
            assert!(bits.is_power_of_two() || last != Some(tag), "{bits:#x}: {tag:?} twice");
            seen.insert(tag.number());
            last = Some(tag);
        }
        assert_eq!(seen.len(), bits.count_ones() as usize, "{bits:#x}: {seen:?}");
        let tagged = reserved(Arc::new(Linux), tagger).unwrap();
        assert!(tagger.mask.allows(tagged.tag()), "{bits:#x}");
    }
}

#[test]
fn memory_with_a_new_life_is_zero_and_its_old_address_leads_nowhere() {
    let Some(tagger) = tagger(0xFFFE, TagCheck::Synchronous) else { return };
    let _turn = turn();
    let tagged = written(tagger);
    for _ in 0..20 {
        let (old, tag) = (tagged.body(), tagged.tag());
        tagged.renew(pages(2)).unwrap();
        assert_ne!(tagged.tag(), tag);
        assert_eq!(get(old, 100).1, 100);
        assert_eq!(get(tagged.body(), pattern().len()), (vec![0; pattern().len()], 0));
        put(tagged.body(), &pattern());
    }
}

#[test]
fn a_wipe_is_zero_and_keeps_the_tag_and_the_bytes_beside_it() {
    let Some(tagger) = tagger(0xFFFE, TagCheck::Synchronous) else { return };
    let tagged = written(tagger);
    let (body, host_page) = (tagged.body(), tagged.space().host_page());
    tagged.wipe(ByteCount::new(host_page.get() + 1), ByteCount::new(PAGE - 1)).unwrap();
    assert_eq!(tagged.body(), body);
    let mut expected = pattern();
    expected[host_page.as_usize()..pages(1).as_usize()].fill(0);
    assert_eq!(get(body, expected.len()), (expected, 0));
}

#[test]
fn every_granule_that_is_open_has_the_tag_and_growth_keeps_tag_and_bytes() {
    let Some(tagger) = tagger(0xFFFE, TagCheck::Synchronous) else { return };
    let tagged = written(tagger);
    tagged.open(pages(2), pages(4)).unwrap();
    for at in (0..pages(4).as_usize()).step_by(GRANULE) {
        // SAFETY: within the body, which is open.
        let granule = unsafe { tagged.space().body().add(at) };
        // SAFETY: as above.
        assert_eq!(unsafe { tagger.tagging.tag_at(granule) }, Some(tagged.tag()), "{at}");
    }
    assert_eq!(get(tagged.body(), pattern().len()), (pattern(), 0));
    let rest = tagged.body().map_addr(|start| start.checked_add(2 * 65_536).unwrap());
    assert_eq!(get(rest, pages(2).as_usize()), (vec![0; pages(2).as_usize()], 0));
}

#[test]
fn what_is_not_open_takes_no_tag_and_no_access() {
    let Some(tagger) = tagger(0xFFFE, TagCheck::Synchronous) else { return };
    let tagged = reserved(Arc::new(Linux), tagger).unwrap();
    assert_eq!(get(tagged.body(), 8).1, 8);
    // SAFETY: kept inaccessible.
    assert_eq!(unsafe { tagger.tagging.tag_at(tagged.space().body()) }, None);
    let refused = tagged.wipe(pages(0), pages(1)).unwrap_err();
    assert_eq!(refused, OsError { call: "stz2g", errno: libc::EFAULT, bytes: PAGE });
    for (from, to) in [(pages(2), pages(1)), (pages(0), pages(5)), (ByteCount::new(1), pages(1))] {
        assert_eq!(tagged.open(from, to).unwrap_err().errno, libc::EINVAL, "{from} to {to}");
    }
    assert_eq!(tagged.wipe(pages(0), pages(5)).unwrap_err().errno, libc::EINVAL);
    assert_eq!(tagged.renew(pages(5)).unwrap_err().errno, libc::EINVAL);
}

#[test]
fn a_mapping_that_takes_no_tags_is_found_out() {
    let Some(tagger) = tagger(0x00F0, TagCheck::Synchronous) else { return };
    let tagged = reserved(Arc::new(Linux), tagger).unwrap();
    // Opened without tags, as a kernel that passes over the flag would.
    tagged.space().open(pages(0), pages(1)).unwrap();
    let refused = tagged.wipe(pages(0), pages(1)).unwrap_err();
    assert_eq!(refused, OsError { call: "ldg", errno: libc::ENOTSUP, bytes: PAGE });
}

#[test]
fn each_thread_checks_as_the_memory_that_it_goes_to() {
    let Some(at_once) = tagger(0xFFFE, TagCheck::Synchronous) else { return };
    let _turn = turn();
    let late = Tagger { check: TagCheck::Asynchronous, ..at_once };
    let (at_once, late) = (written(at_once), written(late));
    thread::scope(|scope| {
        for _ in 0..3 {
            let check = || {
                for _ in 0..50 {
                    assert_eq!(get(astray(late.body()), 64).1, 0);
                    assert_eq!(get(astray(at_once.body()), 64).1, 64);
                }
            };
            scope.spawn(check);
        }
    });
}

#[test]
fn a_thread_that_cannot_check_gets_no_byte() {
    let Some(tagger) = tagger(0xFFFE, TagCheck::Synchronous) else { return };
    let kernel = Arc::new(FailingKernel::new());
    let tagged = reserved(Arc::<FailingKernel>::clone(&kernel), tagger).unwrap();
    tagged.open(pages(0), pages(1)).unwrap();
    kernel.fail_call(Call::CheckTags, libc::EINVAL, 1);
    thread::scope(|scope| {
        let accesses = scope.spawn(|| [get(tagged.body(), 100).1, get(tagged.body(), 100).1]);
        assert_eq!(accesses.join().unwrap(), [100, 0], "refused, then not");
    });
}

#[test]
fn a_kernel_that_refuses_is_named_and_nothing_is_left_mapped() {
    let Some(tagger) = tagger(0xFFFE, TagCheck::Synchronous) else { return };
    let kernel = Arc::new(FailingKernel::new());
    let asked = || Arc::<FailingKernel>::clone(&kernel) as Arc<dyn Kernel>;
    kernel.fail_call(Call::CheckTags, libc::EINVAL, 1);
    let refused = thread::scope(|scope| {
        let reserving = scope.spawn(|| reserved(asked(), tagger).unwrap_err());
        reserving.join().unwrap()
    });
    assert_eq!((refused.call, refused.errno), ("prctl(PR_SET_TAGGED_ADDR_CTRL)", libc::EINVAL));
    assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO);
    let tagged = reserved(asked(), tagger).unwrap();
    kernel.fail_call(Call::ProtectTagged, libc::ENOMEM, 1);
    let expected = OsError { call: "mprotect(PROT_MTE)", errno: libc::ENOMEM, bytes: PAGE };
    assert_eq!(tagged.open(pages(0), pages(1)), Err(expected));
    kernel.fail_call(Call::Unmap, libc::ENOMEM, 1);
    let tag = tagged.tag();
    let (tagged, error) = tagged.release().unwrap_err();
    assert_eq!((error.call, tagged.tag()), ("munmap", tag));
    tagged.release().map_err(|(_, error)| error).unwrap();
    assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO);
}

#[test]
fn memory_without_tags_is_reached_as_before() {
    let Some(_tagger) = tagger(0xFFFE, TagCheck::Synchronous) else { return };
    let (none, room) = (ByteCount::ZERO, pages(1));
    let plain = Reservation::reserve(Arc::new(Linux), none, room, none).unwrap();
    plain.open(none, room).unwrap();
    put(plain.body(), &pattern()[..100]);
    assert_eq!(get(plain.body(), 100), (pattern()[..100].to_vec(), 0));
    assert_eq!(Tag::of(0).on(plain.body()), plain.body());
}

//! Claims about verification, for memories in every home: which level finds a flipped byte, when, and
//! that it is never returned; that no write blesses one; that lengths and structure are looked at.

#![expect(unsafe_code, reason = "damages memories as a broken memory module would")]

use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;

use crate::memory::{
    Check, Finding, Layout, LinearMemory, MmapAllocator, Outcome, Plan, PublishedSize, PurgeStep,
    Replica, Scan, Sources, Undone,
};
use crate::model::{
    Backing, Form, Growth, Guard, IndexType, PageKind, Populate, Shape, Verification,
};
use crate::os::failing::FailingKernel;
use crate::os::fault;
use crate::os::kernel::{Advice, Call, Linux};
use crate::units::{ByteCount, ByteRange, PAGE_BYTES, WasmPages};

pub(super) const HOST_PAGE: u64 = 4096;
pub(super) const PAGES: u64 = 4;
pub(super) const SIZE: u64 = PAGES * PAGE_BYTES;
const CHECKED: [Verification; 2] = [Verification::Full, Verification::Redundant];
const KEPT: [Verification; 3] =
    [Verification::Sampling, Verification::Full, Verification::Redundant];

/// A memory in each home that pages can have, and its kernel.
pub(super) fn homes(
    verification: Verification,
) -> Vec<(&'static str, LinearMemory, Arc<FailingKernel>)> {
    fault::install().unwrap();
    let memory = |home: &'static str, room: u64, form: Form| {
        let kernel = Arc::new(FailingKernel::new());
        let (allocator, _slabless) = MmapAllocator::new(Arc::<FailingKernel>::clone(&kernel));
        let form = Form { verification, ..form }.shared();
        let layout = Layout::of(&shape(PAGES, room, form), PageKind::Base, host_page()).unwrap();
        let memory = LinearMemory::create(&allocator, &layout, &|| true).unwrap();
        (home, memory, kernel)
    };
    let memfd = Form { backing: Backing::Memfd, ..Form::default() };
    vec![
        memory("slab", 8, Form::default()),
        memory("dedicated", 64, Form::default()),
        memory("file", 8, memfd),
    ]
}

fn shape(initial: u64, maximum: u64, form: Arc<Form>) -> Shape {
    Shape {
        initial: pages(initial),
        maximum: pages(maximum),
        index_type: IndexType::I32,
        growth: Growth::Allowed,
        guard: Guard::default(),
        form,
    }
}

pub(super) fn pages(count: u64) -> WasmPages {
    WasmPages::new(count).unwrap()
}

const fn host_page() -> ByteCount {
    ByteCount::new(HOST_PAGE)
}

pub(super) fn range(start: u64, length: u64) -> ByteRange {
    ByteRange::within(start, length, ByteCount::new(1 << 30)).unwrap()
}

/// Written everywhere, by pieces that end within host pages.
pub(super) fn written(memory: &LinearMemory) -> Vec<u8> {
    let bytes: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let pieces = bytes.chunks(10_007).map(Bytes::copy_from_slice).collect();
    let sources = Sources::new(pieces);
    memory.apply(&Plan::write(0, &sources, memory.size().bytes()).unwrap()).unwrap();
    bytes
}

fn write(memory: &LinearMemory, offset: u64, bytes: &'static [u8]) -> Result<(), Undone> {
    let sources = Bytes::from_static(bytes).into();
    memory.apply(&Plan::write(offset, &sources, memory.size().bytes()).unwrap())
}

pub(super) fn read(memory: &LinearMemory, start: u64, length: u64) -> Result<Vec<u8>, Undone> {
    let mut out = b"before".to_vec();
    let read = memory.read(range(start, length), &mut out);
    assert_eq!(&out[..6], b"before");
    if read.is_err() {
        assert_eq!(out.len(), 6, "nothing of what is not what was stored is given out");
    }
    read.map(|()| out.split_off(6))
}

/// Changes a byte behind the memory's back.
fn flip(base: NonNull<u8>, at: u64) {
    // SAFETY: `at` is below the size of the memory whose base it is, which nobody else uses.
    let byte = unsafe { base.add(usize::try_from(at).unwrap()) };
    // SAFETY: as above; bytes below the size are readable and writable.
    let before = unsafe { byte.read_volatile() };
    // SAFETY: as above.
    unsafe { byte.write_volatile(before ^ 0x10) };
}

pub(super) fn scanned(memory: &LinearMemory) -> Scan {
    let mut scan = Scan::begin(memory).unwrap();
    while !scan.some(memory, ByteCount::new(3 * HOST_PAGE)).unwrap() {}
    scan
}

fn corrupted<T: std::fmt::Debug>(outcome: Result<T, Undone>, at: u64, of: Replica) {
    match outcome {
        Err(Undone::Corrupted(found)) => {
            assert_eq!((found.page, found.replica), (at / HOST_PAGE, of));
            assert_eq!(found.range, range(at / HOST_PAGE * HOST_PAGE, HOST_PAGE));
            assert_ne!(found.wanted, found.found);
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn outcome(findings: &[Finding], check: Check) -> &Outcome {
    &findings.iter().find(|finding| finding.check == check).unwrap().outcome
}

#[test]
fn off_returns_a_flipped_byte_and_keeps_nothing() {
    for verification in [Verification::Off, Verification::Basic, Verification::Standard] {
        for (home, memory, _) in homes(verification) {
            let mut bytes = written(&memory);
            flip(memory.base(), 70_000);
            bytes[70_000] ^= 0x10;
            assert!(read(&memory, 0, SIZE).unwrap() == bytes, "{home}");
            assert!(Scan::begin(&memory).is_none());
            assert_eq!(memory.kept_bytes(memory.size()), ByteCount::ZERO);
        }
    }
}

#[test]
fn a_flipped_byte_is_corrupted_at_every_read_of_its_page_and_never_returned() {
    for verification in CHECKED {
        for (home, memory, _) in homes(verification) {
            let bytes = written(&memory);
            let at = 70_000_u64;
            let page = at / HOST_PAGE * HOST_PAGE;
            flip(memory.base(), at);
            for (start, length) in [(at, 1), (page, 1), (page + 4095, 1), (0, SIZE), (page - 1, 2)]
            {
                corrupted(read(&memory, start, length), at, Replica::Memory);
            }
            // Its neighbours stand, and a read of nothing is of no page.
            let cut = |from: u64, to: u64| {
                bytes[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].to_vec()
            };
            assert_eq!(read(&memory, 10, page - 10).unwrap(), cut(10, page), "{home}");
            let after = page + HOST_PAGE;
            assert_eq!(read(&memory, after, SIZE - after).unwrap(), cut(after, SIZE), "{home}");
            assert!(read(&memory, at, 0).unwrap().is_empty());
        }
    }
}

#[test]
fn a_flipped_byte_of_the_shadow_copy_is_corrupted_as_well() {
    for (_, memory, _) in homes(Verification::Redundant) {
        written(&memory);
        flip(memory.pages.shadow().unwrap().base(), 70_000);
        corrupted(read(&memory, 69_999, 3), 70_000, Replica::Shadow);
        corrupted(write(&memory, 69_999, b"xyz"), 70_000, Replica::Shadow);
        let scan = scanned(&memory);
        assert_eq!(scan.bad.unwrap().replica, Replica::Shadow);
        let findings = scan.findings(Verification::Redundant);
        assert!(matches!(outcome(&findings, Check::ShadowCopy), Outcome::Failed(_)));
        assert_eq!(outcome(&findings, Check::Checksums), &Outcome::Passed);
    }
}

#[test]
fn a_flipped_byte_of_a_page_that_was_never_written_is_corrupted_when_read() {
    for verification in CHECKED {
        for (_, memory, _) in homes(verification) {
            assert_eq!(read(&memory, 100, 9000).unwrap(), [0; 9000]);
            flip(memory.base(), 5000);
            corrupted(read(&memory, 0, SIZE), 5000, Replica::Memory);
        }
    }
}

#[test]
fn a_partial_write_does_not_bless_a_flipped_byte() {
    for verification in KEPT {
        for (home, memory, _) in homes(verification) {
            let bytes = written(&memory);
            let at = 2 * HOST_PAGE + 7;
            flip(memory.base(), at);
            // Into its page from before, within, and from there on; a fill and a discard too.
            corrupted(write(&memory, 2 * HOST_PAGE - 1, b"xyz"), at, Replica::Memory);
            corrupted(write(&memory, 2 * HOST_PAGE + 100, b"x"), at, Replica::Memory);
            corrupted(write(&memory, 3 * HOST_PAGE - 1, b"xy"), at, Replica::Memory);
            let part = range(2 * HOST_PAGE + 8, 100);
            corrupted(memory.apply(&Plan::fill(part, 1)), at, Replica::Memory);
            corrupted(memory.discard(part), at, Replica::Memory);
            assert_eq!(scanned_to_a_bad_page(&memory), 2, "{home}: nothing of it was made good");
            // Written whole, it is what was stored again.
            memory.apply(&Plan::fill(range(2 * HOST_PAGE, HOST_PAGE), 9)).unwrap();
            let mut wanted = bytes;
            wanted[8192..12_288].fill(9);
            assert!(read(&memory, 0, SIZE).unwrap() == wanted, "{home}");
        }
    }
}

/// The first page that verification finds, within as many as it may take.
fn scanned_to_a_bad_page(memory: &LinearMemory) -> u64 {
    (0..16).find_map(|_| scanned(memory).bad).unwrap().page
}

#[test]
fn verify_names_the_first_bad_page_and_what_was_expected() {
    for verification in CHECKED {
        for (_, memory, _) in homes(verification) {
            written(&memory);
            let scan = scanned(&memory);
            assert_eq!((scan.bad, scan.pages, scan.checked), (None, SIZE / HOST_PAGE, scan.pages));
            flip(memory.base(), 9 * HOST_PAGE + 1);
            flip(memory.base(), 5 * HOST_PAGE + 1);
            let scan = scanned(&memory);
            let bad = scan.bad.unwrap();
            assert_eq!((bad.page, bad.range), (5, range(5 * HOST_PAGE, HOST_PAGE)));
            assert_eq!((scan.pages, scan.checked), (6, 6), "it ends there");
            let findings = scan.findings(verification);
            let Outcome::Failed(why) = outcome(&findings, Check::Checksums) else { panic!() };
            let wanted = format!("{:#018x}", bad.wanted);
            assert!(why.contains("host page 5 at offset 20480") && why.contains(&wanted), "{why}");
        }
    }
}

#[test]
fn sampling_finds_it_within_sixteen_verifications_wherever_it_is() {
    for (home, memory, _) in homes(Verification::Sampling) {
        let bytes = written(&memory);
        let mut checked = Vec::new();
        for _ in 0..16 {
            let scan = scanned(&memory);
            assert_eq!((scan.bad, scan.pages), (None, SIZE / HOST_PAGE));
            checked.push(scan.checked);
        }
        assert_eq!(checked.iter().sum::<u64>(), SIZE / HOST_PAGE, "{home}: each page once");
        assert!(checked.iter().all(|count| *count <= 2 * SIZE / HOST_PAGE / 16), "{checked:?}");
        for at in [0, 5 * HOST_PAGE + 17, SIZE - 1] {
            flip(memory.base(), at);
            // Reads are unchecked.
            assert!(read(&memory, 0, SIZE).unwrap() != bytes);
            assert_eq!(scanned_to_a_bad_page(&memory), at / HOST_PAGE);
            flip(memory.base(), at);
        }
        assert!((0..16).all(|_| scanned(&memory).bad.is_none()));
    }
}

#[test]
fn a_sample_that_was_called_off_is_taken_again() {
    let (_, memory, _) = homes(Verification::Sampling).remove(1);
    written(&memory);
    let mut first = Scan::begin(&memory).unwrap();
    assert!(!first.some(&memory, ByteCount::new(HOST_PAGE)).unwrap());
    drop(first);
    let all: u64 = (0..16).map(|_| scanned(&memory).checked).sum();
    assert_eq!(all, SIZE / HOST_PAGE);
}

#[test]
fn whatever_changes_bytes_keeps_their_checksums_right() {
    for verification in KEPT {
        for (home, memory, kernel) in homes(verification) {
            let mut bytes = written(&memory);
            let discarded = memory.discard(range(5000, 20_000)).unwrap();
            assert_eq!(discarded.get(), 4 * HOST_PAGE);
            bytes[5000..25_000].fill(0);
            let call = if home == "file" { Call::Punch } else { Call::Advise(Advice::DontNeed) };
            kernel.fail_call(call, 22, 1);
            assert_eq!(memory.discard(range(50_000, 20_000)).unwrap(), ByteCount::ZERO);
            bytes[50_000..70_000].fill(0);
            memory.apply(&Plan::fill(range(90_000, 9000), 7)).unwrap();
            bytes[90_000..99_000].fill(7);
            let shown = PublishedSize::of(&memory);
            memory.open(pages(6), &|| true).unwrap();
            memory.publish(pages(6), &shown);
            memory.apply(&Plan::fill(range(SIZE - 3, 6), 8)).unwrap();
            bytes.resize(6 * 65_536, 0);
            bytes[4 * 65_536 - 3..][..6].fill(8);
            assert!(read(&memory, 0, 6 * PAGE_BYTES).unwrap() == bytes, "{home}");
            for _ in 0..16 {
                let scan = scanned(&memory);
                assert_eq!(scan.bad, None, "{home}");
                // Of the four pages that went back nothing is kept.
                assert_eq!(scan.pages, SIZE / HOST_PAGE - 4 + 1, "{home}");
            }
        }
    }
}

#[test]
fn a_purge_forgets_in_every_copy_what_its_pages_were_known_by() {
    for verification in KEPT {
        // The shadow's call is refused at the second turn.
        for refused in [false, verification == Verification::Redundant] {
            for (home, memory, kernel) in homes(verification) {
                let mut bytes = written(&memory);
                let all = ByteCount::new(SIZE);
                memory.set_volatile(range(5000, 20_000), Some(1)).unwrap();
                kernel.forget();
                if refused {
                    // Residency of both, then the memory's own, then the shadow's.
                    kernel.fail_nth(3, 22);
                }
                let copies = verification.copies();
                let gone = range(2 * HOST_PAGE, 4 * HOST_PAGE);
                let given_back = ByteCount::new(4 * HOST_PAGE * copies);
                let purged = PurgeStep::Gone { range: gone, given_back, more: false };
                assert_eq!(memory.purge(1, all), Ok(purged), "{home}");
                assert_eq!(kernel.calls().len() as u64, 2 * copies, "{home}");
                // What went is told before any byte is verified.
                flip(memory.base(), 9000);
                assert!(matches!(read(&memory, 9000, 1), Err(Undone::Purged(_))), "{home}");
                assert!(matches!(write(&memory, 9000, b"x"), Err(Undone::Purged(_))), "{home}");
                flip(memory.base(), 9000);
                for _ in 0..16 {
                    let scan = scanned(&memory);
                    assert_eq!((scan.bad, scan.pages), (None, SIZE / HOST_PAGE - 4), "{home}");
                }
                assert!(memory.set_volatile(range(0, SIZE), None).unwrap().was_purged);
                bytes[8192..8192 + 16_384].fill(0);
                assert!(read(&memory, 0, SIZE).unwrap() == bytes, "{home}");
                write(&memory, 9000, b"again").unwrap();
                bytes[9000..9005].copy_from_slice(b"again");
                assert!(read(&memory, 0, SIZE).unwrap() == bytes, "{home}");
                memory.release().unwrap();
            }
        }
    }
}

#[test]
fn redundancy_costs_everything_twice_and_checksums_eight_bytes_a_page_known_before() {
    let allocator = MmapAllocator::dedicated(Arc::new(Linux));
    let footprint = |verification, populate| {
        let form = Form { verification, populate, ..Form::default() }.shared();
        let layout = Layout::of(&shape(PAGES, 64, form), PageKind::Base, host_page()).unwrap();
        LinearMemory::footprint(&allocator, &layout, host_page())
    };
    for populate in [Populate::None, Populate::Maximum] {
        let off = footprint(Verification::Off, populate);
        let full = footprint(Verification::Full, populate);
        let redundant = footprint(Verification::Redundant, populate);
        let kept = full.overhead.get() - off.overhead.get();
        assert!((8 * SIZE / HOST_PAGE..16_384).contains(&kept), "{kept}");
        assert_eq!((full.committed, full.reserved), (off.committed, off.reserved));
        assert_eq!(redundant.committed.get(), 2 * off.committed.get());
        assert_eq!(redundant.reserved.get(), 2 * off.reserved.get());
        assert_eq!(redundant.mappings, 2 * off.mappings);
        assert_eq!(redundant.overhead.get(), 2 * off.overhead.get() + kept);
    }
    let (_, memory, _) = homes(Verification::Redundant).remove(1);
    assert_eq!(memory.committed(pages(5)).get(), 10 * PAGE_BYTES);
}

#[test]
fn parts_of_a_sample_are_even_whatever_pages_are_written() {
    use crate::memory::integrity::Integrity;
    for step in [1, 2, 16, 512, 4096] {
        let mut parts = [0; 16];
        for number in 0..1600_u64 {
            parts[usize::from(Integrity::part_of(number * step))] += 1;
        }
        let few: BTreeSet<i32> = parts.into_iter().collect();
        assert!(few.iter().all(|count| (50..200).contains(count)), "{step}: {parts:?}");
    }
}

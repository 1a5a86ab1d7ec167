//! Claims about lengths and structure, for memories in every home: what is not as it was made is
//! found without a signal, what is intact is left as it was.

#![expect(unsafe_code, reason = "damages memories as a defect or an attacker would")]

use std::ptr::NonNull;

use crate::memory::integrity_tests::{
    HOST_PAGE, PAGES, SIZE, homes, outcome, pages, range, read, scanned, written,
};
use crate::memory::{Check, LinearMemory, Outcome, Promised, Scan, Undone};
use crate::model::{Form, PageKind, Protection, Verification};
use crate::os::kernel::{Advice, Call, Kernel, Linux, Protection as Access};
use crate::units::ByteCount;

fn promised(memory: &LinearMemory, most: u64) -> Promised {
    let charged = Some(memory.committed(memory.size()));
    Promised { size: memory.size(), most: pages(most), charged }
}

#[test]
fn an_intact_memory_passes_and_nothing_becomes_resident_or_is_disturbed_by_it() {
    for verification in [Verification::Standard, Verification::Redundant] {
        for (home, memory, _) in homes(verification) {
            let neighbours = homes(Verification::Off);
            let before = memory.held().unwrap().resident;
            assert_eq!(before, ByteCount::ZERO, "{home}");
            let most = if home == "dedicated" { 64 } else { 8 };
            let form = Form { verification, ..Form::default() };
            let look = || {
                let mut findings = memory.verify_lengths(promised(&memory, most));
                findings.extend(memory.verify_structure(&form));
                findings
            };
            for finding in look() {
                match finding.check {
                    Check::PublishedPages => {
                        assert!(matches!(finding.outcome, Outcome::Skipped(_)), "{home}");
                    }
                    _ => assert_eq!(finding.outcome, Outcome::Passed, "{home} {finding:?}"),
                }
            }
            assert_eq!(memory.held().unwrap().resident, before, "{home}");
            let bytes = written(&memory);
            assert!(look().iter().all(|finding| finding.outcome == Outcome::Passed), "{home}");
            assert!(read(&memory, 0, SIZE).unwrap() == bytes, "{home}");
            for (_, neighbour, _) in neighbours {
                assert_eq!(neighbour.held().unwrap().resident, ByteCount::ZERO);
            }
            memory.release().unwrap();
        }
    }
}

/// Makes a host page accessible, or not, behind the memory's back.
fn reprotect(base: NonNull<u8>, at: isize, access: Access) {
    let place = NonNull::new(base.as_ptr().wrapping_offset(at)).unwrap();
    // SAFETY: the page is of the memory's own reservation, into which no reference points.
    let done = unsafe { Linux.protect(place, 4096, access) };
    assert_eq!(done, Ok(()));
}

/// Takes a guard of a slab away behind the memory's back.
fn unguard(base: NonNull<u8>, at: isize) {
    let place = NonNull::new(base.as_ptr().wrapping_offset(at)).unwrap();
    // SAFETY: as in reprotect.
    assert_eq!(unsafe { Linux.advise(place, 4096, Advice::GuardRemove) }, Ok(()));
}

#[test]
fn a_guard_taken_away_is_found_by_standard() {
    for verification in [Verification::Standard, Verification::Redundant] {
        let form = Form { verification, ..Form::default() };
        for shadow in [false, verification == Verification::Redundant] {
            for (home, memory, _) in homes(verification) {
                let room = if home == "dedicated" { 64 } else { 8 } * 65_536;
                let base =
                    if shadow { memory.pages.shadow().unwrap().base() } else { memory.base() };
                let size = isize::try_from(SIZE).unwrap();
                for at in [-65_536, -4096, size, room - 4096, room, room + 65_536 - 4096] {
                    // Past the end of a file nothing can be made accessible.
                    if home == "file" && (size..room).contains(&at) {
                        continue;
                    }
                    let passed = memory.verify_structure(&form);
                    assert_eq!(outcome(&passed, Check::Guards), &Outcome::Passed);
                    let is_guarded = home == "slab" && Linux.host_page_bytes() == HOST_PAGE;
                    if is_guarded {
                        unguard(base, at);
                    } else {
                        reprotect(base, at, Access::ReadWrite);
                    }
                    let findings = memory.verify_structure(&form);
                    let Outcome::Failed(why) = outcome(&findings, Check::Guards) else {
                        panic!("{home}: {at} {findings:?}")
                    };
                    // In a slab a guard may be that of both copies.
                    assert!(shadow || why.contains(&at.to_string()), "{home} {at}: {why}");
                    if is_guarded {
                        let place = NonNull::new(base.as_ptr().wrapping_offset(at)).unwrap();
                        // SAFETY: as in reprotect.
                        unsafe { Linux.advise(place, 4096, Advice::GuardInstall) }.unwrap();
                    } else {
                        reprotect(base, at, Access::None);
                    }
                }
            }
        }
    }
}

#[test]
fn a_published_page_that_cannot_be_read_is_found_by_standard_but_not_one_that_was_protected() {
    for verification in [Verification::Standard, Verification::Full] {
        let form = Form { verification, ..Form::default() };
        let (_, memory, _) = homes(verification).remove(1);
        written(&memory);
        memory.protect(range(0, 2 * HOST_PAGE), Protection::None).unwrap();
        let findings = memory.verify_structure(&form);
        assert_eq!(outcome(&findings, Check::PublishedPages), &Outcome::Passed);
        if verification == Verification::Full {
            let scan = scanned(&memory);
            assert_eq!((scan.shut, scan.checked, scan.pages), (2, 62, 64));
        }
        let last = isize::try_from(SIZE - HOST_PAGE).unwrap();
        reprotect(memory.base(), last, Access::None);
        let findings = memory.verify_structure(&form);
        let published = outcome(&findings, Check::PublishedPages);
        assert!(matches!(published, Outcome::Failed(_)), "{published:?}");
        if verification == Verification::Full {
            let mut scan = Scan::begin(&memory).unwrap();
            let lost = scan.some(&memory, ByteCount::new(SIZE));
            assert!(matches!(lost, Err(Undone::Fault(_))), "{lost:?}");
        }
    }
}

#[test]
fn lengths_that_disagree_are_found_by_basic() {
    for (home, memory, _) in homes(Verification::Basic) {
        let most = if home == "dedicated" { 64 } else { 8 };
        let right = promised(&memory, most);
        let passed = memory.verify_lengths(right);
        assert!(passed.iter().all(|finding| finding.outcome == Outcome::Passed), "{passed:?}");
        let wrong = [
            Promised { size: pages(PAGES + 1), ..right },
            Promised { most: pages(most + 1), ..right },
            Promised { charged: Some(ByteCount::new(SIZE - 1)), ..right },
        ];
        for wrong in wrong {
            let findings = memory.verify_lengths(wrong);
            let lengths = outcome(&findings, Check::Lengths);
            assert!(matches!(lengths, Outcome::Failed(_)), "{home}: {wrong:?}");
        }
    }
}

#[test]
fn a_mapping_that_is_too_short_is_found_by_basic() {
    for verification in [Verification::Basic, Verification::Redundant] {
        // Another thread may map something there before the look, though not each time.
        let found = (0..10).any(|_| {
            let (_, memory, _) = homes(verification).remove(1);
            let pages = memory.pages.shadow().unwrap_or(&*memory.pages);
            let guard = NonNull::new(pages.base().as_ptr().wrapping_add(64 * 65_536)).unwrap();
            // SAFETY: the guard after the memory, which nobody uses. What is there from now on is not
            // the memory's to unmap, which is forgotten below.
            unsafe { Linux.unmap(guard, 65_536) }.unwrap();
            let findings = memory.verify_lengths(promised(&memory, 64));
            std::mem::forget(memory);
            matches!(outcome(&findings, Check::Mapping), Outcome::Failed(_))
        });
        assert!(found, "{verification:?}");
    }
}

#[test]
fn what_the_kernel_does_not_say_is_left_out_by_name_and_never_passed() {
    let (_, memory, kernel) = homes(Verification::Standard).remove(1);
    written(&memory);
    kernel.fail_call(Call::Advise(Advice::PopulateRead), 22, u64::MAX);
    kernel.fail_call(Call::Advise(Advice::DontFork), 22, u64::MAX);
    let mut findings = memory.verify_lengths(promised(&memory, 64));
    findings.extend(memory.verify_structure(&Form::default()));
    for check in [Check::Mapping, Check::Guards, Check::PublishedPages] {
        let outcome = outcome(&findings, check);
        assert!(matches!(outcome, Outcome::Skipped(why) if why.contains("madvise")), "{outcome:?}");
    }
}

#[test]
fn pages_of_another_kind_or_on_another_node_than_promised_are_told() {
    let (_, memory, _) = homes(Verification::Standard).remove(1);
    let other = Form { page_kinds: vec![PageKind::Huge2M], ..Form::default() };
    let findings = memory.verify_structure(&other);
    assert!(matches!(outcome(&findings, Check::Placement), Outcome::Failed(_)));
    assert!(!Check::Placement.is_of_integrity());
}

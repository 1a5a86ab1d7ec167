//! What [`Reservation`] claims, against the real kernel and against one that refuses.

#![expect(unsafe_code, reason = "reads and writes what was reserved, by the copy routines")]

use std::fs;

use super::*;
use crate::os::child::{SURVIVED, in_child};
use crate::os::copy::{copy, fill};
use crate::os::failing::FailingKernel;
use crate::os::fault;
use crate::os::host::own_mappings;
use crate::os::kernel::{Call, Linux};

const PAGE: u64 = 65_536;
const STEP: i64 = 65_536;

fn pages(count: u64) -> ByteCount {
    ByteCount::new(count * PAGE)
}

fn reserved(kernel: &Arc<FailingKernel>) -> Result<Reservation, OsError> {
    let kernel = Arc::clone(kernel) as Arc<dyn Kernel>;
    Reservation::reserve(kernel, pages(1), pages(4), pages(2)).map_err(|failed| failed.error)
}

fn on_linux() -> Reservation {
    Reservation::reserve(Arc::new(Linux), pages(1), pages(4), pages(2)).unwrap()
}

/// The byte at an offset of the body, which may be negative; `None` where it cannot be accessed.
fn byte_at(reservation: &Reservation, offset: i64) -> Option<u8> {
    fault::install().unwrap();
    let mut byte = [0_u8];
    let offset = isize::try_from(offset).unwrap();
    let src = reservation.body().as_ptr().wrapping_offset(offset);
    // SAFETY: tests stay within the reservation, of which each byte is open or inaccessible.
    let left = unsafe { copy(byte.as_mut_ptr(), src, 1) };
    (left == 0).then_some(byte[0])
}

fn fill_open(reservation: &Reservation, length: ByteCount) {
    // SAFETY: callers have opened [0, length) of the body, to which there is no reference.
    assert_eq!(unsafe { fill(reservation.body().as_ptr(), 0xA5, length.as_usize()) }, 0);
}

/// The kernel's own mappings that touch the reservation.
fn mappings_of(reservation: &Reservation) -> Vec<String> {
    let begin = reservation.base.as_ptr().addr();
    let end = begin + reservation.total_bytes().as_usize();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let touches = |line: &&str| {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| usize::from_str_radix(at, 16).unwrap());
        from < end && to > begin
    };
    maps.lines().filter(touches).map(str::to_owned).collect()
}

#[test]
fn only_what_is_opened_can_be_accessed_and_it_is_zero() {
    let reservation = on_linux();
    assert_eq!(byte_at(&reservation, 0), None);
    reservation.open(pages(0), pages(2)).unwrap();
    assert_eq!(byte_at(&reservation, 0), Some(0));
    assert_eq!(byte_at(&reservation, 2 * STEP - 1), Some(0));
    for outside in [-1, -STEP, 2 * STEP, 4 * STEP, 6 * STEP - 1] {
        assert_eq!(byte_at(&reservation, outside), None, "{outside}");
    }
}

#[test]
fn opening_again_keeps_the_bytes() {
    let reservation = on_linux();
    reservation.open(pages(0), pages(1)).unwrap();
    fill_open(&reservation, pages(1));
    reservation.open(pages(0), pages(3)).unwrap();
    reservation.open(pages(3), pages(3)).unwrap();
    assert_eq!(byte_at(&reservation, 7), Some(0xA5));
    assert_eq!(byte_at(&reservation, 3 * STEP - 1), Some(0));
}

#[test]
fn growing_step_by_step_takes_three_mappings_and_no_more() {
    let reservation = on_linux();
    for page in 0..4 {
        reservation.open(pages(page), pages(page + 1)).unwrap();
        fill_open(&reservation, pages(page + 1));
        let mappings = mappings_of(&reservation);
        assert!(mappings.len() <= 3, "{mappings:#?}");
    }
}

#[test]
fn a_mapping_bears_the_one_name_or_the_absence_is_told() {
    let reservation = on_linux();
    let named = mappings_of(&reservation).iter().all(|line| line.ends_with("[anon:linmemd]"));
    assert_eq!(named, !reservation.absences().contains(&Absence::MappingName));
}

#[test]
fn ranges_that_are_not_whole_or_not_within_the_body_are_refused_without_asking() {
    let kernel = Arc::new(FailingKernel::new());
    let reservation = reserved(&kernel).unwrap();
    kernel.forget();
    let one = ByteCount::new(1);
    let far = ByteCount::new(u64::MAX);
    for (from, to) in [
        (pages(2), pages(1)),
        (pages(0), pages(5)),
        (one, pages(1)),
        (pages(0), one),
        (pages(0), far),
    ] {
        let refused = reservation.open(from, to).unwrap_err();
        assert_eq!(refused.errno, libc::EINVAL, "{from} to {to}");
    }
    for upto in [ByteCount::new(4 * PAGE + 1), far] {
        assert_eq!(reservation.wipe(ByteCount::ZERO, upto).unwrap_err().errno, libc::EINVAL);
        assert_eq!(
            reservation.resident_bytes(ByteCount::ZERO, upto).unwrap_err().errno,
            libc::EINVAL
        );
    }
    assert_eq!(kernel.calls(), []);
}

#[test]
fn lengths_that_are_not_whole_or_overflow_are_refused_without_asking() {
    let kernel = Arc::new(FailingKernel::new());
    let most = ByteCount::new(u64::MAX - PAGE + 1);
    let half = ByteCount::new(1 << 63);
    let one = ByteCount::new(1);
    for (before, body, after) in [
        (one, pages(1), pages(1)),
        (pages(1), one, pages(1)),
        (pages(1), pages(1), one),
        (pages(1), most, pages(1)),
        (half, pages(0), half),
        (pages(0), half, pages(0)),
    ] {
        let asked = Arc::clone(&kernel) as Arc<dyn Kernel>;
        let refused = Reservation::reserve(asked, before, body, after).unwrap_err();
        assert_eq!(refused.error.errno, libc::EINVAL);
    }
    assert_eq!(kernel.calls(), []);
}

#[test]
fn nothing_is_reserved_without_a_call() {
    let kernel = Arc::new(FailingKernel::new());
    let none = ByteCount::ZERO;
    let asked = Arc::clone(&kernel) as Arc<dyn Kernel>;
    let reservation = Reservation::reserve(asked, none, none, none).unwrap();
    reservation.open(none, none).unwrap();
    reservation.wipe(ByteCount::ZERO, none).unwrap();
    assert_eq!(reservation.resident_bytes(ByteCount::ZERO, none), Ok(none));
    reservation.release().unwrap();
    assert_eq!(kernel.calls(), []);
}

#[test]
fn every_call_that_fails_while_reserving_leaves_no_mapping() {
    let kernel = Arc::new(FailingKernel::new());
    drop(reserved(&kernel).unwrap());
    let calls = kernel.calls();
    assert_eq!(calls.last(), Some(&Call::Unmap));
    for (n, call) in calls.iter().enumerate().take(calls.len() - 1) {
        kernel.forget();
        kernel.fail_nth(n, libc::ENOMEM);
        let refused = reserved(&kernel).unwrap_err();
        assert_eq!((refused.errno, refused.bytes), (libc::ENOMEM, 7 * PAGE), "{call:?}");
        assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO, "{call:?}");
    }
}

/// The same by the kernel's own account, in a process where nothing else maps.
#[test]
fn what_failed_or_was_released_is_gone_from_the_maps() {
    let status = in_child(
        "os::reservation::tests::what_failed_or_was_released_is_gone_from_the_maps",
        || {
            let mapped = || {
                let maps = fs::read_to_string("/proc/self/maps").unwrap();
                let ours = maps.lines().filter(|line| !line.ends_with("[heap]")).map(|line| {
                    let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
                    let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
                    to - from
                });
                ours.sum::<u64>()
            };
            let kernel = Arc::new(FailingKernel::new());
            drop(reserved(&kernel).unwrap());
            let calls = kernel.calls().len();
            let before = mapped();
            for n in 0..calls - 1 {
                kernel.forget();
                kernel.fail_nth(n, libc::EACCES);
                assert_eq!(reserved(&kernel).unwrap_err().errno, libc::EACCES);
                assert_eq!(mapped(), before);
            }
            kernel.forget();
            let held = reserved(&kernel).unwrap();
            assert_eq!(mapped(), before + 7 * PAGE);
            held.release().unwrap();
            assert_eq!(mapped(), before);
        },
    );
    assert_eq!(status.code(), Some(SURVIVED), "{status}");
}

#[test]
fn advice_that_guards_tenants_must_be_taken_and_the_rest_is_told() {
    let kernel = Arc::new(FailingKernel::new());
    for needed in [Advice::DontFork, Advice::DontDump] {
        kernel.fail_call(Call::Advise(needed), libc::EINVAL, 1);
        assert_eq!(reserved(&kernel).unwrap_err().call, needed.call());
    }
    kernel.fail_call(Call::Advise(Advice::NoHugePage), libc::EINVAL, 1);
    kernel.fail_call(Call::Name, libc::EINVAL, 1);
    let without = reserved(&kernel).unwrap();
    assert_eq!(without.absences(), [Absence::HugePageAdvice, Absence::MappingName]);
}

#[test]
fn wiped_bytes_are_zero_and_no_longer_resident() {
    let reservation = on_linux();
    reservation.open(pages(0), pages(4)).unwrap();
    fill_open(&reservation, pages(3));
    assert_eq!(reservation.resident_bytes(ByteCount::ZERO, pages(4)), Ok(pages(3)));
    reservation.wipe(ByteCount::ZERO, ByteCount::new(PAGE + 1)).unwrap();
    let host_page = i64::try_from(host_page(&Linux).get()).unwrap();
    assert_eq!(byte_at(&reservation, STEP), Some(0));
    assert_eq!(byte_at(&reservation, STEP + host_page), Some(0xA5));
    reservation.wipe(ByteCount::ZERO, pages(4)).unwrap();
    assert_eq!(reservation.resident_bytes(ByteCount::ZERO, pages(4)), Ok(pages(0)));
    assert_eq!(byte_at(&reservation, 3 * STEP - 1), Some(0));
}

#[test]
fn residency_is_asked_for_in_bounded_slices() {
    let kernel = Arc::new(FailingKernel::new());
    let slice = host_page(&Linux).get() * pages::RESIDENCY_SLICE as u64;
    let (none, body) = (ByteCount::ZERO, ByteCount::new(2 * slice + PAGE));
    let asked = Arc::clone(&kernel) as Arc<dyn Kernel>;
    let reservation = Reservation::reserve(asked, none, body, none).unwrap();
    reservation.open(none, body).unwrap();
    fill_open(&reservation, pages(1));
    // SAFETY: the last byte of the body, which is open.
    let last = unsafe { reservation.body().add(body.as_usize() - 1) };
    // SAFETY: as above.
    assert_eq!(unsafe { fill(last.as_ptr(), 1, 1) }, 0);
    kernel.forget();
    let expected = ByteCount::new(PAGE + host_page(&Linux).get());
    assert_eq!(reservation.resident_bytes(ByteCount::ZERO, body), Ok(expected));
    assert_eq!(kernel.calls(), [Call::Residency; 3]);
    kernel.fail_nth(1, libc::EAGAIN);
    assert_eq!(reservation.resident_bytes(ByteCount::ZERO, body).unwrap_err().errno, libc::EAGAIN);
}

#[test]
fn a_refused_opening_or_wipe_is_an_error_with_its_numbers() {
    let kernel = Arc::new(FailingKernel::new());
    let reservation = reserved(&kernel).unwrap();
    kernel.fail_call(Call::Protect, libc::ENOMEM, 1);
    let expected = OsError { call: "mprotect", errno: libc::ENOMEM, bytes: 2 * PAGE };
    assert_eq!(reservation.open(pages(1), pages(3)), Err(expected));
    reservation.open(pages(1), pages(3)).unwrap();
    kernel.fail_call(Call::Advise(Advice::DontNeed), libc::EIO, 1);
    assert_eq!(reservation.wipe(ByteCount::ZERO, pages(1)).unwrap_err().errno, libc::EIO);
}

#[test]
fn a_failed_release_returns_the_reservation_whole_and_a_retry_works() {
    let kernel = Arc::new(FailingKernel::new());
    let reservation = reserved(&kernel).unwrap();
    reservation.open(pages(0), pages(1)).unwrap();
    fill_open(&reservation, pages(1));
    kernel.fail_call(Call::Unmap, libc::ENOMEM, 1);
    let failed = reservation.release().unwrap_err();
    assert_eq!(failed.error, OsError { call: "munmap", errno: libc::ENOMEM, bytes: 7 * PAGE });
    assert_eq!(byte_at(&failed.reservation, 0), Some(0xA5));
    assert_eq!(kernel.mapped_bytes(), pages(7));
    failed.reservation.release().unwrap();
    assert_eq!(kernel.mapped_bytes(), ByteCount::ZERO);
}

#[test]
fn a_drop_that_fails_leaks_and_says_how_much() {
    let kernel = Arc::new(FailingKernel::new());
    let reservation = reserved(&kernel).unwrap();
    kernel.fail_call(Call::Unmap, libc::ENOMEM, 1);
    let before = leaked_bytes();
    drop(reservation);
    assert_eq!(leaked_bytes().checked_sub(before), Some(pages(7)));
}

#[test]
fn at_the_map_limit_calls_are_refused_and_everything_can_be_given_back() {
    let status = in_child(
        "os::reservation::tests::at_the_map_limit_calls_are_refused_and_everything_can_be_given_back",
        || {
            let page = host_page(&Linux).get();
            let (none, body) = (ByteCount::ZERO, ByteCount::new(page * 200_000));
            let reservation = Reservation::reserve(Arc::new(Linux), none, body, none).unwrap();
            let every_other = (0..200_000).step_by(2).map(|index| {
                reservation.open(ByteCount::new(index * page), ByteCount::new((index + 1) * page))
            });
            let refused = every_other.filter_map(Result::err).next();
            // A host with a higher limit than the kernel's own default is not driven there.
            if let Some(refused) = refused {
                assert!(refused.is_exhaustion());
                assert!(own_mappings(&Linux).unwrap() > 60_000);
            }
            reservation.release().unwrap();
            assert!(own_mappings(&Linux).unwrap() < 1000);
        },
    );
    assert_eq!(status.code(), Some(SURVIVED), "{status}");
}

#[test]
fn a_span_reaches_no_byte_beside_it() {
    let kernel = Arc::new(FailingKernel::new());
    let none = ByteCount::ZERO;
    let space = Reservation::reserve(Arc::<FailingKernel>::clone(&kernel), none, pages(8), none);
    let space = Arc::new(space.unwrap());
    let span = Span::of(&space, pages(2), pages(4)).unwrap();
    kernel.forget();
    for (from, to) in [(pages(0), pages(5)), (pages(5), pages(5)), (pages(3), pages(2))] {
        for refused in [span.guard(from, to), span.unguard(from, to), span.wipe(from, to)] {
            assert_eq!(refused.unwrap_err().errno, libc::EINVAL);
        }
    }
    assert_eq!(span.resident_bytes(pages(0), pages(5)).unwrap_err().errno, libc::EINVAL);
    assert_eq!(kernel.calls(), [], "the kernel was not asked");
    assert!(Span::of(&space, pages(5), pages(4)).is_none());
    assert!(Span::of(&space, ByteCount::new(u64::MAX), pages(1)).is_none());
}

#[test]
fn the_kernel_says_what_refuses_and_what_is_mapped_and_nothing_becomes_resident() {
    let (kernel, none) = (Arc::new(FailingKernel::new()), ByteCount::ZERO);
    let space = Reservation::reserve(kernel.clone(), pages(1), pages(4), pages(2)).unwrap();
    let page = i64::try_from(pages(1).get()).unwrap();
    let fences = Fences { before: pages(1), body: pages(4), after: pages(2) };
    assert_eq!(space.fences(), fences);
    space.open(none, pages(2)).unwrap();
    let refuses = |at: i64| space.refuses(at * page);
    for (at, refused) in [(-1, true), (2, true), (3, true), (4, true), (5, true)] {
        assert_eq!(refuses(at), Ok(refused), "{at}");
    }
    assert_eq!(space.resident_bytes(none, pages(4)), Ok(none));
    assert_eq!([refuses(0), refuses(1)], [Ok(false), Ok(false)]);
    for nowhere in [-2 * page, 6 * page, i64::MIN, i64::MAX, 1] {
        assert_eq!(space.refuses(nowhere).unwrap_err().errno, libc::EINVAL, "{nowhere}");
    }
    assert_eq!(space.is_mapped(-page, 6 * page), Ok(true));
    kernel.fail_call(Call::Advise(Advice::DontFork), libc::ENOMEM, 1);
    assert_eq!(space.is_mapped(0, page), Ok(false), "a hole");
    assert_eq!(space.is_mapped(-page, 7 * page).unwrap_err().errno, libc::EINVAL);
    kernel.fail_call(Call::Advise(Advice::PopulateRead), libc::EINVAL, u64::MAX);
    let unknown = refuses(-1).unwrap_err();
    assert!(unknown.is_forbidden(), "a kernel without the question is no verdict: {unknown}");
}

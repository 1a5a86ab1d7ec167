//! Claims about faults of instructions: which are recovered, and what becomes of all others.

use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use super::*;
use crate::os::child::{SURVIVED, in_child};
use crate::os::copy::copy;
use crate::os::host_page;
use crate::os::kernel::Linux;
use crate::os::reservation::Reservation;
use crate::units::ByteCount;

const SEEN_PLAIN: i32 = 41;
const SEEN_WITH_ADDRESS: i32 = 42;

fn inaccessible() -> Reservation {
    let page = host_page(&Linux);
    Reservation::reserve(Arc::new(Linux), ByteCount::ZERO, page, ByteCount::ZERO).unwrap()
}

/// Reads inaccessible memory as any bug would.
fn stray_access() {
    let reservation = inaccessible();
    // SAFETY: none. The range is mapped without access, which is what is tested: it faults.
    let byte = unsafe { reservation.body().as_ptr().read_volatile() };
    assert_eq!(byte, 0);
}

fn copy_from_inaccessible_memory() -> usize {
    let reservation = inaccessible();
    let mut target = [0_u8; 100];
    // SAFETY: the source is kept inaccessible, the target is a local array of that length.
    unsafe { copy(target.as_mut_ptr(), reservation.body().as_ptr(), 100) }
}

fn set_handler(signal: c_int, handler: sighandler_t, flags: c_int) {
    // SAFETY: zeroed is a valid action.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    exchange(signal, &raw const action).unwrap();
}

extern "C" fn plain(_: c_int) {
    // SAFETY: ends the process from a handler, which _exit may.
    unsafe { libc::_exit(SEEN_PLAIN) }
}

unsafe extern "C" fn with_address(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: handed on from the kernel.
    let info = unsafe { &*info };
    // SAFETY: a fault's information has an address.
    let address = unsafe { info.si_addr() };
    let code = if address.is_null() { 1 } else { SEEN_WITH_ADDRESS };
    // SAFETY: ends the process from a handler, which _exit may.
    unsafe { libc::_exit(code) }
}

fn died_of(status: ExitStatus, signal: c_int) {
    assert_eq!(status.signal(), Some(signal), "{status}");
}

#[test]
fn a_stray_access_still_kills_the_process() {
    died_of(
        in_child("os::fault::tests::a_stray_access_still_kills_the_process", || {
            install().unwrap();
            assert_eq!(copy_from_inaccessible_memory(), 100);
            stray_access();
        }),
        libc::SIGSEGV,
    );
}

#[test]
fn a_stray_access_under_the_default_action_still_kills_the_process() {
    died_of(
        in_child(
            "os::fault::tests::a_stray_access_under_the_default_action_still_kills_the_process",
            || {
                set_handler(libc::SIGSEGV, libc::SIG_DFL, 0);
                install().unwrap();
                stray_access();
            },
        ),
        libc::SIGSEGV,
    );
}

#[test]
fn an_ignored_fault_kills_and_an_ignored_signal_does_not() {
    died_of(
        in_child("os::fault::tests::an_ignored_fault_kills_and_an_ignored_signal_does_not", || {
            set_handler(libc::SIGSEGV, libc::SIG_IGN, 0);
            set_handler(libc::SIGBUS, libc::SIG_IGN, 0);
            install().unwrap();
            // SAFETY: raise takes a number.
            unsafe { libc::raise(libc::SIGBUS) };
            // SAFETY: as above.
            unsafe { libc::raise(libc::SIGSEGV) };
            stray_access();
        }),
        libc::SIGSEGV,
    );
}

#[test]
fn a_signal_that_was_sent_kills_by_default() {
    died_of(
        in_child("os::fault::tests::a_signal_that_was_sent_kills_by_default", || {
            set_handler(libc::SIGBUS, libc::SIG_DFL, 0);
            install().unwrap();
            // SAFETY: raise takes a number.
            unsafe { libc::raise(libc::SIGBUS) };
        }),
        libc::SIGBUS,
    );
}

#[test]
fn the_handler_before_ours_gets_what_is_not_ours_and_only_that() {
    let status = in_child(
        "os::fault::tests::the_handler_before_ours_gets_what_is_not_ours_and_only_that",
        || {
            set_handler(libc::SIGSEGV, (plain as *const ()).expose_provenance(), 0);
            install().unwrap();
            assert_eq!(copy_from_inaccessible_memory(), 100);
            assert_eq!(fixed_faults(), 1);
            stray_access();
        },
    );
    assert_eq!(status.code(), Some(SEEN_PLAIN), "{status}");
}

#[test]
fn the_handler_before_ours_gets_the_address_if_it_asked() {
    let status =
        in_child("os::fault::tests::the_handler_before_ours_gets_the_address_if_it_asked", || {
            let handler = (with_address as *const ()).expose_provenance();
            set_handler(libc::SIGSEGV, handler, libc::SA_SIGINFO);
            install().unwrap();
            stray_access();
        });
    assert_eq!(status.code(), Some(SEEN_WITH_ADDRESS), "{status}");
}

#[test]
fn installing_twice_is_installing_once() {
    let status = in_child("os::fault::tests::installing_twice_is_installing_once", || {
        install().unwrap();
        install().unwrap();
        assert_eq!(copy_from_inaccessible_memory(), 100);
    });
    assert_eq!(status.code(), Some(SURVIVED), "{status}");
}

#[test]
fn faults_of_many_threads_at_once_are_all_fixed() {
    install().unwrap();
    let before = fixed_faults();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    assert_eq!(copy_from_inaccessible_memory(), 100);
                }
            });
        }
    });
    assert!(fixed_faults() - before >= 2000);
}

#[test]
fn a_handler_that_wanted_to_run_once_runs_once() {
    extern "C" fn returns(_: c_int) {}
    died_of(
        in_child("os::fault::tests::a_handler_that_wanted_to_run_once_runs_once", || {
            let handler = (returns as *const ()).expose_provenance();
            set_handler(libc::SIGSEGV, handler, libc::SA_RESETHAND);
            install().unwrap();
            stray_access();
        }),
        libc::SIGSEGV,
    );
}

#[test]
fn a_page_that_the_host_lost_ends_the_copy_as_a_guard_does() {
    install().unwrap();
    let page = host_page(&Linux);
    let length = page.as_usize() * 2;
    let file = tempfile::tempfile().unwrap();
    file.set_len(length as u64).unwrap();
    let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
    // SAFETY: a null address without MAP_FIXED replaces no mapping.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, fd, 0) };
    assert_ne!(mapped, libc::MAP_FAILED);
    file.set_len(page.get()).unwrap();
    let mut target = vec![1_u8; length];
    // SAFETY: the source is the mapping, to which there is no reference.
    let left = unsafe { copy(target.as_mut_ptr(), mapped.cast(), length) };
    assert!((page.as_usize()..length).contains(&left), "{left}");
    // SAFETY: the mapping made above, which nothing uses any more.
    assert_eq!(unsafe { libc::munmap(mapped, length) }, 0);
}

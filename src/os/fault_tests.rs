//! Claims about signals that no instruction raised: news of lost pages, and what processes send.
//! The handler before ours is the standard library's, as in the daemon, unless a test sets another.

#![expect(unsafe_code, reason = "sends signals as the kernel does")]

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process;
use std::ptr;

use crate::os::child::{SURVIVED, in_child};
use crate::os::copy::copy;
use crate::os::fault::install;
use crate::os::host_page;
use crate::os::kernel::Linux;

/// Sends this thread what the kernel sends about a lost page where `memory_failure_early_kill` is
/// set.
fn news_of_a_lost_page() {
    // SAFETY: zeroed is a valid siginfo_t, which is numbers.
    let mut info = unsafe { MaybeUninit::<libc::siginfo_t>::zeroed().assume_init() };
    info.si_signo = libc::SIGBUS;
    info.si_code = libc::BUS_MCEERR_AO;
    // SAFETY: gettid takes nothing.
    let thread = unsafe { libc::gettid() };
    let call = libc::SYS_rt_tgsigqueueinfo;
    // SAFETY: the numbers are this process, this thread and a signal; `info` is whole.
    let sent = unsafe { libc::syscall(call, process::id(), thread, libc::SIGBUS, &raw const info) };
    assert_eq!(sent, 0);
}

/// Copies from a page whose file has become shorter: a SIGBUS in the middle of the copy.
fn copy_from_a_lost_page() {
    let length = host_page(&Linux).as_usize();
    let file = tempfile::tempfile().unwrap();
    file.set_len(length as u64).unwrap();
    let (access, fd) = (libc::PROT_READ, file.as_raw_fd());
    // SAFETY: a null address without MAP_FIXED replaces no mapping.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, fd, 0) };
    assert_ne!(mapped, libc::MAP_FAILED);
    file.set_len(0).unwrap();
    let mut target = [0_u8; 100];
    // SAFETY: the source is the mapping, to which there is no reference; the target is a local
    // array of that length.
    let left = unsafe { copy(target.as_mut_ptr(), mapped.cast(), 100) };
    assert_eq!(left, 100);
}

#[test]
fn news_of_a_lost_page_ends_nothing_and_its_touch_only_the_copy() {
    let name = "os::fault_tests::news_of_a_lost_page_ends_nothing_and_its_touch_only_the_copy";
    let status = in_child(name, || {
        install().unwrap();
        news_of_a_lost_page();
        copy_from_a_lost_page();
        news_of_a_lost_page();
        copy_from_a_lost_page();
    });
    assert_eq!(status.code(), Some(SURVIVED), "{status}");
}

#[test]
fn news_of_a_lost_page_is_not_left_to_the_default() {
    let name = "os::fault_tests::news_of_a_lost_page_is_not_left_to_the_default";
    let status = in_child(name, || {
        // SAFETY: the default action is no function.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
        install().unwrap();
        news_of_a_lost_page();
        copy_from_a_lost_page();
    });
    assert_eq!(status.code(), Some(SURVIVED), "{status}");
}

/// It would be survived once, and leave copies unprotected.
#[test]
fn a_signal_that_was_sent_kills_under_the_standard_library_too() {
    let name = "os::fault_tests::a_signal_that_was_sent_kills_under_the_standard_library_too";
    let status = in_child(name, || {
        install().unwrap();
        // SAFETY: raise takes a number.
        unsafe { libc::raise(libc::SIGBUS) };
    });
    assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
}

//! What the hardware told of wrong tags, counted: [`tag_faults`].
//!
//! Law: everything here may run in a signal handler: atomics, and no more. A synchronous fault is
//! counted beside the count of bytes that its copy answers. An asynchronous one comes without an
//! address, on the thread that made the access, at whatever that thread does when it next comes back
//! from the kernel; so the count is all there is to say, and a memory whose bytes went astray cannot
//! be named. It is ours only once checking in that mode was asked for: before that it is a bug of
//! somebody else's and goes to the handler before ours.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The codes of SIGSEGV for an asynchronous and for a synchronous tag fault (siginfo.h).
const SEGV_MTEAERR: c_int = 8;
const SEGV_MTESERR: c_int = 9;

static SYNCHRONOUS: AtomicU64 = AtomicU64::new(0);
static ASYNCHRONOUS: AtomicU64 = AtomicU64::new(0);
static LATE_REPORTS: AtomicBool = AtomicBool::new(false);

/// How often since the process began a wrong tag was told of. More than 0 of either is a bug of the
/// daemon's, an attack, or failing hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagFaults {
    /// Of a copy or fill, which answered with a count and moved none of those bytes.
    pub synchronous: u64,
    /// Of some access since the thread's last entry into the kernel (a call or an interrupt), which
    /// did happen. Several since then are told as one.
    pub asynchronous: u64,
}

/// What was told so far.
#[must_use]
pub fn tag_faults() -> TagFaults {
    TagFaults {
        synchronous: SYNCHRONOUS.load(Ordering::Relaxed),
        asynchronous: ASYNCHRONOUS.load(Ordering::Relaxed),
    }
}

/// A thread is about to ask for asynchronous checking.
pub(super) fn expect_late_reports() {
    LATE_REPORTS.store(true, Ordering::Relaxed);
}

/// A fault with this code ended a copy.
pub(in crate::os) fn note_fault(signal: c_int, code: c_int) {
    if signal == libc::SIGSEGV && code == SEGV_MTESERR {
        SYNCHRONOUS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the signal is about an access that is over, so that the instruction that it interrupted
/// has nothing to do with it.
pub(in crate::os) fn is_late(signal: c_int, code: c_int) -> bool {
    signal == libc::SIGSEGV && code == SEGV_MTEAERR
}

/// Whether a late report is ours to count; it is counted then, and the thread goes on.
pub(in crate::os) fn take_late_report() -> bool {
    let ours = LATE_REPORTS.load(Ordering::Relaxed);
    if ours {
        ASYNCHRONOUS.fetch_add(1, Ordering::Relaxed);
    }
    ours
}

#[cfg(test)]
mod tests {
    #![expect(unsafe_code, reason = "sends the signal that the kernel would send")]

    use std::mem::MaybeUninit;
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::os::child::{SURVIVED, in_child};
    use crate::os::fault;

    fn send_late_report() {
        // SAFETY: zeroed is a valid siginfo_t: numbers.
        let mut info = unsafe { MaybeUninit::<libc::siginfo_t>::zeroed().assume_init() };
        info.si_signo = libc::SIGSEGV;
        info.si_code = SEGV_MTEAERR;
        // SAFETY: getpid takes nothing.
        let process = unsafe { libc::getpid() };
        // SAFETY: gettid takes nothing.
        let thread = unsafe { libc::gettid() };
        let (call, info) = (libc::SYS_rt_tgsigqueueinfo, &raw const info);
        // SAFETY: the kernel reads `info`, a whole siginfo_t that outlives the call.
        assert_eq!(unsafe { libc::syscall(call, process, thread, libc::SIGSEGV, info) }, 0);
    }

    #[test]
    fn a_late_report_that_was_asked_for_is_counted_and_the_thread_goes_on() {
        let name = "os::tagging::told::tests::a_late_report_that_was_asked_for_is_counted_and_the_thread_goes_on";
        let status = in_child(name, || {
            fault::install().unwrap();
            expect_late_reports();
            send_late_report();
            assert_eq!(tag_faults(), TagFaults { synchronous: 0, asynchronous: 1 });
        });
        assert_eq!(status.code(), Some(SURVIVED), "{status}");
    }

    #[test]
    fn a_late_report_that_nobody_asked_for_kills() {
        let name = "os::tagging::told::tests::a_late_report_that_nobody_asked_for_kills";
        let status = in_child(name, || {
            // SAFETY: the default action is no function.
            unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
            fault::install().unwrap();
            send_late_report();
        });
        assert_eq!(status.signal(), Some(libc::SIGSEGV), "{status}");
    }
}

//! Children that are confined, make system calls and end.

#![expect(unsafe_code, reason = "fork, and system calls by number")]

use std::fmt;

use libc::{c_int, c_long};

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Killed for a system call.
pub(crate) const KILLED: Ended = Ended::Signal(libc::SIGSYS);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(0) => f.pad("done"),
            Self::Code(errno) => {
                let error = std::io::Error::from_raw_os_error(errno).to_string();
                f.pad(error.split(" (os").next().unwrap_or_default())
            }
            Self::Signal(libc::SIGSYS) => f.pad("killed (SIGSYS)"),
            Self::Signal(signal) => f.pad(&format!("signal {signal}")),
        }
    }
}

/// Does `act` in a child, which ends with what it says.
pub(crate) fn child(act: impl FnOnce() -> i32) -> Ended {
    // SAFETY: the child runs `act`, which allocates at most by the C library's heap, which forks well,
    // takes no lock that another thread may hold, and does not return from here.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        // Whoever hangs is ended, and leaves no core.
        raw(
            libc::SYS_prlimit64,
            [0, libc::RLIMIT_CORE as usize, [0_u64; 2].as_ptr().addr(), 0, 0, 0],
        );
        // SAFETY: alarm takes a number.
        unsafe { libc::alarm(20) };
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_or(255);
        end(code);
    }
    let mut status: c_int = 0;
    // SAFETY: the kernel writes one int to `status`.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child, "waitpid");
    if libc::WIFSIGNALED(status) {
        Ended::Signal(libc::WTERMSIG(status))
    } else {
        Ended::Code(libc::WEXITSTATUS(status))
    }
}

/// Ends the calling thread, a child's only one.
pub(crate) fn end(code: i32) -> ! {
    loop {
        raw(libc::SYS_exit, [usize::try_from(code).unwrap_or(254), 0, 0, 0, 0, 0]);
    }
}

/// A system call by its number; 0 or the error.
pub(crate) fn raw(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> i32 {
    // SAFETY: callers pass numbers, and addresses that are null or of memory of theirs that is long
    // enough for what the kernel reads or writes there.
    let returned = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if returned == -1 { std::io::Error::last_os_error().raw_os_error().unwrap_or(254) } else { 0 }
}

/// The same where what comes back is of use.
pub(crate) fn made(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> Result<usize, i32> {
    // SAFETY: as above.
    let returned = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    usize::try_from(returned)
        .map_err(|_| std::io::Error::last_os_error().raw_os_error().unwrap_or(254))
}

/// Has a signal come, and its handler return, without a call of its own: so that what comes after is
/// the kernel's `rt_sigreturn`. To be prepared before, and awaited after.
pub(crate) mod signal {
    use std::sync::atomic::{AtomicBool, Ordering};

    static CAME: AtomicBool = AtomicBool::new(false);

    extern "C" fn note(_signal: libc::c_int) {
        CAME.store(true, Ordering::Relaxed);
    }

    pub(crate) fn prepare() {
        // SAFETY: zeroed is a valid action; `note` has the signature of a handler without SA_SIGINFO and
        // does nothing but a store.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = (note as *const ()).expose_provenance();
        // SAFETY: a whole action; the old one is not asked for.
        unsafe { libc::sigaction(libc::SIGVTALRM, &raw const action, std::ptr::null_mut()) };
        let soon = libc::timeval { tv_sec: 0, tv_usec: 10_000 };
        let once = libc::itimerval {
            it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
            it_value: soon,
        };
        // SAFETY: the kernel reads one itimerval; the old one is not asked for.
        unsafe { libc::setitimer(libc::ITIMER_VIRTUAL, &raw const once, std::ptr::null_mut()) };
    }

    pub(crate) fn wait() {
        while !CAME.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    }
}

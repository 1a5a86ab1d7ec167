//! The system calls that each kind of thread makes once it serves, and with which arguments.
//!
//! Law: a call is here because somebody makes it, which stands beside it; `tests/confinement` makes
//! every one of them, and is killed for it where it is taken off the list. A call that gives more than
//! it is used for is held to the arguments that are used. Applies nothing (`seccomp.rs`).
//!
//! Every thread may be the one that a signal comes to, that frees the last use of a memory, or that
//! panics: so the calls for these are every thread's.

use libc::c_long;

/// What a thread is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Waits for signals and drains.
    Main,
    /// Takes connections and deals them out.
    Acceptor,
    /// Serves connections.
    Serving,
    /// Answers scrapes and probes.
    Http,
    /// Does slow kernel work and long operations.
    Pool,
    /// Sweeps leases and quarantine, and reads what is read anew.
    Tick,
    /// Purges where the host is short of memory.
    Pressure,
    /// Writes the audit log.
    Audit,
    /// Writes the log.
    Log,
}

/// A system call, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    call: &'static str,
    /// Its number on this processor.
    pub number: c_long,
    /// One of these has to hold, whole; with none, whatever the arguments are.
    pub only: &'static [&'static [Only]],
}

/// A condition on one argument, counted from 0: these bits of it have this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Only {
    /// Which.
    pub argument: u8,
    /// Its bits that count. Above 32 bits of them the argument is looked at whole.
    pub mask: u64,
    /// What they are.
    pub value: u64,
}

impl Allowed {
    /// As its manual page names it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.call.strip_prefix("SYS_").unwrap_or(self.call)
    }
}

/// An int that is this.
const fn is(argument: u8, value: u64) -> Only {
    Only { argument, mask: u32::MAX as u64, value }
}

/// A word without these bits.
const fn without(argument: u8, mask: u64) -> Only {
    Only { argument, mask, value: 0 }
}

macro_rules! calls {
    ($($call:ident $(if $first:expr $(, or $other:expr)*)?;)*) => {
        &[$(Allowed {
            call: stringify!($call),
            number: libc::$call,
            only: &[$(&$first $(, &$other)*)?],
        }),*]
    };
}

const F_DUPFD_CLOEXEC: u64 = libc::F_DUPFD_CLOEXEC as u64;
const F_GETFD: u64 = libc::F_GETFD as u64;
const F_GETFL: u64 = libc::F_GETFL as u64;
const PROT_EXEC: u64 = libc::PROT_EXEC as u64;
const PR_SET_VMA: u64 = libc::PR_SET_VMA as u64;
const PR_SET_VMA_ANON_NAME: u64 = libc::PR_SET_VMA_ANON_NAME as u64;
/// linux/prctl.h: tags of memory, on aarch64.
#[cfg(target_arch = "aarch64")]
const PR_SET_TAGGED_ADDR_CTRL: u64 = 55;
/// To read: no access to write, nothing made, nothing cut off.
const NOT_TO_READ: u64 =
    (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY))
        as u64;
/// The ioctl of `kernel/pagemap.rs`.
const PAGEMAP_SCAN: u64 = 0xC060_6610;

/// What every thread may come to do.
#[rustfmt::skip]
const EVERY: &[Allowed] = calls! {
    // The heap, and the address space of memories. Nothing executable.
    SYS_brk; SYS_madvise; SYS_munmap;
    SYS_mmap if [without(2, PROT_EXEC)];
    SYS_mprotect if [without(2, PROT_EXEC)];
    // The heap asks which node it is on, and waits by sleeping.
    SYS_getcpu; SYS_clock_nanosleep; SYS_nanosleep; SYS_sched_yield;
    // Locks, and what goes on after a stop.
    SYS_futex; SYS_restart_syscall;
    // Where the host's clock is none that can be read without a call.
    SYS_clock_gettime;
    SYS_getrandom;
    // The log before it has a thread; bells of other threads; a signal is passed on to the main thread by either.
    SYS_write; SYS_sendto; SYS_close;
    // One more of a descriptor: the acceptor's reserve, a watched file. A debug build looks at every
    // descriptor that it closes, and whether every socket waits.
    SYS_fcntl if [is(1, F_DUPFD_CLOEXEC)], or [is(1, F_GETFD)], or [is(1, F_GETFL)];
    // A fault within a copy; one elsewhere ends the process by its own signal.
    SYS_rt_sigreturn;
    SYS_rt_sigaction if [is(0, libc::SIGSEGV as u64)], or [is(0, libc::SIGBUS as u64)];
    // A thread's end.
    SYS_rt_sigprocmask; SYS_sigaltstack; SYS_exit;
};

/// Names of mappings.
#[cfg(target_arch = "x86_64")]
const NAMES: &[Allowed] = calls! {
    SYS_prctl if [is(0, PR_SET_VMA), is(1, PR_SET_VMA_ANON_NAME)];
};
/// Names of mappings, and how tags of memory are checked.
#[cfg(target_arch = "aarch64")]
const NAMES: &[Allowed] = calls! {
    SYS_prctl if [is(0, PR_SET_VMA), is(1, PR_SET_VMA_ANON_NAME)],
        or [is(0, PR_SET_TAGGED_ADDR_CTRL)];
};

/// A runtime that waits for its sockets; signals come by one, which whoever is first empties for all.
#[cfg(target_arch = "x86_64")]
const WAITS: &[Allowed] = calls! { SYS_epoll_wait; SYS_epoll_ctl; SYS_read; SYS_recvfrom; };
#[cfg(target_arch = "aarch64")]
const WAITS: &[Allowed] = calls! { SYS_epoll_pwait; SYS_epoll_ctl; SYS_read; SYS_recvfrom; };

/// Connections that are there.
const CONNECTIONS: &[Allowed] = calls! { SYS_writev; SYS_shutdown; };

/// A connection's receive low-water mark.
const MARK: &[Allowed] = calls! {
    SYS_setsockopt if [is(1, libc::SOL_SOCKET as u64), is(2, libc::SO_RCVLOWAT as u64)];
};

/// A connection of a listener's: no other socket is ever made.
const ACCEPTS: &[Allowed] = calls! { SYS_accept4; };

/// Who is on a Unix socket; what is sent does not wait for more.
const DEALS: &[Allowed] = calls! {
    SYS_getsockopt if [is(1, libc::SOL_SOCKET as u64), is(2, libc::SO_PEERCRED as u64)];
    SYS_setsockopt if [is(1, libc::IPPROTO_TCP as u64), is(2, libc::TCP_NODELAY as u64)];
};

/// Files of the kernel's, read. C libraries differ in how they ask for a file's status.
const FILES: &[Allowed] = calls! {
    SYS_openat if [without(2, NOT_TO_READ)];
    SYS_read; SYS_statx; SYS_newfstatat; SYS_fstat; SYS_getdents64;
};

/// Whose a config file is that is read anew, and whether its mount lets anybody write.
const OWNERS: &[Allowed] = calls! { SYS_geteuid; SYS_fstatfs; };

/// What a limit is; none is set.
const LIMITS: &[Allowed] = calls! {
    SYS_prlimit64 if [without(2, u64::MAX)];
};

/// Forms of memories: files, locked pages, nodes, and what is asked about pages.
const FORMS: &[Allowed] = calls! {
    SYS_memfd_create; SYS_ftruncate; SYS_fallocate;
    SYS_mlock; SYS_munlock; SYS_mincore;
    SYS_mbind; SYS_set_mempolicy; SYS_move_pages;
    SYS_ioctl if [is(1, PAGEMAP_SCAN)];
};

/// The watch for pressure: files that tell, and its bell.
#[cfg(target_arch = "x86_64")]
const TELLS: &[Allowed] = calls! { SYS_poll; SYS_lseek; };
#[cfg(target_arch = "aarch64")]
const TELLS: &[Allowed] = calls! { SYS_ppoll; SYS_lseek; };

/// The socket's name is taken away, and the process ends.
#[cfg(target_arch = "x86_64")]
const ENDS: &[Allowed] = calls! { SYS_unlink; SYS_exit_group; };
#[cfg(target_arch = "aarch64")]
const ENDS: &[Allowed] = calls! { SYS_unlinkat; SYS_exit_group; };

impl Role {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Main,
        Self::Acceptor,
        Self::Serving,
        Self::Http,
        Self::Pool,
        Self::Tick,
        Self::Pressure,
        Self::Audit,
        Self::Log,
    ];

    /// Its name, as its threads' begin.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Acceptor => "acceptor",
            Self::Serving => "serving",
            Self::Http => "http",
            Self::Pool => "pool",
            Self::Tick => "tick",
            Self::Pressure => "pressure",
            Self::Audit => "audit",
            Self::Log => "log",
        }
    }

    /// The calls that its threads make, by name, each once.
    #[must_use]
    pub fn allowed(self) -> Vec<Allowed> {
        let groups: &[&[Allowed]] = match self {
            Self::Main => &[WAITS, ENDS],
            Self::Acceptor => &[WAITS, ACCEPTS, DEALS],
            Self::Serving => &[WAITS, CONNECTIONS, MARK],
            Self::Http => &[WAITS, CONNECTIONS, ACCEPTS, FILES, LIMITS],
            Self::Pool => &[FILES, LIMITS, FORMS],
            Self::Tick => &[FILES, OWNERS, FORMS],
            Self::Pressure => &[FILES, FORMS, TELLS],
            // What every thread may do is all that a writer needs.
            Self::Audit | Self::Log => &[],
        };
        let groups = groups.iter().chain([&EVERY, &NAMES]);
        let mut all: Vec<Allowed> = groups.flat_map(|group| group.iter().copied()).collect();
        all.sort_unstable_by_key(Allowed::name);
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_may_run_a_program_start_a_thread_or_make_a_socket() {
        let never = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_socket,
            libc::SYS_socketpair,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_ptrace,
            libc::SYS_process_vm_writev,
            libc::SYS_pkey_mprotect,
            libc::SYS_kill,
        ];
        for role in Role::ALL {
            let allowed = role.allowed();
            assert!(!allowed.iter().any(|allowed| never.contains(&allowed.number)), "{role:?}");
        }
    }

    #[test]
    fn a_call_stands_once_in_a_role_and_has_a_name() {
        for role in Role::ALL {
            let allowed = role.allowed();
            for pair in allowed.windows(2) {
                assert!(pair[0].name() < pair[1].name(), "{role:?}: {}", pair[1].name());
            }
        }
        assert_eq!(EVERY.first().map(Allowed::name), Some("brk"));
    }

    #[test]
    fn what_only_reads_is_told_from_what_does_not() {
        let reads = |flags: libc::c_int| u64::from(flags.unsigned_abs()) & NOT_TO_READ == 0;
        assert!(reads(libc::O_RDONLY | libc::O_CLOEXEC | libc::O_DIRECTORY | libc::O_NONBLOCK));
        for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC, libc::O_TMPFILE] {
            assert!(!reads(flags), "{flags:o}");
        }
    }
}

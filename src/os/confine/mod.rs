//! Confinement: what the process and its threads give up, for good, before they serve, so that who
//! takes one of them over has little of the machine.
//!
//! ```text
//!  process    no new privileges, not dumpable, no core, no new executable memory      privileges.rs
//!             capabilities given up                                                   capabilities.rs
//!             files, TCP, signals by Landlock                                         landlock.rs
//!  thread     the system calls of its role by seccomp                     roles.rs, seccomp.rs
//! ```
//!
//! Law: each method of [`Confiner`] is one measure, taken by the kernel or refused with its error; what
//! a refusal means is the caller's to say. Capabilities, Landlock and filters are a thread's own and
//! pass on to the threads that it starts: the measures of the process are taken while it has one thread.
//! Does not know the config, nor what the threads do beyond their [`Role`].
//!
//! The calls are not of [`crate::os::kernel::Kernel`]: they are made once, at start, and a test refuses
//! them by another [`Confiner`].

mod capabilities;
mod landlock;
mod privileges;
mod roles;
mod seccomp;

use std::fmt;
use std::path::PathBuf;

use crate::os::OsError;

pub use capabilities::{Given, IPC_LOCK};
pub use landlock::{Landlocked, Reach};
pub use roles::{Allowed, Only, Role};
pub use seccomp::{Program, Refusal};

/// Takes measures. The real one is [`Process`]; a test has one that is refused.
pub trait Confiner: Send + Sync + fmt::Debug {
    /// `prctl(PR_SET_NO_NEW_PRIVS)`: no program that is run gives more rights than there are.
    ///
    /// # Errors
    /// That of the call.
    fn no_new_privileges(&self) -> Result<(), OsError>;

    /// `prctl(PR_SET_DUMPABLE)`: no core, and nobody without CAP_SYS_PTRACE looks into the process.
    ///
    /// # Errors
    /// That of the call.
    fn not_dumpable(&self) -> Result<(), OsError>;

    /// `setrlimit(RLIMIT_CORE)` to 0, for good.
    ///
    /// # Errors
    /// That of the call.
    fn no_core(&self) -> Result<(), OsError>;

    /// `prctl(PR_SET_MDWE)`: nothing becomes executable that was not from the start (Linux 6.3).
    ///
    /// # Errors
    /// EINVAL where the kernel does not know it.
    fn no_new_executable_memory(&self) -> Result<(), OsError>;

    /// `capset` and its like: of the capabilities only those of `kept` are left, and of these only the
    /// ones that the process had.
    ///
    /// # Errors
    /// That of the call; EPERM where some are left all the same.
    fn give_up_capabilities(&self, kept: &[u32]) -> Result<Given, OsError>;

    /// `landlock_restrict_self`: no file but those, no TCP, no signal or abstract socket of others.
    ///
    /// # Errors
    /// ENOSYS and EOPNOTSUPP where the kernel has no Landlock or it is switched off.
    fn restrict(&self, reach: &Reach) -> Result<Landlocked, OsError>;

    /// `prctl(PR_SET_SECCOMP)`: the calling thread makes no other call from now on.
    ///
    /// # Errors
    /// EINVAL where the kernel has no such filters.
    fn filter(&self, program: &Program) -> Result<(), OsError>;

    /// How many threads the process has.
    fn threads(&self) -> usize;
}

/// The process itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Confiner for Process {
    fn no_new_privileges(&self) -> Result<(), OsError> {
        privileges::no_new_privileges()
    }

    fn not_dumpable(&self) -> Result<(), OsError> {
        // What is read of it later belongs to root from here on, but for who has it open.
        let _for_want_of_which_placement_says_less = crate::os::kernel::open_page_tables();
        privileges::not_dumpable()
    }

    fn no_core(&self) -> Result<(), OsError> {
        privileges::no_core()
    }

    fn no_new_executable_memory(&self) -> Result<(), OsError> {
        privileges::no_new_executable_memory()
    }

    fn give_up_capabilities(&self, kept: &[u32]) -> Result<Given, OsError> {
        capabilities::give_up(kept)
    }

    fn restrict(&self, reach: &Reach) -> Result<Landlocked, OsError> {
        landlock::restrict(reach)
    }

    fn filter(&self, program: &Program) -> Result<(), OsError> {
        program.apply()
    }

    fn threads(&self) -> usize {
        std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
    }
}

/// What the C library's own heap is to do without from now on: heaps for each thread, for which it
/// counts processors by reading files. The daemon's heap is another.
pub fn keep_one_heap() {
    privileges::keep_one_heap();
}

/// What the daemon reads after its start, of `/proc` and `/sys`. What is not there is not reached.
#[must_use]
pub fn facts_read_later() -> Vec<PathBuf> {
    [
        "/proc/self",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/pressure/memory",
        "/proc/sys/kernel/osrelease",
        "/proc/sys/vm/max_map_count",
        "/sys/kernel/mm/hugepages",
        "/sys/kernel/mm/transparent_hugepage",
        "/sys/devices/system/node",
    ]
    .iter()
    .map(PathBuf::from)
    .collect()
}

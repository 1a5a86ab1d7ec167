//! [`Confinement`]: what of the host the config has use for, the rest given up, and what became of each
//! measure.
//!
//! ```text
//! listens, asks to be told of pressure ── begin ──> threads start ── each enters its role ──> settle
//!                                         process                     system calls            told, or
//!                                                                                             no start
//! ```
//!
//! Law: taken for good, in the process's one thread before any other is started, so that all inherit
//! it; a thread's own part is the first that it does. What cannot be had is told, by name and with the
//! reason, and keeps the daemon from serving only where the config requires it. Makes no system call.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::config::{Config, Confinement as Wanted, Measure, Seccomp};
use crate::daemon::reach::read_later;
use crate::daemon::start_error::StartError;
use crate::os::OsError;
use crate::os::confine::{self, Confiner, IPC_LOCK, Program, Reach, Refusal, Role};
use crate::os::kernel::Kernel;
use crate::os::limits;

/// Whether a measure is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All of it.
    On,
    /// As much of it as this kernel has.
    Partly,
    /// Nothing of it, for want of something.
    Off,
    /// Nothing of it, as the config says.
    SwitchedOff,
}

impl State {
    /// Its name, everywhere.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Partly => "partly",
            Self::Off => "off",
            Self::SwitchedOff => "switched_off",
        }
    }
}

/// What became of a measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub measure: Measure,
    /// Whether it is taken.
    pub state: State,
    /// What is left or missing, or why it is not taken; empty where there is nothing to say.
    pub reason: String,
}

/// A daemon's confinement; shared by its threads.
#[derive(Clone)]
pub struct Confinement(Option<Arc<Shared>>);

struct Shared {
    confiner: Box<dyn Confiner>,
    wanted: Wanted,
    /// Those of the config that are read again.
    files: Vec<PathBuf>,
    programs: BTreeMap<Role, Result<Program, OsError>>,
    progress: Mutex<Progress>,
    entered: Condvar,
}

#[derive(Default)]
struct Progress {
    told: Vec<Told>,
    expected: usize,
    entered: usize,
    refused: Option<(Role, OsError)>,
}

impl fmt::Debug for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Confinement").field(&self.told()).finish()
    }
}

impl Confinement {
    /// None: for a daemon that shares its process with others, as in tests.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// As the config says; nothing is taken yet.
    #[must_use]
    pub fn new(config: &Config, config_file: Option<&Path>, confiner: Box<dyn Confiner>) -> Self {
        let wanted = config.confinement.clone();
        let refusal = match wanted.seccomp {
            Seccomp::Enforce => Some(Refusal::Kill),
            Seccomp::Log => Some(Refusal::Log),
            Seccomp::Off => None,
        };
        let program = |role: Role| Some((role, Program::of(&role.allowed(), refusal?)));
        Self(Some(Arc::new(Shared {
            confiner,
            files: read_later(config, config_file),
            programs: Role::ALL.into_iter().filter_map(program).collect(),
            progress: Mutex::default(),
            entered: Condvar::new(),
            wanted,
        })))
    }

    /// Takes the measures of the process. The calling thread is its only one, and everything that is not
    /// to be had afterwards is had: addresses, the socket, what tells of pressure.
    ///
    /// # Errors
    /// [`StartError::Unconfined`] with the first that is required and not to be had.
    pub fn begin(&self, kernel: &dyn Kernel, socket: Option<&Path>) -> Result<(), StartError> {
        let Some(shared) = &self.0 else { return Ok(()) };
        confine::keep_one_heap();
        let told = shared.measures(kernel, socket);
        for one in &told {
            shared.judge(one)?;
        }
        shared.progress().told = told;
        Ok(())
    }

    /// So many more threads will [`Self::enter`].
    pub fn expect(&self, threads: usize) {
        if let Some(shared) = &self.0 {
            let mut progress = shared.progress();
            progress.expected = progress.expected.saturating_add(threads);
        }
    }

    /// Starts a thread of this name that prepares, enters its role and then works.
    ///
    /// # Errors
    /// What the host says.
    pub(super) fn spawn(
        &self,
        name: String,
        role: Role,
        prepare: impl FnOnce() + Send + 'static,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        self.expect(1);
        let confinement = self.clone();
        thread::Builder::new().name(name).spawn(move || {
            prepare();
            confinement.enter(role);
            work();
        })
    }

    /// The calling thread keeps to its role from now on.
    pub fn enter(&self, role: Role) {
        let Some(shared) = &self.0 else { return };
        let outcome = match shared.programs.get(&role) {
            Some(Ok(program)) => shared.confiner.filter(program),
            Some(Err(none)) => Err(*none),
            None => Ok(()),
        };
        let mut progress = shared.progress();
        progress.entered = progress.entered.saturating_add(1);
        // Of several, the same one is told whichever thread was first.
        if let Err(error) = outcome
            && progress.refused.is_none_or(|(first, _)| role < first)
        {
            progress.refused = Some((role, error));
        }
        drop(progress);
        shared.entered.notify_all();
    }

    /// Waits until every expected thread has entered, and enters the main thread's role.
    ///
    /// # Errors
    /// [`StartError::Unconfined`] where one could not and that is required.
    pub fn settle(&self) -> Result<(), StartError> {
        self.expect(1);
        self.enter(Role::Main);
        self.conclude()
    }

    /// The same without a role of the calling thread's own.
    pub(super) fn conclude(&self) -> Result<(), StartError> {
        let Some(shared) = &self.0 else { return Ok(()) };
        let mut progress = shared.progress();
        while progress.entered < progress.expected {
            progress = shared.entered.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
        let seccomp = shared.seccomp(&progress);
        progress.told.push(seccomp.clone());
        drop(progress);
        shared.judge(&seccomp)
    }

    /// What became of each measure, in the order in which they are taken.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.0.as_ref().map(|shared| shared.progress().told.clone()).unwrap_or_default()
    }

    /// One line of the log, and one for each measure that is wanted and not taken.
    pub fn log(&self) {
        let told = self.told();
        let of = |state: State| {
            let words = told.iter().filter(|one| one.state == state);
            words.map(|one| one.measure.word()).collect::<Vec<_>>().join(", ")
        };
        if !told.is_empty() {
            let (on, partly) = (of(State::On), of(State::Partly));
            let (off, switched_off) = (of(State::Off), of(State::SwitchedOff));
            tracing::info!(on, partly, off, switched_off, "confined");
        }
        for one in told.iter().filter(|one| matches!(one.state, State::Off | State::Partly)) {
            let (measure, reason) = (one.measure.word(), &one.reason);
            tracing::warn!(measure, reason, "not wholly confined");
        }
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, told: &Told) -> Result<(), StartError> {
        if told.state == State::Off && self.wanted.require.contains(&told.measure) {
            let (measure, reason) = (told.measure.word(), told.reason.clone());
            return Err(StartError::Unconfined { measure, reason });
        }
        Ok(())
    }

    fn measures(&self, kernel: &dyn Kernel, socket: Option<&Path>) -> Vec<Told> {
        let threads = self.confiner.threads();
        let mut told = vec![
            plain(Measure::NoNewPrivileges, self.confiner.no_new_privileges()),
            plain(Measure::NotDumpable, self.confiner.not_dumpable()),
            plain(Measure::NoCore, self.confiner.no_core()),
            plain(Measure::NoNewExecutableMemory, self.confiner.no_new_executable_memory()),
            self.capabilities(),
            self.landlock(&self.reach(kernel, socket)),
        ];
        // Which is never so in the daemon itself.
        if threads > 1 {
            let inherited = [Measure::NoNewPrivileges, Measure::Capabilities, Measure::Landlock];
            for one in told.iter_mut().filter(|one| inherited.contains(&one.measure)) {
                if one.state == State::On {
                    one.state = State::Partly;
                    one.reason = format!("{threads} threads were there before; {}", one.reason);
                }
            }
        }
        told
    }

    fn capabilities(&self) -> Told {
        let kept: &[u32] = if self.wanted.keep_ipc_lock { &[IPC_LOCK] } else { &[] };
        let measure = Measure::Capabilities;
        match self.confiner.give_up_capabilities(kept) {
            Err(error) => off(measure, &error),
            Ok(given) => {
                let mut reason = match given.permitted {
                    0 => "none is left".to_owned(),
                    _ => "CAP_IPC_LOCK is kept, for RAM locked past RLIMIT_MEMLOCK".to_owned(),
                };
                if given.bounding & !given.permitted != 0 {
                    reason.push_str("; the bounding set stays, for want of CAP_SETPCAP");
                }
                Told { measure, state: State::On, reason }
            }
        }
    }

    fn landlock(&self, reach: &Reach) -> Told {
        let measure = Measure::Landlock;
        if !self.wanted.landlock {
            let reason = "confinement.landlock = false".to_owned();
            return Told { measure, state: State::SwitchedOff, reason };
        }
        match self.confiner.restrict(reach) {
            Err(error) => off(measure, &error),
            Ok(done) => {
                let mut reason = format!("version {}, {} paths in reach", done.abi, done.paths);
                if !done.without.is_empty() {
                    reason.push_str("; this kernel cannot refuse ");
                    reason.push_str(&done.without.join(", "));
                }
                let state = if done.without.is_empty() { State::On } else { State::Partly };
                Told { measure, state, reason }
            }
        }
    }

    fn seccomp(&self, progress: &Progress) -> Told {
        let measure = Measure::Seccomp;
        let (state, reason) = match (self.wanted.seccomp, progress.refused) {
            (Seccomp::Off, _) => (State::SwitchedOff, "confinement.seccomp = \"off\"".to_owned()),
            (_, Some((role, error))) => {
                (State::Off, format!("of {} threads: {error}", role.word()))
            }
            (Seccomp::Log, None) => {
                (State::Partly, "confinement.seccomp = \"log\": told of, not refused".to_owned())
            }
            (Seccomp::Enforce, None) => {
                let serving = Role::Serving.allowed().len();
                let most = Role::ALL.map(|role| role.allowed().len()).into_iter().max();
                let most = most.unwrap_or(0);
                (State::On, format!("{serving} system calls while serving, {most} at most"))
            }
        };
        Told { measure, state, reason }
    }

    /// What is read after this, and where a name is taken away: the config's files, the
    /// socket's folder, and what the kernel tells of this host.
    fn reach(&self, kernel: &dyn Kernel, socket: Option<&Path>) -> Reach {
        let mut read = confine::facts_read_later();
        read.extend(limits::files_read_later(kernel));
        read.extend(self.files.iter().cloned());
        let remove_in = socket.and_then(Path::parent).map(Path::to_owned);
        Reach { read, remove_in: remove_in.into_iter().collect() }
    }
}

fn plain(measure: Measure, outcome: Result<(), OsError>) -> Told {
    match outcome {
        Ok(()) => Told { measure, state: State::On, reason: String::new() },
        Err(error) => off(measure, &error),
    }
}

fn off(measure: Measure, error: &OsError) -> Told {
    let wants = match (measure, error.errno) {
        (Measure::NoNewExecutableMemory, libc::EINVAL) => "; from Linux 6.3 on",
        (Measure::Landlock, libc::ENOSYS) => {
            "; from Linux 5.13 on, where the kernel has it built in"
        }
        (Measure::Landlock, libc::EOPNOTSUPP) => "; the kernel has it, its lsm= parameter does not",
        (Measure::Landlock, libc::EPERM) => "; the container's seccomp profile forbids it",
        _ => "",
    };
    Told { measure, state: State::Off, reason: format!("{error}{wants}") }
}

#[cfg(test)]
#[path = "confinement_tests.rs"]
mod tests;

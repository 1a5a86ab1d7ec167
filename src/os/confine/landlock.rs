//! Landlock: which files can be reached, and no TCP, signals or abstract sockets of others.
//!
//! Law: all that the running kernel can refuse is refused, and what it cannot is told; the version of
//! its interface is asked for, never guessed. A file of `/proc` is held open for good: the kernel makes
//! another inode of it once nobody looks at it, and a rule is about an inode. The crate of that name was
//! not taken: it takes what there is without telling what there is not, and closes those files.

#![expect(unsafe_code, reason = "three system calls that the C library does not have")]

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::os::OsError;
use crate::os::confine::privileges::last_errno;

/// What can be reached; nothing else can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Files, and folders with all that is in them, that can be read.
    pub read: Vec<PathBuf>,
    /// Folders in which names can be taken away.
    pub remove_in: Vec<PathBuf>,
}

/// What Landlock keeps this thread, and those that it starts, from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landlocked {
    /// The version of the kernel's interface.
    pub abi: u32,
    /// What this version cannot refuse.
    pub without: Vec<&'static str>,
    /// Paths that rules were made for.
    pub paths: usize,
}

// linux/landlock.h.
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_FILE: u64 = 1 << 5;
/// Everything that version 1 knows: execute, write, read, list, remove two, make seven.
const FILES: u64 = (1 << 13) - 1;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEVICE: u64 = 1 << 15;
const TCP: u64 = 0b11;
const SCOPES: u64 = 0b11;
const CREATE_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;

/// `struct landlock_ruleset_attr`, as of version 6.
#[repr(C)]
struct Ruleset {
    files: u64,
    net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    access: u64,
    parent: i32,
}

/// Files of `/proc` with rules: see above.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

pub(super) fn restrict(reach: &Reach) -> Result<Landlocked, OsError> {
    let abi = version()?;
    let later: [(u32, u64, &'static str); 3] = [
        (2, REFER, "files moved between folders"),
        (3, TRUNCATE, "files truncated"),
        (5, IOCTL_DEVICE, "ioctl of devices"),
    ];
    let has = |version: u32| abi >= version;
    let files =
        later.iter().filter(|(from, ..)| has(*from)).fold(FILES, |all, (_, bit, _)| all | bit);
    let mut without: Vec<&str> =
        later.iter().filter(|(from, ..)| !has(*from)).map(|(.., what)| *what).collect();
    if !has(4) {
        without.push("TCP");
    }
    if !has(6) {
        without.push("signals and abstract sockets of others");
    }
    let ruleset = create(&Ruleset {
        files,
        net: if has(4) { TCP } else { 0 },
        scoped: if has(6) { SCOPES } else { 0 },
    })?;
    let mut paths = 0_usize;
    let rules = reach.read.iter().map(|path| (path, READ_FILE | READ_DIR));
    let rules = rules.chain(reach.remove_in.iter().map(|path| (path, REMOVE_FILE)));
    for (path, access) in rules {
        // What is not there needs no rule.
        if let Ok(file) = open(path) {
            add(&ruleset, file, path, access)?;
            paths = paths.saturating_add(1);
        }
    }
    // SAFETY: the call takes a descriptor, open as long as `ruleset`, and flags.
    let done =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
    if done != 0 {
        return Err(refused("landlock_restrict_self"));
    }
    Ok(Landlocked { abi, without, paths })
}

fn version() -> Result<u32, OsError> {
    let none: *const Ruleset = std::ptr::null();
    // SAFETY: with this flag the call takes no address and no length, and touches no memory.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, CREATE_VERSION) };
    u32::try_from(version).map_err(|_negative| refused("landlock_create_ruleset"))
}

/// A kernel that knows a shorter structure takes this one while what it does not know is 0.
fn create(ruleset: &Ruleset) -> Result<OwnedFd, OsError> {
    // SAFETY: the kernel reads one Ruleset, which outlives the call and has its layout.
    let made = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(ruleset),
            size_of::<Ruleset>(),
            0_u32,
        )
    };
    let made = i32::try_from(made).ok().filter(|descriptor| *descriptor >= 0);
    let made = made.ok_or_else(|| refused("landlock_create_ruleset"))?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has its number.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)
}

fn add(ruleset: &OwnedFd, file: File, path: &Path, access: u64) -> Result<(), OsError> {
    // The kernel refuses rights of folders for what is none.
    let is_folder = file.metadata().is_ok_and(|metadata| metadata.is_dir());
    let access = if is_folder { access } else { access & READ_FILE };
    let rule = PathBeneath { access, parent: file.as_raw_fd() };
    // SAFETY: the kernel reads one PathBeneath, which outlives the call and has its layout; both
    // descriptors are open as long as `ruleset` and `file`.
    let added = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_PATH_BENEATH,
            std::ptr::from_ref(&rule),
            0_u32,
        )
    };
    if added != 0 {
        return Err(refused("landlock_add_rule"));
    }
    if path.starts_with("/proc") {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }
    Ok(())
}

fn refused(call: &'static str) -> OsError {
    OsError { call, errno: last_errno(), bytes: 0 }
}

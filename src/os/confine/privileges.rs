//! The measures of the whole process that take a number each: `prctl` and `setrlimit`.
//!
//! Law: `mod.rs`'s: one measure each, its error handed back. None of them can be taken back.

#![expect(unsafe_code, reason = "prctl, which no library wraps for these numbers")]

use std::ffi::{c_int, c_ulong};
use std::io;

use nix::sys::resource::{Resource, setrlimit};

use crate::os::OsError;

// linux/prctl.h; the C library of many hosts is older.
const PR_SET_MDWE: c_int = 65;
const PR_MDWE_REFUSE_EXEC_GAIN: c_ulong = 1;

pub(super) fn no_new_privileges() -> Result<(), OsError> {
    prctl("prctl(PR_SET_NO_NEW_PRIVS)", libc::PR_SET_NO_NEW_PRIVS, 1)
}

pub(super) fn not_dumpable() -> Result<(), OsError> {
    prctl("prctl(PR_SET_DUMPABLE)", libc::PR_SET_DUMPABLE, 0)
}

pub(super) fn no_new_executable_memory() -> Result<(), OsError> {
    prctl("prctl(PR_SET_MDWE)", PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN)
}

pub(super) fn no_core() -> Result<(), OsError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|errno| OsError {
        call: "setrlimit(RLIMIT_CORE)",
        errno: errno as i32,
        bytes: 0,
    })
}

/// One heap of the C library's, grown by `brk`.
pub(super) fn keep_one_heap() {
    // malloc.h; of no other C library than GNU's.
    #[cfg(target_env = "gnu")]
    {
        const M_ARENA_MAX: c_int = -8;
        // SAFETY: mallopt takes two numbers, and may be called at any time.
        unsafe { libc::mallopt(M_ARENA_MAX, 1) };
    }
}

/// A prctl that takes one number; the three that follow it have to be 0.
pub(super) fn prctl(call: &'static str, option: c_int, value: c_ulong) -> Result<(), OsError> {
    const NONE: c_ulong = 0;
    // SAFETY: these options take numbers only and touch no memory of ours.
    if unsafe { libc::prctl(option, value, NONE, NONE, NONE) } == 0 {
        Ok(())
    } else {
        Err(OsError { call, errno: last_errno(), bytes: 0 })
    }
}

pub(super) fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL)
}

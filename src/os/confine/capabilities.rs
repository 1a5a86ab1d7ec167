//! Capabilities: all are given up but those that are named, in all five sets of the calling thread.
//!
//! | capability | what the daemon uses it for | kept |
//! |---|---|---|
//! | CAP_IPC_LOCK | RAM locked past RLIMIT_MEMLOCK: `locking`, partitions, the fixed arena | where the config says so |
//! | CAP_SYS_RESOURCE | to be told of pressure in windows of one second | until that is asked for |
//! | CAP_NET_BIND_SERVICE, CAP_DAC_OVERRIDE | a port below 1024; the folder of a socket that is another's | until it listens |
//! | CAP_SETPCAP | to give up the bounding set | until then |
//! | any other | nothing: mbind, set_mempolicy, move_pages and PAGEMAP_SCAN of the own pages, memory files of huge pages, a higher nice, the own processors ask for none | no |
//!
//! Law: what is left is looked at afterwards, and is what is told. Who has no CAP_SETPCAP keeps the
//! bounding set, which gives nothing to a process without new privileges.

#![expect(unsafe_code, reason = "capget and capset, which the C library does not have")]

use std::ffi::{c_int, c_ulong};

use crate::os::OsError;
use crate::os::confine::privileges::last_errno;

/// CAP_IPC_LOCK.
pub const IPC_LOCK: u32 = 14;

/// More than any kernel has: they are bits of a u64.
const MOST: u32 = 64;

/// What is left of the capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Those that the thread has, a bit each.
    pub permitted: u64,
    /// Those that the bounding set still has, a bit each.
    pub bounding: u64,
}

/// `struct __user_cap_header_struct`, of linux/capability.h.
#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

/// `struct __user_cap_data_struct`: 32 capabilities of three sets.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two of [`Sets`].
const VERSION: u32 = 0x2008_0522;

pub(super) fn give_up(kept: &[u32]) -> Result<Given, OsError> {
    let keep =
        kept.iter().fold(0_u64, |bits, number| bits | 1_u64.checked_shl(*number).unwrap_or(0));
    for number in 0..MOST {
        if keep & 1_u64.checked_shl(number).unwrap_or(0) == 0 && is_bounding(number) {
            // Refused to who has no CAP_SETPCAP; what is left of it is told.
            let _may_stay = one(libc::PR_CAPBSET_DROP, c_ulong::from(number));
        }
    }
    // Linux 4.3 has such a set; one that cannot be cleared is empty once nothing is permitted.
    let _absent = one(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong);
    let has = get()?;
    let [low, high] = has.map(|half| half.permitted);
    let permitted = (u64::from(high) << 32 | u64::from(low)) & keep;
    let halves = [permitted & u64::from(u32::MAX), permitted >> 32];
    let sets = halves.map(|half| {
        let half = u32::try_from(half).unwrap_or(0);
        Sets { effective: half, permitted: half, inheritable: 0 }
    });
    set(&sets)?;
    let left = get()?;
    let all = |sets: Sets| sets.permitted | sets.effective | sets.inheritable;
    let [low, high] = left.map(all);
    let permitted = u64::from(high) << 32 | u64::from(low);
    if permitted & !keep != 0 {
        return Err(OsError { call: "capset", errno: libc::EPERM, bytes: 0 });
    }
    let bounding = (0..MOST).filter(|number| is_bounding(*number));
    let bounding = bounding.fold(0, |bits, number| bits | 1_u64 << number);
    Ok(Given { permitted, bounding })
}

fn is_bounding(number: u32) -> bool {
    // EINVAL past the last that the kernel knows.
    one(libc::PR_CAPBSET_READ, c_ulong::from(number)) == 1
}

fn one(option: c_int, value: c_ulong) -> c_int {
    const NONE: c_ulong = 0;
    // SAFETY: these options take numbers only and touch no memory of ours.
    unsafe { libc::prctl(option, value, NONE, NONE, NONE) }
}

fn get() -> Result<[Sets; 2], OsError> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: the kernel reads and may write one Header, and writes two Sets, which is what this
    // version has; both outlive the call and have the kernel's layout.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    if got == 0 { Ok(sets) } else { Err(OsError { call: "capget", errno: last_errno(), bytes: 0 }) }
}

fn set(sets: &[Sets; 2]) -> Result<(), OsError> {
    let mut header = Header { version: VERSION, pid: 0 };
    // SAFETY: the kernel reads and may write one Header, and reads two Sets, which is what this
    // version has; both outlive the call and have the kernel's layout.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
    if set == 0 { Ok(()) } else { Err(OsError { call: "capset", errno: last_errno(), bytes: 0 }) }
}

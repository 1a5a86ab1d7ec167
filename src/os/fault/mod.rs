//! Faults: a SIGSEGV or SIGBUS in the copy routines ends the copy, and any other one is what it
//! was before.
//!
//! Law: only a fault that the processor raised at an instruction in the fix-up table is ours. Every
//! other signal goes to the handler that was there before, which sees what it would have seen: a
//! default still kills, with the fault's own address. The handler does nothing that is not
//! async-signal-safe: no lock, no allocation, no formatting. Knows nothing of memories, and does
//! not say whose bytes could not be moved: the count that the copy returns does. (A late report of a
//! wrong tag is counted and no more: `tagging/told.rs`.)
//!
//! Three differences remain for the handler before us: it runs on the alternate stack where the
//! thread has one, a thread that blocks SIGSEGV dies of a fault in a copy, as of any other, and it
//! is not told of a lost page before someone touches it: the standard library's would give up.

#![expect(unsafe_code, reason = "signal handlers are installed, run and left by raw calls")]

#[cfg(test)]
mod tests;

use std::ffi::{c_int, c_void};
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libc::{mcontext_t, sighandler_t, siginfo_t, ucontext_t};

use crate::os::fixups::landing;
use crate::os::{OsError, tagging};

/// A saved register, of whatever sign the C library gives it.
#[cfg(target_arch = "x86_64")]
type Register = i64;
#[cfg(target_arch = "aarch64")]
type Register = u64;

static INSTALLED: OnceLock<Result<(), OsError>> = OnceLock::new();
static FIXED: AtomicU64 = AtomicU64::new(0);
static SEGV: Before = Before::new();
static BUS: Before = Before::new();

/// What a signal did before it was ours.
struct Before {
    action: OnceLock<libc::sigaction>,
    /// A handler that wanted to run once only has run.
    spent: AtomicBool,
}

/// Makes [`crate::os::copy`] survive faults, for the whole process and for good. Called again, it
/// gives the first answer again. To be called at start, before other threads install handlers of
/// their own for these signals; one installed later is before ours and must hand on to it.
///
/// # Errors
/// That of `sigaction`.
pub fn install() -> Result<(), OsError> {
    *INSTALLED.get_or_init(|| {
        take(libc::SIGSEGV, &SEGV)?;
        take(libc::SIGBUS, &BUS)
    })
}

/// How many copies and fills have been ended by a fault since the process began.
#[must_use]
pub fn fixed_faults() -> u64 {
    FIXED.load(Ordering::Relaxed)
}

impl Before {
    const fn new() -> Self {
        Self { action: OnceLock::new(), spent: AtomicBool::new(false) }
    }
}

fn take(signal: c_int, before: &Before) -> Result<(), OsError> {
    // Looked up first and stored before ours is in place: ours may run at once.
    let mut action = exchange(signal, ptr::null())?;
    let action_before = *before.action.get_or_init(|| action);
    // The mask and the flags that change how a handler runs stay as the handler before us chose.
    let kept = libc::SA_NODEFER | libc::SA_RESTART;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | (action_before.sa_flags & kept);
    action.sa_sigaction = (on_fault as *const ()).expose_provenance();
    exchange(signal, &raw const action).map(drop)
}

/// Installs the action, unless it is null, and tells which was there.
fn exchange(signal: c_int, new: *const libc::sigaction) -> Result<libc::sigaction, OsError> {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `new` is null or a whole action that `take` made, whose handler has the signature
    // that SA_SIGINFO means; `old` is large enough by its type.
    let outcome = unsafe { libc::sigaction(signal, new, old.as_mut_ptr()) };
    if outcome != 0 {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
        return Err(OsError { call: "sigaction", errno, bytes: 0 });
    }
    // SAFETY: zeroed is a valid action (numbers, and an Option of a function pointer that is
    // None), and sigaction has filled it in.
    Ok(unsafe { old.assume_init() })
}

/// # Safety
/// Called by the kernel as a handler with SA_SIGINFO: `info` and `context` are those of the signal.
unsafe extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: `info` is the kernel's, see above.
    let code = unsafe { (*info).si_code };
    // News of a lost page that nobody has touched. It is out of reach by now, and who touches it
    // faults; until then nothing is to be done.
    if signal == libc::SIGBUS && code == libc::BUS_MCEERR_AO {
        return;
    }
    // Of a wrong tag some while ago: then the instruction that was interrupted has no part in it.
    let late = tagging::is_late(signal, code);
    if late && tagging::take_late_report() {
        return;
    }
    // 0 and below: sent by a process, which has as little to do with it.
    let raised_here = code > 0 && !late;
    if raised_here {
        let context: *mut ucontext_t = context.cast();
        // SAFETY: `context` is the kernel's, see above, and nothing else refers to it while the
        // handler runs; the kernel restores the registers from it when the handler returns.
        let instruction = instruction(unsafe { &mut (*context).uc_mcontext });
        if let Some(landing) = landing(usize::from_ne_bytes(instruction.to_ne_bytes())) {
            *instruction = Register::from_ne_bytes(landing.to_ne_bytes());
            FIXED.fetch_add(1, Ordering::Relaxed);
            tagging::note_fault(signal, code);
            return;
        }
    }
    // SAFETY: the three are the kernel's for this very signal.
    unsafe { hand_on(signal, raised_here, info, context) };
    // The standard library's handler makes the default of itself and waits for the fault to return.
    let now = if raised_here { None } else { exchange(signal, ptr::null()).ok() };
    if now.is_some_and(|now| now.sa_sigaction == libc::SIG_DFL) {
        as_by_default(signal, raised_here);
    }
}

/// Where the thread goes on when the handler returns.
fn instruction(saved: &mut mcontext_t) -> &mut Register {
    #[cfg(target_arch = "x86_64")]
    return &mut saved.gregs[libc::REG_RIP as usize];
    #[cfg(target_arch = "aarch64")]
    return &mut saved.pc;
}

/// # Safety
/// Called from a handler, with what the kernel gave it.
unsafe fn hand_on(signal: c_int, raised_here: bool, info: *mut siginfo_t, context: *mut c_void) {
    let before = if signal == libc::SIGSEGV { &SEGV } else { &BUS };
    // Always there: `take` has put it there before it installed on_fault.
    let Some(action) = before.action.get() else { return };
    let once = action.sa_flags & libc::SA_RESETHAND != 0;
    let spent = once && before.spent.swap(true, Ordering::Relaxed);
    match action.sa_sigaction {
        _ if spent => as_by_default(signal, raised_here),
        libc::SIG_DFL => as_by_default(signal, raised_here),
        // The kernel lets nobody ignore a fault, only a signal that was sent.
        libc::SIG_IGN if raised_here => as_by_default(signal, raised_here),
        libc::SIG_IGN => {}
        handler if action.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: whoever installed it promised the kernel, by SA_SIGINFO, a function of this
            // signature at this address.
            let handler = unsafe {
                mem::transmute::<
                    sighandler_t,
                    unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void),
                >(handler)
            };
            // SAFETY: it is called as the kernel would have called it, with the same arguments.
            unsafe { handler(signal, info, context) }
        }
        handler => {
            // SAFETY: whoever installed it without SA_SIGINFO promised the kernel a function of
            // this signature at this address.
            let handler =
                unsafe { mem::transmute::<sighandler_t, unsafe extern "C" fn(c_int)>(handler) };
            // SAFETY: it is called as the kernel would have called it, with the same argument.
            unsafe { handler(signal) }
        }
    }
}

/// Lets the default action happen: by faulting again at the same instruction, so that a core dump
/// shows the fault itself, or, where there was none, by sending the signal again.
fn as_by_default(signal: c_int, raised_here: bool) {
    // SAFETY: zeroed is a valid action: no flags, an empty mask, and SIG_DFL, which is 0.
    let default = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    // SAFETY: a whole action that names no function; the old one is not asked for.
    unsafe { libc::sigaction(signal, &raw const default, ptr::null_mut()) };
    if !raised_here {
        // SAFETY: raise takes a number, and may be called from a handler.
        unsafe { libc::raise(signal) };
    }
}

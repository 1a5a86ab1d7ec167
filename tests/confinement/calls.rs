//! Every system call that a role allows: it can be made; it kills where it is taken off the list; and
//! where its arguments are held to some, it kills with others.

use linmemd::os::confine::{Allowed, Confiner, Only, Process, Program, Refusal, Role};

use crate::child::{Ended, KILLED, child, end, raw, signal};
use crate::say;

/// No descriptor.
const NONE: usize = usize::MAX;
/// An address that nothing is at.
const NOWHERE: usize = 1;

/// How each call is made so that it comes back at once and does nothing.
const DRIVERS: &[(&str, [usize; 6])] = &[
    ("accept4", [NONE, 0, 0, 0, 0, 0]),
    ("brk", [0; 6]),
    ("clock_gettime", [0; 6]),
    ("clock_nanosleep", [0; 6]),
    ("close", [NONE, 0, 0, 0, 0, 0]),
    ("epoll_ctl", [NONE, 0, 0, 0, 0, 0]),
    ("epoll_pwait", [NONE, 0, 1, 0, 0, 0]),
    ("epoll_wait", [NONE, 0, 1, 0, 0, 0]),
    ("exit", [0; 6]),
    ("exit_group", [0; 6]),
    ("fallocate", [NONE, 0, 0, 0, 0, 0]),
    ("fcntl", [NONE, 0, 0, 0, 0, 0]),
    ("fstat", [NONE, 0, 0, 0, 0, 0]),
    ("fstatfs", [NONE, NOWHERE, 0, 0, 0, 0]),
    ("ftruncate", [NONE, 0, 0, 0, 0, 0]),
    ("futex", [0, libc::FUTEX_WAKE as usize, 1, 0, 0, 0]),
    ("getcpu", [0; 6]),
    ("getdents64", [NONE, 0, 0, 0, 0, 0]),
    ("geteuid", [0; 6]),
    ("getrandom", [0; 6]),
    ("getsockopt", [NONE, 0, 0, 0, 0, 0]),
    ("ioctl", [NONE, 0, 0, 0, 0, 0]),
    ("lseek", [NONE, 0, 0, 0, 0, 0]),
    ("madvise", [0, 0, libc::MADV_DONTNEED as usize, 0, 0, 0]),
    ("mbind", [0; 6]),
    ("memfd_create", [0; 6]),
    ("mincore", [0; 6]),
    ("mlock", [0; 6]),
    ("mmap", [0, 0, 0, libc::MAP_PRIVATE as usize | libc::MAP_ANONYMOUS as usize, NONE, 0]),
    ("move_pages", [0; 6]),
    ("mprotect", [0; 6]),
    ("munlock", [0; 6]),
    ("munmap", [0; 6]),
    ("nanosleep", [0; 6]),
    ("newfstatat", [NONE, NOWHERE, 0, 0, 0, 0]),
    ("openat", [NONE, NOWHERE, 0, 0, 0, 0]),
    ("poll", [0; 6]),
    ("ppoll", [0, 0, NOWHERE, 0, 0, 0]),
    ("prctl", [0; 6]),
    ("prlimit64", [0; 6]),
    ("read", [NONE, 0, 0, 0, 0, 0]),
    ("recvfrom", [NONE, 0, 0, 0, 0, 0]),
    ("restart_syscall", [0; 6]),
    ("rt_sigaction", [0, 0, 0, 8, 0, 0]),
    ("rt_sigprocmask", [0, 0, 0, 8, 0, 0]),
    // By a signal's end: by its number it would be the end of no signal.
    ("rt_sigreturn", [0; 6]),
    ("sched_yield", [0; 6]),
    ("sendto", [NONE, 0, 0, 0, 0, 0]),
    ("set_mempolicy", [0; 6]),
    ("setsockopt", [NONE, 0, 0, 0, 0, 0]),
    ("shutdown", [NONE, 0, 0, 0, 0, 0]),
    ("sigaltstack", [0; 6]),
    ("statx", [NONE, NOWHERE, 0, 0, 0, 0]),
    ("unlink", [NOWHERE, 0, 0, 0, 0, 0]),
    ("unlinkat", [NONE, NOWHERE, 0, 0, 0, 0]),
    ("write", [NONE, 0, 0, 0, 0, 0]),
    ("writev", [NONE, 0, 0, 0, 0, 0]),
];

/// What a call that came back is told by: no call of the table ends a process with it.
const CAME_BACK: i32 = 86;

fn driver(call: &Allowed) -> [usize; 6] {
    let found = DRIVERS.iter().find(|(name, _)| *name == call.name());
    found.unwrap_or_else(|| panic!("{} is allowed and nobody drives it", call.name())).1
}

/// Makes a call under a filter.
fn under(program: &Program, call: &Allowed, arguments: [usize; 6]) -> Ended {
    let by_signal = call.name() == "rt_sigreturn";
    child(|| {
        if by_signal {
            signal::prepare();
        }
        if Process.filter(program).is_err() {
            return 1;
        }
        if by_signal {
            signal::wait();
        } else {
            raw(call.number, arguments);
        }
        end(CAME_BACK)
    })
}

/// Machines of both kinds have 64 bits.
fn word(bits: u64) -> usize {
    usize::try_from(bits).unwrap()
}

/// The arguments with these conditions holding.
fn holding(mut arguments: [usize; 6], all: &[Only]) -> [usize; 6] {
    for only in all {
        let argument = &mut arguments[usize::from(only.argument)];
        let (mask, value) = (word(only.mask), word(only.value));
        *argument = *argument & !mask | value & mask;
    }
    arguments
}

/// The arguments that are allowed: each of the call's alternatives.
fn right(call: &Allowed) -> Vec<[usize; 6]> {
    let driver = driver(call);
    if call.only.is_empty() {
        return vec![driver];
    }
    call.only.iter().map(|all| holding(driver, all)).collect()
}

/// Arguments that are not: of each condition in turn the opposite, the others as they should be.
fn wrong(call: &Allowed) -> Vec<[usize; 6]> {
    let mut found = Vec::new();
    for all in call.only {
        for only in *all {
            let mut arguments = holding(driver(call), all);
            arguments[usize::from(only.argument)] ^= word(only.mask);
            found.push(arguments);
        }
    }
    found
}

#[test]
fn every_call_of_every_role_is_allowed_and_kills_where_it_is_taken_off_the_list() {
    let (mut tried, mut most) = (0, Vec::new());
    for role in Role::ALL {
        let allowed = role.allowed();
        let whole = Program::of(&allowed, Refusal::Kill).unwrap();
        for call in &allowed {
            let name = call.name();
            let ends =
                if name.starts_with("exit") { Ended::Code(0) } else { Ended::Code(CAME_BACK) };
            for arguments in right(call) {
                assert_eq!(under(&whole, call, arguments), ends, "{role:?} may call {name}");
            }
            for arguments in wrong(call) {
                let ended = under(&whole, call, arguments);
                assert_eq!(ended, KILLED, "{role:?} may not call {name} with {arguments:x?}");
            }
            let others: Vec<Allowed> = allowed.iter().filter(|one| one != &call).copied().collect();
            let without = Program::of(&others, Refusal::Kill).unwrap();
            let arguments = right(call)[0];
            assert_eq!(under(&without, call, arguments), KILLED, "{role:?} without {name}");
            tried += 1;
        }
        most.extend(allowed.iter().map(Allowed::name));
        say(&format!("{:>9}: {} system calls", role.word(), allowed.len()));
    }
    most.sort_unstable();
    most.dedup();
    say(&format!("all roles together: {} system calls; {tried} tried both ways", most.len()));
    let serving = Role::Serving.allowed().len();
    assert!(serving <= 40, "a serving thread may make {serving} system calls; the goal is 40");
}

#[test]
fn where_it_only_logs_a_call_that_is_not_allowed_is_made() {
    let allowed = Role::Serving.allowed();
    let program = Program::of(&allowed, Refusal::Log).unwrap();
    let ended = child(|| {
        if Process.filter(&program).is_err() {
            return 1;
        }
        // Not on the list, and does nothing.
        if raw(libc::SYS_getppid, [0; 6]) == 0 { CAME_BACK } else { 2 }
    });
    assert_eq!(ended, Ended::Code(CAME_BACK));
}

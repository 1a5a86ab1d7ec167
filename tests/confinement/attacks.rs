//! What who has taken over the daemon would try, tried from inside: without any confinement, with what
//! the process gave up, and with a serving thread's system calls besides.

#![expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "the kernel takes ints and small numbers in whole registers"
)]

use std::ffi::CString;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

use linmemd::config::Config;
use linmemd::daemon::confinement::{Confinement, State};
use linmemd::os::confine::{Process, Role};
use linmemd::os::kernel::Linux;

use crate::child::{Ended, KILLED, child, made, raw};
use crate::{has, say};

/// What is made before, so that an attack has something to reach for.
struct Prey {
    _folder: tempfile::TempDir,
    file: CString,
    unlinked: CString,
    made: CString,
    folder: CString,
    program: Vec<u8>,
    mount_point: CString,
    _tcp: TcpListener,
    port: u16,
    _abstract_name: UnixListener,
    name: Vec<u8>,
    process: usize,
    secret: usize,
}

static SECRET: [u8; 8] = *b"a secret";

impl Prey {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| c(folder.path().join(name));
        std::fs::write(folder.path().join("file"), "bytes").unwrap();
        std::fs::write(folder.path().join("unlinked"), "bytes").unwrap();
        std::fs::create_dir(folder.path().join("mount")).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = folder.path().to_string_lossy().into_owned().into_bytes();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self {
            file: path("file"),
            unlinked: path("unlinked"),
            made: path("made"),
            folder: path("folder"),
            program: std::fs::read("/bin/true").unwrap(),
            mount_point: path("mount"),
            port: tcp.local_addr().unwrap().port(),
            _tcp: tcp,
            _abstract_name: UnixListener::bind_addr(&address).unwrap(),
            name,
            process: std::process::id() as usize,
            secret: SECRET.as_ptr().addr(),
            _folder: folder,
        }
    }
}

fn c(path: PathBuf) -> CString {
    CString::new(path.into_os_string().into_encoded_bytes()).unwrap()
}

/// Descriptors that a process had before, as an attacker would find them.
#[derive(Clone, Copy)]
struct Had {
    inet: usize,
    unix: usize,
    memory: usize,
}

fn had() -> Had {
    let memory = made(libc::SYS_memfd_create, [c"prey".as_ptr().addr(), 0, 0, 0, 0, 0]);
    Had {
        inet: made(libc::SYS_socket, [INET, STREAM, 0, 0, 0, 0]).unwrap_or(NONE),
        unix: made(libc::SYS_socket, [UNIX, STREAM, 0, 0, 0, 0]).unwrap_or(NONE),
        memory: memory.unwrap_or(NONE),
    }
}

// linux/capability.h.
const SETUID: u32 = 7;
const NET_RAW: u32 = 13;
const SYS_PTRACE: u32 = 19;
const SYS_ADMIN: u32 = 21;
const SYS_RESOURCE: u32 = 24;

const NONE: usize = usize::MAX;
const HERE: usize = libc::AT_FDCWD as usize;
const INET: usize = libc::AF_INET as usize;
const UNIX: usize = libc::AF_UNIX as usize;
const STREAM: usize = libc::SOCK_STREAM as usize;
const READ: usize = libc::PROT_READ as usize;
const WRITE: usize = libc::PROT_WRITE as usize;
const EXECUTE: usize = libc::PROT_EXEC as usize;
const PRIVATE: usize = libc::MAP_PRIVATE as usize;
const ANONYMOUS: usize = libc::MAP_ANONYMOUS as usize;

/// An attack.
struct Attack {
    name: &'static str,
    /// The capability without which it is not possible.
    needs: Option<u32>,
    /// Refused by what the process gave up, whatever the system calls of its threads.
    twice: bool,
    act: fn(&Prey, Had) -> i32,
}

const fn attack(name: &'static str, act: fn(&Prey, Had) -> i32) -> Attack {
    Attack { name, needs: None, twice: false, act }
}

impl Attack {
    const fn needs(self, capability: u32) -> Self {
        Self { needs: Some(capability), ..self }
    }

    const fn twice(self) -> Self {
        Self { twice: true, ..self }
    }
}

fn open(path: &std::ffi::CStr, flags: i32) -> i32 {
    raw(libc::SYS_openat, [HERE, path.as_ptr().addr(), flags as usize, 0o600, 0, 0])
}

/// An IPv4 address of loopback.
fn loopback(port: u16) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    address
}

fn map(protection: usize, flags: usize, file: usize) -> Result<usize, i32> {
    made(libc::SYS_mmap, [0, 4096, protection, flags, file, 0])
}

const ATTACKS: &[Attack] = &[
    attack("open /etc/passwd", |_, _| open(c"/etc/passwd", libc::O_RDONLY)).twice(),
    attack("open /proc/self/mem to write", |_, _| open(c"/proc/self/mem", libc::O_RDWR)).twice(),
    attack("read another process's arguments", |_, _| open(c"/proc/1/cmdline", libc::O_RDONLY))
        .twice(),
    attack("list /", |_, _| open(c"/", libc::O_DIRECTORY)).twice(),
    attack("make a file", |prey, _| open(&prey.made, libc::O_CREAT | libc::O_WRONLY)).twice(),
    attack("make a folder", |prey, _| {
        raw(libc::SYS_mkdirat, [HERE, prey.folder.as_ptr().addr(), 0o700, 0, 0, 0])
    })
    .twice(),
    attack("take a file away", |prey, _| {
        raw(libc::SYS_unlinkat, [HERE, prey.unlinked.as_ptr().addr(), 0, 0, 0, 0])
    })
    .twice(),
    attack("cut a file off", |prey, _| {
        raw(libc::SYS_truncate, [prey.file.as_ptr().addr(), 0, 0, 0, 0, 0])
    })
    .twice(),
    attack("change a file's mode", |prey, _| {
        raw(libc::SYS_fchmodat, [HERE, prey.file.as_ptr().addr(), 0o4755, 0, 0, 0])
    }),
    attack("run a program", |_, _| {
        let arguments = [c"true".as_ptr().addr(), 0];
        let path = c"/bin/true".as_ptr().addr();
        raw(libc::SYS_execve, [path, arguments.as_ptr().addr(), 0, 0, 0, 0])
    })
    .twice(),
    attack("run a program of its own memory", |prey, had| {
        let bytes = prey.program.as_slice();
        raw(libc::SYS_write, [had.memory, bytes.as_ptr().addr(), bytes.len(), 0, 0, 0]);
        let arguments = [c"true".as_ptr().addr(), 0];
        let (path, empty) = (c"".as_ptr().addr(), libc::AT_EMPTY_PATH as usize);
        raw(libc::SYS_execveat, [had.memory, path, arguments.as_ptr().addr(), 0, empty, 0])
    }),
    attack("start a process", |_, _| {
        match made(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]) {
            Ok(0) => crate::child::end(0),
            Ok(_child) => 0,
            Err(errno) => errno,
        }
    }),
    attack("make a TCP socket", |_, _| raw(libc::SYS_socket, [INET, STREAM, 0, 0, 0, 0])),
    attack("make a netlink socket", |_, _| {
        raw(libc::SYS_socket, [libc::AF_NETLINK as usize, libc::SOCK_RAW as usize, 0, 0, 0, 0])
    }),
    attack("make a raw packet socket", |_, _| {
        raw(libc::SYS_socket, [libc::AF_PACKET as usize, libc::SOCK_RAW as usize, 0, 0, 0, 0])
    })
    .needs(NET_RAW)
    .twice(),
    attack("make a pair of sockets", |_, _| {
        let mut pair = [0_i32; 2];
        raw(libc::SYS_socketpair, [UNIX, STREAM, 0, pair.as_mut_ptr().addr(), 0, 0])
    }),
    attack("connect a TCP socket that it had", |prey, had| {
        let address = loopback(prey.port);
        raw(libc::SYS_connect, [had.inet, address.as_ptr().addr(), 16, 0, 0, 0])
    })
    .twice(),
    attack("bind a TCP socket that it had", |_, had| {
        raw(libc::SYS_bind, [had.inet, loopback(0).as_ptr().addr(), 16, 0, 0, 0])
    })
    .twice(),
    attack("connect to another's abstract socket", |prey, had| {
        let mut address = [0_u8; 110];
        address[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        address[3..3 + prey.name.len()].copy_from_slice(&prey.name);
        let length = 3 + prey.name.len();
        raw(libc::SYS_connect, [had.unix, address.as_ptr().addr(), length, 0, 0, 0])
    })
    .twice(),
    attack("send another process a signal", |prey, _| {
        raw(libc::SYS_kill, [prey.process, libc::SIGCONT as usize, 0, 0, 0, 0])
    })
    .twice(),
    attack("trace another process", |prey, _| {
        raw(libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, prey.process, 0, 0, 0, 0])
    })
    .needs(SYS_PTRACE)
    .twice(),
    attack("read another process's memory", |prey, _| {
        let mut own = [0_u8; 8];
        let (local, remote) = ([own.as_mut_ptr().addr(), 8], [prey.secret, 8]);
        let (local, remote) = (local.as_ptr().addr(), remote.as_ptr().addr());
        raw(libc::SYS_process_vm_readv, [prey.process, local, 1, remote, 1, 0])
    })
    .needs(SYS_PTRACE)
    .twice(),
    attack("map memory to write and execute", |_, _| {
        map(READ | WRITE | EXECUTE, PRIVATE | ANONYMOUS, NONE).err().unwrap_or(0)
    })
    .twice(),
    attack("make written memory executable", |_, _| {
        match map(READ | WRITE, PRIVATE | ANONYMOUS, NONE) {
            Ok(address) => raw(libc::SYS_mprotect, [address, 4096, READ | EXECUTE, 0, 0, 0]),
            Err(errno) => errno,
        }
    })
    .twice(),
    attack("map a memory file to execute", |_, had| {
        map(READ | EXECUTE, PRIVATE, had.memory).err().unwrap_or(0)
    }),
    attack("become another user", |_, _| {
        raw(libc::SYS_setresuid, [65_534, 65_534, 65_534, 0, 0, 0])
    })
    .needs(SETUID)
    .twice(),
    attack("take a capability", |_, _| {
        let header = [0x2008_0522_u32, 0];
        let sets = [1_u32 << 21, 1 << 21, 0, 0, 0, 0];
        raw(libc::SYS_capset, [header.as_ptr().addr(), sets.as_ptr().addr(), 0, 0, 0, 0])
    })
    .needs(SYS_ADMIN)
    .twice(),
    attack("make a namespace of users", |_, _| {
        raw(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0])
    }),
    attack("mount", |prey, _| {
        let (kind, at) = (c"tmpfs".as_ptr().addr(), prey.mount_point.as_ptr().addr());
        let mounted = raw(libc::SYS_mount, [kind, at, kind, 0, 0, 0]);
        if mounted == 0 { raw(libc::SYS_umount2, [at, 0, 0, 0, 0, 0]) } else { mounted }
    })
    .needs(SYS_ADMIN)
    .twice(),
    attack("load a program into the kernel", |_, _| {
        // A map of one entry: attr.map_type ARRAY, key 4, value 4, entries 1.
        let attributes = [2_u32, 4, 4, 1, 0, 0, 0, 0];
        raw(libc::SYS_bpf, [0, attributes.as_ptr().addr(), 32, 0, 0, 0])
    })
    .needs(SYS_ADMIN),
    attack("set a ring of system calls up", |_, _| {
        let mut parameters = [0_u64; 15];
        raw(libc::SYS_io_uring_setup, [1, parameters.as_mut_ptr().addr(), 0, 0, 0, 0])
    }),
    attack("handle its own page faults", |_, _| {
        raw(libc::SYS_userfaultfd, [libc::O_CLOEXEC as usize, 0, 0, 0, 0, 0])
    })
    .needs(SYS_PTRACE),
    attack("dump core again", |_, _| {
        let all = [u64::MAX; 2];
        let limit = libc::RLIMIT_CORE as usize;
        raw(libc::SYS_prlimit64, [0, limit, all.as_ptr().addr(), 0, 0, 0])
    })
    .needs(SYS_RESOURCE)
    .twice(),
    attack("let itself be looked into again", |_, _| {
        raw(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0, 0])
    }),
];

/// The measures of the daemon's process, and perhaps a thread's. 253 where they were not had.
fn confine(confinement: &Confinement, role: Option<Role>) -> Result<(), i32> {
    confinement.begin(&Linux, None).map_err(|_refused| 253)?;
    if let Some(role) = role {
        confinement.enter(role);
    }
    Ok(())
}

/// Fresh for each child, and made before it is forked.
fn confinement() -> Confinement {
    Confinement::new(&Config::default(), None, Box::new(Process))
}

#[test]
fn who_took_a_serving_thread_over_reaches_nothing() {
    let possible = |attack: &&Attack| attack.needs.is_none_or(has);
    for attack in ATTACKS.iter().filter(|attack| !possible(attack)) {
        say(&format!("{}: left out; needs a capability that this process has not", attack.name));
    }
    let complete = landlock_is_whole();
    let mut faults = Vec::new();
    say(&format!("{:<38} {:<22} {:<34} serving", "attack", "unconfined", "process confined"));
    for attack in ATTACKS.iter().filter(possible) {
        let unconfined = {
            let prey = Prey::new();
            child(|| (attack.act)(&prey, had()))
        };
        let with = |role: Option<Role>| {
            let (prey, confinement) = (Prey::new(), confinement());
            child(|| {
                let had = had();
                match confine(&confinement, role) {
                    Ok(()) => (attack.act)(&prey, had),
                    Err(code) => code,
                }
            })
        };
        let (process, serving) = (with(None), with(Some(Role::Serving)));
        say(&format!("{:<38} {unconfined:<22} {process:<34} {serving}", attack.name));
        // Some kernels have not what is attacked: then nothing is shown, and it is seen in the table.
        let absent = [libc::ENOSYS, libc::EAFNOSUPPORT].map(Ended::Code).contains(&unconfined);
        if unconfined != Ended::Code(0) && !absent {
            faults.push(format!("{}: fails without confinement: {unconfined}", attack.name));
        }
        if attack.twice && process == Ended::Code(0) && complete {
            faults.push(format!("{}: the process could", attack.name));
        }
        let refused = match serving {
            KILLED => true,
            Ended::Code(code) => code != 0 && code != 253,
            Ended::Signal(_) => false,
        };
        if !refused {
            faults.push(format!("{}: a serving thread could: {serving}", attack.name));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Whether all of the process's measures are to be had here.
fn landlock_is_whole() -> bool {
    let confinement = confinement();
    let ended = child(|| {
        let begun = confine(&confinement, None);
        let told = confinement.told();
        // The child has one thread; the harness, whose threads are counted before, is another process.
        let whole = told.iter().all(|one| one.state == State::On);
        i32::from(!(begun.is_ok() && whole))
    });
    if ended != Ended::Code(0) {
        say("this kernel has not every measure (`linmemd check`): what was given up is shown only");
    }
    ended == Ended::Code(0)
}

#[test]
fn a_thread_that_reads_facts_reads_those_and_writes_nothing() {
    for role in [Role::Pool, Role::Http, Role::Tick, Role::Pressure] {
        let try_to = |path: &'static std::ffi::CStr, flags: i32| {
            let confinement = confinement();
            child(|| match confine(&confinement, Some(role)) {
                Ok(()) => open(path, flags),
                Err(code) => code,
            })
        };
        for path in [c"/proc/self/status", c"/proc/meminfo", c"/proc/sys/vm/max_map_count"] {
            assert_eq!(try_to(path, libc::O_RDONLY | libc::O_CLOEXEC), Ended::Code(0), "{role:?}");
        }
        if landlock_is_whole() {
            for path in [c"/etc/passwd", c"/", c"/proc/1/status"] {
                assert_eq!(try_to(path, libc::O_RDONLY), Ended::Code(libc::EACCES), "{role:?}");
            }
        }
        assert_eq!(try_to(c"/proc/self/mem", libc::O_RDWR), KILLED, "{role:?}");
        assert_eq!(try_to(c"/dev/null", libc::O_WRONLY), KILLED, "{role:?}");
    }
}

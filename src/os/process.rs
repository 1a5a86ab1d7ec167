//! The daemon's own process: what it uses, and how many files it may open.
//!
//! Law: read through the seam, parsed from text; what cannot be read is 0 and never an error, since
//! it is only shown. Changes one thing of the process: the soft limit on open files, up to the hard one.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::os::kernel::Kernel;

/// Clock ticks of `/proc/self/stat` in a second; fixed by the kernel's interface (USER_HZ).
const TICKS: u64 = 100;

/// What the process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUse {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Virtual memory.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// The soft limit on them.
    pub open_files_limit: u64,
    /// Its start, in seconds since the epoch.
    pub start_seconds: u64,
    /// User and system CPU time, in whole seconds.
    pub cpu_seconds: u64,
    /// Threads.
    pub threads: u64,
}

impl ProcessUse {
    /// What it uses now.
    #[must_use]
    pub fn read(kernel: &dyn Kernel) -> Self {
        let text = |path: &str| kernel.read_file(Path::new(path)).unwrap_or_default();
        let open_files = kernel.read_directory(Path::new("/proc/self/fd")).unwrap_or_default();
        let mut found = Self {
            // One of them was the directory itself.
            open_files: (open_files.len() as u64).saturating_sub(1),
            open_files_limit: open_files_limit(),
            ..parse_stat(&text("/proc/self/stat"), kernel.host_page_bytes())
        };
        let boot = field(&text("/proc/stat"), "btime");
        found.start_seconds = found.start_seconds.saturating_add(boot);
        found
    }
}

/// The same file, whose writes wait from now on.
///
/// # Errors
/// That of `fcntl`.
pub fn unblocked(file: File) -> io::Result<File> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(file)
}

/// Raises the soft limit on open files to the hard one; what it now is.
pub fn raise_open_files() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft < hard => match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => hard,
            Err(_refused) => soft,
        },
        Ok((soft, _)) => soft,
        Err(_unknown) => 0,
    }
}

/// The user that the daemon runs as.
#[must_use]
pub fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn open_files_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// proc_pid_stat(5). The name may hold anything, so fields are counted from its last parenthesis.
fn parse_stat(text: &str, page_bytes: u64) -> ProcessUse {
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // Field 3 of the manual page is the first here.
    let number = |field: usize| {
        fields.get(field.saturating_sub(3)).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
    };
    ProcessUse {
        cpu_seconds: number(14).saturating_add(number(15)).checked_div(TICKS).unwrap_or(0),
        threads: number(20),
        start_seconds: number(22).checked_div(TICKS).unwrap_or(0),
        virtual_bytes: number(23),
        resident_bytes: number(24).saturating_mul(page_bytes),
        ..ProcessUse::default()
    }
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 9 0 4200 8192 3 18446744";
        let found = parse_stat(stat, 4096);
        let wanted = ProcessUse {
            cpu_seconds: 2,
            threads: 9,
            start_seconds: 42,
            virtual_bytes: 8192,
            resident_bytes: 12_288,
            ..ProcessUse::default()
        };
        assert_eq!(found, wanted);
        assert_eq!(parse_stat("", 4096), ProcessUse::default());
    }
}

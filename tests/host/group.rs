//! Owns [`Group`]: a real control group with a limit on memory, made below the root of whichever tree has
//! the memory controller here (version 1 or 2).
//!
//! Law: it is taken away by `Drop`, after the daemon in it has ended.

use std::fs;
use std::path::{Path, PathBuf};

use crate::daemon::Daemon;
use crate::say;

pub(crate) const MIB: u64 = 1 << 20;
/// What there is of it.
pub(crate) const LIMIT: u64 = 256 * MIB;

/// A control group with a limit.
pub(crate) struct Group {
    directory: PathBuf,
    /// Where it says how many the kernel has killed.
    events: &'static str,
}

impl Group {
    /// A group of that name, or what is missing for one.
    fn new(name: &str) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let of_kind = |line: &str| {
            let mut words = line.split(' ').skip(1);
            let (point, kind, options) = (words.next()?, words.next()?, words.next()?);
            let point = PathBuf::from(point);
            match kind {
                "cgroup2" => {
                    let controllers = fs::read_to_string(point.join("cgroup.controllers")).ok()?;
                    controllers.split_whitespace().any(|one| one == "memory").then_some((point, 2))
                }
                "cgroup" => options.split(',').any(|one| one == "memory").then_some((point, 1)),
                _ => None,
            }
        };
        let found = mounts.lines().find_map(of_kind);
        let (root, version) = found.ok_or("no tree of control groups has the memory controller")?;
        let told = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        let write =
            |path: PathBuf, text: &str| fs::write(&path, text).map_err(|error| told(&path, error));
        if version == 2 {
            write(root.join("cgroup.subtree_control"), "+memory")?;
        }
        let directory = root.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&directory).map_err(|error| told(&directory, error))?;
        let (limit, events) = match version {
            1 => ("memory.limit_in_bytes", "memory.oom_control"),
            _ => ("memory.max", "memory.events"),
        };
        let group = Self { directory, events };
        write(group.directory.join(limit), &LIMIT.to_string())?;
        Ok(group)
    }

    /// A daemon in it, from its first byte on.
    pub(crate) fn daemon(&self, program: &str, config: &str) -> Daemon {
        let join = format!("echo $$ >{}/cgroup.procs && exec \"$@\"", self.directory.display());
        Daemon::start_under(&["sh", "-c", &join, "sh"], program, config)
    }

    /// What is used of it, without what the kernel would give up first.
    pub(crate) fn used(&self) -> u64 {
        let number = |name: &str| {
            let text = fs::read_to_string(self.directory.join(name)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"));
        let stat = fs::read_to_string(self.directory.join("memory.stat")).expect("statistics");
        let idle = stat.lines().find_map(|line| {
            let line = line.strip_prefix("total_").unwrap_or(line);
            line.strip_prefix("inactive_file ")?.parse::<u64>().ok()
        });
        used.expect("use").saturating_sub(idle.unwrap_or(0))
    }

    /// How many the kernel has killed in it.
    pub(crate) fn killed(&self) -> u64 {
        let text = fs::read_to_string(self.directory.join(self.events)).expect("events");
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.expect("a count of kills").trim().parse().expect("a number")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.directory) {
            say(&format!("{} is left: {error}", self.directory.display()));
        }
    }
}

/// A group of that name; none, and said so, where this host has none to give.
pub(crate) fn group(test: &str, name: &str) -> Option<Group> {
    let group = Group::new(name);
    if let Err(missing) = &group {
        say(&format!("{test}: left out; a control group is needed and cannot be made: {missing}"));
    }
    group.ok()
}

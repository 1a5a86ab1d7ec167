//! [`HalfACore`]: a control group that has half a core.
//!
//! Owns: the group, made below the root of whichever tree has the CPU controller here (version 1 or 2).
//! Law: what is in it runs only where nobody else wants to, for attackers are on other machines in life and
//! take no core from the daemon there; it is taken away by `Drop`, after what was in it has ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::say;

/// Half of a core in steps of this many microseconds, so that what is in it comes in no longer bursts.
const PERIOD: u32 = 20_000;

pub(crate) struct HalfACore {
    directory: PathBuf,
}

impl HalfACore {
    /// The group, or what is missing for it.
    pub(crate) fn new() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let has_cpu = |words: &str, between: char| words.split(between).any(|one| one == "cpu");
        let found = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (point, kind, options) = (words.next()?, words.next()?, words.next()?);
            let point = PathBuf::from(point);
            match kind {
                "cgroup" => has_cpu(options, ',').then_some((point, 1)),
                "cgroup2" => {
                    let controllers = fs::read_to_string(point.join("cgroup.controllers")).ok()?;
                    has_cpu(controllers.trim(), ' ').then_some((point, 2))
                }
                _ => None,
            }
        });
        let (root, version) = found.ok_or("no tree of control groups has the CPU controller")?;
        let told = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        let write =
            |path: PathBuf, text: &str| fs::write(&path, text).map_err(|error| told(&path, error));
        if version == 2 {
            write(root.join("cgroup.subtree_control"), "+cpu")?;
        }
        let directory = root.join(format!("linmemd-hostile-{}", std::process::id()));
        fs::create_dir(&directory).map_err(|error| told(&directory, error))?;
        let group = Self { directory };
        write(group.directory.join("cpu.idle"), "1")?;
        let half = PERIOD / 2;
        if version == 2 {
            write(group.directory.join("cpu.max"), &format!("{half} {PERIOD}"))?;
        } else {
            write(group.directory.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
            write(group.directory.join("cpu.cfs_quota_us"), &half.to_string())?;
        }
        Ok(group)
    }

    /// A command that begins in the group.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        let join = format!("echo $$ >{}/cgroup.procs && exec \"$0\"", self.directory.display());
        command.args(["-c", &join]).arg(program);
        command
    }
}

impl Drop for HalfACore {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.directory) {
            say(&format!("{} is left: {error}", self.directory.display()));
        }
    }
}

//! Owns [`Group`]: a control group with a limit on memory, and a daemon in it.

use std::fs;

use crate::control_group::ControlGroup;
use crate::daemon::Daemon;
use crate::say;

pub(crate) const MIB: u64 = 1 << 20;
/// What there is of it.
pub(crate) const LIMIT: u64 = 256 * MIB;

/// A control group with a limit.
pub(crate) struct Group(ControlGroup);

impl Group {
    /// A group of that name, or what is missing for one.
    fn new(name: &str) -> Result<Self, String> {
        let group = ControlGroup::new("memory", name)?;
        let limit = if group.version == 2 { "memory.max" } else { "memory.limit_in_bytes" };
        group.set(limit, &LIMIT.to_string())?;
        Ok(Self(group))
    }

    /// A daemon in it, from its first byte on.
    pub(crate) fn daemon(&self, program: &str, config: &str) -> Daemon {
        let enter = self.0.enter();
        Daemon::start_under(&enter.each_ref().map(String::as_str), program, config)
    }

    /// What is used of it, without what the kernel would give up first.
    pub(crate) fn used(&self) -> u64 {
        let number = |name: &str| self.read(name)?.trim().parse::<u64>().ok();
        let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"));
        let stat = self.read("memory.stat").expect("statistics");
        let idle = stat.lines().find_map(|line| {
            let line = line.strip_prefix("total_").unwrap_or(line);
            line.strip_prefix("inactive_file ")?.parse::<u64>().ok()
        });
        used.expect("use").saturating_sub(idle.unwrap_or(0))
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.file(name)).ok()
    }

    /// How many the kernel has killed in it.
    pub(crate) fn killed(&self) -> u64 {
        let events = if self.0.version == 2 { "memory.events" } else { "memory.oom_control" };
        let text = self.read(events).expect("events");
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.expect("a count of kills").trim().parse().expect("a number")
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

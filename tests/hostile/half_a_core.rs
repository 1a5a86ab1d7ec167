//! [`HalfACore`]: a control group that has half a core.
//!
//! Law: what is in it runs only where nobody else wants to, for attackers are on other machines in life and
//! take no core from the daemon there.

use std::path::Path;
use std::process::Command;

use crate::control_group::ControlGroup;

/// Half of a core in steps of this many microseconds, so that what is in it comes in no longer bursts.
const PERIOD: u32 = 20_000;

pub(crate) struct HalfACore(ControlGroup);

impl HalfACore {
    /// The group, or what is missing for it.
    pub(crate) fn new() -> Result<Self, String> {
        let group = ControlGroup::new("cpu", "linmemd-hostile")?;
        group.set("cpu.idle", "1")?;
        let half = PERIOD / 2;
        if group.version == 2 {
            group.set("cpu.max", &format!("{half} {PERIOD}"))?;
        } else {
            group.set("cpu.cfs_period_us", &PERIOD.to_string())?;
            group.set("cpu.cfs_quota_us", &half.to_string())?;
        }
        Ok(Self(group))
    }

    /// A command that begins in the group.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let [shell, words @ ..] = self.0.enter();
        let mut command = Command::new(shell);
        command.args(words).arg(program);
        command
    }
}

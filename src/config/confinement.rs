//! Owns `[confinement]`: what the daemon gives up of the host before it serves, and the kinds of value
//! of its keys. What each measure does is `daemon/`'s business.

use crate::config::kinds::{Kind, quoted};
use crate::config::lists::culprit;
use crate::config::raw::{Raw, Refusal};

/// `[confinement]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Whether files that are not in use are put out of reach, by Landlock. Default: true.
    pub landlock: bool,
    /// What becomes of a system call that a thread is not known to make. Default: enforce.
    pub seccomp: Seccomp,
    /// Whether CAP_IPC_LOCK is kept where it is there. Default: true.
    pub keep_ipc_lock: bool,
    /// Measures without which the daemon does not serve. Default: none.
    pub require: Vec<Measure>,
}

/// What becomes of a system call that a thread is not known to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seccomp {
    /// It ends the process.
    Enforce,
    /// The kernel's log tells of it.
    Log,
    /// Nothing: there is no filter.
    Off,
}

/// A measure by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// No program that is run gives more rights.
    NoNewPrivileges,
    /// Others do not look into the process.
    NotDumpable,
    /// No core dumps.
    NoCore,
    /// Nothing becomes executable.
    NoNewExecutableMemory,
    /// Capabilities given up.
    Capabilities,
    /// Files, TCP and signals.
    Landlock,
    /// System calls.
    Seccomp,
}

impl Measure {
    /// Every one of them, in the order in which they are taken.
    pub const ALL: [Self; 7] = [
        Self::NoNewPrivileges,
        Self::NotDumpable,
        Self::NoCore,
        Self::NoNewExecutableMemory,
        Self::Capabilities,
        Self::Landlock,
        Self::Seccomp,
    ];

    /// Its name, everywhere.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => "no_new_privileges",
            Self::NotDumpable => "not_dumpable",
            Self::NoCore => "no_core",
            Self::NoNewExecutableMemory => "no_new_executable_memory",
            Self::Capabilities => "capabilities",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

impl Default for Confinement {
    fn default() -> Self {
        Self { landlock: true, seccomp: Seccomp::Enforce, keep_ipc_lock: true, require: Vec::new() }
    }
}

/// What becomes of a system call.
pub(super) struct Calls;
/// Names of measures.
pub(super) struct Measures;

impl Kind for Calls {
    type Value = Seccomp;

    fn read(&self, raw: &Raw) -> Result<Seccomp, Refusal> {
        match raw.text().ok_or(Refusal::WrongType)? {
            "enforce" => Ok(Seccomp::Enforce),
            "log" => Ok(Seccomp::Log),
            "off" => Ok(Seccomp::Off),
            _ => Err(Refusal::Malformed),
        }
    }

    fn show(&self, value: &Seccomp) -> Option<String> {
        Some(quoted(match value {
            Seccomp::Enforce => "enforce",
            Seccomp::Log => "log",
            Seccomp::Off => "off",
        }))
    }

    fn accepts(&self) -> String {
        "\"enforce\", \"log\" or \"off\"".to_owned()
    }
}

impl Kind for Measures {
    type Value = Vec<Measure>;

    fn read(&self, raw: &Raw) -> Result<Vec<Measure>, Refusal> {
        let names: Vec<&str> = match raw {
            Raw::List(items) => items
                .iter()
                .map(|item| item.text().ok_or(Refusal::WrongType))
                .collect::<Result<_, _>>()?,
            Raw::Bare(text) if text.trim().is_empty() => Vec::new(),
            Raw::Bare(text) => text.split(',').map(str::trim).collect(),
            _ => return Err(Refusal::WrongType),
        };
        let named = |name: &str| Measure::ALL.into_iter().find(|measure| measure.word() == name);
        names.into_iter().map(|name| named(name).ok_or(Refusal::Malformed)).collect()
    }

    fn show(&self, value: &Vec<Measure>) -> Option<String> {
        let names: Vec<String> = value.iter().map(|measure| quoted(measure.word())).collect();
        Some(format!("[{}]", names.join(", ")))
    }

    fn accepts(&self) -> String {
        let all = Measure::ALL.map(Measure::word).join(", ");
        format!("an array of measures: {all} (in the environment: joined by commas)")
    }

    fn found(&self, raw: &Raw) -> String {
        let is_one = |name: &str| Measure::ALL.iter().any(|measure| measure.word() == name);
        culprit(raw, |item| item.text().is_some_and(is_one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn measures_are_required_by_name_and_another_name_is_a_mistake() {
        let config = Config::from_toml("[confinement]\nrequire = [\"landlock\", \"seccomp\"]");
        let wanted = [Measure::Landlock, Measure::Seccomp];
        assert_eq!(config.unwrap().confinement.require, wanted);
        let mistake = Config::from_toml("[confinement]\nrequire = [\"selinux\"]").unwrap_err();
        assert!(mistake.to_string().contains("no_new_executable_memory"), "{mistake}");
        assert!(mistake.to_string().contains("found \"selinux\", element 1 of 1"), "{mistake}");
        let mistake = Config::from_toml("[confinement]\nseccomp = true").unwrap_err();
        assert!(mistake.to_string().contains("\"enforce\", \"log\" or \"off\""), "{mistake}");
    }
}

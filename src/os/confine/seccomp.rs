//! Filters of system calls, made of a list of what is allowed.
//!
//! Law: what is not on the list ends the process, or is told to the kernel's log, as was asked; made
//! beforehand, so that a thread's own part is the one call that applies it. Knows no role.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::os::OsError;
use crate::os::confine::roles::{Allowed, Only};

/// What becomes of a call that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The process is killed by SIGSYS.
    Kill,
    /// It is made all the same, and a line of the kernel's audit log says so.
    Log,
}

/// A filter, ready to be applied.
#[derive(Clone, Debug)]
pub struct Program(BpfProgram);

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

impl Program {
    /// Allows these, and no other.
    ///
    /// # Errors
    /// E2BIG where no filter can hold so many.
    pub fn of(allowed: &[Allowed], refusal: Refusal) -> Result<Self, OsError> {
        let rule = |allowed: &Allowed| {
            let rules = allowed.only.iter().map(|all| whole(all)).collect::<Option<Vec<_>>>()?;
            Some((allowed.number, rules))
        };
        let action = match refusal {
            Refusal::Kill => SeccompAction::KillProcess,
            Refusal::Log => SeccompAction::Log,
        };
        allowed
            .iter()
            .map(rule)
            .collect::<Option<_>>()
            .and_then(|rules| {
                SeccompFilter::new(rules, action, SeccompAction::Allow, ARCHITECTURE).ok()
            })
            .and_then(|filter| BpfProgram::try_from(filter).ok())
            .map(Self)
            .ok_or_else(|| refused(libc::E2BIG))
    }

    /// Applies it to the calling thread, and to those that it starts later.
    pub(super) fn apply(&self) -> Result<(), OsError> {
        seccompiler::apply_filter(&self.0).map_err(|error| {
            refused(match error {
                seccompiler::Error::Prctl(error) => error.raw_os_error().unwrap_or(libc::EINVAL),
                _ => libc::EINVAL,
            })
        })
    }
}

/// A rule of which every condition has to hold.
fn whole(all: &[Only]) -> Option<SeccompRule> {
    let conditions = all.iter().map(|only| {
        let length = if only.mask > u64::from(u32::MAX) {
            SeccompCmpArgLen::Qword
        } else {
            // An int, above which a register may hold anything.
            SeccompCmpArgLen::Dword
        };
        let masked = SeccompCmpOp::MaskedEq(only.mask);
        SeccompCondition::new(only.argument, length, masked, only.value).ok()
    });
    SeccompRule::new(conditions.collect::<Option<_>>()?).ok()
}

const fn refused(errno: i32) -> OsError {
    OsError { call: "prctl(PR_SET_SECCOMP)", errno, bytes: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::confine::Role;

    #[test]
    fn every_role_has_a_filter_of_either_kind() {
        for role in Role::ALL {
            for refusal in [Refusal::Kill, Refusal::Log] {
                assert!(Program::of(&role.allowed(), refusal).is_ok(), "{role:?}");
            }
        }
    }
}

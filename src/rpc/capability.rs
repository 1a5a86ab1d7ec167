//! [`Capability`]: something that a client can require by name, and the check of such a list.
//!
//! Law: what is DEGRADED can be required; what is REFUSED or unknown cannot. Whoever composes the
//! daemon says what there is.

use crate::error::{Failure, printable};
use crate::proto::v1;

/// Something that a client can require by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    name: &'static str,
    state: v1::CapabilityState,
    /// Why not, or not fully; empty where it is available.
    reason: String,
}

impl Capability {
    /// It can be used.
    #[must_use]
    pub const fn available(name: &'static str) -> Self {
        Self { name, state: v1::CapabilityState::Available, reason: String::new() }
    }

    /// It can be used, with less than was meant.
    #[must_use]
    pub const fn degraded(name: &'static str, reason: String) -> Self {
        Self { name, state: v1::CapabilityState::Degraded, reason }
    }

    /// It cannot be used.
    #[must_use]
    pub const fn refused(name: &'static str, reason: String) -> Self {
        Self { name, state: v1::CapabilityState::Refused, reason }
    }

    /// As the wire has it.
    pub(crate) fn message(&self) -> v1::Capability {
        v1::Capability {
            name: self.name.to_owned(),
            state: self.state.into(),
            reason: self.reason.clone(),
        }
    }
}

/// That everything the client cannot do without is there.
///
/// # Errors
/// CAPABILITY_UNAVAILABLE naming the first that is not.
pub(crate) fn require(there: &[Capability], names: &[String]) -> Result<(), Failure> {
    for wanted in names {
        let found = there.iter().find(|one| one.name == wanted);
        let why = match found {
            Some(one) if one.state != v1::CapabilityState::Refused => continue,
            Some(one) => one.reason.clone().into(),
            None => "this server does not know it".into(),
        };
        // Whatever a caller wrote is repeated as one line, and not for long.
        let value = printable(wanted.as_bytes());
        return Err(Failure::CapabilityUnavailable { field: "required_capabilities", value, why });
    }
    Ok(())
}

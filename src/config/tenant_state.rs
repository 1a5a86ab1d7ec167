//! Owns whether a tenant is open: its kind of value.

use crate::config::kinds::{Kind, quoted};
use crate::config::raw::{Raw, Refusal};

/// Whether anybody may call as a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TenantState {
    /// Its identities may.
    #[default]
    Active,
    /// Nobody may; its memories stay.
    Closed,
}

/// A [`TenantState`].
pub(super) struct State;

impl Kind for State {
    type Value = TenantState;

    fn read(&self, raw: &Raw) -> Result<TenantState, Refusal> {
        match raw.text().ok_or(Refusal::WrongType)? {
            "active" => Ok(TenantState::Active),
            "closed" => Ok(TenantState::Closed),
            _ => Err(Refusal::Malformed),
        }
    }

    fn show(&self, value: &TenantState) -> Option<String> {
        Some(quoted(match value {
            TenantState::Active => "active",
            TenantState::Closed => "closed",
        }))
    }

    fn accepts(&self) -> String {
        "\"active\" or \"closed\"".to_owned()
    }
}

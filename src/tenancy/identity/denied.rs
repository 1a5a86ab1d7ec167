//! [`Denied`]: that somebody is not let in, and all that was found out about them.
//!
//! Law: what was verified is verified once: who is refused is told of, and charged for, by this verdict.
//! Judges nobody.

use std::sync::Arc;

use crate::error::Failure;
use crate::tenancy::identity::{Grant, Identity};

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Why.
    pub failure: Failure,
    /// Whom they showed to be, whether that counts still or not; none where that is nobody who is mapped.
    pub who: Option<Arc<Identity>>,
    /// Whether a signature was verified to find that out.
    pub is_signed: bool,
}

impl Denied {
    /// Somebody who was known.
    #[must_use]
    pub fn of(grant: &Grant, failure: Failure) -> Self {
        Self { failure, who: grant.identity.clone(), is_signed: grant.is_signed }
    }

    /// Nobody, as a signature says.
    pub(super) const fn verified(failure: Failure) -> Self {
        Self { failure, who: None, is_signed: true }
    }

    /// Whether they are a stranger, or claim to be somebody else: not who came too late.
    #[must_use]
    pub fn is_of_a_stranger(&self) -> bool {
        self.who.is_none() && !matches!(self.failure, Failure::CredentialsExpired)
    }
}

impl From<Failure> for Denied {
    fn from(failure: Failure) -> Self {
        Self { failure, who: None, is_signed: false }
    }
}

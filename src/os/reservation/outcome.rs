//! What a host may refuse of a reservation, and what is left then.

use std::fmt;
use std::sync::Arc;

use crate::os::kernel::Kernel;
use crate::os::reservation::Reservation;
use crate::os::{OsError, host_page};
use crate::units::ByteCount;

/// Something that this host does not have and that a reservation can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Absence {
    /// The kernel has no transparent huge pages to keep away.
    HugePageAdvice,
    /// The kernel cannot name mappings.
    MappingName,
}

/// The kernel did not take the range back. It is whole and can be released again.
#[derive(Debug, thiserror::Error)]
#[error("reservation not released: {error}")]
pub struct ReleaseFailed {
    /// Untouched.
    pub reservation: Reservation,
    /// Why.
    #[source]
    pub error: OsError,
}

/// A range was not set aside.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ReserveFailed {
    /// Why.
    #[source]
    pub error: OsError,
    /// Where something was mapped by then and the kernel did not take it back either.
    pub left: Option<Box<ReleaseFailed>>,
}

impl From<OsError> for ReserveFailed {
    fn from(error: OsError) -> Self {
        Self { error, left: None }
    }
}

impl Absence {
    /// What every reservation on this host will go without, found by making one.
    #[must_use]
    pub fn on(kernel: &Arc<dyn Kernel>) -> Vec<Self> {
        let (none, page) = (ByteCount::ZERO, host_page(&**kernel));
        let tried = Reservation::reserve(Arc::clone(kernel), none, page, none);
        tried.map(|reservation| reservation.absences().to_vec()).unwrap_or_default()
    }

    /// In a word.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::HugePageAdvice => "huge_page_advice",
            Self::MappingName => "mapping_names",
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HugePageAdvice => "this kernel has no transparent huge pages to keep away",
            Self::MappingName => "this kernel cannot name anonymous mappings",
        })
    }
}

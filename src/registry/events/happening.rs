//! [`Event`]: something that happened to one memory, with what a watch selects it by.
//!
//! Law: whole and never changed once told; its labels are those of that moment. Its sequence is its
//! place in the ring, which alone knows it.

use std::time::SystemTime;

use crate::error::Failure;
use crate::model::{MemoryId, ShareAccess, ShareId, TenantName, Uuid};
use crate::registry::looks::Looks;
use crate::registry::presentation::Said;
use crate::registry::selector::LabelSelector;
use crate::units::{ByteRange, WasmPages};

/// What one event costs beside its labels and a long name: itself, its places in the ring and in the
/// heap, rounded up.
const EVENT_BYTES: u64 = 256;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It is there.
    Created {
        /// Its size.
        size: WasmPages,
    },
    /// It has more pages.
    Grown {
        /// Before.
        previous: WasmPages,
        /// After.
        current: WasmPages,
    },
    /// A hook denied it pages.
    GrowDenied {
        /// How many more were asked for.
        delta_pages: u64,
        /// DENIED, TIMEOUT or ABSENT.
        cause: &'static str,
        /// The hook.
        hook_id: Box<str>,
    },
    /// It got no pages for another reason.
    GrowFailed {
        /// How many more were asked for.
        delta_pages: u64,
        /// What the caller was told.
        failure: Box<Failure>,
    },
    /// It was deleted.
    Deleted,
    /// Its lease ran out.
    Expired,
    /// Its bytes can no longer be trusted.
    Quarantined {
        /// Why.
        why: &'static str,
    },
    /// Volatile bytes of it went.
    Purged {
        /// Which.
        range: ByteRange,
    },
    /// A share of it came, got its name, or ended.
    Shared(Box<Sharing>),
}

/// What became of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Which.
    pub share_id: ShareId,
    /// The other tenant.
    pub tenant: TenantName,
    /// What it gives.
    pub access: ShareAccess,
    /// What.
    pub step: ShareStep,
}

/// Where a share is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareStep {
    /// It was given; told to its owner.
    Given,
    /// It was mounted; told to its grantee.
    Mounted,
    /// It is over; told to both.
    Ended,
}

impl Happening {
    /// What became of an attempt to grow by so much.
    pub(in crate::registry) fn not_grown(delta_pages: u64, failure: &Failure) -> Self {
        match failure {
            Failure::GrowDenied { cause, hook_id, .. } => Self::GrowDenied {
                delta_pages,
                cause: cause.word(),
                hook_id: hook_id.as_str().into(),
            },
            other => Self::GrowFailed { delta_pages, failure: Box::new(other.clone()) },
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Created { .. } => EventKind::Created,
            Self::Grown { .. } => EventKind::Grown,
            Self::GrowDenied { .. } => EventKind::GrowDenied,
            Self::GrowFailed { .. } => EventKind::GrowFailed,
            Self::Deleted => EventKind::Deleted,
            Self::Expired => EventKind::Expired,
            Self::Quarantined { .. } => EventKind::Quarantined,
            Self::Purged { .. } => EventKind::Purged,
            Self::Shared(_) => EventKind::Shared,
        }
    }

    /// Whether it changed what a snapshot shows.
    pub(super) const fn is_of_state(&self) -> bool {
        match self {
            Self::Created { .. }
            | Self::Grown { .. }
            | Self::Deleted
            | Self::Expired
            | Self::Quarantined { .. } => true,
            Self::GrowDenied { .. }
            | Self::GrowFailed { .. }
            | Self::Purged { .. }
            | Self::Shared(_) => false,
        }
    }
}

/// A kind of what can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// [`Happening::Created`].
    Created,
    /// [`Happening::Grown`].
    Grown,
    /// [`Happening::GrowDenied`].
    GrowDenied,
    /// [`Happening::GrowFailed`].
    GrowFailed,
    /// [`Happening::Deleted`].
    Deleted,
    /// [`Happening::Expired`].
    Expired,
    /// [`Happening::Quarantined`].
    Quarantined,
    /// [`Happening::Purged`].
    Purged,
    /// [`Happening::Shared`].
    Shared,
}

impl EventKind {
    const fn bit(self) -> u16 {
        1_u16.wrapping_shl(self as u32)
    }
}

/// Some kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKinds(u16);

impl EventKinds {
    /// All that there are.
    pub const ALL: Self = Self(u16::MAX);
    /// None at all.
    pub const NONE: Self = Self(0);

    /// These and that one.
    #[must_use]
    pub const fn and(self, kind: EventKind) -> Self {
        Self(self.0 | kind.bit())
    }

    /// Whether that one is among them.
    #[must_use]
    pub const fn has(self, kind: EventKind) -> bool {
        self.0 & kind.bit() != 0
    }
}

/// Something that happened to one memory.
#[derive(Debug)]
pub struct Event {
    /// When.
    pub time: SystemTime,
    /// The memory's name.
    pub memory_id: MemoryId,
    /// Which memory behind it.
    pub uid: Uuid,
    /// What.
    pub happening: Happening,
    /// What was said of the memory then.
    said: Said,
}

impl Event {
    pub(in crate::registry) const fn new(
        time: SystemTime,
        memory_id: MemoryId,
        uid: Uuid,
        said: Said,
        happening: Happening,
    ) -> Self {
        Self { time, memory_id, uid, happening, said }
    }

    /// Whether the memory's labels were what a selector wants.
    pub(super) fn is_selected(&self, selector: &LabelSelector, looks: &mut Looks) -> bool {
        self.said.is_selected(selector, looks)
    }

    pub(super) fn cost(&self) -> u64 {
        let failure = match &self.happening {
            Happening::GrowFailed { .. } => size_of::<Failure>(),
            Happening::Shared(_) => size_of::<Sharing>(),
            _ => 0,
        };
        let beside = self.memory_id.as_bytes().len().saturating_add(self.said.length());
        EVENT_BYTES.saturating_add(beside as u64).saturating_add(failure as u64)
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_event_and_its_places_fit_what_is_charged_for_it() {
        const COUNTS: usize = 16;
        const PLACE_AND_HEAP: usize = 2 * 8 + 32;
        let all = size_of::<Event>() + COUNTS + PLACE_AND_HEAP;
        assert!(all as u64 <= EVENT_BYTES, "{all}");
    }
}

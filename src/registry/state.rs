//! The state word of a [`Lifecycle`](crate::registry::lifecycle::Lifecycle): what its values say.
//!
//! Law: quarantined is one state for each reason, so that it is never seen without it. Changes nothing.

pub(super) const LIVE: u8 = 0;
pub(super) const GONE: u8 = 1;
/// Quarantined, and why.
const LOST_BYTES: u8 = 2;
const BROKEN: u8 = 3;
const CORRUPTED: u8 = 4;

/// Why something is quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The host failed under an access.
    LostBytes,
    /// A panic passed through a guard.
    Broken,
    /// It is not what was stored, or not made as it was.
    Corrupted,
}

impl Why {
    pub(super) const fn state(self) -> u8 {
        match self {
            Self::LostBytes => LOST_BYTES,
            Self::Broken => BROKEN,
            Self::Corrupted => CORRUPTED,
        }
    }
}

/// Why it is quarantined, in such a state.
pub(super) const fn reason(state: u8) -> Option<&'static str> {
    match state {
        LOST_BYTES => Some("the host lost bytes of it"),
        BROKEN => Some("a fault of the daemon's own happened while it was in use"),
        CORRUPTED => Some("it was found corrupted"),
        _ => None,
    }
}

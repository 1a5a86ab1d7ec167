//! [`Warm`]: how much RAM free slots keep, and whether they may.
//!
//! Law: counted where a slot becomes nobody's and where it is taken again. Gives nothing back itself
//! (`slot.rs`, `shelves.rs`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// RAM that free slots may keep, beside every budget: enough for the slots that come and go, which
/// are always the last ones used.
pub(super) const MOST: u64 = 16 << 20;

/// What free slots of all sizes keep.
#[derive(Debug, Default)]
pub(super) struct Warm {
    kept: AtomicU64,
    /// The host is short: nothing more is kept.
    over: AtomicBool,
}

impl Warm {
    /// Whether anything may be kept from now on.
    pub(super) fn allow(&self, kept: bool) {
        self.over.store(!kept, Ordering::Relaxed);
    }

    /// Whether so much more may be kept.
    pub(super) fn has_room_for(&self, more: u64) -> bool {
        self.sum(self.kept(), more).is_some()
    }

    /// Counts it as kept, if it may be.
    pub(super) fn keep(&self, more: u64) -> bool {
        let add = |kept| self.sum(kept, more);
        more == 0 || self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Counts it as kept, as the host has not taken it.
    pub(super) fn keep_anyway(&self, more: u64) {
        self.kept.fetch_add(more, Ordering::Relaxed);
    }

    /// It is kept no more.
    pub(super) fn less(&self, less: u64) {
        self.kept.fetch_sub(less, Ordering::Relaxed);
    }

    /// How much is kept.
    pub(super) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    fn sum(&self, kept: u64, more: u64) -> Option<u64> {
        let sum = kept.checked_add(more).filter(|sum| *sum <= MOST);
        sum.filter(|_| !self.over.load(Ordering::Relaxed))
    }
}

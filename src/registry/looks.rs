//! [`Looks`]: how much is looked at before others of the same thread have their turn.
//!
//! Law: each look counts by what it takes, in nanoseconds or so, never as one of so many: a memory with all
//! its labels at their longest takes forty times as long as one without.

/// What is looked at in a turn: about a millisecond.
const TURN: u64 = 1_000_000;
/// A memory or an event by itself.
pub(super) const LOOK: u64 = 100;
/// A term of a selector.
const TERM: u64 = 10;
/// Bytes of labels that are passed over in one.
const BYTES: u64 = 8;

/// What is left of a turn.
#[derive(Debug)]
pub(super) struct Looks(u64);

impl Looks {
    /// A whole turn.
    pub(super) const fn new() -> Self {
        Self(TURN)
    }

    /// So much of it is gone.
    pub(super) const fn spend(&mut self, work: u64) {
        self.0 = self.0.saturating_sub(work);
    }

    /// Labels of so many bytes are compared with so many terms.
    pub(super) fn compare(&mut self, terms: usize, bytes: usize) {
        let terms = (terms as u64).saturating_mul(TERM);
        self.spend(terms.saturating_add(bytes as u64 / BYTES));
    }

    /// Whether nothing is left of it.
    pub(super) const fn are_over(&self) -> bool {
        self.0 == 0
    }
}

//! [`Tie`]: memories that live no longer than whoever made them is there: a connection.
//!
//! Law: a memory is tied in the moment in which it gets its name, or is not made: once a tie is cut,
//! nothing is tied to it any more. Keeps no memory alive. A leaf among the locks. Does not know what a
//! connection is, nor how memories end (`operations/let_go.rs`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::Failure;
use crate::registry::record::Record;

/// Below so many nothing is cleared out.
const FEW: usize = 64;

/// What goes with whoever holds this.
#[derive(Debug, Default)]
pub struct Tie(Mutex<Tied>);

#[derive(Debug, Default)]
struct Tied {
    is_cut: bool,
    /// Those among them that are over go when there are twice as many as when they last went.
    records: Vec<Weak<Record>>,
    clear_at: usize,
}

impl Tie {
    /// Ties memories that get their names now.
    ///
    /// # Errors
    /// [`Failure::DeadlinePassed`]: whoever made them is gone, and nothing is tied.
    pub(super) fn bind(&self, records: &[Arc<Record>]) -> Result<(), Failure> {
        if records.is_empty() {
            return Ok(());
        }
        let mut tied = self.tied();
        if tied.is_cut {
            return Err(Failure::DeadlinePassed);
        }
        let count = tied.records.len().saturating_add(records.len());
        if count > tied.clear_at.max(FEW) {
            tied.records.retain(|record| record.strong_count() > 0);
            tied.clear_at = tied.records.len().saturating_add(records.len()).saturating_mul(2);
        }
        tied.records.extend(records.iter().map(Arc::downgrade));
        Ok(())
    }

    /// Whoever made them goes: those that are there still.
    pub(super) fn cut(&self) -> Vec<Arc<Record>> {
        let records = {
            let mut tied = self.tied();
            tied.is_cut = true;
            std::mem::take(&mut tied.records)
        };
        let there = records.iter().filter_map(Weak::upgrade);
        there.filter(|record| !record.has_ended()).collect()
    }

    fn tied(&self) -> MutexGuard<'_, Tied> {
        // Nobody panics in the middle of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

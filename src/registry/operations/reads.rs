//! [`Reads`]: short reads of one memory, one after the other under one hold of its lock.
//!
//! Law: for who has several at hand and waits for nothing between them; each is by itself and one of the
//! moment in which it is made. What is not plain (past the end, protected, lost) is not answered here and
//! leaves no trace: it is asked for again as a group of its own, which tells why.

use std::sync::Arc;

use crate::memory::Tally;
use crate::model::AccessKind;
use crate::registry::lifecycle::{self, Reading};
use crate::registry::operations::hand;
use crate::registry::record::Record;
use crate::units::ByteRange;

/// The hold.
pub struct Reads {
    reading: Reading<Record>,
    tally: Tally,
}

impl Reads {
    /// Takes the lock at once; none where someone has it alone or waits for it, or the memory is not alive.
    #[must_use]
    pub fn begin(record: &Arc<Record>) -> Option<Self> {
        let reading = lifecycle::read_now(Arc::clone(record))?;
        Some(Self { reading, tally: Tally::default() })
    }

    /// Appends a range's bytes to `out`; whether it could. If not, `out` may have grown.
    pub fn read(&mut self, offset: u64, length: u64, out: &mut Vec<u8>) -> bool {
        let record = self.reading.owner();
        let (size, maximum) = (record.size().bytes(), record.maximum());
        let Ok(range) = ByteRange::within(offset, length, size) else { return false };
        let Ok(mut memory) = hand(self.reading.memory()) else { return false };
        if memory.read(range, out).is_err() {
            return false;
        }
        self.tally.add(AccessKind::Read, range, false, maximum);
        true
    }

    /// Whose.
    #[must_use]
    pub fn record(&self) -> &Arc<Record> {
        self.reading.owner()
    }

    /// Gives the lock back; what was read, counted of the memory and still to be counted of its tenant.
    #[must_use]
    pub fn end(self) -> Tally {
        self.reading.owner().note_group(&self.tally);
        self.tally
    }
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reads").field("tally", &self.tally).finish_non_exhaustive()
    }
}

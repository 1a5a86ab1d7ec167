//! [`Ages`]: which memories have volatile ranges, oldest first.
//!
//! Law: an entry is an age that some bytes of a memory have, put in and taken out by whoever has that
//! memory's lock; so there are no more entries than memories may have ranges, which were paid for. An
//! age is one of these numbers, never given twice. Purges nothing (`operations/volatility.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::registry::record::Record;

/// All volatile ranges of all tenants, by age.
#[derive(Debug, Default)]
pub(super) struct Ages(Mutex<Order>);

#[derive(Debug, Default)]
struct Order {
    last: u64,
    records: BTreeMap<u64, Weak<Record>>,
}

impl Ages {
    /// Younger than every age before it.
    pub(super) fn youngest(&self) -> u64 {
        let mut order = self.order();
        order.last = order.last.saturating_add(1);
        order.last
    }

    /// Bytes of a memory have this age now. Whether none had one before.
    pub(super) fn remember(&self, age: u64, record: &Arc<Record>) -> bool {
        let mut order = self.order();
        let first = order.records.is_empty();
        order.records.insert(age, Arc::downgrade(record));
        first
    }

    /// No bytes have these ages any more, or none that could go.
    pub(super) fn forget(&self, ages: impl IntoIterator<Item = u64>) {
        let mut order = self.order();
        for age in ages {
            order.records.remove(&age);
        }
    }

    /// The oldest that is no older than `from`, and whose it is while it lives.
    pub(super) fn oldest(&self, from: u64) -> Option<(u64, Weak<Record>)> {
        let order = self.order();
        order.records.range(from..).next().map(|(age, record)| (*age, Weak::clone(record)))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.order().records.len()
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        // Nobody panics in the middle of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

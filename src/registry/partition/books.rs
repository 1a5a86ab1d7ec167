//! What a partition's contents cost, and who pays for it: the partition's part of the ledger.
//!
//! ```text
//!  0 ────────── minimum ─────────────── maximum
//!  │ paid once,    │ borrowed: paid by the  │ refused: PartitionFull
//!  │ at creation   │ parent, or the host    │
//! ```
//!
//! Law: used ≤ maximum; a partition has paid its parent, or the host, the larger of its minimum and
//! what it uses, exactly, at every moment. So what is left of a minimum can always be paid, whatever
//! others do, and minimums never add up to more than the budget. Books are changed under their own
//! lock, held while the parent's are asked: children before parents, never the other way.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use crate::error::Failure;
use crate::registry::ledger::Amount;
use crate::registry::partition::{Above, Partition};
use crate::units::ByteCount;

/// The partition above has no more.
const LENT: Failure = Failure::HostExhausted {
    limit_name: "partition_borrowing",
    remedy: "what the partition could be lent is lent; an operator can raise its minimum, or the \
             limits of the one above it",
};

/// What a partition holds.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Committed bytes and overhead of its memories, and what its children have paid.
    used: u64,
    /// The part of that which is no overhead of its own memories.
    committed: u64,
    /// Paid to whoever is above as long as it is there.
    minimum: u64,
    memories: u64,
    children: u64,
    /// Nothing new comes in any more.
    ended: bool,
    /// Whether its parent counts it among its children.
    counted: bool,
}

/// What comes into a partition, or leaves it.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    bytes: u64,
    committed: u64,
    memories: u64,
    children: u64,
}

impl Entry {
    fn memory(amount: Amount) -> Self {
        Self {
            bytes: amount.bytes(),
            committed: amount.committed_bytes,
            memories: amount.memories.into(),
            children: 0,
        }
    }

    fn partition(bytes: u64, children: u64) -> Self {
        Self { bytes, committed: bytes, memories: 0, children }
    }
}

impl Books {
    /// What of so many bytes is paid above, beside the minimum.
    const fn beyond(&self, used: u64) -> u64 {
        used.saturating_sub(self.minimum)
    }
}

impl Above {
    fn pay(&self, bytes: u64, child: bool) -> Result<(), Failure> {
        match self {
            Self::Partition(parent) => parent.enter(Entry::partition(bytes, u64::from(child))),
            Self::Host(host) => host.account.pay_as_host(committed(bytes)),
        }
    }

    /// The same, of what was not set aside.
    fn lend(&self, bytes: u64) -> Result<(), Failure> {
        if let Self::Host(host) = self
            && host.pressure.load(Ordering::Relaxed)
        {
            return Err(Failure::HostExhausted {
                limit_name: "partition_borrowing",
                remedy: "it is short of memory, and partitions get no more than was set aside for \
                         them; try again later",
            });
        }
        // Who is in a partition need not know of the one above it.
        self.pay(bytes, false).map_err(|refusal| match refusal {
            Failure::PartitionFull { .. } => LENT,
            other => other,
        })
    }

    fn give_back(&self, bytes: u64, child: bool) {
        match self {
            Self::Partition(parent) => parent.leave(Entry::partition(bytes, u64::from(child))),
            Self::Host(host) => host.account.give_back(committed(bytes)),
        }
    }
}

/// To the host a partition's bytes are all committed ones.
const fn committed(bytes: u64) -> Amount {
    Amount::committed(ByteCount::new(bytes))
}

impl Partition {
    /// Pays for a memory, or for more of one.
    pub(in crate::registry) fn pay(&self, amount: Amount) -> Result<(), Failure> {
        self.pay_rest(amount)?;
        self.enter(Entry::memory(amount)).inspect_err(|_refused| self.give_back_rest(amount))
    }

    /// Gives back what [`Self::pay`] paid.
    pub(in crate::registry) fn give_back(&self, amount: Amount) {
        self.leave(Entry::memory(amount));
        self.give_back_rest(amount);
    }

    /// Pays for all but the bytes, here and in those that it is a part of.
    fn pay_rest(&self, amount: Amount) -> Result<(), Failure> {
        let rest = amount.without_bytes();
        for (paid, one) in self.upwards().enumerate() {
            let Err(refused) = one.rest.admit(rest) else { continue };
            self.upwards().take(paid).for_each(|one| one.rest.give_back(rest));
            // Who is in a partition need not know of the one above it.
            return Err(if paid == 0 { refused.by_partition(&self.id) } else { LENT });
        }
        Ok(())
    }

    fn give_back_rest(&self, amount: Amount) {
        self.upwards().for_each(|one| one.rest.give_back(amount.without_bytes()));
    }

    /// Pays for the minimum, once and first of all.
    pub(super) fn pay_minimum(&self) -> Result<(), Failure> {
        let minimum = self.spec.minimum.get();
        self.above.pay(minimum, true)?;
        let mut books = self.books();
        books.minimum = minimum;
        books.counted = true;
        Ok(())
    }

    /// Lets nothing new in, if it is empty.
    pub(in crate::registry) fn end(&self) -> Result<(), Failure> {
        let mut books = self.books();
        let (memories, children) = (books.memories, books.children);
        if books.ended {
            return Err(self.not_found());
        }
        if memories > 0 || children > 0 {
            let partition_id = self.id.clone();
            return Err(Failure::PartitionInUse { partition_id, memories, children });
        }
        books.ended = true;
        Ok(())
    }

    /// Takes [`Self::end`] back.
    pub(in crate::registry) fn go_on(&self) {
        self.books().ended = false;
    }

    /// Gives the minimum back once it has ended, but for what is in use still: a request id may have
    /// been paid out of it, and is given back with the last of those.
    pub(in crate::registry) fn give_back_minimum(&self) {
        let mut books = self.books();
        let rest = books.minimum.min(books.used);
        let less = books.minimum.saturating_sub(rest);
        books.minimum = rest;
        let counted = std::mem::take(&mut books.counted);
        self.above.give_back(less, counted);
    }

    /// What is left of its minimum, of bytes and of committed bytes alone.
    pub(super) fn unused_minimum(&self) -> (u64, u64) {
        let books = self.books();
        match books.ended {
            true => (0, 0),
            false => (
                books.minimum.saturating_sub(books.used),
                books.minimum.saturating_sub(books.committed),
            ),
        }
    }

    /// What its contents cost, what of that is borrowed, and how many memories it has.
    pub(super) fn figures(&self) -> [u64; 3] {
        let books = self.books();
        [books.used, books.beyond(books.used), books.memories]
    }

    fn enter(&self, entry: Entry) -> Result<(), Failure> {
        let mut books = self.books();
        if books.ended {
            return Err(self.not_found());
        }
        let limit = self.spec.maximum.get();
        let used = books.used.checked_add(entry.bytes).filter(|used| *used <= limit);
        let Some(used) = used else {
            let partition_id = self.id.clone();
            let (limit_name, asked) = ("partition_committed_bytes", entry.bytes);
            return Err(Failure::PartitionFull { partition_id, limit_name, limit, asked });
        };
        let more = books.beyond(used).saturating_sub(books.beyond(books.used));
        if more > 0 {
            self.above.lend(more)?;
        }
        books.used = used;
        // Parts of what was admitted: sums stay far below 2^64.
        books.committed = books.committed.saturating_add(entry.committed);
        books.memories = books.memories.saturating_add(entry.memories);
        books.children = books.children.saturating_add(entry.children);
        Ok(())
    }

    fn leave(&self, entry: Entry) {
        let mut books = self.books();
        let used = books.used.saturating_sub(entry.bytes);
        let less = books.beyond(books.used).saturating_sub(books.beyond(used));
        books.used = used;
        books.committed = books.committed.saturating_sub(entry.committed);
        books.memories = books.memories.saturating_sub(entry.memories);
        books.children = books.children.saturating_sub(entry.children);
        if less > 0 {
            self.above.give_back(less, false);
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        // Nothing is paid from it any more: what was left of its minimum goes back.
        let books = self.books.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (left, counted) = (books.minimum, books.counted);
        if left > 0 || counted {
            self.above.give_back(left, counted);
        }
    }
}

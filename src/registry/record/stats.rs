//! What has happened to a [`Record`]'s memory, counted beside its operations.
//!
//! ```text
//! last access  | offset 40 | length 24 |  plus 1; 0: none yet; all ones: in Rare, for it does not fit
//! regions      one bit for each 64th of the maximum
//! ```
//!
//! Law: an access costs a few relaxed steps on one cache line and no lock, but for one past 1 TiB or of
//! 16 MiB and more. What is told of the last access is of one access, never of two. There may be a million
//! of these.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::{Tally, regions};
use crate::model::{MemoryStats, Now};
use crate::registry::aside::Rare;
use crate::registry::presentation::{after_1970, since_1970};
use crate::registry::record::Record;
use crate::units::ByteRange;

#[derive(Debug, Default)]
pub(super) struct Stats {
    read_count: AtomicU64,
    write_count: AtomicU64,
    read_bytes: AtomicU64,
    write_bytes: AtomicU64,
    largest_access_bytes: AtomicU64,
    last_access: AtomicU64,
    regions: AtomicU64,
}

/// What a reset leaves behind, and what is seldom counted.
#[derive(Debug, Default)]
pub(in crate::registry) struct RareStats {
    grow_count: u64,
    grow_failure_count: u64,
    trap_count: u64,
    /// The last access, where it has no place beside the others.
    last_access: (u64, u64),
    /// When the last reset was, in nanoseconds after 1970.
    reset: Option<u64>,
    /// Accesses before that.
    accesses_before: u64,
}

/// No access yet.
const NONE: u64 = 0;
/// The last access is in [`RareStats`].
const ELSEWHERE: u64 = u64::MAX;
const LENGTH_BITS: u32 = 24;

impl Record {
    /// What has happened to it since it was created, or since the last reset.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let aside = self.aside();
        let none = RareStats::default();
        let rare = aside.rare.as_ref().map_or(&none, |rare| &rare.stats);
        let last_access = match read(&self.stats.last_access) {
            NONE => None,
            ELSEWHERE => Some(rare.last_access),
            packed => Some(unpacked(packed)),
        };
        MemoryStats {
            read_count: read(&self.stats.read_count),
            write_count: read(&self.stats.write_count),
            read_bytes: read(&self.stats.read_bytes),
            write_bytes: read(&self.stats.write_bytes),
            grow_count: rare.grow_count,
            grow_failure_count: rare.grow_failure_count,
            trap_count: rare.trap_count,
            largest_access_bytes: read(&self.stats.largest_access_bytes),
            last_access,
            distinct_regions: read(&self.stats.regions).count_ones(),
            since: rare.reset.and_then(after_1970).unwrap_or_else(|| self.created()),
        }
    }

    /// Accesses since it was created, whatever was reset.
    #[must_use]
    pub fn accesses_ever(&self) -> u64 {
        let aside = self.aside();
        let before = aside.rare.as_ref().map_or(0, |rare| rare.stats.accesses_before);
        let Stats { read_count, write_count, .. } = &self.stats;
        before
            .saturating_add(read_count.load(Ordering::Relaxed))
            .saturating_add(write_count.load(Ordering::Relaxed))
    }

    /// Begins its statistics anew.
    pub fn reset_stats(&self, now: Now) {
        // Under the lock, so that nobody sees accesses in neither place.
        self.change(|rare| {
            let Stats {
                read_count,
                write_count,
                read_bytes,
                write_bytes,
                largest_access_bytes,
                last_access,
                regions,
            } = &self.stats;
            let counted = [read_count, write_count].map(|count| count.swap(0, Ordering::Relaxed));
            for counter in [read_bytes, write_bytes, largest_access_bytes, last_access, regions] {
                counter.store(0, Ordering::Relaxed);
            }
            let before = rare.stats.accesses_before;
            let accesses_before = counted.into_iter().fold(before, u64::saturating_add);
            let reset = Some(since_1970(now.wall));
            rare.stats = RareStats { accesses_before, reset, ..RareStats::default() };
        });
    }

    pub(in crate::registry) fn note_read(&self, range: ByteRange) {
        self.stats.read_count.fetch_add(1, Ordering::Relaxed);
        self.stats.read_bytes.fetch_add(range.length().get(), Ordering::Relaxed);
        self.note_place(range);
    }

    pub(in crate::registry) fn note_write(&self, range: ByteRange) {
        self.stats.write_count.fetch_add(1, Ordering::Relaxed);
        self.stats.write_bytes.fetch_add(range.length().get(), Ordering::Relaxed);
        self.note_place(range);
    }

    /// The accesses of a group.
    pub(in crate::registry) fn note_group(&self, tally: &Tally) {
        let Tally { reads, writes, largest, last, regions, .. } = tally;
        let Some(last) = last else { return };
        if reads.accesses > 0 {
            self.stats.read_count.fetch_add(reads.accesses, Ordering::Relaxed);
            self.stats.read_bytes.fetch_add(reads.bytes, Ordering::Relaxed);
        }
        if writes.accesses > 0 {
            self.stats.write_count.fetch_add(writes.accesses, Ordering::Relaxed);
            self.stats.write_bytes.fetch_add(writes.bytes, Ordering::Relaxed);
        }
        self.note_places(*largest, *regions, *last);
    }

    /// An access was refused that never came to the memory.
    pub fn note_refused(&self) {
        self.note_trap();
    }

    fn note_place(&self, range: ByteRange) {
        self.note_places(range.length().get(), regions(range, self.shape.maximum()), range);
    }

    fn note_places(&self, largest: u64, touched: u64, last: ByteRange) {
        let (stats, length) = (&self.stats, last.length().get());
        if largest > stats.largest_access_bytes.load(Ordering::Relaxed) {
            stats.largest_access_bytes.fetch_max(largest, Ordering::Relaxed);
        }
        if touched & !stats.regions.load(Ordering::Relaxed) != 0 {
            stats.regions.fetch_or(touched, Ordering::Relaxed);
        }
        match packed(last) {
            Some(packed) => stats.last_access.store(packed, Ordering::Relaxed),
            None => self.change(|rare| {
                rare.stats.last_access = (last.start(), length);
                stats.last_access.store(ELSEWHERE, Ordering::Relaxed);
            }),
        }
    }

    pub(in crate::registry) fn note_trap(&self) {
        self.change(|rare| count(&mut rare.stats.trap_count));
    }

    pub(in crate::registry) fn note_grown(&self) {
        self.change(|rare| count(&mut rare.stats.grow_count));
    }

    pub(in crate::registry) fn note_not_grown(&self) {
        self.change(|rare| count(&mut rare.stats.grow_failure_count));
    }

    fn change(&self, change: impl FnOnce(&mut Rare)) {
        change(self.aside().rare.get_or_insert_default());
    }
}

const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

const fn packed(range: ByteRange) -> Option<u64> {
    let (offset, length) = (range.start(), range.length().get());
    // Two lengths fewer than there could be: one more than the largest pair is not yet ELSEWHERE.
    if offset >> (u64::BITS - LENGTH_BITS) == 0 && length < (1 << LENGTH_BITS) - 2 {
        Some((offset << LENGTH_BITS | length).saturating_add(1))
    } else {
        None
    }
}

const fn unpacked(packed: u64) -> (u64, u64) {
    let pair = packed.saturating_sub(1);
    (pair >> LENGTH_BITS, pair & ((1 << LENGTH_BITS) - 1))
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(offset: u64, length: u64) -> ByteRange {
        ByteRange::within(offset, length, crate::units::ByteCount::new(u64::MAX)).unwrap()
    }

    proptest! {
        #[test]
        fn an_access_that_is_packed_comes_out_as_it_went_in(
            offset in prop_oneof![0..1_u64 << 41, Just((1 << 40) - 1)],
            length in prop_oneof![0..1_u64 << 25, (1_u64 << 24) - 4..1 << 24],
        ) {
            let fits = offset < 1 << 40 && length < (1 << 24) - 2;
            match packed(range(offset, length)) {
                Some(packed) => {
                    prop_assert!(fits && packed != NONE && packed != ELSEWHERE);
                    prop_assert_eq!(unpacked(packed), (offset, length));
                }
                None => prop_assert!(!fits),
            }
        }
    }
}

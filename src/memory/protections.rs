//! [`Protections`]: the ranges of one memory that may not be read or not be written.
//!
//! Law: ranges are ascending, disjoint, not empty, and none is READ_WRITE, which is what everything
//! else is; neighbours of one kind are one range. At most [`MOST_RANGES`]. Knows no bytes and no
//! kernel.

use crate::model::Protection;
use crate::units::{ByteCount, ByteRange};

/// Ranges that one memory may have.
pub const MOST_RANGES: usize = 64;

/// What may not be done where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Protections(Vec<Range>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    end: u64,
    protection: Protection,
}

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Read.
    Read,
    /// Write.
    Write,
}

/// An access of bytes that do not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protected {
    /// The first such byte.
    pub offset: u64,
    /// How many of them the access has in a row.
    pub length: u64,
    /// What they do allow.
    pub protection: Protection,
}

/// It would be more ranges than a memory may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Protections {
    /// The same with a range of this protection.
    pub(super) fn with(&self, range: ByteRange, protection: Protection) -> Result<Self, TooMany> {
        let new = Range { start: range.start(), end: range.end(), protection };
        let mut ranges = Vec::with_capacity(self.0.len().saturating_add(2));
        for old in &self.0 {
            ranges.extend([
                Range { end: old.end.min(new.start), ..*old },
                Range { start: old.start.max(new.end), ..*old },
            ]);
        }
        ranges.push(new);
        ranges.retain(|range| range.start < range.end && range.protection != Protection::ReadWrite);
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup_by(|next, one| {
            let same = one.end == next.start && one.protection == next.protection;
            if same {
                one.end = next.end;
            }
            same
        });
        if ranges.len() > MOST_RANGES { Err(TooMany) } else { Ok(Self(ranges)) }
    }

    /// The first bytes of an access that do not allow it.
    pub(super) fn against(&self, range: ByteRange, wanted: Use) -> Option<Protected> {
        let found = self.0.iter().find(|one| {
            let (start, end) = (one.start.max(range.start()), one.end.min(range.end()));
            let meets = start < end;
            meets && !one.protection.allows(wanted == Use::Write)
        })?;
        let (start, end) = (found.start.max(range.start()), found.end.min(range.end()));
        let (length, protection) = (end.saturating_sub(start), found.protection);
        Some(Protected { offset: start, length, protection })
    }

    /// What the parts of a range are that are not READ_WRITE.
    pub(super) fn within(&self, range: ByteRange) -> impl Iterator<Item = (ByteRange, Protection)> {
        let part = move |one: &Range| {
            let (start, end) = (one.start.max(range.start()), one.end.min(range.end()));
            let length = end.checked_sub(start).filter(|length| *length > 0)?;
            let part = ByteRange::within(start, length, ByteCount::new(range.end())).ok()?;
            Some((part, one.protection))
        };
        self.0.iter().filter_map(part)
    }

    /// How many ranges there are.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    const SIZE: u64 = 64;

    fn range(start: u64, length: u64) -> ByteRange {
        ByteRange::within(start, length, ByteCount::new(SIZE)).unwrap()
    }

    fn protection() -> impl Strategy<Value = Protection> {
        prop_oneof![Just(Protection::None), Just(Protection::Read), Just(Protection::ReadWrite)]
    }

    proptest! {
        #[test]
        fn every_byte_allows_what_it_was_last_set_to(
            steps in prop::collection::vec((0..SIZE, 0..SIZE, protection()), 0..20),
            at in 0..SIZE, length in 0..SIZE,
        ) {
            let index = |at: u64| usize::try_from(at).unwrap();
            let mut bytes = [Protection::ReadWrite; 64];
            let mut protections = Protections::default();
            for (start, length, protection) in steps {
                let length = length.min(SIZE - start);
                bytes[index(start)..index(start + length)].fill(protection);
                protections = protections.with(range(start, length), protection).unwrap();
            }
            let runs = bytes.chunk_by(|one, next| one == next);
            let kept = runs.filter(|run| run[0] != Protection::ReadWrite).count();
            prop_assert_eq!(protections.len(), kept, "neighbours of one kind are one range");
            let length = length.min(SIZE - at);
            let accessed = &bytes[index(at)..index(at + length)];
            for wanted in [Use::Read, Use::Write] {
                let against = protections.against(range(at, length), wanted);
                let first = accessed.iter().position(|one| !one.allows(wanted == Use::Write));
                prop_assert_eq!(against.map(|one| one.offset), first.map(|first| at + first as u64));
                if let (Some(against), Some(first)) = (against, first) {
                    prop_assert_eq!(against.protection, accessed[first]);
                    let run = accessed[first..].iter().take_while(|one| **one == accessed[first]);
                    prop_assert_eq!(against.length, run.count() as u64);
                }
            }
        }
    }

    #[test]
    fn there_are_no_more_ranges_than_a_memory_may_have() {
        let size = ByteCount::new(1 << 20);
        let every = |number: usize| ByteRange::within(number as u64 * 2, 1, size).unwrap();
        let mut protections = Protections::default();
        for number in 0..MOST_RANGES {
            protections = protections.with(every(number), Protection::Read).unwrap();
        }
        assert_eq!(protections.with(every(MOST_RANGES), Protection::Read), Err(TooMany));
        let whole = ByteRange::within(0, size.get(), size).unwrap();
        assert_eq!(protections.with(whole, Protection::None).unwrap().len(), 1);
    }
}

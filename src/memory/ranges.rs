//! [`Ranges`]: parts of one memory that have a value of their own, which most bytes have not.
//!
//! Law: parts are ascending, disjoint and not empty; neighbours of one value are one part. Knows no
//! bytes, no kernel, and not what the values mean.

use crate::units::{ByteCount, ByteRange};

/// Parts of one kind that a memory may be given.
pub const MOST_RANGES: usize = 64;

/// What has a value where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges<V> {
    parts: Vec<Part<V>>,
    /// The most parts there have been by anyone's wish: what was paid for.
    most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part<V> {
    start: u64,
    end: u64,
    value: V,
}

/// It would be more parts than a memory may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl<V> Default for Ranges<V> {
    fn default() -> Self {
        Self { parts: Vec::new(), most: 0 }
    }
}

impl<V: Copy + PartialEq> Ranges<V> {
    /// The same with other values within a range, each made of what is there.
    pub(super) fn changed(
        &self,
        range: ByteRange,
        change: impl Fn(Option<V>) -> Option<V>,
    ) -> Self {
        let mut parts = Vec::with_capacity(self.parts.len().saturating_mul(2).saturating_add(2));
        let mut add = |start: u64, end: u64, value: Option<V>| {
            if let Some(value) = value.filter(|_| start < end) {
                parts.push(Part { start, end, value });
            }
        };
        let mut at = range.start();
        for old in &self.parts {
            add(old.start, old.end.min(range.start()), Some(old.value));
            let (from, to) = (old.start.max(range.start()), old.end.min(range.end()));
            if from < to {
                add(at, from, change(None));
                add(from, to, change(Some(old.value)));
                at = to;
            }
            add(old.start.max(range.end()), old.end, Some(old.value));
        }
        add(at, range.end(), change(None));
        parts.sort_unstable_by_key(|part| part.start);
        parts.dedup_by(|next, one| {
            let same = one.end == next.start && one.value == next.value;
            if same {
                one.end = next.end;
            }
            same
        });
        Self { parts, most: self.most }
    }

    /// The same as somebody's wish, unless that is more parts than there may be. What is no more than
    /// there were before is always granted.
    pub(super) fn wished(self, before: &Self) -> Result<Self, TooMany> {
        let parts = self.len();
        if parts > MOST_RANGES.max(before.len()) {
            return Err(TooMany);
        }
        Ok(Self { most: self.most.max(parts), ..self })
    }

    /// How many more parts are to be paid for than before.
    pub(super) const fn more_than(&self, before: &Self) -> usize {
        self.most.saturating_sub(before.most)
    }

    /// The first bytes of a range with such a value.
    pub(super) fn first(
        &self,
        range: ByteRange,
        wanted: impl Fn(V) -> bool,
    ) -> Option<(ByteRange, V)> {
        self.within(range).find(|(_, value)| wanted(*value))
    }

    /// The parts of a range that have a value.
    pub(super) fn within(&self, range: ByteRange) -> impl Iterator<Item = (ByteRange, V)> {
        let before = self.parts.partition_point(|part| part.end <= range.start());
        let parts = self.parts.get(before..).unwrap_or_default().iter();
        parts.take_while(move |part| part.start < range.end()).filter_map(move |part| {
            let (start, end) = (part.start.max(range.start()), part.end.min(range.end()));
            let length = end.checked_sub(start).filter(|length| *length > 0)?;
            let part_of_it = ByteRange::within(start, length, ByteCount::new(range.end())).ok()?;
            Some((part_of_it, part.value))
        })
    }

    /// All parts.
    pub(super) fn all(&self) -> impl Iterator<Item = (ByteRange, V)> {
        let everything = ByteRange::within(0, u64::MAX, ByteCount::new(u64::MAX)).ok();
        everything.into_iter().flat_map(|everything| self.within(everything))
    }

    /// How many parts there are.
    pub(super) const fn len(&self) -> usize {
        self.parts.len()
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

    fn index(at: u64) -> usize {
        usize::try_from(at).unwrap()
    }

    proptest! {
        #[test]
        fn every_byte_has_the_value_that_it_was_last_given(
            steps in prop::collection::vec(
                (0..SIZE, 0..=SIZE, prop::option::of(0..3_u8), any::<bool>()), 0..20,
            ),
            at in 0..SIZE, length in 0..=SIZE, wanted in 0..3_u8,
        ) {
            let mut bytes = [None; 64];
            let mut ranges = Ranges::default();
            for (start, length, value, only_others) in steps {
                let length = length.min(SIZE - start);
                // Either whatever is there, or only what has another value.
                let change = |old: Option<u8>| if only_others && old == Some(0) { old } else { value };
                for byte in &mut bytes[index(start)..index(start + length)] {
                    *byte = change(*byte);
                }
                ranges = ranges.changed(range(start, length), change);
            }
            let runs = bytes.chunk_by(|one, next| one == next).filter(|run| run[0].is_some());
            prop_assert_eq!(ranges.len(), runs.count(), "neighbours of one value are one part");
            let mut told = [None; 64];
            for (part, value) in ranges.all() {
                told[index(part.start())..index(part.end())].fill(Some(value));
            }
            prop_assert_eq!(told, bytes);
            let length = length.min(SIZE - at);
            let asked = &bytes[index(at)..index(at + length)];
            let found = ranges.first(range(at, length), |value| value == wanted);
            let place = asked.iter().position(|byte| *byte == Some(wanted));
            prop_assert_eq!(found.map(|(part, _)| part.start()), place.map(|place| at + place as u64));
            if let (Some((part, value)), Some(place)) = (found, place) {
                let run = asked[place..].iter().take_while(|byte| **byte == Some(wanted)).count();
                prop_assert_eq!((part.length().get(), value), (run as u64, wanted));
            }
        }
    }

    #[test]
    fn there_are_no_more_parts_than_a_memory_may_have_and_what_was_paid_is_not_paid_again() {
        let size = ByteCount::new(1 << 20);
        let every = |number: usize| ByteRange::within(number as u64 * 2, 1, size).unwrap();
        let mut ranges = Ranges::default();
        for number in 0..MOST_RANGES {
            let then = ranges.changed(every(number), |_| Some(1)).wished(&ranges).unwrap();
            assert_eq!(then.more_than(&ranges), 1);
            ranges = then;
        }
        let more = ranges.changed(every(MOST_RANGES), |_| Some(1));
        assert_eq!(more.wished(&ranges), Err(TooMany));
        let none = ranges.changed(every(3), |_| None).wished(&ranges).unwrap();
        let again = none.changed(every(3), |_| Some(2)).wished(&none).unwrap();
        assert_eq!((none.len(), again.len(), again.more_than(&none)), (63, 64, 0));
        let whole = ByteRange::within(0, size.get(), size).unwrap();
        assert_eq!(again.changed(whole, |_| Some(2)).wished(&again).unwrap().len(), 1);
    }

    #[test]
    fn parts_that_came_by_themselves_stop_new_wishes_and_no_others() {
        let size = ByteCount::new(1 << 20);
        let at = |start: u64, length| ByteRange::within(start, length, size).unwrap();
        let mut ranges = Ranges::default();
        for number in 0..MOST_RANGES as u64 + 2 {
            ranges = ranges.changed(at(number * 4, 2), |_| Some(1));
        }
        assert_eq!(ranges.changed(at(900, 1), |_| Some(1)).wished(&ranges), Err(TooMany));
        let fewer = ranges.changed(at(0, 8), |_| None).wished(&ranges).unwrap();
        assert_eq!(fewer.len(), MOST_RANGES);
    }
}

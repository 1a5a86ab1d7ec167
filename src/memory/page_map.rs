//! [`PageMap`]: which host pages of a memory have ever been written, so that a wipe reaches them and
//! no others.
//!
//! ```text
//! a memory's room in 64 granules, one bit each; a granule is a host page while the room has at
//! most 64 of them (256 KiB of 4 KiB pages), then as many whole host pages as it takes
//! ```
//!
//! Law: a bit is set before the first byte that it stands for is stored; it is never cleared while
//! bytes may stand. What has no bit is as the host first gave it. Knows no bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::units::{ByteCount, ByteRange};

const GRANULES: u64 = 64;

/// How a room is cut: a bit for each granule.
#[derive(Clone, Copy, Debug)]
pub struct Granules {
    /// The logarithm of a granule's bytes.
    shift: u32,
}

impl Granules {
    /// Those of so much room.
    pub(super) fn of(room: ByteCount, host_page: ByteCount) -> Self {
        let granule = room.get().div_ceil(GRANULES).max(host_page.get()).max(1);
        Self { shift: granule.checked_next_power_of_two().map_or(63, u64::trailing_zeros) }
    }

    /// The bits of all that the range touches.
    pub(super) fn touched(self, range: ByteRange) -> u64 {
        match range.end().checked_sub(1).filter(|_| range.length() > ByteCount::ZERO) {
            Some(last) => self.up_to(last) & !self.below(range.start()),
            None => 0,
        }
    }

    /// The bits of those that lie in `[from, to)` whole.
    pub(super) fn whole(self, from: ByteCount, to: ByteCount) -> u64 {
        let first = from.get().div_ceil(1 << self.shift);
        first_bits(to.get() >> self.shift) & !first_bits(first)
    }

    /// Bytes of all with a bit.
    pub(super) fn bytes(self, bits: u64) -> u64 {
        u64::from(bits.count_ones()).saturating_mul(1 << self.shift)
    }

    /// The bits of the granule of `at` and of all before it.
    fn up_to(self, at: u64) -> u64 {
        u64::MAX >> 63_u32.saturating_sub(self.index(at))
    }

    /// The first bytes at or past `from` with a bit, at most `slice` of them and none at or past `end`,
    /// in whole granules but for that; none where there are none.
    pub(super) fn next(
        self,
        bits: u64,
        from: ByteCount,
        slice: ByteCount,
        end: ByteCount,
    ) -> Option<(ByteCount, ByteCount)> {
        let Self { shift } = self;
        let left = bits & !self.below(from.get());
        let first = left.trailing_zeros();
        if left == 0 {
            return None;
        }
        let run = (left >> first).trailing_ones();
        let start = u64::from(first).checked_shl(shift)?.max(from.get());
        let stop = u64::from(first.saturating_add(run)).saturating_mul(1 << shift);
        let stop = stop.min(end.get()).min(start.saturating_add(slice.get()));
        (start < stop).then(|| (ByteCount::new(start), ByteCount::new(stop)))
    }

    /// The bits of all granules before that of `at`.
    fn below(self, at: u64) -> u64 {
        self.up_to(at) >> 1
    }

    /// Past the room is in the last granule, which then is noted once too often.
    fn index(self, at: u64) -> u32 {
        u32::try_from(at >> self.shift).unwrap_or(u32::MAX).min(63)
    }
}

/// Which granules have been written.
#[derive(Debug)]
pub struct PageMap {
    granules: Granules,
    written: AtomicU64,
}

impl PageMap {
    /// Nothing written yet, of so much room.
    pub(super) fn new(room: ByteCount, host_page: ByteCount) -> Self {
        Self::of(Granules::of(room, host_page), 0)
    }

    /// These granules, of which those with a bit have been written.
    pub(super) const fn of(granules: Granules, bits: u64) -> Self {
        Self { granules, written: AtomicU64::new(bits) }
    }

    /// How the room is cut, and what has been written.
    pub(super) fn bits(&self) -> (Granules, u64) {
        (self.granules, self.written.load(Ordering::Acquire))
    }

    /// Bytes of the range are about to be stored.
    pub(super) fn note(&self, range: ByteRange) {
        let bits = self.granules.touched(range);
        if self.written.load(Ordering::Relaxed) & bits != bits {
            self.written.fetch_or(bits, Ordering::AcqRel);
        }
    }

    /// Whether the byte at `at` is noted.
    pub(super) fn has(&self, at: ByteCount) -> bool {
        let bit = 1_u64.checked_shl(self.granules.index(at.get())).unwrap_or(0);
        self.written.load(Ordering::Acquire) & bit != 0
    }

    /// Every byte has been wiped.
    pub(super) fn clear(&mut self) {
        *self.written.get_mut() = 0;
    }

    /// The first written bytes at or past `from`, at most `slice` of them and none at or past `end`,
    /// in whole granules but for that; none where there are none.
    pub(super) fn next(
        &self,
        from: ByteCount,
        slice: ByteCount,
        end: ByteCount,
    ) -> Option<(ByteCount, ByteCount)> {
        let (granules, bits) = self.bits();
        granules.next(bits, from, slice, end)
    }
}

/// A [`PageMap`] for one at a time: no atomic in it.
#[derive(Clone, Copy, Debug)]
pub struct PlainPageMap {
    granules: Granules,
    written: u64,
}

impl PlainPageMap {
    /// Nothing written yet.
    pub(super) const fn of(granules: Granules) -> Self {
        Self { granules, written: 0 }
    }

    /// How the room is cut, and what has been written.
    pub(super) const fn bits(&self) -> (Granules, u64) {
        (self.granules, self.written)
    }

    /// Bytes of the range are about to be stored.
    pub(super) fn note(&mut self, range: ByteRange) {
        self.written |= self.granules.touched(range);
    }
}

fn first_bits(count: u64) -> u64 {
    u32::try_from(count)
        .ok()
        .and_then(|count| 1_u64.checked_shl(count))
        .map_or(u64::MAX, |bit| bit.wrapping_sub(1))
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = 4096;

    fn map(room: u64) -> PageMap {
        PageMap::new(ByteCount::new(room), ByteCount::new(PAGE))
    }

    /// What a wipe that goes `slice` by `slice` would wipe.
    fn runs(map: &PageMap, slice: u64, end: u64) -> Vec<(u64, u64)> {
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some((from, to)) =
            map.next(ByteCount::new(at), ByteCount::new(slice), ByteCount::new(end))
        {
            found.push((from.get(), to.get()));
            at = to.get();
        }
        found
    }

    proptest! {
        #[test]
        fn every_written_byte_is_wiped_and_no_page_without_one_while_pages_are_granules(
            pages in 1..=64_u64,
            writes in prop::collection::vec((any::<u64>(), 0..9_000_u64), 0..6),
            slice in 1..20_u64,
        ) {
            let room = pages * PAGE;
            let map = map(room);
            let mut written = BTreeSet::new();
            for (start, length) in writes {
                let start = start % room;
                let length = length.min(room - start);
                map.note(ByteRange::within(start, length, ByteCount::new(room)).unwrap());
                written.extend((start..start + length).map(|at| at / PAGE));
            }
            let mut wiped = BTreeSet::new();
            for (from, to) in runs(&map, slice * PAGE, room) {
                prop_assert!(to - from <= slice * PAGE);
                wiped.extend(from / PAGE..to / PAGE);
            }
            prop_assert_eq!(wiped, written);
        }

        #[test]
        fn a_large_room_is_covered_by_granules_of_whole_pages(
            room in 1..1_u64 << 50, at in any::<u64>(), length in 1..1_u64 << 40,
        ) {
            let room = room.next_multiple_of(PAGE);
            let start = at % room;
            let length = length.min(room - start);
            let map = map(room);
            map.note(ByteRange::within(start, length, ByteCount::new(room)).unwrap());
            let runs = runs(&map, room, room);
            prop_assert_eq!(runs.len(), 1);
            let (from, to) = runs[0];
            prop_assert!(from <= start && start + length <= to && to <= room);
            prop_assert!(from.is_multiple_of(PAGE) && to.is_multiple_of(PAGE));
            let granule = (room / 64).next_power_of_two().max(PAGE);
            prop_assert!(start - from <= 2 * granule && to - start - length <= 2 * granule);
        }
    }

    #[test]
    fn whole_granules_are_those_that_nothing_is_missing_of() {
        let bytes = |count: u64| ByteCount::new(count * 4 * PAGE);
        let granules = Granules::of(bytes(64), ByteCount::new(PAGE));
        let everything = ByteRange::within(0, bytes(64).get(), bytes(64)).unwrap();
        assert_eq!(granules.touched(everything), u64::MAX);
        assert_eq!(granules.whole(ByteCount::new(1), bytes(3)), 0b110);
        assert_eq!(granules.whole(bytes(62), ByteCount::new(bytes(64).get() - 1)), 1 << 62);
        assert_eq!(granules.whole(bytes(0), bytes(64)), u64::MAX);
        assert_eq!(granules.bytes(0b110), bytes(2).get());
    }

    #[test]
    fn nothing_written_is_nothing_to_wipe() {
        let map = map(16 * PAGE);
        map.note(ByteRange::within(PAGE, 0, ByteCount::new(16 * PAGE)).unwrap());
        assert!(runs(&map, PAGE, 16 * PAGE).is_empty());
    }

    #[test]
    fn nothing_is_wiped_past_the_end() {
        let map = map(64 * 64 * PAGE);
        map.note(ByteRange::within(0, 1, ByteCount::new(PAGE)).unwrap());
        assert_eq!(runs(&map, 64 * PAGE, 16 * PAGE), [(0, 16 * PAGE)]);
    }
}

//! [`Checksums`]: one for each host page of a memory that has been written to.
//!
//! ```text
//! leaves of some host pages each, allocated when the first of them is written; 0: never written
//! ```
//!
//! Law: `apply.rs` alone sets and forgets; a page without a checksum is zero. What they can come to
//! is known before ([`Checksums::overhead`]). Knows no bytes of memories.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::race::OnceBox;

use crate::checksum::crc64;
use crate::units::{ByteCount, ByteRange};

/// Pages of a leaf, unless the room has fewer or needs too many leaves: 2 MiB of 4 KiB pages.
const LEAF: u64 = 512;
/// The most leaves that there are.
const LEAVES: u64 = 4_096;
/// What a leaf and all of them take beside the numbers, allocations included.
const BESIDE: u64 = 64;
const BESIDE_ALL: u64 = 512;

type Leaf = Box<[AtomicU64]>;

/// A checksum of bytes, which is never 0.
pub(super) fn sum(crc: u64) -> NonZeroU64 {
    NonZeroU64::new(crc).unwrap_or(NonZeroU64::MAX)
}

/// The checksums of one memory.
#[derive(Debug)]
pub(super) struct Checksums {
    host_page: ByteCount,
    shape: Shape,
    /// That of a page of zeros.
    zero: NonZeroU64,
    leaves: Box<[OnceBox<Leaf>]>,
}

/// How a room's pages are parted.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Host pages of the room.
    pages: u64,
    /// Of one leaf.
    leaf: u64,
}

impl Shape {
    fn of(room: ByteCount, host_page: ByteCount) -> Self {
        let pages = room.get().div_ceil(host_page.get().max(1)).max(1);
        let leaf = pages.div_ceil(LEAVES).max(LEAF).min(pages);
        Self { pages, leaf }
    }

    /// The leaf of a page, and its place there.
    fn place(self, page: u64) -> (usize, usize) {
        let leaf = page.checked_div(self.leaf).unwrap_or(0);
        let slot = page.checked_rem(self.leaf).unwrap_or(0);
        (ByteCount::new(leaf).as_usize(), ByteCount::new(slot).as_usize())
    }
}

impl Checksums {
    /// Those of a room in which nothing has been written yet.
    pub(super) fn new(room: ByteCount, host_page: ByteCount) -> Self {
        let shape = Shape::of(room, host_page);
        let leaves = (0..shape.pages.div_ceil(shape.leaf)).map(|_| OnceBox::new()).collect();
        let zero = sum(crc64(&vec![0; host_page.as_usize()]));
        Self { host_page, shape, zero, leaves }
    }

    /// What they may come to for so much of a room.
    pub(super) fn overhead(size: ByteCount, room: ByteCount, host_page: ByteCount) -> ByteCount {
        let Shape { pages, leaf } = Shape::of(room, host_page);
        let used = size.get().div_ceil(host_page.get().max(1)).div_ceil(leaf);
        let leaves = used.saturating_mul(leaf.saturating_mul(8).saturating_add(BESIDE));
        let all = pages.div_ceil(leaf).saturating_mul(8).saturating_add(BESIDE_ALL);
        ByteCount::new(leaves.saturating_add(all))
    }

    /// The size of a page.
    pub(super) const fn host_page(&self) -> ByteCount {
        self.host_page
    }

    /// What a page's checksum must be.
    pub(super) fn wanted(&self, page: u64) -> NonZeroU64 {
        self.get(page).unwrap_or(self.zero)
    }

    fn get(&self, page: u64) -> Option<NonZeroU64> {
        let (leaf, slot) = self.shape.place(page);
        NonZeroU64::new(self.leaves.get(leaf)?.get()?.get(slot)?.load(Ordering::Acquire))
    }

    /// A page has been written.
    pub(super) fn set(&self, page: u64, sum: NonZeroU64) {
        let (leaf, slot) = self.shape.place(page);
        let fresh = || Box::new((0..self.shape.leaf).map(|_| AtomicU64::new(0)).collect());
        let leaf = self.leaves.get(leaf).map(|leaf| leaf.get_or_init(fresh));
        if let Some(kept) = leaf.and_then(|leaf| leaf.get(slot)) {
            kept.store(sum.get(), Ordering::Release);
        }
    }

    /// The range's pages, all of them whole, are zero and the host's again.
    pub(super) fn forget(&self, range: ByteRange) {
        for page in self.touched(range) {
            let (leaf, slot) = self.shape.place(page);
            let leaf = self.leaves.get(leaf).and_then(OnceBox::get);
            if let Some(kept) = leaf.and_then(|leaf| leaf.get(slot)) {
                kept.store(0, Ordering::Release);
            }
        }
    }

    /// The pages within the range that have a checksum, in order.
    pub(super) fn touched(&self, range: ByteRange) -> impl Iterator<Item = u64> {
        let page_bytes = self.host_page.get().max(1);
        let end = range.end().div_ceil(page_bytes).min(self.shape.pages);
        let mut at = range.start().checked_div(page_bytes).unwrap_or(0);
        std::iter::from_fn(move || {
            while at < end {
                let page = at;
                let (leaf, slot) = self.shape.place(page);
                let Some(leaf) = self.leaves.get(leaf).and_then(OnceBox::get) else {
                    // None of this leaf.
                    let left = self.shape.leaf.saturating_sub(slot as u64).max(1);
                    at = at.saturating_add(left);
                    continue;
                };
                at = at.saturating_add(1);
                if leaf.get(slot).is_some_and(|sum| sum.load(Ordering::Acquire) != 0) {
                    return Some(page);
                }
            }
            None
        })
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = 4096;

    fn bytes(pages: u64) -> ByteCount {
        ByteCount::new(pages * PAGE)
    }

    fn pages(from: u64, to: u64, room: u64) -> ByteRange {
        ByteRange::within(from * PAGE, (to - from) * PAGE, bytes(room)).unwrap()
    }

    proptest! {
        #[test]
        fn a_page_has_what_it_was_last_given_and_none_after_it_was_forgotten(
            room in 1..5_000_u64,
            steps in prop::collection::vec((any::<u64>(), 0..600_u64, any::<bool>()), 0..40),
        ) {
            let checksums = Checksums::new(bytes(room), bytes(1));
            let mut model = BTreeMap::new();
            for (number, (at, count, forgets)) in steps.into_iter().enumerate() {
                let (from, to) = (at % room, (at % room + count).min(room));
                if forgets {
                    checksums.forget(pages(from, to, room));
                    model.retain(|page, _| !(from..to).contains(page));
                } else {
                    let sum = sum(number as u64);
                    for page in from..to {
                        checksums.set(page, sum);
                        model.insert(page, sum);
                    }
                }
            }
            let touched: Vec<u64> = checksums.touched(pages(0, room, room)).collect();
            prop_assert_eq!(touched, model.keys().copied().collect::<Vec<_>>());
            for page in 0..room {
                let wanted = model.get(&page).copied().unwrap_or(checksums.zero);
                prop_assert_eq!(checksums.wanted(page), wanted);
            }
        }

        #[test]
        fn what_they_come_to_is_known_before_and_is_little(room in 1..1_u64 << 47, part in 0..=64_u64) {
            let size = u64::try_from(u128::from(room) * u128::from(part) / 64).unwrap();
            let known = Checksums::overhead(bytes(size), bytes(room), bytes(1)).get();
            let Shape { pages, leaf } = Shape::of(bytes(room), bytes(1));
            prop_assert!(pages.div_ceil(leaf) <= LEAVES && leaf <= pages);
            prop_assert!(known >= size * 8, "eight bytes for each page below the size");
            prop_assert!(known <= (size + leaf) * 9 + LEAVES * 8 + BESIDE_ALL + BESIDE);
        }
    }
}

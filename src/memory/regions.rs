//! [`regions`]: which parts of a memory a range touches, coarsely.
//!
//! Law: a region is a 64th of the maximum, exactly, whatever the maximum is. Keeps nothing.

use crate::units::{ByteCount, ByteRange, PAGE_BYTES, WasmPages};

/// A 64th of a page: so many bytes are a region for each page of the maximum.
const REGION_SHIFT: u32 = (PAGE_BYTES / 64).trailing_zeros();

/// The 64ths of a maximum that a range within it touches.
#[must_use]
pub fn regions(range: ByteRange, maximum: WasmPages) -> u64 {
    if range.length() == ByteCount::ZERO {
        return 0;
    }
    let pages = maximum.get();
    // Most maximums are powers of two, and a division would be half of a short read's time.
    let region = |at: u64| {
        let at = at >> REGION_SHIFT;
        if pages.is_power_of_two() {
            at >> pages.trailing_zeros()
        } else {
            at.checked_div(pages).unwrap_or(0)
        }
    };
    let (first, last) = (region(range.start()), region(range.end().saturating_sub(1)).min(63));
    let from = u64::MAX.checked_shl(u32::try_from(first).unwrap_or(63)).unwrap_or(0);
    let to = u64::MAX >> 63_u64.saturating_sub(last);
    from & to
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(offset: u64, length: u64) -> ByteRange {
        ByteRange::within(offset, length, ByteCount::new(u64::MAX)).unwrap()
    }

    proptest! {
        #[test]
        fn the_regions_of_a_range_are_those_of_its_bytes(
            pages in prop_oneof![1..200_u64, Just(4096), Just(65_536)],
            start in 0..4_000_u64,
            length in 0..4_000_u64,
            part in 0..64_u64,
        ) {
            let (pages, size) = (WasmPages::new(pages).unwrap(), pages * PAGE_BYTES);
            let start = (size / 64 * part + start).saturating_sub(2_000).min(size);
            let length = length.min(size - start);
            let byte = |at: u64| 1_u64 << (u128::from(at) * 64 / u128::from(size));
            let wanted = (start..start + length).fold(0, |all, at| all | byte(at));
            prop_assert_eq!(regions(range(start, length), pages), wanted);
        }
    }

    #[test]
    fn a_range_of_everything_touches_every_region_and_one_of_nothing_none() {
        for pages in [1, 3, 64, 100, 65_536] {
            let maximum = WasmPages::new(pages).unwrap();
            assert_eq!(regions(range(0, pages * PAGE_BYTES), maximum), u64::MAX);
            assert_eq!(regions(range(pages * PAGE_BYTES, 0), maximum), 0);
        }
        assert_eq!(regions(range(0, 0), WasmPages::ZERO), 0);
    }
}

//! Units of length and place, as types: [`WasmPages`], [`ByteCount`], [`ByteRange`].
//!
//! Law: arithmetic is checked and named; there is no `+`, and a [`ByteRange`] that exists lies
//! within the size that it was checked against. Does not know alignment to host pages (`os/`) nor
//! what any number is for.

use std::fmt;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("linmemd needs 64-bit addresses: a 4 GiB memory does not fit a smaller space");

/// Bytes in a WebAssembly page (WebAssembly core specification, section 4.2.8): 64 KiB.
pub const PAGE_BYTES: u64 = 65_536;

/// A number of WebAssembly pages, at most [`WasmPages::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WasmPages(u64);

impl WasmPages {
    /// No page.
    pub const ZERO: Self = Self(0);
    /// As many pages as a 32-bit address reaches.
    pub const MAX_I32: Self = Self(1 << 16);
    /// The most that can be said: 2^47 pages, so that their bytes fit 64 bits. (The specification
    /// allows 2^48; no host has that much address space.)
    pub const MAX: Self = Self(1 << 47);

    /// So many pages; `None` above [`Self::MAX`].
    #[must_use]
    pub const fn new(pages: u64) -> Option<Self> {
        if pages <= Self::MAX.0 { Some(Self(pages)) } else { None }
    }

    /// The count.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same in bytes. Cannot overflow: 2^47 × 2^16 < 2^64.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "bounded by MAX, see its comment")]
    pub const fn bytes(self) -> ByteCount {
        ByteCount(self.0 * PAGE_BYTES)
    }

    /// The sum; `None` above [`Self::MAX`].
    #[must_use]
    pub const fn checked_add(self, more: u64) -> Option<Self> {
        match self.0.checked_add(more) {
            Some(sum) => Self::new(sum),
            None => None,
        }
    }
}

impl fmt::Display for WasmPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pages", self.0)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteCount(u64);

impl ByteCount {
    /// No byte.
    pub const ZERO: Self = Self(0);

    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The length of something that this process holds.
    #[must_use]
    pub const fn of(bytes: &[u8]) -> Self {
        Self(bytes.len() as u64)
    }

    /// The count.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The count as the machine's own index type, which is 64 bits wide here.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "64-bit only, see the top of the file")]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }

    /// The sum, unless it overflows.
    #[must_use]
    pub const fn checked_add(self, more: Self) -> Option<Self> {
        match self.0.checked_add(more.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, unless it is negative.
    #[must_use]
    pub const fn checked_sub(self, less: Self) -> Option<Self> {
        match self.0.checked_sub(less.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The smallest multiple of `step` that is no smaller, unless it overflows or `step` is 0.
    #[must_use]
    pub const fn checked_round_up(self, step: Self) -> Option<Self> {
        match self.0.checked_next_multiple_of(step.0) {
            Some(multiple) => Some(Self(multiple)),
            None => None,
        }
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// A range that does not wrap and lay within a size when it was made. Sizes never shrink, so it
/// stays within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    start: u64,
    length: u64,
}

/// An access that does not lie within `[0, size)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds {
    /// Where it began, in bytes.
    pub offset: u64,
    /// How long it was, in bytes.
    pub length: u64,
    /// The size it was checked against, in bytes.
    pub size: u64,
}

impl ByteRange {
    /// `[offset, offset + length)`, checked against `[0, size)` without wrapping. A length of 0 is
    /// legal at any offset up to and including the size.
    ///
    /// # Errors
    /// [`OutOfBounds`] with the three numbers.
    pub const fn within(offset: u64, length: u64, size: ByteCount) -> Result<Self, OutOfBounds> {
        match offset.checked_add(length) {
            Some(end) if end <= size.0 => Ok(Self { start: offset, length }),
            _ => Err(OutOfBounds { offset, length, size: size.0 }),
        }
    }

    /// Where it begins, in bytes.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// How long it is.
    #[must_use]
    pub const fn length(self) -> ByteCount {
        ByteCount(self.length)
    }

    /// The first byte past it. Cannot overflow: checked when it was made.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "checked by within()")]
    pub const fn end(self) -> u64 {
        self.start + self.length
    }

    /// The bytes up to the next multiple of `step`, and the rest where there is one: so that slices
    /// begin and end where pages do.
    #[must_use]
    pub const fn split_at_multiple(self, step: ByteCount) -> (Self, Option<Self>) {
        match self.start.checked_rem(step.0) {
            Some(past) => self.split(ByteCount(step.0.saturating_sub(past))),
            None => (self, None),
        }
    }

    /// The whole pages of `page` bytes in it, between what is before and after them.
    #[must_use]
    pub const fn around(self, page: ByteCount) -> (Self, Option<Self>, Self) {
        let end = self.end();
        let none = Self { start: end, length: 0 };
        let (Some(first), Some(part)) =
            (self.start.checked_next_multiple_of(page.0), end.checked_rem(page.0))
        else {
            return (self, None, none);
        };
        let last = end.saturating_sub(part);
        if first >= last {
            return (self, None, none);
        }
        (
            Self { start: self.start, length: first.saturating_sub(self.start) },
            Some(Self { start: first, length: last.saturating_sub(first) }),
            Self { start: last, length: part },
        )
    }

    /// The first `at_most` bytes, and the rest where there is one.
    #[must_use]
    pub const fn split(self, at_most: ByteCount) -> (Self, Option<Self>) {
        match self.length.checked_sub(at_most.0) {
            None | Some(0) => (self, None),
            Some(rest) => (
                Self { start: self.start, length: at_most.0 },
                // Within self, so the sum cannot overflow; saturating keeps it free of a panic.
                Some(Self { start: self.start.saturating_add(at_most.0), length: rest }),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_exists_exactly_where_128_bit_arithmetic_says_so(
            offset in any::<u64>(), length in any::<u64>(), size in any::<u64>()
        ) {
            let fits = u128::from(offset) + u128::from(length) <= u128::from(size);
            prop_assert_eq!(ByteRange::within(offset, length, ByteCount::new(size)).is_ok(), fits);
        }

        #[test]
        fn split_parts_are_adjacent_and_whole(start in 0..1u64 << 40, length in 0..1u64 << 30, at in 1..1u64 << 30) {
            let range = ByteRange::within(start, length, ByteCount::new(u64::MAX)).unwrap();
            let (first, rest) = range.split(ByteCount::new(at));
            prop_assert!(first.length().get() <= at);
            let end = match rest {
                Some(rest) => { prop_assert_eq!(first.end(), rest.start()); rest.end() }
                None => first.end(),
            };
            prop_assert_eq!(end, range.end());
        }
    }

    #[test]
    fn length_zero_is_legal_up_to_and_including_size() {
        let size = ByteCount::new(PAGE_BYTES);
        assert!(ByteRange::within(PAGE_BYTES, 0, size).is_ok());
        assert!(ByteRange::within(PAGE_BYTES + 1, 0, size).is_err());
    }

    #[test]
    fn an_offset_near_the_end_of_64_bits_does_not_wrap() {
        let refused = ByteRange::within(u64::MAX, 2, ByteCount::new(PAGE_BYTES));
        assert_eq!(refused, Err(OutOfBounds { offset: u64::MAX, length: 2, size: PAGE_BYTES }));
    }

    #[test]
    fn pages_past_the_most_that_can_be_said_do_not_exist() {
        assert_eq!(WasmPages::new(WasmPages::MAX.get() + 1), None);
        assert_eq!(WasmPages::MAX.checked_add(1), None);
        assert_eq!(WasmPages::MAX.bytes().get(), 1 << 63);
    }
}

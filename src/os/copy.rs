//! How bytes of tenant memory move: [`copy`] and [`fill`], which survive a fault in their middle.
//!
//! Law: bytes of tenant memory are moved here and nowhere else, and never through a reference. The
//! routines are assembly, so that to the compiler they are one opaque call that may touch anything:
//! a racing access from elsewhere is a torn value at worst. A fault (a guard, a page the host lost)
//! ends the move and is answered by a count, once [`crate::os::fault::install`] has been called;
//! before that it ends the process. Checks no bounds and takes no lock: `memory/` does both.

#![expect(unsafe_code, reason = "calls the assembly, which takes addresses on trust")]

use std::ffi::c_int;

use crate::os::machine::{linmemd_copy, linmemd_fill};

/// Moves `length` bytes from `src` to `dst` and returns how many of them, at most, were not moved:
/// 0 is all of them. Otherwise the first `length - n` have arrived; of the rest, any may have.
///
/// # Safety
/// - Nothing in `[dst, dst + length)` may be held by reference, nor be anything but bytes to store
///   into: memory that the caller may write, or a range that the caller keeps inaccessible.
/// - Nothing in `[src, src + length)` may be held by exclusive reference: memory that the caller
///   may read, or a range that the caller keeps inaccessible.
/// - Neither range wraps around the end of the address space, and they do not overlap: an
///   overlapping move leaves unspecified bytes in `dst`.
#[inline]
#[must_use]
pub unsafe fn copy(dst: *mut u8, src: *const u8, length: usize) -> usize {
    // SAFETY: the routine reads and writes these two ranges only, which this function's own
    // conditions allow, and keeps the calling convention named in its declaration.
    unsafe { linmemd_copy(dst, src, length) }
}

/// Stores `value` into `length` bytes from `dst` on and returns how many of them, at most, were not
/// stored: 0 is all of them. Otherwise the first `length - n` have been; of the rest, any may have.
///
/// # Safety
/// As for [`copy`]'s `dst`.
#[inline]
#[must_use]
pub unsafe fn fill(dst: *mut u8, value: u8, length: usize) -> usize {
    // SAFETY: the routine writes this range only, which this function's own conditions allow, and
    // keeps the calling convention named in its declaration.
    unsafe { linmemd_fill(dst, c_int::from(value), length) }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::os::kernel::Linux;
    use crate::os::machine::LONG_FROM;
    use crate::os::reservation::Reservation;
    use crate::os::{fault, host_page};
    use crate::units::ByteCount;

    const MARGIN: usize = 64;

    /// Bytes that differ from their neighbours, and from those a page away.
    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at.wrapping_mul(167) ^ (at >> 8)).to_le_bytes()[0]).collect()
    }

    fn copies_exactly(length: usize, src_at: usize, dst_at: usize) {
        let source = pattern(src_at + length);
        let mut target = vec![0xEE_u8; dst_at + length + MARGIN];
        let mut expected = target.clone();
        expected[dst_at..dst_at + length].copy_from_slice(&source[src_at..]);
        let dst = target[dst_at..].as_mut_ptr();
        // SAFETY: `source` has `length` bytes from `src_at` on and `target` more than that from
        // `dst_at` on; two vectors do not overlap, and no slice of either is alive.
        let left = unsafe { copy(dst, source[src_at..].as_ptr(), length) };
        assert_eq!(left, 0);
        assert!(target == expected, "copy of {length} from +{src_at} to +{dst_at}");
    }

    fn fills_exactly(length: usize, dst_at: usize, value: u8) {
        let mut target = vec![0xEE_u8; dst_at + length + MARGIN];
        let mut expected = target.clone();
        expected[dst_at..dst_at + length].fill(value);
        // SAFETY: `target` has more than `length` bytes from `dst_at` on, and no slice is alive.
        let left = unsafe { fill(target[dst_at..].as_mut_ptr(), value, length) };
        assert_eq!(left, 0);
        assert!(target == expected, "fill of {length} at +{dst_at} with {value}");
    }

    #[test]
    fn every_small_size_moves_exactly_at_every_alignment() {
        for length in 0..300 {
            for at in 0..33 {
                copies_exactly(length, at, (at * 7) % 64);
                fills_exactly(length, at, 0x5A);
            }
        }
    }

    #[test]
    fn sizes_around_every_change_of_method_move_exactly() {
        let turns = [1, 4, 8, 16, 32, 64, 128, LONG_FROM, 2048, 4096, 65_536, 1 << 20];
        for turn in turns {
            for length in turn - 1..=turn + 65 {
                let sparse = if turn > 4096 { 31 } else { 5 };
                for at in (0..64).step_by(sparse) {
                    copies_exactly(length, at, 63 - at);
                    copies_exactly(length, 1, at);
                    fills_exactly(length, at, 0xFF);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_size_at_any_alignment_moves_exactly(
            length in 0_usize..20_000, src_at in 0_usize..4096, dst_at in 0_usize..4096, value: u8
        ) {
            copies_exactly(length, src_at, dst_at);
            fills_exactly(length, dst_at, value);
        }
    }

    #[test]
    fn length_zero_touches_nothing_at_any_address() {
        let nowhere = std::ptr::dangling_mut::<u8>();
        // SAFETY: no byte is read or written.
        assert_eq!(unsafe { copy(nowhere, nowhere, 0) }, 0);
        // SAFETY: no byte is written.
        assert_eq!(unsafe { fill(nowhere, 1, 0) }, 0);
    }

    /// `| guard | ROOM bytes open | guard |`, and the address of the open part.
    struct Fenced {
        reservation: Reservation,
    }

    const ROOM: usize = 65_536;
    const CANARY: u8 = 0xC3;

    impl Fenced {
        fn new() -> Self {
            fault::install().unwrap();
            let room = ByteCount::new(ROOM as u64);
            let guard = host_page(&Linux);
            let reservation = Reservation::reserve(Arc::new(Linux), guard, room, guard).unwrap();
            reservation.open(ByteCount::ZERO, room).unwrap();
            Self { reservation }
        }

        /// `distance` bytes before the guard behind.
        fn before_end(&self, distance: usize) -> *mut u8 {
            self.reservation.body().as_ptr().wrapping_add(ROOM).wrapping_sub(distance)
        }

        fn put(&self, bytes: &[u8], at: *mut u8) {
            // SAFETY: callers stay within the open part, to which there is no reference.
            assert_eq!(unsafe { copy(at, bytes.as_ptr(), bytes.len()) }, 0);
        }

        fn get(&self, at: *const u8, length: usize) -> Vec<u8> {
            let mut bytes = vec![0; length];
            // SAFETY: callers stay within the open part, to which there is no exclusive reference.
            assert_eq!(unsafe { copy(bytes.as_mut_ptr(), at, length) }, 0);
            bytes
        }
    }

    /// Every place for a fault in short moves, and places in every turn of the long ones.
    fn each_fault(mut check: impl FnMut(usize, usize)) {
        for length in 1..=200 {
            (0..length).for_each(|reachable| check(length, reachable));
        }
        for length in [255, 256, 500, LONG_FROM - 1, LONG_FROM, LONG_FROM + 1, 5000, 20_000] {
            (0..length).step_by(length / 50 + 1).for_each(|reachable| check(length, reachable));
            (length - 70..length).for_each(|reachable| check(length, reachable));
        }
    }

    /// What may be left: at least what cannot be reached, and of a long move hardly more.
    fn fair(length: usize, reachable: usize) -> RangeInclusive<usize> {
        let unreachable = length - reachable;
        let most = if length > 128 { length.min(unreachable + 64) } else { length };
        unreachable..=most
    }

    #[test]
    fn a_fault_at_any_place_of_the_source_ends_the_copy_with_a_count() {
        let fenced = Fenced::new();
        let source = pattern(ROOM);
        fenced.put(&source, fenced.before_end(ROOM));
        each_fault(|length, reachable| {
            let mut target = vec![CANARY; length + MARGIN];
            let src = fenced.before_end(reachable);
            // SAFETY: the source is open, then a guard; the target has more than `length` bytes.
            let left = unsafe { copy(target.as_mut_ptr(), src, length) };
            assert!(fair(length, reachable).contains(&left), "{length}, {reachable}: {left}");
            let moved = length - left;
            let expected = &source[ROOM - reachable..];
            assert_eq!(target[..moved], expected[..moved], "{length}, {reachable}");
            assert!(target[length..].iter().all(|byte| *byte == CANARY), "{length}, {reachable}");
        });
    }

    #[test]
    fn a_fault_at_any_place_of_the_target_ends_the_move_and_nothing_before_it_changes() {
        let fenced = Fenced::new();
        let source = pattern(ROOM);
        each_fault(|length, reachable| {
            for filling in [false, true] {
                let dst = fenced.before_end(reachable);
                fenced
                    .put(&vec![CANARY; reachable + MARGIN], fenced.before_end(reachable + MARGIN));
                let left = if filling {
                    // SAFETY: the target is open, then a guard.
                    unsafe { fill(dst, 0x77, length) }
                } else {
                    // SAFETY: the target is open, then a guard; the source is longer than `length`.
                    unsafe { copy(dst, source.as_ptr(), length) }
                };
                assert!(fair(length, reachable).contains(&left), "{length}, {reachable}: {left}");
                let moved = length - left;
                let arrived = fenced.get(dst, moved);
                let wanted = if filling { vec![0x77; moved] } else { source[..moved].to_vec() };
                assert_eq!(arrived, wanted, "{length}, {reachable}");
                let before = fenced.get(fenced.before_end(reachable + MARGIN), MARGIN);
                assert!(before.iter().all(|byte| *byte == CANARY), "{length}, {reachable}");
            }
        });
    }

    #[test]
    fn a_range_that_begins_in_a_guard_moves_nothing() {
        let fenced = Fenced::new();
        let begin = fenced.before_end(ROOM + 10);
        for length in [1, 10, 11, 40, 70, 1000, 5000] {
            let mut other = vec![CANARY; length];
            // SAFETY: the source begins in a guard and goes on in what is open.
            assert_eq!(unsafe { copy(other.as_mut_ptr(), begin, length) }, length);
            assert!(length > 10 || other.iter().all(|byte| *byte == CANARY));
            // SAFETY: the target begins in a guard and goes on in what is open.
            assert_eq!(unsafe { copy(begin, other.as_ptr(), length) }, length);
            // SAFETY: as above.
            assert_eq!(unsafe { fill(begin, 1, length) }, length);
        }
    }

    #[test]
    fn an_address_that_no_machine_has_moves_nothing() {
        fault::install().unwrap();
        let odd = std::ptr::without_provenance_mut::<u8>(1 << 62);
        for length in [1, 64, 5000] {
            let mut other = vec![0; length];
            // SAFETY: nothing can be mapped at the source.
            assert_eq!(unsafe { copy(other.as_mut_ptr(), odd, length) }, length);
            // SAFETY: nothing can be mapped at the target.
            assert_eq!(unsafe { fill(odd, 1, length) }, length);
        }
    }
}

//! [`Layout`]: where the parts of a dedicated reservation lie and how long each is.
//!
//! ```text
//! | guard before | 0 … size: readable, writable | size … maximum: inaccessible | guard after |
//!                ^ body                                                        ^ body's end
//! ```
//!
//! Law: every length is a multiple of the host page, and the sum fits 64 bits. Does not map
//! anything: a small memory whose guards are the usual ones is put into a slab's slot (`slab/`),
//! which has room for this. Forks (design, section 3) are to come.

use crate::model::{Growth, Guard, Shape};
use crate::units::{ByteCount, WasmPages};

/// The lengths of one dedicated reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Size at create.
    pub initial: WasmPages,
    /// The size that the body has room for.
    pub room: WasmPages,
    /// The guards, rounded up to the host page.
    pub guard: Guard,
    /// Guards and body.
    pub total: ByteCount,
}

/// The sum of guards and maximum does not fit 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrepresentable;

impl Layout {
    /// The layout of a memory of this shape on a host with pages of `host_page`.
    ///
    /// # Errors
    /// [`Unrepresentable`] where it would not fit 64 bits.
    pub fn dedicated(shape: &Shape, host_page: ByteCount) -> Result<Self, Unrepresentable> {
        let room = match shape.growth {
            Growth::Allowed => shape.maximum,
            Growth::Disallowed => shape.initial,
        };
        let before = shape.guard.before.checked_round_up(host_page).ok_or(Unrepresentable)?;
        let after = shape.guard.after.checked_round_up(host_page).ok_or(Unrepresentable)?;
        let total = before
            .checked_add(room.bytes())
            .and_then(|sum| sum.checked_add(after))
            .ok_or(Unrepresentable)?;
        Ok(Self { initial: shape.initial, room, guard: Guard { before, after }, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IndexType;
    use proptest::prelude::*;

    fn shape(initial: u64, maximum: u64, before: u64, after: u64, growth: Growth) -> Shape {
        Shape {
            initial: WasmPages::new(initial).unwrap(),
            maximum: WasmPages::new(maximum).unwrap(),
            index_type: IndexType::I64,
            growth,
            guard: Guard { before: ByteCount::new(before), after: ByteCount::new(after) },
        }
    }

    proptest! {
        #[test]
        fn parts_are_aligned_and_sum_to_the_total(
            initial in 0..100u64, more in 0..1u64 << 40, before in any::<u64>(), after in any::<u64>(),
        ) {
            let host_page = ByteCount::new(4096);
            let asked = shape(initial, initial + more, before, after, Growth::Allowed);
            let wanted = u128::from(before).next_multiple_of(4096)
                + u128::from(after).next_multiple_of(4096)
                + u128::from(asked.maximum.bytes().get());
            match Layout::dedicated(&asked, host_page) {
                Ok(layout) => {
                    prop_assert_eq!(u128::from(layout.total.get()), wanted);
                    prop_assert!(layout.guard.before.get().is_multiple_of(4096));
                    prop_assert!(layout.guard.after.get() >= after);
                }
                Err(Unrepresentable) => prop_assert!(wanted > u128::from(u64::MAX)),
            }
        }
    }

    #[test]
    fn a_memory_that_never_grows_reserves_its_initial_size_only() {
        let asked = shape(2, 100, 0, 0, Growth::Disallowed);
        let layout = Layout::dedicated(&asked, ByteCount::new(4096)).unwrap();
        assert_eq!(layout.total, asked.initial.bytes());
    }
}

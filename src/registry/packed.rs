//! [`Packed`]: a shape in one word.
//!
//! ```text
//! | growth | index | shared | initial, 13 bits | maximum, 48 bits |
//! ```
//!
//! Law: says what the shape said, but for its form and its guards, which most memories have of the usual
//! kind, and for an initial size of half a gigabyte and more: what is not the usual is kept aside. There
//! may be a million of these.

use crate::model::{Growth, IndexType, Shape};
use crate::units::WasmPages;

/// A [`Shape`] but for what is kept aside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed(u64);

const DISALLOWED: u64 = 1 << 63;
const I64: u64 = 1 << 62;
const SHARED: u64 = 1 << 61;
const MAXIMUM_BITS: u32 = 48;
const MAXIMUM: u64 = (1 << MAXIMUM_BITS) - 1;
/// The initial size that stands for those which have no room here.
const ELSEWHERE: u64 = (1 << 13) - 1;

impl Packed {
    pub(super) fn new(shape: &Shape) -> Self {
        let growth = if shape.growth == Growth::Disallowed { DISALLOWED } else { 0 };
        let index = if shape.index_type == IndexType::I64 { I64 } else { 0 };
        let shared = if shape.form.is_shared { SHARED } else { 0 };
        let initial = shape.initial.get().min(ELSEWHERE) << MAXIMUM_BITS;
        Self(growth | index | shared | initial | shape.maximum.get())
    }

    /// Size at create, if it has room here.
    pub(super) fn initial(self) -> Option<WasmPages> {
        let initial = (self.0 >> MAXIMUM_BITS) & ELSEWHERE;
        WasmPages::new(initial).filter(|initial| initial.get() != ELSEWHERE)
    }

    /// The size it may grow to.
    pub(super) fn maximum(self) -> WasmPages {
        WasmPages::new(self.0 & MAXIMUM).unwrap_or(WasmPages::MAX)
    }

    /// Whether it may grow.
    pub(super) const fn growth(self) -> Growth {
        if self.0 & DISALLOWED == 0 { Growth::Allowed } else { Growth::Disallowed }
    }

    /// The width of addresses.
    pub(super) const fn index_type(self) -> IndexType {
        if self.0 & I64 == 0 { IndexType::I32 } else { IndexType::I64 }
    }

    /// Whether clients may wait on it: what its form says, without looking there.
    pub(super) const fn is_shared(self) -> bool {
        self.0 & SHARED != 0
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use crate::model::{Form, Guard};

    #[test]
    fn what_was_packed_is_what_comes_out() {
        for growth in [Growth::Allowed, Growth::Disallowed] {
            for index_type in [IndexType::I32, IndexType::I64] {
                for (initial, maximum) in
                    [(0, 0), (8190, 65_536), (8191, 1 << 47), (1 << 47, 1 << 47)]
                {
                    let [initial, maximum] =
                        [initial, maximum].map(|count| WasmPages::new(count).expect("a count"));
                    let has_room = Some(initial).filter(|initial| initial.get() < ELSEWHERE);
                    for is_shared in [false, true] {
                        let packed = Packed::new(&Shape {
                            initial,
                            maximum,
                            index_type,
                            growth,
                            guard: Guard::default(),
                            form: Form { is_shared, ..Form::default() }.shared(),
                        });
                        assert_eq!((packed.initial(), packed.maximum()), (has_room, maximum));
                        assert_eq!((packed.growth(), packed.index_type()), (growth, index_type));
                        assert_eq!(packed.is_shared(), is_shared);
                    }
                }
            }
        }
    }
}

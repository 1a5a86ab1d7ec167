//! [`Packed`]: a shape in two words.
//!
//! Law: says what the shape said, but for its guards, which most memories have of the usual length
//! and which are kept aside where they are not. There may be a million of these.

use crate::model::{Growth, IndexType, Shape};
use crate::units::WasmPages;

/// A [`Shape`] but for its guards, which most memories have of the usual length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    /// Pages, which are at most 2^47, and the three flags.
    initial: u64,
    maximum: WasmPages,
}

const DISALLOWED: u64 = 1 << 63;
const I64: u64 = 1 << 62;
const SHARED: u64 = 1 << 61;

impl Packed {
    pub(super) fn new(shape: &Shape) -> Self {
        let growth = if shape.growth == Growth::Disallowed { DISALLOWED } else { 0 };
        let index = if shape.index_type == IndexType::I64 { I64 } else { 0 };
        let shared = if shape.form.is_shared { SHARED } else { 0 };
        Self { initial: shape.initial.get() | growth | index | shared, maximum: shape.maximum }
    }

    /// Size at create.
    pub(super) fn initial(self) -> WasmPages {
        WasmPages::new(self.initial & !(DISALLOWED | I64 | SHARED)).unwrap_or(WasmPages::MAX)
    }

    /// The size it may grow to.
    pub(super) const fn maximum(self) -> WasmPages {
        self.maximum
    }

    /// Whether it may grow.
    pub(super) const fn growth(self) -> Growth {
        if self.initial & DISALLOWED == 0 { Growth::Allowed } else { Growth::Disallowed }
    }

    /// The width of addresses.
    pub(super) const fn index_type(self) -> IndexType {
        if self.initial & I64 == 0 { IndexType::I32 } else { IndexType::I64 }
    }

    /// Whether clients may wait on it: what its form says, without looking there.
    pub(super) const fn is_shared(self) -> bool {
        self.initial & SHARED != 0
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
                    [(WasmPages::ZERO, WasmPages::ZERO), (WasmPages::MAX_I32, WasmPages::MAX)]
                {
                    for is_shared in [false, true] {
                        let packed = Packed::new(&Shape {
                            initial,
                            maximum,
                            index_type,
                            growth,
                            guard: Guard::default(),
                            form: Form { is_shared, ..Form::default() }.shared(),
                        });
                        assert_eq!((packed.initial(), packed.maximum()), (initial, maximum));
                        assert_eq!((packed.growth(), packed.index_type()), (growth, index_type));
                        assert_eq!(packed.is_shared(), is_shared);
                    }
                }
            }
        }
    }
}

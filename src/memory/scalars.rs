//! Numbers of WebAssembly's as bytes of a memory: how they are loaded, and what atomics make of them.
//!
//! Law: little-endian, whatever the host; floats are their bits. Opcodes are those of the WebAssembly
//! core specification (section 5.4.6 and 5.4.8) and of its threads proposal. Moves no byte of a memory.

use crate::units::ByteCount;

/// How wide a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// 8 bits.
    One,
    /// 16 bits.
    Two,
    /// 32 bits.
    Four,
    /// 64 bits.
    Eight,
    /// 128 bits.
    Sixteen,
}

impl Width {
    /// So many bytes.
    #[must_use]
    pub const fn of(bytes: u64) -> Option<Self> {
        match bytes {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            16 => Some(Self::Sixteen),
            _ => None,
        }
    }

    /// Its binary logarithm in bytes: the natural alignment.
    #[must_use]
    pub const fn log2(self) -> u32 {
        self as u32
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
            Self::Sixteen => 16,
        }
    }

    /// In bytes.
    #[must_use]
    pub const fn count(self) -> ByteCount {
        ByteCount::new(self.bytes() as u64)
    }

    /// The lowest bits of a number that are this wide.
    #[must_use]
    pub const fn wrap(self, number: u64) -> u64 {
        match self {
            Self::One => number & 0xFF,
            Self::Two => number & 0xFFFF,
            Self::Four => number & 0xFFFF_FFFF,
            Self::Eight | Self::Sixteen => number,
        }
    }
}

/// What becomes of bytes that are fewer than the number's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widening {
    /// Zeros behind them.
    Zero,
    /// Copies of the topmost bit behind them.
    Sign,
    /// Eight bytes are lanes of a v128, each made twice as wide.
    Lanes {
        /// How wide each is in the memory.
        lane: Width,
        /// By its topmost bit, or by zeros.
        is_signed: bool,
    },
    /// They are every lane of a v128.
    Splat,
}

/// A load: of so many bytes, to a number so wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// In the memory.
    pub width: Width,
    /// Of the number.
    pub to: Width,
    /// How the one becomes the other.
    pub widening: Widening,
}

impl Load {
    /// A number as it is.
    #[must_use]
    pub const fn plain(width: Width) -> Self {
        Self::zero(width, width)
    }

    /// Zeros up to its type's width.
    #[must_use]
    pub const fn zero(width: Width, to: Width) -> Self {
        Self { width, to, widening: Widening::Zero }
    }

    /// Appends the number made of these bytes, which are `width`.
    pub(super) fn widen(self, bytes: &[u8], out: &mut Vec<u8>) {
        let to = self.to.bytes();
        match self.widening {
            Widening::Zero => {
                let end = out.len().saturating_add(to);
                out.extend_from_slice(bytes);
                out.resize(end, 0);
            }
            Widening::Sign => {
                let wide = sign_extended(self.width, number(bytes)).to_le_bytes();
                out.extend_from_slice(wide.get(..to).unwrap_or_default());
            }
            Widening::Lanes { lane, is_signed } => {
                for narrow in bytes.chunks(lane.bytes()) {
                    let narrow = number(narrow);
                    let wide = if is_signed { sign_extended(lane, narrow) } else { narrow };
                    let twice = lane.bytes().saturating_mul(2);
                    out.extend_from_slice(wide.to_le_bytes().get(..twice).unwrap_or_default());
                }
            }
            Widening::Splat => {
                let end = out.len().saturating_add(to);
                while out.len() < end && !bytes.is_empty() {
                    out.extend_from_slice(bytes);
                }
            }
        }
    }
}

/// What an atomic read-modify-write makes of the old number and an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Their sum, wrapping.
    Add,
    /// Their difference, wrapping.
    Sub,
    /// Bits of both.
    And,
    /// Bits of either.
    Or,
    /// Bits of one of them.
    Xor,
    /// The operand.
    Xchg,
}

impl Operator {
    /// The new number, of which as many bits count as it is wide.
    #[must_use]
    pub const fn apply(self, old: u64, operand: u64) -> u64 {
        match self {
            Self::Add => old.wrapping_add(operand),
            Self::Sub => old.wrapping_sub(operand),
            Self::And => old & operand,
            Self::Or => old | operand,
            Self::Xor => old ^ operand,
            Self::Xchg => operand,
        }
    }
}

/// The number that at most eight bytes are, zero-extended.
pub(super) fn number(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    for (slot, byte) in wide.iter_mut().zip(bytes) {
        *slot = *byte;
    }
    u64::from_le_bytes(wide)
}

const fn sign_extended(width: Width, number: u64) -> u64 {
    let unused = match width {
        Width::One => 56,
        Width::Two => 48,
        Width::Four => 32,
        Width::Eight | Width::Sixteen => return number,
    };
    ((number << unused).cast_signed() >> unused).cast_unsigned()
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    fn widened(load: Load, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0xEE];
        load.widen(bytes, &mut out);
        out.split_off(1)
    }

    #[test]
    fn numbers_are_widened_as_the_specification_says() {
        let signed = |width, to| Load { width, to, widening: Widening::Sign };
        assert_eq!(widened(signed(Width::One, Width::Four), &[0x80]), (-128i32).to_le_bytes());
        assert_eq!(
            widened(signed(Width::Two, Width::Eight), &[0xFF, 0x7F]),
            32_767i64.to_le_bytes()
        );
        let minus_two = (-2i32).to_le_bytes();
        assert_eq!(widened(signed(Width::Four, Width::Eight), &minus_two), (-2i64).to_le_bytes());
        assert_eq!(widened(Load::zero(Width::One, Width::Eight), &[0x80]), 128u64.to_le_bytes());
        let lanes = |is_signed| Load {
            width: Width::Eight,
            to: Width::Sixteen,
            widening: Widening::Lanes { lane: Width::Four, is_signed },
        };
        let two = [0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0];
        let wide = |first: u64| [first.to_le_bytes(), 1u64.to_le_bytes()].concat();
        assert_eq!(widened(lanes(true), &two), wide(u64::MAX));
        assert_eq!(widened(lanes(false), &two), wide(0xFFFF_FFFF));
        let splat = Load { width: Width::Two, to: Width::Sixteen, widening: Widening::Splat };
        assert_eq!(widened(splat, &[1, 2]), [1, 2].repeat(8));
    }

    #[test]
    fn a_width_is_two_to_its_logarithm() {
        for width in [Width::One, Width::Two, Width::Four, Width::Eight, Width::Sixteen] {
            assert_eq!(width.bytes(), 1 << width.log2());
            assert_eq!(Width::of(width.bytes() as u64), Some(width));
        }
    }
}

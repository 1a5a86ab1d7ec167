//! What WebAssembly's instructions access, as tables in the order of their opcodes.
//!
//! Law: made when this is compiled; [`Meaning::of`](super::opcode::Meaning::of) looks a number up here.

use crate::memory::{Load, Widening, Width};
use crate::rpc::operations::opcode::Number;

/// From 0x28 on: i32.load, i64.load, f32.load, f64.load, then the narrow ones.
pub(super) const LOADS: [(Load, Number); 14] = [
    zero(Width::Four, Number::I32),
    zero(Width::Eight, Number::I64),
    zero(Width::Four, Number::F32),
    zero(Width::Eight, Number::F64),
    sign(Width::One, Number::I32),
    zero(Width::One, Number::I32),
    sign(Width::Two, Number::I32),
    zero(Width::Two, Number::I32),
    sign(Width::One, Number::I64),
    zero(Width::One, Number::I64),
    sign(Width::Two, Number::I64),
    zero(Width::Two, Number::I64),
    sign(Width::Four, Number::I64),
    zero(Width::Four, Number::I64),
];

/// From 0x36 on.
pub(super) const STORES: [(Width, Number); 9] = [
    (Width::Four, Number::I32),
    (Width::Eight, Number::I64),
    (Width::Four, Number::F32),
    (Width::Eight, Number::F64),
    (Width::One, Number::I32),
    (Width::Two, Number::I32),
    (Width::One, Number::I64),
    (Width::Two, Number::I64),
    (Width::Four, Number::I64),
];

/// From 0xFD00 on: v128.load, its lanes, its splats.
pub(super) const WIDE_LOADS: [Load; 11] = [
    Load::plain(Width::Sixteen),
    lanes(Width::One, true),
    lanes(Width::One, false),
    lanes(Width::Two, true),
    lanes(Width::Two, false),
    lanes(Width::Four, true),
    lanes(Width::Four, false),
    splat(Width::One),
    splat(Width::Two),
    splat(Width::Four),
    splat(Width::Eight),
];

/// i32, i64, i32 of 8 and 16 bits, i64 of 8, 16 and 32 bits.
pub(super) const ATOMIC_WIDTHS: [[Width; 2]; 7] = [
    [Width::Four, Width::Four],
    [Width::Eight, Width::Eight],
    [Width::One, Width::Four],
    [Width::Two, Width::Four],
    [Width::One, Width::Eight],
    [Width::Two, Width::Eight],
    [Width::Four, Width::Eight],
];

const fn zero(width: Width, number: Number) -> (Load, Number) {
    (Load::zero(width, number.width()), number)
}

const fn sign(width: Width, number: Number) -> (Load, Number) {
    (Load { width, to: number.width(), widening: Widening::Sign }, number)
}

const fn lanes(lane: Width, is_signed: bool) -> Load {
    let widening = Widening::Lanes { lane, is_signed };
    Load { width: Width::Eight, to: Width::Sixteen, widening }
}

const fn splat(width: Width) -> Load {
    Load { width, to: Width::Sixteen, widening: Widening::Splat }
}

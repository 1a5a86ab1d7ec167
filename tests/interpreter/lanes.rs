//! Lane instructions: those that the official files of vector loads and stores go on with.
//!
//! Law: as `numeric.rs`. Not all of the vector instructions: none of them is of memories.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "lanes wrap and round"
)]

use std::array;

use wasmparser::Operator::{self, *};

use crate::numeric::{min32, one, two};
use crate::value::{Number, Value};

/// Sixteen bytes, lane 0 first.
fn bytes(vector: u128) -> [u8; 16] {
    vector.to_le_bytes()
}

fn floats(vector: u128) -> [f32; 4] {
    array::from_fn(|lane| f32::from_bits((vector >> (32 * lane)) as u32))
}

fn of_floats(lanes: [f32; 4]) -> u128 {
    lanes.iter().rev().fold(0, |sum, lane| sum << 32 | u128::from(lane.to_bits()))
}

fn bytewise(one: u128, other: u128, does: impl Fn(u8, u8) -> u8) -> u128 {
    let (one, other) = (bytes(one), bytes(other));
    u128::from_le_bytes(array::from_fn(|lane| does(one[lane], other[lane])))
}

/// One lane of so many bytes, zero-extended.
pub(crate) fn lane(vector: u128, lane: u8, width: u32) -> u64 {
    let shifted = (vector >> (u32::from(lane) * width * 8)) as u64;
    if width == 8 { shifted } else { shifted & ((1 << (width * 8)) - 1) }
}

/// The vector with one lane of so many bytes replaced.
pub(crate) fn with_lane(vector: u128, lane: u8, width: u32, number: u64) -> u128 {
    let at = u32::from(lane) * width * 8;
    let mask = (u128::MAX >> (128 - width * 8)) << at;
    vector & !mask | u128::from(number) << at
}

/// Carries a lane instruction out; false where it is none of those here.
pub(crate) fn lanes(operator: &Operator<'_>, stack: &mut Vec<Value>) -> bool {
    match operator {
        V128Const { value } => stack.push(u128::from_le_bytes(*value.bytes()).value()),
        I8x16ExtractLaneS { lane: at } => {
            one(stack, |v: u128| i32::from(bytes(v)[usize::from(*at)] as i8));
        }
        I8x16ExtractLaneU { lane: at } => {
            one(stack, |v: u128| u32::from(bytes(v)[usize::from(*at)]))
        }
        I16x8ExtractLaneU { lane: at } => one(stack, |v: u128| lane(v, *at, 2) as u32),
        I32x4ExtractLane { lane: at } => one(stack, |v: u128| lane(v, *at, 4) as u32),
        I64x2ExtractLane { lane: at } => one(stack, |v: u128| lane(v, *at, 8)),
        V128Not => one(stack, |v: u128| !v),
        V128Bitselect => {
            let mask: u128 = crate::numeric::pop(stack);
            two(stack, |a: u128, b: u128| a & mask | b & !mask);
        }
        I8x16Swizzle => two(stack, |a: u128, b: u128| {
            let from = bytes(a);
            bytewise(b, b, |at, _| from.get(usize::from(at)).copied().unwrap_or(0))
        }),
        I8x16Shl => two(stack, |a: u128, by: u32| bytewise(a, a, |lane, _| lane << (by % 8))),
        I8x16Eq => {
            two(stack, |a: u128, b: u128| bytewise(a, b, |a, b| if a == b { 255 } else { 0 }))
        }
        I8x16Add => two(stack, |a: u128, b: u128| bytewise(a, b, u8::wrapping_add)),
        I8x16Sub => two(stack, |a: u128, b: u128| bytewise(a, b, u8::wrapping_sub)),
        I8x16AllTrue => one(stack, |v: u128| u32::from(!bytes(v).contains(&0))),
        F32x4Abs => one(stack, |v: u128| of_floats(floats(v).map(f32::abs))),
        F32x4Mul => two(stack, |a: u128, b: u128| {
            let (a, b) = (floats(a), floats(b));
            of_floats(array::from_fn(|lane| a[lane] * b[lane]))
        }),
        F32x4Min => two(stack, |a: u128, b: u128| {
            let (a, b) = (floats(a), floats(b));
            of_floats(array::from_fn(|lane| min32(a[lane], b[lane])))
        }),
        F32x4ConvertI32x4U => one(stack, |v: u128| {
            #[expect(clippy::cast_precision_loss, reason = "it rounds to the nearest")]
            let convert = |at| lane(v, at, 4) as f32;
            of_floats([0, 1, 2, 3].map(convert))
        }),
        I32x4TruncSatF32x4S => one(stack, |v: u128| {
            let lanes = floats(v).map(|lane| (lane as i32).cast_unsigned());
            lanes.iter().rev().fold(0, |sum: u128, lane| sum << 32 | u128::from(*lane))
        }),
        _ => return false,
    }
    true
}

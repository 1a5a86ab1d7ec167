//! Values of WebAssembly by their bits, and what a script expects of them.
//!
//! Law: a float is its bits everywhere but in the midst of an arithmetic instruction, so that NaN
//! payloads survive.

use std::fmt::Debug;

use wasmparser::ValType;
use wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
    V128(u128),
    /// A function by its place in the store.
    Func(Option<usize>),
    Extern(Option<u32>),
}

/// A type of Rust's that a value can be read as.
pub(crate) trait Number: Sized + Copy {
    fn of(value: Value) -> Option<Self>;
    fn value(self) -> Value;
}

macro_rules! number {
    ($type:ty, $arm:ident, $from:expr, $to:expr) => {
        impl Number for $type {
            fn of(value: Value) -> Option<Self> {
                match value {
                    Value::$arm(bits) => Some($from(bits)),
                    _ => None,
                }
            }

            fn value(self) -> Value {
                Value::$arm($to(self))
            }
        }
    };
}

number!(u32, I32, |bits| bits, |number| number);
number!(i32, I32, u32::cast_signed, i32::cast_unsigned);
number!(u64, I64, |bits| bits, |number| number);
number!(i64, I64, u64::cast_signed, i64::cast_unsigned);
number!(f32, F32, f32::from_bits, f32::to_bits);
number!(f64, F64, f64::from_bits, f64::to_bits);
number!(u128, V128, |bits| bits, |number| number);

impl Value {
    /// What a local of this type begins with.
    pub(crate) fn zero(of: ValType) -> Self {
        match of {
            ValType::I32 => Self::I32(0),
            ValType::I64 => Self::I64(0),
            ValType::F32 => Self::F32(0),
            ValType::F64 => Self::F64(0),
            ValType::V128 => Self::V128(0),
            ValType::Ref(of) if of.is_extern_ref() => Self::Extern(None),
            ValType::Ref(_) => Self::Func(None),
        }
    }

    /// As an address, an offset or a length, whichever width it has.
    pub(crate) fn address(self) -> u64 {
        match self {
            Self::I32(bits) => bits.into(),
            Self::I64(bits) => bits,
            other => panic!("{other:?} as an address: the module was not validated"),
        }
    }

    /// An argument of a script's.
    pub(crate) fn argument(argument: &WastArgCore<'_>) -> Result<Self, String> {
        Ok(match argument {
            WastArgCore::I32(number) => number.value(),
            WastArgCore::I64(number) => number.value(),
            WastArgCore::F32(float) => Self::F32(float.bits),
            WastArgCore::F64(float) => Self::F64(float.bits),
            WastArgCore::V128(vector) => Self::V128(u128::from_le_bytes(vector.to_le_bytes())),
            WastArgCore::RefExtern(number) => Self::Extern(Some(*number)),
            other => return Err(format!("the argument {other:?} is not known")),
        })
    }

    /// Whether it is what a script expects.
    pub(crate) fn is(self, expected: &WastRetCore<'_>) -> Result<bool, String> {
        Ok(match (expected, self) {
            (WastRetCore::I32(number), value) => value == number.value(),
            (WastRetCore::I64(number), value) => value == number.value(),
            (WastRetCore::F32(pattern), Self::F32(bits)) => is_f32(pattern, bits),
            (WastRetCore::F64(pattern), Self::F64(bits)) => is_f64(pattern, bits),
            (WastRetCore::V128(pattern), Self::V128(bits)) => is_v128(pattern, bits),
            (WastRetCore::RefNull(_), Self::Func(at)) => at.is_none(),
            (WastRetCore::RefNull(_), Self::Extern(number)) => number.is_none(),
            (WastRetCore::RefExtern(wanted), Self::Extern(number)) => {
                number.is_some() && (wanted.is_none() || *wanted == number)
            }
            (WastRetCore::Either(cases), value) => {
                let met: Result<Vec<bool>, String> =
                    cases.iter().map(|case| value.is(case)).collect();
                met?.contains(&true)
            }
            (WastRetCore::F32(_) | WastRetCore::F64(_) | WastRetCore::V128(_), _) => false,
            (other, _) => return Err(format!("the expectation {other:?} is not known")),
        })
    }
}

fn is_f32(pattern: &NanPattern<F32>, bits: u32) -> bool {
    match pattern {
        NanPattern::CanonicalNan => bits & 0x7FFF_FFFF == 0x7FC0_0000,
        NanPattern::ArithmeticNan => bits & 0x7FC0_0000 == 0x7FC0_0000,
        NanPattern::Value(float) => bits == float.bits,
    }
}

fn is_f64(pattern: &NanPattern<F64>, bits: u64) -> bool {
    match pattern {
        NanPattern::CanonicalNan => bits & !(1 << 63) == 0x7FF8 << 48,
        NanPattern::ArithmeticNan => bits & (0x7FF8 << 48) == 0x7FF8 << 48,
        NanPattern::Value(float) => bits == float.bits,
    }
}

fn is_v128(pattern: &V128Pattern, bits: u128) -> bool {
    let bytes = bits.to_le_bytes();
    match pattern {
        V128Pattern::I8x16(lanes) => lanes.map(i8::to_le_bytes).as_flattened() == bytes,
        V128Pattern::I16x8(lanes) => lanes.map(i16::to_le_bytes).as_flattened() == bytes,
        V128Pattern::I32x4(lanes) => lanes.map(i32::to_le_bytes).as_flattened() == bytes,
        V128Pattern::I64x2(lanes) => lanes.map(i64::to_le_bytes).as_flattened() == bytes,
        V128Pattern::F32x4(lanes) => {
            let (found, _) = bytes.as_chunks();
            lanes.iter().zip(found).all(|(lane, found)| is_f32(lane, u32::from_le_bytes(*found)))
        }
        V128Pattern::F64x2(lanes) => {
            let (found, _) = bytes.as_chunks();
            lanes.iter().zip(found).all(|(lane, found)| is_f64(lane, u64::from_le_bytes(*found)))
        }
    }
}

/// Why an execution ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// As the specification says, in its words.
    Trap(&'static str),
    /// As it must never: an instruction that is not known, an answer that is none.
    Fault(String),
}

impl Stop {
    pub(crate) fn fault(what: impl Debug) -> Self {
        Self::Fault(format!("{what:?}"))
    }
}

//! Numeric instructions, all of the first version's and those of sign extension and saturation.
//!
//! Law: an instruction that is not here answers so, and is never passed over.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the instructions themselves wrap, truncate and round"
)]

use wasmparser::Operator::{self, *};

use crate::value::{Number, Stop, Value};

/// Takes the last value.
pub(crate) fn pop<A: Number>(stack: &mut Vec<Value>) -> A {
    let value = stack.pop().expect("validated: there is a value");
    A::of(value).expect("validated: it is of this type")
}

pub(crate) fn one<A: Number, R: Number>(stack: &mut Vec<Value>, does: impl Fn(A) -> R) {
    let only = pop(stack);
    stack.push(does(only).value());
}

pub(crate) fn two<A: Number, B: Number, R: Number>(
    stack: &mut Vec<Value>,
    does: impl Fn(A, B) -> R,
) {
    let (second, first) = (pop(stack), pop(stack));
    stack.push(does(first, second).value());
}

fn test<A: Number>(stack: &mut Vec<Value>, is: impl Fn(A, A) -> bool) {
    two(stack, |one: A, other: A| u32::from(is(one, other)));
}

fn trapping<A: Number, R: Number>(
    stack: &mut Vec<Value>,
    does: impl Fn(A, A) -> Result<R, Stop>,
) -> Result<(), Stop> {
    let (second, first) = (pop(stack), pop(stack));
    stack.push(does(first, second)?.value());
    Ok(())
}

const BY_ZERO: Stop = Stop::Trap("integer divide by zero");
const OVERFLOW: Stop = Stop::Trap("integer overflow");
const NO_INTEGER: Stop = Stop::Trap("invalid conversion to integer");

/// Truncates, where the whole part lies strictly between two bounds.
fn truncated<R: Number>(
    stack: &mut Vec<Value>,
    float: f64,
    (below, above): (f64, f64),
    to: impl Fn(f64) -> R,
) -> Result<(), Stop> {
    if float.is_nan() {
        return Err(NO_INTEGER);
    }
    let whole = float.trunc();
    if whole <= below || whole >= above {
        return Err(OVERFLOW);
    }
    stack.push(to(whole).value());
    Ok(())
}

const I32: (f64, f64) = (-2_147_483_649.0, 2_147_483_648.0);
const U32: (f64, f64) = (-1.0, 4_294_967_296.0);
/// Below is the next number that a float has.
const I64: (f64, f64) = (-9_223_372_036_854_777_856.0, 9_223_372_036_854_775_808.0);
const U64: (f64, f64) = (-1.0, 18_446_744_073_709_551_616.0);

fn wide(stack: &mut Vec<Value>) -> f64 {
    f64::from(pop::<f32>(stack))
}

macro_rules! minimum {
    ($name:ident, $float:ty, $wins:tt, $sign:tt) => {
        pub(crate) fn $name(one: $float, other: $float) -> $float {
            if one.is_nan() || other.is_nan() {
                one + other
            } else if one == other {
                <$float>::from_bits(one.to_bits() $sign other.to_bits())
            } else if one $wins other {
                one
            } else {
                other
            }
        }
    };
}

minimum!(min32, f32, <, |);
minimum!(max32, f32, >, &);
minimum!(min64, f64, <, |);
minimum!(max64, f64, >, &);

/// Carries a numeric instruction out; false where it is none.
pub(crate) fn numeric(operator: &Operator<'_>, stack: &mut Vec<Value>) -> Result<bool, Stop> {
    Ok(integer32(operator, stack)?
        || integer64(operator, stack)?
        || float32(operator, stack)
        || float64(operator, stack)
        || conversion(operator, stack)?)
}

macro_rules! integer {
    ($name:ident, $u:ty, $i:ty, $($op:ident)*) => {
        integer!(@ $name, $u, $i, [$($op)*]);
    };
    (@ $name:ident, $u:ty, $i:ty, [
        $eqz:ident $eq:ident $ne:ident $lts:ident $ltu:ident $gts:ident $gtu:ident $les:ident
        $leu:ident $ges:ident $geu:ident $clz:ident $ctz:ident $popcnt:ident $add:ident $sub:ident
        $mul:ident $divs:ident $divu:ident $rems:ident $remu:ident $and:ident $or:ident $xor:ident
        $shl:ident $shrs:ident $shru:ident $rotl:ident $rotr:ident $ext8:ident $ext16:ident
    ]) => {
        fn $name(operator: &Operator<'_>, stack: &mut Vec<Value>) -> Result<bool, Stop> {
            match operator {
                $eqz => one(stack, |n: $u| u32::from(n == 0)),
                $eq => test(stack, |a: $u, b: $u| a == b),
                $ne => test(stack, |a: $u, b: $u| a != b),
                $lts => test(stack, |a: $i, b: $i| a < b),
                $ltu => test(stack, |a: $u, b: $u| a < b),
                $gts => test(stack, |a: $i, b: $i| a > b),
                $gtu => test(stack, |a: $u, b: $u| a > b),
                $les => test(stack, |a: $i, b: $i| a <= b),
                $leu => test(stack, |a: $u, b: $u| a <= b),
                $ges => test(stack, |a: $i, b: $i| a >= b),
                $geu => test(stack, |a: $u, b: $u| a >= b),
                $clz => one(stack, |n: $u| <$u>::from(n.leading_zeros())),
                $ctz => one(stack, |n: $u| <$u>::from(n.trailing_zeros())),
                $popcnt => one(stack, |n: $u| <$u>::from(n.count_ones())),
                $add => two(stack, |a: $u, b: $u| a.wrapping_add(b)),
                $sub => two(stack, |a: $u, b: $u| a.wrapping_sub(b)),
                $mul => two(stack, |a: $u, b: $u| a.wrapping_mul(b)),
                $divs => trapping(stack, |a: $i, b: $i| match b {
                    0 => Err(BY_ZERO),
                    b => a.checked_div(b).ok_or(OVERFLOW),
                })?,
                $divu => trapping(stack, |a: $u, b: $u| a.checked_div(b).ok_or(BY_ZERO))?,
                $rems => trapping(stack, |a: $i, b: $i| match b {
                    0 => Err(BY_ZERO),
                    b => Ok(a.wrapping_rem(b)),
                })?,
                $remu => trapping(stack, |a: $u, b: $u| a.checked_rem(b).ok_or(BY_ZERO))?,
                $and => two(stack, |a: $u, b: $u| a & b),
                $or => two(stack, |a: $u, b: $u| a | b),
                $xor => two(stack, |a: $u, b: $u| a ^ b),
                $shl => two(stack, |a: $u, b: $u| a.wrapping_shl(b as u32)),
                $shrs => two(stack, |a: $i, b: $u| a.wrapping_shr(b as u32)),
                $shru => two(stack, |a: $u, b: $u| a.wrapping_shr(b as u32)),
                $rotl => two(stack, |a: $u, b: $u| a.rotate_left((b % <$u>::from(<$u>::BITS)) as u32)),
                $rotr => two(stack, |a: $u, b: $u| a.rotate_right((b % <$u>::from(<$u>::BITS)) as u32)),
                $ext8 => one(stack, |n: $u| <$i>::from(n as i8)),
                $ext16 => one(stack, |n: $u| <$i>::from(n as i16)),
                _ => return Ok(false),
            }
            Ok(true)
        }
    };
}

integer!(integer32, u32, i32,
    I32Eqz I32Eq I32Ne I32LtS I32LtU I32GtS I32GtU I32LeS I32LeU I32GeS I32GeU I32Clz I32Ctz
    I32Popcnt I32Add I32Sub I32Mul I32DivS I32DivU I32RemS I32RemU I32And I32Or I32Xor I32Shl
    I32ShrS I32ShrU I32Rotl I32Rotr I32Extend8S I32Extend16S);
integer!(integer64, u64, i64,
    I64Eqz I64Eq I64Ne I64LtS I64LtU I64GtS I64GtU I64LeS I64LeU I64GeS I64GeU I64Clz I64Ctz
    I64Popcnt I64Add I64Sub I64Mul I64DivS I64DivU I64RemS I64RemU I64And I64Or I64Xor I64Shl
    I64ShrS I64ShrU I64Rotl I64Rotr I64Extend8S I64Extend16S);

macro_rules! float {
    ($name:ident, $f:ty, $u:ty, $min:ident, $max:ident, $($op:ident)*) => {
        float!(@ $name, $f, $u, $min, $max, [$($op)*]);
    };
    (@ $name:ident, $f:ty, $u:ty, $min:ident, $max:ident, [
        $const:ident $eq:ident $ne:ident $lt:ident $gt:ident $le:ident $ge:ident $abs:ident
        $neg:ident $ceil:ident $floor:ident $trunc:ident $nearest:ident $sqrt:ident $add:ident
        $sub:ident $mul:ident $div:ident $minimum:ident $maximum:ident $copysign:ident
    ]) => {
        fn $name(operator: &Operator<'_>, stack: &mut Vec<Value>) -> bool {
            match operator {
                $const { value } => stack.push(<$f>::from_bits(value.bits()).value()),
                $eq => test(stack, |a: $f, b: $f| a == b),
                $ne => test(stack, |a: $f, b: $f| a != b),
                $lt => test(stack, |a: $f, b: $f| a < b),
                $gt => test(stack, |a: $f, b: $f| a > b),
                $le => test(stack, |a: $f, b: $f| a <= b),
                $ge => test(stack, |a: $f, b: $f| a >= b),
                $abs => one(stack, <$f>::abs),
                $neg => one(stack, |a: $f| -a),
                $ceil => one(stack, <$f>::ceil),
                $floor => one(stack, <$f>::floor),
                $trunc => one(stack, <$f>::trunc),
                $nearest => one(stack, <$f>::round_ties_even),
                $sqrt => one(stack, <$f>::sqrt),
                $add => two(stack, |a: $f, b: $f| a + b),
                $sub => two(stack, |a: $f, b: $f| a - b),
                $mul => two(stack, |a: $f, b: $f| a * b),
                $div => two(stack, |a: $f, b: $f| a / b),
                $minimum => two(stack, $min),
                $maximum => two(stack, $max),
                $copysign => two(stack, <$f>::copysign),
                _ => return false,
            }
            true
        }
    };
}

float!(float32, f32, u32, min32, max32,
    F32Const F32Eq F32Ne F32Lt F32Gt F32Le F32Ge F32Abs F32Neg F32Ceil F32Floor F32Trunc F32Nearest
    F32Sqrt F32Add F32Sub F32Mul F32Div F32Min F32Max F32Copysign);
float!(float64, f64, u64, min64, max64,
    F64Const F64Eq F64Ne F64Lt F64Gt F64Le F64Ge F64Abs F64Neg F64Ceil F64Floor F64Trunc F64Nearest
    F64Sqrt F64Add F64Sub F64Mul F64Div F64Min F64Max F64Copysign);

#[expect(clippy::cast_precision_loss, reason = "a conversion to a float rounds to the nearest")]
fn conversion(operator: &Operator<'_>, stack: &mut Vec<Value>) -> Result<bool, Stop> {
    match operator {
        I32Const { value } => stack.push(value.value()),
        I64Const { value } => stack.push(value.value()),
        I32WrapI64 => one(stack, |n: u64| n as u32),
        I64ExtendI32S => one(stack, |n: i32| i64::from(n)),
        I64ExtendI32U => one(stack, |n: u32| u64::from(n)),
        I64Extend32S => one(stack, |n: u64| i64::from(n as i32)),
        I32TruncF32S | I32TruncF64S | I32TruncF32U | I32TruncF64U | I64TruncF32S | I64TruncF64S
        | I64TruncF32U | I64TruncF64U => {
            let float = match operator {
                I32TruncF32S | I32TruncF32U | I64TruncF32S | I64TruncF32U => wide(stack),
                _ => pop(stack),
            };
            match operator {
                I32TruncF32S | I32TruncF64S => truncated(stack, float, I32, |f| f as i32)?,
                I32TruncF32U | I32TruncF64U => truncated(stack, float, U32, |f| f as u32)?,
                I64TruncF32S | I64TruncF64S => truncated(stack, float, I64, |f| f as i64)?,
                _ => truncated(stack, float, U64, |f| f as u64)?,
            }
        }
        I32TruncSatF32S => one(stack, |f: f32| f as i32),
        I32TruncSatF32U => one(stack, |f: f32| f as u32),
        I32TruncSatF64S => one(stack, |f: f64| f as i32),
        I32TruncSatF64U => one(stack, |f: f64| f as u32),
        I64TruncSatF32S => one(stack, |f: f32| f as i64),
        I64TruncSatF32U => one(stack, |f: f32| f as u64),
        I64TruncSatF64S => one(stack, |f: f64| f as i64),
        I64TruncSatF64U => one(stack, |f: f64| f as u64),
        F32ConvertI32S => one(stack, |n: i32| n as f32),
        F32ConvertI32U => one(stack, |n: u32| n as f32),
        F32ConvertI64S => one(stack, |n: i64| n as f32),
        F32ConvertI64U => one(stack, |n: u64| n as f32),
        F32DemoteF64 => one(stack, |f: f64| f as f32),
        F64ConvertI32S => one(stack, |n: i32| f64::from(n)),
        F64ConvertI32U => one(stack, |n: u32| f64::from(n)),
        F64ConvertI64S => one(stack, |n: i64| n as f64),
        F64ConvertI64U => one(stack, |n: u64| n as f64),
        F64PromoteF32 => one(stack, |f: f32| f64::from(f)),
        I32ReinterpretF32 => one(stack, f32::to_bits),
        I64ReinterpretF64 => one(stack, f64::to_bits),
        F32ReinterpretI32 => one(stack, f32::from_bits),
        F64ReinterpretI64 => one(stack, f64::from_bits),
        _ => return Ok(false),
    }
    Ok(true)
}

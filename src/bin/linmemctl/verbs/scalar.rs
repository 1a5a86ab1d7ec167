//! `load`, `store` and `atomic`: WebAssembly's numbers, one at a time.
//!
//! Its law: an instruction is named as WebAssembly names it (`i32.load8_s`); a number is read as its
//! type is: integers signed or unsigned or in hexadecimal, floats as decimals or, exactly, by their bits.

use clap::{Args, Subcommand};
use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::operation_result::Result as Answer;
use linmemd::client::proto::value::Value as Bits;
use linmemd::client::proto::{
    AtomicCmpxchgOperation, AtomicLoadOperation, AtomicOperator, AtomicRmwOperation,
    AtomicStoreOperation, LoadOperation, Opcode, Operation, StoreOperation, Value as Number,
};
use serde_json::{Value, json};

use crate::failure::CtlError;
use crate::session::{Session, Target};
use crate::size;

/// Arguments of `load`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl load demo i32.load 0
  linmemctl load demo i64.load16_s 8
  linmemctl load demo v128.load32_splat 0 --json")]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: Load,
}

/// A load.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// WebAssembly's name of the load.
    #[arg(value_parser = opcode)]
    instruction: Opcode,
    /// Where.
    #[arg(value_parser = size::bytes)]
    address: u64,
}

/// Arguments of `store`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl store demo i32.store 0 -1
  linmemctl store demo i64.store8 8 0xff
  linmemctl store demo f64.store 16 2.5
  linmemctl store demo f32.store 0 bits:0x7fc00001
  linmemctl store demo v128.store 0 000102030405060708090a0b0c0d0e0f")]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    store: Store,
}

/// A store.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// WebAssembly's name of the store.
    #[arg(value_parser = opcode)]
    instruction: Opcode,
    /// Where.
    #[arg(value_parser = size::bytes)]
    address: u64,
    /// The number; of a v128 its 16 bytes in hexadecimal, lane 0 first.
    #[arg(allow_hyphen_values = true)]
    number: String,
}

/// Arguments of `atomic`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl atomic demo 0 load
  linmemctl atomic demo 0 store 7
  linmemctl atomic demo 0 add 1
  linmemctl atomic demo 8 --width 4 cmpxchg 0 1")]
pub(crate) struct AtomicArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    atomic: Atomic,
}

/// Something atomic.
#[derive(Debug, Args)]
pub(crate) struct Atomic {
    /// Where; a multiple of the width.
    #[arg(value_parser = size::bytes)]
    address: u64,
    /// Bytes of the number: 1, 2, 4 or 8.
    #[arg(long, default_value_t = 8)]
    width: u32,
    /// What to do.
    #[command(subcommand)]
    deed: Deed,
}

/// What to do with a number.
#[derive(Debug, Subcommand)]
enum Deed {
    /// Show it.
    Load,
    /// Replace it.
    Store {
        /// By this.
        #[arg(value_parser = unsigned)]
        number: u64,
    },
    /// Store another where one is expected; show what was there.
    Cmpxchg {
        /// What must be there.
        #[arg(value_parser = unsigned)]
        expected: u64,
        /// What is stored then.
        #[arg(value_parser = unsigned)]
        replacement: u64,
    },
    /// Change it; show what was there.
    #[command(flatten)]
    Rmw(Rmw),
}

#[derive(Debug, Subcommand)]
enum Rmw {
    /// Add to it, wrapping.
    Add(Operand),
    /// Subtract from it, wrapping.
    Sub(Operand),
    /// Keep the bits of both.
    And(Operand),
    /// Set the bits of either.
    Or(Operand),
    /// Keep the bits of one of them.
    Xor(Operand),
    /// Put another in its place.
    Xchg(Operand),
}

#[derive(Debug, Args)]
struct Operand {
    /// The other number.
    #[arg(value_parser = unsigned)]
    number: u64,
}

/// Loads a number.
pub(crate) async fn load(args: LoadArgs, session: &Session) -> Result<(), CtlError> {
    let answer = one(args.target, args.load.kind(), session).await?;
    let Some(Answer::Value(Number { value: Some(bits) })) = answer else { return Ok(()) };
    let (text, object) = shown(&bits);
    session.output.either(&object, &text)
}

/// Stores a number.
pub(crate) async fn store(args: StoreArgs, session: &Session) -> Result<(), CtlError> {
    let StoreArgs { target, store } = args;
    one(target, store.kind()?, session).await?;
    let Store { instruction, address, number } = store;
    let object = json!({ "instruction": name(instruction), "address": address, "stored": number });
    session.output.either(&object, &format!("stored {number} at {address}"))
}

/// Does something to a number, atomically.
pub(crate) async fn atomic(args: AtomicArgs, session: &Session) -> Result<(), CtlError> {
    let AtomicArgs { target, atomic } = args;
    let address = atomic.address;
    match one(target, atomic.kind(), session).await? {
        Some(Answer::OldValue(old)) => {
            session.output.either(&json!({ "address": address, "value": old }), &old.to_string())
        }
        _ => session.output.either(&json!({ "address": address }), &format!("stored at {address}")),
    }
}

impl Load {
    /// As an operation.
    pub(crate) fn kind(self) -> Kind {
        let Self { instruction, address } = self;
        let opcode = instruction.into();
        Kind::Load(LoadOperation { opcode, address, ..Default::default() })
    }
}

impl Store {
    /// As an operation.
    pub(crate) fn kind(&self) -> Result<Kind, CtlError> {
        let value = Some(Number { value: Some(read(self.instruction, &self.number)?) });
        let (opcode, address) = (self.instruction.into(), self.address);
        Ok(Kind::Store(StoreOperation { opcode, address, value, ..Default::default() }))
    }
}

impl Atomic {
    /// As an operation.
    pub(crate) fn kind(self) -> Kind {
        let Self { address, width, deed } = self;
        let static_offset = 0;
        let rmw = |operator: AtomicOperator, operand: Operand| {
            let (operator, operand) = (operator.into(), operand.number);
            Kind::AtomicRmw(AtomicRmwOperation { width, address, static_offset, operator, operand })
        };
        match deed {
            Deed::Load => Kind::AtomicLoad(AtomicLoadOperation { width, address, static_offset }),
            Deed::Store { number: operand } => {
                Kind::AtomicStore(AtomicStoreOperation { width, address, static_offset, operand })
            }
            Deed::Cmpxchg { expected, replacement } => {
                Kind::AtomicCmpxchg(AtomicCmpxchgOperation {
                    width,
                    address,
                    static_offset,
                    expected,
                    replacement,
                })
            }
            Deed::Rmw(Rmw::Add(operand)) => rmw(AtomicOperator::Add, operand),
            Deed::Rmw(Rmw::Sub(operand)) => rmw(AtomicOperator::Sub, operand),
            Deed::Rmw(Rmw::And(operand)) => rmw(AtomicOperator::And, operand),
            Deed::Rmw(Rmw::Or(operand)) => rmw(AtomicOperator::Or, operand),
            Deed::Rmw(Rmw::Xor(operand)) => rmw(AtomicOperator::Xor, operand),
            Deed::Rmw(Rmw::Xchg(operand)) => rmw(AtomicOperator::Xchg, operand),
        }
    }
}

async fn one(target: Target, kind: Kind, session: &Session) -> Result<Option<Answer>, CtlError> {
    let operations = vec![Operation::from(kind)];
    let results = session.client.execute_on(&target.memory_id, target.uid, operations).await?;
    Ok(results.into_iter().next().and_then(|result| result.result))
}

/// `i32.load8_s` as OPCODE_I32_LOAD8_S.
fn opcode(text: &str) -> Result<Opcode, String> {
    let name = format!("OPCODE_{}", text.replace('.', "_").to_uppercase());
    let is_one = |word: &str| text.split('.').nth(1).is_some_and(|rest| rest.starts_with(word));
    Opcode::from_str_name(&name).filter(|_| is_one("load") || is_one("store")).ok_or_else(|| {
        format!("`{text}` is no load or store of WebAssembly's; say i32.load, f64.store")
    })
}

/// OPCODE_I32_LOAD8_S as `i32.load8_s`.
fn name(opcode: Opcode) -> String {
    let name = opcode.as_str_name().trim_start_matches("OPCODE_").to_lowercase();
    name.replacen('_', ".", 1)
}

/// A number without a sign, in decimals or hexadecimal.
fn unsigned(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_bad| format!("`{text}` is no number of 0 to 2^64 - 1; say 7 or 0x07"))
}

/// An integer of so many bits, signed or not.
fn integer(text: &str, bits: u32) -> Result<u64, CtlError> {
    let wrong =
        || CtlError::Usage(format!("`{text}` is no integer of {bits} bits; say -1 or 0xff"));
    let most = u64::MAX >> (64 - bits);
    let number = match text.strip_prefix('-') {
        Some(digits) => {
            let size = unsigned(digits).ok().filter(|size| *size <= most / 2 + 1);
            size.map(u64::wrapping_neg).map(|number| number & most)
        }
        None => unsigned(text).ok().filter(|number| *number <= most),
    };
    number.ok_or_else(wrong)
}

fn read(opcode: Opcode, text: &str) -> Result<Bits, CtlError> {
    let wrong = |what: &str| CtlError::Usage(format!("`{text}` is no {what}"));
    let low = |number: u64| u32::try_from(number & 0xFFFF_FFFF).unwrap_or(0);
    Ok(match opcode.as_str_name().trim_start_matches("OPCODE_").get(..3) {
        Some("I32") => Bits::I32(low(integer(text, 32)?).cast_signed()),
        Some("I64") => Bits::I64(integer(text, 64)?.cast_signed()),
        Some("F32") => Bits::F32Bits(match text.strip_prefix("bits:") {
            Some(bits) => low(integer(bits, 32)?),
            None => text
                .parse::<f32>()
                .map_err(|_bad| wrong("f32: say 2.5 or bits:0x40200000"))?
                .to_bits(),
        }),
        Some("F64") => Bits::F64Bits(match text.strip_prefix("bits:") {
            Some(bits) => integer(bits, 64)?,
            None => text
                .parse::<f64>()
                .map_err(|_bad| wrong("f64: say 2.5 or bits:0x4004000000000000"))?
                .to_bits(),
        }),
        _ => match crate::hex::parse(text) {
            Ok(bytes) if bytes.len() == 16 => Bits::V128(bytes.into()),
            _ => return Err(wrong("v128: say its 16 bytes in hexadecimal, lane 0 first")),
        },
    })
}

/// A number for people and for programs.
pub(crate) fn shown(bits: &Bits) -> (String, Value) {
    match bits {
        Bits::I32(number) => {
            let bits = format!("{number:#010x}");
            (number.to_string(), json!({ "type": "i32", "value": number, "bits": bits }))
        }
        Bits::I64(number) => {
            let bits = format!("{number:#018x}");
            (number.to_string(), json!({ "type": "i64", "value": number, "bits": bits }))
        }
        Bits::F32Bits(bits) => {
            let (number, bits) = (f32::from_bits(*bits), format!("{bits:#010x}"));
            (number.to_string(), json!({ "type": "f32", "value": number, "bits": bits }))
        }
        Bits::F64Bits(bits) => {
            let (number, bits) = (f64::from_bits(*bits), format!("{bits:#018x}"));
            (number.to_string(), json!({ "type": "f64", "value": number, "bits": bits }))
        }
        Bits::V128(bytes) => {
            let bytes = crate::hex::digits(bytes);
            (bytes.clone(), json!({ "type": "v128", "bytes": bytes }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_named_as_webassembly_names_them() {
        for text in ["i32.load", "i64.load32_u", "f32.store", "v128.load8x8_s", "v128.load32_zero"]
        {
            assert_eq!(name(opcode(text).unwrap()), text);
        }
        for text in ["i32.add", "memory.fill", "load", "i32.atomic.load", ""] {
            assert!(opcode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_read_as_their_type() {
        let read = |name: &str, text: &str| read(opcode(name).unwrap(), text);
        assert_eq!(read("i32.store", "-1").unwrap(), Bits::I32(-1));
        assert_eq!(read("i32.store", "0xffffffff").unwrap(), Bits::I32(-1));
        assert_eq!(read("i64.store8", "-9223372036854775808").unwrap(), Bits::I64(i64::MIN));
        assert_eq!(read("f32.store", "bits:0x7fc00001").unwrap(), Bits::F32Bits(0x7FC0_0001));
        assert_eq!(read("f64.store", "-0").unwrap(), Bits::F64Bits(1 << 63));
        for (name, text) in [
            ("i32.store", "4294967296"),
            ("i32.store", "-2147483649"),
            ("i32.store", "1.5"),
            ("f32.store", "x"),
            ("v128.store", "00"),
        ] {
            assert!(matches!(read(name, text), Err(CtlError::Usage(_))), "{name} {text}");
        }
    }
}

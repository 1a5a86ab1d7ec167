//! WebAssembly's memory instructions as their names say them, apart from the product: what each does to
//! plain bytes, and each in both forms of a group.
//!
//! Law: a meaning is read from the instruction's name; nothing of the product's own tables is used.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "numbers of one width are made of those of another: the bits are what counts"
)]

use bytes::Bytes;
use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::operation_result::Result as Answer;
use linmemd::client::proto::value::Value as Bits;
use linmemd::client::proto::{
    AtomicRmwOperation, CopyOperation, FillOperation, LoadOperation, NotifyOperation, Opcode,
    Operation, OperationResult, PackedOperations, ReadOperation, SizeOperation, StoreOperation,
    Value, WriteOperation,
};
use rand::Rng;
use rand::rngs::StdRng;

/// Where random operations happen: so few bytes that they meet.
const PLAYGROUND: u64 = 160;

/// One operation in all its forms.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) opcode: Opcode,
    address: u64,
    length: u64,
    /// As packed.
    operands: Vec<u8>,
}

/// What the name of an instruction says.
struct Named {
    /// Of the number.
    to: usize,
    /// In the memory.
    width: usize,
    name: &'static str,
}

impl Named {
    fn of(opcode: Opcode) -> Self {
        let name = opcode.as_str_name().strip_prefix("OPCODE_").unwrap();
        let to = match &name[..3] {
            "I32" | "F32" => 4,
            "I64" | "F64" => 8,
            "V12" => 16,
            _ => 0,
        };
        let digits = |after: &str| {
            let rest = name.split_once(after)?.1;
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<usize>().ok().map(|bits| bits / 8)
        };
        let width = ["RMW", "LOAD", "STORE"].iter().find_map(|word| digits(word)).unwrap_or(to);
        let width = if name.contains('X') && name.starts_with("V128_LOAD") { 8 } else { width };
        Self { to, width, name }
    }
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

fn bytes_of(number: u128, width: usize) -> Vec<u8> {
    number.to_le_bytes()[..width].to_vec()
}

fn sign_extended(bytes: &[u8], to: usize) -> Vec<u8> {
    let fill = if bytes.last().unwrap() & 0x80 == 0 { 0 } else { 0xFF };
    let mut wide = bytes.to_vec();
    wide.resize(to, fill);
    wide
}

/// What a load instruction answers of these bytes.
fn loaded(named: &Named, bytes: &[u8]) -> Vec<u8> {
    let name = named.name;
    if let Some((_, lanes)) = name.split_once("V128_LOAD")
        && let Some((bits, rest)) = lanes.split_once('X')
    {
        let lane = bits.parse::<usize>().unwrap() / 8;
        let widen = |lane: &[u8]| match rest.ends_with('S') {
            true => sign_extended(lane, lane.len() * 2),
            false => bytes_of(number(lane), lane.len() * 2),
        };
        return bytes.chunks(lane).flat_map(widen).collect();
    }
    if name.ends_with("SPLAT") {
        return bytes.repeat(16 / bytes.len());
    }
    if name.ends_with("_S") {
        sign_extended(bytes, named.to)
    } else {
        bytes_of(number(bytes), named.to)
    }
}

/// Does it to plain bytes; what it answers, packed.
pub(crate) fn model(memory: &mut [u8], deed: &Deed) -> Vec<u8> {
    let named = Named::of(deed.opcode);
    let at = usize::try_from(deed.address).unwrap();
    let (length, operands) = (usize::try_from(deed.length).unwrap(), &deed.operands);
    match named.name {
        "READ" => memory[at..at + length].to_vec(),
        "WRITE" => {
            memory[at..at + length].copy_from_slice(operands);
            vec![]
        }
        "MEMORY_FILL" => {
            memory[at..at + length].fill(operands[0]);
            vec![]
        }
        "MEMORY_COPY" => {
            let from = usize::try_from(number(operands)).unwrap();
            memory.copy_within(from..from + length, at);
            vec![]
        }
        "MEMORY_SIZE" => 1u64.to_le_bytes().to_vec(),
        "MEMORY_ATOMIC_NOTIFY" => vec![0; 4],
        "ATOMIC_FENCE" => vec![],
        name if name.contains("_RMW") => {
            let old = memory[at..at + named.width].to_vec();
            let (first, second) = operands.split_at(named.to);
            let (was, by) = (number(&old), number(first));
            let new = match name.trim_end_matches("_U").rsplit_once('_').unwrap().1 {
                "ADD" => was.wrapping_add(by),
                "SUB" => was.wrapping_sub(by),
                "AND" => was & by,
                "OR" => was | by,
                "XOR" => was ^ by,
                "XCHG" => by,
                "CMPXCHG" if was == by => number(second),
                "CMPXCHG" => was,
                other => panic!("{other}"),
            };
            memory[at..at + named.width].copy_from_slice(&bytes_of(new, named.width));
            bytes_of(was, named.to)
        }
        name if name.contains("LOAD") => loaded(&named, &memory[at..at + named.width]),
        name if name.contains("STORE") => {
            memory[at..at + named.width].copy_from_slice(&operands[..named.width]);
            vec![]
        }
        other => panic!("{other}"),
    }
}

/// Every opcode but those that are told of elsewhere.
pub(crate) fn opcodes() -> Vec<Opcode> {
    let all = (1..0x1_0000).filter_map(|number| Opcode::try_from(number).ok());
    all.filter(|opcode| !matches!(opcode, Opcode::Compare | Opcode::MemoryInit)).collect()
}

pub(crate) fn random_deed(random: &mut StdRng, opcodes: &[Opcode]) -> Deed {
    let opcode = opcodes[random.random_range(0..opcodes.len())];
    let named = Named::of(opcode);
    let mut deed = Deed { opcode, address: 0, length: 0, operands: Vec::new() };
    let mut bytes = |count: usize| {
        // Few values, so that numbers are equal now and then.
        (0..count).map(|_| [0, 1, 0x7F, 0x80, 0xFF][random.random_range(0..5)]).collect::<Vec<u8>>()
    };
    let is_atomic = named.name.contains("ATOMIC");
    let width = named.width as u64;
    match named.name {
        "MEMORY_SIZE" | "ATOMIC_FENCE" => return deed,
        "MEMORY_ATOMIC_NOTIFY" => deed.operands = bytes(4),
        "WRITE" => {
            deed.operands = bytes(21);
            deed.length = 21;
        }
        "MEMORY_FILL" => deed.operands = bytes(1),
        "MEMORY_COPY" => {}
        name if name.contains("CMPXCHG") => {
            deed.operands = bytes(2 * named.to);
            // So that it is there now and then.
            deed.operands[named.width..named.to].fill(0);
        }
        name if name.contains("RMW") || name.contains("STORE") => deed.operands = bytes(named.to),
        _ => {}
    }
    if matches!(named.name, "READ" | "MEMORY_FILL" | "MEMORY_COPY") {
        deed.length = random.random_range(0..40);
    }
    let room = PLAYGROUND - deed.length.max(width.max(4));
    deed.address = random.random_range(0..=room);
    if is_atomic {
        deed.address -= deed.address % width.max(4);
    }
    if named.name == "MEMORY_COPY" {
        deed.operands = random.random_range(0..=room).to_le_bytes().to_vec();
    }
    deed
}

pub(crate) fn packed(deeds: &[Deed]) -> PackedOperations {
    PackedOperations {
        opcodes: deeds.iter().map(|deed| deed.opcode.into()).collect(),
        addresses: deeds.iter().map(|deed| deed.address).collect(),
        lengths: deeds.iter().map(|deed| u32::try_from(deed.length).unwrap()).collect(),
        data: deeds.iter().flat_map(|deed| deed.operands.clone()).collect::<Vec<u8>>().into(),
    }
}

fn value(opcode: Opcode, bytes: &[u8]) -> Value {
    let bits = number(bytes);
    let value = match &Named::of(opcode).name[..3] {
        "I32" => Bits::I32(bits as u32 as i32),
        "I64" => Bits::I64(bits as u64 as i64),
        "F32" => Bits::F32Bits(bits as u32),
        "F64" => Bits::F64Bits(bits as u64),
        _ => Bits::V128(Bytes::copy_from_slice(bytes)),
    };
    Value { value: Some(value) }
}

/// The same as an operation of a list. The static offset is a part of the address.
pub(crate) fn listed(deed: &Deed) -> Operation {
    use linmemd::client::proto::{
        AtomicCmpxchgOperation, AtomicLoadOperation, AtomicOperator, AtomicStoreOperation,
        FenceOperation,
    };
    let Deed { opcode, address, length, operands } = deed;
    let named = Named::of(*opcode);
    let width = u32::try_from(named.width).unwrap();
    let (offset, length, opcode_number) = (*address, *length, i32::from(*opcode));
    let static_offset = address / 3;
    let address = address - static_offset;
    let operand = |from: usize| number(&operands[from..from + named.to]) as u64;
    match named.name {
        "READ" => Kind::Read(ReadOperation { offset, length }),
        "WRITE" => Kind::Write(WriteOperation { offset, data: operands.clone().into() }),
        "MEMORY_FILL" => Kind::Fill(FillOperation { offset, length, value: operands[0].into() }),
        "MEMORY_COPY" => Kind::Copy(CopyOperation {
            source_offset: number(operands) as u64,
            destination_offset: offset,
            length,
        }),
        "MEMORY_SIZE" => Kind::Size(SizeOperation {}),
        "ATOMIC_FENCE" => Kind::Fence(FenceOperation {}),
        "MEMORY_ATOMIC_NOTIFY" => {
            let count = number(operands) as u32;
            Kind::Notify(NotifyOperation { address, static_offset, count })
        }
        name if name.contains("CMPXCHG") => Kind::AtomicCmpxchg(AtomicCmpxchgOperation {
            width,
            address,
            static_offset,
            expected: operand(0),
            replacement: operand(named.to),
        }),
        name if name.contains("_RMW") => {
            let word = name.trim_end_matches("_U").rsplit_once('_').unwrap().1;
            let operator = AtomicOperator::from_str_name(&format!("ATOMIC_OPERATOR_{word}"));
            let operator = operator.unwrap().into();
            let operand = operand(0);
            Kind::AtomicRmw(AtomicRmwOperation { width, address, static_offset, operator, operand })
        }
        name if name.contains("ATOMIC_LOAD") => {
            Kind::AtomicLoad(AtomicLoadOperation { width, address, static_offset })
        }
        name if name.contains("ATOMIC_STORE") => {
            let operand = operand(0);
            Kind::AtomicStore(AtomicStoreOperation { width, address, static_offset, operand })
        }
        name if name.contains("LOAD") => Kind::Load(LoadOperation {
            opcode: opcode_number,
            address,
            static_offset,
            align_log2: Some(width.ilog2()),
        }),
        _ => Kind::Store(StoreOperation {
            opcode: opcode_number,
            address,
            static_offset,
            align_log2: None,
            value: Some(value(*opcode, operands)),
        }),
    }
    .into()
}

/// What a list answers for what a packed group answers.
pub(crate) fn answered(deed: &Deed, raw: &[u8]) -> OperationResult {
    let named = Named::of(deed.opcode);
    let result = match named.name {
        "READ" => Some(Answer::Data(raw.to_vec().into())),
        "MEMORY_SIZE" => Some(Answer::SizePages(number(raw) as u64)),
        "MEMORY_ATOMIC_NOTIFY" => Some(Answer::WokenCount(number(raw) as u32)),
        name if name.contains("RMW") || name.contains("ATOMIC_LOAD") => {
            Some(Answer::OldValue(number(raw) as u64))
        }
        name if name.contains("LOAD") => Some(Answer::Value(value(deed.opcode, raw))),
        _ => None,
    };
    OperationResult { result }
}

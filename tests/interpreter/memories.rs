//! Memory instructions: operands from the stack, the daemon's answer onto it.
//!
//! Law: every arm asks the daemon; that of an instruction that is not known is a fault.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of one width are made of those of another, as the instructions say"
)]

use std::sync::Arc;

use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::operation_result::Result as Answer;
use linmemd::client::proto::value::Value as Bits;
use linmemd::client::proto::{
    self, AtomicCmpxchgOperation, AtomicLoadOperation, AtomicRmwOperation, AtomicStoreOperation,
    LoadOperation, NotifyOperation, StoreOperation,
};
use wasmparser::Operator;

use crate::access::{Access, Atomic, Meaning};
use crate::ahead::Spot;
use crate::calls::{Daemon, Memory, stop};
use crate::lanes::{lane, with_lane};
use crate::numeric::pop;
use crate::store::Instance;
use crate::value::{Number, Stop, Value};

/// Scalar loads and stores of one, two, four and eight bytes: what the lane instructions are made of.
const LANE_LOADS: [i32; 4] = [0x2D, 0x2F, 0x28, 0x29];
const LANE_STORES: [i32; 4] = [0x3A, 0x3B, 0x36, 0x37];

fn opcode(access: &Access) -> i32 {
    access.opcode.cast_signed()
}

fn is_vector(access: &Access) -> bool {
    access.opcode >= 0xFD00
}

fn stored(value: Value) -> Result<proto::Value, Stop> {
    let bits = match value {
        Value::I32(bits) => Bits::I32(bits.cast_signed()),
        Value::I64(bits) => Bits::I64(bits.cast_signed()),
        Value::F32(bits) => Bits::F32Bits(bits),
        Value::F64(bits) => Bits::F64Bits(bits),
        Value::V128(bits) => Bits::V128(bits.to_le_bytes().to_vec().into()),
        other => return Err(Stop::fault(other)),
    };
    Ok(proto::Value { value: Some(bits) })
}

fn loaded(answer: Option<Answer>) -> Result<Value, Stop> {
    let Some(Answer::Value(proto::Value { value: Some(bits) })) = answer else {
        return Err(Stop::fault(answer));
    };
    Ok(match bits {
        Bits::I32(number) => number.value(),
        Bits::I64(number) => number.value(),
        Bits::F32Bits(bits) => Value::F32(bits),
        Bits::F64Bits(bits) => Value::F64(bits),
        Bits::V128(bytes) => {
            let bytes = <[u8; 16]>::try_from(bytes.as_ref()).map_err(Stop::fault)?;
            Value::V128(u128::from_le_bytes(bytes))
        }
    })
}

/// What was there before, in the instruction's type.
fn old(answer: Option<Answer>, atomic: Atomic) -> Result<Value, Stop> {
    match answer {
        Some(Answer::OldValue(old)) if atomic.is_wide => Ok(Value::I64(old)),
        Some(Answer::OldValue(old)) => Ok(Value::I32(u32::try_from(old).map_err(Stop::fault)?)),
        other => Err(Stop::fault(other)),
    }
}

/// Carries an instruction with an address out.
pub(crate) fn access(
    daemon: &mut Daemon,
    memory: &Memory,
    access: &Access,
    stack: &mut Vec<Value>,
    spot: Spot,
) -> Result<(), Stop> {
    let Access { offset: static_offset, align_log2, .. } = *access;
    let align_log2 = Some(align_log2);
    match access.meaning() {
        Meaning::Load => {
            daemon.count(if is_vector(access) { "v128.load" } else { "load" });
            let address = pop_address(stack);
            stack.push(load(daemon, memory, access, spot, address)?);
        }
        Meaning::Store => {
            daemon.count(if is_vector(access) { "v128.store" } else { "store" });
            let value = Some(stored(stack.pop().expect("validated"))?);
            let address = pop_address(stack);
            let opcode = opcode(access);
            let store = StoreOperation { opcode, address, static_offset, align_log2, value };
            daemon.one(memory, Kind::Store(store))?;
        }
        Meaning::LoadLane(width) => {
            daemon.count("v128.load");
            let vector = pop(stack);
            let address = pop_address(stack);
            let opcode = LANE_LOADS[width.ilog2() as usize];
            let load = LoadOperation { opcode, address, static_offset, align_log2 };
            let number = loaded(daemon.one(memory, Kind::Load(load))?)?.address();
            stack.push(with_lane(vector, access.lane, width, number).value());
        }
        Meaning::StoreLane(width) => {
            daemon.count("v128.store");
            let number = lane(pop(stack), access.lane, width);
            let address = pop_address(stack);
            let opcode = LANE_STORES[width.ilog2() as usize];
            let number = if width == 8 { number.value() } else { (number as u32).value() };
            let value = Some(stored(number)?);
            let store = StoreOperation { opcode, address, static_offset, align_log2, value };
            daemon.one(memory, Kind::Store(store))?;
        }
        Meaning::AtomicLoad(atomic) => {
            daemon.count("atomic.load");
            let (width, address) = (atomic.width, pop_address(stack));
            let load = AtomicLoadOperation { width, address, static_offset };
            stack.push(old(daemon.one(memory, Kind::AtomicLoad(load))?, atomic)?);
        }
        Meaning::AtomicStore(Atomic { width, .. }) => {
            daemon.count("atomic.store");
            let (operand, address) = (pop_address(stack), pop_address(stack));
            let store = AtomicStoreOperation { width, address, static_offset, operand };
            daemon.one(memory, Kind::AtomicStore(store))?;
        }
        Meaning::AtomicRmw(atomic, operator) => {
            daemon.count("atomic.rmw");
            let (operand, address) = (pop_address(stack), pop_address(stack));
            let (width, operator) = (atomic.width, operator.into());
            let rmw = AtomicRmwOperation { width, address, static_offset, operator, operand };
            stack.push(old(daemon.one(memory, Kind::AtomicRmw(rmw))?, atomic)?);
        }
        Meaning::AtomicCmpxchg(atomic) => {
            daemon.count("atomic.cmpxchg");
            let (replacement, expected) = (pop_address(stack), pop_address(stack));
            let (width, address) = (atomic.width, pop_address(stack));
            let cmpxchg =
                AtomicCmpxchgOperation { width, address, static_offset, expected, replacement };
            stack.push(old(daemon.one(memory, Kind::AtomicCmpxchg(cmpxchg))?, atomic)?);
        }
        Meaning::Notify => {
            daemon.count("atomic.notify");
            let (count, address) = (pop(stack), pop_address(stack));
            let notify = NotifyOperation { address, static_offset, count };
            match daemon.one(memory, Kind::Notify(notify))? {
                Some(Answer::WokenCount(woken)) => stack.push(woken.value()),
                other => return Err(Stop::fault(other)),
            }
        }
        Meaning::Wait(width) => {
            daemon.count("atomic.wait");
            let nanoseconds = pop(stack);
            let (expected, address) = (pop_address(stack), pop_address(stack));
            // The one request that has no static offset of its own.
            let address = address
                .checked_add(static_offset)
                .ok_or(Stop::Trap("out of bounds memory access"))?;
            let outcome = daemon.wait(memory, address, (width, expected), nanoseconds)?;
            stack.push(outcome.value());
        }
    }
    Ok(())
}

/// The last value, as a number of either width.
fn pop_address(stack: &mut Vec<Value>) -> u64 {
    stack.pop().expect("validated: there is a value").address()
}

/// Loads, and asks ahead where loads come in even steps.
fn load(
    daemon: &mut Daemon,
    memory: &Memory,
    access: &Access,
    spot: Spot,
    address: u64,
) -> Result<Value, Stop> {
    let single = |address| {
        let (static_offset, align_log2) = (access.offset, Some(access.align_log2));
        Kind::Load(LoadOperation { opcode: opcode(access), address, static_offset, align_log2 })
    };
    if memory.of.shared {
        return loaded(daemon.one(memory, single(address))?);
    }
    if let Some(answer) = daemon.ahead.take(spot, address) {
        return Ok(answer);
    }
    let last_address = if memory.of.memory64 { u64::MAX } else { u32::MAX.into() };
    let mut addresses = daemon.ahead.addresses(spot, address, last_address);
    loop {
        let operations = addresses.iter().copied().map(single).collect();
        let error = match daemon.execute(memory, operations) {
            Ok(answers) => {
                let mut answers = answers.into_iter().map(loaded);
                let first = answers.next().ok_or_else(|| Stop::fault("no answer"))??;
                let rest: Vec<Value> = answers.collect::<Result<_, _>>()?;
                daemon.ahead.keep(rest);
                return Ok(first);
            }
            Err(error) => error,
        };
        // Of a group that went too far, those before the first that failed.
        let place = error.failure().and_then(|failure| failure.number("operation_index"));
        match place.and_then(|place| usize::try_from(place).ok()) {
            Some(good) if good > 0 && good < addresses.len() => addresses.truncate(good),
            _ => return Err(stop(error)),
        }
    }
}

/// Carries one of the instructions without a static offset out; false where it is none of memories.
pub(crate) fn whole(
    daemon: &mut Daemon,
    instance: &mut Instance,
    spare: &Arc<Memory>,
    operator: &Operator<'_>,
    stack: &mut Vec<Value>,
) -> Result<bool, Stop> {
    match operator {
        Operator::MemorySize { mem } => {
            daemon.count("memory.size");
            let memory = instance.memory(*mem);
            let pages = daemon.size(&memory)?;
            stack.push(index(&memory, Some(pages)));
        }
        Operator::MemoryGrow { mem } => {
            daemon.count("memory.grow");
            let memory = instance.memory(*mem);
            let before = daemon.grow(&memory, pop_address(stack))?;
            stack.push(index(&memory, before));
        }
        Operator::MemoryFill { mem } => {
            daemon.count("memory.fill");
            let length = pop_address(stack);
            let value: u32 = pop(stack);
            let offset = pop_address(stack);
            daemon.fill(&instance.memory(*mem), offset, value as u8, length)?;
        }
        Operator::MemoryCopy { dst_mem, src_mem } => {
            daemon.count("memory.copy");
            let [length, source, destination] = [(); 3].map(|()| pop_address(stack));
            let (from, to) = (instance.memory(*src_mem), instance.memory(*dst_mem));
            daemon.copy((&from, source), (&to, destination), length)?;
        }
        Operator::MemoryInit { data_index, mem } => {
            daemon.count("memory.init");
            let [length, source, destination] = [(); 3].map(|()| pop_address(stack));
            let segment = &instance.data[*data_index as usize];
            daemon.init(&instance.memory(*mem), destination, segment, source, length)?;
        }
        Operator::DataDrop { data_index } => {
            daemon.count("data.drop");
            let segment = &mut instance.data[*data_index as usize];
            *segment = daemon.drop_segment(segment)?;
        }
        Operator::AtomicFence => {
            daemon.count("atomic.fence");
            // An instruction of no memory, which a module without one may have.
            let memory = instance.memories.first().unwrap_or(spare);
            daemon.fence(memory)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// A number of pages, or -1, in the memory's own type.
fn index(memory: &Memory, pages: Option<u64>) -> Value {
    match pages {
        Some(pages) if memory.of.memory64 => Value::I64(pages),
        Some(pages) => Value::I32(u32::try_from(pages).expect("65,536 at most")),
        None if memory.of.memory64 => Value::I64(u64::MAX),
        None => Value::I32(u32::MAX),
    }
}

//! From the pleasant form of a group to the fast one, by the API's page alone.
//!
//! Law: what has no packed form (an alignment hint, a static offset that wraps, a number of the wrong
//! type) is none, and is left to the list.

use linmemd::proto::v1::operation::Operation as Kind;
use linmemd::proto::v1::value::Value as Bits;
use linmemd::proto::v1::{AtomicOperator, Opcode, Operation, PackedOperations};

/// The same operations in columns, where all of them have such a form.
pub(super) fn packed(operations: &[Operation]) -> Option<PackedOperations> {
    let mut packed = PackedOperations::default();
    for operation in operations {
        add(&mut packed, operation.operation.as_ref()?)?;
    }
    Some(packed)
}

fn add(packed: &mut PackedOperations, kind: &Kind) -> Option<()> {
    let mut operands = Vec::new();
    let (opcode, address, length) = match kind {
        Kind::Read(read) => (Opcode::Read, read.offset, u32::try_from(read.length).ok()?),
        Kind::Write(write) => {
            operands.extend_from_slice(&write.data);
            (Opcode::Write, write.offset, u32::try_from(write.data.len()).ok()?)
        }
        Kind::Compare(compare) => {
            operands.extend_from_slice(&compare.expected);
            (Opcode::Compare, compare.offset, u32::try_from(compare.expected.len()).ok()?)
        }
        Kind::Load(load) if load.align_log2.is_none() => {
            let opcode = Opcode::try_from(load.opcode).ok()?;
            if !opcode.as_str_name().contains("LOAD") || opcode.as_str_name().contains("ATOMIC") {
                return None;
            }
            (opcode, load.address.checked_add(load.static_offset)?, 0)
        }
        Kind::Store(store) if store.align_log2.is_none() => {
            let opcode = Opcode::try_from(store.opcode).ok()?;
            let name = opcode.as_str_name();
            if !name.contains("STORE") || name.contains("ATOMIC") {
                return None;
            }
            match (store.value.as_ref()?.value.as_ref()?, name.get(7..10)?) {
                (Bits::I32(value), "I32") => operands.extend(value.to_le_bytes()),
                (Bits::I64(value), "I64") => operands.extend(value.to_le_bytes()),
                (Bits::F32Bits(bits), "F32") => operands.extend(bits.to_le_bytes()),
                (Bits::F64Bits(bits), "F64") => operands.extend(bits.to_le_bytes()),
                (Bits::V128(bytes), "V12") if bytes.len() == 16 => operands.extend(bytes.iter()),
                _ => return None,
            }
            (opcode, store.address.checked_add(store.static_offset)?, 0)
        }
        Kind::Fill(fill) => {
            operands.push(u8::try_from(fill.value).ok()?);
            (Opcode::MemoryFill, fill.offset, u32::try_from(fill.length).ok()?)
        }
        Kind::Copy(copy) => {
            operands.extend(copy.source_offset.to_le_bytes());
            (Opcode::MemoryCopy, copy.destination_offset, u32::try_from(copy.length).ok()?)
        }
        Kind::Init(init) => {
            operands.extend(init.source_offset.to_le_bytes());
            operands.push(u8::try_from(init.segment_id.len()).ok()?);
            operands.extend_from_slice(init.segment_id.as_bytes());
            (Opcode::MemoryInit, init.destination_offset, u32::try_from(init.length).ok()?)
        }
        Kind::AtomicLoad(load) => {
            (wide("LOAD", "", load.width)?, load.address.checked_add(load.static_offset)?, 0)
        }
        Kind::AtomicStore(store) => {
            operands.extend(store.operand.to_le_bytes());
            (wide("STORE", "", store.width)?, store.address.checked_add(store.static_offset)?, 0)
        }
        Kind::AtomicRmw(rmw) => {
            operands.extend(rmw.operand.to_le_bytes());
            let operator = AtomicOperator::try_from(rmw.operator).ok()?;
            let word = operator.as_str_name().trim_start_matches("ATOMIC_OPERATOR_");
            (wide("RMW", word, rmw.width)?, rmw.address.checked_add(rmw.static_offset)?, 0)
        }
        Kind::AtomicCmpxchg(swap) => {
            operands.extend(swap.expected.to_le_bytes());
            operands.extend(swap.replacement.to_le_bytes());
            let opcode = wide("RMW", "CMPXCHG", swap.width)?;
            (opcode, swap.address.checked_add(swap.static_offset)?, 0)
        }
        Kind::Size(_) => (Opcode::MemorySize, 0, 0),
        Kind::Fence(_) => (Opcode::AtomicFence, 0, 0),
        Kind::Notify(notify) => {
            operands.extend(notify.count.to_le_bytes());
            let address = notify.address.checked_add(notify.static_offset)?;
            (Opcode::MemoryAtomicNotify, address, 0)
        }
        Kind::Gather(_) | Kind::Scatter(_) | Kind::Load(_) | Kind::Store(_) => return None,
    };
    packed.opcodes.push(opcode.into());
    packed.addresses.push(address);
    packed.lengths.push(length);
    packed.data = [&packed.data[..], &operands].concat().into();
    Some(())
}

/// The 64-bit atomic of this width: its results are 8 bytes, as a list's are.
fn wide(family: &str, operator: &str, width: u32) -> Option<Opcode> {
    let bits = match width {
        1 => "8",
        2 => "16",
        4 => "32",
        8 => "",
        _ => return None,
    };
    let narrow = if width < 8 && family != "STORE" { "_U" } else { "" };
    let operator = if operator.is_empty() { String::new() } else { format!("_{operator}") };
    Opcode::from_str_name(&format!("OPCODE_I64_ATOMIC_{family}{bits}{operator}{narrow}"))
}

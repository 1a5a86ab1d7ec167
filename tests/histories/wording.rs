//! Steps as messages, in both forms of a group, and answers from theirs.
//!
//! Law: what a step means is the same in every form; of instructions that mean the same, which one is
//! sent depends on the step's numbers, so that all are met. Knows nothing of any memory.

use bytes::Bytes;
use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::operation_result::Result as Said;
use linmemd::client::proto::value::Value as Bits;
use linmemd::client::proto::{
    AtomicCmpxchgOperation, AtomicLoadOperation, AtomicOperator, AtomicRmwOperation,
    AtomicStoreOperation, CompareOperation, CopyOperation, FillOperation, LoadOperation, Opcode,
    Operation, OperationResult, PackedOperations, ReadOperation, SizeOperation, StoreOperation,
    Value, WriteOperation,
};

use crate::history::{Answer, Span, Step};

pub(crate) fn operation(step: &Step) -> Operation {
    let address = |cell: usize| Span::one(cell).offset();
    let rmw = |cell, operator: AtomicOperator, operand| {
        let (address, operator) = (address(cell), operator.into());
        Kind::AtomicRmw(AtomicRmwOperation {
            width: 8,
            address,
            static_offset: 0,
            operator,
            operand,
        })
    };
    let kind = match step {
        Step::Read(span) => match loads(*span) {
            Opcode::I64Load => {
                let (opcode, address) = (Opcode::I64Load.into(), span.offset());
                Kind::Load(LoadOperation { opcode, address, ..Default::default() })
            }
            Opcode::I64AtomicLoad => {
                let address = span.offset();
                Kind::AtomicLoad(AtomicLoadOperation { width: 8, address, static_offset: 0 })
            }
            _ => Kind::Read(ReadOperation { offset: span.offset(), length: span.length() }),
        },
        Step::Write(span, values) => match stores(*span, values) {
            Opcode::I64Store => {
                let value = Some(Value { value: Some(Bits::I64(values[0].cast_signed())) });
                let (opcode, address) = (Opcode::I64Store.into(), span.offset());
                Kind::Store(StoreOperation { opcode, address, value, ..Default::default() })
            }
            Opcode::I64AtomicStore => {
                let (address, operand) = (span.offset(), values[0]);
                let store = AtomicStoreOperation { width: 8, address, static_offset: 0, operand };
                Kind::AtomicStore(store)
            }
            _ => {
                let data = span.bytes(values).into();
                Kind::Write(WriteOperation { offset: span.offset(), data })
            }
        },
        Step::Fill(span, byte) => {
            let (offset, length, value) = (span.offset(), span.length(), u32::from(*byte));
            Kind::Fill(FillOperation { offset, length, value })
        }
        Step::Compare(span, values) => {
            let expected = span.bytes(values).into();
            Kind::Compare(CompareOperation { offset: span.offset(), expected })
        }
        Step::Copy(from, to) => {
            let (source_offset, destination_offset) = (from.offset(), address(*to));
            let length = from.length();
            Kind::Copy(CopyOperation { source_offset, destination_offset, length })
        }
        Step::Add(cell, by) => rmw(*cell, AtomicOperator::Add, *by),
        Step::Exchange(cell, new) => rmw(*cell, AtomicOperator::Xchg, *new),
        Step::CompareExchange { cell, expected, replacement } => {
            let (address, expected, replacement) = (address(*cell), *expected, *replacement);
            let (width, static_offset) = (8, 0);
            let step =
                AtomicCmpxchgOperation { width, address, static_offset, expected, replacement };
            Kind::AtomicCmpxchg(step)
        }
        Step::Size => Kind::Size(SizeOperation {}),
    };
    Operation { operation: Some(kind) }
}

/// By which instruction a span is read.
fn loads(span: Span) -> Opcode {
    match span.length() {
        8 if span.first % 3 == 1 => Opcode::I64Load,
        8 if span.first % 3 == 2 => Opcode::I64AtomicLoad,
        _ => Opcode::Read,
    }
}

/// By which it is written.
fn stores(span: Span, values: &[u64]) -> Opcode {
    match span.length() {
        8 if values[0] % 3 == 1 => Opcode::I64Store,
        8 if values[0] % 3 == 2 => Opcode::I64AtomicStore,
        _ => Opcode::Write,
    }
}

pub(crate) fn packed(steps: &[Step]) -> PackedOperations {
    let (mut all, mut data) = (PackedOperations::default(), Vec::new());
    for step in steps {
        let (opcode, address, length) = match step {
            Step::Read(span) => (loads(*span), span.offset(), span.length()),
            Step::Write(span, values) => {
                data.extend(span.bytes(values));
                (stores(*span, values), span.offset(), span.length())
            }
            Step::Fill(span, byte) => {
                data.push(*byte);
                (Opcode::MemoryFill, span.offset(), span.length())
            }
            Step::Compare(span, values) => {
                data.extend(span.bytes(values));
                (Opcode::Compare, span.offset(), span.length())
            }
            Step::Copy(from, to) => {
                data.extend(from.offset().to_le_bytes());
                (Opcode::MemoryCopy, Span::one(*to).offset(), from.length())
            }
            Step::Add(cell, by) => {
                data.extend(by.to_le_bytes());
                (Opcode::I64AtomicRmwAdd, Span::one(*cell).offset(), 0)
            }
            Step::Exchange(cell, new) => {
                data.extend(new.to_le_bytes());
                (Opcode::I64AtomicRmwXchg, Span::one(*cell).offset(), 0)
            }
            Step::CompareExchange { cell, expected, replacement } => {
                data.extend(expected.to_le_bytes());
                data.extend(replacement.to_le_bytes());
                (Opcode::I64AtomicRmwCmpxchg, Span::one(*cell).offset(), 0)
            }
            Step::Size => (Opcode::MemorySize, 0, 0),
        };
        let takes_length =
            [Opcode::Read, Opcode::Write, Opcode::Compare, Opcode::MemoryFill, Opcode::MemoryCopy];
        let length = if takes_length.contains(&opcode) { length } else { 0 };
        all.opcodes.push(opcode.into());
        all.addresses.push(address);
        all.lengths.push(length.try_into().unwrap());
    }
    if all.lengths.iter().all(|length| *length == 0) {
        all.lengths.clear();
    }
    all.data = data.into();
    all
}

/// What a span's bytes say.
pub(crate) fn shown(span: Span, bytes: &[u8]) -> Answer {
    span.values(bytes).map_or(Answer::Torn, Answer::Values)
}

/// What a result of the list form says.
pub(crate) fn answer(step: &Step, result: OperationResult) -> Answer {
    match (step, result.result) {
        (Step::Read(span), Some(Said::Data(data))) => shown(*span, &data),
        (Step::Read(_), Some(Said::OldValue(value))) => Answer::Values(vec![value]),
        (Step::Read(_), Some(Said::Value(Value { value: Some(Bits::I64(value)) }))) => {
            Answer::Values(vec![value.cast_unsigned()])
        }
        (
            Step::Add(..) | Step::Exchange(..) | Step::CompareExchange { .. },
            Some(Said::OldValue(old)),
        ) => Answer::Old(old),
        (Step::Size, Some(Said::SizePages(pages))) => Answer::Pages(pages),
        (Step::Write(..) | Step::Fill(..) | Step::Compare(..) | Step::Copy(..), None) => {
            Answer::Nothing
        }
        (step, result) => panic!("{step:?} answers {result:?}"),
    }
}

/// What the packed results say.
pub(crate) fn answers(steps: &[Step], mut data: Bytes) -> Vec<Answer> {
    let number = |data: &mut Bytes| u64::from_le_bytes(data.split_to(8)[..].try_into().unwrap());
    let all = steps
        .iter()
        .map(|step| match step {
            Step::Read(span) => {
                shown(*span, &data.split_to(usize::try_from(span.length()).unwrap()))
            }
            Step::Add(..) | Step::Exchange(..) | Step::CompareExchange { .. } => {
                Answer::Old(number(&mut data))
            }
            Step::Size => Answer::Pages(number(&mut data)),
            Step::Write(..) | Step::Fill(..) | Step::Compare(..) | Step::Copy(..) => {
                Answer::Nothing
            }
        })
        .collect();
    assert!(data.is_empty(), "{} bytes too many", data.len());
    all
}

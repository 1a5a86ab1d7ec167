//! Groups in their pleasant form: [`draft`] makes a group of a list and says what each result is.
//!
//! Law: an operation without a kind, or with an enum's value that is not known, is INVALID_FIELD,
//! never a default.

use bytes::Bytes;

use crate::error::Failure;
use crate::memory::{Address, Draft, Operator, Width};
use crate::model::AccessKind;
use crate::proto::v1::{self, operation::Operation as Kind, value::Value as Bits};
use crate::rpc::operations::opcode::{Meaning, Number};
use crate::rpc::operations::results::Shape;
use crate::rpc::operations::{MAX_OPERATIONS, Segments, in_operation, invalid, too_many};
use crate::rpc::spec;

/// Adds the operations of a list.
///
/// # Errors
/// INVALID_FIELD, OPERATION_UNKNOWN, and what [`Draft`] says, with the operation that it is of.
pub(crate) fn draft(
    draft: &mut Draft,
    list: v1::OperationList,
    segments: Segments<'_>,
) -> Result<Vec<Shape>, Failure> {
    // Counted here, for a fence is no step of the group.
    if list.operations.len() > MAX_OPERATIONS as usize {
        return Err(too_many(list.operations.len()));
    }
    draft.reserve(list.operations.len());
    let mut shapes = Vec::with_capacity(list.operations.len());
    for (place, operation) in list.operations.into_iter().enumerate() {
        draft.begin_operation();
        let shape = one(draft, operation, segments);
        shapes.push(shape.map_err(|failure| in_operation(place, failure))?);
    }
    Ok(shapes)
}

/// Adds one operation; what its result is.
///
/// # Errors
/// As [`draft`], without the operation's place.
pub(crate) fn one(
    draft: &mut Draft,
    operation: v1::Operation,
    segments: Segments<'_>,
) -> Result<Shape, Failure> {
    match operation.operation {
        Some(kind) => add(draft, kind, segments),
        None => Err(invalid("operation", "says nothing: one of its arms must be set")),
    }
}

/// How many bytes its result has at most.
pub(crate) fn answers(operation: &v1::Operation) -> u64 {
    match &operation.operation {
        Some(Kind::Read(read)) => read.length,
        Some(Kind::Gather(gather)) => {
            (gather.offsets.len() as u64).saturating_mul(gather.width.into())
        }
        Some(
            Kind::Load(_)
            | Kind::AtomicLoad(_)
            | Kind::AtomicRmw(_)
            | Kind::AtomicCmpxchg(_)
            | Kind::Size(_)
            | Kind::Notify(_),
        ) => Width::Sixteen.count().get(),
        Some(
            Kind::Write(_)
            | Kind::Compare(_)
            | Kind::Scatter(_)
            | Kind::Store(_)
            | Kind::Fill(_)
            | Kind::Copy(_)
            | Kind::Init(_)
            | Kind::AtomicStore(_)
            | Kind::Fence(_),
        )
        | None => 0,
    }
}

fn add(draft: &mut Draft, kind: Kind, segments: Segments<'_>) -> Result<Shape, Failure> {
    match kind {
        Kind::Read(v1::ReadOperation { offset, length }) => {
            draft.read(AccessKind::Read, offset, length)?;
            Ok(Shape::Data(length))
        }
        Kind::Write(v1::WriteOperation { offset, data }) => {
            draft.write(AccessKind::Write, offset, data)?;
            Ok(Shape::Nothing)
        }
        Kind::Compare(v1::CompareOperation { offset, expected }) => {
            draft.compare(offset, expected)?;
            Ok(Shape::Nothing)
        }
        Kind::Gather(v1::GatherOperation { width, offsets }) => {
            let count = offsets.len() as u64;
            draft.reserve(offsets.len());
            offsets
                .into_iter()
                .try_for_each(|offset| draft.read(AccessKind::Gather, offset, width.into()))?;
            // Both fit 32 bits, and what was read fits the limit on replies.
            Ok(Shape::Data(count.saturating_mul(width.into())))
        }
        Kind::Scatter(scatter) => self::scatter(draft, scatter),
        Kind::Load(load) => self::load(draft, &load),
        Kind::Store(store) => self::store(draft, store),
        Kind::Fill(v1::FillOperation { offset, length, value }) => {
            let value = u8::try_from(value)
                .map_err(|_too_large| invalid("value", "is more than 255, the largest byte"))?;
            draft.fill(offset, length, value)?;
            Ok(Shape::Nothing)
        }
        Kind::Copy(v1::CopyOperation { source_offset, destination_offset, length }) => {
            draft.copy(source_offset, destination_offset, length)?;
            Ok(Shape::Nothing)
        }
        Kind::Init(init) => {
            let bytes = segments(&init.segment_id, init.source_offset, init.length)?;
            draft.write(AccessKind::Init, init.destination_offset, bytes)?;
            Ok(Shape::Nothing)
        }
        Kind::AtomicLoad(v1::AtomicLoadOperation { width, address, static_offset }) => {
            let address = Address { address, static_offset };
            draft.atomic_load(address, atomic_width(width)?, Width::Eight)?;
            Ok(Shape::OldValue)
        }
        Kind::AtomicStore(v1::AtomicStoreOperation { width, address, static_offset, operand }) => {
            let address = Address { address, static_offset };
            draft.atomic_store(address, atomic_width(width)?, operand)?;
            Ok(Shape::Nothing)
        }
        Kind::AtomicRmw(rmw) => {
            let address = Address { address: rmw.address, static_offset: rmw.static_offset };
            let widths = [atomic_width(rmw.width)?, Width::Eight];
            draft.rmw(address, widths, operator(rmw.operator)?, rmw.operand)?;
            Ok(Shape::OldValue)
        }
        Kind::AtomicCmpxchg(swap) => {
            let address = Address { address: swap.address, static_offset: swap.static_offset };
            let widths = [atomic_width(swap.width)?, Width::Eight];
            draft.cmpxchg(address, widths, swap.expected, swap.replacement)?;
            Ok(Shape::OldValue)
        }
        Kind::Size(v1::SizeOperation {}) => {
            draft.size()?;
            Ok(Shape::SizePages)
        }
        Kind::Fence(v1::FenceOperation {}) => Ok(Shape::Nothing),
        Kind::Notify(v1::NotifyOperation { address, static_offset, count }) => {
            draft.notify(Address { address, static_offset }, count)?;
            Ok(Shape::WokenCount)
        }
    }
}

fn scatter(draft: &mut Draft, scatter: v1::ScatterOperation) -> Result<Shape, Failure> {
    let v1::ScatterOperation { width, offsets, mut data } = scatter;
    let wanted = (offsets.len() as u64).saturating_mul(width.into());
    if data.len() as u64 != wanted {
        return Err(invalid("data", "must be as long as all ranges together"));
    }
    draft.reserve(offsets.len());
    for offset in offsets {
        // As long as all of them, see above.
        let piece = data.split_to(data.len().min(width as usize));
        draft.write(AccessKind::Scatter, offset, piece)?;
    }
    Ok(Shape::Nothing)
}

fn load(draft: &mut Draft, load: &v1::LoadOperation) -> Result<Shape, Failure> {
    let Meaning::Load(how, number) = Meaning::of(load.opcode)? else {
        return Err(unknown(load.opcode));
    };
    aligned(load.align_log2, how.width)?;
    let v1::LoadOperation { address, static_offset, .. } = *load;
    draft.load(Address { address, static_offset }, how)?;
    Ok(Shape::Value(number))
}

fn store(draft: &mut Draft, store: v1::StoreOperation) -> Result<Shape, Failure> {
    let v1::StoreOperation { opcode, address, static_offset, align_log2, value } = store;
    let Meaning::Store(width, number) = Meaning::of(opcode)? else { return Err(unknown(opcode)) };
    aligned(align_log2, width)?;
    let bits = value.and_then(|value| value.value);
    let bytes = match (bits, number) {
        (Some(Bits::I32(value)), Number::I32) => Bytes::copy_from_slice(&value.to_le_bytes()),
        (Some(Bits::I64(value)), Number::I64) => Bytes::copy_from_slice(&value.to_le_bytes()),
        (Some(Bits::F32Bits(bits)), Number::F32) => Bytes::copy_from_slice(&bits.to_le_bytes()),
        (Some(Bits::F64Bits(bits)), Number::F64) => Bytes::copy_from_slice(&bits.to_le_bytes()),
        (Some(Bits::V128(bytes)), Number::V128) if bytes.len() == Width::Sixteen.bytes() => bytes,
        (Some(Bits::V128(_)), Number::V128) => {
            return Err(invalid("value.v128", "must have 16 bytes"));
        }
        (None, _) => return Err(invalid("value", "is missing")),
        (Some(_), _) => return Err(invalid("value", "is not of the opcode's type")),
    };
    draft.store_number(Address { address, static_offset }, width, &bytes)?;
    Ok(Shape::Nothing)
}

fn unknown(opcode: i32) -> Failure {
    Failure::OperationUnknown { opcode: u32::try_from(opcode).unwrap_or(u32::MAX) }
}

fn aligned(hint: Option<u32>, width: Width) -> Result<(), Failure> {
    if hint.is_some_and(|log2| log2 > width.log2()) {
        return Err(invalid("align_log2", "is more than the natural alignment"));
    }
    Ok(())
}

fn atomic_width(bytes: u32) -> Result<Width, Failure> {
    let width = Width::of(bytes.into()).filter(|width| *width < Width::Sixteen);
    width.ok_or_else(|| invalid("width", "must be 1, 2, 4 or 8"))
}

fn operator(operator: i32) -> Result<Operator, Failure> {
    use v1::AtomicOperator as Word;
    Ok(match spec::known("operator", operator)? {
        Word::Add => Operator::Add,
        Word::Sub => Operator::Sub,
        Word::And => Operator::And,
        Word::Or => Operator::Or,
        Word::Xor => Operator::Xor,
        Word::Xchg => Operator::Xchg,
        Word::Unspecified => return Err(invalid("operator", "says nothing")),
    })
}

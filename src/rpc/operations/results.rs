//! Results of groups, as messages: in columns as they are, in a list one by one.
//!
//! Law: results come as one buffer, in order, each as long as its shape says; they are put behind their
//! announcements without a message being built. What is written here is what the protos say.

use bytes::Buf;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::memory::Width;
use crate::rpc::message::HEADER;
use crate::rpc::operations::opcode::Number;
use crate::rpc::reply::put_header;

/// The numbers of `ExecuteOperationsResponse`'s arms.
const LIST_FIELD: u32 = 1;
const PACKED_FIELD: u32 = 2;
/// `OperationResultList.results`.
const RESULTS_FIELD: u32 = 1;
/// `PackedResults.data`.
const DATA_FIELD: u32 = 1;

/// What the result of an operation in a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Nothing,
    /// So many bytes.
    Data(u64),
    Value(Number),
    OldValue,
    SizePages,
    WokenCount,
}

impl Shape {
    /// Its field in `OperationResult`.
    const fn field(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Data(_) => 1,
            Self::Value(_) => 2,
            Self::OldValue => 3,
            Self::SizePages => 4,
            Self::WokenCount => 5,
        }
    }

    /// How long it is among the results.
    pub(crate) fn raw(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Data(length) => usize::try_from(length).unwrap_or(usize::MAX),
            Self::Value(number) => number.width().bytes(),
            Self::OldValue | Self::SizePages => Width::Eight.bytes(),
            Self::WokenCount => Width::Four.bytes(),
        }
    }
}

/// The field of a number in `Value`.
const fn number_field(number: Number) -> u32 {
    match number {
        Number::I32 => 1,
        Number::I64 => 2,
        Number::F32 => 3,
        Number::F64 => 4,
        Number::V128 => 5,
    }
}

/// The announcement of a packed group's results, of that length, with room for exactly those.
pub(super) fn packed(length: usize) -> Vec<u8> {
    let data = if length == 0 { 0 } else { delimited(DATA_FIELD, length) };
    let whole = delimited(PACKED_FIELD, data);
    let mut out = Vec::with_capacity(HEADER.saturating_add(whole));
    put_header(&mut out, whole);
    announce(&mut out, PACKED_FIELD, data);
    if length > 0 {
        announce(&mut out, DATA_FIELD, length);
    }
    out
}

/// A list's results, framed.
pub(super) fn list(shapes: &[Shape], results: &[u8]) -> Vec<u8> {
    let all = list_length(shapes, results);
    let whole = delimited(LIST_FIELD, all);
    let mut out = Vec::with_capacity(HEADER.saturating_add(whole));
    put_header(&mut out, whole);
    announce(&mut out, LIST_FIELD, all);
    put_list(&mut out, shapes, results);
    out
}

/// How long an `OperationResultList` is.
pub(crate) fn list_length(shapes: &[Shape], results: &[u8]) -> usize {
    let mut rest = results;
    let mut each = |shape: &Shape| result_length(*shape, taken(&mut rest, shape.raw()));
    let lengths = shapes.iter().map(|shape| delimited(RESULTS_FIELD, each(shape)));
    lengths.fold(0usize, usize::saturating_add)
}

/// Appends an `OperationResultList`.
pub(crate) fn put_list(out: &mut Vec<u8>, shapes: &[Shape], results: &[u8]) {
    let mut rest = results;
    for shape in shapes {
        let raw = taken(&mut rest, shape.raw());
        announce(out, RESULTS_FIELD, result_length(*shape, raw));
        put_result(out, *shape, raw);
    }
}

/// How long an `OperationResult` is.
pub(crate) fn result_length(shape: Shape, raw: &[u8]) -> usize {
    let field = shape.field();
    match shape {
        Shape::Nothing => 0,
        Shape::Data(_) => delimited(field, raw.len()),
        Shape::Value(number) => delimited(field, value_length(number)),
        Shape::OldValue => key_len(field).saturating_add(raw.len()),
        Shape::SizePages | Shape::WokenCount => {
            key_len(field).saturating_add(encoded_len_varint(varint(raw)))
        }
    }
}

pub(crate) fn put_result(out: &mut Vec<u8>, shape: Shape, raw: &[u8]) {
    let field = shape.field();
    match shape {
        Shape::Nothing => {}
        Shape::Data(_) => {
            announce(out, field, raw.len());
            out.extend_from_slice(raw);
        }
        Shape::Value(number) => {
            announce(out, field, value_length(number));
            match number.width() {
                Width::Four => encode_key(number_field(number), WireType::ThirtyTwoBit, out),
                Width::Eight => encode_key(number_field(number), WireType::SixtyFourBit, out),
                _ => announce(out, number_field(number), raw.len()),
            }
            out.extend_from_slice(raw);
        }
        Shape::OldValue => {
            encode_key(field, WireType::SixtyFourBit, out);
            out.extend_from_slice(raw);
        }
        Shape::SizePages | Shape::WokenCount => {
            encode_key(field, WireType::Varint, out);
            encode_varint(varint(raw), out);
        }
    }
}

/// How long a `Value` is.
fn value_length(number: Number) -> usize {
    let (field, length) = (number_field(number), number.width().bytes());
    match number {
        Number::V128 => delimited(field, length),
        _ => key_len(field).saturating_add(length),
    }
}

fn varint(mut raw: &[u8]) -> u64 {
    raw.get_uint_le(raw.len().min(8))
}

pub(crate) fn taken<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    *rest = after;
    taken
}

/// How long a field of so many bytes is with its announcement.
pub(crate) fn delimited(field: u32, length: usize) -> usize {
    key_len(field).saturating_add(encoded_len_varint(length as u64)).saturating_add(length)
}

pub(crate) fn announce(out: &mut Vec<u8>, field: u32, length: usize) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use crate::proto::v1::value::Value as Bits;
    use crate::proto::v1::{self, execute_operations_response::Results, operation_result::Result};
    use prost::Message;

    fn decoded(frame: &[u8]) -> v1::ExecuteOperationsResponse {
        let (header, message) = frame.split_at(HEADER);
        assert_eq!(header[0], 0);
        assert_eq!(u32::from_be_bytes(header[1..].try_into().unwrap()) as usize, message.len());
        v1::ExecuteOperationsResponse::decode(message).unwrap()
    }

    #[test]
    fn what_is_put_is_what_the_protos_say() {
        let v128 = [0xAB; 16];
        let wide = vec![7; 300];
        let value = |bits| Result::Value(v1::Value { value: Some(bits) });
        let rows = [
            (Shape::Nothing, vec![], None),
            (Shape::Data(0), vec![], Some(Result::Data(vec![].into()))),
            (Shape::Data(300), wide.clone(), Some(Result::Data(wide.into()))),
            (Shape::Value(Number::I32), vec![0xFF; 4], Some(value(Bits::I32(-1)))),
            (Shape::Value(Number::I64), vec![0; 8], Some(value(Bits::I64(0)))),
            (Shape::Value(Number::F32), vec![1; 4], Some(value(Bits::F32Bits(0x0101_0101)))),
            (Shape::Value(Number::F64), vec![0xFF; 8], Some(value(Bits::F64Bits(u64::MAX)))),
            (
                Shape::Value(Number::V128),
                v128.to_vec(),
                Some(value(Bits::V128(v128.to_vec().into()))),
            ),
            (Shape::OldValue, vec![0; 8], Some(Result::OldValue(0))),
            (Shape::SizePages, 300u64.to_le_bytes().to_vec(), Some(Result::SizePages(300))),
            (Shape::WokenCount, 0u32.to_le_bytes().to_vec(), Some(Result::WokenCount(0))),
        ];
        let shapes: Vec<Shape> = rows.iter().map(|row| row.0).collect();
        let raw: Vec<u8> = rows.iter().flat_map(|row| row.1.clone()).collect();
        let Some(Results::List(list)) = decoded(&list(&shapes, &raw)).results else { panic!() };
        let found: Vec<Option<Result>> = list.results.into_iter().map(|one| one.result).collect();
        assert_eq!(found, rows.map(|row| row.2));
    }

    #[test]
    fn packed_results_are_announced_and_follow() {
        for length in [0, 1, 127, 128, 70_000] {
            let mut frame = packed(length);
            let room = frame.capacity();
            frame.resize(frame.len() + length, 9);
            assert_eq!(frame.len(), room);
            let Some(Results::Packed(packed)) = decoded(&frame).results else { panic!() };
            assert_eq!(packed.data, vec![9; length]);
        }
    }
}

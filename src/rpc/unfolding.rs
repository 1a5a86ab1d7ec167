//! [`unfolded`]: what a message unfolds to when it is decoded, counted before it is.
//!
//! ```text
//! two bytes on the wire      0A 00                 an operation that says nothing
//! in memory                  size_of::<Operation>  and so for each of two million in 5 MiB
//! ```
//!
//! Law: reads keys and lengths as the decoder does, groups of unknown fields too, and keeps nothing. What can
//! be many is named by the numbers of its fields, and a test holds these tables to the protos. What is
//! malformed is left to the decoder to refuse, which has then made no more than was counted.

use bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::error::Failure;
use crate::proto::v1;
use crate::rpc::gathered::Gathered;

/// Messages up to this are decoded as they are: what they unfold to is some hundred KiB.
const SHORT: usize = 1 << 10;
/// What one message may unfold to, bytes: twenty times the most operations, or the members of the largest
/// set with all their labels.
const MOST: u64 = 8 << 20;

/// Groups within groups, of which the decoder reads no more.
const GROUPS: usize = 100;

/// A field that can be many, or has such fields in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    field: u32,
    /// What each takes, bytes; 0 where there is one.
    each: usize,
    within: Parts,
}

/// All of a message.
pub(crate) type Parts = &'static [Part];

/// Of messages where nothing is many.
pub(crate) const NONE: Parts = &[];
/// Of `ExecuteOperationsRequest`.
pub(crate) const GROUP: Parts = &[one(3, OPERATIONS), many(6, STRING)];
/// Of `OpenSessionRequest`: its start, and its group.
pub(crate) const SESSION: Parts = &[one(1, &[many(2, STRING)]), one(4, &[one(5, OPERATIONS)])];
/// Of `CreateMemoryRequest`.
pub(crate) const MEMORY: Parts = &[one(2, SPEC), many(4, STRING)];
/// Of `CreateMemorySetRequest`.
pub(crate) const SET: Parts = &[
    Part { field: 2, each: size_of::<v1::NewMember>(), within: &[one(2, SPEC)] },
    many(4, STRING),
];

const OPERATIONS: Parts = &[many(1, size_of::<v1::Operation>())];
const SPEC: Parts = &[many(6, LABEL), many(22, size_of::<v1::ActiveSegment>())];
const STRING: usize = size_of::<String>();
/// Two strings, their bytes, and their part of a node of the map.
const LABEL: usize = 128;

const fn one(field: u32, within: Parts) -> Part {
    Part { field, each: 0, within }
}

const fn many(field: u32, each: usize) -> Part {
    Part { field, each, within: NONE }
}

/// How many bytes a message unfolds to.
///
/// # Errors
/// TOO_LARGE where that is more than it may.
pub(crate) fn unfolded(message: &Gathered, parts: Parts) -> Result<u64, Failure> {
    if message.len() <= SHORT || parts.is_empty() {
        return Ok(0);
    }
    let mut bytes = message.clone();
    let mut unfolded = 0;
    // Where it cannot be read, decoding fails as well.
    let _malformed = count(&mut bytes, 0, parts, &mut unfolded);
    if unfolded <= MOST {
        return Ok(unfolded);
    }
    Err(Failure::TooLarge {
        field: "message",
        length: unfolded,
        limit_name: "max_unfolded_bytes",
        limit: MOST,
        instead: "send what is repeated in more messages",
    })
}

/// Counts what there is until so many bytes are left; none where it is malformed, or enough is counted.
fn count(bytes: &mut Gathered, rest: usize, parts: Parts, unfolded: &mut u64) -> Option<()> {
    while bytes.remaining() > rest {
        let (field, wire_type) = decode_key(bytes).ok()?;
        if wire_type == WireType::StartGroup {
            past_group(bytes, field)?;
            continue;
        }
        let after = after(bytes, wire_type)?;
        if let Some(part) = parts.iter().find(|part| part.field == field) {
            *unfolded = unfolded.saturating_add(part.each as u64);
            if *unfolded > MOST {
                return None;
            }
            if !part.within.is_empty() {
                count(bytes, after, part.within, unfolded)?;
            }
        }
        bytes.advance(bytes.remaining().checked_sub(after)?);
    }
    Some(())
}

/// Past a group, whose key has been read: none of ours has one, and the decoder reads past it as well.
fn past_group(bytes: &mut Gathered, field: u32) -> Option<()> {
    let mut open = vec![field];
    while let Some(last) = open.last() {
        let (field, wire_type) = decode_key(bytes).ok()?;
        match wire_type {
            WireType::StartGroup if open.len() < GROUPS => open.push(field),
            WireType::EndGroup if *last == field => drop(open.pop()),
            WireType::StartGroup | WireType::EndGroup => return None,
            _ => {
                let rest = after(bytes, wire_type)?;
                bytes.advance(bytes.remaining().checked_sub(rest)?);
            }
        }
    }
    Some(())
}

/// How many bytes are left behind a field, whose value begins here: a varint is read.
fn after(bytes: &mut Gathered, wire_type: WireType) -> Option<usize> {
    let length = match wire_type {
        WireType::Varint => decode_varint(bytes).map(|_value| 0).ok()?,
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(bytes).ok()?).ok()?,
        // They have no length.
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    bytes.remaining().checked_sub(length)
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use prost::Message;
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{DescriptorProto, FileDescriptorSet};

    use super::*;
    use crate::proto::DESCRIPTORS;

    fn messages() -> Vec<DescriptorProto> {
        let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let ours = files.file.into_iter().filter(|file| file.package() == "linmem.v1");
        ours.flat_map(|file| file.message_type).collect()
    }

    /// That all that can be many in a message is in the table, and nothing else.
    fn is_told(all: &[DescriptorProto], name: &str, parts: Parts) {
        let message = all.iter().find(|message| message.name() == name).unwrap();
        let mut told = 0;
        for field in &message.field {
            let is_many = field.label() == Label::Repeated;
            let of = field.type_name().rsplit('.').next().unwrap_or_default();
            let part = parts.iter().find(|part| part.field == field.number().cast_unsigned());
            told += usize::from(part.is_some());
            match field.r#type() {
                Type::String | Type::Bytes | Type::Message if is_many => {
                    assert!(part.is_some_and(|part| part.each > 0), "{name}.{}", field.name());
                }
                _ => assert!(part.is_none_or(|part| part.each == 0), "{name}.{}", field.name()),
            }
            if field.r#type() == Type::Message && all.iter().any(|message| message.name() == of) {
                // One operation is of a few numbers and strings; many of them are counted.
                if of != "Operation" {
                    is_told(all, of, part.map_or(NONE, |part| part.within));
                }
            }
        }
        assert_eq!(told, parts.len(), "{name} has no such field");
    }

    #[test]
    fn all_that_can_be_many_in_a_large_message_is_counted() {
        let all = messages();
        is_told(&all, "ExecuteOperationsRequest", GROUP);
        is_told(&all, "OpenSessionRequest", SESSION);
        is_told(&all, "CreateMemoryRequest", MEMORY);
        is_told(&all, "CreateMemorySetRequest", SET);
    }

    fn gathered(bytes: &[u8]) -> Gathered {
        let mut gathered = Gathered::default();
        // In frames, some of which end within a field.
        for frame in bytes.chunks(16_383) {
            gathered.push(bytes::Bytes::copy_from_slice(frame));
        }
        gathered.settle();
        gathered
    }

    #[test]
    fn what_unfolds_to_too_much_is_refused_before_it_is_decoded() {
        let list = |count| v1::ExecuteOperationsRequest {
            memory_id: "m".to_owned(),
            group: Some(v1::execute_operations_request::Group::List(v1::OperationList {
                operations: vec![v1::Operation::default(); count],
            })),
            ..Default::default()
        };
        let said = |message: &v1::ExecuteOperationsRequest| {
            unfolded(&gathered(&message.encode_to_vec()), GROUP)
        };
        let most = usize::try_from(MOST).unwrap() / size_of::<v1::Operation>();
        assert_eq!(said(&list(most)), Ok((most * size_of::<v1::Operation>()) as u64));
        assert!(matches!(said(&list(most + 1)), Err(Failure::TooLarge { limit: MOST, .. })));
        let members = vec![v1::NewMember::default(); 100_000];
        let set = v1::CreateMemorySetRequest { members, ..Default::default() }.encode_to_vec();
        assert!(unfolded(&gathered(&set), SET).is_err());
        // Behind a group that nobody knows, in which there is another with one of each kind of field.
        let group = [
            &[0xA3, 0x06, 0x0B, 0x08, 0x7F, 0x11][..],
            &[0; 8],
            &[0x1A, 0x01, 0x04, 0x25],
            &[0; 4],
            &[0x0C, 0xA4, 0x06],
        ]
        .concat();
        let hidden = [&group[..], &set[..]].concat();
        assert_eq!(v1::CreateMemorySetRequest::decode(&*hidden).unwrap().members.len(), 100_000);
        assert!(unfolded(&gathered(&hidden), SET).is_err());
    }

    #[test]
    fn a_message_of_one_large_field_unfolds_to_nothing_and_a_malformed_one_is_the_decoders() {
        let write = v1::WriteOperation { offset: 0, data: vec![10; 1 << 20].into() };
        let group = v1::ExecuteOperationsRequest {
            group: Some(v1::execute_operations_request::Group::List(v1::OperationList {
                operations: vec![v1::operation::Operation::Write(write).into()],
            })),
            ..Default::default()
        };
        let bytes = group.encode_to_vec();
        let one = size_of::<v1::Operation>() as u64;
        assert_eq!(unfolded(&gathered(&bytes), GROUP), Ok(one));
        assert_eq!(unfolded(&gathered(&bytes[..bytes.len() - 1]), GROUP), Ok(0));
        assert_eq!(unfolded(&gathered(&vec![0xFF; 1 << 20]), GROUP), Ok(0));
        // Groups without an end, and more of them than the decoder reads.
        assert_eq!(unfolded(&gathered(&vec![0x0B; 1 << 20]), GROUP), Ok(0));
    }
}

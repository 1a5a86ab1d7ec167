//! [`Fields`]: a protobuf message as what it is on the wire, without its descriptor.
//!
//! ```text
//! | key: number << 3 | kind, varint | value: varint, 8 bytes, 4 bytes, or length and bytes |   again
//! ```
//!
//! Law: what parses encodes to an equal message, each length as long as what it stands before, so that a
//! change within a message within a message leaves all around it whole. Groups are not read.

use prost::encoding::{decode_varint, encode_varint};

/// A message's fields, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields(pub(crate) Vec<Field>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Vec<u8>),
}

impl Fields {
    /// The fields, unless the bytes are no message.
    pub(crate) fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = decode_varint(&mut bytes).ok()?;
            let value = match key & 7 {
                0 => Value::Varint(decode_varint(&mut bytes).ok()?),
                1 => Value::Fixed64(u64::from_le_bytes(*take(&mut bytes)?)),
                2 => {
                    let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
                    let (value, rest) = bytes.split_at_checked(length)?;
                    bytes = rest;
                    Value::Bytes(value.to_vec())
                }
                5 => Value::Fixed32(u32::from_le_bytes(*take(&mut bytes)?)),
                _ => return None,
            };
            fields.push(Field { number: key >> 3, value });
        }
        Some(Self(fields))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for Field { number, value } in &self.0 {
            let mut key = |kind| encode_varint(number << 3 | kind, &mut out);
            match value {
                Value::Varint(value) => {
                    key(0);
                    encode_varint(*value, &mut out);
                }
                Value::Fixed64(value) => {
                    key(1);
                    out.extend_from_slice(&value.to_le_bytes());
                }
                Value::Bytes(bytes) => {
                    key(2);
                    encode_varint(bytes.len() as u64, &mut out);
                    out.extend_from_slice(bytes);
                }
                Value::Fixed32(value) => {
                    key(5);
                    out.extend_from_slice(&value.to_le_bytes());
                }
            }
        }
        out
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

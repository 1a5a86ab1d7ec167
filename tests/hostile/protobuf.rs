//! Protobuf by hand: fields that no generated code would write.

use prost::encoding::encode_varint;

/// Wire types.
pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LENGTH: u8 = 2;
pub(crate) const FIXED32: u8 = 5;

pub(crate) fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode_varint(value, &mut out);
    out
}

/// A field's key.
pub(crate) fn key(number: u32, wire: u8) -> Vec<u8> {
    varint(u64::from(number) << 3 | u64::from(wire))
}

/// A field and its bytes, which follow the key as they are.
pub(crate) fn raw(number: u32, wire: u8, bytes: &[u8]) -> Vec<u8> {
    [&key(number, wire)[..], bytes].concat()
}

/// A field of bytes behind their length.
pub(crate) fn delimited(number: u32, bytes: &[u8]) -> Vec<u8> {
    [&key(number, LENGTH)[..], &varint(bytes.len() as u64), bytes].concat()
}

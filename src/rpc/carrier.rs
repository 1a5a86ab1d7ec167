//! [`Carrier`]: messages that carry tenant bytes, which are left in the frames that they came in.
//!
//! Law: what prost's own decoding would make of the rest of the message is what this makes of it; of the
//! bytes not one is copied. Does not know where messages come from.

use bytes::Buf;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint};

use crate::error::Failure;
use crate::memory::Sources;
use crate::proto::v1;
use crate::rpc::gathered::Gathered;
use crate::rpc::misshapen::{MALFORMED, wrong};

/// A message one of whose fields is tenant bytes.
pub(crate) trait Carrier: Message + Default {
    /// That field's number.
    const DATA_FIELD: u32;
}

impl Carrier for v1::WriteMemoryRequest {
    const DATA_FIELD: u32 = 4;
}

impl Carrier for v1::UploadMemoryRequest {
    const DATA_FIELD: u32 = 5;
}

impl Carrier for v1::PutSegmentRequest {
    const DATA_FIELD: u32 = 2;
}

/// A message and, apart from it, its tenant bytes.
#[derive(Debug)]
pub(crate) struct WithData<M> {
    /// The message without them.
    pub(crate) message: M,
    /// They, in the frames that they came in.
    pub(crate) data: Sources,
}

/// What `Message::decode` does, with one field left in its frames.
pub(crate) fn split<M: Carrier>(mut bytes: Gathered) -> Result<WithData<M>, Failure> {
    let mut message = M::default();
    let mut data = Sources::default();
    while bytes.has_remaining() {
        let (tag, wire_type) = decode_key(&mut bytes).map_err(|_malformed| wrong(MALFORMED))?;
        if tag == M::DATA_FIELD && wire_type == WireType::LengthDelimited {
            let length = decode_varint(&mut bytes).map_err(|_malformed| wrong(MALFORMED))?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > bytes.remaining() {
                return Err(wrong(MALFORMED));
            }
            // Of a field that comes twice the last counts.
            data = Sources::new(bytes.take_frames(length));
        } else {
            message
                .merge_field(tag, wire_type, &mut bytes, DecodeContext::default())
                .map_err(|_malformed| wrong(MALFORMED))?;
        }
    }
    Ok(WithData { message, data })
}

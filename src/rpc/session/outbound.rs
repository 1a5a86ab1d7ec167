//! [`Outbound`]: a session's messages on their way out, joined into large frames.
//!
//! Law: a message is put whole, header first; what has been put is handed over at once where nothing
//! else is to come, and in pieces of [`FRAME`] while there is more. Results of operations are put
//! behind their announcements without a message being built.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;
use tonic_types::pb as wire;

use crate::proto::v1::open_session_response::Message as Word;
use crate::proto::v1::session_result::Outcome;
use crate::proto::v1::{self, SessionResult};
use crate::rpc::operations::results::{
    Shape, announce, delimited, list_length, put_list, put_result, result_length,
};
use crate::rpc::reply::put_header;

/// What is handed over at a time while there is more.
pub(super) const FRAME: usize = 32 * 1024;

/// `OpenSessionResponse.result`.
const RESULT_FIELD: u32 = 2;
/// `SessionResult`'s.
const TAG_FIELD: u32 = 1;
const SINGLE_FIELD: u32 = 2;
const LIST_FIELD: u32 = 3;
const PACKED_FIELD: u32 = 4;
/// `PackedResults.data`.
const DATA_FIELD: u32 = 1;

/// Messages that have not been handed over.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    bytes: Vec<u8>,
    messages: u64,
}

impl Outbound {
    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All of it, and how many messages it is.
    pub(super) fn take(&mut self) -> Option<(Bytes, u64)> {
        if self.bytes.is_empty() {
            return None;
        }
        let room = self.bytes.len().min(FRAME);
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(room));
        Some((bytes.into(), std::mem::take(&mut self.messages)))
    }

    /// A message.
    pub(super) fn put(&mut self, word: Word) {
        let message = v1::OpenSessionResponse { message: Some(word) };
        self.begin(message.encoded_len());
        // Fails only for want of room, of which a Vec makes more.
        let _cannot_fail = message.encode(&mut self.bytes);
    }

    /// The result of a tag that is not of operations.
    pub(super) fn put_outcome(&mut self, tag: u64, outcome: Outcome) {
        self.put(Word::Result(SessionResult { tag, outcome: Some(outcome), failures: Vec::new() }));
    }

    /// The failure of a tag.
    pub(super) fn put_error(&mut self, tag: u64, status: &Status) {
        self.put_outcome(tag, Outcome::Error(message(status)));
    }

    /// The result of one operation.
    pub(super) fn put_single(&mut self, tag: u64, shape: Shape, raw: &[u8]) {
        let single = result_length(shape, raw);
        self.put_result(tag, SINGLE_FIELD, single, |out| put_result(out, shape, raw));
    }

    /// The results of a list that happened as a whole.
    pub(super) fn put_list(&mut self, tag: u64, shapes: &[Shape], raw: &[u8]) {
        let list = list_length(shapes, raw);
        self.put_result(tag, LIST_FIELD, list, |out| put_list(out, shapes, raw));
    }

    /// The results of a packed group that happened as a whole.
    pub(super) fn put_packed(&mut self, tag: u64, raw: &[u8]) {
        let data = if raw.is_empty() { 0 } else { delimited(DATA_FIELD, raw.len()) };
        self.put_result(tag, PACKED_FIELD, data, |out| {
            if !raw.is_empty() {
                announce(out, DATA_FIELD, raw.len());
                out.extend_from_slice(raw);
            }
        });
    }

    fn put_result(&mut self, tag: u64, field: u32, length: usize, put: impl FnOnce(&mut Vec<u8>)) {
        let tag_length = match tag {
            0 => 0,
            tag => key_len(TAG_FIELD).saturating_add(encoded_len_varint(tag)),
        };
        let result = tag_length.saturating_add(delimited(field, length));
        self.begin(delimited(RESULT_FIELD, result));
        announce(&mut self.bytes, RESULT_FIELD, result);
        if tag > 0 {
            encode_key(TAG_FIELD, WireType::Varint, &mut self.bytes);
            encode_varint(tag, &mut self.bytes);
        }
        announce(&mut self.bytes, field, length);
        put(&mut self.bytes);
    }

    fn begin(&mut self, length: usize) {
        put_header(&mut self.bytes, length);
        self.messages = self.messages.saturating_add(1);
    }
}

/// A status as a message.
pub(super) fn message(status: &Status) -> wire::Status {
    let details = status.details();
    match wire::Status::decode(details) {
        Ok(whole) if !details.is_empty() => whole,
        _ => wire::Status {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        },
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use crate::proto::v1::operation_result::Result as Answer;
    use crate::rpc::message::HEADER;

    fn words(bytes: &[u8]) -> Vec<v1::OpenSessionResponse> {
        let mut rest = bytes;
        let mut words = Vec::new();
        while !rest.is_empty() {
            let (header, after) = rest.split_at(HEADER);
            let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
            words.push(v1::OpenSessionResponse::decode(&after[..length]).unwrap());
            rest = &after[length..];
        }
        words
    }

    #[test]
    fn what_is_put_is_what_the_protos_say() {
        let mut out = Outbound::default();
        out.put_single(0, Shape::Data(3), b"abc");
        out.put_single(300, Shape::Nothing, b"");
        out.put_list(7, &[Shape::Data(1), Shape::OldValue], b"x\x05\0\0\0\0\0\0\0");
        out.put_packed(8, b"");
        out.put_packed(9, b"yz");
        out.put_error(10, &Status::not_found("gone"));
        let (bytes, messages) = out.take().unwrap();
        assert_eq!((messages, out.take().is_none()), (6, true));
        let data = |data: &'static [u8]| v1::OperationResult {
            result: Some(Answer::Data(Bytes::from_static(data))),
        };
        let old = v1::OperationResult { result: Some(Answer::OldValue(5)) };
        let packed = |data: &'static [u8]| {
            Outcome::Packed(v1::PackedResults { data: Bytes::from_static(data) })
        };
        let error = wire::Status { code: 5, message: "gone".to_owned(), details: vec![] };
        let wanted = [
            (0, Outcome::Single(data(b"abc"))),
            (300, Outcome::Single(v1::OperationResult::default())),
            (7, Outcome::List(v1::OperationResultList { results: vec![data(b"x"), old] })),
            (8, packed(b"")),
            (9, packed(b"yz")),
            (10, Outcome::Error(error)),
        ];
        let wanted = wanted.map(|(tag, outcome)| v1::OpenSessionResponse {
            message: Some(Word::Result(SessionResult {
                tag,
                outcome: Some(outcome),
                failures: vec![],
            })),
        });
        assert_eq!(words(&bytes), wanted);
    }
}

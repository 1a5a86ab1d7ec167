//! Groups of reads: what is asked for, what must come, and what the plain server makes of it.
//!
//! Owns: the requests of the group operations, and the plain server's answers to groups and sessions.
//! Law: every read of a group lies elsewhere; the plain server decodes with prost, copies out of its
//! array, encodes with prost, and does nothing besides. Does not: drive the load.

use bytes::{Bytes, BytesMut};
use linmemd::proto::v1::execute_operations_request::Group as Operations;
use linmemd::proto::v1::execute_operations_response::Results;
use linmemd::proto::v1::open_session_request::Message as Asked;
use linmemd::proto::v1::open_session_response::Message as Word;
use linmemd::proto::v1::operation::Operation as Kind;
use linmemd::proto::v1::operation_result::Result as Answer;
use linmemd::proto::v1::session_group::Group;
use linmemd::proto::v1::session_result::Outcome;
use linmemd::proto::v1::{
    ExecuteOperationsRequest, ExecuteOperationsResponse, GatherOperation, Opcode,
    OpenSessionRequest, OpenSessionResponse, Operation, OperationList, OperationResult,
    OperationResultList, PackedOperations, PackedResults, ReadOperation, SessionAttach,
    SessionAttached, SessionGroup, SessionResult, SessionStart, SessionStarted,
};
use tonic::Status;

use crate::array::Array;
use crate::shape::{GROUP, MEMORY, READ_BYTES, READ_OFFSET};

#[expect(clippy::cast_possible_truncation, reason = "64")]
const WIDTH: u32 = READ_BYTES as u32;

/// How the reads of a group are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Columns.
    Packed,
    /// One message each.
    List,
    /// One operation with all offsets.
    Gather,
}

/// Where the read of this number begins: at no page's or cache line's edge.
pub(crate) fn offset(number: usize) -> usize {
    READ_OFFSET + number * 4_099
}

/// The group of all reads.
pub(crate) fn request(form: Form) -> ExecuteOperationsRequest {
    let offsets = (0..GROUP).map(|number| offset(number) as u64);
    let list = |operations: Vec<Kind>| {
        let operations = operations.into_iter().map(|kind| Operation { operation: Some(kind) });
        Operations::List(OperationList { operations: operations.collect() })
    };
    let operations = match form {
        Form::Packed => Operations::Packed(PackedOperations {
            opcodes: vec![Opcode::Read.into()],
            addresses: offsets.collect(),
            lengths: vec![WIDTH],
            data: Bytes::new(),
        }),
        Form::List => list(offsets.map(read).collect()),
        Form::Gather => {
            list(vec![Kind::Gather(GatherOperation { width: WIDTH, offsets: offsets.collect() })])
        }
    };
    ExecuteOperationsRequest {
        memory_id: MEMORY.to_owned(),
        group: Some(operations),
        ..ExecuteOperationsRequest::default()
    }
}

/// The bytes that all reads of an answer gave, in order.
pub(crate) fn data(response: &ExecuteOperationsResponse) -> Option<Vec<u8>> {
    match response.results.as_ref()? {
        Results::Packed(packed) => Some(packed.data.to_vec()),
        Results::List(list) => list.results.iter().try_fold(Vec::new(), |mut all, result| {
            let Some(Answer::Data(data)) = &result.result else { return None };
            all.extend_from_slice(data);
            Some(all)
        }),
    }
}

/// The first messages of a session: its start, and the memory attached as 1 under tag 1.
pub(crate) fn session_start() -> [OpenSessionRequest; 2] {
    let attach =
        SessionAttach { tag: 1, handle: 1, memory_id: MEMORY.to_owned(), ..Default::default() };
    [Asked::Start(SessionStart::default()), Asked::Attach(attach)]
        .map(|message| OpenSessionRequest { message: Some(message) })
}

/// One read of a session.
pub(crate) fn session_read(tag: u64, number: usize) -> OpenSessionRequest {
    let operation = Operation { operation: Some(read(offset(number) as u64)) };
    let group = Some(Group::Single(operation));
    let group = SessionGroup { tag, handle: 1, atomic: false, group, request_id: None };
    OpenSessionRequest { message: Some(Asked::Group(group)) }
}

/// What it must answer.
pub(crate) fn session_answer(tag: u64, data: Bytes) -> OpenSessionResponse {
    let single = OperationResult { result: Some(Answer::Data(data)) };
    result(tag, Outcome::Single(single))
}

fn read(offset: u64) -> Kind {
    Kind::Read(ReadOperation { offset, length: READ_BYTES as u64 })
}

fn result(tag: u64, outcome: Outcome) -> OpenSessionResponse {
    let result = SessionResult { tag, outcome: Some(outcome), failures: Vec::new() };
    OpenSessionResponse { message: Some(Word::Result(result)) }
}

/// The plain server's answer to a group.
pub(crate) fn answer(
    array: &Array,
    request: ExecuteOperationsRequest,
) -> Result<ExecuteOperationsResponse, Status> {
    let results = match request.group {
        Some(Operations::Packed(packed)) => {
            let length = packed.lengths.first().copied().unwrap_or(0);
            Results::Packed(PackedResults { data: all(array, packed.addresses, length)? })
        }
        Some(Operations::List(list)) => {
            let one = |operation: Operation| one(array, operation);
            let results = list.operations.into_iter().map(one).collect::<Result<_, _>>()?;
            Results::List(OperationResultList { results })
        }
        None => return Err(Status::invalid_argument("no operations")),
    };
    Ok(ExecuteOperationsResponse { results: Some(results) })
}

/// Its answer to a message of a session.
pub(crate) fn session(
    array: &Array,
    request: OpenSessionRequest,
) -> Result<OpenSessionResponse, Status> {
    match request.message {
        Some(Asked::Start(_)) => {
            Ok(OpenSessionResponse { message: Some(Word::Started(SessionStarted::default())) })
        }
        Some(Asked::Attach(attach)) => {
            Ok(result(attach.tag, Outcome::Attached(SessionAttached::default())))
        }
        Some(Asked::Group(SessionGroup { tag, group: Some(Group::Single(operation)), .. })) => {
            Ok(result(tag, Outcome::Single(one(array, operation)?)))
        }
        _ => Err(Status::unimplemented("the plain server reads")),
    }
}

fn one(array: &Array, operation: Operation) -> Result<OperationResult, Status> {
    let data = match operation.operation {
        Some(Kind::Read(read)) => array.read(read.offset, read.length).ok_or_else(outside)?,
        Some(Kind::Gather(gather)) => all(array, gather.offsets, gather.width)?,
        _ => return Err(Status::unimplemented("the plain server reads")),
    };
    Ok(OperationResult { result: Some(Answer::Data(data)) })
}

fn all(array: &Array, offsets: Vec<u64>, length: u32) -> Result<Bytes, Status> {
    let mut all = BytesMut::with_capacity(offsets.len() * length as usize);
    for offset in offsets {
        array.append(offset, u64::from(length), &mut all).ok_or_else(outside)?;
    }
    Ok(all.freeze())
}

/// What is answered to who reads past the end.
pub(crate) fn outside() -> Status {
    Status::out_of_range("outside the array")
}

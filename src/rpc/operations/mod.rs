//! ExecuteOperations: groups from the wire, in either form, and their results back.
//!
//! Law: both forms become one [`Group`]; what follows does not know which it
//! was. A failure names the operation. The limits are in GetServerInfo.

mod accesses;
pub(crate) mod list;
mod opcode;
pub(crate) mod packed;
pub(crate) mod results;

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming as Body;

use crate::error::Failure;
use crate::memory::{Draft, Group, GroupLimits};
use crate::proto::v1::{self, execute_operations_request::Group as Form};
use crate::registry::{Record, Step};
use crate::rpc::call::Call;
use crate::rpc::front::Reply;
use crate::rpc::message::{MessageLimit, Messages};
use crate::rpc::operations::results::Shape;
use crate::rpc::status::Refusal;
use crate::rpc::unfolding;
use crate::rpc::{capability, convert};
use crate::tenancy::Need;
use crate::units::ByteCount;

/// Operations of a group.
pub(crate) const MAX_OPERATIONS: u32 = 16_384;
/// Bytes that a group may touch: what is moved in one turn of a pool thread, some milliseconds.
pub(crate) const MAX_GROUP_BYTES: u64 = 16 << 20;
/// What a request may be longer than the longest write: operations beside their data.
pub(crate) const BESIDE_DATA_BYTES: u64 = 1 << 20;

/// A part of a segment's bytes, by its id, from where, and how many.
pub(crate) type Segments<'a> = &'a dyn Fn(&str, u64, u64) -> Result<Bytes, Failure>;

pub(crate) async fn execute(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let limits = &call.door.server.limits;
    let limit = MessageLimit {
        bytes: limits.max_write_bytes.saturating_add(BESIDE_DATA_BYTES),
        name: "max_group_message_bytes",
        instead: "send the operations in more groups",
        parts: unfolding::GROUP,
    };
    let mut messages = Messages::new(body, limit, Arc::clone(&call.door));
    let incoming = messages.only::<v1::ExecuteOperationsRequest>(&call.occasion.gate).await?;
    let mut request = incoming.message;
    let request_id = request.request_id.take();
    let key = convert::request_key(call.method, request_id, &request)?;
    capability::require(call.door.server.host.capabilities(), &request.required_capabilities)?;
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let access = &call.door.access;
    let found = access.reach(target, call.occasion.now)?;
    let draft = draft(call, found.record());
    let segments = |id: &str, from, length| access.segment_part(id, from, length);
    let (group, shapes) = made(draft, request.group, &segments)
        .inspect_err(|failure| access.trapped(found.record(), failure))?;
    if group.is_a_writers() {
        access.require(Need::Write, call.method.name())?;
        call.door.server.registry.overload.admit(Step::ShedCalls)?;
    }
    access.take_for(&group)?;
    let reply = group.reply();
    let held = call.hold(reply.get())?;
    let occasion = &call.occasion;
    let frame = match shapes {
        None => {
            let out = results::packed(reply.as_usize());
            access.execute(occasion, found, group, out, key).await?
        }
        Some(shapes) => {
            let out = Vec::with_capacity(reply.as_usize());
            let results = access.execute(occasion, found, group, out, key).await?;
            results::list(&shapes, &results)
        }
    };
    Ok(Reply::Message(frame.into(), Some(held)))
}

/// A group of a memory, in the making.
pub(crate) fn draft(call: &Call, record: &Record) -> Draft {
    let limits = GroupLimits {
        operations: MAX_OPERATIONS,
        bytes: ByteCount::new(MAX_GROUP_BYTES),
        reply: ByteCount::new(call.door.server.limits.max_read_bytes),
    };
    Draft::new(record.size().bytes(), record.maximum(), limits)
}

/// A group of so many operations.
pub(crate) fn too_many(operations: usize) -> Failure {
    Failure::TooLarge {
        field: "group",
        length: operations as u64,
        limit_name: "max_operations",
        limit: MAX_OPERATIONS.into(),
        instead: "send them in more groups",
    }
}

/// The group, and for a list what its results are.
fn made(
    mut draft: Draft,
    form: Option<Form>,
    segments: Segments<'_>,
) -> Result<(Group, Option<Vec<Shape>>), Failure> {
    let shapes = match form {
        Some(Form::Packed(packed)) => {
            packed::draft(&mut draft, packed, segments)?;
            None
        }
        Some(Form::List(list)) => Some(list::draft(&mut draft, list, segments)?),
        None => return Err(invalid("group", "says nothing: a list or packed operations")),
    };
    Ok((draft.finish(), shapes))
}

/// A failure of the operation at this place.
pub(crate) fn in_operation(place: usize, failure: Failure) -> Failure {
    let operation = u32::try_from(place).unwrap_or(u32::MAX);
    Failure::InOperation { operation, failure: Box::new(failure) }
}

pub(crate) fn invalid(field: &'static str, why: &str) -> Failure {
    Failure::InvalidField { field, why: why.to_owned() }
}

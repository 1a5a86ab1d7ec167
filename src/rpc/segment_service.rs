//! MemoryService's calls about segments: message in, [`Access`](crate::tenancy::Access), message out.
//!
//! Law: `memory_service.rs`'s.

use std::sync::Arc;

use hyper::body::Incoming as Body;

use crate::error::Failure;
use crate::proto::v1;
use crate::registry::Segment;
use crate::rpc::call::Call;
use crate::rpc::carrier::WithData;
use crate::rpc::convert;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{ENVELOPE_BYTES, answer, answer_with, listed, plain};
use crate::rpc::message::{Incoming, MessageLimit, Messages};
use crate::rpc::status::Refusal;
use crate::rpc::unfolding;
use crate::tenancy::{Need, SegmentPart};
use crate::units::ByteCount;

/// What tokens of this list are of: no label selector begins so.
const OF_SEGMENTS: &str = "/segments";

pub(crate) async fn put(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let limit = call.door.server.limits.max_write_bytes;
    let instead = "put it as several segments";
    let bytes = limit.saturating_add(ENVELOPE_BYTES);
    let message_limit =
        MessageLimit { bytes, name: "max_write_bytes", instead, parts: unfolding::NONE };
    let mut messages = Messages::new(body, message_limit, Arc::clone(&call.door));
    let Incoming { message: WithData { message: mut request, data }, held: _held } =
        messages.only_with_data::<v1::PutSegmentRequest>(&call.occasion.gate).await?;
    let length = data.length().get();
    if length > limit {
        let (field, limit_name) = ("data", "max_write_bytes");
        return Err(Failure::TooLarge { field, length, limit_name, limit, instead }.into());
    }
    let request_id = request.request_id.take();
    let key = convert::request_key(call.method, request_id, &request)?;
    let id = request.segment_id.as_deref().map(|id| convert::id("segment_id", id)).transpose()?;
    let segment = call.door.access.put_segment(&call.occasion, id, data, key).await?;
    answer(&v1::PutSegmentResponse { segment: Some(message(&segment, true)) })
}

pub(crate) async fn get(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::GetSegmentRequest>(call, body).await?.message;
    let access = &call.door.access;
    if !request.with_data {
        let segment = access.tenant().namespace.segment(&request.segment_id)?;
        let segment = Some(message(&segment, may_read(call)));
        return answer(&v1::GetSegmentResponse { segment, ..Default::default() });
    }
    access.require(Need::Read, call.method.name())?;
    let limit = call.door.server.limits.max_read_bytes;
    let segment = access.segment_with_data(&request.segment_id, |length| {
        if length.get() <= limit {
            return Ok(());
        }
        Err(Failure::TooLarge {
            field: "with_data",
            length: length.get(),
            limit_name: "max_read_bytes",
            limit,
            instead: "put it into a memory and use DownloadMemory",
        })
    })?;
    let length = ByteCount::of(&segment.bytes);
    let held = call.hold(length.get())?;
    let data = segment.bytes.clone();
    let response = v1::GetSegmentResponse { segment: Some(message(&segment, true)), data };
    answer_with(call, response, length, held).await
}

pub(crate) async fn list(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ListSegmentsRequest>(call, body).await?.message;
    let after = convert::page_start(OF_SEGMENTS, &request.page_token)?;
    let most = convert::page_size(request.page_size);
    let namespace = &call.door.access.tenant().namespace;
    let (segments, more) = namespace.list_segments(after.as_ref(), most);
    let last = segments.last().filter(|_| more);
    let may_read = may_read(call);
    listed(
        call,
        &v1::ListSegmentsResponse {
            next_page_token: convert::page_token(OF_SEGMENTS, last.map(|last| &last.id)),
            segments: segments.iter().map(|segment| message(segment, may_read)).collect(),
        },
    )
}

pub(crate) async fn init(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::InitMemoryRequest>(call, body).await?.message;
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let part = SegmentPart {
        segment_id: &request.segment_id,
        offset: request.source_offset,
        length: request.length,
    };
    call.door.access.init(&call.occasion, target, request.destination_offset, part).await?;
    answer(&v1::InitMemoryResponse {})
}

pub(crate) async fn drop(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::DropSegmentRequest>(call, body).await?.message;
    let id = convert::id("segment_id", &request.segment_id)?;
    match call.door.access.drop_segment(&call.occasion, &id) {
        Ok(()) => {}
        Err(Failure::NotFound { .. }) if request.allow_missing => {}
        Err(failure) => return Err(failure.into()),
    }
    answer(&v1::DropSegmentResponse {})
}

fn may_read(call: &Call) -> bool {
    call.door.access.require(Need::Read, call.method.name()).is_ok()
}

/// What is told of a segment. A few bytes can be found again from what is checked of them, so that to
/// whoever may not read nothing is told of that.
fn message(segment: &Segment, may_read: bool) -> v1::Segment {
    v1::Segment {
        segment_id: segment.id.to_string(),
        size_bytes: ByteCount::of(&segment.bytes).get(),
        crc32c: if may_read { segment.crc32c } else { 0 },
        create_time: Some(segment.created.into()),
    }
}

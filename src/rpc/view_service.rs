//! MemoryService's calls about views: message in, [`Access`](crate::tenancy::Access), message out.
//!
//! Law: `memory_service.rs`'s.

use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming as Body;

use crate::error::Failure;
use crate::proto::v1;
use crate::registry::{DEFAULT_VIEW_TTL, MAX_VIEW_TTL, MIN_VIEW_TTL};
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{answer, answer_with, plain};
use crate::rpc::status::Refusal;
use crate::units::ByteCount;

pub(crate) async fn open(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::OpenViewRequest>(call, body).await?.message;
    let v1::OpenViewRequest { memory_id, uid, offset, length, ttl } = request;
    let limit = call.door.server.limits.max_read_bytes;
    if length > limit {
        return Err(Failure::TooLarge {
            field: "length",
            length,
            limit_name: "max_read_bytes",
            limit,
            instead: "open several views",
        }
        .into());
    }
    let ttl = ttl.map_or(Ok(DEFAULT_VIEW_TTL), |asked| lease(&asked))?;
    let target = convert::target(&memory_id, uid.as_deref())?;
    let held = call.hold(length)?;
    let access = &call.door.access;
    let (view, shown) = access.open_view(&call.occasion, target, offset, length, ttl).await?;
    let response = v1::OpenViewResponse {
        view: Some(v1::View {
            view_id: view.id.to_string(),
            memory_id: view.memory_id.to_string(),
            uid: view.memory_uid.to_string(),
            offset,
            length,
            expire_time: shown.expire_time.map(Into::into),
        }),
        data: shown.bytes,
        crc32c: shown.crc32c,
        changed: shown.changed,
        version: shown.version,
    };
    answer_with(call, response, ByteCount::new(length), held).await
}

pub(crate) async fn refresh(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::RefreshViewRequest>(call, body).await?.message;
    let access = &call.door.access;
    let view = access.tenant().namespace.view(&request.view_id, call.occasion.now)?;
    let length = view.range.length();
    let held = call.hold(length.get())?;
    let shown = access.refresh_view(&call.occasion, &view, request.version).await?;
    let left_out = request.only_if_changed && !shown.changed;
    let response = v1::RefreshViewResponse {
        data: if left_out { Bytes::new() } else { shown.bytes },
        crc32c: shown.crc32c,
        changed: shown.changed,
        version: shown.version,
        expire_time: shown.expire_time.map(Into::into),
    };
    if left_out {
        return answer(&response);
    }
    answer_with(call, response, length, held).await
}

pub(crate) async fn close(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::CloseViewRequest>(call, body).await?.message;
    let id = convert::id("view_id", &request.view_id)?;
    match call.door.access.close_view(&call.occasion, &id) {
        Ok(()) => {}
        Err(Failure::NotFound { .. }) if request.allow_missing => {}
        Err(failure) => return Err(failure.into()),
    }
    answer(&v1::CloseViewResponse {})
}

fn lease(asked: &prost_types::Duration) -> Result<Duration, Failure> {
    convert::duration(asked).filter(|ttl| (MIN_VIEW_TTL..=MAX_VIEW_TTL).contains(ttl)).ok_or_else(
        || {
            let (least, most) = (MIN_VIEW_TTL.as_secs(), MAX_VIEW_TTL.as_secs());
            Failure::InvalidField { field: "ttl", why: format!("must be {least} s to {most} s") }
        },
    )
}

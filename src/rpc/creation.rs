//! CreateMemory and CreateMemorySet: message in, [`Access`](crate::tenancy::Access), message out.
//!
//! Law: `memory_service.rs`'s. A spec may carry bytes to be put in place, so the message may be longer
//! than a plain one, by as much as one write.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming as Body;
use prost::Message;

use crate::checksum::crc64;
use crate::error::Failure;
use crate::proto::v1;
use crate::registry::MemorySet;
use crate::rpc::audit::Subject;
use crate::rpc::call::Call;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{PLAIN_MESSAGE_BYTES, answer};
use crate::rpc::message::{Incoming, MessageLimit, Messages};
use crate::rpc::status::Refusal;
use crate::rpc::unfolding::{self, Parts};
use crate::rpc::{capability, convert, set_service, spec};

const INSTEAD: &str = "write the rest with WriteMemory, or PutSegment and InitMemory";

/// The only message of an RPC that carries specs.
async fn with_specs<M: Message + Default>(
    call: &Call,
    body: Body,
    parts: Parts,
) -> Result<Incoming<M>, Failure> {
    let limit = call.door.server.limits.max_write_bytes;
    let bytes = limit.saturating_add(PLAIN_MESSAGE_BYTES);
    let limit = MessageLimit { bytes, name: "max_write_bytes", instead: INSTEAD, parts };
    Messages::new(body, limit, Arc::clone(&call.door)).only(&call.occasion.gate).await
}

pub(crate) async fn create(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let Incoming { message: mut request, held: _held } =
        with_specs::<v1::CreateMemoryRequest>(call, body, unfolding::MEMORY).await?;
    let request_id = request.request_id.take();
    call.is_about(|it| it.named(request.memory_id.as_deref(), request_id.as_deref()));
    let spec = request.spec.take().unwrap_or_default();
    admit(call, [&spec])?;
    request.spec = Some(summed(&spec));
    let key = convert::request_key(call.method, request_id, &request)?;
    capability::require(call.door.server.host.capabilities(), &request.required_capabilities)?;
    let id = request.memory_id.as_deref().map(convert::memory_id).transpose()?;
    let spec = spec::wanted(spec)?;
    let record = call.door.access.create(&call.occasion, id, spec, key).await?;
    call.is_about(|it| it.is(&record));
    tracing::info!(
        call_id = %call.id, tenant = %call.door.access.tenant().namespace.name,
        memory_id = %record.id, uid = %record.uid, size_pages = record.size().get(), "created"
    );
    answer(&v1::CreateMemoryResponse { memory: Some(convert::memory(&record)) })
}

pub(crate) async fn create_set(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let Incoming { message: mut request, held: _held } =
        with_specs::<v1::CreateMemorySetRequest>(call, body, unfolding::SET).await?;
    let request_id = request.request_id.take();
    call.is_about(|it| it.named(request.set_id.as_deref(), request_id.as_deref()));
    let mut specs = Vec::with_capacity(request.members.len());
    for member in &mut request.members {
        let spec = member.spec.take().unwrap_or_default();
        member.spec = Some(summed(&spec));
        specs.push(spec);
    }
    admit(call, &specs)?;
    let key = convert::request_key(call.method, request_id, &request)?;
    capability::require(call.door.server.host.capabilities(), &request.required_capabilities)?;
    let id = request.set_id.as_deref().map(|id| convert::id("set_id", id)).transpose()?;
    let members = request.members.iter().zip(specs).enumerate().map(|(number, (member, spec))| {
        let id = member.memory_id.as_deref();
        let id = id.map(|id| convert::id("members.memory_id", id)).transpose();
        let member = id.and_then(|id| Ok((id, spec::wanted(spec)?)));
        member.map_err(|failure| failure.of_member(number))
    });
    let members = members.collect::<Result<Vec<_>, Failure>>()?;
    // Whatever becomes of the call: they may be made without it.
    let say = |set: &MemorySet| {
        call.is_about(|it| it.id = Some(set.id.to_string()));
        call.is_about_all(|| set.members.iter().map(Subject::of_member).collect());
    };
    let set = call.door.access.create_set(&call.occasion, id, members, key, say).await?;
    call.is_about(|it| it.id = Some(set.id.to_string()));
    call.is_about_all(|| set_service::subjects(call, &set));
    tracing::info!(
        call_id = %call.id, tenant = %call.door.access.tenant().namespace.name,
        set_id = %set.id, members = set.members.len(), "created a set"
    );
    let memory_set = Some(set_service::message(call, &set, true));
    answer(&v1::CreateMemorySetResponse { memory_set })
}

/// That the bytes of all these specs together are no more than one write's.
fn admit<'a>(
    call: &Call,
    specs: impl IntoIterator<Item = &'a v1::MemorySpec>,
) -> Result<(), Failure> {
    let limit = call.door.server.limits.max_write_bytes;
    let length = specs
        .into_iter()
        .flat_map(|spec| &spec.segments)
        .fold(0_u64, |sum, segment| sum.saturating_add(segment.data.len() as u64));
    if length <= limit {
        return Ok(());
    }
    let (field, limit_name) = ("spec.segments", "max_write_bytes");
    Err(Failure::TooLarge { field, length, limit_name, limit, instead: INSTEAD })
}

/// A spec with sums of its bytes in their place, for the hash of a request: no request can say that.
fn summed(spec: &v1::MemorySpec) -> v1::MemorySpec {
    let summed = |segment: &v1::ActiveSegment| v1::ActiveSegment {
        offset: segment.offset,
        data: Bytes::copy_from_slice(&crc64(&segment.data).to_le_bytes()),
        length: Some(segment.data.len() as u64),
    };
    v1::MemorySpec { segments: spec.segments.iter().map(summed).collect(), ..spec.clone() }
}

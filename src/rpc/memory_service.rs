//! MemoryService's unary RPCs: message in, [`Access`](crate::tenancy::Access), message out.
//!
//! Law: a handler validates, calls one method of Access, and converts; it decides nothing else.

use std::sync::Arc;

use hyper::body::Incoming as Body;
use prost::Message;

use crate::error::Failure;
use crate::model::{Protection, Volatility};
use crate::proto::v1;
use crate::registry::{Deletion, Found, LabelSelector, PresentationChange, Record};
use crate::rpc::admission::InFlight;
use crate::rpc::call::Call;
use crate::rpc::carrier::WithData;
use crate::rpc::convert;
use crate::rpc::front::Reply;
use crate::rpc::message::{Incoming, MessageLimit, Messages};
use crate::rpc::reply::{frame, framed};
use crate::rpc::status::Refusal;
use crate::rpc::unfolding;
use crate::rpc::untaken::SHORT;
use crate::rpc::{share_service, spec};
use crate::units::ByteCount;

/// Longest message that carries no tenant bytes: a spec with all its labels at their longest.
pub(crate) const PLAIN_MESSAGE_BYTES: u64 = 256 * 1024;
/// What a message may hold beside its data: names, uid, offsets.
pub(crate) const ENVELOPE_BYTES: u64 = 64 * 1024;
/// How long a page of memories is at most, unless one alone is longer.
const MAX_PAGE_BYTES: u64 = 1 << 20;
/// What a page holds beside its memories: a token.
const ENVELOPE_OF_LIST: u64 = 256;
/// The number of `ReadMemoryResponse.data`.
const READ_DATA_FIELD: u32 = 1;

pub(crate) const PLAIN: MessageLimit = MessageLimit {
    bytes: PLAIN_MESSAGE_BYTES,
    name: "message_bytes",
    instead: "this RPC's messages are small",
    parts: unfolding::NONE,
};

/// The only message of an RPC that carries no tenant bytes.
pub(crate) async fn plain<M: Message + Default>(
    call: &Call,
    body: Body,
) -> Result<Incoming<M>, Failure> {
    let mut messages = Messages::new(body, PLAIN, Arc::clone(&call.door));
    messages.only(&call.occasion.gate).await
}

/// A reply that carries no tenant bytes.
pub(crate) fn answer(message: &impl Message) -> Result<Reply, Refusal> {
    Ok(Reply::Message(frame(message), None))
}

/// A reply as long as what is listed: it is in the in-flight budgets if it is not short.
pub(crate) fn listed(call: &Call, message: &impl Message) -> Result<Reply, Refusal> {
    let held = room(call, message.encoded_len() as u64)?;
    Ok(Reply::Message(frame(message), held))
}

/// Room in the in-flight budgets for so many bytes of a reply, if they are not few: to be had before they
/// are put together.
pub(crate) fn room(call: &Call, bytes: u64) -> Result<Option<InFlight>, Failure> {
    if bytes >= SHORT as u64 { call.hold(bytes).map(Some) } else { Ok(None) }
}

/// A reply with so many of a tenant's bytes in it, put into words where those are not in others' way.
pub(crate) async fn answer_with(
    call: &Call,
    message: impl Message + 'static,
    length: ByteCount,
    held: InFlight,
) -> Result<Reply, Refusal> {
    let registry = &call.door.server.registry;
    let framed = if length <= registry.settings.inline {
        frame(&message)
    } else {
        let lane = call.door.access.tenant().namespace.lane();
        let gate = Arc::clone(&call.occasion.gate);
        registry.pool.run_once(lane, gate, move || frame(&message)).await?
    };
    Ok(Reply::Message(framed, Some(held)))
}

pub(crate) async fn read(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ReadMemoryRequest>(call, body).await?;
    let v1::ReadMemoryRequest { memory_id, uid, offset, length } = &request.message;
    let limit = call.door.server.limits.max_read_bytes;
    if *length > limit {
        return Err(Failure::TooLarge {
            field: "length",
            length: *length,
            limit_name: "max_read_bytes",
            limit,
            instead: "use DownloadMemory",
        }
        .into());
    }
    let target = convert::target(memory_id, uid.as_deref())?;
    let mut held = None;
    let out = call
        .door
        .access
        .read(&call.occasion, target, *offset, *length, |length| {
            held = Some(call.hold(length.get())?);
            Ok(framed(&[], READ_DATA_FIELD, length.as_usize(), 0))
        })
        .await?;
    Ok(Reply::Message(out.into(), held))
}

pub(crate) async fn write(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let limit = call.door.server.limits.max_write_bytes;
    let message_limit = MessageLimit {
        bytes: limit.saturating_add(ENVELOPE_BYTES),
        name: "max_write_bytes",
        instead: "use UploadMemory",
        parts: unfolding::NONE,
    };
    // Gone before the write, so that the future need not hold both.
    let Incoming { message: WithData { message: request, data }, held: _held } = {
        let mut messages = Messages::new(body, message_limit, Arc::clone(&call.door));
        messages.only_with_data::<v1::WriteMemoryRequest>(&call.occasion.gate).await?
    };
    let length = data.length().get();
    if length > limit {
        return Err(Failure::TooLarge {
            field: "data",
            length,
            limit_name: "max_write_bytes",
            limit,
            instead: "use UploadMemory",
        }
        .into());
    }
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    call.door.access.write(&call.occasion, target, request.offset, data).await?;
    answer(&v1::WriteMemoryResponse {})
}

pub(crate) async fn fill(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::FillMemoryRequest>(call, body).await?.message;
    let value = u8::try_from(request.value).map_err(|_too_large| Failure::InvalidField {
        field: "value",
        why: format!("is {}; a byte is 0 to 255", request.value),
    })?;
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    call.door.access.fill(&call.occasion, target, request.offset, request.length, value).await?;
    answer(&v1::FillMemoryResponse {})
}

pub(crate) async fn copy(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let mut request = plain::<v1::CopyMemoryRequest>(call, body).await?.message;
    let key = convert::request_key(call.method, request.request_id.take(), &request)?;
    let v1::CopyMemoryRequest { source_memory_id, destination_memory_id, .. } = &request;
    let fields = ["source_memory_id", "source_uid"];
    let from = convert::target_of(fields, source_memory_id, request.source_uid.as_deref())?;
    let fields = ["destination_memory_id", "destination_uid"];
    let to = convert::target_of(fields, destination_memory_id, request.destination_uid.as_deref())?;
    let ends = [(from, request.source_offset), (to, request.destination_offset)];
    call.door.access.copy(&call.occasion, ends, request.length, key).await?;
    answer(&v1::CopyMemoryResponse {})
}

pub(crate) async fn discard(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::DiscardMemoryRequest>(call, body).await?.message;
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let access = &call.door.access;
    let discarded = access.discard(&call.occasion, target, request.offset, request.length).await?;
    answer(&v1::DiscardMemoryResponse { discarded_bytes: discarded.get() })
}

pub(crate) async fn protect(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ProtectMemoryRequest>(call, body).await?.message;
    let v1::ProtectMemoryRequest { memory_id, uid, offset, length, protection } = request;
    let protection = match spec::known("protection", protection)? {
        v1::Protection::None => Protection::None,
        v1::Protection::Read => Protection::Read,
        v1::Protection::ReadWrite => Protection::ReadWrite,
        v1::Protection::Unspecified => {
            let why = "says nothing: PROTECTION_NONE, READ or READ_WRITE".to_owned();
            return Err(Failure::InvalidField { field: "protection", why }.into());
        }
    };
    let target = convert::target(&memory_id, uid.as_deref())?;
    call.door.access.protect(&call.occasion, target, offset, length, protection).await?;
    answer(&v1::ProtectMemoryResponse {})
}

pub(crate) async fn set_volatility(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::SetVolatilityRequest>(call, body).await?.message;
    let v1::SetVolatilityRequest { memory_id, uid, offset, length, volatility } = request;
    let volatility = match spec::known("volatility", volatility)? {
        v1::Volatility::Volatile => Volatility::Volatile,
        v1::Volatility::Nonvolatile => Volatility::Nonvolatile,
        v1::Volatility::Unspecified => {
            let why = "says nothing: VOLATILITY_VOLATILE or NONVOLATILE".to_owned();
            return Err(Failure::InvalidField { field: "volatility", why }.into());
        }
    };
    let target = convert::target(&memory_id, uid.as_deref())?;
    let access = &call.door.access;
    let was_purged =
        access.set_volatility(&call.occasion, target, offset, length, volatility).await?;
    answer(&v1::SetVolatilityResponse { was_purged })
}

pub(crate) async fn grow(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let mut request = plain::<v1::GrowMemoryRequest>(call, body).await?.message;
    let request_id = request.request_id.take();
    call.is_about(|it| it.named(Some(&request.memory_id), request_id.as_deref()));
    let key = convert::request_key(call.method, request_id, &request)?;
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let (access, delta_pages) = (&call.door.access, request.delta_pages);
    let grown = access
        .grow(&call.occasion, target, delta_pages, request.expected_pages, key, |record| {
            call.is_about(|it| it.uid = Some(record.uid));
        })
        .await?;
    call.is_about(|it| it.pages = Some(grown.current.get()));
    answer(&v1::GrowMemoryResponse {
        previous_pages: grown.previous.get(),
        current_pages: grown.current.get(),
    })
}

pub(crate) async fn get(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::GetMemoryRequest>(call, body).await?.message;
    let view = spec::known("view", request.view)?;
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let found = call.door.access.reach(target, call.occasion.now)?;
    let memory = match view {
        v1::MemoryView::Unspecified | v1::MemoryView::Basic => convert::memory(found.record()),
        v1::MemoryView::Full => in_full(call, &found).await?,
    };
    let memory = match found.share() {
        None => memory,
        Some(share) => share_service::lent(share, memory),
    };
    answer(&v1::GetMemoryResponse { memory: Some(memory) })
}

async fn in_full(call: &Call, found: &Found) -> Result<v1::Memory, Failure> {
    match call.door.access.observe(&call.occasion, found).await? {
        Some(observation) => {
            let nodes = call.door.server.nodes.clone();
            Ok(convert::memory_in_full(found.record(), &observation, nodes))
        }
        None => Ok(convert::memory(found.record())),
    }
}

pub(crate) async fn list(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ListMemoriesRequest>(call, body).await?.message;
    match spec::known("view", request.view)? {
        v1::MemoryView::Unspecified | v1::MemoryView::Basic => {}
        v1::MemoryView::Full => {
            let why = "FULL is for GetMemory only; a list shows BASIC".to_owned();
            return Err(Failure::InvalidField { field: "view", why }.into());
        }
    }
    let selector = LabelSelector::parse(&request.label_selector)
        .map_err(|why| Failure::InvalidField { field: "label_selector", why })?;
    let after = convert::page_start(&request.label_selector, &request.page_token)?;
    let page_size = convert::page_size(request.page_size);
    let listing = call.door.access.list(&selector, after.as_ref(), page_size, call.occasion.now);
    let (own, lent) = (listing.records.into_iter(), listing.mounts.into_iter());
    let mut found: Vec<Found> = own.map(Found::Own).chain(lent.map(Found::Lent)).collect();
    found.sort_unstable_by(|one, other| one.name().cmp(other.name()));
    let (fit, bytes) = page_of(&found);
    let next = match found.get(fit) {
        Some(_next) => found.get(fit.saturating_sub(1)).map(|last| last.name().clone()),
        None => listing.next,
    };
    found.truncate(fit);
    let held = room(call, bytes)?;
    let memories = found.iter().map(|found| match found {
        Found::Own(record) => convert::memory(record),
        Found::Lent(share) => share_service::mounted(share),
    });
    let response = v1::ListMemoriesResponse {
        memories: memories.collect(),
        next_page_token: convert::page_token(&request.label_selector, next.as_ref()),
    };
    Ok(Reply::Message(frame(&response), held))
}

/// How many of these a page has, one at least, and how long it is at most.
fn page_of(found: &[Found]) -> (usize, u64) {
    let (mut fit, mut bytes) = (0_usize, ENVELOPE_OF_LIST);
    for one in found {
        let longer = bytes.saturating_add(convert::most_bytes(one.record()));
        if fit > 0 && longer > MAX_PAGE_BYTES {
            break;
        }
        (fit, bytes) = (fit.saturating_add(1), longer);
    }
    (fit, bytes)
}

pub(crate) async fn update(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::UpdateMemoryRequest>(call, body).await?.message;
    let mask = update_mask(&request)?;
    let change = PresentationChange {
        etag: request.etag,
        display_name: mask
            .display_name
            .then(|| spec::display_name("display_name", request.display_name))
            .transpose()?,
        labels: mask.labels.then(|| spec::labels("labels", request.labels)).transpose()?,
        lease_ttl: if mask.lease_ttl {
            Some(request.lease_ttl.map(|ttl| spec::lease("lease_ttl", &ttl)).transpose()?)
        } else {
            None
        },
    };
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let record = call.door.access.update(target, change, call.occasion.now)?;
    answer(&v1::UpdateMemoryResponse { memory: Some(convert::memory(&record)) })
}

struct Mask {
    display_name: bool,
    labels: bool,
    lease_ttl: bool,
}

fn update_mask(request: &v1::UpdateMemoryRequest) -> Result<Mask, Failure> {
    let named = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    if named.is_empty() {
        return Ok(Mask {
            display_name: !request.display_name.is_empty(),
            labels: !request.labels.is_empty(),
            lease_ttl: request.lease_ttl.is_some(),
        });
    }
    let mut mask = Mask { display_name: false, labels: false, lease_ttl: false };
    for path in named {
        match path.as_str() {
            "display_name" => mask.display_name = true,
            "labels" => mask.labels = true,
            "lease_ttl" => mask.lease_ttl = true,
            "*" => mask = Mask { display_name: true, labels: true, lease_ttl: true },
            _ => {
                let why = "may name display_name, labels and lease_ttl only".to_owned();
                return Err(Failure::InvalidField { field: "update_mask", why });
            }
        }
    }
    Ok(mask)
}

pub(crate) async fn delete(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::DeleteMemoryRequest>(call, body).await?.message;
    call.is_about(|it| it.named(Some(&request.memory_id), None));
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let deletion = Deletion { etag: request.etag };
    let say = |record: &Record| call.is_about(|it| it.is(record));
    match call.door.access.delete(&call.occasion, target, deletion, say).await {
        Ok(()) => tracing::info!(
            call_id = %call.id, tenant = %call.door.access.tenant().namespace.name,
            memory_id = %request.memory_id, "deleted"
        ),
        Err(Failure::MemoryNotFound { .. }) if request.allow_missing => {}
        Err(failure) => return Err(failure.into()),
    }
    answer(&v1::DeleteMemoryResponse {})
}

pub(crate) async fn keep_alive(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::KeepAliveMemoryRequest>(call, body).await?.message;
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let expire_time = call.door.access.keep_alive(target, call.occasion.now)?;
    answer(&v1::KeepAliveMemoryResponse { expire_time: Some(expire_time.into()) })
}

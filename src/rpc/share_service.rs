//! MemoryService's calls about shares: message in, [`Access`], message out.
//!
//! Law: `memory_service.rs`'s. To its grantee a share shows nothing of what its owner says of the memory.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hyper::body::Incoming as Body;

use crate::error::Failure;
use crate::model::{MemoryId, Now, ShareAccess, TenantName};
use crate::proto::v1;
use crate::registry::{NewShare, Share};
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::deadline::timer;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{answer, listed, plain};
use crate::rpc::spec::known;
use crate::rpc::status::Refusal;
use crate::tenancy::Access;

pub(crate) async fn share(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ShareMemoryRequest>(call, body).await?.message;
    let v1::ShareMemoryRequest { memory_id, uid, grantee_tenant, access, expire_time } = request;
    call.is_about(|it| {
        it.named(Some(&memory_id), None);
        it.is_for(&grantee_tenant);
    });
    let access = match known("access", access)? {
        v1::ShareAccess::Read => ShareAccess::Read,
        v1::ShareAccess::ReadWrite => ShareAccess::ReadWrite,
        v1::ShareAccess::Unspecified => {
            let why = "says nothing: SHARE_ACCESS_READ or READ_WRITE".to_owned();
            return Err(Failure::InvalidField { field: "access", why }.into());
        }
    };
    let grantee: TenantName = convert::id("grantee_tenant", &grantee_tenant)?;
    let expire_time = expire_time.map(moment).transpose()?;
    let target = convert::target(&memory_id, uid.as_deref())?;
    let new = NewShare { grantee, access, expire_time };
    let share = call.door.access.share(&call.occasion, target, new)?;
    call.is_about(|it| it.is(share.record()));
    note(call, "shared", &share);
    answer(&v1::ShareMemoryResponse { share: Some(message(&share, true)) })
}

pub(crate) async fn list(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ListSharesRequest>(call, body).await?.message;
    // What tokens of this list are of: no label selector begins so.
    let (which, of) = match known("direction", request.direction)? {
        v1::ShareDirection::Unspecified => ([true, true], "/shares"),
        v1::ShareDirection::Given => ([true, false], "/shares/given"),
        v1::ShareDirection::Received => ([false, true], "/shares/received"),
    };
    let after = convert::page_start(of, &request.page_token)?;
    let most = convert::page_size(request.page_size);
    let access = &call.door.access;
    let (shares, next) = access.shares(which, after.as_ref(), most, call.occasion.now);
    let own = &access.tenant().namespace.name;
    let shares = shares.iter().map(|share| message(share, share.owner == *own)).collect();
    let next_page_token = convert::page_token(of, next.as_ref());
    listed(call, &v1::ListSharesResponse { shares, next_page_token })
}

pub(crate) async fn revoke(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::RevokeShareRequest>(call, body).await?.message;
    call.is_about(|it| it.named(Some(&request.share_id), None));
    let id = convert::id("share_id", &request.share_id)?;
    match call.door.access.revoke_share(&call.occasion, &id).await {
        Ok(()) => tracing::info!(
            call_id = %call.id, tenant = %call.door.access.tenant().namespace.name,
            share_id = %id, "share revoked"
        ),
        Err(Failure::NotFound { .. }) if request.allow_missing => {}
        Err(failure) => return Err(failure.into()),
    }
    answer(&v1::RevokeShareResponse {})
}

pub(crate) async fn mount(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::MountShareRequest>(call, body).await?.message;
    call.is_about(|it| it.named(Some(&request.share_id), None));
    let id = convert::id("share_id", &request.share_id)?;
    let name = request.memory_id.as_deref().map(convert::memory_id).transpose()?;
    let share = call.door.access.mount(&call.occasion, &id, name)?;
    if let Some(expiry) = share.expiry() {
        tokio::spawn(end_at(expiry, Arc::clone(&share), call.door.access.clone()));
    }
    call.is_about(|it| {
        it.named(share.name().map(MemoryId::as_str), None);
        it.uid = Some(share.record().uid);
    });
    note(call, "share mounted", &share);
    answer(&v1::MountShareResponse { memory: Some(mounted(&share)) })
}

/// Ends a share that runs out, then: the sweep may come a little later.
async fn end_at(expiry: Instant, share: Arc<Share>, access: Access) {
    let Some(timer) = timer(Some(expiry)) else { return };
    tokio::select! {
        () = timer => {
            let now = Now { steady: Instant::now(), wall: SystemTime::now() };
            access.expire_share(&share, now);
        }
        _ended = share.over() => {}
    }
}

fn note(call: &Call, what: &'static str, share: &Share) {
    tracing::info!(
        call_id = %call.id, share_id = %share.id, owner = %share.owner, grantee = %share.grantee,
        access = share.access.word(), uid = %share.record().uid, "{what}"
    );
}

/// A share as one of its two sees it.
fn message(share: &Share, is_owner: bool) -> v1::Share {
    let name = share.name();
    let seen = if is_owner { Some(&share.record().id) } else { name };
    v1::Share {
        share_id: share.id.to_string(),
        owner_tenant: share.owner.to_string(),
        grantee_tenant: share.grantee.to_string(),
        access: access(share.access).into(),
        memory_id: seen.map(ToString::to_string).unwrap_or_default(),
        uid: seen.map(|_seen| share.record().uid.to_string()).unwrap_or_default(),
        mounted: name.is_some(),
        create_time: Some(share.created.into()),
        expire_time: share.expire_time.map(Into::into),
    }
}

pub(crate) const fn access(access: ShareAccess) -> v1::ShareAccess {
    match access {
        ShareAccess::Read => v1::ShareAccess::Read,
        ShareAccess::ReadWrite => v1::ShareAccess::ReadWrite,
    }
}

/// What the grantee of a share that is mounted sees of the memory.
pub(crate) fn mounted(share: &Arc<Share>) -> v1::Memory {
    lent(share, convert::memory(share.record()))
}

/// Of what an owner sees of a memory what a grantee sees of it.
pub(crate) fn lent(share: &Share, memory: v1::Memory) -> v1::Memory {
    let v1::Memory { spec, .. } = memory;
    let spec = spec.map(|spec| v1::MemorySpec {
        display_name: String::new(),
        labels: Default::default(),
        lease_ttl: None,
        partition: String::new(),
        ..spec
    });
    let sooner = share.record().presentation().expire_time.into_iter().chain(share.expire_time);
    v1::Memory {
        memory_id: share.name().map(ToString::to_string).unwrap_or_default(),
        etag: String::new(),
        spec,
        expire_time: sooner.min().map(Into::into),
        shared_from: share.owner.to_string(),
        ..memory
    }
}

/// The last second of 9999, where protobuf's own times end.
const LAST: i64 = 253_402_300_799;

fn moment(time: prost_types::Timestamp) -> Result<SystemTime, Failure> {
    let is_one = time.seconds <= LAST && (0..1_000_000_000).contains(&time.nanos);
    let moment = is_one.then(|| SystemTime::try_from(time).ok()).flatten();
    moment.ok_or_else(|| {
        let why = "is no time that there is; the last one is of the year 9999".to_owned();
        Failure::InvalidField { field: "expire_time", why }
    })
}

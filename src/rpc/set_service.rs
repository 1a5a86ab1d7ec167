//! MemoryService's calls about memory sets: message in, [`Access`](crate::tenancy::Access), message out.
//!
//! Law: `memory_service.rs`'s. CreateMemorySet is in `creation.rs`.

use std::sync::Arc;

use hyper::body::Incoming as Body;

use crate::error::Failure;
use crate::proto::v1;
use crate::registry::{Member, MemorySet, Record};
use crate::rpc::audit::Subject;
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{answer, listed, plain};
use crate::rpc::status::Refusal;

/// What tokens of this list are of: no label selector begins so.
const OF_SETS: &str = "/memory_sets";
/// Members that one list looks up before it answers with fewer sets than asked for.
const LOOK_AT_MOST: usize = 10_000;

pub(crate) async fn get(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::GetMemorySetRequest>(call, body).await?.message;
    let set = call.door.access.tenant().namespace.set(&request.set_id)?;
    listed(call, &v1::GetMemorySetResponse { memory_set: Some(message(call, &set, true)) })
}

pub(crate) async fn list(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ListMemorySetsRequest>(call, body).await?.message;
    let after = convert::page_start(OF_SETS, &request.page_token)?;
    let most = convert::page_size(request.page_size);
    let (mut sets, mut more) = call.door.access.tenant().namespace.list_sets(after.as_ref(), most);
    let mut members = 0_usize;
    let fits = |set: &&Arc<MemorySet>| {
        members = members.saturating_add(set.members.len());
        members <= LOOK_AT_MOST
    };
    let shown = sets.iter().take_while(fits).count();
    more |= shown < sets.len();
    sets.truncate(shown);
    let last = sets.last().filter(|_| more);
    listed(
        call,
        &v1::ListMemorySetsResponse {
            next_page_token: convert::page_token(OF_SETS, last.map(|last| &last.id)),
            memory_sets: sets.iter().map(|set| message(call, set, false)).collect(),
        },
    )
}

pub(crate) async fn delete(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::DeleteMemorySetRequest>(call, body).await?.message;
    call.is_about(|it| it.named(Some(&request.set_id), None));
    let id = convert::id("set_id", &request.set_id)?;
    call.is_about_all(|| {
        let set = call.door.access.tenant().namespace.set(id.as_str());
        set.map(|set| subjects(call, &set)).unwrap_or_default()
    });
    match call.door.access.delete_set(&call.occasion, &id).await {
        Ok(()) => tracing::info!(
            call_id = %call.id, tenant = %call.door.access.tenant().namespace.name,
            set_id = %id, "deleted a set"
        ),
        Err(Failure::NotFound { .. }) if request.allow_missing => {}
        Err(failure) => return Err(failure.into()),
    }
    answer(&v1::DeleteMemorySetResponse {})
}

/// A set's memories that are there, for the audit log.
pub(crate) fn subjects(call: &Call, set: &MemorySet) -> Vec<Subject> {
    let there = |member| call.door.access.member(member, call.occasion.now);
    let subject = |record: Arc<Record>| {
        let mut subject = Subject::default();
        subject.is(&record);
        subject
    };
    set.members.iter().filter_map(there).map(subject).collect()
}

/// A set, where it is wanted with its memories.
pub(crate) fn message(call: &Call, set: &MemorySet, in_full: bool) -> v1::MemorySet {
    let member = |member: &Member| {
        let record = call.door.access.member(member, call.occasion.now);
        v1::MemorySetMember {
            memory_id: member.id.to_string(),
            uid: member.uid.to_string(),
            exists: record.is_some(),
            memory: record.filter(|_| in_full).map(|record| convert::memory(&record)),
        }
    };
    v1::MemorySet {
        set_id: set.id.to_string(),
        members: set.members.iter().map(member).collect(),
        create_time: Some(set.created.into()),
    }
}

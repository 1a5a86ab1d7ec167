//! HookService's unary RPCs: message in, [`Access`](crate::tenancy::Access), message out. Its stream is
//! in `deciding.rs`.
//!
//! Law: `memory_service.rs`'s: a handler validates, calls one method of Access, and converts.

use hyper::body::Incoming as Body;

use crate::error::Failure;
use crate::proto::v1;
use crate::registry::LabelSelector;
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{answer, plain, room};
use crate::rpc::reply::frame;
use crate::rpc::spec::known;
use crate::rpc::status::Refusal;
use crate::tenancy::{
    DEFAULT_ANSWER_TIMEOUT, FailurePolicy, HookSpec, HookView, MAX_ANSWER_TIMEOUT,
    MIN_ANSWER_TIMEOUT,
};

pub(crate) async fn create(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::CreateGrowHookRequest>(call, body).await?.message;
    let id = request.hook_id.as_deref().map(|id| convert::id("hook_id", id)).transpose()?;
    let made = call.door.access.create_hook(id, wanted(request)?)?;
    tracing::info!(
        call_id = %call.id, tenant = %call.door.access.tenant().namespace.name, hook_id = %made.id,
        "created a hook of growth"
    );
    answer(&v1::CreateGrowHookResponse { hook: Some(message(&made)) })
}

pub(crate) async fn get(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::GetGrowHookRequest>(call, body).await?.message;
    let hook = call.door.access.hook(&convert::id("hook_id", &request.hook_id)?)?;
    answer(&v1::GetGrowHookResponse { hook: Some(message(&hook)) })
}

pub(crate) async fn list(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ListGrowHooksRequest>(call, body).await?.message;
    let after = convert::page_start(OF_HOOKS, &request.page_token)?;
    let most = convert::page_size(request.page_size);
    let (hooks, more) = call.door.access.hooks(after.as_ref(), most);
    let of = |hook: &HookView| HOOK_BYTES.saturating_add(hook.spec.selector_text.len() as u64);
    let held = room(call, hooks.iter().map(of).sum())?;
    let last = hooks.last().filter(|_| more);
    let response = v1::ListGrowHooksResponse {
        next_page_token: convert::page_token(OF_HOOKS, last.map(|last| &last.id)),
        hooks: hooks.iter().map(message).collect(),
    };
    Ok(Reply::Message(frame(&response), held))
}

pub(crate) async fn delete(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::DeleteGrowHookRequest>(call, body).await?.message;
    let id = convert::id("hook_id", &request.hook_id)?;
    match call.door.access.delete_hook(&id) {
        Ok(()) => tracing::info!(
            call_id = %call.id, tenant = %call.door.access.tenant().namespace.name, hook_id = %id,
            "deleted a hook of growth"
        ),
        Err(Failure::HookNotFound { .. }) if request.allow_missing => {}
        Err(failure) => return Err(failure.into()),
    }
    answer(&v1::DeleteGrowHookResponse {})
}

/// What a hook takes in a list beside its selector: its id, its numbers and times.
const HOOK_BYTES: u64 = 256;

/// What tokens of this list are of: no label selector begins so.
const OF_HOOKS: &str = "/hooks";

fn wanted(request: v1::CreateGrowHookRequest) -> Result<HookSpec, Failure> {
    let selector = LabelSelector::parse(&request.label_selector)
        .map_err(|why| Failure::InvalidField { field: "label_selector", why })?;
    let failure_policy = match known("failure_policy", request.failure_policy)? {
        v1::FailurePolicy::Unspecified | v1::FailurePolicy::FailClosed => FailurePolicy::FailClosed,
        v1::FailurePolicy::FailOpen => FailurePolicy::FailOpen,
    };
    let range = MIN_ANSWER_TIMEOUT..=MAX_ANSWER_TIMEOUT;
    let answer_timeout = match request.answer_timeout {
        None => DEFAULT_ANSWER_TIMEOUT,
        // What is no duration, or a negative one, is outside the range.
        Some(timeout) => convert::duration(&timeout)
            .filter(|timeout| range.contains(timeout))
            .ok_or_else(|| Failure::InvalidField {
                field: "answer_timeout",
                why: format!("must be {MIN_ANSWER_TIMEOUT:?} to {MAX_ANSWER_TIMEOUT:?}"),
            })?,
    };
    Ok(HookSpec {
        selector_text: request.label_selector,
        selector,
        failure_policy,
        answer_timeout,
        rank: request.rank,
    })
}

/// A hook as a client sees it.
pub(crate) fn message(hook: &HookView) -> v1::GrowHook {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    v1::GrowHook {
        hook_id: hook.id.to_string(),
        label_selector: hook.spec.selector_text.clone(),
        failure_policy: match hook.spec.failure_policy {
            FailurePolicy::FailClosed => v1::FailurePolicy::FailClosed,
            FailurePolicy::FailOpen => v1::FailurePolicy::FailOpen,
        }
        .into(),
        answer_timeout: hook.spec.answer_timeout.try_into().ok(),
        rank: hook.spec.rank,
        create_time: Some(hook.created.into()),
        configured: hook.configured,
        streams: count(hook.streams),
        open_questions: count(hook.open_questions),
    }
}

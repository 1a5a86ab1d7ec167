//! [`handle`]: every call, from its headers to its answer.
//!
//! Law: in this order, and each failure is answered with a reason: drain, identity, tenant, roles, want
//! of memory, the tenant's running calls and operations a second, deadline; then the RPC itself, within
//! the deadline, its panics caught. What is no
//! RPC of ours is UNIMPLEMENTED.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use hyper::body::Incoming as Body;
use tonic::{Code, Status};

use crate::error::Failure;
use crate::model::Now;
use crate::registry::{Gate, Step};
use crate::rpc::admission::InFlight;
use crate::rpc::audit::{Audited, shut_out};
use crate::rpc::call::{Call, CallId, Served};
use crate::rpc::connection::Connection;
use crate::rpc::deadline::{Bounded, Ended, deadline};
use crate::rpc::deciding::Deciding;
use crate::rpc::event_service::{self, Watching};
use crate::rpc::foreign;
use crate::rpc::lapse::lapse;
use crate::rpc::method::{Kind, Method, Worth};
use crate::rpc::reply::{self, ReplyBody};
use crate::rpc::session::Session;
use crate::rpc::status::{self, Refusal, reason};
use crate::rpc::task::{answered_unless, answered_within};
use crate::rpc::transfer::Download;
use crate::rpc::until::Until;
use crate::rpc::waits::{self, Park};
use crate::rpc::{
    admin_service, authorization, creation, hook_service, memory_service, operations,
    partition_service, reload, segment_service, server_info, session, set_service, share_service,
    tenant_service, transfer, verify, view_service,
};
use crate::tenancy::{Denied, Occasion};

/// A handler's success.
pub(crate) enum Reply {
    /// One message, framed, and its part of the in-flight budgets.
    Message(bytes::Bytes, Option<InFlight>),
    /// A download, which goes on after the handler.
    Download(Box<Download>),
    /// A wait, which goes on after the handler and is not among those that run.
    Parked(Box<Park>),
    /// A session, which goes on after the handler.
    Session(Box<Session>),
    /// A watch, which goes on until someone ends it.
    Watch(Box<Watching>),
    /// A decider's stream, of which nothing has been read.
    Deciding(Box<Body>),
}

/// Answers one call.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn keeps its arguments twice, and the future of every call is moved about"
)]
pub(crate) fn handle(
    connection: Arc<Connection>,
    request: Request<Body>,
) -> impl Future<Output = Result<Response<ReplyBody>, Infallible>> + Send {
    async move {
        let started = Instant::now();
        if !is_grpc(&request) {
            return Ok(unsupported_media_type());
        }
        let method = Method::of(request.uri().path());
        let id = CallId::new(&connection.server, connection.number, connection.next_call());
        let mut served = Served::begin(&connection, method, started);
        if method == Method::Unknown {
            return Ok(refuse(&status::unimplemented(), served));
        }
        if method.is_foreign() {
            if connection.is_somebodys() {
                served.counts();
            }
            return Ok(Box::pin(foreign::answer(&connection, id, request, served)).await);
        }
        let (call, deadline) = match admit(&connection, id, method, &request, started, &mut served)
        {
            Ok(admitted) => admitted,
            Err(denied) => {
                connection.call_refused(SystemTime::now());
                let failure = &denied.failure;
                tracing::debug!(call_id = %id, method = method.name(), %failure, "refused");
                connection.server.note_refused(failure);
                shut_out(&connection, id, method, request.headers(), &denied);
                let status = status::status(&Refusal::from(denied.failure), &id.to_string());
                return Ok(refuse(&status, served));
            }
        };
        let response = answer(&call, deadline, request.into_body(), served).await;
        answered_within(deadline);
        if call.method.kind() == Kind::Stream {
            answered_unless(lapse(&call));
        }
        Ok(response)
    }
}

fn admit(
    connection: &Connection,
    id: CallId,
    method: Method,
    request: &Request<Body>,
    started: Instant,
    served: &mut Served,
) -> Result<(Call, Option<Instant>), Denied> {
    let server = &connection.server;
    if server.is_draining() {
        return Err(Failure::Draining.into());
    }
    let headers = request.headers();
    let now = Now { steady: started, wall: SystemTime::now() };
    let shown = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let door = connection.door(shown("authorization"), shown("linmem-tenant"), now.wall)?;
    if let Some(need) = authorization::need(method) {
        door.access.require(need, method.name())?;
    }
    let is_of_tenants = authorization::is_of_tenants(method);
    // What is the host's business stands behind none of a tenant's limits.
    if is_of_tenants {
        connection.seat(&door, now.wall)?;
    } else {
        connection.is_operators(&door);
    }
    served.counts();
    if method.worth() == Worth::Shed {
        server.registry.overload.admit(Step::ShedCalls)?;
    }
    served.is_by(&door);
    if is_of_tenants {
        served.enter()?;
        door.access.tenant().rates.take(1, 0)?;
    } else {
        served.enter_operators()?;
    }
    let deadline = deadline(headers, started, server.limits.max_deadline)?;
    let occasion = Occasion { now, gate: Gate::new() };
    let audited = Audited::of(id, method, &door);
    let call = Call { id, method, door, occasion, audited };
    Ok((call, deadline))
}

async fn answer(
    call: &Call,
    deadline: Option<Instant>,
    body: Body,
    mut served: Served,
) -> Response<ReplyBody> {
    let work = pin!(dispatch(call, body));
    let ended = Bounded::new(call, deadline, work).await;
    if let Some(audited) = &call.audited {
        audited.over(outcome(&ended));
    }
    match ended {
        Ended::Over(Ok(Reply::Message(frame, held))) => {
            served.ended(Code::Ok);
            reply::message(frame, held, served)
        }
        Ended::Over(Ok(Reply::Download(download))) => {
            if let Some(over) = download.over() {
                answered_unless(over);
            }
            reply::stream(transfer::stream(*download, call.clone(), deadline), served)
        }
        Ended::Over(Ok(Reply::Deciding(body))) => {
            reply::stream(Deciding::new(call.clone(), *body, deadline), served)
        }
        Ended::Over(Ok(Reply::Watch(watching))) => {
            reply::stream(event_service::stream(*watching, call.clone(), deadline), served)
        }
        Ended::Over(Ok(Reply::Session(session))) => {
            // It has a place among the tenant's sessions instead.
            served.leave();
            reply::stream(Until::new(session, deadline, call.clone()), served)
        }
        Ended::Over(Ok(Reply::Parked(park))) => {
            Box::pin(answer_parked(call, deadline, *park, served)).await
        }
        Ended::Over(Err(refusal)) => refuse(&call.refuse(&refusal), served),
        Ended::Broken => refuse(&call.broken(), served),
    }
}

/// What the audit log says of it.
fn outcome(ended: &Ended<Reply>) -> &'static str {
    match ended {
        Ended::Over(Ok(_)) => "OK",
        Ended::Over(Err(refusal)) => reason(&refusal.failure),
        Ended::Broken => "INTERNAL_FAULT",
    }
}

async fn answer_parked(
    call: &Call,
    deadline: Option<Instant>,
    park: Park,
    mut served: Served,
) -> Response<ReplyBody> {
    served.leave();
    let work = pin!(async { park.await.map_err(Refusal::from) });
    match Bounded::new(call, deadline, work).await {
        Ended::Over(Ok(outcome)) => {
            served.ended(Code::Ok);
            reply::message(waits::told(outcome), None, served)
        }
        Ended::Over(Err(refusal)) => refuse(&call.refuse(&refusal), served),
        Ended::Broken => refuse(&call.broken(), served),
    }
}

async fn dispatch(call: &Call, body: Body) -> Result<Reply, Refusal> {
    match call.method {
        // The hot ones are part of this future; the others are boxed, so that it stays small.
        Method::ReadMemory => memory_service::read(call, body).await,
        Method::WriteMemory => memory_service::write(call, body).await,
        Method::GrowMemory => Box::pin(memory_service::grow(call, body)).await,
        Method::FillMemory => Box::pin(memory_service::fill(call, body)).await,
        Method::CopyMemory => Box::pin(memory_service::copy(call, body)).await,
        Method::ExecuteOperations => Box::pin(operations::execute(call, body)).await,
        Method::OpenSession => Box::pin(session::open(call, body)).await,
        Method::DiscardMemory => Box::pin(memory_service::discard(call, body)).await,
        Method::VerifyMemory => Box::pin(verify::verify(call, body)).await,
        Method::ProtectMemory => Box::pin(memory_service::protect(call, body)).await,
        Method::SetVolatility => Box::pin(memory_service::set_volatility(call, body)).await,
        Method::DownloadMemory => Box::pin(transfer::download(call, body)).await,
        Method::UploadMemory => Box::pin(transfer::upload(call, body)).await,
        Method::GetServerInfo => Box::pin(server_info::server_info(call, body)).await,
        Method::CreateMemory => Box::pin(creation::create(call, body)).await,
        Method::GetMemory => Box::pin(memory_service::get(call, body)).await,
        Method::ListMemories => Box::pin(memory_service::list(call, body)).await,
        Method::UpdateMemory => Box::pin(memory_service::update(call, body)).await,
        Method::DeleteMemory => Box::pin(memory_service::delete(call, body)).await,
        Method::KeepAliveMemory => Box::pin(memory_service::keep_alive(call, body)).await,
        Method::WaitOnAddress => Box::pin(waits::wait(call, body)).await,
        Method::NotifyAddress => Box::pin(waits::notify(call, body)).await,
        Method::GetHost => Box::pin(admin_service::host(call, body)).await,
        Method::Reload => Box::pin(reload::reload(call, body)).await,
        Method::Drain => Box::pin(admin_service::drain(call, body)).await,
        Method::ListTenants => Box::pin(tenant_service::list(call, body)).await,
        Method::CreatePartition => Box::pin(partition_service::create(call, body)).await,
        Method::GetPartition => Box::pin(partition_service::get(call, body)).await,
        Method::ListPartitions => Box::pin(partition_service::list(call, body)).await,
        Method::DeletePartition => Box::pin(partition_service::delete(call, body)).await,
        Method::PutSegment => Box::pin(segment_service::put(call, body)).await,
        Method::GetSegment => Box::pin(segment_service::get(call, body)).await,
        Method::ListSegments => Box::pin(segment_service::list(call, body)).await,
        Method::InitMemory => Box::pin(segment_service::init(call, body)).await,
        Method::DropSegment => Box::pin(segment_service::drop(call, body)).await,
        Method::CreateMemorySet => Box::pin(creation::create_set(call, body)).await,
        Method::GetMemorySet => Box::pin(set_service::get(call, body)).await,
        Method::ListMemorySets => Box::pin(set_service::list(call, body)).await,
        Method::DeleteMemorySet => Box::pin(set_service::delete(call, body)).await,
        Method::OpenView => Box::pin(view_service::open(call, body)).await,
        Method::RefreshView => Box::pin(view_service::refresh(call, body)).await,
        Method::CloseView => Box::pin(view_service::close(call, body)).await,
        Method::ResetMemoryStats => Box::pin(verify::reset_stats(call, body)).await,
        Method::ShareMemory => Box::pin(share_service::share(call, body)).await,
        Method::ListShares => Box::pin(share_service::list(call, body)).await,
        Method::RevokeShare => Box::pin(share_service::revoke(call, body)).await,
        Method::MountShare => Box::pin(share_service::mount(call, body)).await,
        Method::WatchEvents => Box::pin(event_service::watch(call, body)).await,
        Method::CreateGrowHook => Box::pin(hook_service::create(call, body)).await,
        Method::GetGrowHook => Box::pin(hook_service::get(call, body)).await,
        Method::ListGrowHooks => Box::pin(hook_service::list(call, body)).await,
        Method::DeleteGrowHook => Box::pin(hook_service::delete(call, body)).await,
        Method::AnswerGrowHook => Ok(Reply::Deciding(Box::new(body))),
        // Answered in handle(), which has no Call for them.
        Method::HealthCheck
        | Method::HealthWatch
        | Method::ReflectionV1
        | Method::ReflectionV1Alpha
        | Method::Unknown => Err(Failure::InternalFault.into()),
    }
}

pub(crate) fn refuse(status: &Status, mut served: Served) -> Response<ReplyBody> {
    served.ended(status.code());
    reply::refusal(status, Some(served))
}

fn is_grpc(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    request.method() == http::Method::POST
        && content_type.is_some_and(|value| {
            value == b"application/grpc"
                || value.starts_with(b"application/grpc+proto")
                || value.starts_with(b"application/grpc;")
        })
}

/// Not gRPC at all: the protocol's own answer is HTTP's 415.
fn unsupported_media_type() -> Response<ReplyBody> {
    let mut response = reply::empty();
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    fn size<F>(_of: impl Fn(Arc<Connection>, Request<Body>) -> F) -> usize {
        size_of::<F>()
    }

    /// hyper and tokio copy the future of every call when they make a task of it: at 2,096 bytes a
    /// small read took 3 % longer than at 1,424.
    #[test]
    fn the_future_of_a_call_is_small() {
        assert!(size(handle) <= 1600, "{} bytes", size(handle));
    }
}

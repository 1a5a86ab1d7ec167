//! [`Foreign`]: health and reflection, which tonic's own crates answer; they ask for no tenant and say
//! nothing about one.
//!
//! Law: anybody may ask, so that nothing of it is charged to anybody and all of it is small. Of a question
//! about health no more is kept than the headers that tonic looks at and one message of a name's length;
//! streams that stay are few in all. What is asked comes in time, or is given up.

use std::cmp::Ordering;
use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as Body;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::{Builder, Error};
use tower::Service;
use tower::util::BoxCloneSyncService;

use crate::error::Failure;
use crate::proto::DESCRIPTORS;
use crate::rpc::call::{CallId, Served};
use crate::rpc::connection::Connection;
use crate::rpc::deadline::deadline;
use crate::rpc::drip::UNSENT;
use crate::rpc::front::refuse;
use crate::rpc::message::HEADER;
use crate::rpc::method::Method;
use crate::rpc::misshapen::{MISSING, REPEATED, TORN, wrong};
use crate::rpc::reply::{self, ReplyBody};
use crate::rpc::status::{self, Refusal};
use crate::rpc::task::answered_within;
use crate::tenancy::Budget;

/// Longest message about health: it holds the name of a service.
const HEALTH_BYTES: usize = 1 << 10;
/// Longest message of reflection: it holds a name.
const REFLECTION_BYTES: usize = 16 << 10;
/// Headers that these services look at.
const HEADERS: [&str; 4] =
    ["content-type", "grpc-encoding", "grpc-accept-encoding", "grpc-timeout"];
/// Who asks about services has the answer in a moment, and the streams for it are few.
const LONGEST_REFLECTION: Duration = Duration::from_secs(60);
/// Streams of reflection at a time, in all: an answer may be some hundred kilobytes.
const MAX_REFLECTIONS: u64 = 16;
/// Watches of health at a time, in all.
const MAX_WATCHES: u64 = 1_024;

type Answers<B> = BoxCloneSyncService<Request<B>, Response<tonic::body::Body>, Infallible>;

/// The services of tonic's own crates.
pub(crate) struct Foreign {
    health: Answers<Full<Bytes>>,
    reflection: Answers<Body>,
    reflection_alpha: Answers<Body>,
    reporter: HealthReporter,
    reflections: Budget,
    watches: Budget,
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").finish_non_exhaustive()
    }
}

impl Foreign {
    /// # Errors
    /// Where the descriptors that were compiled in cannot be reflected.
    pub(crate) fn new() -> Result<Self, Error> {
        let reporter = HealthReporter::new();
        let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let builder = || {
            Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let (newer, older) = (builder().build_v1()?, builder().build_v1alpha()?);
        Ok(Self {
            health: Answers::new(health),
            reflection: Answers::new(newer.max_decoding_message_size(REFLECTION_BYTES)),
            reflection_alpha: Answers::new(older.max_decoding_message_size(REFLECTION_BYTES)),
            reporter,
            reflections: Budget::new("reflection_streams", MAX_REFLECTIONS),
            watches: Budget::new("health_watches", MAX_WATCHES),
        })
    }

    /// Says from now on how a service is.
    pub(crate) async fn tell(&self, service: &str, status: ServingStatus) {
        self.reporter.set_service_status(service, status).await;
    }

    /// How many streams of a method there may be; none: those that end by themselves.
    pub(crate) const fn room(&self, method: Method) -> Option<&Budget> {
        match method {
            Method::ReflectionV1 | Method::ReflectionV1Alpha => Some(&self.reflections),
            Method::HealthWatch => Some(&self.watches),
            _ => None,
        }
    }
}

/// Answers one call.
pub(crate) async fn answer(
    connection: &Connection,
    id: CallId,
    request: Request<Body>,
    mut served: Served,
) -> Response<ReplyBody> {
    let (foreign, limits) = (&connection.server.foreign, &connection.server.limits);
    let method = Method::of(request.uri().path());
    let refused = |failure| status::status(&Refusal::from(failure), &id.to_string());
    if let Err(failure) = served.enter_foreign() {
        return refuse(&refused(failure), served);
    }
    let reflects = matches!(method, Method::ReflectionV1 | Method::ReflectionV1Alpha);
    let now = Instant::now();
    let longest = if reflects { LONGEST_REFLECTION } else { limits.max_deadline };
    let deadline = deadline(request.headers(), now, longest).unwrap_or_default();
    let deadline = deadline.or_else(|| now.checked_add(longest).filter(|_| reflects));
    let answering = async {
        let Ok(response) = match method {
            Method::ReflectionV1 => foreign.reflection.clone().call(request).await,
            Method::ReflectionV1Alpha => foreign.reflection_alpha.clone().call(request).await,
            _ => foreign.health.clone().call(asked(request).await?).await,
        };
        Ok(response)
    };
    let limit = limits.message_timeout;
    let answered = tokio::time::timeout(limit, answering).await;
    let response = match answered.unwrap_or(Err(Failure::Stalled { deed: UNSENT, limit })) {
        Ok(response) => response,
        Err(failure) => return refuse(&refused(failure), served),
    };
    answered_within(deadline);
    if let Some(status) = Status::from_header_map(response.headers()) {
        served.ended(status.code());
    } else if method == Method::HealthCheck {
        served.ended(Code::Ok);
    }
    reply::of_tonic(response, served)
}

/// A question about health, once all of it is here.
///
/// # Errors
/// TOO_LARGE, INVALID_FIELD.
async fn asked(request: Request<Body>) -> Result<Request<Full<Bytes>>, Failure> {
    let (parts, mut body) = request.into_parts();
    let mut question = Request::new(Full::default());
    *question.method_mut() = parts.method;
    *question.uri_mut() = parts.uri;
    *question.version_mut() = parts.version;
    copy(&parts.headers, question.headers_mut());
    drop(parts.headers);
    let mut message = Vec::new();
    while let Some(frame) = body.frame().await {
        // The stream was reset or the connection lost: nobody will see an answer.
        let Ok(frame) = frame else { return Err(wrong(TORN)) };
        if let Ok(data) = frame.into_data() {
            message.extend_from_slice(&data);
            admit(&message)?;
        }
    }
    let Some(announced) = announced(&message) else {
        return Err(wrong(if message.is_empty() { MISSING } else { TORN }));
    };
    // Those who answer would read the first of several and leave the others.
    match came(&message).cmp(&announced) {
        Ordering::Less => return Err(wrong(TORN)),
        Ordering::Equal => {}
        Ordering::Greater => return Err(wrong(REPEATED)),
    }
    *question.body_mut() = Full::new(message.into());
    Ok(question)
}

fn copy(all: &HeaderMap, few: &mut HeaderMap) {
    for name in HEADERS {
        if let Some(value) = all.get(name) {
            few.insert(name, value.clone());
        }
    }
}

/// That no more has come, and no more is announced, than may be.
fn admit(message: &[u8]) -> Result<(), Failure> {
    let length = came(message).max(announced(message).unwrap_or(0));
    if length <= HEALTH_BYTES {
        return Ok(());
    }
    Err(Failure::TooLarge {
        field: "message",
        length: length as u64,
        limit_name: "max_health_bytes",
        limit: HEALTH_BYTES as u64,
        instead: "ask for a service by its name",
    })
}

/// How much came behind the message's header.
fn came(message: &[u8]) -> usize {
    message.len().saturating_sub(HEADER)
}

/// How long the message's header says that it is; none: that is not here yet.
fn announced(message: &[u8]) -> Option<usize> {
    message.get(1..HEADER).map(|mut length| length.get_u32() as usize)
}

//! [`serve`]: one connection, from its first byte to its last.
//!
//! Law: what h2 and hyper leave open is closed here: stream, header and reset limits; a preface, a
//! frame or a header block that does not come whole in time; a connection without calls for too
//! long; a peer that no longer answers pings; the drain (GOAWAY, then wait for the calls). Windows
//! are fixed, because an adaptive one would change h2's budget for small frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval};

use crate::error::Failure;
use crate::rpc::admission::Door;
use crate::rpc::front;
use crate::rpc::moderation::{Moderation, Rest, SetMark};
use crate::rpc::server::{Phase, Place, Server};
use crate::rpc::task::CallTasks;
use crate::rpc::wire::{Progress, Watched};
use crate::tenancy::Caller;

/// Room for one connection's unread bytes: h2's budget for small frames follows from it.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Room for one stream's unread bytes: a message of a stream. More only goes cold in the cache.
const STREAM_WINDOW: u32 = 1 << 20;
/// A frame's payload at most: large messages then come in few frames.
const FRAME: u32 = 1 << 20;
/// What a connection may have buffered for sending on each stream.
const SEND_BUFFER: usize = 1 << 20;
/// Streams reset by the peer before they were accepted, and by us for its errors (CVE-2023-44487
/// and its kin): more ends the connection.
const PENDING_RESETS: usize = 256;
const ERROR_RESETS: usize = 1024;
/// How often the limits in time are looked at, unless one of them is shorter than ten such looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks within the shortest limit, so that none is kept a tenth too long.
const LOOKS: u32 = 10;

/// What one connection may do.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Streams at once.
    pub streams: u32,
    /// Bytes of one request's headers.
    pub header_list_bytes: u32,
    /// Until the preface is whole.
    pub preface_timeout: Duration,
    /// Until a frame other than DATA, or a header block, is whole.
    pub header_timeout: Duration,
    /// Without a call.
    pub idle_timeout: Duration,
    /// Between pings.
    pub keepalive_interval: Duration,
    /// Until a ping is answered.
    pub keepalive_timeout: Duration,
}

impl ConnectionLimits {
    fn look_every(&self) -> Duration {
        let shortest = self.preface_timeout.min(self.header_timeout).min(self.idle_timeout);
        let tenth = shortest.checked_div(LOOKS).unwrap_or(shortest);
        tenth.clamp(Duration::from_millis(1), LOOK_EVERY)
    }
}

/// What the calls of one connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) server: Arc<Server>,
    pub(crate) number: u64,
    caller: Caller,
    /// To its socket.
    rest: Arc<Rest>,
    /// The door to the tenant of calls that name none.
    default: Result<Arc<Door>, Failure>,
    calls_ever: AtomicU64,
    calls: AtomicUsize,
    epoch: Instant,
    /// When the last call ended, in nanoseconds after `epoch`.
    quiet_since: AtomicU64,
    _place: Place,
}

impl Connection {
    fn new(server: Arc<Server>, caller: Caller, place: Place) -> Arc<Self> {
        let rest = Arc::default();
        Arc::new(Self {
            number: server.connections_ever.fetch_add(1, Ordering::Relaxed),
            default: door(&server, caller, None, &rest),
            server,
            caller,
            rest,
            calls_ever: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            epoch: Instant::now(),
            quiet_since: AtomicU64::new(0),
            _place: place,
        })
    }

    /// The door to the tenant that a call names, or to the default.
    pub(crate) fn door(&self, named: Option<&[u8]>) -> Result<Arc<Door>, Failure> {
        match named {
            None => self.default.clone(),
            Some(_) => door(&self.server, self.caller, named, &self.rest),
        }
    }

    pub(crate) fn next_call(&self) -> u64 {
        self.calls_ever.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn call_begun(&self) {
        self.calls.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn call_ended(&self) {
        if self.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.quiet_since.store(now, Ordering::Release);
        }
    }

    /// How long there has been no call.
    fn quiet_for(&self) -> Duration {
        if self.calls.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        let since = Duration::from_nanos(self.quiet_since.load(Ordering::Acquire));
        self.epoch.elapsed().saturating_sub(since)
    }
}

fn door(
    server: &Arc<Server>,
    caller: Caller,
    named: Option<&[u8]>,
    rest: &Arc<Rest>,
) -> Result<Arc<Door>, Failure> {
    let access = server.tenants.access(caller, named)?;
    Ok(Arc::new(Door { access, server: Arc::clone(server), rest: Arc::clone(rest) }))
}

/// Serves one connection to its end.
pub async fn serve<S>(
    stream: S,
    set_mark: SetMark<S>,
    caller: Caller,
    place: Place,
    server: Arc<Server>,
    limits: ConnectionLimits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut phase = server.phase();
    let connection = Connection::new(server, caller, place);
    let progress = Progress::new();
    let moderation = Moderation::new(set_mark, Arc::clone(&connection.rest));
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&progress), moderation));
    let service = {
        let connection = Arc::clone(&connection);
        service_fn(move |request| front::handle(Arc::clone(&connection), request))
    };
    let mut conversation = std::pin::pin!(protocol(&limits).serve_connection(io, service));
    let mut look = interval(limits.look_every());
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
            // What ended it (the peer, a protocol error) is the peer's business.
            _ended = conversation.as_mut() => return,
            _phase = phase.wait_for(|phase| *phase == Phase::Draining), if !leaving => {
                leaving = true;
                conversation.as_mut().graceful_shutdown();
            }
            _ = look.tick() => {
                if let Some((since, preface)) = progress.owes_since() {
                    let limit = if preface { limits.preface_timeout } else { limits.header_timeout };
                    if since.elapsed() >= limit {
                        tracing::debug!(connection = connection.number, preface, "too slow; closed");
                        return;
                    }
                }
                if !leaving && connection.quiet_for() >= limits.idle_timeout {
                    leaving = true;
                    conversation.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn protocol(limits: &ConnectionLimits) -> http2::Builder<CallTasks> {
    let mut builder = http2::Builder::new(CallTasks);
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_list_bytes)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        .auto_date_header(false);
    builder
}

//! [`serve`]: one connection, from its first byte to its last.
//!
//! Law: what h2 and hyper leave open is closed here: stream, header and reset limits; a preface, a
//! frame or a header block that does not come whole in time; a reply that the peer does not take; a
//! connection without calls of somebody who may call for too long, which is told to go and then ended;
//! a peer that no longer answers pings; the drain (GOAWAY, then wait for the calls). Windows are fixed,
//! because an adaptive one would change h2's budget for small frames. For whom a connection is counted
//! is `seats.rs`'s.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval};

use crate::error::Failure;
use crate::registry::Tie;
use crate::rpc::admission::{Door, ShownForIt};
use crate::rpc::front;
use crate::rpc::moderation::{Moderation, Rest, SetMark};
use crate::rpc::newcomer::Newcomer;
use crate::rpc::party::Party;
use crate::rpc::places::Place;
use crate::rpc::polls;
use crate::rpc::seats::Seats;
use crate::rpc::server::{Phase, Server};
use crate::rpc::task::CallTasks;
use crate::rpc::untaken::{Untaken, patience};
use crate::rpc::verdicts::{Verdicts, leave};
use crate::rpc::whereabouts::Whereabouts;
use crate::rpc::wire::{Owed, Progress, Watched};
use crate::tenancy::{Denied, Peer, Shown};

/// Room for one connection's unread bytes: h2's budget for small frames follows from it.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Room for one stream's unread bytes: a message of a stream. More only goes cold in the cache.
const STREAM_WINDOW: u32 = 1 << 20;
/// A frame's payload at most: large messages then come in few frames, and a frame that is torn, which
/// no budget counts, is short.
const FRAME: u32 = 64 << 10;
/// What a connection may have buffered for sending on each stream before more is asked for. A large
/// message is handed over whole, so that two of a download are under way at a time.
const SEND_BUFFER: usize = 64 << 10;
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
    /// Until the TLS handshake is over.
    pub tls_timeout: Duration,
    /// The longest life of a connection that was let in by its certificate.
    pub certificate_age: Duration,
    /// Until the preface is whole.
    pub preface_timeout: Duration,
    /// Until a frame other than DATA, or a header block, is whole.
    pub header_timeout: Duration,
    /// Until a frame of DATA is whole, beside the time that its bytes take.
    pub message_timeout: Duration,
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
        let shortest = shortest.min(self.message_timeout);
        let tenth = shortest.checked_div(LOOKS).unwrap_or(shortest);
        tenth.clamp(Duration::from_millis(1), LOOK_EVERY)
    }

    fn owed_within(&self, what: Owed) -> Duration {
        match what {
            Owed::Preface => self.preface_timeout,
            Owed::Frame => self.header_timeout,
            Owed::Data(length) => patience(self.message_timeout, length),
        }
    }
}

/// What the calls of one connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) server: Arc<Server>,
    pub(crate) number: u64,
    peer: Arc<Peer>,
    /// To its socket.
    rest: Arc<Rest>,
    /// Its large replies.
    pub(crate) untaken: Arc<Untaken>,
    /// Whom its turns are counted for: the tenant that was called for last.
    party: Arc<Party>,
    /// One for each tenant that it calls for.
    seats: Seats,
    /// It has been called by for what is the host's business, which takes no seat.
    operates: AtomicBool,
    /// Memories that go with it.
    tie: Arc<Tie>,
    /// The door of the last call that was let in: most connections need no other.
    recent: Mutex<Option<Arc<Door>>>,
    /// Of calls that were not.
    verdicts: Verdicts,
    calls_ever: AtomicU64,
    /// Calls of somebody who may call: no others keep it from being idle.
    calls: AtomicUsize,
    epoch: Instant,
    /// When the last call ended, in nanoseconds after `epoch`.
    quiet_since: AtomicU64,
    place: Place,
}

impl Connection {
    fn new(newcomer: Newcomer, peer: Peer) -> Arc<Self> {
        let Newcomer { server, number, place, party } = newcomer;
        Arc::new(Self {
            number,
            server,
            party,
            peer: Arc::new(peer),
            rest: Arc::default(),
            untaken: Arc::default(),
            seats: Seats::default(),
            operates: AtomicBool::new(false),
            tie: Arc::default(),
            recent: Mutex::new(None),
            verdicts: Verdicts::default(),
            calls_ever: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            epoch: Instant::now(),
            quiet_since: AtomicU64::new(0),
            place,
        })
    }

    /// The door of a call that shows this and names that tenant.
    ///
    /// # Errors
    /// As [`Tenants::judge`](crate::tenancy::Tenants::judge), and as [`leave`].
    pub(crate) fn door(
        &self,
        authorization: Option<&[u8]>,
        tenant: Option<&[u8]>,
        now: SystemTime,
    ) -> Result<Arc<Door>, Denied> {
        let tenants = &self.server.tenants;
        // Read before the identities are: a change between the two is noticed by the next call.
        let generation = tenants.generation();
        if let Some(door) = &*self.recent()
            && door.generation == generation
            && door.shown.is(authorization, tenant)
            && !door.access.grant().has_expired(now)
        {
            return Ok(Arc::clone(door));
        }
        if let Some(denied) = self.verdicts.known(generation, authorization, tenant, now) {
            return Err(denied);
        }
        let shown = ShownForIt::new(&self.peer, authorization, tenant);
        let access = match tenants.judge(shown.borrow(), now, || leave(&self.party)) {
            Ok(access) => access.tied_to(&self.tie),
            Err(denied) => {
                self.verdicts.refused(&denied, shown, generation, now, &self.party);
                return Err(denied);
            }
        };
        let (server, rest) = (Arc::clone(&self.server), Arc::clone(&self.rest));
        let untaken = Arc::clone(&self.untaken);
        let address = self.place.peer();
        let judged = Mutex::default();
        let door =
            Arc::new(Door { access, generation, server, shown, address, rest, untaken, judged });
        *self.recent() = Some(Arc::clone(&door));
        Ok(door)
    }

    /// Where it is from.
    pub(crate) fn whereabouts(&self) -> Option<Whereabouts> {
        Whereabouts::of(&self.peer, self.place.peer())
    }

    /// The door of the last call that was let in, where that showed the same.
    pub(crate) fn last_door(
        &self,
        authorization: Option<&[u8]>,
        tenant: Option<&[u8]>,
    ) -> Option<Arc<Door>> {
        let recent = self.recent();
        recent.as_ref().filter(|door| door.shown.is(authorization, tenant)).map(Arc::clone)
    }

    fn recent(&self) -> MutexGuard<'_, Option<Arc<Door>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts this connection among those of the door's tenant, at its first call for it.
    ///
    /// # Errors
    /// OVERLOADED naming the limit.
    pub(crate) fn seat(&self, door: &Arc<Door>, now: SystemTime) -> Result<(), Failure> {
        self.seats.take(door, &self.party, now)
    }

    /// A call is an operator's.
    pub(crate) fn is_operators(&self, door: &Door) {
        self.party.belongs_to(Arc::as_ptr(door.access.tenant()).addr());
        self.operates.store(true, Ordering::Relaxed);
    }

    /// Whether the operator that called last may still.
    fn has_operator(&self, now: SystemTime) -> bool {
        self.operates.load(Ordering::Relaxed)
            && self.recent().as_ref().is_some_and(|door| {
                door.generation == self.server.tenants.generation()
                    && !door.access.grant().has_expired(now)
            })
    }

    /// A call was refused: what gave the connection a seat may count no more.
    pub(crate) fn call_refused(&self, now: SystemTime) {
        self.seats.judge(&self.server.tenants, now, true);
    }

    /// Whether somebody who may call is at its other end: by its seats, or by how it came.
    pub(crate) fn is_somebodys(&self) -> bool {
        let now = SystemTime::now();
        self.seats.are_any()
            || self.has_operator(now)
            || self.server.tenants.grant(Shown::by(&self.peer), now).is_ok()
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

    /// What is left of calls of somebody who may call no more does not count.
    fn is_quiet(&self) -> bool {
        self.calls.load(Ordering::Acquire) == 0 || !self.is_somebodys()
    }

    /// How long there has been no call.
    fn quiet_for(&self) -> Duration {
        if !self.is_quiet() {
            return Duration::ZERO;
        }
        let since = Duration::from_nanos(self.quiet_since.load(Ordering::Acquire));
        self.epoch.elapsed().saturating_sub(since)
    }
}

/// Ends what goes with a connection when that is over, however it came about.
struct Tied<'a>(&'a Connection);

impl Drop for Tied<'_> {
    fn drop(&mut self) {
        self.0.server.let_go(&self.0.tie, Arc::clone(&self.0.peer), self.0.place.peer());
    }
}

/// Serves one connection, which may begin, to its end.
pub async fn serve<S>(
    stream: S,
    set_mark: SetMark<S>,
    peer: Peer,
    newcomer: Newcomer,
    limits: ConnectionLimits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut phase = newcomer.server.phase();
    let ages = matches!(peer, Peer::Certificate(_)).then_some(limits.certificate_age);
    let connection = Connection::new(newcomer, peer);
    let _tied = Tied(&connection);
    let progress = Progress::new();
    let moderation = Moderation::new(set_mark, Arc::clone(&connection.rest));
    let party = Arc::clone(&connection.party);
    let untaken = Arc::clone(&connection.untaken);
    let io = TokioIo::new(Watched::new(
        stream,
        Arc::clone(&party),
        Arc::clone(&progress),
        moderation,
        untaken,
    ));
    let service = {
        let connection = Arc::clone(&connection);
        service_fn(move |request| front::handle(Arc::clone(&connection), request))
    };
    let mut conversation = std::pin::pin!(protocol(party, &limits).serve_connection(io, service));
    let mut look = interval(limits.look_every());
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leaving = false;
    // When it is ended though the peer stays, once it was told to go for being idle.
    let mut ends = None;
    loop {
        tokio::select! {
            biased;
            // What ended it (the peer, a protocol error) is the peer's business.
            _ended = poll_fn(|context| {
                polls::poll(context, |context| conversation.as_mut().poll(context))
            }) => return,
            _phase = phase.wait_for(|phase| *phase == Phase::Draining), if !leaving => {
                leaving = true;
                conversation.as_mut().graceful_shutdown();
            }
            _ = look.tick() => {
                let now = Instant::now();
                connection.seats.judge(&connection.server.tenants, SystemTime::now(), false);
                if let Some(why) = overdue(&connection, &progress, &limits, now) {
                    tracing::debug!(connection = connection.number, why, "too slow; closed");
                    return;
                }
                if ends.is_some_and(|ends| ends <= now) && connection.is_quiet() {
                    return;
                }
                let old = ages.is_some_and(|most| connection.epoch.elapsed() >= most);
                if !leaving && (old || connection.quiet_for() >= limits.idle_timeout) {
                    leaving = true;
                    ends = now.checked_add(limits.idle_timeout);
                    conversation.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// What the peer should have sent or taken by now.
fn overdue(
    connection: &Connection,
    progress: &Progress,
    limits: &ConnectionLimits,
    now: Instant,
) -> Option<&'static str> {
    if let Some((since, what)) = progress.owes_since()
        && now.saturating_duration_since(since) >= limits.owed_within(what)
    {
        return Some(match what {
            Owed::Preface => "preface",
            Owed::Frame => "frame",
            Owed::Data(_) => "data",
        });
    }
    connection.untaken.is_late(now).then_some("reply")
}

fn protocol(party: Arc<Party>, limits: &ConnectionLimits) -> http2::Builder<CallTasks> {
    let mut builder = http2::Builder::new(CallTasks(party));
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

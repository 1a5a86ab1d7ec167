//! EventService: a watch, from its request to whatever ends it.
//!
//! Law: what has happened goes out together, up to [`BATCH_BYTES`], which are held for as long as the
//! watch is open, with what it takes of the ring ahead: a peer that takes nothing costs those and its
//! place among the tenant's calls. It ends at its deadline, with its client, or at a drain, which does
//! not wait for it: what had happened by then is told, and then DRAINING. Waits for nothing else, so an
//! event is on its way when it happens.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming as Body;
use prost::Message;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use crate::error::Failure;
use crate::model::Uuid;
use crate::proto::v1;
use crate::proto::v1::event::Detail;
use crate::proto::v1::watch_events_response::Message as Told;
use crate::registry::{
    AHEAD_BYTES, Beginning, Event, EventKind, EventKinds, Happening, LabelSelector, Present, Seen,
    ShareStep, Sharing, Unwatchable, Watch,
};
use crate::rpc::admission::InFlight;
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::plain;
use crate::rpc::message::HEADER;
use crate::rpc::reply::ReplyStream;
use crate::rpc::server::Phase;
use crate::rpc::share_service;
use crate::rpc::spec::known;
use crate::rpc::status::{self, Refusal};
use crate::rpc::until::Until;

/// What a watch holds in the in-flight budgets.
const HELD_BYTES: u64 = 16 << 10;
/// What is put together before it is sent; the last message of it may be longer by itself.
const BATCH_BYTES: u64 = HELD_BYTES - AHEAD_BYTES;

/// A watch that has begun.
pub(crate) struct Watching {
    watch: Watch,
    _held: InFlight,
}

pub(crate) async fn watch(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::WatchEventsRequest>(call, body).await?.message;
    let selector = LabelSelector::parse(&request.label_selector)
        .map_err(|why| Failure::InvalidField { field: "label_selector", why })?;
    let kinds = kinds(&request.kinds)?;
    let boot_id = call.door.server.boot_id;
    let beginning = match (request.resume, request.snapshot) {
        (None, false) => Beginning::Now,
        (None, true) => Beginning::Snapshot,
        (Some(_), true) => {
            let why = "is not to be had with resume: what is resumed needs none".to_owned();
            return Err(Failure::InvalidField { field: "snapshot", why }.into());
        }
        (Some(position), false) => Beginning::At(resumed(&position, boot_id)?),
    };
    let held = call.hold(HELD_BYTES)?;
    let watch = call.door.access.watch(beginning, selector, kinds).map_err(|why| match why {
        Unwatchable::Compacted { oldest } => Failure::SequenceCompacted { oldest, boot_id },
        Unwatchable::Ahead { next } => Failure::InvalidField {
            field: "resume.sequence",
            why: format!("has not happened; {next} is next"),
        },
    })?;
    Ok(Reply::Watch(Box::new(Watching { watch, _held: held })))
}

/// The sequence to go on at; 0, which is always too old, where it is another run's.
fn resumed(position: &v1::EventPosition, boot_id: Uuid) -> Result<u64, Failure> {
    if convert::uuid("resume.boot_id", &position.boot_id)? != boot_id {
        return Ok(0);
    }
    match position.sequence {
        0 => {
            let why = "is 0; sequences begin at 1".to_owned();
            Err(Failure::InvalidField { field: "resume.sequence", why })
        }
        sequence => Ok(sequence),
    }
}

fn kinds(asked: &[i32]) -> Result<EventKinds, Failure> {
    if asked.is_empty() {
        return Ok(EventKinds::ALL);
    }
    asked.iter().try_fold(EventKinds::NONE, |kinds, asked| {
        let kind = match known("kinds", *asked)? {
            v1::EventKind::Created => EventKind::Created,
            v1::EventKind::Grown => EventKind::Grown,
            v1::EventKind::GrowDenied => EventKind::GrowDenied,
            v1::EventKind::GrowFailed => EventKind::GrowFailed,
            v1::EventKind::Deleted => EventKind::Deleted,
            v1::EventKind::Expired => EventKind::Expired,
            v1::EventKind::Quarantined => EventKind::Quarantined,
            v1::EventKind::Purged => EventKind::Purged,
            v1::EventKind::Shared => EventKind::Shared,
            v1::EventKind::Attached => return Ok(kinds),
            v1::EventKind::Unspecified => {
                let why = "has one that says nothing; leave it empty for all of them".to_owned();
                return Err(Failure::InvalidField { field: "kinds", why });
            }
        };
        Ok(kinds.and(kind))
    })
}

/// The messages of a watch, until its deadline.
pub(crate) fn stream(
    watching: Watching,
    call: Call,
    deadline: Option<Instant>,
) -> impl ReplyStream + 'static {
    let mut phase = call.door.server.phase();
    let every = call.door.server.limits.progress_interval;
    let messages = Telling {
        watching,
        call: call.clone(),
        begun: false,
        every,
        progress: Box::pin(sleep(every)),
        // The sender lives as long as the server.
        drain: Box::pin(async move {
            let _draining = phase.wait_for(|phase| *phase == Phase::Draining).await;
        }),
        until: None,
    };
    Until::new(messages, deadline, call)
}

/// What is told to one watcher.
struct Telling {
    watching: Watching,
    call: Call,
    begun: bool,
    every: Duration,
    progress: Pin<Box<Sleep>>,
    drain: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Where it ends, once the daemon drains.
    until: Option<u64>,
}

impl ReplyStream for Telling {
    fn poll_message(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Status>> {
        let this = &mut *self;
        if this.until.is_none() && this.drain.as_mut().poll(context).is_ready() {
            this.until = Some(this.watching.watch.newest());
        }
        let mut out = Vec::new();
        if !this.begun {
            this.begun = true;
            let boot_id = this.call.door.server.boot_id.to_string();
            let next_sequence = this.watching.watch.position();
            this.put(&mut out, Told::Started(v1::WatchStarted { boot_id, next_sequence }));
        }
        let mut over = this.is_over();
        while !over && (out.len() as u64) < BATCH_BYTES {
            match this.watching.watch.poll_next(context) {
                Poll::Ready(seen) => {
                    let told = this.told(seen);
                    this.put(&mut out, told);
                    over = this.is_over();
                }
                Poll::Pending => break,
            }
        }
        if this.progress.as_mut().poll(context).is_ready() {
            this.progress = Box::pin(sleep(this.every));
            // Until polled it would wake nobody.
            let _pending = this.progress.as_mut().poll(context);
            if !this.watching.watch.is_in_snapshot() {
                let next_sequence = this.watching.watch.position();
                this.put(&mut out, Told::Progress(v1::WatchProgress { next_sequence }));
            }
        }
        match (out.is_empty(), over) {
            (false, _) => Poll::Ready(Ok(out.into())),
            (true, true) => Poll::Ready(Err(this.call.refuse(&Failure::Draining.into()))),
            (true, false) => Poll::Pending,
        }
    }
}

impl Telling {
    /// Whether what had happened when the drain began has been told.
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| self.watching.watch.position() >= until)
    }

    fn told(&self, seen: Seen) -> Told {
        match seen {
            Seen::Present(present) => Told::Event(of_present(&present)),
            Seen::SnapshotEnd(next_sequence) => {
                Told::SnapshotEnd(v1::SnapshotEnd { next_sequence })
            }
            Seen::Event(sequence, event) => Told::Event(of_event(sequence, &event)),
            Seen::Lost { first, last } => {
                let count = last.saturating_sub(first).saturating_add(1);
                self.call.door.access.note_events_dropped(count);
                Told::Lost(v1::EventsLost { first, last })
            }
        }
    }

    /// Appends a message with its header.
    fn put(&self, out: &mut Vec<u8>, told: Told) {
        let message = v1::WatchEventsResponse { message: Some(told) };
        let length = message.encoded_len();
        out.reserve(HEADER.saturating_add(length));
        out.push(0);
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        // Fails only for want of room, of which a Vec makes more.
        let _cannot_fail = message.encode(out);
        if let Some(meters) = self.call.meters() {
            meters.sent();
        }
    }
}

fn of_present(present: &Present) -> v1::Event {
    let Present { record, size, quarantined } = present;
    let state_reason = quarantined.unwrap_or_default().to_owned();
    v1::Event {
        sequence: 0,
        time: Some(record.created().into()),
        kind: v1::EventKind::Created.into(),
        memory_id: record.id.to_string(),
        uid: record.uid.to_string(),
        detail: Some(Detail::Created(v1::MemoryCreated { size_pages: size.get(), state_reason })),
    }
}

fn of_event(sequence: u64, event: &Event) -> v1::Event {
    let (kind, detail) = of_happening(&event.happening);
    v1::Event {
        sequence,
        time: Some(event.time.into()),
        kind: kind.into(),
        memory_id: event.memory_id.to_string(),
        uid: event.uid.to_string(),
        detail,
    }
}

fn of_happening(happening: &Happening) -> (v1::EventKind, Option<Detail>) {
    use v1::EventKind as Kind;
    match happening {
        Happening::Created { size } => {
            let (size_pages, state_reason) = (size.get(), String::new());
            (Kind::Created, Some(Detail::Created(v1::MemoryCreated { size_pages, state_reason })))
        }
        Happening::Grown { previous, current } => {
            let (previous_pages, current_pages) = (previous.get(), current.get());
            (Kind::Grown, Some(Detail::Grown(v1::MemoryGrown { previous_pages, current_pages })))
        }
        Happening::GrowDenied { delta_pages, cause, hook_id } => {
            let (cause, hook_id) = ((*cause).to_owned(), hook_id.to_string());
            let denied = v1::GrowDenied { delta_pages: *delta_pages, cause, hook_id };
            (Kind::GrowDenied, Some(Detail::GrowDenied(denied)))
        }
        Happening::GrowFailed { delta_pages, failure } => {
            let reason = status::reason(failure).to_owned();
            let failed = v1::GrowFailed { delta_pages: *delta_pages, reason };
            (Kind::GrowFailed, Some(Detail::GrowFailed(failed)))
        }
        Happening::Deleted => (Kind::Deleted, None),
        Happening::Expired => (Kind::Expired, None),
        Happening::Quarantined { why } => {
            let reason = (*why).to_owned();
            (Kind::Quarantined, Some(Detail::Quarantined(v1::MemoryQuarantined { reason })))
        }
        Happening::Purged { range } => {
            let (offset, length) = (range.start(), range.length().get());
            (Kind::Purged, Some(Detail::Purged(v1::MemoryPurged { offset, length })))
        }
        Happening::Shared(sharing) => (Kind::Shared, Some(Detail::Shared(shared(sharing)))),
    }
}

fn shared(sharing: &Sharing) -> v1::MemoryShared {
    v1::MemoryShared {
        share_id: sharing.share_id.to_string(),
        tenant: sharing.tenant.to_string(),
        access: share_service::access(sharing.access).into(),
        step: match sharing.step {
            ShareStep::Given => v1::ShareStep::Given,
            ShareStep::Mounted => v1::ShareStep::Mounted,
            ShareStep::Ended => v1::ShareStep::Ended,
        }
        .into(),
    }
}

//! OpenSession: groups of operations as a pipeline over one stream.
//!
//! ```text
//! messages in ──> accept ──┬─ at once, under the memory's lock by try ──────────┐
//!                          ├─ in its handle's queue, one running a handle ──────┼──> Outbound ──> frames
//!                          └─ waits, beside the queues ─────────────────────────┘
//! ```
//!
//! Law: everything of a session happens where its reply is polled, on one serving thread, which others
//! have in turns (`Pace`): messages are taken while there is room for what they lead to, results are
//! joined into large frames while there are more, and handed over at once where there are none. Groups of
//! a handle run and answer in order. What waits for its turn is in flight, and takes no more than half of
//! what the tenant may have so; results are until they are out. A session that is dropped has its groups called off before their first
//! effect, and its waits ended; so is one whose client takes nothing for a while (`task.rs`).
//! Every tag has one result. What is wrong with a message's framing, or with the order of messages, ends
//! the session; what is wrong with a group is said of its tag.

mod accept;
mod alone;
mod group;
mod handles;
mod outbound;
mod room;
mod waits;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream};
use hyper::body::Incoming as Body;
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tonic::Status;

use crate::error::Failure;
use crate::memory::Tally;
use crate::model::Now;
use crate::proto::v1::open_session_response::Message as Word;
use crate::proto::v1::session_result::Outcome;
use crate::proto::v1::{self, SessionGoAway, SessionStarted};
use crate::registry::{Attachments, Gate, Reads};
use crate::rpc::admission::{Door, InFlight, Place};
use crate::rpc::call::Call;
use crate::rpc::front::Reply;
use crate::rpc::message::{Came, MessageLimit, Messages};
use crate::rpc::operations;
use crate::rpc::pace::Pace;
use crate::rpc::reply::ReplyStream;
use crate::rpc::server::Phase;
use crate::rpc::session::group::Done;
use crate::rpc::session::handles::{Handles, MAX_HANDLES};
use crate::rpc::session::outbound::{FRAME, Outbound};
use crate::rpc::session::waits::Waits;
use crate::rpc::status::Refusal;
use crate::rpc::task;
use crate::rpc::unfolding;
use crate::rpc::untaken::Departure;
use crate::tenancy::Occasion;

/// Groups without a result yet.
const MAX_GROUPS: u32 = 1_024;
/// Bytes of results under way, where the client wants no fewer.
const MAX_REPLY_BYTES: u64 = 8 << 20;
/// Frames handed over before other connections have their turn.
const FRAMES_A_TURN: u32 = 8;

/// Reads of one memory, as long as nothing else is asked for.
type Turn = Option<Reads>;
/// A group of a handle.
type Running = Pin<Box<dyn Future<Output = (u32, Done)> + Send>>;

/// One session.
pub(crate) struct Session {
    call: Call,
    messages: Messages<Body>,
    out: Outbound,
    handles: Handles,
    running: FuturesUnordered<Running>,
    waits: Waits,
    /// What becomes of the attached memories.
    inbox: Arc<Attachments>,
    /// Its place among the tenant's.
    _place: Place,
    /// Ready when the daemon drains.
    drain: Pin<Box<dyn Future<Output = ()> + Send>>,
    stage: Stage,
    limits: SessionStarted,
    groups: u32,
    reply_bytes: u64,
    /// The part of the budgets of what waits in `out`.
    held: Option<InFlight>,
    /// The large frames that were handed over and are not out, in order.
    departures: VecDeque<Departure>,
    /// Who waits for its results' part of the budgets: one at a time.
    line: Arc<Semaphore>,
    /// What was accessed and is not counted yet.
    tally: Tally,
    /// Messages that came and are not counted yet.
    received: u64,
    /// Results, for as long as it takes to tell them.
    scratch: Vec<u8>,
    last_tag: Option<u64>,
    frames: u32,
    pace: Arc<Pace>,
    /// Until something is left of the tenant's rates.
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Stage {
    /// The start is to come.
    New,
    /// Messages are taken.
    Open,
    /// No more come or are taken; what was accepted is answered.
    Closing,
    /// What was answered is handed over, then this.
    Over(Option<Status>),
}

pub(crate) async fn open(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let limits = &call.door.server.limits;
    let place = call.door.enter_session()?;
    let limit = MessageLimit {
        bytes: limits.max_write_bytes.saturating_add(operations::BESIDE_DATA_BYTES),
        name: "max_message_bytes",
        instead: "send the operations in more groups",
        parts: unfolding::SESSION,
    };
    let messages = Messages::new(body, limit, Arc::clone(&call.door));
    Ok(Reply::Session(Box::new(Session::new(call.clone(), place, messages, limit.bytes))))
}

impl Session {
    fn new(call: Call, place: Place, messages: Messages<Body>, max_message_bytes: u64) -> Self {
        let mut phase = call.door.server.phase();
        let drain = Box::pin(async move {
            // The sender lives as long as the server does.
            let _draining = phase.wait_for(|phase| *phase == Phase::Draining).await;
        });
        let limits = SessionStarted {
            max_groups_in_flight: MAX_GROUPS,
            max_operations_per_group: operations::MAX_OPERATIONS,
            max_message_bytes,
            max_reply_bytes_in_flight: MAX_REPLY_BYTES,
            max_handles: MAX_HANDLES,
        };
        Self {
            call,
            messages,
            out: Outbound::default(),
            handles: Handles::default(),
            running: FuturesUnordered::new(),
            waits: Waits::default(),
            inbox: Arc::default(),
            _place: place,
            drain,
            stage: Stage::New,
            limits,
            groups: 0,
            reply_bytes: 0,
            held: None,
            departures: VecDeque::new(),
            line: Arc::new(Semaphore::new(1)),
            tally: Tally::default(),
            received: 0,
            scratch: Vec::new(),
            last_tag: None,
            frames: 0,
            pace: Arc::default(),
            pause: None,
        }
    }

    /// Does what can be done; whether anything was.
    fn step(&mut self, now: Now, context: &mut Context<'_>) -> bool {
        let mut did = false;
        while let Poll::Ready(Some(done)) = Pin::new(&mut self.running).poll_next(context) {
            self.finished(done, now);
            did = true;
            if self.out.len() >= FRAME {
                return true;
            }
        }
        while let Poll::Ready((tag, ended)) = self.waits.poll_ended(context) {
            match ended {
                Ok(outcome) => self.out.put_outcome(tag, Outcome::Waited(outcome)),
                Err(failure) => self.refuse(tag, failure),
            }
            did = true;
            if self.out.len() >= FRAME {
                return true;
            }
        }
        did |= self.take_messages(now, context);
        if matches!(self.stage, Stage::Closing) && self.groups == 0 && self.waits.is_empty() {
            self.stage = Stage::Over(None);
            did = true;
        }
        did
    }

    /// Takes the messages that are there; whether there was one. Reads of one memory after each other are
    /// made under one hold of its lock, which ends here.
    fn take_messages(&mut self, now: Now, context: &mut Context<'_>) -> bool {
        let (mut did, mut turn) = (false, None);
        while matches!(self.stage, Stage::New | Stage::Open)
            && self.has_room(context)
            && self.out.len() < FRAME
            && !self.pace.is_over()
        {
            if !self.messages.is_coming() && self.is_held_up(context) {
                break;
            }
            let Poll::Ready(came) = self.poll_message(context) else { break };
            if let Err(Failure::Overloaded { after, .. }) = came {
                // It is taken once something of what waits is done, here or elsewhere.
                if !self.pauses(after, context) {
                    context.waker().wake_by_ref();
                }
                break;
            }
            self.call.door.access.tenant().rates.owe(1, 0);
            self.pace.took(false);
            did = true;
            self.accept(came, &mut turn, now);
        }
        self.end_turn(&mut turn);
        did
    }

    fn end_turn(&mut self, turn: &mut Turn) {
        if let Some(reads) = turn.take() {
            self.tally.merge(&reads.end());
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Came<v1::OpenSessionRequest>> {
        let hold = if self.groups == 0 { Door::hold_in_turn } else { Door::hold_ahead };
        self.messages.poll_next(&self.call.occasion.gate, hold, context)
    }

    /// Begins the next group of a handle, unless one runs.
    fn begin(&mut self, handle: u32, now: Now) {
        loop {
            match self.handles.next(handle) {
                handles::Next::Nothing => return,
                handles::Next::Failure(tag, failure) => {
                    self.groups = self.groups.saturating_sub(1);
                    self.refuse(tag, failure);
                }
                handles::Next::Work(work) => {
                    let (call, pace) = (self.call.clone(), Arc::clone(&self.pace));
                    let line = Arc::clone(&self.line);
                    let running = async move {
                        // A gate of its own: neither what ends with a share is the session, nor what one
                        // group has begun the others' business.
                        let occasion = Occasion { now, gate: Gate::new() };
                        (handle, work.run(&call, &occasion, &pace, &line).await)
                    };
                    self.running.push(Box::pin(running));
                    return;
                }
            }
        }
    }

    fn finished(&mut self, (handle, done): (u32, Done), now: Now) {
        let Done { tag, made, reply, held } = done;
        self.groups = self.groups.saturating_sub(1);
        self.reply_bytes = self.reply_bytes.saturating_sub(reply);
        group::put(&mut self.out, &self.call, tag, made);
        match (&mut self.held, held) {
            (Some(all), Some(held)) => all.join(held),
            (none, held) => *none = none.take().or(held),
        }
        self.handles.finished(handle);
        self.begin(handle, now);
    }

    fn refuse(&mut self, tag: u64, failure: Failure) {
        let status = self.call.refuse(&Refusal::from(failure));
        self.out.put_error(tag, &status);
    }

    /// Ends the session, once what was answered is handed over.
    fn fail(&mut self, failure: &Failure) {
        self.stage = Stage::Over(Some(self.call.refuse(&Refusal::from(failure.clone()))));
    }

    fn go_away(&mut self) {
        self.out.put(Word::GoAway(SessionGoAway {
            last_accepted_tag: self.last_tag,
            drain: true,
            reason: "the daemon is draining".to_owned(),
        }));
        self.stage = Stage::Closing;
    }

    /// Others of this thread have theirs.
    fn end_of_turn<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.frames = 0;
        self.pace.begin();
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn count(&mut self) {
        if self.tally != Tally::default() {
            self.call.door.access.count(&std::mem::take(&mut self.tally));
        }
        let received = std::mem::take(&mut self.received);
        if received > 0
            && let Some(meters) = self.call.meters()
        {
            meters.received_many(received);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if task::is_stalled() {
            // Who takes nothing cannot be told; the log and the count of its code can.
            let limit = self.call.door.server.limits.stall_timeout;
            let deed = "took nothing of what was there for it";
            let _untold = self.call.refuse(&Failure::Stalled { deed, limit }.into());
        }
    }
}

impl ReplyStream for Session {
    fn charges(&self) -> bool {
        true
    }

    fn poll_message(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Status>> {
        let this = &mut *self;
        if this.frames >= FRAMES_A_TURN || this.pace.is_over() {
            return this.end_of_turn(context);
        }
        let now = Now { steady: Instant::now(), wall: SystemTime::now() };
        if matches!(this.stage, Stage::New | Stage::Open)
            && this.drain.as_mut().poll(context).is_ready()
        {
            this.go_away();
        }
        while let Poll::Ready((number, (handle, changed))) = this.inbox.poll_changed(context) {
            // Of one that has just been given up nobody wants to hear.
            if this.handles.get(handle).is_some_and(|one| one.attachment.number() == number) {
                this.noticed(handle, changed, now);
            }
        }
        while this.out.len() < FRAME && !this.pace.is_over() && this.step(now, context) {}
        this.count();
        if let Some((bytes, messages)) = this.out.take() {
            this.frames = this.frames.saturating_add(1);
            if let Some(meters) = this.call.meters() {
                meters.sent_many(messages);
            }
            return Poll::Ready(Ok(this.hand_over(bytes)));
        }
        let is_out = this.is_out(context);
        if let Stage::Over(status) = &mut this.stage {
            // Of what is not out by its end nobody would have the stream reset.
            if !is_out {
                return Poll::Pending;
            }
            return Poll::Ready(Err(status.take().unwrap_or_else(|| Status::ok(""))));
        }
        if this.pace.is_over() {
            return this.end_of_turn(context);
        }
        this.frames = 0;
        this.pace.begin();
        Poll::Pending
    }
}

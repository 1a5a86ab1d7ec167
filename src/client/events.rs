//! Events as they happen, over as many connections as it takes.
//!
//! Its law: a watch that is lost goes on with the first event that it has not given out, on a connection
//! opened anew; what cannot be resumed is told as an item and begun anew, with a snapshot where one was
//! asked for and else with the oldest event that is kept. It stays on the connection that it was opened
//! on. It keeps no events.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::Streaming;

use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::proto::watch_events_response::Message;
use crate::client::proto::{
    Event, EventKind, EventPosition, WatchEventsRequest, WatchEventsResponse,
};
use crate::client::retry::{Attempts, Repeat};

/// What to watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Only memories whose labels match; empty: all.
    pub label_selector: String,
    /// Only these kinds; empty: all.
    pub kinds: Vec<EventKind>,
    /// First every memory that there is; with `resume` only where that is not to be had.
    pub snapshot: bool,
    /// Go on from here instead of from now on.
    pub resume: Option<EventPosition>,
    /// How long to try to get a lost watch back before its failure is given out. With
    /// [`crate::client::RetryPolicy::NONE`] it is at once.
    pub patience: Duration,
}

impl Default for Watch {
    /// Everything from now on, and a minute's patience.
    fn default() -> Self {
        Self {
            label_selector: String::new(),
            kinds: Vec::new(),
            snapshot: false,
            resume: None,
            patience: Duration::from_secs(60),
        }
    }
}

/// What a watch gives out.
#[derive(Clone, Debug, PartialEq)]
pub enum EventItem {
    /// A stream has begun, the first or one in its place.
    Started(EventPosition),
    /// A memory of the snapshot.
    Present(Event),
    /// The snapshot is whole.
    SnapshotEnd(EventPosition),
    /// Something happened.
    Event(Event),
    /// Everything before this was given out, if it matched.
    Progress(EventPosition),
    /// This watcher was too slow for these.
    Lost {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// The events to go on with are no longer kept, or of another run of the daemon. A watch with a
    /// snapshot begins anew with one, and what it gave out before is void; another goes on here.
    Compacted(EventPosition),
    /// The stream was lost within its snapshot, which begins anew: what it gave out before is void.
    SnapshotAgain,
}

/// A watch. Dropped, it is over.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    watch: Watch,
    stream: Option<Streaming<WatchEventsResponse>>,
    /// Where to go on; absent before the first stream began and within a snapshot.
    position: Option<EventPosition>,
    /// The run of the daemon that the stream is of.
    run: String,
    attempts: Attempts,
    /// A snapshot has begun and is not whole.
    in_snapshot: bool,
    /// Since when there has been no stream.
    lost_since: Option<Instant>,
}

impl Client {
    /// Begins to watch the tenant's memories, and goes on whatever becomes of the connection. The first
    /// item comes when the daemon has begun. The client's deadline is the whole watch's.
    #[must_use]
    pub fn watch(&self, watch: Watch) -> EventStream {
        let position = watch.resume.clone();
        let attempts = Attempts::begin(self.retry(), self.deadline());
        let client = self.clone();
        let run = String::new();
        EventStream {
            client,
            watch,
            stream: None,
            position,
            run,
            attempts,
            in_snapshot: false,
            lost_since: None,
        }
    }
}

impl EventStream {
    /// What comes next. After an error the next call tries anew, from the same place. Given up before
    /// it is ready, it has lost nothing.
    pub async fn next(&mut self) -> Result<EventItem, ClientError> {
        loop {
            let failure = match self.step().await {
                Ok(item) => return Ok(item),
                Err(failure) => failure,
            };
            if let Some(item) = self.compacted(&failure) {
                return Ok(item);
            }
            if self.in_snapshot {
                self.in_snapshot = false;
                return Ok(EventItem::SnapshotAgain);
            }
            self.wait(failure).await?;
        }
    }

    /// Where a watch that takes this one's place would go on, once there is such a place.
    #[must_use]
    pub fn position(&self) -> Option<&EventPosition> {
        self.position.as_ref()
    }

    async fn step(&mut self) -> Result<EventItem, ClientError> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        let deadline = self.attempts.deadline();
        // Kept outside of what is awaited, so that a wait that is given up does not take it along.
        let stream = self.stream.insert(stream);
        let next = async {
            let message = match deadline {
                None => stream.message().await?,
                Some(deadline) => timeout_at(deadline, stream.message())
                    .await
                    .map_err(|_elapsed| ClientError::DeadlinePassed)??,
            };
            message
                .and_then(|message| message.message)
                .ok_or_else(|| ClientError::Answer("a watch ended, or said nothing".to_owned()))
        };
        match next.await {
            Ok(message) => {
                self.lost_since = None;
                self.attempts.progressed();
                Ok(self.item(message))
            }
            Err(failure) => {
                self.stream = None;
                Err(failure)
            }
        }
    }

    async fn open(&mut self) -> Result<Streaming<WatchEventsResponse>, ClientError> {
        let left = self.attempts.start()?;
        let request = WatchEventsRequest {
            label_selector: self.watch.label_selector.clone(),
            kinds: self.watch.kinds.iter().map(|kind| (*kind).into()).collect(),
            resume: self.position.clone(),
            snapshot: self.watch.snapshot && self.position.is_none(),
        };
        let request = self.client.request_within(request, left);
        Ok(self.client.event_service().watch_events(request).await?.into_inner())
    }

    fn item(&mut self, message: Message) -> EventItem {
        match message {
            Message::Started(started) => {
                let sequence = started.next_sequence;
                let position = EventPosition { boot_id: started.boot_id, sequence };
                self.run.clone_from(&position.boot_id);
                // Within a snapshot there is nothing to go on with.
                self.in_snapshot = self.watch.snapshot && self.position.is_none();
                if !self.in_snapshot {
                    self.position = Some(position.clone());
                }
                EventItem::Started(position)
            }
            Message::Event(event) if event.sequence == 0 => EventItem::Present(event),
            Message::Event(event) => {
                self.passed(event.sequence.saturating_add(1));
                EventItem::Event(event)
            }
            Message::SnapshotEnd(end) => {
                let position = self.at(end.next_sequence);
                self.in_snapshot = false;
                self.position = Some(position.clone());
                EventItem::SnapshotEnd(position)
            }
            Message::Progress(progress) => {
                self.passed(progress.next_sequence);
                EventItem::Progress(self.at(progress.next_sequence))
            }
            Message::Lost(lost) => {
                self.passed(lost.last.saturating_add(1));
                EventItem::Lost { first: lost.first, last: lost.last }
            }
        }
    }

    fn at(&self, sequence: u64) -> EventPosition {
        EventPosition { boot_id: self.run.clone(), sequence }
    }

    fn passed(&mut self, next: u64) {
        if let Some(position) = &mut self.position {
            position.sequence = next;
        }
    }

    /// What is told, and where it goes on, where the events to go on with are gone.
    fn compacted(&mut self, error: &ClientError) -> Option<EventItem> {
        let failure = error.failure().filter(|one| one.reason == "SEQUENCE_COMPACTED")?;
        let boot_id = failure.metadata.get("boot_id")?.clone();
        let position = EventPosition { boot_id, sequence: failure.number("sequence")? };
        self.position = (!self.watch.snapshot).then(|| position.clone());
        self.lost_since = None;
        Some(EventItem::Compacted(position))
    }

    /// Waits until the next attempt is due, or gives the failure out.
    async fn wait(&mut self, failure: ClientError) -> Result<(), ClientError> {
        let since = *self.lost_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.watch.patience {
            self.lost_since = None;
            return Err(failure);
        }
        // A stream that ended before its time is lost like one whose connection broke.
        let failure = match failure {
            ClientError::Answer(message) => ClientError::Transport { message, never_sent: false },
            failure => failure,
        };
        self.attempts.pause_patiently(failure, Repeat::Harmless).await
    }
}

//! [`Session`]: groups of operations as a pipeline over one stream.
//!
//! Its law: every message gets a tag of its own and one answer, whoever waits for it; what is sent while
//! the stream is busy goes out in one frame. A session that broke answers everything that waits with the
//! same error, and is not opened again by itself: what had happened is not known. Dropped, it ends when
//! everything accepted has been answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::proto::open_session_request::Message as Asked;
use crate::client::proto::open_session_response::Message as Word;
use crate::client::proto::session_group::Group;
use crate::client::proto::session_result::Outcome;
use crate::client::proto::{
    OpenSessionRequest, OpenSessionResponse, Operation, OperationResult, SessionAttach,
    SessionAttached, SessionDetach, SessionGroup, SessionNotice, SessionResult, SessionStart,
    SessionStarted,
};

/// Messages that may wait to be sent.
const UNSENT: usize = 4_096;

/// A session with a daemon. Clones share it.
#[derive(Clone, Debug)]
pub struct Session {
    shared: Arc<Shared>,
    started: SessionStarted,
}

#[derive(Debug)]
struct Shared {
    requests: mpsc::Sender<OpenSessionRequest>,
    waiting: Mutex<Waiting>,
    tags: AtomicU64,
    handles: AtomicU32,
}

#[derive(Debug)]
enum Waiting {
    /// For these tags.
    Open(HashMap<u64, oneshot::Sender<SessionResult>>),
    /// Nobody any more: why.
    Over(Status),
}

/// A memory that is attached to a session.
#[derive(Clone, Debug)]
pub struct Attached {
    session: Session,
    handle: u32,
    /// The memory's uid.
    pub uid: String,
    /// Its size when it was attached, in pages.
    pub size_pages: u64,
}

impl Client {
    /// Opens a session. Notices of attached memories go to `notices`.
    pub async fn session(
        &self,
        notices: impl Fn(SessionNotice) + Send + 'static,
    ) -> Result<Session, ClientError> {
        let (requests, sent) = mpsc::channel(UNSENT);
        let start = OpenSessionRequest { message: Some(Asked::Start(SessionStart::default())) };
        requests.try_send(start).map_err(|_full| answer("a session that takes no start"))?;
        let request = self.request(ReceiverStream::new(sent));
        let mut answers = self.memory_service().open_session(request).await?.into_inner();
        let first = answers.message().await?.and_then(|answer| answer.message);
        let Some(Word::Started(started)) = first else {
            return Err(answer("a session that does not start"));
        };
        let shared = Arc::new(Shared {
            requests,
            waiting: Mutex::new(Waiting::Open(HashMap::new())),
            tags: AtomicU64::new(1),
            handles: AtomicU32::new(1),
        });
        tokio::spawn(dispatch(answers, Arc::downgrade(&shared), notices));
        Ok(Session { shared, started })
    }
}

impl Session {
    /// What it may do.
    #[must_use]
    pub const fn started(&self) -> &SessionStarted {
        &self.started
    }

    /// Attaches a memory.
    pub async fn attach(&self, memory_id: &str) -> Result<Attached, ClientError> {
        let memory_id = memory_id.to_owned();
        self.attach_as(SessionAttach { memory_id, ..Default::default() }).await
    }

    /// Attaches a memory as the message says, but for its tag and handle.
    pub async fn attach_as(&self, mut attach: SessionAttach) -> Result<Attached, ClientError> {
        attach.handle = self.shared.handles.fetch_add(1, Ordering::Relaxed);
        let handle = attach.handle;
        let result = self.ask(|tag| Asked::Attach(SessionAttach { tag, ..attach })).await?;
        match result.outcome {
            Some(Outcome::Attached(SessionAttached { uid, size_pages })) => {
                Ok(Attached { session: self.clone(), handle, uid, size_pages })
            }
            outcome => Err(failed(outcome)),
        }
    }

    /// Sends a message and waits for the one result of its tag, whatever it is.
    pub async fn ask(
        &self,
        message: impl FnOnce(u64) -> Asked,
    ) -> Result<SessionResult, ClientError> {
        let tag = self.shared.tags.fetch_add(1, Ordering::Relaxed);
        let (told, result) = oneshot::channel();
        match &mut *self.shared.waiting() {
            Waiting::Open(waiting) => waiting.insert(tag, told),
            Waiting::Over(status) => return Err(status.clone().into()),
        };
        let forget = Forget { shared: &self.shared, tag };
        let message = OpenSessionRequest { message: Some(message(tag)) };
        if self.shared.requests.send(message).await.is_err() {
            return Err(self.shared.why());
        }
        let result = result.await.map_err(|_over| self.shared.why())?;
        drop(forget);
        Ok(result)
    }
}

impl Attached {
    /// Carries one operation out.
    pub async fn execute_one(&self, operation: Operation) -> Result<OperationResult, ClientError> {
        match self.group(true, Group::Single(operation), None).await?.outcome {
            Some(Outcome::Single(result)) => Ok(result),
            outcome => Err(failed(outcome)),
        }
    }

    /// Carries a group out. Of one that is not atomic the result says which operations failed.
    pub async fn group(
        &self,
        atomic: bool,
        group: Group,
        request_id: Option<String>,
    ) -> Result<SessionResult, ClientError> {
        let (handle, group) = (self.handle, Some(group));
        let ask = |tag| Asked::Group(SessionGroup { tag, handle, atomic, group, request_id });
        let result = self.session.ask(ask).await?;
        match result.outcome {
            Some(Outcome::Error(status)) => Err(refusal(&status).into()),
            _ => Ok(result),
        }
    }

    /// Takes it back, after what was sent before.
    pub async fn detach(self) -> Result<(), ClientError> {
        let handle = self.handle;
        match self.session.ask(|tag| Asked::Detach(SessionDetach { tag, handle })).await?.outcome {
            Some(Outcome::Done(_)) => Ok(()),
            outcome => Err(failed(outcome)),
        }
    }

    /// Its name in the session's messages.
    #[must_use]
    pub const fn handle(&self) -> u32 {
        self.handle
    }
}

/// Takes a tag out, answered or not.
struct Forget<'a> {
    shared: &'a Shared,
    tag: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Waiting::Open(waiting) = &mut *self.shared.waiting() {
            waiting.remove(&self.tag);
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing is answered any more.
    fn why(&self) -> ClientError {
        match &*self.waiting() {
            Waiting::Over(status) => status.clone().into(),
            Waiting::Open(_) => answer("a session that lost an answer"),
        }
    }
}

/// Gives every result to who waits for its tag.
async fn dispatch(
    mut answers: Streaming<OpenSessionResponse>,
    shared: std::sync::Weak<Shared>,
    notices: impl Fn(SessionNotice) + Send + 'static,
) {
    let status = loop {
        let message = match answers.message().await {
            Ok(Some(answer)) => answer.message,
            Ok(None) => break Status::unavailable("the session has ended"),
            Err(status) => break status,
        };
        match message {
            Some(Word::Result(result)) => {
                let Some(shared) = shared.upgrade() else { return };
                let told = match &mut *shared.waiting() {
                    Waiting::Open(waiting) => waiting.remove(&result.tag),
                    Waiting::Over(_) => None,
                };
                if let Some(told) = told {
                    // Who asked may have gone.
                    let _gone = told.send(result);
                }
            }
            Some(Word::Notice(notice)) => notices(notice),
            Some(Word::Started(_) | Word::GoAway(_)) | None => {}
        }
    };
    if let Some(shared) = shared.upgrade() {
        *shared.waiting() = Waiting::Over(status);
    }
}

fn failed(outcome: Option<Outcome>) -> ClientError {
    match outcome {
        Some(Outcome::Error(status)) => refusal(&status).into(),
        _ => answer("a result of another kind"),
    }
}

/// A status that came as a message.
pub(super) fn refusal(status: &tonic_types::pb::Status) -> Status {
    let details = status.encode_to_vec().into();
    Status::with_details(Code::from_i32(status.code), &status.message, details)
}

fn answer(what: &str) -> ClientError {
    ClientError::Answer(what.to_owned())
}

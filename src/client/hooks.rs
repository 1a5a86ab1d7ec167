//! Hooks of growth: HookService's calls, one stream of answers, and [`Decider`], which keeps one open.
//!
//! Its law: that of `calls.rs`. A stream has no deadline of its own; a decider comes back after every end
//! but one that says that it may not, and answers each question once.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::client::connect::Client;
use crate::client::error::{ClientError, Retry};
use crate::client::pages::{PAGE_SIZE, every};
use crate::client::proto::hook_service_client::HookServiceClient;
use crate::client::proto::{
    AnswerGrowHookRequest, AnswerGrowHookResponse, CreateGrowHookRequest, DeleteGrowHookRequest,
    GetGrowHookRequest, GrowAnswer, GrowHook, GrowQuestion, GrowVerdict, ListGrowHooksRequest,
    ListGrowHooksResponse, answer_grow_hook_response,
};
use crate::client::retry::Repeat;

/// What a stream of answers hears.
pub use answer_grow_hook_response::Message as Heard;

/// Answers that wait to be sent.
const QUEUED_ANSWERS: usize = 64;
/// The shortest pause before a decider comes back.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// What a decider says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may grow.
    Allow,
    /// It may not, for this reason.
    Deny(String),
}

impl Client {
    /// Makes a hook.
    pub async fn create_grow_hook(
        &self,
        message: CreateGrowHookRequest,
    ) -> Result<GrowHook, ClientError> {
        let answer = self.hook_call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.create_grow_hook(request).await
        });
        answer.await?.hook.ok_or_else(without)
    }

    /// Describes one hook.
    pub async fn grow_hook(&self, hook_id: &str) -> Result<GrowHook, ClientError> {
        let message = GetGrowHookRequest { hook_id: hook_id.to_owned() };
        let answer = self.hook_call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.get_grow_hook(request).await
        });
        answer.await?.hook.ok_or_else(without)
    }

    /// Describes one page of the tenant's hooks.
    pub async fn list_grow_hooks(
        &self,
        message: ListGrowHooksRequest,
    ) -> Result<ListGrowHooksResponse, ClientError> {
        self.hook_call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.list_grow_hooks(request).await
        })
        .await
    }

    /// All of them, page by page.
    pub async fn grow_hooks(&self) -> Result<Vec<GrowHook>, ClientError> {
        every(|page_token| async move {
            let message = ListGrowHooksRequest { page_size: PAGE_SIZE, page_token };
            let page = self.list_grow_hooks(message).await?;
            Ok((page.hooks, page.next_page_token))
        })
        .await
    }

    /// Ends a hook.
    pub async fn delete_grow_hook(
        &self,
        hook_id: &str,
        allow_missing: bool,
    ) -> Result<(), ClientError> {
        let message = DeleteGrowHookRequest { hook_id: hook_id.to_owned(), allow_missing };
        self.hook_call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.delete_grow_hook(request).await
        })
        .await
        .map(drop)
    }

    /// Answers a hook's questions over one stream, from when this is there.
    pub async fn answer_grow_hook(&self, hook_id: &str) -> Result<Answers, ClientError> {
        let (answers, receiver) = mpsc::channel(QUEUED_ANSWERS);
        let first = AnswerGrowHookRequest { hook_id: Some(hook_id.to_owned()), answer: None };
        // There is room for the first.
        let _there = answers.try_send(first);
        let request = self.request_within(ReceiverStream::new(receiver), None);
        let mut heard = self.hook_service().answer_grow_hook(request).await?.into_inner();
        match heard.message().await?.and_then(|said| said.message) {
            Some(Heard::Started(hook)) => Ok(Answers { hook, answers, heard }),
            _ => Err(ClientError::Answer("a stream that did not begin with `started`".to_owned())),
        }
    }

    async fn hook_call<Q: Clone, R, Send, Sent>(
        &self,
        repeat: Repeat,
        message: Q,
        send: Send,
    ) -> Result<R, ClientError>
    where
        Send: Fn(Stub, Request<Q>) -> Sent,
        Sent: Future<Output = Result<Response<R>, Status>>,
    {
        self.repeated(repeat, message, |request| send(self.hook_service(), request)).await
    }
}

/// One open stream of answers. Dropped, it answers no more.
#[derive(Debug)]
pub struct Answers {
    /// The hook, as it was when this began.
    pub hook: GrowHook,
    answers: mpsc::Sender<AnswerGrowHookRequest>,
    heard: Streaming<AnswerGrowHookResponse>,
}

impl Answers {
    /// What is heard next; none when the stream ended well.
    pub async fn next(&mut self) -> Result<Option<Heard>, ClientError> {
        while let Some(said) = self.heard.message().await? {
            // A kind that this client does not know.
            if said.message.is_some() {
                return Ok(said.message);
            }
        }
        Ok(None)
    }

    /// Answers a question. On a stream that has ended nothing happens; [`Self::next`] tells why.
    pub async fn answer(&self, question_id: u64, verdict: Verdict) {
        let (verdict, reason) = match verdict {
            Verdict::Allow => (GrowVerdict::Allow, String::new()),
            Verdict::Deny(reason) => (GrowVerdict::Deny, reason),
        };
        let answer = GrowAnswer { question_id, verdict: verdict.into(), reason };
        let message = AnswerGrowHookRequest { hook_id: None, answer: Some(answer) };
        let _ended = self.answers.send(message).await;
    }
}

/// Decides for a hook, for as long as there is one, over one connection after the other.
#[derive(Debug)]
pub struct Decider {
    client: Client,
    hook_id: String,
}

impl Decider {
    /// Of this hook of the client's tenant.
    pub fn of(client: &Client, hook_id: &str) -> Self {
        Self { client: client.clone(), hook_id: hook_id.to_owned() }
    }

    /// Answers every question as `decide` says, one after the other, until that is no longer possible:
    /// the hook is gone, or may not be answered. Whatever else ends a stream, it comes back.
    pub async fn run(&self, mut decide: impl AsyncFnMut(&GrowQuestion) -> Verdict) -> ClientError {
        let policy = self.client.retry();
        let longest = policy.longest_pause.max(SHORTEST_PAUSE);
        let first = policy.first_pause.max(SHORTEST_PAUSE);
        let mut pause = first;
        loop {
            let ended = match self.client.answer_grow_hook(&self.hook_id).await {
                Ok(mut answers) => {
                    pause = first;
                    answer_all(&mut answers, &mut decide).await
                }
                Err(error) => Some(error),
            };
            if let Some(error) = ended.filter(|error| !may_come_back(error)) {
                return error;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(longest);
        }
    }
}

/// Until the stream ends: how it did, where not well.
async fn answer_all(
    answers: &mut Answers,
    decide: &mut impl AsyncFnMut(&GrowQuestion) -> Verdict,
) -> Option<ClientError> {
    loop {
        match answers.next().await {
            Ok(Some(Heard::Question(question))) => {
                let verdict = decide(&question).await;
                answers.answer(question.question_id, verdict).await;
            }
            Ok(Some(Heard::Started(_) | Heard::Withdrawal(_) | Heard::Told(_))) => {}
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

fn may_come_back(error: &ClientError) -> bool {
    match error {
        ClientError::Transport { .. } | ClientError::DeadlinePassed => true,
        ClientError::Refused(failure) => {
            failure.retry == Retry::Same
                || matches!(failure.code, Code::Unavailable | Code::Cancelled)
        }
        _ => false,
    }
}

type Stub = HookServiceClient<Channel>;

fn without() -> ClientError {
    ClientError::Answer("a response without `hook`".to_owned())
}

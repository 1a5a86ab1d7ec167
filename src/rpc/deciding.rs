//! AnswerGrowHook: one decider's stream, both ways in one task.
//!
//! ```text
//! opening: the first message names the hook ──> open: answers are listened to and sayings sent
//!                                                 ends: half-close OK, deadline, HOOK_NOT_FOUND
//!                                                 (deleted), a wrong message, DRAINING
//! ```
//!
//! Law: the reply's headers go out at once, so that whatever a client waits for first it gets; all
//! failures are in the trailers. Answers are heard before questions are sent. While the daemon drains, a
//! stream stays until it owes no answer, so that growth in flight is decided.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming as Body;
use tokio::time::Sleep;
use tonic::Status;

use crate::error::Failure;
use crate::proto::v1;
use crate::proto::v1::answer_grow_hook_response::Message as Said;
use crate::registry::{Panicked, catch};
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::deadline::timer;
use crate::rpc::hook_service;
use crate::rpc::lapse::{Lapse, lapse};
use crate::rpc::memory_service::PLAIN;
use crate::rpc::message::Messages;
use crate::rpc::pace::Pace;
use crate::rpc::reply::{ReplyStream, frame};
use crate::rpc::server::Phase;
use crate::rpc::spec::known;
use crate::tenancy::{Decider, HookView, Saying};

type Step<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// A decider's stream.
pub(crate) struct Deciding {
    call: Call,
    stage: Stage,
    /// Is over when the daemon drains.
    drain: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    timer: Option<Pin<Box<Sleep>>>,
    lapse: Lapse,
}

enum Stage {
    Opening(Step<(Messages<Body>, Decider, HookView)>),
    Open { listening: Step<()>, decider: Arc<Decider> },
}

impl Deciding {
    pub(crate) fn new(call: Call, body: Body, deadline: Option<Instant>) -> Self {
        let mut phase = call.door.server.phase();
        let drain = async move {
            // The sender lives as long as the server.
            let _draining = phase.wait_for(|phase| *phase == Phase::Draining).await;
        };
        let opening = Box::pin(open(call.clone(), body));
        Self {
            lapse: lapse(&call),
            call,
            stage: Stage::Opening(opening),
            drain: Some(Box::pin(drain)),
            timer: timer(deadline),
        }
    }

    /// The next message, or how it ends: none is OK.
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<v1::AnswerGrowHookResponse, Option<Failure>>> {
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            self.call.occasion.gate.close();
            return Poll::Ready(Err(Some(Failure::DeadlinePassed)));
        }
        if let Poll::Ready(failure) = self.lapse.as_mut().poll(context) {
            self.call.occasion.gate.close();
            return Poll::Ready(Err(Some(failure)));
        }
        if let Some(drain) = &mut self.drain
            && drain.as_mut().poll(context).is_ready()
        {
            self.drain = None;
        }
        let draining = self.drain.is_none();
        match &mut self.stage {
            Stage::Opening(opening) => {
                if draining {
                    return Poll::Ready(Err(Some(Failure::Draining)));
                }
                let (messages, decider, view) = std::task::ready!(opening.as_mut().poll(context))?;
                let decider = Arc::new(decider);
                let listening = Box::pin(listen(self.call.clone(), messages, Arc::clone(&decider)));
                self.stage = Stage::Open { listening, decider };
                Poll::Ready(Ok(said(Said::Started(hook_service::message(&view)))))
            }
            Stage::Open { listening, decider } => {
                if let Poll::Ready(heard) = listening.as_mut().poll(context) {
                    return Poll::Ready(Err(heard.err()));
                }
                match decider.poll_saying(context) {
                    Poll::Ready(Some(saying)) => Poll::Ready(Ok(said(spoken(saying, decider)))),
                    Poll::Ready(None) => Poll::Ready(Err(Some(decider.gone()))),
                    Poll::Pending if draining && !decider.owes() => {
                        Poll::Ready(Err(Some(Failure::Draining)))
                    }
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl ReplyStream for Deciding {
    fn poll_message(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Status>> {
        let this = &mut *self;
        let polled = match catch(|| this.poll_next(context)) {
            Ok(polled) => std::task::ready!(polled),
            Err(Panicked) => return Poll::Ready(Err(this.call.broken())),
        };
        Poll::Ready(match polled {
            Ok(message) => {
                if let Some(meters) = this.call.meters() {
                    meters.sent();
                }
                Ok(frame(&message))
            }
            Err(None) => Err(Status::ok("")),
            Err(Some(failure)) => Err(this.call.refuse(&failure.into())),
        })
    }
}

/// Reads the first message and takes part from then on.
async fn open(call: Call, body: Body) -> Result<(Messages<Body>, Decider, HookView), Failure> {
    let mut messages = Messages::new(body, PLAIN, Arc::clone(&call.door));
    let first = messages.next::<v1::AnswerGrowHookRequest>(&call.occasion.gate).await?;
    let Some(first) = first else {
        return Err(invalid("message", "is missing: the first one names the hook"));
    };
    if let Some(meters) = call.meters() {
        meters.received();
    }
    let v1::AnswerGrowHookRequest { hook_id, answer } = &first.message;
    let Some(hook_id) = hook_id else {
        return Err(invalid("hook_id", "is missing: the first message names the hook"));
    };
    if answer.is_some() {
        return Err(invalid("answer", "belongs to later messages: nothing was asked yet"));
    }
    let (decider, view) = call.door.access.decide(&convert::id("hook_id", hook_id)?)?;
    Ok((messages, decider, view))
}

/// Hears answers until the client sends no more.
async fn listen(
    call: Call,
    mut messages: Messages<Body>,
    decider: Arc<Decider>,
) -> Result<(), Failure> {
    let pace = Pace::default();
    while let Some(next) = messages.next::<v1::AnswerGrowHookRequest>(&call.occasion.gate).await? {
        if let Some(meters) = call.meters() {
            meters.received();
        }
        let v1::AnswerGrowHookRequest { hook_id, answer } = next.message;
        if hook_id.is_some() {
            return Err(invalid("hook_id", "belongs to the first message only"));
        }
        let Some(v1::GrowAnswer { question_id, verdict, reason }) = answer else {
            return Err(invalid("answer", "is missing"));
        };
        match known("answer.verdict", verdict)? {
            v1::GrowVerdict::Allow => decider.answer(question_id, Ok(())),
            v1::GrowVerdict::Deny => decider.answer(question_id, Err(&reason)),
            v1::GrowVerdict::Unspecified => {
                let why = "says nothing: GROW_VERDICT_ALLOW or GROW_VERDICT_DENY";
                return Err(invalid("answer.verdict", why));
            }
        }
        // The first message was its call's own.
        call.door.access.tenant().rates.take_in_time(1, 0, &call.occasion.gate).await?;
        pace.message(0).await;
    }
    Ok(())
}

fn spoken(saying: Saying, decider: &Decider) -> Said {
    match saying {
        Saying::Question { question, wish, within } => Said::Question(v1::GrowQuestion {
            question_id: question,
            memory_id: wish.memory_id.to_string(),
            uid: wish.uid.to_string(),
            labels: wish.labels.clone(),
            previous_pages: wish.previous.get(),
            requested_pages: wish.current.get(),
            maximum_pages: wish.maximum.get(),
            deadline: Some(decider.moment(within).into()),
            answer_within: within.try_into().ok(),
        }),
        Saying::Withdrawal { question } => {
            Said::Withdrawal(v1::GrowWithdrawal { question_id: question })
        }
        Saying::News { question, grown } => {
            Said::Told(v1::GrowNews { question_id: question, grown })
        }
    }
}

const fn said(message: Said) -> v1::AnswerGrowHookResponse {
    v1::AnswerGrowHookResponse { message: Some(message) }
}

fn invalid(field: &'static str, why: &str) -> Failure {
    Failure::InvalidField { field, why: why.to_owned() }
}

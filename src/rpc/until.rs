//! [`Until`]: a reply of many messages, for as long as it may last.
//!
//! Law: it ends between two messages, never within one: at its deadline, or when its caller has no right to it
//! any more. A panic of whoever makes the messages ends it, and nothing else.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::time::Sleep;
use tonic::Status;

use crate::error::Failure;
use crate::registry::{Panicked, catch};
use crate::rpc::call::Call;
use crate::rpc::deadline::timer;
use crate::rpc::lapse::{Lapse, either, lapse};
use crate::rpc::reply::ReplyStream;

/// A stream that ends at a deadline, between two messages, and whose panics end here.
pub(crate) struct Until<S> {
    messages: S,
    timer: Option<Pin<Box<Sleep>>>,
    lapse: Lapse,
    call: Call,
}

impl<S> Until<S> {
    /// These messages, until then, or until the caller has no right to them.
    pub(crate) fn new(messages: S, deadline: Option<Instant>, call: Call) -> Self {
        Self { messages, timer: timer(deadline), lapse: lapse(&call), call }
    }

    /// The same, and no longer than until that.
    pub(crate) fn nor_after(self, over: Option<Lapse>) -> Self {
        match over {
            None => self,
            Some(over) => Self { lapse: either(self.lapse, over), ..self },
        }
    }
}

impl<S: ReplyStream + Unpin> ReplyStream for Until<S> {
    fn charges(&self) -> bool {
        self.messages.charges()
    }

    fn poll_message(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Status>> {
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            self.call.occasion.gate.close();
            return Poll::Ready(Err(self.call.refuse(&Failure::DeadlinePassed.into())));
        }
        if let Poll::Ready(failure) = self.lapse.as_mut().poll(context) {
            self.call.occasion.gate.close();
            return Poll::Ready(Err(self.call.refuse(&failure.into())));
        }
        match catch(|| Pin::new(&mut self.messages).poll_message(context)) {
            Ok(polled) => polled,
            Err(Panicked) => Poll::Ready(Err(self.call.broken())),
        }
    }
}

//! [`ask`]: one growth's wait for all hooks that have a say in it.
//!
//! Law: woken by an answer, by a stream's or a hook's end, or by the nearest deadline; it holds nothing
//! while it waits. Dropped, its questions are withdrawn and nothing is taken of the rate.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::error::Failure;
use crate::registry::{Agreement, Asking, Wish};
use crate::tenancy::hooks::board::{Asked, InquiryId, Look, Seen};
use crate::tenancy::hooks::policy::{Debit, judge};
use crate::tenancy::hooks::{Hooks, Moment};

/// Asks all whose say it is, policies first.
pub(super) fn ask(hooks: &Arc<Hooks>, wish: Wish) -> Asking {
    let begun = hooks.clock.now();
    let debit = match judge(hooks, &wish, begun) {
        Ok(debit) => debit,
        Err(failure) => return Box::pin(ready(Err(failure))),
    };
    match hooks.with(|board| board.ask(wish, begun)) {
        Asked::Denied(failure) => Box::pin(ready(Err(failure))),
        Asked::Nobody => {
            let agreement = Agreement::after(std::time::Duration::ZERO, move |grown| {
                if grown {
                    debit.used();
                }
            });
            Box::pin(ready(Ok(agreement)))
        }
        Asked::Open(inquiry) => Box::pin(Waiting {
            hooks: Arc::clone(hooks),
            inquiry: Some(inquiry),
            begun,
            timer: None,
            debit: Some(debit),
        }),
    }
}

/// The wait for the answers.
struct Waiting {
    hooks: Arc<Hooks>,
    /// Until it is over.
    inquiry: Option<InquiryId>,
    begun: Instant,
    /// For the nearest deadline, and which one that is.
    timer: Option<(Instant, Moment)>,
    debit: Option<Debit>,
}

impl Future for Waiting {
    type Output = Result<Agreement, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(inquiry) = this.inquiry else { return Poll::Pending };
        loop {
            let waker = context.waker();
            match this.hooks.with(|board| board.look(inquiry, waker)) {
                Look::Over(outcome) => {
                    this.inquiry = None;
                    return Poll::Ready(outcome.map(|seen| this.agreed(seen)));
                }
                Look::Until(deadline) => {
                    let now = this.hooks.clock.now();
                    if this.timer.as_ref().is_none_or(|(of, _)| *of != deadline) {
                        let left = deadline.saturating_duration_since(now);
                        this.timer = Some((deadline, this.hooks.clock.after(left)));
                    }
                    if let Some((_, timer)) = &mut this.timer
                        && timer.as_mut().poll(context).is_pending()
                    {
                        return Poll::Pending;
                    }
                    this.timer = None;
                    this.hooks.with(|board| board.expire(inquiry, now.max(deadline)));
                }
            }
        }
    }
}

impl Waiting {
    /// What goes with the growth, to be told of its end.
    fn agreed(&mut self, seen: Vec<Seen>) -> Agreement {
        let waited = self.hooks.clock.now().saturating_duration_since(self.begun);
        let (hooks, debit) = (Arc::clone(&self.hooks), self.debit.take());
        Agreement::after(waited, move |grown| {
            if let Some(debit) = debit.filter(|_| grown) {
                debit.used();
            }
            hooks.with(|board| board.tell(&seen, grown));
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(inquiry) = self.inquiry {
            self.hooks.with(|board| board.withdraw(inquiry));
        }
    }
}

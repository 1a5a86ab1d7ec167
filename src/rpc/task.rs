//! [`CallTasks`]: the tasks that hyper makes of a connection's calls, each with an end.
//!
//! hyper does not poll a reply while the peer's window is full, so a peer that never reads would
//! keep its call for ever, whatever its deadline. Law: a task whose call has been answered is
//! dropped a little after the call's deadline, which resets the stream; before that, and without a
//! deadline, it is left alone. Answers nothing itself: a deadline that can be told is told by
//! `deadline.rs` and `transfer.rs`.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::rpc::deadline::timer;

/// How long after its deadline an answer may still be on its way.
const GRACE: Duration = Duration::from_millis(100);

thread_local! {
    /// The deadline of the call that was answered in the poll that is going on.
    static ANSWERED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The call being served has its answer, which must have left by this deadline.
pub(crate) fn answered_within(deadline: Option<Instant>) {
    ANSWERED.set(deadline);
}

/// Spawns hyper's tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTasks;

impl<F> Executor<F> for CallTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        tokio::spawn(CallTask { task, end: None });
    }
}

pin_project! {
    struct CallTask<F> {
        #[pin]
        task: F,
        end: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for CallTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let outcome = this.task.poll(context);
        let answered = ANSWERED.take();
        if outcome.is_ready() {
            return outcome;
        }
        if let Some(deadline) = answered {
            *this.end = timer(deadline.checked_add(GRACE));
        }
        match this.end {
            Some(end) => end.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

//! [`CallTasks`]: the tasks that hyper makes of a connection's calls, each with an end.
//!
//! Most calls wait for nothing. They are done where they come, in the poll of their connection, and their
//! replies leave with it: a task would twice more stand in the thread's queue, for its own poll and for
//! the connection's that writes. What does wait is a task from then on.
//!
//! hyper does not poll a reply while the peer's window is full, so a peer that never reads would
//! keep its call for ever, whatever its deadline. Law: a task whose call has been answered is
//! dropped a little after the call's deadline or after its caller lost its right to it, and one whose reply
//! handed something over that nobody took, once that is due; either resets the stream. Before that, and
//! without a deadline, it is left alone. Each poll has its turn (`turns.rs`): all calls of a connection that
//! ends are woken at once. A call that panics ends alone. Answers nothing itself: a deadline that can be
//! told is told by `deadline.rs` and `transfer.rs`.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::rpc::deadline::timer;
use crate::rpc::lapse::{Lapse, either};
use crate::rpc::party::Party;
use crate::rpc::polls;
use crate::rpc::turns::{self, CALL, Place};

/// How long after its deadline an answer may still be on its way.
const GRACE: Duration = Duration::from_millis(100);

thread_local! {
    /// By the call whose poll is going on.
    static SAID: Cell<Said> = const { Cell::new(Said::NOTHING) };
    /// A call is being dropped because nobody takes its reply.
    static STALLED: Cell<bool> = const { Cell::new(false) };
}

/// What a call says of its answer while it is polled: nobody else's business, however that poll ends.
#[derive(Default)]
struct Said {
    /// It was answered, and this is its deadline.
    answered: Option<Instant>,
    /// When its caller loses its right to it.
    lapse: Option<Lapse>,
    /// What the reply did last.
    handed: Handed,
}

impl Said {
    const NOTHING: Self = Self { answered: None, lapse: None, handed: Handed::Nothing };

    fn add(more: impl FnOnce(&mut Self)) {
        let mut said = SAID.take();
        more(&mut said);
        SAID.set(said);
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum Handed {
    /// It was not polled.
    #[default]
    Nothing,
    /// It was asked for more: what was there has been taken.
    Taken,
    /// It handed something over, which must be taken within that.
    Over(Duration),
}

/// The call being served has its answer, which must have left by this deadline.
pub(crate) fn answered_within(deadline: Option<Instant>) {
    Said::add(|said| said.answered = deadline);
}

/// The call being served has its answer, which lasts, and must have left a little after this is ready;
/// or after what was said so before.
pub(crate) fn answered_unless(lapse: Lapse) {
    Said::add(|said| {
        said.lapse = Some(match said.lapse.take() {
            None => lapse,
            Some(other) => either(lapse, other),
        });
    });
}

/// The reply being polled is asked for more.
pub(crate) fn taken() {
    Said::add(|said| said.handed = Handed::Taken);
}

/// The reply being polled hands something over, which must be taken within `limit`.
pub(crate) fn handed_over(limit: Duration) {
    Said::add(|said| said.handed = Handed::Over(limit));
}

/// Whether the call being dropped is dropped because nobody takes its reply.
pub(crate) fn is_stalled() -> bool {
    STALLED.get()
}

/// Begins the tasks that hyper makes of one connection's calls, whose turns are counted for this party.
#[derive(Clone, Debug)]
pub(crate) struct CallTasks(pub(crate) Arc<Party>);

impl<F> Executor<F> for CallTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        polls::call_begins();
        let (party, task) = (Arc::clone(&self.0), Some(task));
        let (place, end, lapse, due, stall) = (None, None, None, None, None);
        let mut task = Box::pin(CallTask { party, place, task, end, lapse, due, stall });
        // Whoever is to wake it is told by its second poll, which comes at once.
        let mut context = Context::from_waker(Waker::noop());
        let begun = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut context)));
        // Of a panic the log knows already; to the peer the drop resets the stream.
        if begun.is_ok_and(|begun| begun.is_pending()) {
            tokio::spawn(task);
        }
    }
}

pin_project! {
    struct CallTask<F> {
        party: Arc<Party>,
        // Where it waits for its turn.
        place: Option<Place>,
        #[pin]
        task: Option<F>,
        end: Option<Pin<Box<Sleep>>>,
        lapse: Option<Lapse>,
        // When what was handed over must have been taken.
        due: Option<Instant>,
        // Fires no later than that, and looks again: a moment is cheaper to move than a timer.
        stall: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for CallTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let place = this.place.take().or_else(|| turns::ask(this.party, CALL, context));
        if let Some(place) = place.filter(|place| place.poll(context).is_pending()) {
            *this.place = Some(place);
            return Poll::Pending;
        }
        let Some(task) = this.task.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        // One that panicked has left what it said.
        drop(SAID.take());
        let outcome = task.poll(context);
        let Said { answered, lapse, handed } = SAID.take();
        if outcome.is_ready() {
            return outcome;
        }
        match handed {
            Handed::Nothing => {}
            Handed::Taken => *this.due = None,
            Handed::Over(limit) => *this.due = Instant::now().checked_add(limit),
        }
        if is_stuck(*this.due, this.stall, context) {
            STALLED.set(true);
            this.task.set(None);
            STALLED.set(false);
            return Poll::Ready(());
        }
        if let Some(deadline) = answered {
            *this.end = timer(deadline.checked_add(GRACE));
        }
        if let Some(lapse) = lapse {
            *this.lapse = Some(lapse);
        }
        if this.lapse.as_mut().is_some_and(|lapse| lapse.as_mut().poll(context).is_ready()) {
            *this.lapse = None;
            *this.end = timer(Instant::now().checked_add(GRACE));
        }
        match this.end {
            Some(end) => end.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

/// Whether what was handed over should have been taken by now; if not, it will be looked at again.
fn is_stuck(
    due: Option<Instant>,
    stall: &mut Option<Pin<Box<Sleep>>>,
    context: &mut Context<'_>,
) -> bool {
    if stall.is_none() {
        *stall = timer(due);
    }
    while stall.as_mut().is_some_and(|stall| stall.as_mut().poll(context).is_ready()) {
        match due {
            Some(due) if due <= Instant::now() => return true,
            _ => *stall = timer(due),
        }
    }
    false
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    fn tasks() -> CallTasks {
        CallTasks(Party::of(None, 1))
    }

    #[tokio::test]
    async fn a_call_that_waits_for_nothing_is_done_where_it_comes() {
        let done = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&done);
        tasks().execute(async move {
            told.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_call_that_waits_goes_on_when_it_is_woken() {
        let (give, given) = oneshot::channel::<u64>();
        let (tell, told) = oneshot::channel();
        tasks().execute(async move {
            tell.send(given.await).unwrap();
        });
        tokio::task::yield_now().await;
        give.send(7).unwrap();
        assert_eq!(told.await.unwrap(), Ok(7));
    }

    #[tokio::test]
    async fn a_call_whose_moment_comes_between_its_first_two_polls_misses_nothing() {
        let (tell, told) = oneshot::channel();
        let mut polls = 0;
        let waits_once = poll_fn(move |_context| {
            polls += 1;
            if polls == 1 { Poll::Pending } else { Poll::Ready(polls) }
        });
        tasks().execute(async move {
            tell.send(waits_once.await).unwrap();
        });
        assert_eq!(told.await.unwrap(), 2, "polled again, though nobody woke it");
    }

    /// A lapse that tells when it is looked at.
    fn watched() -> (Lapse, Arc<AtomicUsize>) {
        let looks = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&looks);
        let lapse = poll_fn(move |_context| {
            told.fetch_add(1, Ordering::Relaxed);
            Poll::Pending
        });
        (Box::pin(lapse), looks)
    }

    #[tokio::test]
    async fn the_end_of_a_callers_right_is_no_others_however_its_call_ended() {
        let (of_done, done_looks) = watched();
        let (of_broken, broken_looks) = watched();
        let (own, own_looks) = watched();
        tasks().execute(async move { answered_unless(of_done) });
        tasks().execute(async move {
            answered_unless(of_broken);
            panic!("as told");
        });
        let (_keep, never) = oneshot::channel::<()>();
        tasks().execute(async move {
            answered_unless(own);
            let _never = never.await;
        });
        let looks = [done_looks, broken_looks, own_looks].map(|it| it.load(Ordering::Relaxed));
        assert_eq!(looks, [0, 0, 1]);
    }

    #[tokio::test]
    async fn a_call_that_panics_ends_alone() {
        struct Dropped(Option<oneshot::Sender<()>>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.take().unwrap().send(()).unwrap();
            }
        }
        let (tell, told) = oneshot::channel();
        let dropped = Dropped(Some(tell));
        tasks().execute(async move {
            let _dropped = dropped;
            panic!("as told");
        });
        told.await.unwrap();
    }
}

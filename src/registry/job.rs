//! [`Job`]: one piece of slow work, and [`Completion`], the wait for its result.
//!
//! Law: what a job holds (guards, charges) is dropped by the job, before its caller hears of it and
//! whatever becomes of the call; a call that goes before the job's first effect (its [`Gate`]) takes
//! the job with it. Completion is by [`Waker`]. Does not know threads or turns (`pool.rs`).

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use crate::error::Failure;
use crate::memory::sync::{Mutex, lock};
use crate::registry::gate::Gate;
use crate::registry::unwound::{catch, drop_as_unwound};

/// The wait for a job's result. Dropped before that came, it takes a job that has had no effect
/// with it.
#[must_use = "a job whose completion is dropped at once may never run"]
pub struct Completion<T> {
    job: Arc<Job<T>>,
    gate: Arc<Gate>,
    /// The result was handed over: the gate is the call's again, for a stream's next message.
    over: bool,
}

impl<T> Completion<T> {
    pub(super) fn new(job: Arc<Job<T>>, gate: Arc<Gate>) -> Self {
        Self { job, gate, over: false }
    }
}

impl<T> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl<T> Future for Completion<T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.job.poll(&self.gate, context);
        self.over |= polled.is_ready();
        polled
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if !self.over && self.gate.close() {
            drop(take(&self.job.work));
        }
    }
}

type Work<T> = Box<dyn FnMut() -> Option<T> + Send>;

/// Some work, its result, and who waits for it.
pub(super) struct Job<T> {
    /// Absent while a thread runs it, and once it is done or withdrawn.
    work: Mutex<Option<Work<T>>>,
    outcome: Mutex<Outcome<T>>,
}

impl<T> Job<T> {
    pub(super) fn new(step: impl FnMut() -> Option<T> + Send + 'static) -> Arc<Self> {
        let work: Work<T> = Box::new(step);
        Arc::new(Self { work: Mutex::new(Some(work)), outcome: Mutex::new(Outcome::Pending(None)) })
    }

    /// Gives back what it holds, undone.
    pub(super) fn refuse(&self, why: Failure) {
        drop(take(&self.work));
        *lock(&self.outcome) = Outcome::Refused(why);
    }

    fn poll(&self, gate: &Gate, context: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        // Queued, not running: nothing has happened and dropping the work gives all back.
        if gate.is_closed()
            && let Some(work) = take(&self.work)
        {
            drop(work);
            return Poll::Ready(Err(Failure::DeadlinePassed));
        }
        let mut outcome = lock(&self.outcome);
        match mem::replace(&mut *outcome, Outcome::Pending(None)) {
            Outcome::Done(result) => Poll::Ready(Ok(result)),
            Outcome::Panicked => Poll::Ready(Err(Failure::InternalFault)),
            Outcome::Refused(failure) => Poll::Ready(Err(failure)),
            Outcome::Pending(_) => {
                *outcome = Outcome::Pending(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

enum Outcome<T> {
    Pending(Option<Waker>),
    Done(T),
    Panicked,
    Refused(Failure),
}

/// What became of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is to be run again.
    Again,
    /// It is over, or was withdrawn.
    Ended,
}

/// A job, whatever its result is.
pub(super) trait Runnable: Send + Sync {
    /// Runs it once, on the calling thread. A panic is caught, and counted there.
    fn step(&self, panics: &AtomicU64) -> Step;
}

impl<T: Send> Runnable for Job<T> {
    fn step(&self, panics: &AtomicU64) -> Step {
        let Some(mut work) = take(&self.work) else { return Step::Ended };
        let (outcome, step) = match catch(&mut work) {
            Ok(None) => {
                *lock(&self.work) = Some(work);
                return Step::Again;
            }
            Ok(Some(result)) => {
                // Guards and charges are back before the caller hears of it.
                drop(work);
                (Outcome::Done(result), Step::Ended)
            }
            Err(_panicked) => {
                drop_as_unwound(work);
                // Counted before the caller hears of it.
                panics.fetch_add(1, Ordering::Relaxed);
                (Outcome::Panicked, Step::Ended)
            }
        };
        let before = mem::replace(&mut *lock(&self.outcome), outcome);
        if let Outcome::Pending(Some(waker)) = before {
            waker.wake();
        }
        step
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    lock(slot).take()
}

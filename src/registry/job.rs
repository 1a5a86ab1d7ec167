//! [`Job`]: one piece of slow work, a future that is polled by the pool's threads; [`Completion`],
//! the wait for its result; and [`turn`], with which it goes to the back of its tenant's lane.
//!
//! ```text
//!            ┌─────── wake ──────────────┐
//!          IDLE <──pending──┐            ▼
//! made ──> RUNNING ─────────┤         QUEUED ──a pool thread──> RUNNING
//!                           ├──pending, was woken──^
//!                           └──ready, panic──> OVER <──withdrawn, refused── IDLE, QUEUED
//! ```
//!
//! It is first polled where it is made, so that it stands in a memory's queue in the order of its
//! arrival; from its first wait or [`turn`] on it runs on the pool. Who lets go of a memory's lock
//! wakes the next job straight into the pool: no serving thread in between.
//!
//! Law: what a job holds (guards, charges) is dropped by the job, before its caller hears of it and
//! whatever becomes of the call; a call that goes before the job's first effect (its [`Gate`]) takes
//! the job with it. Room is judged once, when it first asks for a turn: a job that waited for a memory
//! and was granted it is never refused, so letting go of a lock never runs a chain of refusals. Lock
//! order: a job's state is a leaf, held while no work is polled, dropped, woken or queued. Does not
//! know threads or turns (`pool.rs`).

use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::error::Failure;
use crate::memory::sync::{Mutex, lock};
use crate::registry::gate::Gate;
use crate::registry::unwound::{Panicked, catch, drop_as_unwound};

/// Gives way: what follows runs on a pool thread, behind the tenant's other jobs.
pub(super) async fn turn() {
    let mut given_way = false;
    poll_fn(|context| match mem::replace(&mut given_way, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Whose turns a job takes.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// The tenant's number.
    pub tenant: u32,
    /// It keeps a memory of another tenant's, who may be waiting for it: its turns come before those of
    /// the tenant's other jobs.
    pub is_awaited: bool,
}

impl From<u32> for Lane {
    fn from(tenant: u32) -> Self {
        Self { tenant, is_awaited: false }
    }
}

/// Where jobs wait for a thread.
pub(super) trait Turns: Send + Sync {
    /// Puts a job in a lane, if there is room: at the back, or of those that are awaited.
    ///
    /// # Errors
    /// Why not.
    fn enter(&self, lane: Lane, job: Arc<dyn Runnable>) -> Result<(), Failure>;

    /// Puts a job that was admitted once in a lane again: at the back, or of those that are awaited.
    fn enter_again(&self, lane: Lane, job: Arc<dyn Runnable>);

    /// A job panicked.
    fn panicked(&self);
}

/// The wait for a job's result. Dropped before that came, it takes a job that has had no effect
/// with it.
#[must_use = "a job whose completion is dropped at once may never run"]
pub struct Completion<T> {
    job: Arc<Job<T>>,
    /// The result was handed over: the gate is the call's again, for a stream's next message.
    over: bool,
}

impl<T> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("gate", &self.job.gate).finish_non_exhaustive()
    }
}

impl<T> Future for Completion<T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.job.poll(context);
        self.over |= polled.is_ready();
        polled
    }
}

impl<T> Completion<T> {
    /// Lets the job go on by itself, whoever goes.
    pub(super) fn detach(mut self) {
        self.over = true;
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if !self.over && self.job.gate.close() {
            let withdrawn = lock(&self.job.state).withdraw();
            drop(withdrawn);
        }
    }
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Some work, its result, and who waits for it.
pub(super) struct Job<T> {
    turns: Arc<dyn Turns>,
    lane: Lane,
    gate: Arc<Gate>,
    state: Mutex<State<T>>,
}

struct State<T> {
    stage: Stage<T>,
    outcome: Option<Result<T, Failure>>,
    caller: Option<Waker>,
}

enum Stage<T> {
    /// It waits for something that will wake it.
    Idle(Work<T>),
    /// It waits for a thread.
    Queued(Work<T>),
    /// It is being polled; `woken` in the meantime.
    Running { woken: bool },
    /// It is done, or was withdrawn.
    Over,
}

impl<T> State<T> {
    /// The work, if nobody is polling it.
    fn withdraw(&mut self) -> Option<Work<T>> {
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Idle(work) | Stage::Queued(work) => Some(work),
            other => {
                self.stage = other;
                None
            }
        }
    }
}

impl<T: Send + 'static> Job<T> {
    /// Begins `work` on the calling thread. Its gate is the call's.
    pub(super) fn begin(
        turns: Arc<dyn Turns>,
        lane: Lane,
        gate: Arc<Gate>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Completion<T> {
        let stage = Stage::Running { woken: false };
        let state = Mutex::new(State { stage, outcome: None, caller: None });
        let job = Arc::new(Self { turns, lane, gate, state });
        if job.advance(Box::pin(work)) {
            job.enter();
        }
        Completion { job, over: false }
    }

    /// Polls the work; whether it gave way and is to be queued.
    #[must_use]
    fn advance(self: &Arc<Self>, mut work: Work<T>) -> bool {
        let waker = Waker::from(Arc::clone(self));
        match catch(|| work.as_mut().poll(&mut Context::from_waker(&waker))) {
            Ok(Poll::Pending) => return self.keep(work),
            Ok(Poll::Ready(result)) => {
                drop(work);
                self.end(Ok(result));
            }
            Err(Panicked) => {
                drop_as_unwound(work);
                // Counted before the caller hears of it.
                self.turns.panicked();
                self.end(Err(Failure::InternalFault));
            }
        }
        false
    }

    /// Until it is woken, or where it was, until its turn: whether it is to be queued.
    fn keep(&self, work: Work<T>) -> bool {
        let mut state = lock(&self.state);
        // Whoever closed the gate while the work was being polled could not withdraw it.
        if self.gate.is_closed() {
            drop(state);
            drop(work);
            self.end(Err(Failure::DeadlinePassed));
            return false;
        }
        let woken = matches!(state.stage, Stage::Running { woken: true });
        state.stage = if woken { Stage::Queued(work) } else { Stage::Idle(work) };
        woken
    }

    fn enter_again(self: &Arc<Self>) {
        self.turns.enter_again(self.lane, Arc::clone(self) as Arc<dyn Runnable>);
    }

    fn enter(self: &Arc<Self>) {
        let job = Arc::clone(self) as Arc<dyn Runnable>;
        if let Err(refusal) = self.turns.enter(self.lane, job) {
            let withdrawn = lock(&self.state).withdraw();
            if withdrawn.is_some() {
                drop(withdrawn);
                self.end(Err(refusal));
            }
        }
    }

    fn end(&self, outcome: Result<T, Failure>) {
        let mut state = lock(&self.state);
        state.stage = Stage::Over;
        state.outcome = Some(outcome);
        let caller = state.caller.take();
        drop(state);
        if let Some(caller) = caller {
            caller.wake();
        }
    }
}

impl<T> Job<T> {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        let mut state = lock(&self.state);
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        // Not running: nothing has happened, and dropping the work gives all back.
        if self.gate.is_closed()
            && let Some(work) = state.withdraw()
        {
            drop(state);
            drop(work);
            return Poll::Ready(Err(Failure::DeadlinePassed));
        }
        let before = state.caller.replace(context.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl<T: Send + 'static> Wake for Job<T> {
    fn wake(self: Arc<Self>) {
        let mut state = lock(&self.state);
        match mem::replace(&mut state.stage, Stage::Over) {
            Stage::Idle(work) => {
                state.stage = Stage::Queued(work);
                drop(state);
                self.enter_again();
            }
            Stage::Running { .. } => state.stage = Stage::Running { woken: true },
            other @ (Stage::Queued(_) | Stage::Over) => state.stage = other,
        }
    }
}

/// A job that has its turn, whatever its result is.
pub(super) trait Runnable: Send + Sync {
    /// Polls it once, on the calling thread.
    fn run(self: Arc<Self>);
}

impl<T: Send + 'static> Runnable for Job<T> {
    fn run(self: Arc<Self>) {
        let mut state = lock(&self.state);
        match mem::replace(&mut state.stage, Stage::Running { woken: false }) {
            Stage::Queued(work) => {
                drop(state);
                if self.advance(work) {
                    self.enter_again();
                }
            }
            other => state.stage = other,
        }
    }
}

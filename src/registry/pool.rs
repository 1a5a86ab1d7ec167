//! [`Pool`]: a bounded set of threads for slow kernel work and long operations, fair between
//! tenants.
//!
//! ```text
//! turn  → tenant 3, tenant 0, tenant 7        a job is taken from the front tenant, which then
//! lanes   3: [job]  0: [job][job]  7: [job]   goes to the back
//! ```
//!
//! Law: a job is a step repeated until it yields a result; between steps it goes to the back of its
//! tenant's lane. What a job holds (guards, charges) is dropped by the job, whatever becomes of the
//! call that wanted it; a call that goes before the job's first effect (its [`Gate`]) takes the job
//! with it. Completion is by [`Waker`]; no runtime is known here.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::Failure;
use crate::registry::gate::Gate;
use crate::registry::unwound::{catch, drop_as_unwound};

/// Jobs that may wait, over all tenants.
const MAX_QUEUED: usize = 16_384;
/// What a caller is told to wait when there are more.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Threads for slow work.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    /// So many threads; each runs `prepare` first.
    ///
    /// # Errors
    /// What the host says where it has no more threads.
    pub fn start(
        threads: usize,
        prepare: impl Fn() + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut handles = Vec::new();
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            let prepare = prepare.clone();
            let thread = thread::Builder::new().name(format!("pool-{number}"));
            handles.push(thread.spawn(move || {
                prepare();
                shared.work();
            })?);
        }
        Ok(Self { shared, threads: Mutex::new(handles) })
    }

    /// Runs `step` on a pool thread, again and again until it yields a result.
    ///
    /// `gate` is the call's: where it closes first, the job is dropped unrun or, if it runs, is
    /// waited for.
    pub fn run<T: Send + 'static>(
        &self,
        lane: u32,
        gate: Arc<Gate>,
        step: impl FnMut() -> Option<T> + Send + 'static,
    ) -> Completion<T> {
        let job = Arc::new(Job {
            work: Mutex::new(Some(Box::new(step))),
            outcome: Mutex::new(Outcome::Pending(None)),
        });
        if !self.shared.push(lane, Arc::clone(&job) as Arc<dyn Runnable>) {
            drop(take(&job.work));
            *lock(&job.outcome) = Outcome::Refused;
        }
        Completion { job, gate, heard: false }
    }

    /// [`Self::run`] for a job of one step.
    pub fn run_once<T: Send + 'static>(
        &self,
        lane: u32,
        gate: Arc<Gate>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Completion<T> {
        let mut work = Some(work);
        self.run(lane, gate, move || work.take().map(|work| work()))
    }

    /// Jobs that panicked since the start.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.shared.panics.load(Ordering::Relaxed)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.queues).closed = true;
        self.shared.work_came.notify_all();
        for thread in mem::take(&mut *lock(&self.threads)) {
            // A pool thread catches every panic, so there is nothing to learn from its end.
            let _ended = thread.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// The wait for a job's result. Dropped, it takes a job that has had no effect with it.
#[must_use = "a job whose completion is dropped at once may never run"]
pub struct Completion<T> {
    job: Arc<Job<T>>,
    gate: Arc<Gate>,
    /// Whether the outcome was taken: then the gate is the call's own again.
    heard: bool,
}

impl<T> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl<T> Future for Completion<T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let heard = std::task::ready!(self.outcome(context));
        self.heard = true;
        Poll::Ready(heard)
    }
}

impl<T> Completion<T> {
    fn outcome(&self, context: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        // Queued, not running: nothing has happened and dropping the work gives all back.
        if self.gate.is_closed()
            && let Some(work) = take(&self.job.work)
        {
            drop(work);
            return Poll::Ready(Err(Failure::DeadlinePassed));
        }
        let mut outcome = lock(&self.job.outcome);
        match mem::replace(&mut *outcome, Outcome::Pending(None)) {
            Outcome::Done(result) => Poll::Ready(Ok(result)),
            Outcome::Panicked => Poll::Ready(Err(Failure::InternalFault)),
            Outcome::Refused => Poll::Ready(Err(Failure::Overloaded {
                limit_name: "queued_jobs",
                limit: MAX_QUEUED as u64,
                after: RETRY_AFTER,
            })),
            Outcome::Pending(_) => {
                *outcome = Outcome::Pending(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if !self.heard && self.gate.close() {
            drop(take(&self.job.work));
        }
    }
}

type Work<T> = Box<dyn FnMut() -> Option<T> + Send>;

struct Job<T> {
    /// Absent while a thread runs it, and once it is done or withdrawn.
    work: Mutex<Option<Work<T>>>,
    outcome: Mutex<Outcome<T>>,
}

enum Outcome<T> {
    Pending(Option<Waker>),
    Done(T),
    Panicked,
    Refused,
}

enum Step {
    Again,
    Ended,
    Panicked,
}

trait Runnable: Send + Sync {
    fn step(&self) -> Step;
}

impl<T: Send> Runnable for Job<T> {
    fn step(&self) -> Step {
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
                (Outcome::Panicked, Step::Panicked)
            }
        };
        let before = mem::replace(&mut *lock(&self.outcome), outcome);
        if let Outcome::Pending(Some(waker)) = before {
            waker.wake();
        }
        step
    }
}

#[derive(Default)]
struct Shared {
    queues: Mutex<Queues>,
    work_came: Condvar,
    panics: AtomicU64,
}

#[derive(Default)]
struct Queues {
    lanes: HashMap<u32, VecDeque<Arc<dyn Runnable>>>,
    /// The lanes that are not empty, in order of turn.
    turn: VecDeque<u32>,
    queued: usize,
    closed: bool,
}

impl Queues {
    fn push(&mut self, lane: u32, job: Arc<dyn Runnable>) {
        let jobs = self.lanes.entry(lane).or_default();
        if jobs.is_empty() {
            self.turn.push_back(lane);
        }
        jobs.push_back(job);
        self.queued = self.queued.saturating_add(1);
    }

    fn pop(&mut self) -> Option<(u32, Arc<dyn Runnable>)> {
        let lane = self.turn.pop_front()?;
        let jobs = self.lanes.get_mut(&lane)?;
        let job = jobs.pop_front()?;
        if jobs.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.turn.push_back(lane);
        }
        self.queued = self.queued.saturating_sub(1);
        Some((lane, job))
    }
}

impl Shared {
    fn push(&self, lane: u32, job: Arc<dyn Runnable>) -> bool {
        let mut queues = lock(&self.queues);
        if queues.closed || queues.queued >= MAX_QUEUED {
            return false;
        }
        queues.push(lane, job);
        drop(queues);
        self.work_came.notify_one();
        true
    }

    fn work(&self) {
        while let Some((lane, job)) = self.next() {
            match job.step() {
                Step::Ended => {}
                Step::Panicked => {
                    self.panics.fetch_add(1, Ordering::Relaxed);
                }
                // Admitted once: what has begun is never refused for want of room.
                Step::Again => lock(&self.queues).push(lane, job),
            }
        }
    }

    fn next(&self) -> Option<(u32, Arc<dyn Runnable>)> {
        let mut queues = lock(&self.queues);
        loop {
            if let Some(next) = queues.pop() {
                return Some(next);
            }
            if queues.closed {
                return None;
            }
            queues = self.work_came.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No holder panics in the middle of a change: jobs run outside every lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    lock(slot).take()
}

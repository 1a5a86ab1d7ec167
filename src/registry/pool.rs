//! [`Pool`]: a bounded set of threads for slow kernel work and long operations, fair between
//! tenants.
//!
//! ```text
//! turn  → tenant 3, tenant 0, tenant 7        a job is taken from the front tenant, which then
//! lanes   3: [job]  0: [job][job]  7: [job]   goes to the back
//! ```
//!
//! Law: a job is a future; whenever it gives way it goes to the back of its tenant's lane, or before it
//! where another tenant waits for what it keeps, and while it waits for a memory it stands in none. A lane
//! has no more room than it leaves: k tenants that fill theirs have k of k + 1 parts. What a job is and
//! how its caller hears of it is in `job.rs`; no runtime is known here. Lock order: the queues are a leaf.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::Failure;
use crate::os::heap::give_back;
use crate::registry::gate::Gate;
use crate::registry::job::{Completion, Job, Runnable, Turns, turn};

pub(super) use crate::registry::job::Lane;

/// Jobs that may wait, over all tenants; of one no more than would be left for the others.
const MAX_QUEUED: usize = 16_384;
/// Without a job for so long, a thread gives back what its jobs have left of its heap.
const IDLE: Duration = Duration::from_secs(10);
/// What a caller is told to wait when there are more.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Threads for slow work.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    /// So many threads; each runs `prepare` first, with its number.
    ///
    /// # Errors
    /// What the host says where it has no more threads.
    pub fn start(
        threads: usize,
        prepare: impl Fn(usize) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut handles = Vec::new();
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            let prepare = prepare.clone();
            let thread = thread::Builder::new().name(format!("pool-{number}"));
            handles.push(thread.spawn(move || {
                prepare(number);
                shared.work();
            })?);
        }
        Ok(Self { shared, threads: Mutex::new(handles) })
    }

    /// Runs `work`: up to its first wait or turn on the calling thread, which it must not keep, and
    /// from there on on pool threads.
    ///
    /// `gate` is the call's: where it closes first, the job is dropped unrun or, if it runs, is
    /// waited for.
    pub fn run<T: Send + 'static>(
        &self,
        lane: impl Into<Lane>,
        gate: Arc<Gate>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Completion<T> {
        Job::begin(Arc::clone(&self.shared) as Arc<dyn Turns>, lane.into(), gate, work)
    }

    /// [`Self::run`] for work of one turn.
    pub fn run_once<T: Send + 'static>(
        &self,
        lane: impl Into<Lane>,
        gate: Arc<Gate>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Completion<T> {
        self.run(lane, gate, async move {
            turn().await;
            work()
        })
    }

    /// Jobs that panicked since the start.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.shared.panics.load(Ordering::Relaxed)
    }
}

/// Goes on on a pool thread: at once where this is one, for who waited for a memory had its turn.
pub(super) async fn onto_pool() {
    if OWN_POOL.get() == 0 {
        turn().await;
    }
}

/// Repeats a step on pool threads until it yields a result, a turn each time.
pub(super) async fn in_steps<T>(mut step: impl FnMut() -> Option<T>) -> T {
    onto_pool().await;
    loop {
        if let Some(result) = step() {
            return result;
        }
        turn().await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.queues).closed = true;
        self.shared.work_came.notify_all();
        let own = thread::current().id();
        for thread in mem::take(&mut *lock(&self.threads)) {
            // A job may hold the last share of what owns the pool; its thread ends by itself.
            if thread.thread().id() == own {
                continue;
            }
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

thread_local! {
    /// The pool whose thread this is, by address.
    static OWN_POOL: Cell<usize> = const { Cell::new(0) };
}

#[derive(Default)]
struct Shared {
    queues: Mutex<Queues>,
    work_came: Condvar,
    panics: AtomicU64,
}

#[derive(Default)]
struct Queues {
    lanes: HashMap<u32, Jobs>,
    /// The lanes that are not empty, in order of turn.
    turn: VecDeque<u32>,
    queued: usize,
    closed: bool,
}

/// One tenant's, in order.
#[derive(Default)]
struct Jobs {
    /// Those that others wait for.
    awaited: VecDeque<Arc<dyn Runnable>>,
    usual: VecDeque<Arc<dyn Runnable>>,
}

impl Jobs {
    fn len(&self) -> usize {
        self.awaited.len().saturating_add(self.usual.len())
    }

    fn pop(&mut self) -> Option<Arc<dyn Runnable>> {
        self.awaited.pop_front().or_else(|| self.usual.pop_front())
    }
}

impl Queues {
    /// Whether a lane may have one more.
    fn has_room(&self, lane: Lane) -> bool {
        let own = self.lanes.get(&lane.tenant).map_or(0, Jobs::len);
        own < MAX_QUEUED.saturating_sub(self.queued)
    }

    fn push(&mut self, tenant: u32, is_awaited: bool, job: Arc<dyn Runnable>) {
        let jobs = self.lanes.entry(tenant).or_default();
        if jobs.len() == 0 {
            self.turn.push_back(tenant);
        }
        if is_awaited { &mut jobs.awaited } else { &mut jobs.usual }.push_back(job);
        self.queued = self.queued.saturating_add(1);
    }

    fn pop(&mut self) -> Option<Arc<dyn Runnable>> {
        let lane = self.turn.pop_front()?;
        let jobs = self.lanes.get_mut(&lane)?;
        let job = jobs.pop()?;
        if jobs.len() == 0 {
            self.lanes.remove(&lane);
        } else {
            self.turn.push_back(lane);
        }
        self.queued = self.queued.saturating_sub(1);
        Some(job)
    }
}

impl Shared {
    fn work(&self) {
        OWN_POOL.set(self.address());
        while let Some(job) = self.next() {
            job.run();
        }
    }

    fn push(
        &self,
        mut queues: MutexGuard<'_, Queues>,
        Lane { tenant, is_awaited }: Lane,
        job: Arc<dyn Runnable>,
    ) {
        queues.push(tenant, is_awaited, job);
        let alone = queues.queued == 1;
        drop(queues);
        // A pool thread looks for its next job itself, and soon: what it queued alone waits for it.
        if !(alone && OWN_POOL.get() == self.address()) {
            self.work_came.notify_one();
        }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn next(&self) -> Option<Arc<dyn Runnable>> {
        let mut queues = lock(&self.queues);
        loop {
            if let Some(next) = queues.pop() {
                return Some(next);
            }
            if queues.closed {
                return None;
            }
            let waited = self.work_came.wait_timeout(queues, IDLE);
            let (guard, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            queues = guard;
            if waited.timed_out() && queues.queued == 0 {
                drop(queues);
                give_back();
                queues = lock(&self.queues);
            }
        }
    }
}

impl Turns for Shared {
    fn enter(&self, lane: Lane, job: Arc<dyn Runnable>) -> Result<(), Failure> {
        let queues = lock(&self.queues);
        if queues.closed || !queues.has_room(lane) {
            return Err(Failure::Overloaded {
                limit_name: "queued_jobs",
                limit: MAX_QUEUED as u64,
                used: None,
                after: RETRY_AFTER,
            });
        }
        self.push(queues, lane, job);
        Ok(())
    }

    fn enter_again(&self, lane: Lane, job: Arc<dyn Runnable>) {
        self.push(lock(&self.queues), lane, job);
    }

    fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No holder panics in the middle of a change: jobs run outside every lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A call's gate and a job's completion under loom: the deadline, the caller's going and the pool's
//! thread racing one another. See `memory/lock_loom.rs` for how to run it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::thread;

use crate::error::Failure;
use crate::memory::lock::Locked;
use crate::memory::sync::{Mutex, lock};
use crate::registry::gate::Gate;
use crate::registry::job::{Completion, Job, Lane, Runnable, Turns, turn};
use crate::registry::pool::in_steps;

fn explore(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

/// A pool for one job.
#[derive(Default)]
struct OneJob {
    queued: Mutex<Option<Arc<dyn Runnable>>>,
    panics: AtomicU64,
}

impl Turns for OneJob {
    fn enter(&self, lane: Lane, job: Arc<dyn Runnable>) -> Result<(), Failure> {
        self.enter_again(lane, job);
        Ok(())
    }

    fn enter_again(&self, _lane: Lane, job: Arc<dyn Runnable>) {
        assert!(lock(&self.queued).replace(job).is_none(), "queued once");
    }

    fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}

impl OneJob {
    /// What a pool's thread does, until nothing is queued.
    fn work(&self) {
        loop {
            let job = lock(&self.queued).take();
            match job {
                Some(job) => job.run(),
                None => break,
            }
        }
        assert_eq!(self.panics.load(Ordering::Relaxed), 0);
    }
}

/// Starts a job of two slices that passes its gate and adds 1 to `effects` in each, on a pool
/// thread; and waits for it.
fn slices(
    gate: &Arc<Gate>,
    effects: &Arc<AtomicU64>,
) -> (Completion<Result<(), Failure>>, thread::JoinHandle<()>) {
    let pool = Arc::new(OneJob::default());
    let (passes, adds) = (Arc::clone(gate), Arc::clone(effects));
    let work = in_steps(move || match passes.pass() {
        Ok(()) => (adds.fetch_add(1, Ordering::Relaxed) == 1).then_some(Ok(())),
        Err(failure) => Some(Err(failure)),
    });
    let completion =
        Job::begin(Arc::clone(&pool) as Arc<dyn Turns>, 0.into(), Arc::clone(gate), work);
    (completion, thread::spawn(move || pool.work()))
}

/// Closes the gate as a deadline does: whether nothing was done by then, and the call's answer.
fn at_the_deadline(
    mut completion: Completion<Result<(), Failure>>,
    gate: &Gate,
) -> (bool, Result<(), Failure>) {
    let undone = gate.close();
    // Whoever closes the gate polls next; a job that runs is waited for.
    let first = Pin::new(&mut completion).poll(&mut Context::from_waker(Waker::noop()));
    let answer = match first {
        Poll::Ready(answer) => answer,
        Poll::Pending => block_on(completion),
    };
    (undone, answer.and_then(|outcome| outcome))
}

#[test]
fn loom_of_pass_and_close_the_first_wins_and_both_know() {
    explore(|| {
        let gate = Gate::new();
        let deadline = Arc::clone(&gate);
        let closes = thread::spawn(move || deadline.close());
        let passed = gate.pass().is_ok();
        let closed = closes.join().unwrap();
        assert!(passed != closed);
        assert_eq!(gate.is_closed(), closed);
    });
}

#[test]
fn loom_a_close_within_a_streams_message_takes_effect_before_the_next() {
    explore(|| {
        let gate = Gate::new();
        let deadline = Arc::clone(&gate);
        let closes = thread::spawn(move || deadline.close());
        let mut begun = 0;
        while begun < 2 && gate.pass().is_ok() {
            begun += 1;
            gate.rearm();
        }
        let undone = closes.join().unwrap();
        assert!(gate.is_closed(), "a close is never lost");
        assert!(undone || begun > 0, "a close that came too late came within a message");
        assert!(gate.pass().is_err());
    });
}

#[test]
fn loom_a_result_always_reaches_who_waits_for_it() {
    explore(|| {
        let (gate, effects) = (Gate::new(), Arc::new(AtomicU64::new(0)));
        let (completion, pool) = slices(&gate, &effects);
        assert_eq!(block_on(completion), Ok(Ok(())));
        pool.join().unwrap();
        assert_eq!(effects.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn loom_a_job_whose_caller_goes_happens_whole_or_not_at_all_and_gives_back_what_it_holds() {
    explore(|| {
        let (gate, effects) = (Gate::new(), Arc::new(AtomicU64::new(0)));
        let (mut completion, pool) = slices(&gate, &effects);
        let polled = Pin::new(&mut completion).poll(&mut Context::from_waker(Waker::noop()));
        drop(completion);
        pool.join().unwrap();
        let done = effects.load(Ordering::Relaxed);
        assert!(done == 0 || done == 2, "{done} of 2 slices");
        assert!(polled.is_pending() || done == 2);
        assert_eq!(Arc::strong_count(&effects), 1, "the work was dropped");
    });
}

#[test]
fn loom_a_deadline_answers_that_nothing_was_done_exactly_when_nothing_was() {
    explore(|| {
        let (gate, effects) = (Gate::new(), Arc::new(AtomicU64::new(0)));
        let (completion, pool) = slices(&gate, &effects);
        let (undone, outcome) = at_the_deadline(completion, &gate);
        pool.join().unwrap();
        if undone {
            assert_eq!(outcome, Err(Failure::DeadlinePassed));
            assert_eq!(effects.load(Ordering::Relaxed), 0);
        } else {
            assert_eq!(outcome, Ok(()));
            assert_eq!(effects.load(Ordering::Relaxed), 2);
        }
        assert_eq!(Arc::strong_count(&effects), 1, "the work was dropped");
    });
}

struct Owner(Locked<u64>);

#[test]
fn loom_a_job_that_waits_for_a_lock_runs_when_it_is_let_go_or_is_withdrawn_at_the_deadline() {
    explore(|| {
        let owner = Arc::new(Owner(Locked::new(0)));
        let Ok(held) = Locked::try_write(Arc::clone(&owner), |owner| &owner.0) else {
            unreachable!("nobody else is there")
        };
        let (gate, pool) = (Gate::new(), Arc::new(OneJob::default()));
        let (locks, passes) = (Arc::clone(&owner), Arc::clone(&gate));
        let work = async move {
            let mut value = Locked::write(locks, |owner: &Owner| &owner.0, usize::MAX).await;
            turn().await;
            passes.pass()?;
            if let Ok(value) = &mut value {
                **value += 1;
            }
            Ok(())
        };
        let turns = Arc::clone(&pool) as Arc<dyn Turns>;
        let completion = Job::begin(turns, 0.into(), Arc::clone(&gate), work);
        let lets_go = thread::spawn(move || {
            drop(held);
            pool.work();
        });
        let (undone, outcome) = at_the_deadline(completion, &gate);
        lets_go.join().unwrap();
        let expected = if undone { Err(Failure::DeadlinePassed) } else { Ok(()) };
        assert_eq!(outcome, expected);
        let value = Locked::try_write(owner, |owner| &owner.0).map(|value| *value);
        assert_eq!(value.ok(), Some(u64::from(!undone)), "and the lock is free");
    });
}

//! A call's gate and a job's completion under loom: the deadline, the caller's going and the pool's
//! thread racing one another. See `memory/lock_loom.rs` for how to run it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::thread;

use crate::error::Failure;
use crate::registry::gate::Gate;
use crate::registry::job::{Completion, Job, Runnable, Step};

fn explore(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

/// A pool's thread, for one job.
fn work(job: &dyn Runnable) {
    let panics = AtomicU64::new(0);
    while job.step(&panics) == Step::Again {}
    assert_eq!(panics.load(Ordering::Relaxed), 0);
}

/// A job of two slices that passes its gate and adds 1 to `effects` in each; and what it holds.
fn slices(gate: &Arc<Gate>, effects: &Arc<AtomicU64>) -> Arc<Job<Result<(), Failure>>> {
    let (gate, effects) = (Arc::clone(gate), Arc::clone(effects));
    Job::new(move || match gate.pass() {
        Ok(()) => (effects.fetch_add(1, Ordering::Relaxed) == 1).then_some(Ok(())),
        Err(failure) => Some(Err(failure)),
    })
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
        let job = slices(&gate, &effects);
        let runs = Arc::clone(&job);
        let pool = thread::spawn(move || work(&*runs));
        assert_eq!(block_on(Completion::new(job, gate)), Ok(Ok(())));
        pool.join().unwrap();
        assert_eq!(effects.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn loom_a_job_whose_caller_goes_happens_whole_or_not_at_all_and_gives_back_what_it_holds() {
    explore(|| {
        let (gate, effects) = (Gate::new(), Arc::new(AtomicU64::new(0)));
        let job = slices(&gate, &effects);
        let runs = Arc::clone(&job);
        let pool = thread::spawn(move || work(&*runs));
        let mut completion = Completion::new(job, gate);
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
        let job = slices(&gate, &effects);
        let runs = Arc::clone(&job);
        let pool = thread::spawn(move || work(&*runs));
        let mut completion = Completion::new(job, Arc::clone(&gate));
        let undone = gate.close();
        // Whoever closes the gate polls next; a job that runs is waited for.
        let first = Pin::new(&mut completion).poll(&mut Context::from_waker(Waker::noop()));
        let answer = match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => block_on(completion),
        };
        pool.join().unwrap();
        let outcome = answer.and_then(|outcome| outcome);
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

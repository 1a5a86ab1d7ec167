//! The pool's promises: turns, slices, panics, withdrawal, and that what has begun ends. A pool of
//! one thread whose first job waits for a word makes every order here certain.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::error::Failure;
use crate::registry::gate::Gate;
use crate::registry::job::Completion;
use crate::registry::pool::{Lane, Pool, in_steps};

const OTHER_LANE: u32 = 99;

type Said = Arc<Mutex<Vec<&'static str>>>;

fn one_thread() -> Pool {
    Pool::start(1, |_| ()).unwrap()
}

/// Keeps the pool's one thread until the sender is gone.
fn hold(pool: &Pool) -> (Sender<()>, Completion<()>) {
    let (go, wait) = channel();
    let (began, begun) = channel();
    let completion = pool.run_once(OTHER_LANE, Gate::new(), move || {
        began.send(()).unwrap();
        let _gone = wait.recv();
    });
    begun.recv().unwrap();
    (go, completion)
}

fn say(pool: &Pool, lane: u32, said: &Said, word: &'static str) -> Completion<()> {
    let said = Arc::clone(said);
    pool.run_once(lane, Gate::new(), move || said.lock().unwrap().push(word))
}

fn say_in_slices(
    pool: &Pool,
    lane: impl Into<Lane>,
    said: &Said,
    words: [&'static str; 3],
) -> Completion<()> {
    let (said, mut words) = (Arc::clone(said), words.into_iter());
    let step = move || match words.next() {
        Some(word) => {
            said.lock().unwrap().push(word);
            None
        }
        None => Some(()),
    };
    pool.run(lane, Gate::new(), in_steps(step))
}

fn poll<T>(completion: &mut Completion<T>) -> Poll<Result<T, Failure>> {
    std::pin::Pin::new(completion).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn lanes_take_turns_and_within_a_lane_the_first_comes_first() {
    let (pool, said) = (one_thread(), Said::default());
    let (go, held) = hold(&pool);
    let all = [(0, "a1"), (0, "a2"), (0, "a3"), (1, "b1"), (2, "c1"), (1, "b2")]
        .map(|(lane, word)| say(&pool, lane, &said, word));
    drop(go);
    held.await.unwrap();
    for completion in all {
        completion.await.unwrap();
    }
    assert_eq!(*said.lock().unwrap(), ["a1", "b1", "c1", "a2", "b2", "a3"]);
}

#[tokio::test]
async fn between_slices_a_job_goes_behind_its_tenants_others_and_other_tenants() {
    let (pool, said) = (one_thread(), Said::default());
    let (go, held) = hold(&pool);
    let long = say_in_slices(&pool, 0, &said, ["s1", "s2", "s3"]);
    let own = say(&pool, 0, &said, "own");
    let other = say(&pool, 1, &said, "other");
    drop(go);
    for completion in [held, long, own, other] {
        completion.await.unwrap();
    }
    assert_eq!(*said.lock().unwrap(), ["s1", "other", "own", "s2", "s3"]);
}

#[tokio::test]
async fn a_job_that_keeps_what_is_anothers_goes_before_its_tenants_own_and_no_other_tenants() {
    let (pool, said) = (one_thread(), Said::default());
    let (go, held) = hold(&pool);
    let own = say_in_slices(&pool, 0, &said, ["o1", "o2", "o3"]);
    let awaited = Lane { tenant: 0, is_awaited: true };
    let first = say_in_slices(&pool, awaited, &said, ["a1", "a2", "a3"]);
    let other = say_in_slices(&pool, 1, &said, ["x1", "x2", "x3"]);
    drop(go);
    for completion in [held, own, first, other] {
        completion.await.unwrap();
    }
    let words = ["a1", "x1", "a2", "x2", "a3", "x3", "o1", "o2", "o3"];
    assert_eq!(*said.lock().unwrap(), words);
}

#[tokio::test]
async fn a_tenant_that_fills_its_lane_leaves_room_for_others() {
    let pool = one_thread();
    let (go, held) = hold(&pool);
    let is_refused = |completion: &mut Completion<()>| {
        matches!(poll(completion), Poll::Ready(Err(Failure::Overloaded { .. })))
    };
    // As many as there are places, of which each tenant in turn gets half of what is left.
    let mut kept = Vec::new();
    for (lane, most) in [(0, 8_192), (1, 4_096), (2, 2_048)] {
        let mut jobs = (0..16_384).map(|_| pool.run_once(lane, Gate::new(), || ()));
        kept.extend(jobs.by_ref().take(most));
        let first_refused = kept.iter_mut().position(is_refused);
        assert_eq!(first_refused, None, "of lane {lane}");
        assert!(is_refused(&mut jobs.next().unwrap()), "of lane {lane}");
    }
    drop(go);
    held.await.unwrap();
    for completion in kept {
        completion.await.unwrap();
    }
}

#[tokio::test]
async fn a_panic_ends_its_job_alone_and_is_counted_before_it_is_told() {
    let pool = one_thread();
    let held = Arc::new(());
    let share = Arc::clone(&held);
    let broken = pool.run_once(0, Gate::new(), move || {
        let _share = share;
        panic!("planted")
    });
    assert_eq!(broken.await, Err::<(), _>(Failure::InternalFault));
    assert_eq!(pool.panics(), 1);
    assert_eq!(Arc::strong_count(&held), 1, "what the job held is back");
    assert_eq!(pool.run_once(0, Gate::new(), || 7).await, Ok(7), "the thread lives on");
}

#[tokio::test]
async fn a_job_whose_caller_goes_before_it_runs_gives_back_what_it_holds_and_never_runs() {
    let (pool, said) = (one_thread(), Said::default());
    let (go, held) = hold(&pool);
    let gate = Gate::new();
    let words = Arc::clone(&said);
    let waiting = pool.run_once(0, Arc::clone(&gate), move || words.lock().unwrap().push("ran"));
    assert_eq!(Arc::strong_count(&said), 2);
    drop(waiting);
    assert_eq!(Arc::strong_count(&said), 1);
    assert!(gate.is_closed());
    drop(go);
    held.await.unwrap();
    say(&pool, 0, &said, "after").await.unwrap();
    assert_eq!(*said.lock().unwrap(), ["after"]);
}

#[tokio::test]
async fn a_closed_gate_answers_deadline_passed_and_gives_back_what_the_job_held() {
    let (pool, said) = (one_thread(), Said::default());
    let (go, held) = hold(&pool);
    let gate = Gate::new();
    let words = Arc::clone(&said);
    let mut waiting =
        pool.run_once(0, Arc::clone(&gate), move || words.lock().unwrap().push("ran"));
    assert!(poll(&mut waiting).is_pending());
    assert!(gate.close());
    assert_eq!(poll(&mut waiting), Poll::Ready(Err(Failure::DeadlinePassed)));
    assert_eq!(Arc::strong_count(&said), 1);
    drop(go);
    held.await.unwrap();
}

#[tokio::test]
async fn what_has_passed_its_gate_runs_to_its_end_though_nobody_waits() {
    let pool = one_thread();
    let gate = Gate::new();
    let ((passed, has_passed), (go, wait), (ended, end)) = (channel(), channel::<()>(), channel());
    let job_gate = Arc::clone(&gate);
    let mut slices = 0;
    let step = move || {
        job_gate.pass().unwrap();
        slices += 1;
        if slices == 1 {
            passed.send(()).unwrap();
            let _gone = wait.recv();
        }
        (slices == 3).then(|| ended.send(slices).unwrap())
    };
    let unwanted = pool.run(0, Arc::clone(&gate), in_steps(step));
    has_passed.recv().unwrap();
    drop(unwanted);
    drop(go);
    assert_eq!(end.recv(), Ok(3));
}

#[tokio::test]
async fn a_result_that_was_handed_over_leaves_the_gate_to_the_streams_next_message() {
    let pool = one_thread();
    let gate = Gate::new();
    for _message in 0..3 {
        let job_gate = Arc::clone(&gate);
        let written = pool.run_once(0, Arc::clone(&gate), move || job_gate.pass()).await;
        assert_eq!(written, Ok(Ok(())), "an upload's message");
        gate.rearm();
    }
    for _message in 0..3 {
        assert_eq!(pool.run_once(0, Arc::clone(&gate), || 1).await, Ok(1), "a download's message");
        assert!(!gate.is_closed());
    }
}

#[tokio::test]
async fn a_job_may_hold_the_last_share_of_its_own_pool() {
    let pool = Arc::new(one_thread());
    let (go, held) = hold(&pool);
    let share = Arc::clone(&pool);
    let last = pool.run_once(0, Gate::new(), move || drop(share));
    drop(pool);
    drop(go);
    held.await.unwrap();
    assert_eq!(last.await, Ok(()));
}

#[tokio::test]
async fn a_pool_that_ends_runs_what_it_took_first() {
    let (pool, said) = (one_thread(), Said::default());
    let (go, held) = hold(&pool);
    let last = say(&pool, 0, &said, "last");
    drop(go);
    drop(pool);
    held.await.unwrap();
    last.await.unwrap();
    assert_eq!(*said.lock().unwrap(), ["last"]);
}

//! Claims about turns: who waits for whom, and that nobody waits for nothing.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hyper::rt::Executor;
use tokio::task::{LocalSet, spawn_local, yield_now};

use crate::rpc::party::Party;
use crate::rpc::places::Origin;
use crate::rpc::task::CallTasks;
use crate::rpc::turns::{TURN, ask, begin, give_turns};

/// A tenant.
fn party(number: usize) -> Arc<Party> {
    let party = Party::of(None, 0);
    party.belongs_to(number << 4);
    party
}

/// Whether it had to stand in the line, once it is its turn.
async fn turn(party: &Party, frames: u32) -> bool {
    let place = poll_fn(|context| Poll::Ready(ask(party, frames, context))).await;
    if let Some(place) = &place {
        poll_fn(|context| place.poll(context)).await;
    }
    place.is_some()
}

/// Takes turns until told to stop.
fn greedy(party: &Arc<Party>, turns: &Rc<Cell<u32>>, stop: &Rc<Cell<bool>>) {
    let (party, turns, stop) = (Arc::clone(party), Rc::clone(turns), Rc::clone(stop));
    spawn_local(async move {
        while !stop.get() {
            turn(&party, TURN).await;
            turns.set(turns.get() + 1);
            yield_now().await;
        }
    });
}

async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        yield_now().await;
    }
}

fn on_a_thread(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, work);
}

#[test]
fn nobody_stands_in_a_line_where_nobody_gives_turns() {
    on_a_thread(async {
        let (one, other) = (party(1), party(2));
        for _ in 0..1_000 {
            assert!(!turn(&one, TURN).await && !turn(&other, TURN).await);
        }
    });
}

#[test]
fn a_party_alone_never_stands_in_a_line() {
    on_a_thread(async {
        spawn_local(give_turns());
        yield_now().await;
        let one = party(1);
        for _ in 0..1_000 {
            assert!(!turn(&one, TURN).await);
        }
    });
}

#[test]
fn who_wants_little_is_served_at_once_and_of_the_greedy_each_party_has_as_much() {
    on_a_thread(async {
        spawn_local(give_turns());
        yield_now().await;
        let stop = Rc::new(Cell::new(false));
        let (crowd, single) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (one, other, small) = (party(1), party(2), party(3));
        (0..20).for_each(|_| greedy(&one, &crowd, &stop));
        greedy(&other, &single, &stop);
        // Their allowances are spent.
        until(|| crowd.get() > 50 && single.get() > 50).await;
        let before = (crowd.get(), single.get());
        for _ in 0..40 {
            assert!(!turn(&small, 3).await);
            yield_now().await;
        }
        until(|| single.get() > before.1 + 1_000).await;
        let (crowd, single) = (crowd.get() - before.0, single.get() - before.1);
        assert!(crowd.abs_diff(single) < single / 5, "{crowd} and {single}");
        stop.set(true);
    });
}

#[test]
fn who_is_not_known_yet_always_stands_in_a_line_beside_others() {
    on_a_thread(async {
        spawn_local(give_turns());
        yield_now().await;
        turn(&party(1), 1).await;
        for number in 0..100 {
            assert!(turn(&Party::of(None, number), 1).await, "however many of them there are");
        }
    });
}

#[test]
fn a_place_that_is_left_costs_nobody_a_turn_and_all_are_called_when_no_more_are_given() {
    on_a_thread(async {
        let giver = spawn_local(give_turns());
        yield_now().await;
        let (one, other) = (party(1), party(2));
        turn(&other, 1).await;
        let wait = async || poll_fn(|context| Poll::Ready(ask(&one, 10_000, context))).await;
        let Some(left) = wait().await else { panic!("it is beyond its allowance") };
        let Some(kept) = wait().await else { panic!("it is beyond its allowance") };
        drop(left);
        poll_fn(|context| kept.poll(context)).await;
        let Some(last) = wait().await else { panic!("it is beyond its allowance") };
        giver.abort();
        poll_fn(|context| last.poll(context)).await;
        assert!(!turn(&one, 10).await, "there are no lines any more");
    });
}

#[test]
fn calls_that_are_woken_all_at_once_have_turns_too() {
    const CALLS: u32 = 2_000;
    on_a_thread(async {
        tokio::spawn(give_turns());
        let (crowd, small) = (party(1), party(2));
        yield_now().await;
        turn(&small, 1).await;
        let (tasks, done) = (CallTasks(crowd), Arc::new(AtomicU32::new(0)));
        for _ in 0..CALLS {
            let done = Arc::clone(&done);
            tasks.execute(async move {
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        let mut looks = 0;
        until(|| {
            looks += 1;
            done.load(Ordering::Relaxed) == CALLS
        })
        .await;
        assert!(looks > CALLS / TURN, "{looks} looks at what else is to be done");
    });
}

#[test]
fn connections_beyond_a_burst_are_taken_up_at_a_pace_and_those_whose_peer_has_gone_take_no_place() {
    on_a_thread(async {
        spawn_local(give_turns());
        yield_now().await;
        let address = Party::of(Some(Origin::Address("10.0.0.1".parse().unwrap())), 1);
        let other = Party::of(Some(Origin::Address("10.0.0.2".parse().unwrap())), 2);
        let at_once = |party| begin(party, || false).now_or_never();
        for _ in 0..500 {
            assert_eq!(at_once(&address), Some(true), "a burst");
        }
        let refused = (0..2_000).filter(|_| at_once(&address).is_none()).count();
        assert!(refused > 1_000, "{refused}");
        let mut another = pin!(begin(&other, || false));
        let mut looks = 0;
        while (&mut another).now_or_never().is_none() {
            looks += 1;
            assert!(looks < 100, "another address waits for its turn and for no time");
            yield_now().await;
        }
        let begun = Instant::now();
        while begin(&address, || true).await {}
        assert!(begin(&address, || false).await);
        assert!(begun.elapsed() < Duration::from_secs(1), "who gave up is not waited for");
    });
}

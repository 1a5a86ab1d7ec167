//! Claims about turns: who waits for whom, and that nobody waits for nothing.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::{LocalSet, spawn_local, yield_now};

use crate::rpc::turns::{FRAME, Line, MOST, Party, TURN, ask, give_turns};

fn party(number: u64) -> Arc<Party> {
    Party::of(None, number)
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

async fn until(done: impl Fn() -> bool) {
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
        for _ in 0..50 {
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
fn time_brings_an_allowance_back_and_no_more_than_all_of_it() {
    let begin = Instant::now();
    let mut line = Line::new(begin);
    line.count(300, begin);
    assert_eq!(line.left, -44);
    line.count(0, begin + FRAME * 3 / 2);
    line.count(0, begin + FRAME * 2);
    assert_eq!(line.left, -42, "halves are not lost");
    line.count(100_000, begin + FRAME * 2);
    assert_eq!(line.left, -MOST);
    line.count(0, begin + Duration::from_secs(9));
    assert_eq!(line.left, MOST);
}

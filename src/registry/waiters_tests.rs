//! Waiters by themselves: who is told, in what order, and to whom a wake passes on; and random sequences
//! against a list in the simplest words there are.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use crate::model::Uuid;
use crate::registry::waiters::{Over, Waiters, Waiting};

const GONE: Result<(), Over> = Err(Over::Gone);

fn memory(number: u8) -> Uuid {
    Uuid::from_u128(number.into())
}

fn park(waiters: &Arc<Waiters>, number: u8, address: u64) -> Waiting {
    waiters.park(memory(number), address, || None).unwrap()
}

fn told(waiting: &mut Waiting) -> Option<Result<(), Over>> {
    match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(told) => Some(told),
        Poll::Pending => None,
    }
}

#[test]
fn those_are_woken_first_who_came_first_and_no_more_than_the_count() {
    let waiters = Arc::new(Waiters::default());
    let mut all: Vec<Waiting> = (0..5).map(|_| park(&waiters, 1, 8)).collect();
    assert_eq!(waiters.notify(memory(1), 8, 0), 0);
    assert_eq!(waiters.notify(memory(1), 8, 2), 2);
    let heard: Vec<_> = all.iter_mut().map(told).collect();
    assert_eq!(heard, [Some(Ok(())), Some(Ok(())), None, None, None]);
    assert_eq!(waiters.notify(memory(1), 8, usize::MAX), 3);
    assert_eq!(waiters.notify(memory(1), 8, usize::MAX), 0, "each once");
    assert_eq!(all.iter_mut().map(told).collect::<Vec<_>>()[2..], [Some(Ok(())); 3]);
    assert_eq!(told(&mut all[0]), None, "it is over");
}

#[test]
fn other_addresses_and_other_memories_are_not_woken() {
    let waiters = Arc::new(Waiters::default());
    // Memories of one shard, too.
    let places = [(1, 8), (1, 0), (1, 12), (2, 8), (65, 8)];
    let mut all: Vec<Waiting> =
        places.iter().map(|(number, address)| park(&waiters, *number, *address)).collect();
    assert_eq!(waiters.notify(memory(1), 8, usize::MAX), 1);
    let heard: Vec<_> = all.iter_mut().map(told).collect();
    assert_eq!(heard, [Some(Ok(())), None, None, None, None]);
}

#[test]
fn a_wake_that_was_not_heard_passes_on_to_who_waited_then_and_to_nobody_later() {
    let waiters = Arc::new(Waiters::default());
    let (first, mut second) = (park(&waiters, 1, 8), park(&waiters, 1, 8));
    assert_eq!(waiters.notify(memory(1), 8, 1), 1);
    let mut later = park(&waiters, 1, 8);
    assert_eq!(told(&mut second), None);
    drop(first);
    assert_eq!(told(&mut second), Some(Ok(())));
    assert_eq!(told(&mut later), None);
    // With nobody left who waited then, it is gone with its waiter.
    assert_eq!(waiters.notify(memory(1), 8, 1), 1);
    let mut last = park(&waiters, 1, 8);
    drop(later);
    assert_eq!(told(&mut last), None);
    // A wake that was heard does not pass on.
    let mut behind = park(&waiters, 1, 8);
    assert_eq!(waiters.notify(memory(1), 8, 1), 1);
    assert_eq!(told(&mut last), Some(Ok(())));
    drop(last);
    assert_eq!(told(&mut behind), None);
}

#[test]
fn who_gives_up_hears_what_it_was_told_before_and_is_out_otherwise() {
    let waiters = Arc::new(Waiters::default());
    let (mut first, mut second) = (park(&waiters, 1, 8), park(&waiters, 1, 8));
    assert_eq!(waiters.notify(memory(1), 8, 1), 1);
    assert_eq!(first.give_up(), Some(Ok(())));
    drop(first);
    assert_eq!(second.give_up(), None);
    assert_eq!(waiters.notify(memory(1), 8, usize::MAX), 0);
    assert_eq!(told(&mut second), None);
}

#[test]
fn an_end_is_told_to_all_of_one_memory_and_a_close_to_all() {
    let waiters = Arc::new(Waiters::default());
    let mut all = [park(&waiters, 1, 0), park(&waiters, 1, u64::MAX), park(&waiters, 2, 0)];
    assert_eq!(waiters.notify(memory(1), 0, 1), 1);
    waiters.end(memory(1), Over::Gone);
    // Who was woken before the end was woken.
    assert_eq!(all.each_mut().map(told), [Some(Ok(())), Some(GONE), None]);
    waiters.close();
    assert_eq!(told(&mut all[2]), Some(Err(Over::Draining)));
    let refused = waiters.park(memory(3), 0, || None).map(drop);
    assert_eq!(refused, Err(Over::Draining));
}

#[test]
fn who_would_wait_in_vain_is_not_parked() {
    let waiters = Arc::new(Waiters::default());
    let refused = waiters.park(memory(1), 0, || Some(Over::Quarantined("why"))).map(drop);
    assert_eq!(refused, Err(Over::Quarantined("why")));
    assert_eq!(waiters.notify(memory(1), 0, usize::MAX), 0);
}

#[derive(Clone, Debug)]
enum Deed {
    Park(u8, u64),
    Notify(u8, u64, usize),
    Poll(usize),
    GiveUp(usize),
    Drop(usize),
    End(u8),
}

/// One wait as the list has it.
struct Listed {
    place: (u8, u64),
    waiting: Option<Waiting>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Parked,
    /// By a notify that saw so many waits of the list.
    Woken(usize),
    Ended,
    Over,
}

fn deed() -> impl Strategy<Value = Deed> {
    let (memory, address, one) = (|| 1..3u8, || (0..2u64).prop_map(|n| n * 4), || 0..24usize);
    prop_oneof![
        6 => (memory(), address()).prop_map(|(memory, address)| Deed::Park(memory, address)),
        4 => (memory(), address(), prop_oneof![0..3usize, Just(usize::MAX)])
            .prop_map(|(memory, address, count)| Deed::Notify(memory, address, count)),
        3 => one().prop_map(Deed::Poll),
        2 => one().prop_map(Deed::GiveUp),
        4 => one().prop_map(Deed::Drop),
        1 => memory().prop_map(Deed::End),
    ]
}

fn wake(listed: &mut [Listed], place: (u8, u64), count: usize, seen: usize) -> u32 {
    let waits = |one: &&mut Listed| one.place == place && one.state == State::Parked;
    let woken = listed.iter_mut().filter(waits).take(count);
    u32::try_from(woken.map(|one| one.state = State::Woken(seen)).count()).unwrap()
}

fn hear(one: &mut Listed) -> Option<Result<(), Over>> {
    let heard = match one.state {
        State::Woken(_) => Some(Ok(())),
        State::Ended => Some(GONE),
        State::Parked | State::Over => return None,
    };
    one.state = State::Over;
    heard
}

fn carry_out(waiters: &Arc<Waiters>, listed: &mut Vec<Listed>, deed: Deed) {
    match deed {
        Deed::Park(number, address) => listed.push(Listed {
            place: (number, address),
            waiting: Some(park(waiters, number, address)),
            state: State::Parked,
        }),
        Deed::Notify(number, address, count) => {
            let seen = listed.len();
            let wanted = wake(listed, (number, address), count, seen);
            assert_eq!(waiters.notify(memory(number), address, count), wanted);
        }
        Deed::Poll(place) => {
            let Some(one) = listed.get_mut(place) else { return };
            let wanted = hear(one);
            if let Some(waiting) = &mut one.waiting {
                assert_eq!(told(waiting), wanted);
            }
        }
        Deed::GiveUp(place) => {
            let Some(one) = listed.get_mut(place) else { return };
            let wanted = hear(one);
            one.state = State::Over;
            if let Some(waiting) = &mut one.waiting {
                assert_eq!(waiting.give_up(), wanted);
            }
        }
        Deed::Drop(place) => {
            let Some(one) = listed.get_mut(place) else { return };
            let (place, before) = (one.place, std::mem::replace(&mut one.state, State::Over));
            one.waiting = None;
            if let State::Woken(seen) = before {
                wake(&mut listed[..seen], place, 1, seen);
            }
        }
        Deed::End(number) => {
            for one in listed.iter_mut() {
                if one.place.0 == number && one.state == State::Parked {
                    one.state = State::Ended;
                }
            }
            waiters.end(memory(number), Over::Gone);
        }
    }
}

proptest! {
    #[test]
    fn every_sequence_tells_whom_the_list_tells(deeds in prop::collection::vec(deed(), 0..60)) {
        let (waiters, mut listed) = (Arc::new(Waiters::default()), Vec::new());
        for deed in deeds {
            carry_out(&waiters, &mut listed, deed);
        }
        for one in &mut listed {
            let wanted = hear(one);
            let heard = one.waiting.as_mut().and_then(told);
            prop_assert_eq!(heard, wanted);
        }
        drop(listed);
        prop_assert!(waiters.is_empty(), "a trace was left behind: {:?}", waiters);
    }
}

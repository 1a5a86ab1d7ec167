//! Claims about the checker on histories small enough to be judged by hand, and on random ones that are
//! judged by trying every order.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::checker::{Checker, Refused};
use crate::history::{Answer, Call, Deed, Outcome, PAGE, Record, Span, Step, Wanted, Way};
use crate::model::State;

const UID: u128 = 7;
/// A word of the first page, its neighbour, and a word of the sixth.
const X: usize = 1;
const Y: usize = 2;
const FAR: usize = 8;

fn at(client: usize, sent: u64, back: u64, deed: Deed, outcome: Outcome) -> Record {
    let call = Call { memory: 0, wanted: Wanted::Any, deed };
    Record { client, call, outcome, sent, back }
}

fn steps(client: usize, sent: u64, back: u64, steps: &[(Step, Answer)]) -> Record {
    let (steps, answers) = steps.iter().cloned().unzip();
    at(client, sent, back, Deed::Steps(Way::List, steps), Outcome::Answers(answers))
}

fn write(client: usize, sent: u64, back: u64, cell: usize, value: u64) -> Record {
    let write = Step::Write(Span::one(cell), vec![value]);
    steps(client, sent, back, &[(write, Answer::Nothing)])
}

fn read(client: usize, sent: u64, back: u64, cell: usize, value: u64) -> Record {
    let read = Step::Read(Span::one(cell));
    steps(client, sent, back, &[(read, Answer::Values(vec![value]))])
}

fn both(client: usize, sent: u64, back: u64, values: [u64; 2]) -> Record {
    let read = Step::Read(Span { first: X, last: Y });
    steps(client, sent, back, &[(read, Answer::Values(values.to_vec()))])
}

fn add(client: usize, sent: u64, back: u64, old: u64) -> Record {
    steps(client, sent, back, &[(Step::Add(X, 1), Answer::Old(old))])
}

fn grow(client: usize, sent: u64, back: u64, previous: u64) -> Record {
    let outcome = Outcome::Grown { previous, current: previous + 1 };
    at(client, sent, back, Deed::Grow { delta: 1, expected: None }, outcome)
}

fn shown(client: usize, sent: u64, back: u64, uid: u128, pages: u64) -> Record {
    at(client, sent, back, Deed::Describe, Outcome::Shown { uid, pages })
}

fn failed(record: Record, outcome: Outcome) -> Record {
    Record { outcome, ..record }
}

fn delete(client: usize, sent: u64, back: u64) -> Record {
    at(client, sent, back, Deed::Delete, Outcome::Deleted)
}

fn create(client: usize, sent: u64, back: u64, uid: u128) -> Record {
    at(client, sent, back, Deed::Create { pages: 1, form: 0 }, Outcome::Created(uid))
}

fn is_accepted(history: &[Record]) -> bool {
    match Checker::new(State::new(UID, 1)).take(history) {
        Ok(()) => true,
        Err(Refused::NotLinearizable { .. } | Refused::UidAgain(_)) => false,
        Err(undecided @ Refused::Budget) => panic!("{undecided}"),
    }
}

#[track_caller]
fn accepted(history: &[Record]) {
    assert!(is_accepted(history), "{history:#?}");
}

#[track_caller]
fn refused(history: &[Record]) {
    assert!(!is_accepted(history), "{history:#?}");
}

#[test]
fn a_read_sees_the_last_write_and_one_under_way_or_not() {
    accepted(&[write(0, 0, 10, X, 1), read(1, 20, 30, X, 1)]);
    refused(&[write(0, 0, 10, X, 1), read(1, 20, 30, X, 0)]);
    refused(&[write(0, 0, 10, X, 1), read(1, 20, 30, X, 2)]);
    accepted(&[write(0, 0, 30, X, 1), read(1, 10, 20, X, 1)]);
    accepted(&[write(0, 0, 30, X, 1), read(1, 10, 20, X, 0)]);
    // At one time is at once.
    accepted(&[write(0, 0, 10, X, 1), read(1, 10, 20, X, 0)]);
}

#[test]
fn what_was_seen_does_not_go_away_again() {
    let under_way = write(0, 0, 100, X, 1);
    accepted(&[under_way.clone(), read(1, 10, 20, X, 0), read(2, 30, 40, X, 1)]);
    refused(&[under_way.clone(), read(1, 10, 20, X, 1), read(2, 30, 40, X, 0)]);
    accepted(&[under_way.clone(), read(1, 10, 35, X, 1), read(2, 30, 40, X, 0)]);
    let other = write(3, 0, 100, X, 2);
    let history = [under_way, other, read(1, 10, 20, X, 1), read(2, 30, 40, X, 2)];
    accepted(&history);
    refused(&[&history[..], &[read(1, 50, 60, X, 1)]].concat());
}

#[test]
fn a_read_between_two_writes_that_do_not_conflict_orders_them() {
    let writes = [write(0, 0, 100, X, 1), write(1, 0, 20, Y, 1)];
    accepted(&[&writes[..], &[both(2, 5, 120, [1, 0])]].concat());
    accepted(&[&writes[..], &[both(2, 5, 120, [0, 1])]].concat());
    refused(&[&writes[..], &[both(2, 5, 120, [1, 0]), both(3, 5, 120, [0, 1])]].concat());
    refused(&[&writes[..], &[both(2, 30, 120, [1, 0])]].concat());
}

#[test]
fn a_range_is_never_half_there() {
    let range = Step::Write(Span { first: X, last: Y }, vec![1, 1]);
    let range = steps(0, 0, 100, &[(range, Answer::Nothing)]);
    accepted(&[range.clone(), both(1, 10, 20, [0, 0]), both(1, 30, 40, [1, 1])]);
    refused(&[range.clone(), both(1, 10, 20, [1, 0])]);
    refused(&[range, read(1, 10, 20, X, 1), read(1, 30, 40, Y, 0)]);
    let torn = [(Step::Read(Span::one(0)), Answer::Torn)];
    refused(&[steps(1, 0, 10, &torn)]);
}

#[test]
fn no_add_is_lost_and_none_counts_twice() {
    accepted(&[add(0, 0, 10, 0), add(1, 0, 10, 1), add(2, 0, 10, 2), read(0, 20, 30, X, 3)]);
    refused(&[add(0, 0, 10, 0), add(1, 0, 10, 0)]);
    refused(&[add(0, 0, 10, 0), add(1, 0, 10, 1), read(0, 20, 30, X, 1)]);
    refused(&[add(0, 0, 10, 0), read(0, 20, 30, X, 2)]);
    refused(&[add(0, 0, 10, 1), add(1, 20, 30, 0)]);
}

#[test]
fn a_cmpxchg_succeeds_where_the_expected_is_there_and_only_there() {
    let swap = |old| {
        let step = Step::CompareExchange { cell: X, expected: 0, replacement: 9 };
        steps(1, 20, 30, &[(step, Answer::Old(old))])
    };
    accepted(&[swap(0), read(0, 40, 50, X, 9)]);
    refused(&[write(0, 0, 10, X, 1), swap(0)]);
    accepted(&[write(0, 0, 10, X, 1), swap(1), read(0, 40, 50, X, 1)]);
    refused(&[write(0, 0, 10, X, 1), swap(1), read(0, 40, 50, X, 9)]);
}

#[test]
fn a_group_is_whole_or_not_at_all() {
    let write = |cell| (Step::Write(Span::one(cell), vec![1]), Answer::Nothing);
    let compare = |expected| (Step::Compare(Span::one(X), vec![expected]), Answer::Nothing);
    let group = steps(0, 0, 100, &[compare(0), write(X), write(FAR - 4)]);
    accepted(&[group.clone(), read(1, 10, 20, FAR - 4, 0), read(1, 30, 40, X, 1)]);
    refused(&[group.clone(), read(1, 10, 20, X, 1), read(1, 30, 40, FAR - 4, 0)]);
    refused(&[failed(group.clone(), Outcome::CompareFailed)]);
    let unlike = steps(0, 0, 100, &[compare(5), write(X)]);
    refused(std::slice::from_ref(&unlike));
    accepted(&[failed(unlike.clone(), Outcome::CompareFailed), read(1, 110, 120, X, 0)]);
    refused(&[failed(unlike, Outcome::CompareFailed), read(1, 110, 120, X, 1)]);
    let beside = steps(0, 0, 100, &[write(X), write(FAR)]);
    refused(std::slice::from_ref(&beside));
    accepted(&[failed(beside, Outcome::OutOfBounds { size_bytes: PAGE }), read(1, 1, 2, X, 0)]);
}

#[test]
fn the_size_is_one_story() {
    accepted(&[grow(0, 0, 10, 1), grow(1, 0, 10, 2), shown(2, 20, 30, UID, 3)]);
    refused(&[grow(0, 0, 10, 1), grow(1, 0, 10, 1)]);
    refused(&[grow(0, 0, 10, 1), shown(2, 20, 30, UID, 1)]);
    refused(&[grow(0, 0, 10, 1), shown(2, 20, 30, UID, 3)]);
    let far = |sent, back, size_bytes| {
        failed(read(2, sent, back, FAR, 0), Outcome::OutOfBounds { size_bytes })
    };
    accepted(&[grow(0, 0, 30, 1), far(10, 20, PAGE)]);
    accepted(&[grow(0, 0, 30, 1), far(10, 20, 2 * PAGE)]);
    refused(&[grow(0, 0, 10, 1), far(20, 30, PAGE)]);
    refused(&[read(2, 0, 10, FAR, 0)]);
    let pages = |one, other| [(Step::Size, Answer::Pages(one)), (Step::Size, Answer::Pages(other))];
    accepted(&[grow(0, 0, 30, 1), steps(1, 10, 20, &pages(2, 2))]);
    refused(&[grow(0, 0, 30, 1), steps(1, 10, 20, &pages(1, 2))]);
    let expecting = |expected, outcome| {
        at(0, 0, 10, Deed::Grow { delta: 8, expected: Some(expected) }, outcome)
    };
    accepted(&[expecting(2, Outcome::SizeMismatch { current: 1 })]);
    refused(&[expecting(1, Outcome::SizeMismatch { current: 1 })]);
    accepted(&[expecting(1, Outcome::MaximumReached { current: 1 })]);
}

#[test]
fn a_name_has_one_memory_at_a_time_and_a_new_one_is_zero() {
    let written = write(0, 0, 10, X, 1);
    let gone = |record| failed(record, Outcome::NotFound);
    let begun = [written, delete(1, 20, 30)];
    accepted(&[&begun[..], &[gone(read(0, 40, 50, X, 0)), create(1, 60, 70, 8)]].concat());
    refused(&[&begun[..], &[read(0, 40, 50, X, 1)]].concat());
    refused(&[&begun[..], &[gone(delete(0, 40, 50)), shown(2, 60, 70, UID, 1)]].concat());
    let anew = [&begun[..], &[create(1, 40, 50, 8)]].concat();
    accepted(&[&anew[..], &[read(0, 60, 70, X, 0), shown(2, 60, 70, 8, 1)]].concat());
    refused(&[&anew[..], &[read(0, 60, 70, X, 1)]].concat());
    refused(&[&anew[..], &[gone(read(0, 60, 70, X, 1))]].concat());
    refused(&[&anew[..], &[shown(2, 60, 70, UID, 1)]].concat());
    refused(
        &[&begun[..], &[create(1, 40, 50, 8), delete(1, 60, 70), create(1, 80, 90, 8)]].concat(),
    );
    accepted(&[&anew[..], &[failed(create(2, 60, 70, 0), Outcome::Exists)]].concat());
    refused(&[&begun[..], &[failed(create(2, 60, 70, 0), Outcome::Exists)]].concat());
    // Not found while it is being deleted, and there again after that.
    refused(&[delete(1, 0, 100), gone(read(0, 10, 20, X, 0)), read(2, 30, 40, X, 0)]);
    refused(&[
        delete(1, 0, 100),
        gone(read(0, 10, 20, X, 0)),
        failed(create(2, 30, 40, 0), Outcome::Exists),
    ]);
}

#[test]
fn a_uid_and_an_attachment_reach_their_own_memory_only() {
    let meant = |wanted, record: Record| Record { call: Call { wanted, ..record.call }, ..record };
    let anew = [delete(0, 0, 10), create(0, 20, 30, 8)];
    let by = |wanted, outcome| {
        let record = meant(wanted, failed(write(1, 40, 50, X, 1), outcome));
        is_accepted(&[&anew[..], &[record]].concat())
    };
    let done = || Outcome::Answers(vec![Answer::Nothing]);
    assert!(by(Wanted::Uid(8), done()) && by(Wanted::Attached(8), done()));
    assert!(!by(Wanted::Uid(UID), done()) && !by(Wanted::Attached(UID), done()));
    assert!(by(Wanted::Uid(UID), Outcome::UidMismatch(8)));
    assert!(!by(Wanted::Uid(8), Outcome::UidMismatch(8)));
    assert!(by(Wanted::Attached(UID), Outcome::NotFound));
    assert!(!by(Wanted::Attached(8), Outcome::NotFound));
}

#[test]
fn pieces_are_one_history() {
    let mut checker = Checker::new(State::new(UID, 1));
    checker.take(&[write(0, 0, 10, X, 1), write(1, 0, 10, X, 2)]).unwrap();
    checker.take(&[read(0, 20, 30, X, 2)]).unwrap();
    assert!(checker.take(&[read(0, 40, 50, X, 1)]).is_err());
}

#[test]
fn what_is_not_decided_is_not_accepted() {
    let writes: Vec<Record> = (0..8).map(|client| write(client, 0, 10, X, 1)).collect();
    let mut checker = Checker::new(State::new(UID, 1)).with_budget(20);
    assert!(matches!(checker.take(&writes), Err(Refused::Budget)));
}

/// Whether any order of these records keeps to time and to the model.
fn any_order(state: &State, left: &[Record]) -> bool {
    let first_back = left.iter().map(|record| record.back).min();
    let Some(first_back) = first_back else { return true };
    left.iter().enumerate().any(|(place, record)| {
        // Nothing that was back before this one was sent may come after it.
        record.sent <= first_back
            && state.after(&record.call, &record.outcome).is_some_and(|next| {
                let mut rest = left.to_vec();
                rest.remove(place);
                any_order(&next, &rest)
            })
    })
}

/// A record of something at that time, whose outcome may fit or not.
fn anything(random: &mut StdRng, client: usize, sent: u64, back: u64, uid: u128) -> Record {
    let cell = [X, Y, Y + 1, FAR][random.random_range(0..4)];
    let value = random.random_range(0..3);
    let record = match random.random_range(0..13) {
        0 | 1 => write(client, sent, back, cell, value),
        2 | 3 => read(client, sent, back, cell, value),
        4 | 5 => both(client, sent, back, [value, random.random_range(0..3)]),
        6 => add(client, sent, back, value),
        7 => grow(client, sent, back, random.random_range(1..4)),
        8 => shown(client, sent, back, UID, random.random_range(1..4)),
        9 => delete(client, sent, back),
        10 => create(client, sent, back, uid),
        11 => {
            let range = Step::Write(Span { first: X, last: Y + 1 }, vec![value; 3]);
            let compare = Step::Compare(Span::one(cell), vec![value]);
            let group = [(compare, Answer::Nothing), (range, Answer::Nothing)];
            steps(client, sent, back, &group)
        }
        _ => {
            let step = Step::CompareExchange { cell, expected: value, replacement: 2 };
            steps(client, sent, back, &[(step, Answer::Old(random.random_range(0..3)))])
        }
    };
    match random.random_range(0..8) {
        0 => failed(record, Outcome::NotFound),
        1 => failed(record, Outcome::OutOfBounds { size_bytes: PAGE }),
        _ => record,
    }
}

#[test]
fn verdicts_are_those_of_trying_every_order() {
    let mut random = StdRng::seed_from_u64(1);
    let (mut good, mut bad) = (0, 0);
    while good < 3_000 || bad < 3_000 {
        let count = random.random_range(2..8);
        let mut history: Vec<Record> = Vec::new();
        let mut free = [0; 4];
        for uid in 0..count {
            let client = random.random_range(0..4);
            let sent: u64 = free[client] + random.random_range(0..6);
            let back = sent + random.random_range(0..12);
            free[client] = back + 1;
            history.push(anything(&mut random, client, sent, back, 100 + uid));
        }
        let expected = any_order(&State::new(UID, 1), &history);
        // Enough of both: most random histories have no explanation.
        if expected {
            good += 1
        } else {
            bad += 1
        }
        assert_eq!(is_accepted(&history), expected, "{history:#?}");
    }
}

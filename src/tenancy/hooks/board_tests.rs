//! Claims about the board: whatever comes in whatever order, each question ends once, a growth is agreed
//! to only by all who have a say, and nothing is left behind.

use std::collections::BTreeMap;
use std::task::{Poll, Waker};

use proptest::prelude::*;

use super::board::{Asked, InquiryId, Look, Seen, StreamId};
use super::stream::MOST_NEWS;
use super::*;
use crate::error::DenialCause;
use crate::model::{MemoryId, Uuid};
use crate::units::WasmPages;

const TIMEOUT: Duration = Duration::from_secs(1);

fn hook(id: &str, selector: &str, failure_policy: FailurePolicy) -> Arc<Hook> {
    Arc::new(Hook {
        id: HookId::new(id).unwrap(),
        spec: Arc::new(HookSpec {
            selector_text: selector.to_owned(),
            selector: LabelSelector::parse(selector).unwrap(),
            failure_policy,
            answer_timeout: TIMEOUT,
            rank: 0,
        }),
        created: SystemTime::UNIX_EPOCH,
        configured: false,
    })
}

fn wish(label: &str) -> Wish {
    Wish {
        memory_id: MemoryId::new("m").unwrap(),
        uid: Uuid::nil(),
        labels: BTreeMap::from([("of".to_owned(), label.to_owned())]),
        previous: WasmPages::ZERO,
        current: WasmPages::new(1).unwrap(),
        maximum: WasmPages::new(2).unwrap(),
    }
}

fn id(name: &str) -> HookId {
    HookId::new(name).unwrap()
}

/// The next question of a stream; what else was said before it is over for good.
fn asked(board: &mut Board, stream: StreamId, over: &mut Over) -> Option<u64> {
    while let Poll::Ready(Some(saying)) = board.next(stream, Waker::noop()) {
        let (question, grown) = match saying {
            Saying::Question { question, .. } => return Some(question),
            Saying::Withdrawal { question } => (question, false),
            Saying::News { question, grown } => (question, grown),
        };
        assert!(over.insert((stream, question), grown).is_none(), "{question} is over twice");
    }
    None
}

/// Questions that are over, as their streams heard, and whether something grew.
type Over = BTreeMap<(StreamId, u64), bool>;

fn open(asked: Asked) -> InquiryId {
    match asked {
        Asked::Open(inquiry) => inquiry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_that_guesses_its_questions_and_takes_nothing_keeps_the_last_of_its_news() {
    let (mut board, now) = (Board::default(), Instant::now());
    board.put(hook("h", "", FailurePolicy::FailClosed)).unwrap();
    let stream = board.join(&id("h")).unwrap();
    let guesses = MOST_NEWS as u64 + 100;
    for question in 1..=guesses {
        let inquiry = open(board.ask(wish("x"), now));
        board.answer(stream, question, Ok(()), now);
        let Look::Over(Ok(seen)) = board.look(inquiry, Waker::noop()) else { panic!("allowed") };
        board.tell(&seen, true);
    }
    // One that waits is never given up for news.
    let waiting = open(board.ask(wish("x"), now));
    let mut over = Over::new();
    assert_eq!(asked(&mut board, stream, &mut over), Some(guesses + 1));
    let news: Vec<u64> = over.into_keys().map(|(_, question)| question).collect();
    assert_eq!(news, (101..=guesses).collect::<Vec<_>>());
    board.withdraw(waiting);
    assert!(board.is_idle());
}

#[test]
fn questions_go_to_who_has_the_fewest_and_in_turn_among_equals() {
    let (mut board, now) = (Board::default(), Instant::now());
    board.put(hook("h", "", FailurePolicy::FailClosed)).unwrap();
    let mut over = Over::new();
    let streams = [0; 3].map(|_| board.join(&id("h")).unwrap());
    for _round in 0..2 {
        for _ in 0..3 {
            open(board.ask(wish("x"), now));
        }
        for stream in streams {
            assert!(asked(&mut board, stream, &mut over).is_some());
            assert_eq!(asked(&mut board, stream, &mut over), None);
        }
    }
    board.answer(streams[1], 1, Ok(()), now);
    open(board.ask(wish("x"), now));
    assert_eq!(asked(&mut board, streams[1], &mut over), Some(3));
}

#[test]
fn an_answer_counts_once_on_its_own_stream_and_in_time() {
    let (mut board, now) = (Board::default(), Instant::now());
    board.put(hook("h", "", FailurePolicy::FailClosed)).unwrap();
    let [one, other] = [0; 2].map(|_| board.join(&id("h")).unwrap());
    let inquiry = open(board.ask(wish("x"), now));
    board.effects();
    board.answer(other, 1, Ok(()), now);
    board.answer(one, 2, Ok(()), now);
    board.answer(one, 0, Ok(()), now);
    let events = |board: &mut Board| {
        board.effects().happened.into_iter().map(|(event, _)| event).collect::<Vec<_>>()
    };
    assert_eq!(events(&mut board), [HookEvent::Unknown; 3]);
    board.answer(one, 1, Ok(()), now + TIMEOUT / 2);
    board.answer(one, 1, Err("no"), now + TIMEOUT / 2);
    assert_eq!(events(&mut board), [HookEvent::Allowed, HookEvent::Duplicate]);
    assert!(matches!(board.look(inquiry, Waker::noop()), Look::Over(Ok(_))));
    let inquiry = open(board.ask(wish("x"), now));
    board.expire(inquiry, now + TIMEOUT / 2);
    assert!(matches!(board.look(inquiry, Waker::noop()), Look::Until(at) if at == now + TIMEOUT));
    board.expire(inquiry, now + TIMEOUT);
    board.answer(other, 1, Ok(()), now + TIMEOUT);
    assert_eq!(events(&mut board), [HookEvent::Timeout, HookEvent::Late]);
    let over = board.look(inquiry, Waker::noop());
    let Look::Over(Err(Failure::GrowDenied { cause, .. })) = over else { panic!("{over:?}") };
    assert_eq!(cause, DenialCause::Timeout);
}

#[test]
fn a_question_that_was_answered_before_it_was_sent_is_not_sent() {
    let (mut board, now) = (Board::default(), Instant::now());
    board.put(hook("h", "", FailurePolicy::FailClosed)).unwrap();
    let stream = board.join(&id("h")).unwrap();
    let inquiry = open(board.ask(wish("x"), now));
    board.answer(stream, 1, Ok(()), now);
    assert!(board.next(stream, Waker::noop()).is_pending());
    assert!(matches!(board.look(inquiry, Waker::noop()), Look::Over(Ok(_))));
}

/// Something that happens to a board.
#[derive(Clone, Debug)]
enum Deed {
    Join(bool),
    Leave(usize),
    Ask(bool),
    /// What a stream was asked is answered: which stream, allowed or not.
    Answer(usize, bool),
    /// Any number is answered.
    Guess(usize, u64),
    Wait(u64),
    Go(usize),
    Recreate(bool),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        2 => any::<bool>().prop_map(Deed::Join),
        1 => (0..4usize).prop_map(Deed::Leave),
        4 => any::<bool>().prop_map(Deed::Ask),
        5 => (0..4usize, prop::bool::weighted(0.8)).prop_map(|(at, yes)| Deed::Answer(at, yes)),
        1 => (0..4usize, 0..6u64).prop_map(|(at, number)| Deed::Guess(at, number)),
        1 => (1..1_500u64).prop_map(Deed::Wait),
        1 => (0..4usize).prop_map(Deed::Go),
        1 => any::<bool>().prop_map(Deed::Recreate),
    ];
    prop::collection::vec(deed, 1..60)
}

fn agreed(look: Look) -> Option<Result<Vec<Seen>, Failure>> {
    match look {
        Look::Over(outcome) => Some(outcome),
        Look::Until(_) => None,
    }
}

proptest! {
    #[test]
    fn every_question_ends_once_and_nothing_is_left(deeds in deeds()) {
        let (mut board, mut now) = (Board::default(), Instant::now());
        let policies = [("closed", FailurePolicy::FailClosed), ("open", FailurePolicy::FailOpen)];
        for (name, policy) in policies {
            // The second has a say in half of the memories.
            let selector = if name == "open" { "of=both" } else { "" };
            board.put(hook(name, selector, policy)).unwrap();
        }
        let mut streams: Vec<StreamId> = Vec::new();
        let mut inquiries: Vec<InquiryId> = Vec::new();
        let (mut over, mut agreements) = (Over::new(), 0);
        for deed in deeds {
            match deed {
                Deed::Join(open) => {
                    let name = if open { "open" } else { "closed" };
                    streams.push(board.join(&id(name)).unwrap());
                }
                Deed::Leave(at) if at < streams.len() => board.leave(streams.remove(at), now),
                Deed::Ask(both) => {
                    let wish = wish(if both { "both" } else { "one" });
                    if let Asked::Open(inquiry) = board.ask(wish, now) {
                        inquiries.push(inquiry);
                    }
                }
                Deed::Answer(at, yes) if at < streams.len() => {
                    if let Some(question) = asked(&mut board, streams[at], &mut over) {
                        let verdict = if yes { Ok(()) } else { Err("no") };
                        board.answer(streams[at], question, verdict, now);
                    }
                }
                Deed::Guess(at, number) if at < streams.len() => {
                    board.answer(streams[at], number, Ok(()), now);
                }
                Deed::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    inquiries.iter().for_each(|inquiry| board.expire(*inquiry, now));
                }
                Deed::Go(at) if at < inquiries.len() => board.withdraw(inquiries.remove(at)),
                Deed::Recreate(open) => {
                    let (name, policy) = policies[usize::from(open)];
                    let selector = if open { "of=both" } else { "" };
                    board.remove(&id(name)).unwrap();
                    board.put(hook(name, selector, policy)).unwrap();
                }
                Deed::Leave(_) | Deed::Answer(..) | Deed::Guess(..) | Deed::Go(_) => {}
            }
            inquiries.retain(|inquiry| {
                let Some(outcome) = agreed(board.look(*inquiry, Waker::noop())) else { return true };
                if let Ok(seen) = outcome {
                    agreements += seen.len();
                    board.tell(&seen, true);
                }
                false
            });
        }
        inquiries.into_iter().for_each(|inquiry| board.withdraw(inquiry));
        for stream in &streams {
            prop_assert!(!board.owes(*stream));
        }
        prop_assert!(board.is_idle());
        board.effects();
        for stream in &streams {
            prop_assert_eq!(asked(&mut board, *stream, &mut over), None, "nobody waits for it");
        }
        // Who allowed a growth hears of it, unless it has left.
        prop_assert!(over.values().filter(|grown| **grown).count() <= agreements);
        streams.into_iter().for_each(|stream| board.leave(stream, now));
        prop_assert!(board.effects().happened.is_empty());
    }

    #[test]
    fn a_growth_is_agreed_to_only_by_all_who_have_a_say(answers in prop::collection::vec(any::<bool>(), 1..6)) {
        let (mut board, now) = (Board::default(), Instant::now());
        let names: Vec<String> = (0..answers.len()).map(|at| format!("h{at}")).collect();
        let mut streams = Vec::new();
        for name in &names {
            board.put(hook(name, "", FailurePolicy::FailClosed)).unwrap();
            streams.push(board.join(&id(name)).unwrap());
        }
        let inquiry = open(board.ask(wish("x"), now));
        for (stream, yes) in streams.iter().zip(&answers) {
            let verdict = if *yes { Ok(()) } else { Err("no") };
            board.answer(*stream, 1, verdict, now);
        }
        let first = answers.iter().position(|yes| !yes);
        match (agreed(board.look(inquiry, Waker::noop())), first) {
            (Some(Ok(seen)), None) => prop_assert_eq!(seen.len(), answers.len()),
            (Some(Err(Failure::GrowDenied { hook_id, .. })), Some(first)) => {
                prop_assert_eq!(&hook_id, &names[first]);
            }
            (other, first) => prop_assert!(false, "{other:?} {first:?}"),
        }
        prop_assert!(board.is_idle());
    }
}

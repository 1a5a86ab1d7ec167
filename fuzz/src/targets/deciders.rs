//! A decider's stream and the growths that it is asked about, for `admin.rs`.
//!
//! Checked: it begins with its hook, or is refused for its first message; questions are numbered in order
//! and say where a growth would lead; what is told or withdrawn is of a question that there may have
//! been; it ends well unless something was wrong with it; a growth has the pages that it asked for.

use linmemd::proto::v1;
use linmemd::proto::v1::answer_grow_hook_response::Message as Said;
use prost::Message;

use crate::law::{self, Verdict};
use crate::rpcs::rpc;
use crate::talk::{Answer, Talk};
use crate::world::{World, framed};

/// What a call has that is in a hurry: a millisecond.
pub(super) const HURRY: &[(&str, &[u8])] = &[("grpc-timeout", b"1m")];

/// A decider, until its client has said all.
pub(super) struct Decider {
    talk: Talk,
    is_hasty: bool,
    /// What it said, message by message.
    said: Vec<Vec<u8>>,
    /// Whether hooks were deleted meanwhile.
    pub(super) is_deleted: bool,
    growths: Vec<(Talk, Vec<u8>)>,
}

impl Decider {
    pub(super) fn begin(world: &mut World, is_hasty: bool, first: &[u8]) -> Self {
        let headers = if is_hasty { HURRY } else { &[] };
        let mut talk = world.begin(rpc("AnswerGrowHook"), headers);
        world.say_all(&mut talk, vec![framed(first)]);
        let said = vec![first.to_vec()];
        Self { talk, is_hasty, said, is_deleted: false, growths: Vec::new() }
    }

    pub(super) fn say(&mut self, world: &mut World, message: &[u8]) {
        world.say_all(&mut self.talk, vec![framed(message)]);
        self.said.push(message.to_vec());
        for (growth, _) in &mut self.growths {
            world.hear_out(growth);
        }
        world.hear(&mut self.talk);
    }

    /// A growth beside it, which waits for what it says.
    pub(super) fn growth(&mut self, world: &mut World, bytes: &[u8], end: Growth) {
        let headers = if end == Growth::Hasty { HURRY } else { &[] };
        let mut talk = world.begin(rpc("GrowMemory"), headers);
        talk.say(framed(bytes), true);
        world.hear(&mut talk);
        world.hear(&mut self.talk);
        match end {
            Growth::Patient => self.growths.push((talk, bytes.to_vec())),
            Growth::Hasty => grown(world, talk, bytes, false),
            Growth::CalledOff => grown(world, talk, bytes, true),
        }
        world.hear(&mut self.talk);
    }

    pub(super) fn end(mut self, world: &mut World) {
        // Who is in a hurry is told so.
        if !self.is_hasty {
            self.talk.finish();
        }
        let answer = world.end(self.talk, false);
        for (talk, bytes) in self.growths {
            grown(world, talk, &bytes, false);
        }
        let told: Vec<v1::AnswerGrowHookResponse> =
            law::messages(&answer.body).iter().map(|message| of(message)).collect();
        let mut told = told.into_iter().map(|message| message.message.expect("it says something"));
        let begun = told.next();
        if let Some(begun) = &begun {
            assert!(matches!(begun, Said::Started(_)), "{begun:?}");
        }
        hears(told);
        judge(&answer, begun, &self.said, self.is_deleted, self.is_hasty);
    }
}

/// How long a growth waits for its deciders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    Patient,
    Hasty,
    CalledOff,
}

fn of<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).expect("what was answered OK is one")
}

fn grown(world: &mut World, talk: Talk, bytes: &[u8], may_park: bool) {
    let answer = world.end(talk, may_park);
    if let Verdict::Done(messages) = world.judged(rpc("GrowMemory"), bytes, &answer) {
        let asked: v1::GrowMemoryRequest = of(bytes);
        let grown: v1::GrowMemoryResponse = of(&messages[0]);
        assert_eq!(grown.current_pages - grown.previous_pages, asked.delta_pages);
    }
}

fn hears(told: impl Iterator<Item = Said>) {
    let mut last = 0;
    for message in told {
        match message {
            Said::Question(question) => {
                assert!(question.question_id > last, "{question:?} after {last}");
                last = question.question_id;
                let v1::GrowQuestion { previous_pages, requested_pages, maximum_pages, .. } =
                    question;
                assert!(previous_pages < requested_pages && requested_pages <= maximum_pages);
            }
            // One that was answered before it was sent is not sent.
            Said::Withdrawal(v1::GrowWithdrawal { question_id })
            | Said::Told(v1::GrowNews { question_id, .. }) => assert!(question_id > 0),
            Said::Started(hook) => panic!("{hook:?} began twice"),
        }
    }
}

fn judge(answer: &Answer, begun: Option<Said>, said: &[Vec<u8>], is_deleted: bool, is_hasty: bool) {
    let read = |bytes: &Vec<u8>| v1::AnswerGrowHookRequest::decode(bytes.as_slice()).ok();
    let first = said.first().and_then(read);
    let names = first.filter(|first| first.answer.is_none()).and_then(|first| first.hook_id);
    match law::verdict(rpc("AnswerGrowHook"), answer) {
        // All that it was told came, and the client's half-close ended it.
        Verdict::Done(_) => {
            let Some(Said::Started(hook)) = begun else { panic!("{begun:?}") };
            assert_eq!(Some(hook.hook_id), names);
        }
        Verdict::Parked => panic!("its client has said all"),
        Verdict::Refused(refusal) => {
            let well = said.iter().skip(1).all(|bytes| {
                read(bytes).is_some_and(|next| {
                    let verdict = next.answer.as_ref().map(v1::GrowAnswer::verdict);
                    next.hook_id.is_none()
                        && verdict.is_some_and(|verdict| verdict != v1::GrowVerdict::Unspecified)
                })
            });
            let is_excused = match refusal.reason.as_str() {
                "HOOK_NOT_FOUND" => is_deleted,
                "DEADLINE_PASSED" => is_hasty,
                _ => false,
            };
            assert!(is_excused || !(well && names.as_deref() == Some("h")), "{refusal:?}");
        }
    }
}

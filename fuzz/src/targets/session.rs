//! Sessions: the messages of OpenSession, whole and torn, in any order, and calls beside them of which a
//! session is told.
//!
//! Checked: the start is answered first; every message that was taken has exactly one result, and
//! results are of tags that were sent; groups of a handle answer in order; notices are of handles that
//! were attached; what ends a session is what
//! the page says ends it, and a session that nothing is wrong with ends OK.

use std::collections::BTreeMap;

use bytes::Bytes;
use linmemd::proto::v1;
use linmemd::proto::v1::open_session_request::Message as Asked;
use linmemd::proto::v1::open_session_response::Message as Word;
use linmemd::proto::v1::session_group::Group;
use linmemd::proto::v1::session_result::Outcome;
use prost::Message;

use crate::law::{self, Verdict};
use crate::rpcs::{number_among, rpc};
use crate::talk::{Answer, Talk};
use crate::targets::operations::repeated;
use crate::world::{FOR_GRANTEE, World, framed, with};
use crate::{planted, script};

/// Bytes that are sent as they are, without a header.
pub(crate) const BARE: u8 = 0xFF;
/// A call beside the session, once what was sent so far has come to rest: a kind and the request.
pub(crate) const BESIDE: u8 = 0xFE;
/// The session is of the tenant that memories are shared with.
pub(crate) const OF_GRANTEE: u8 = 0xFD;
/// A message that is more than an input can say: a group of too many operations, or an attachment for
/// each of too many handles.
pub(crate) const MANY: u8 = 0xFC;
/// A message with its header.
pub(crate) const MESSAGE: u8 = 0;

/// Handles of a session, and some more.
const TOO_MANY_HANDLES: u32 = 1_030;

const CALLS: [&str; 5] =
    ["GrowMemory", "DeleteMemory", "ProtectMemory", "RevokeShare", "MountShare"];

/// The number that stands for a call beside a session.
pub(crate) fn call(name: &str) -> u8 {
    number_among(&CALLS, name)
}

/// What a client says, as far as the daemon must hear it.
struct Script {
    asked: Vec<Asked>,
    end: End,
    parks: bool,
}

impl Script {
    fn says(&mut self, bytes: &[u8]) {
        if self.end == End::Badly {
            return;
        }
        match v1::OpenSessionRequest::decode(bytes).ok().and_then(|request| request.message) {
            Some(Asked::Start(start)) if self.asked.is_empty() => {
                if start.required_capabilities.is_empty() {
                    self.asked.push(Asked::Start(start));
                } else {
                    self.end = End::Badly;
                }
            }
            Some(Asked::Start(_)) | None => self.end = End::Badly,
            Some(_) if self.asked.is_empty() => self.end = End::Badly,
            Some(message) => {
                self.parks |= matches!(message, Asked::Wait(_));
                self.asked.push(message);
            }
        }
    }
}

/// The messages that this one stands for.
fn many(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Ok(v1::OpenSessionRequest { message: Some(message) }) =
        v1::OpenSessionRequest::decode(bytes)
    else {
        return vec![bytes.to_vec()];
    };
    let encoded = |message| v1::OpenSessionRequest { message: Some(message) }.encode_to_vec();
    match message {
        Asked::Attach(attach) => (0..TOO_MANY_HANDLES)
            .map(|more| {
                let handle = attach.handle.wrapping_add(more);
                let tag = attach.tag.wrapping_add(more.into());
                encoded(Asked::Attach(v1::SessionAttach { tag, handle, ..attach.clone() }))
            })
            .collect(),
        Asked::Group(mut group) => {
            match &mut group.group {
                Some(Group::List(list)) => {
                    list.operations = repeated(std::mem::take(&mut list.operations), bytes.len());
                }
                Some(Group::Packed(columns)) => {
                    columns.addresses =
                        repeated(std::mem::take(&mut columns.addresses), bytes.len());
                }
                Some(Group::Single(_)) | None => {}
            }
            vec![encoded(Asked::Group(group))]
        }
        message => vec![encoded(message)],
    }
}

/// What is done for a session, one after the other.
enum Step<'a> {
    Say(Bytes),
    Call(&'static str, &'a [u8]),
}

/// How a session must end, by what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Well,
    /// One of these reasons, all of INVALID_ARGUMENT or a capability.
    Badly,
}

pub(super) fn run(input: &[u8]) {
    with(|world| session(world, input));
}

fn session(world: &mut World, input: &[u8]) {
    let (mut steps, mut headers) = (Vec::new(), &[][..]);
    let mut script = Script { asked: Vec::new(), end: End::Well, parks: false };
    for (kind, bytes) in script::calls(input) {
        match (kind, bytes.split_first()) {
            // Whatever it does to the framing, it is not judged.
            (BARE, _) => return bare(world, steps, bytes),
            (BESIDE, Some((which, request))) => {
                steps.push(Step::Call(CALLS[usize::from(*which) % CALLS.len()], request));
            }
            (BESIDE, None) => {}
            (OF_GRANTEE, _) => headers = FOR_GRANTEE,
            (MANY, _) => {
                for message in many(bytes) {
                    script.says(&message);
                    steps.push(Step::Say(framed(&message)));
                }
            }
            _ => {
                script.says(bytes);
                steps.push(Step::Say(framed(bytes)));
            }
        }
    }
    let Script { asked, end, parks } = script;
    let rpc = rpc("OpenSession");
    let Some(answer) = carry_out(world, headers, steps, parks) else { return };
    let said: Vec<Word> = law::messages(&answer.body).iter().filter_map(|word| of(word)).collect();
    match law::verdict(rpc, &answer) {
        Verdict::Done(_) => {
            assert_eq!(end, End::Well, "{asked:?}");
            judge(&asked, &said, true);
        }
        Verdict::Refused(refusal) => {
            assert_eq!(end, End::Badly, "{refusal:?} after {asked:?}");
            let known = ["SESSION_PROTOCOL", "INVALID_FIELD", "CAPABILITY_UNAVAILABLE"];
            assert!(known.contains(&refusal.reason.as_str()), "{refusal:?}");
            judge(&asked, &said, false);
        }
        Verdict::Parked => judge(&asked, &said, false),
    }
}

/// Does all of it, and hears what the session says.
fn carry_out(
    world: &mut World,
    headers: &[(&str, &[u8])],
    steps: Vec<Step<'_>>,
    parks: bool,
) -> Option<Answer> {
    let rpc = rpc("OpenSession");
    let (mut talk, mut pieces) = (None, Vec::new());
    for step in steps {
        match step {
            Step::Say(piece) => pieces.push(piece),
            Step::Call(name, request) => {
                speak(world, &mut talk, headers, std::mem::take(&mut pieces));
                let _judged = match name {
                    "MountShare" => world.call_of_grantee(name, request),
                    _ => world.call(name, request),
                };
                if let Some(talk) = &mut talk {
                    world.hear(talk);
                }
            }
        }
    }
    let Some(mut talk) = talk else {
        return (!pieces.is_empty()).then(|| world.send_with(rpc, headers, parks, pieces));
    };
    world.say_all(&mut talk, pieces);
    talk.finish();
    Some(world.end(talk, parks))
}

/// Says these, which begins the session where it has not begun.
fn speak(
    world: &mut World,
    talk: &mut Option<Talk>,
    headers: &[(&str, &[u8])],
    pieces: Vec<Bytes>,
) {
    if pieces.is_empty() {
        return;
    }
    let talk = talk.get_or_insert_with(|| world.begin(rpc("OpenSession"), headers));
    world.say_all(talk, pieces);
}

fn of(word: &[u8]) -> Option<Word> {
    v1::OpenSessionResponse::decode(word).expect("the response's type").message
}

/// What comes of bytes that may be anything: no more than that it ends.
fn bare(world: &mut World, steps: Vec<Step<'_>>, bytes: &[u8]) {
    let said = steps.into_iter().filter_map(|step| match step {
        Step::Say(piece) => Some(piece),
        Step::Call(..) => None,
    });
    let pieces = said.chain([Bytes::copy_from_slice(bytes)]).collect();
    let rpc = rpc("OpenSession");
    let answer = world.send(rpc, true, pieces);
    let _judged = law::verdict(rpc, &answer);
    let _whole = law::messages(&answer.body);
}

fn judge(asked: &[Asked], said: &[Word], whole: bool) {
    if let Some(first) = said.first() {
        assert!(matches!(first, Word::Started(_)), "{first:?} came first");
    }
    let mut open: BTreeMap<u64, u32> = BTreeMap::new();
    for tag in asked.iter().filter_map(tag) {
        *open.entry(tag).or_default() += 1;
    }
    let mut order = Vec::new();
    for word in said.iter().skip(1) {
        match word {
            Word::Started(_) => panic!("it started twice"),
            Word::Result(result) => {
                let mut result = result.clone();
                let is_packed = matches!(result.outcome, Some(Outcome::Packed(_)));
                if planted::here(is_packed && !result.failures.is_empty()) {
                    result.tag ^= 1;
                }
                let left = open.get_mut(&result.tag).filter(|left| **left > 0);
                *left.unwrap_or_else(|| panic!("{result:?} was not asked for")) -= 1;
                assert!(result.outcome.is_some(), "{result:?} says nothing");
                order.push(result.tag);
            }
            Word::Notice(notice) => {
                let is_of = |one: &Asked| matches!(one, Asked::Attach(attach) if attach.handle == notice.handle);
                assert!(asked.iter().any(is_of), "{notice:?}");
                assert!(notice.notice.is_some(), "{notice:?} says nothing");
            }
            Word::GoAway(_) => panic!("nobody drains"),
        }
    }
    if whole {
        assert!(open.values().all(|left| *left == 0), "{open:?} have no result");
    }
    in_order(asked, &order);
}

fn tag(asked: &Asked) -> Option<u64> {
    match asked {
        Asked::Start(_) => None,
        Asked::Attach(attach) => Some(attach.tag),
        Asked::Detach(detach) => Some(detach.tag),
        Asked::Group(group) => Some(group.tag),
        Asked::Wait(wait) => Some(wait.tag),
        Asked::Cancel(cancel) => Some(cancel.tag),
    }
}

/// Groups of a handle answer in order: told apart only where tags are and no handle changes hands.
fn in_order(asked: &[Asked], order: &[u64]) {
    let attached: Vec<u32> = asked
        .iter()
        .filter_map(|one| if let Asked::Attach(attach) = one { Some(attach.handle) } else { None })
        .collect();
    let mut tags: Vec<u64> = asked.iter().filter_map(tag).collect();
    tags.sort_unstable();
    tags.dedup();
    let distinct = tags.len() == asked.iter().filter_map(tag).count();
    if !distinct || asked.iter().any(|one| matches!(one, Asked::Detach(_))) {
        return;
    }
    for handle in attached {
        // Before it is attached nothing is queued.
        let after = asked
            .iter()
            .skip_while(|one| !matches!(one, Asked::Attach(attach) if attach.handle == handle));
        let sent: Vec<u64> = after
            .filter_map(|one| match one {
                Asked::Group(group) if group.handle == handle => Some(group.tag),
                _ => None,
            })
            .collect();
        let came: Vec<u64> = order.iter().copied().filter(|tag| sent.contains(tag)).collect();
        assert!(sent.starts_with(&came), "sent {sent:?}, came {came:?}");
    }
}

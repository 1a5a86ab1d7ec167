//! Sessions: the messages of OpenSession, whole and torn, in any order.
//!
//! Checked: the start is answered first; every message that was taken has exactly one result, and
//! results are of tags that were sent; groups of a handle answer in order; what ends a session is what
//! the page says ends it, and a session that nothing is wrong with ends OK.

use std::collections::BTreeMap;

use linmemd::proto::v1;
use linmemd::proto::v1::open_session_request::Message as Asked;
use linmemd::proto::v1::open_session_response::Message as Word;
use linmemd::proto::v1::session_result::Outcome;
use prost::Message;

use crate::law::{self, Verdict};
use crate::rpcs::rpc;
use crate::world::{World, framed, with};
use crate::{planted, script};

/// Bytes that are sent as they are, without a header.
pub(crate) const BARE: u8 = 0xFF;
/// A message with its header.
pub(crate) const MESSAGE: u8 = 0;

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
    let mut pieces = Vec::new();
    let (mut asked, mut end, mut parks) = (Vec::new(), End::Well, false);
    for (kind, bytes) in script::calls(input) {
        if kind == BARE {
            // Whatever it does to the framing, it is not judged.
            return bare(world, pieces, bytes);
        }
        pieces.push(framed(bytes));
        if end == End::Well {
            match v1::OpenSessionRequest::decode(bytes).ok().and_then(|request| request.message) {
                Some(Asked::Start(start)) if asked.is_empty() => {
                    if start.required_capabilities.is_empty() {
                        asked.push(Asked::Start(start));
                    } else {
                        end = End::Badly;
                    }
                }
                Some(Asked::Start(_)) | None => end = End::Badly,
                Some(_) if asked.is_empty() => end = End::Badly,
                Some(message) => {
                    parks |= matches!(message, Asked::Wait(_));
                    asked.push(message);
                }
            }
        }
    }
    if pieces.is_empty() {
        return;
    }
    let rpc = rpc("OpenSession");
    let answer = world.send(rpc, parks, pieces);
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

fn of(word: &[u8]) -> Option<Word> {
    v1::OpenSessionResponse::decode(word).expect("the response's type").message
}

/// What comes of bytes that may be anything: no more than that it ends.
fn bare(world: &mut World, mut pieces: Vec<bytes::Bytes>, bytes: &[u8]) {
    pieces.push(bytes::Bytes::copy_from_slice(bytes));
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
            Word::Notice(_) => {}
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

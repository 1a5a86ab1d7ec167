//! Hooks, events, partitions, the host and reloads: requests, and the messages of a decider.
//!
//! Checked: what was created is found again as it was asked for; lists are in order; a watch begins by
//! saying where it is; a decider's stream begins with its hook, or is refused for its first message; a
//! reload of what is in force changes nothing.

use linmemd::proto::v1;
use linmemd::proto::v1::answer_grow_hook_response::Message as Said;
use linmemd::proto::v1::watch_events_response::Message as Told;
use prost::Message;

use crate::law::{self, Verdict};
use crate::rpcs::{number_among, rpc};
use crate::world::{World, framed, with};
use crate::{planted, script};

const RPCS: [&str; 13] = [
    "CreateGrowHook",
    "GetGrowHook",
    "ListGrowHooks",
    "DeleteGrowHook",
    "AnswerGrowHook",
    "WatchEvents",
    "GetHost",
    "Drain",
    "CreatePartition",
    "GetPartition",
    "ListPartitions",
    "DeletePartition",
    "Reload",
];

/// The number that stands for an RPC in an input.
pub(crate) fn kind(name: &str) -> u8 {
    number_among(&RPCS, name)
}

/// Where more of a stream's messages follow the first, in the same piece of an input.
pub(crate) const NEXT: u8 = 0x80;

pub(super) fn run(input: &[u8]) {
    with(|world| {
        let mut answers: Vec<&[u8]> = Vec::new();
        for (kind, bytes) in script::calls(input) {
            let name = RPCS[usize::from(kind & !NEXT) % RPCS.len()];
            if name == "AnswerGrowHook" {
                answers.push(bytes);
                if kind & NEXT == 0 {
                    decide(world, &std::mem::take(&mut answers));
                }
            } else if name == "WatchEvents" {
                watch(world, bytes);
            } else if let Verdict::Done(messages) = world.call(name, bytes) {
                let bytes = world.filled(bytes);
                judge(world, name, &bytes, &messages);
            }
        }
    });
}

fn of<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).expect("what was answered OK is one")
}

fn judge(world: &mut World, name: &str, bytes: &[u8], messages: &[Vec<u8>]) {
    let first = messages.first().map(Vec::as_slice).unwrap_or_default();
    match name {
        "CreateGrowHook" => {
            let (asked, made): (v1::CreateGrowHookRequest, v1::CreateGrowHookResponse) =
                (of(bytes), of(first));
            let mut made = made.hook.expect("a hook");
            if planted::here(asked.rank == -1) {
                made.rank = 1;
            }
            assert_eq!(made.rank, asked.rank);
            assert_eq!(made.label_selector, asked.label_selector);
            assert!(asked.hook_id.is_none_or(|asked| asked == made.hook_id));
            let get = v1::GetGrowHookRequest { hook_id: made.hook_id.clone() };
            let got: v1::GetGrowHookResponse = world.must("GetGrowHook", &get);
            assert_eq!(got.hook, Some(made));
        }
        "ListGrowHooks" => {
            let listed: v1::ListGrowHooksResponse = of(first);
            let names = listed.hooks.iter().map(|hook| &*hook.hook_id);
            assert!(names.is_sorted_by(|one, other| one < other));
        }
        "CreatePartition" => {
            let (asked, made): (v1::CreatePartitionRequest, v1::CreatePartitionResponse) =
                (of(bytes), of(first));
            let made = made.partition.expect("a partition");
            let (asked, spec) = (asked.spec.unwrap_or_default(), made.spec.expect("a spec"));
            assert_eq!((spec.maximum_bytes, spec.parent), (asked.maximum_bytes, asked.parent));
            assert_eq!(spec.minimum_bytes, asked.minimum_bytes);
            let get = v1::GetPartitionRequest { partition_id: made.partition_id };
            let got: v1::GetPartitionResponse = world.must("GetPartition", &get);
            let spec = got.partition.and_then(|partition| partition.spec);
            assert_eq!(spec.map(|spec| spec.maximum_bytes), Some(asked.maximum_bytes));
        }
        "Reload" => {
            let (asked, done): (v1::ReloadRequest, v1::ReloadResponse) = (of(bytes), of(first));
            assert_eq!(done.applied, !asked.validate_only);
            // What it is read from says what is in force.
            assert!(done.changes.is_empty() && done.more_changes == 0, "{done:?}");
            assert_eq!(done.config_hash, done.previous_config_hash);
        }
        "ListPartitions" => {
            let listed: v1::ListPartitionsResponse = of(first);
            let names = listed.partitions.iter().map(|one| &*one.partition_id);
            assert!(names.is_sorted_by(|one, other| one < other));
        }
        _ => {}
    }
}

/// A decider's stream of these messages.
fn decide(world: &mut World, answers: &[&[u8]]) {
    let pieces = answers.iter().map(|bytes| framed(bytes)).collect();
    let rpc = rpc("AnswerGrowHook");
    let answer = world.send(rpc, false, pieces);
    let said = law::messages(&answer.body);
    let first: Option<v1::AnswerGrowHookRequest> =
        answers.first().and_then(|bytes| v1::AnswerGrowHookRequest::decode(*bytes).ok());
    let names = first.filter(|first| first.answer.is_none()).and_then(|first| first.hook_id);
    match law::verdict(rpc, &answer) {
        // All that it was told came, and the client's half-close ended it.
        Verdict::Done(_) => {
            let begun = of::<v1::AnswerGrowHookResponse>(said.first().expect("a beginning"));
            let Some(Said::Started(hook)) = begun.message else { panic!("{begun:?}") };
            assert_eq!(Some(hook.hook_id), names);
        }
        Verdict::Parked => panic!("its client has said all"),
        Verdict::Refused(refusal) => {
            let well = answers.iter().skip(1).all(|bytes| {
                v1::AnswerGrowHookRequest::decode(*bytes).is_ok_and(|next| {
                    let verdict = next.answer.as_ref().map(v1::GrowAnswer::verdict);
                    next.hook_id.is_none()
                        && verdict.is_some_and(|verdict| verdict != v1::GrowVerdict::Unspecified)
                })
            });
            assert!(!(well && names.as_deref() == Some("h")), "{refusal:?}");
        }
    }
}

/// A watch, until it has told what there is to tell.
fn watch(world: &mut World, bytes: &[u8]) {
    let rpc = rpc("WatchEvents");
    let answer = world.send(rpc, true, vec![framed(bytes)]);
    let told = law::messages(&answer.body);
    let verdict = law::verdict(rpc, &answer);
    law::malformed_is_refused(rpc, bytes, &verdict);
    assert!(!matches!(verdict, Verdict::Done(_)), "a watch ended by itself");
    if let Some(first) = told.first() {
        let begun: v1::WatchEventsResponse = of(first);
        assert!(matches!(begun.message, Some(Told::Started(_))), "{begun:?}");
    }
    assert_eq!(matches!(verdict, Verdict::Parked), !told.is_empty(), "{verdict:?}");
}

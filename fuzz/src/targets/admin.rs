//! Hooks, events, partitions, the host and reloads: requests, and beside them a decider and a watch.
//!
//! Checked: what was created is found again as it was asked for; lists are in order; a reload of what is
//! in force changes nothing. Of deciders and growth: `deciders.rs`; of what is told: `watches.rs`.

use linmemd::proto::v1;
use prost::Message;

use crate::law::Verdict;
use crate::rpcs::number_among;
use crate::targets::deciders::{Decider, Growth};
use crate::targets::watches::Watch;
use crate::world::{World, with};
use crate::{planted, script};

const RPCS: [&str; 22] = [
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
    // Those from here on are what is decided and told of.
    "GrowMemory",
    "CreateMemory",
    "DeleteMemory",
    "SetVolatility",
    "CreateMemorySet",
    "ShareMemory",
    "RevokeShare",
    "MountShare",
    // Not before, for the corpus knows them by their numbers.
    "ListTenants",
];

/// The number that stands for an RPC in an input.
pub(crate) fn kind(name: &str) -> u8 {
    number_among(&RPCS, name)
}

/// Where more comes of a stream: a decider's messages, or calls that a watch sees. A growth with it is
/// called off once its deciders were asked.
pub(crate) const NEXT: u8 = 0x80;
/// A stream or a growth that is over in a millisecond.
pub(crate) const HASTY: u8 = 0x40;
/// No call: days pass, or with a second byte the host wants memory.
pub(crate) const PASS: u8 = 0x3F;

pub(super) fn run(input: &[u8]) {
    with(|world| {
        let (mut decider, mut watch) = (None::<Decider>, None::<Watch>);
        for (flags, bytes) in script::calls(input) {
            let (goes_on, is_hasty) = (flags & NEXT != 0, flags & HASTY != 0);
            let kind = flags & !(NEXT | HASTY);
            if kind == PASS {
                if bytes.is_empty() {
                    world.pass()
                } else {
                    world.want()
                }
                continue;
            }
            let name = RPCS[usize::from(kind) % RPCS.len()];
            match (name, &mut decider) {
                ("AnswerGrowHook", _) => {
                    let open = match decider.take() {
                        Some(mut open) => {
                            open.say(world, bytes);
                            open
                        }
                        None => Decider::begin(world, is_hasty, bytes),
                    };
                    if goes_on { decider = Some(open) } else { open.end(world) }
                }
                ("WatchEvents", _) => {
                    let begun = Watch::begin(world, is_hasty, bytes);
                    let ended = if goes_on { watch.replace(begun) } else { Some(begun) };
                    if let Some(ended) = ended {
                        ended.end(world);
                    }
                }
                ("GrowMemory", Some(decider)) => {
                    let patience = match (goes_on, is_hasty) {
                        (true, _) => Growth::CalledOff,
                        (_, true) => Growth::Hasty,
                        _ => Growth::Patient,
                    };
                    let bytes = world.filled(bytes);
                    decider.growth(world, &bytes, patience);
                }
                ("MountShare", _) => {
                    let _judged = world.call_of_grantee(name, bytes);
                }
                _ => {
                    if let Verdict::Done(messages) = world.call(name, bytes) {
                        let bytes = world.filled(bytes);
                        judge(world, name, &bytes, &messages);
                        if let (Some(decider), "DeleteGrowHook") = (&mut decider, name) {
                            decider.is_deleted = true;
                        }
                    }
                }
            }
        }
        if let Some(decider) = decider {
            decider.end(world);
        }
        if let Some(watch) = watch {
            watch.end(world);
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
        "ListTenants" => {
            let listed: v1::ListTenantsResponse = of(first);
            let names = listed.tenants.iter().map(|one| &*one.tenant);
            assert!(names.is_sorted_by(|one, other| one < other));
        }
        "ListPartitions" => {
            let listed: v1::ListPartitionsResponse = of(first);
            let names = listed.partitions.iter().map(|one| &*one.partition_id);
            assert!(names.is_sorted_by(|one, other| one < other));
        }
        _ => {}
    }
}

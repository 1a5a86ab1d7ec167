//! Hooks, events, partitions, the host and reloads.

use linmemd::proto::v1;
use prost::Message;

use crate::script::all;
use crate::seeds::{each, name, seconds};
use crate::targets::admin;
use crate::world::UID;

pub(super) fn admin() -> Vec<Vec<u8>> {
    let kind = admin::kind;
    let create = v1::CreateGrowHookRequest {
        hook_id: Some(name("g")),
        label_selector: name("env=prod"),
        failure_policy: v1::FailurePolicy::FailOpen.into(),
        answer_timeout: seconds(1),
        rank: 3,
    };
    let get = v1::GetGrowHookRequest { hook_id: name("h") };
    let list = v1::ListGrowHooksRequest { page_size: 1, ..Default::default() };
    let delete = v1::DeleteGrowHookRequest { hook_id: name("h"), allow_missing: true };
    let first = v1::AnswerGrowHookRequest { hook_id: Some(name("h")), answer: None };
    let answer = v1::GrowAnswer { question_id: 1, verdict: 2, reason: name("no") };
    let second = v1::AnswerGrowHookRequest { hook_id: None, answer: Some(answer) };
    let watch = v1::WatchEventsRequest {
        label_selector: name("env"),
        kinds: vec![1, 2, 9],
        snapshot: true,
        resume: None,
    };
    let position = v1::EventPosition { boot_id: name(UID), sequence: 3 };
    let resume = v1::WatchEventsRequest { resume: Some(position), ..Default::default() };
    let spec = v1::PartitionSpec {
        maximum_bytes: 2 << 20,
        minimum_bytes: 1 << 16,
        page_kind: v1::HugePages::Base.into(),
        nodes: vec![0],
        tenants: vec![name("default")],
        locked: true,
        parent: name("p"),
        memories: Some(3),
        mappings: Some(0),
        reserved_bytes: Some(1 << 33),
    };
    let partition = v1::CreatePartitionRequest { partition_id: Some(name("q")), spec: Some(spec) };
    let get_partition = v1::GetPartitionRequest { partition_id: name("p") };
    let partitions = v1::ListPartitionsRequest { page_size: 1, ..Default::default() };
    let gone = v1::DeletePartitionRequest { partition_id: name("p"), allow_missing: false };
    let messages = vec![
        (kind("AnswerGrowHook") | admin::NEXT, first.encode_to_vec()),
        (kind("AnswerGrowHook"), second.encode_to_vec()),
        (kind("CreateGrowHook"), create.encode_to_vec()),
        (kind("GetGrowHook"), get.encode_to_vec()),
        (kind("ListGrowHooks"), list.encode_to_vec()),
        (kind("DeleteGrowHook"), delete.encode_to_vec()),
        (kind("AnswerGrowHook"), first.encode_to_vec()),
        (kind("WatchEvents"), watch.encode_to_vec()),
        (kind("WatchEvents"), resume.encode_to_vec()),
        (kind("GetHost"), Vec::new()),
        (kind("Drain"), Vec::new()),
        (kind("CreatePartition"), partition.encode_to_vec()),
        (kind("GetPartition"), get_partition.encode_to_vec()),
        (kind("ListPartitions"), partitions.encode_to_vec()),
        (kind("DeletePartition"), gone.encode_to_vec()),
        (kind("Reload"), v1::ReloadRequest { validate_only: false }.encode_to_vec()),
        (kind("Reload"), v1::ReloadRequest { validate_only: true }.encode_to_vec()),
    ];
    let mut seeds = vec![all(&messages[..2]), all(&messages[11..15])];
    seeds.extend(each(&messages));
    seeds
}

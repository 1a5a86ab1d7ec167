//! Hooks, events, partitions, the host and reloads; growths that are decided, and what is told of them.

use linmemd::proto::v1;
use prost::Message;

use crate::script::all;
use crate::seeds::{each, name, seconds};
use crate::targets::admin;
use crate::world::{BOOT, GRANTEE, SHARE, UID, pages};

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
    let tenants = v1::ListTenantsRequest { page_size: 1, ..Default::default() };
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
        (kind("ListTenants"), tenants.encode_to_vec()),
    ];
    let mut seeds = vec![all(&messages[..2]), all(&messages[11..15])];
    seeds.extend(each(&messages));
    seeds.extend(growths());
    seeds.extend(watches());
    seeds.extend(positions());
    seeds
}

fn grow(delta_pages: u64) -> Vec<u8> {
    let memory_id = name("m");
    v1::GrowMemoryRequest { memory_id, delta_pages, ..Default::default() }.encode_to_vec()
}

/// A watch of all, for as long as the input goes on.
fn watching() -> (u8, Vec<u8>) {
    (admin::kind("WatchEvents") | admin::NEXT, Vec::new())
}

/// A decider of a hook for `m`: what it says to growths, and what becomes of both.
fn growths() -> Vec<Vec<u8>> {
    let kind = admin::kind;
    let hook = v1::CreateGrowHookRequest {
        hook_id: Some(name("g")),
        label_selector: name("env=prod"),
        failure_policy: v1::FailurePolicy::FailClosed.into(),
        ..Default::default()
    };
    let hook = (kind("CreateGrowHook"), hook.encode_to_vec());
    let begun = v1::AnswerGrowHookRequest { hook_id: Some(name("g")), answer: None };
    let begin = |flags: u8| (kind("AnswerGrowHook") | flags, begun.encode_to_vec());
    let answer = |flags: u8, question_id, verdict: v1::GrowVerdict| {
        let answer = v1::GrowAnswer { question_id, verdict: verdict.into(), reason: name("no") };
        let answer = v1::AnswerGrowHookRequest { hook_id: None, answer: Some(answer) };
        (kind("AnswerGrowHook") | flags, answer.encode_to_vec())
    };
    let growth = |flags: u8| (kind("GrowMemory") | flags, grow(1));
    let delete = v1::DeleteGrowHookRequest { hook_id: name("g"), allow_missing: false };
    let delete = (kind("DeleteGrowHook"), delete.encode_to_vec());
    let (allow, deny) = (v1::GrowVerdict::Allow, v1::GrowVerdict::Deny);
    let eager =
        v1::AnswerGrowHookRequest { answer: Some(v1::GrowAnswer::default()), ..begun.clone() };
    vec![
        all(&[
            hook.clone(),
            watching(),
            begin(admin::NEXT),
            growth(0),
            answer(admin::NEXT, 1, allow),
            growth(0),
            answer(admin::NEXT, 2, deny),
            answer(0, 2, deny),
        ]),
        all(&[hook.clone(), begin(admin::NEXT), growth(admin::NEXT), growth(admin::HASTY)]),
        all(&[hook.clone(), watching(), begin(admin::NEXT), growth(0)]),
        all(&[hook.clone(), watching(), growth(0)]),
        all(&[hook.clone(), begin(admin::NEXT), growth(0), delete]),
        all(&[hook.clone(), begin(admin::HASTY)]),
        all(&[hook.clone(), begin(admin::NEXT), begin(0)]),
        all(&[hook, begin(admin::NEXT), answer(0, 1, v1::GrowVerdict::Unspecified)]),
        all(&[(kind("AnswerGrowHook"), eager.encode_to_vec())]),
    ]
}

/// What becomes of memories and shares while somebody watches.
fn watches() -> Vec<Vec<u8>> {
    let kind = admin::kind;
    let growth = |pages| (kind("GrowMemory"), grow(pages));
    let create = v1::CreateMemoryRequest { memory_id: Some(name("x")), ..Default::default() };
    let delete = v1::DeleteMemoryRequest { memory_id: name("x"), ..Default::default() };
    let member = v1::NewMember { memory_id: None, spec: Some(pages(0, 1)) };
    let set = v1::CreateMemorySetRequest { members: vec![member; 6], ..Default::default() };
    let share = v1::ShareMemoryRequest {
        memory_id: name("n"),
        grantee_tenant: name(GRANTEE),
        access: v1::ShareAccess::ReadWrite.into(),
        ..Default::default()
    };
    let mount = v1::MountShareRequest { share_id: name(SHARE), memory_id: Some(name("x")) };
    let revoke = v1::RevokeShareRequest { share_id: name(SHARE), allow_missing: false };
    let volatile = v1::SetVolatilityRequest {
        memory_id: name("n"),
        length: 8_192,
        volatility: v1::Volatility::Volatile.into(),
        ..Default::default()
    };
    let hasty = kind("WatchEvents") | admin::HASTY;
    vec![
        all(&[
            watching(),
            growth(1),
            growth(100),
            (kind("CreateMemory"), create.encode_to_vec()),
            (kind("DeleteMemory"), delete.encode_to_vec()),
            (admin::PASS, Vec::new()),
        ]),
        all(&[
            watching(),
            (kind("ShareMemory"), share.encode_to_vec()),
            (kind("MountShare"), mount.encode_to_vec()),
            (kind("RevokeShare"), revoke.encode_to_vec()),
        ]),
        all(&[
            watching(),
            (kind("SetVolatility"), volatile.encode_to_vec()),
            (admin::PASS, vec![1]),
        ]),
        all(&[watching(), (kind("CreateMemorySet"), set.encode_to_vec())]),
        all(&[(hasty, Vec::new())]),
        all(&[(hasty | admin::NEXT, Vec::new()), growth(1)]),
    ]
}

/// Where a watch may begin, and of what kinds.
fn positions() -> Vec<Vec<u8>> {
    let watch = |boot: &str, sequence, snapshot| v1::WatchEventsRequest {
        resume: Some(v1::EventPosition { boot_id: name(boot), sequence }),
        snapshot,
        ..Default::default()
    };
    let kinds = |kinds: std::ops::RangeInclusive<i32>| v1::WatchEventsRequest {
        kinds: kinds.collect(),
        ..Default::default()
    };
    let requests = [
        watch(BOOT, 1, false),
        watch(BOOT, 4, false),
        watch(BOOT, 5, false),
        watch(BOOT, 0, false),
        watch(BOOT, 1 << 40, false),
        watch(BOOT, 1, true),
        watch("00000000-0000-4000-8000-000000000000", 1, false),
        watch("x", 1, false),
        kinds(1..=10),
        kinds(0..=0),
        kinds(99..=99),
    ];
    let kind = admin::kind("WatchEvents");
    requests.iter().map(|request| all(&[(kind, request.encode_to_vec())])).collect()
}

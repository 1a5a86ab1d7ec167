//! What fuzzing begins with: for each target a handful of inputs that mean something, made of the
//! generated types, so that they follow the protos.
//!
//! Law: made, never kept; what is kept is in `corpus/`, which fuzzing has made of these.

use linmemd::proto::v1;
use linmemd::proto::v1::open_session_request::Message as Frame;
use linmemd::proto::v1::operation::Operation as Kind;
use linmemd::proto::v1::session_group::Group;
use linmemd::proto::v1::value::Value as Bits;
use prost::Message;

use crate::known::{self, JWTS, KEYS, TOKENS};
use crate::script::put;
use crate::targets::{admin, connection, credentials, memory, operations, resources, session};
use crate::world::{GRANTEE, SHARE, SHARE_FOR_WRITING, UID, VIEW, framed, pages};

/// A target's seeds.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "admin" => admin(),
        "config" => config(),
        "connection" => connection(),
        "credentials" => credentials(),
        "framing" => framing(),
        "headers" => headers(),
        "memory" => memory(),
        "names" => names(),
        "operations" => groups(),
        "programs" => programs(),
        "resources" => resources(),
        "session" => sessions(),
        "sizes" => sizes(),
        "spec" => specs(),
        _ => Vec::new(),
    }
}

fn name(text: &str) -> String {
    text.to_owned()
}

/// Inputs of one message each, by the number of its RPC.
fn each(messages: Vec<(u8, Vec<u8>)>) -> Vec<Vec<u8>> {
    let one = |(kind, bytes): (u8, Vec<u8>)| {
        let mut out = Vec::new();
        put(&mut out, kind, &bytes);
        out
    };
    messages.into_iter().map(one).collect()
}

fn all(messages: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, bytes) in messages {
        put(&mut out, *kind, bytes);
    }
    out
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 5 })
}

fn memory() -> Vec<Vec<u8>> {
    let kind = memory::kind;
    let (m, n) = (|| name("m"), || name("n"));
    let uid = || Some(name(UID));
    let request_id = || Some(name("00000000-0000-4000-8000-000000000001"));
    let data = || bytes::Bytes::from_static(b"some bytes");
    let read = v1::ReadMemoryRequest { memory_id: m(), uid: uid(), offset: 1, length: 9 };
    let write = v1::WriteMemoryRequest { memory_id: m(), uid: None, offset: 65_000, data: data() };
    let fill = v1::FillMemoryRequest {
        memory_id: n(),
        offset: 70_000,
        length: 300,
        value: 255,
        ..Default::default()
    };
    let copy = v1::CopyMemoryRequest {
        source_memory_id: m(),
        destination_memory_id: n(),
        source_offset: 4,
        destination_offset: 100,
        length: 4_096,
        request_id: request_id(),
        ..Default::default()
    };
    let grow = v1::GrowMemoryRequest {
        memory_id: m(),
        delta_pages: 1,
        expected_pages: Some(1),
        ..Default::default()
    };
    let discard = v1::DiscardMemoryRequest { memory_id: n(), length: 8_192, ..Default::default() };
    let protect = v1::ProtectMemoryRequest {
        memory_id: n(),
        offset: 4_096,
        length: 4_096,
        protection: v1::Protection::Read.into(),
        ..Default::default()
    };
    let volatility = v1::SetVolatilityRequest {
        memory_id: n(),
        offset: 8_192,
        length: 4_096,
        volatility: v1::Volatility::Volatile.into(),
        ..Default::default()
    };
    let verify = v1::VerifyMemoryRequest { memory_id: m(), uid: uid() };
    let get = |view: v1::MemoryView| v1::GetMemoryRequest {
        memory_id: m(),
        view: view.into(),
        uid: None,
    };
    let list = v1::ListMemoriesRequest {
        label_selector: name("env=prod,!x"),
        page_size: 2,
        ..Default::default()
    };
    let paths = ["display_name", "labels", "lease_ttl"].map(name).to_vec();
    let update = v1::UpdateMemoryRequest {
        memory_id: m(),
        display_name: name("shown"),
        labels: [(name("k"), name("v"))].into(),
        lease_ttl: seconds(100),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..Default::default()
    };
    let delete =
        v1::DeleteMemoryRequest { memory_id: n(), allow_missing: true, ..Default::default() };
    let keep = v1::KeepAliveMemoryRequest { memory_id: name("l"), uid: None };
    let wait = v1::WaitOnAddressRequest {
        memory_id: m(),
        address: 8,
        width: 4,
        expected: 1,
        timeout: seconds(0),
        ..Default::default()
    };
    let notify = v1::NotifyAddressRequest { memory_id: m(), address: 8, count: Some(1), uid: None };
    let download = v1::DownloadMemoryRequest {
        memory_id: n(),
        offset: 10,
        length: Some(100_000),
        chunk_bytes: Some(65_536),
        checksum: true,
        ..Default::default()
    };
    let upload = v1::UploadMemoryRequest {
        memory_id: Some(m()),
        offset: Some(16),
        length: Some(10),
        data: data(),
        crc32c: Some(crc32c::crc32c(&data())),
        ..Default::default()
    };
    let reset = v1::ResetMemoryStatsRequest { memory_id: m(), uid: None };
    let messages = vec![
        (kind("ReadMemory"), read.encode_to_vec()),
        (kind("WriteMemory"), write.encode_to_vec()),
        (kind("FillMemory"), fill.encode_to_vec()),
        (kind("CopyMemory"), copy.encode_to_vec()),
        (kind("GrowMemory"), grow.encode_to_vec()),
        (kind("DiscardMemory"), discard.encode_to_vec()),
        (kind("ProtectMemory"), protect.encode_to_vec()),
        (kind("SetVolatility"), volatility.encode_to_vec()),
        (kind("VerifyMemory"), verify.encode_to_vec()),
        (kind("GetMemory"), get(v1::MemoryView::Basic).encode_to_vec()),
        (kind("GetMemory"), get(v1::MemoryView::Full).encode_to_vec()),
        (kind("ListMemories"), list.encode_to_vec()),
        (kind("UpdateMemory"), update.encode_to_vec()),
        (kind("DeleteMemory"), delete.encode_to_vec()),
        (kind("KeepAliveMemory"), keep.encode_to_vec()),
        (kind("WaitOnAddress"), wait.encode_to_vec()),
        (kind("NotifyAddress"), notify.encode_to_vec()),
        (kind("DownloadMemory"), download.encode_to_vec()),
        (kind("UploadMemory"), upload.encode_to_vec()),
        (kind("ResetMemoryStats"), reset.encode_to_vec()),
        (kind("GetServerInfo"), Vec::new()),
    ];
    let mut seeds = vec![all(&messages[1..7]), all(&messages[6..8])];
    seeds.extend(each(messages));
    seeds
}

fn specs() -> Vec<Vec<u8>> {
    let guard = v1::Guard { before_bytes: Some(4_096), after_bytes: Some(0) };
    let numa = v1::Numa { policy: v1::NumaPolicy::Preferred.into(), nodes: vec![0], strict: false };
    let tagging = v1::Tagging {
        requirement: v1::TaggingRequirement::Prefer.into(),
        mode: v1::TaggingMode::Synchronous.into(),
        tag_mask: 6,
    };
    let segment = v1::ActiveSegment {
        offset: 100,
        data: bytes::Bytes::from_static(b"in place"),
        length: None,
    };
    let base = || pages(1, 3);
    let specs = [
        v1::MemorySpec::default(),
        v1::MemorySpec { shared: true, index_type: v1::IndexType::I64.into(), ..base() },
        v1::MemorySpec { guard: Some(guard), growth: v1::Growth::Disallowed.into(), ..base() },
        v1::MemorySpec { numa: Some(numa), tagging: Some(tagging), ..base() },
        v1::MemorySpec { segments: vec![segment.clone(), segment], ..base() },
        v1::MemorySpec { backing: v1::Backing::Memfd.into(), populate: 2, ..base() },
        v1::MemorySpec { reservation: v1::Reservation::Wasm32Full.into(), ..base() },
        v1::MemorySpec { allocator: v1::Allocator::Heap.into(), ..base() },
        v1::MemorySpec { allocator: v1::Allocator::Fixed.into(), ..base() },
        v1::MemorySpec { huge_pages: vec![2, 3, 4], ..base() },
        v1::MemorySpec { populate: v1::Populate::Maximum.into(), locking: 2, ..base() },
        v1::MemorySpec { partition: name("p"), verification: 5, ..base() },
        v1::MemorySpec { verification: v1::Verification::Redundant.into(), ..base() },
        v1::MemorySpec { owner: v1::Owner::Connection.into(), attachable: true, ..base() },
        v1::MemorySpec {
            display_name: name("shown"),
            labels: [(name("k"), name("v"))].into(),
            lease_ttl: seconds(60),
            ..base()
        },
    ];
    let mut seeds = Vec::new();
    for spec in specs.clone() {
        let create = v1::CreateMemoryRequest {
            memory_id: Some(name("x")),
            spec: Some(spec),
            ..Default::default()
        };
        seeds.push([vec![1], create.encode_to_vec()].concat());
    }
    let create = v1::CreateMemoryRequest {
        spec: Some(base()),
        request_id: Some(name("00000000-0000-4000-8000-000000000002")),
        required_capabilities: vec![name("atomics")],
        ..Default::default()
    };
    seeds.push([vec![1], create.encode_to_vec()].concat());
    let [_, shared, guarded, ..] = specs;
    let member = |id: &str, spec| v1::NewMember { memory_id: Some(name(id)), spec: Some(spec) };
    let set = v1::CreateMemorySetRequest {
        set_id: Some(name("y")),
        members: vec![member("x0", shared), member("x1", guarded)],
        ..Default::default()
    };
    seeds.push([vec![0], set.encode_to_vec()].concat());
    seeds
}

fn resources() -> Vec<Vec<u8>> {
    let kind = resources::kind;
    let put = v1::PutSegmentRequest {
        segment_id: Some(name("q")),
        data: bytes::Bytes::from(vec![7; 100]),
        request_id: None,
    };
    let get = v1::GetSegmentRequest { segment_id: name("s"), with_data: true };
    let list = v1::ListSegmentsRequest { page_size: 1, ..Default::default() };
    let init = v1::InitMemoryRequest {
        memory_id: name("m"),
        segment_id: name("s"),
        destination_offset: 10,
        source_offset: 4,
        length: 50,
        uid: Some(name(UID)),
    };
    let drop = v1::DropSegmentRequest { segment_id: name("s"), allow_missing: false };
    let member = v1::NewMember { memory_id: None, spec: Some(pages(1, 1)) };
    let create = v1::CreateMemorySetRequest {
        set_id: Some(name("y")),
        members: vec![member],
        ..Default::default()
    };
    let get_set = v1::GetMemorySetRequest { set_id: name("t") };
    let sets = v1::ListMemorySetsRequest { page_size: 1, ..Default::default() };
    let delete = v1::DeleteMemorySetRequest { set_id: name("t"), allow_missing: true };
    let open = v1::OpenViewRequest {
        memory_id: name("m"),
        offset: 16,
        length: 64,
        ttl: seconds(60),
        uid: None,
    };
    let refresh =
        v1::RefreshViewRequest { view_id: name(VIEW), only_if_changed: true, version: Some(1) };
    let close = v1::CloseViewRequest { view_id: name(VIEW), allow_missing: true };
    let reset = v1::ResetMemoryStatsRequest { memory_id: name("m"), uid: None };
    let messages = vec![
        (kind("PutSegment"), put.encode_to_vec()),
        (kind("ListSegments"), list.encode_to_vec()),
        (kind("GetSegment"), get.encode_to_vec()),
        (kind("InitMemory"), init.encode_to_vec()),
        (kind("RefreshView"), refresh.encode_to_vec()),
        (kind("OpenView"), open.encode_to_vec()),
        (kind("CloseView"), close.encode_to_vec()),
        (kind("DropSegment"), drop.encode_to_vec()),
        (kind("CreateMemorySet"), create.encode_to_vec()),
        (kind("GetMemorySet"), get_set.encode_to_vec()),
        (kind("ListMemorySets"), sets.encode_to_vec()),
        (kind("DeleteMemorySet"), delete.encode_to_vec()),
        (kind("ResetMemoryStats"), reset.encode_to_vec()),
    ];
    let mut seeds = vec![all(&messages[..5]), all(&messages[8..12])];
    seeds.extend(each(messages));
    seeds.extend(shares());
    seeds
}

fn shares() -> Vec<Vec<u8>> {
    let kind = resources::kind;
    let of_grantee = |name: &str| kind(name) | resources::OF_GRANTEE;
    let share = |access: v1::ShareAccess, expire_time| v1::ShareMemoryRequest {
        memory_id: name("n"),
        uid: None,
        grantee_tenant: name(GRANTEE),
        access: access.into(),
        expire_time,
    };
    let late = Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 5 });
    let never = Some(prost_types::Timestamp { seconds: 300_000_000_000, nanos: -1 });
    let given = v1::ListSharesRequest {
        direction: v1::ShareDirection::Given.into(),
        page_size: 1,
        page_token: String::new(),
    };
    let received = v1::ListSharesRequest {
        direction: v1::ShareDirection::Received.into(),
        ..Default::default()
    };
    let mount = |share: &str| {
        v1::MountShareRequest { share_id: name(share), memory_id: Some(name("x")) }.encode_to_vec()
    };
    let revoke = v1::RevokeShareRequest { share_id: name(SHARE), allow_missing: true };
    let read = v1::ReadMemoryRequest { memory_id: name("x"), length: 9, ..Default::default() };
    let data = bytes::Bytes::from_static(b"some bytes");
    let write = v1::WriteMemoryRequest { memory_id: name("x"), data, ..Default::default() };
    let grow = v1::GrowMemoryRequest { memory_id: name("x"), delta_pages: 1, ..Default::default() };
    let read_only = share(v1::ShareAccess::Read, late);
    let messages = vec![
        (of_grantee("MountShare"), mount(SHARE)),
        (of_grantee("ReadMemory"), read.encode_to_vec()),
        (of_grantee("WriteMemory"), write.encode_to_vec()),
        (of_grantee("GrowMemory"), grow.encode_to_vec()),
        (of_grantee("ListShares"), received.encode_to_vec()),
        (kind("ListShares"), given.encode_to_vec()),
        (of_grantee("RevokeShare"), revoke.encode_to_vec()),
        (kind("ShareMemory"), read_only.encode_to_vec()),
        (kind("ShareMemory"), share(v1::ShareAccess::Unspecified, None).encode_to_vec()),
        (kind("ShareMemory"), share(v1::ShareAccess::Read, never).encode_to_vec()),
        (kind("ShareMemory"), share(v1::ShareAccess::ReadWrite, None).encode_to_vec()),
        (kind("RevokeShare"), revoke.encode_to_vec()),
        (kind("MountShare"), mount(SHARE)),
    ];
    let for_writing = (of_grantee("MountShare"), mount(SHARE_FOR_WRITING));
    let written = [&[for_writing][..], &messages[1..4]].concat();
    let mut seeds = vec![all(&messages[..4]), all(&messages[4..8]), all(&written)];
    seeds.extend(each(messages));
    seeds
}

fn admin() -> Vec<Vec<u8>> {
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
    seeds.extend(each(messages));
    seeds
}

/// One operation of every kind.
fn kinds() -> Vec<Kind> {
    let (i32_load, i64_store) = (v1::Opcode::I32Load.into(), v1::Opcode::I64Store.into());
    let value = Some(v1::Value { value: Some(Bits::I64(-2)) });
    let wide = Some(v1::Value { value: Some(Bits::V128(vec![9; 16].into())) });
    let data = bytes::Bytes::from_static(b"12345678");
    let offsets = vec![0, 64];
    vec![
        Kind::Read(v1::ReadOperation { offset: 0, length: 8 }),
        Kind::Write(v1::WriteOperation { offset: 64, data: data.clone() }),
        Kind::Compare(v1::CompareOperation { offset: 200, expected: vec![0; 4].into() }),
        Kind::Gather(v1::GatherOperation { width: 4, offsets: offsets.clone() }),
        Kind::Scatter(v1::ScatterOperation { width: 4, offsets, data }),
        Kind::Load(v1::LoadOperation { opcode: i32_load, address: 4, ..Default::default() }),
        Kind::Load(v1::LoadOperation {
            opcode: v1::Opcode::V128Load32Splat.into(),
            address: 4,
            static_offset: 8,
            align_log2: None,
        }),
        Kind::Store(v1::StoreOperation {
            opcode: i64_store,
            address: 8,
            value,
            ..Default::default()
        }),
        Kind::Store(v1::StoreOperation {
            opcode: v1::Opcode::V128Store.into(),
            address: 16,
            value: wide,
            ..Default::default()
        }),
        Kind::Fill(v1::FillOperation { offset: 100, length: 20, value: 7 }),
        Kind::Copy(v1::CopyOperation { source_offset: 0, destination_offset: 300, length: 16 }),
        Kind::Init(v1::InitOperation {
            segment_id: name("s"),
            destination_offset: 400,
            source_offset: 1,
            length: 5,
        }),
        Kind::AtomicLoad(v1::AtomicLoadOperation { width: 4, address: 8, static_offset: 0 }),
        Kind::AtomicStore(v1::AtomicStoreOperation {
            width: 2,
            address: 10,
            operand: 0x1_0203,
            ..Default::default()
        }),
        Kind::AtomicRmw(v1::AtomicRmwOperation {
            width: 8,
            address: 16,
            operator: v1::AtomicOperator::Add.into(),
            operand: 3,
            ..Default::default()
        }),
        Kind::Size(v1::SizeOperation {}),
        Kind::Fence(v1::FenceOperation {}),
        Kind::Notify(v1::NotifyOperation { address: 8, static_offset: 0, count: 2 }),
    ]
}

fn swap() -> Kind {
    Kind::AtomicCmpxchg(v1::AtomicCmpxchgOperation {
        width: 4,
        address: 24,
        expected: 0,
        replacement: 5,
        ..Default::default()
    })
}

fn columns() -> v1::PackedOperations {
    v1::PackedOperations {
        opcodes: vec![v1::Opcode::Read.into(), v1::Opcode::Write.into()],
        addresses: vec![0, 128],
        lengths: vec![16, 4],
        data: bytes::Bytes::from_static(b"four"),
    }
}

fn groups() -> Vec<Vec<u8>> {
    let with = |kind: u8, bytes: Vec<u8>| [vec![kind], bytes].concat();
    let mut seeds: Vec<Vec<u8>> =
        kinds().into_iter().map(|kind| with(2, operations::list(vec![kind]))).collect();
    let mut every = kinds();
    every.push(swap());
    seeds.push(with(2, operations::list(every)));
    seeds.push(with(1, columns().encode_to_vec()));
    let rows = v1::PackedOperations {
        opcodes: vec![v1::Opcode::I64AtomicRmw16AddU.into()],
        addresses: vec![0, 8, 16],
        lengths: Vec::new(),
        data: vec![1; 24].into(),
    };
    seeds.push(with(1, rows.encode_to_vec()));
    let init = v1::PackedOperations {
        opcodes: vec![v1::Opcode::MemoryInit.into()],
        addresses: vec![64],
        lengths: vec![4],
        data: [&2u64.to_le_bytes()[..], &[1], b"s"].concat().into(),
    };
    seeds.push(with(1, init.encode_to_vec()));
    let operations = kinds().into_iter().take(4);
    let operations = operations.map(|kind| v1::Operation { operation: Some(kind) }).collect();
    let request = v1::ExecuteOperationsRequest {
        memory_id: name("m"),
        uid: Some(name(UID)),
        group: Some(v1::execute_operations_request::Group::List(v1::OperationList { operations })),
        request_id: Some(name("00000000-0000-4000-8000-000000000003")),
        required_capabilities: vec![name("atomics")],
    };
    seeds.push(with(0, request.encode_to_vec()));
    seeds
}

fn sessions() -> Vec<Vec<u8>> {
    let frame = |message: Frame| {
        (session::MESSAGE, v1::OpenSessionRequest { message: Some(message) }.encode_to_vec())
    };
    let start = || {
        let max_reply_bytes_in_flight = Some(1 << 16);
        frame(Frame::Start(v1::SessionStart { max_reply_bytes_in_flight, ..Default::default() }))
    };
    let attach = |handle, read_only| {
        frame(Frame::Attach(v1::SessionAttach {
            tag: u64::from(handle),
            handle,
            memory_id: name("m"),
            uid: None,
            read_only,
        }))
    };
    let group = |tag, atomic, group| {
        let group = Some(group);
        frame(Frame::Group(v1::SessionGroup { tag, handle: 1, atomic, group, request_id: None }))
    };
    let operations = || {
        let kinds = kinds().into_iter();
        kinds.map(|kind| v1::Operation { operation: Some(kind) }).collect::<Vec<_>>()
    };
    let single = |place: usize| Group::Single(operations().swap_remove(place));
    let list = || Group::List(v1::OperationList { operations: operations() });
    let wait = |tag, timeout| {
        let wait = v1::SessionWait {
            tag,
            handle: 1,
            address: 8,
            width: 4,
            expected: 0,
            timeout: seconds(timeout),
        };
        frame(Frame::Wait(wait))
    };
    let detach = frame(Frame::Detach(v1::SessionDetach { tag: 9, handle: 1 }));
    let cancel = frame(Frame::Cancel(v1::SessionCancel { tag: 8, wait_tag: 7 }));
    let torn = (session::BARE, vec![0, 0, 0, 0, 50, 1]);
    vec![
        all(&[start()]),
        all(&[start(), attach(1, false), group(2, false, single(0)), group(3, false, single(1))]),
        all(&[start(), attach(1, false), group(2, true, list()), group(3, false, list())]),
        all(&[start(), attach(1, false), group(2, true, Group::Packed(columns()))]),
        all(&[
            start(),
            attach(1, false),
            group(2, false, Group::Packed(columns())),
            detach.clone(),
        ]),
        all(&[start(), attach(1, true), group(2, false, single(0)), group(3, false, single(1))]),
        all(&[start(), attach(1, false), wait(7, 0), cancel.clone()]),
        all(&[start(), attach(1, false), wait(7, 50), cancel]),
        all(&[start(), detach, attach(1, false), attach(1, false)]),
        all(&[start(), attach(1, false), torn]),
        all(&[attach(1, false), start()]),
    ]
}

fn framing() -> Vec<Vec<u8>> {
    let data = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
    let first = v1::UploadMemoryRequest {
        memory_id: Some(name("m")),
        offset: Some(8),
        data: data("first"),
        ..Default::default()
    };
    let next = v1::UploadMemoryRequest { data: data("the next one"), ..Default::default() };
    let last = v1::UploadMemoryRequest {
        crc32c: Some(crc32c::crc32c(b"firstthe next one")),
        ..Default::default()
    };
    let body: Vec<u8> = [first.encode_to_vec(), next.encode_to_vec(), last.encode_to_vec()]
        .iter()
        .flat_map(|message| framed(message).to_vec())
        .collect();
    let write = v1::WriteMemoryRequest {
        memory_id: name("m"),
        offset: 3,
        data: bytes::Bytes::from(vec![5; 300]),
        uid: None,
    };
    let put = v1::PutSegmentRequest { data: data("a segment"), ..Default::default() };
    let read = v1::ReadMemoryRequest { memory_id: name("m"), length: 4, ..Default::default() };
    let with = |kind: u8, splits: &[u8], body: &[u8]| {
        let count = u8::try_from(splits.len()).expect("few");
        [&[kind, count], splits, body].concat()
    };
    vec![
        with(0, &[], &body),
        with(0, &[1, 1, 1, 1, 1, 1], &body),
        with(0, &[5, 10], &body),
        with(0, &[], &[&body[..], &[1, 0, 0, 0, 0]].concat()),
        with(0, &[], &[&body[..], &[0, 0xFF, 0, 0, 0]].concat()),
        with(1, &[4, 6], &framed(&write.encode_to_vec())),
        with(2, &[4, 6], &framed(&put.encode_to_vec())),
        with(3, &[2], &framed(&read.encode_to_vec())),
        with(3, &[], &[&framed(&read.encode_to_vec())[..], &[0; 5]].concat()),
    ]
}

fn headers() -> Vec<Vec<u8>> {
    let texts = [
        "\u{0}1S",
        "\u{0}99999999n",
        "\u{0}5m",
        "\u{0}1H",
        "\u{0}12u",
        "\u{0}1234567u",
        "\u{0}3M",
        "\u{0}-1S",
        "\u{1}default",
        "\u{1}other",
        "\u{1}third",
        "\u{2}application/grpc",
        "\u{2}application/grpc+proto",
        "\u{2}application/grpc;x",
        "\u{2}text/html",
        "\u{3}linmem.v1.MemoryService/GetServerInfo",
        "\u{3}linmem.v1.MemoryService/ReadMemory",
        "\u{3}linmem.v1.Nope/Nope",
        "\u{3}",
        "\u{4}user-agent:x",
        "\u{4}grpc-encoding:gzip",
        "\u{4}x-bin:AAAA",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn credentials() -> Vec<Vec<u8>> {
    let with = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
    let mut seeds: Vec<Vec<u8>> =
        TOKENS.iter().map(|(token, _)| with(0, &format!("Bearer {token}"))).collect();
    seeds.extend(JWTS.iter().map(|(token, _)| with(0, &format!("Bearer {token}"))));
    let texts =
        ["", "Basic YTpi", "Bearer", "Bearer ", "bearer  lmt_", "Bearer a.b.c", "Bearer e30.e30."];
    seeds.extend(texts.map(|text| with(0, text)));
    // One key at a time: all of them are longer than an input.
    let set: serde_json::Value = serde_json::from_str(KEYS).expect("the issuer's");
    let keys = set["keys"].as_array().cloned().unwrap_or_default();
    for key in &keys {
        for which in 0..4 {
            seeds.push(with(3, &format!("{which}{{\"keys\":[{key}]}}")));
        }
    }
    seeds.extend(["0{}", "0{\"keys\":[]}", "0{\"keys\":[{}]}", "0["].map(|text| with(3, text)));
    let hash = |token: &str| -> String {
        known::hash(token).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (one, two) = (hash(&TOKENS[0].0), hash(&TOKENS[1].0));
    let identity = |name: &str, rest: &str| {
        format!(
            "[[identity]]\nname = \"{name}\"\ntenant = \"default\"\nroles = [\"reader\"]\n{rest}\n"
        )
    };
    let issuer = |algorithms: &str| {
        format!(
            "[[jwt_issuer]]\nissuer = \"https://issuer\"\naudience = \"linmemd\"\n\
             jwks_file = \"/keys\"\nalgorithms = [{algorithms}]\n"
        )
    };
    let tenant = "[[tenant]]\nname = \"default\"\n";
    let jwt = "jwt = { issuer = \"https://issuer\", claim = \"sub\", value = \"alice\" }";
    let second = "jwt = { issuer = \"https://issuer\", claim = \"aud\", value = \"linmemd\" }";
    let by_one = identity("a", &format!("token_sha256 = \"{one}\""));
    let late = format!("token_sha256 = \"{two}\"\nexpire_time = \"2001-01-01T00:00:00Z\"");
    let tls = "[tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\n";
    let certificates =
        [identity("e", "san_uri = \"spiffe://x/bob\""), identity("f", "san_dns = \"Bob.Example\"")];
    let sections = [
        format!("{tenant}{by_one}{}", identity("b", &late)),
        format!("{}{tenant}{by_one}{}", issuer("\"EdDSA\", \"ES256\""), identity("c", jwt)),
        format!("{}{tenant}{}{}", issuer("\"EdDSA\""), identity("c", jwt), identity("d", second)),
        format!("{}{tenant}{}", issuer("\"PS256\""), identity("c", jwt)),
        format!("{tls}{tenant}{}", certificates.concat()),
        format!("[grpc]\nunix_socket = \"/s\"\n{tenant}{}", identity("g", "uid = 7")),
        format!("{tenant}{by_one}{by_one}"),
        format!("{tenant}{}", identity("h", "uid = 7")),
    ];
    seeds.extend(sections.iter().map(|text| with(4, text)));
    let [certificate, key, ca, crl] = credentials::MARKS;
    for text in [
        format!("\u{0}{certificate}%%{key}%%{ca}%%{crl}"),
        format!("\u{0}{certificate}{ca}%%{key}%%{ca}{ca}%%{crl}"),
        format!("\u{0}{ca}%%{key}%%{ca}%%{crl}"),
        format!("\u{0}{key}%%{certificate}%%{crl}%%{ca}"),
        format!("\u{0}%%{key}%%{ca}%%{crl}"),
        format!("\u{0}{certificate}%%{key}%%%%"),
        format!("\u{0}{certificate}%%{key}%%{ca}%%x"),
        format!("\u{1}\u{7f}\u{0}\u{1}{certificate}%%{key}%%{ca}%%{crl}"),
    ] {
        seeds.push(with(5, &text));
    }
    for text in ["0uspiffe://x/alice", "0dClient.example", "1uspiffe://x/alice", "0", "0ux\ndy"] {
        seeds.push(with(6, text));
    }
    seeds.push(with(6, "0uspiffe://x/alice\ndclient.example"));
    seeds.extend([[7, 0xE8, 3, 0, 0, 1], [7, 0, 0, 0, 0, 0], [7, 1, 0, 0, 0, 1]].map(Vec::from));
    seeds
}

fn names() -> Vec<Vec<u8>> {
    let uid = format!("\u{3}{UID}");
    let texts = [
        "\u{0}x",
        "\u{0}a.b_c:d-e",
        "\u{0}m",
        "\u{0}.a",
        "\u{1}env",
        "\u{1}!env,team=a",
        "\u{1}env!=dev , team",
        "\u{1}a,,b",
        "\u{2}e3b0c442.m",
        "\u{2}e3b0c442.",
        "\u{2}nothing",
        &uid,
        "\u{3}00000000-0000-4000-8000-000000000000",
        "\u{3}x",
        "\u{4}h",
        "\u{4}g",
        "\u{5}n",
        "\u{5}two",
        "\u{0}z:1",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn config() -> Vec<Vec<u8>> {
    let shipped = include_str!("../../config/linmemd.toml");
    // Every key, without what is said of it.
    let bare: Vec<&str> = shipped
        .lines()
        .map(|line| line.trim_start_matches("# ").trim_start_matches('#'))
        .filter(|line| {
            let key = line.split(" = ").next().unwrap_or_default();
            let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            (line.contains(" = ") && plain(key)) || line.starts_with('[')
        })
        .collect();
    let mut seeds: Vec<Vec<u8>> =
        bare.chunks(12).map(|lines| lines.join("\n").into_bytes()).collect();
    let mut section = "";
    for line in &bare {
        if line.starts_with('[') {
            section = line;
        } else {
            seeds.push(format!("{section}\n{line}").into_bytes());
        }
    }
    let texts = [
        "%%LINMEMD_GRPC__LISTEN=[::1]:7\nLINMEMD_POOL__INLINE_BYTES=64KiB\nLINMEMD_SERVICE_HOST=x",
        "%%LINMEMD_LEASE__SWEEP_INTERVAL=1m 30s\nLINMEMD_MEMORY__OVERCOMMIT=1.5\nHOME=/",
        "%%%%--listen=127.0.0.1:1\n--metrics-listen=[::1]:2\n--unix-socket=/run/x.sock",
        "[pool]\ninline_bytes = 70000\n%%LINMEMD_LOG__FORMAT=json",
        "[[tenant]]\nname = \"a\"\nquota_bytes = \"1MiB\"\n[[tenant]]\nname = \"a\"",
        "[[partition]]\nname = \"p\"\nmaximum_bytes = \"1MiB\"\nminimum_bytes = 65536",
        "[[hook]]\nname = \"h\"\nlabel_selector = \"env\"\nfailure_policy = \"open\"\nrank = -1",
        "[grcp]\nlisten = 1",
        "grpc = 3",
        "[grpc]\nlisten = ",
        "[http]\nallowed_hosts = [\"a\", \"b.c\"]\nallow_anonymous = true\nlisten = \"0.0.0.0:1\"",
    ];
    seeds.extend(texts.map(|text| text.as_bytes().to_vec()));
    seeds
}

fn sizes() -> Vec<Vec<u8>> {
    let texts = [
        "\u{0}4096",
        "\u{0}0x1000",
        "\u{0}64KiB",
        "\u{0}1.5MiB",
        "\u{0}2GB",
        "\u{0}3pages",
        "\u{0}1_000",
        "\u{0}1M",
        "\u{0}0.3KiB",
        "\u{0}18446744073709551615",
        "\u{0}5m 30s",
        "\u{0}0xff",
        "\u{0}255",
        "\u{1}48656c6c6f",
        "\u{1}0x48:65 6c",
        "\u{1}abc",
        "\u{2}\u{3}\u{1}0123456789abcdef0123456789abcdef0123456789abcdef",
        "\u{3}key=value",
        "\u{3}env=prod, !zone ,team",
        "\u{3}a!=b",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers as literals that are not indexed, which need no table.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in headers {
        out.push(0);
        for text in [name, value] {
            out.push(u8::try_from(text.len()).expect("short"));
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

fn connection() -> Vec<Vec<u8>> {
    let request = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", "/linmem.v1.MemoryService/GetServerInfo"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]);
    let (head, tail) = request.split_at(30);
    let data = frame(0, 1, 1, &[0; 5]);
    let with = |kind: u8, frames: &[Vec<u8>]| [vec![kind], frames.concat()].concat();
    vec![
        with(0x80, &[frame(1, 4, 1, &request), data.clone()]),
        with(0x81, &[frame(1, 4, 1, &request), data.clone()]),
        with(2, &[frame(1, 0, 1, head), frame(9, 4, 1, tail), data]),
        with(3, &[frame(1, 0, 1, head), frame(9, 0, 1, tail)]),
        with(0, &[frame(4, 1, 0, &[]), frame(6, 0, 0, &[1; 8]), frame(8, 0, 0, &[0, 0, 1, 0])]),
        with(0, &[frame(7, 0, 0, &[0; 8]), frame(2, 0, 1, &[0, 0, 0, 0, 5])]),
        with(0, &[frame(4, 0, 0, &[0, 4, 0, 0, 0, 9, 0, 5, 0, 1, 0, 0])]),
        with(0, &[frame(5, 4, 1, &[0, 0, 0, 2]), frame(0x30, 0, 0, b"unknown")]),
        with(4, &[connection::PREFACE.to_vec()]),
        with(4, &[b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()]),
        with(4, &[connection::PREFACE[..20].to_vec()]),
    ]
}

/// Dice for programs of several lengths.
fn programs() -> Vec<Vec<u8>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut byte = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    [3, 6, 12, 24, 36, 48, 60, 72].map(|length| (0..length).map(|_| byte()).collect()).to_vec()
}

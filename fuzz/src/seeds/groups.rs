//! Groups of operations, alone and in sessions.

use linmemd::proto::v1;
use linmemd::proto::v1::open_session_request::Message as Frame;
use linmemd::proto::v1::operation::Operation as Kind;
use linmemd::proto::v1::session_group::Group;
use linmemd::proto::v1::value::Value as Bits;
use prost::Message;

use crate::script::all;
use crate::seeds::{name, seconds};
use crate::targets::{operations, session};
use crate::world::{SHARE, SHARE_FOR_WRITING, UID};

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

/// All that there are.
fn opcodes() -> impl Iterator<Item = i32> {
    (0..0x1_0000).filter(|opcode| v1::Opcode::try_from(*opcode).is_ok())
}

fn columns() -> v1::PackedOperations {
    v1::PackedOperations {
        opcodes: vec![v1::Opcode::Read.into(), v1::Opcode::Write.into()],
        addresses: vec![0, 128],
        lengths: vec![16, 4],
        data: bytes::Bytes::from_static(b"four"),
    }
}

pub(super) fn groups() -> Vec<Vec<u8>> {
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
    let silent = v1::ExecuteOperationsRequest { group: None, ..request.clone() };
    seeds.push(with(0, silent.encode_to_vec()));
    let operations =
        vec![v1::Operation { operation: Some(Kind::Fence(v1::FenceOperation {})) }; 700];
    let many = v1::execute_operations_request::Group::List(v1::OperationList { operations });
    let many = v1::ExecuteOperationsRequest { group: Some(many), ..request };
    seeds.push(with(0, many.encode_to_vec()));
    let nothing = v1::ExecuteOperationsRequest { memory_id: name("m"), ..Default::default() };
    seeds.push(with(0, nothing.encode_to_vec()));
    seeds.push(with(operations::MANY | 1, columns().encode_to_vec()));
    seeds.push(with(operations::MANY | 2, operations::list(kinds())));
    seeds.extend(opcodes().map(|opcode| {
        let alone = v1::PackedOperations {
            opcodes: vec![opcode],
            addresses: vec![64],
            lengths: Vec::new(),
            data: vec![3; 16].into(),
        };
        with(1, alone.encode_to_vec())
    }));
    seeds
}

pub(super) fn sessions() -> Vec<Vec<u8>> {
    let frame = |message: Frame| {
        (session::MESSAGE, v1::OpenSessionRequest { message: Some(message) }.encode_to_vec())
    };
    let start = || {
        let max_reply_bytes_in_flight = Some(1 << 16);
        frame(Frame::Start(v1::SessionStart { max_reply_bytes_in_flight, ..Default::default() }))
    };
    // It takes more while something is to be answered.
    let eager = || frame(Frame::Start(v1::SessionStart::default()));
    let lots_of = |(_, message): (u8, Vec<u8>)| (session::MANY, message);
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
    let repeated = |tag, atomic, group| {
        let request_id = Some(name("00000000-0000-4000-8000-000000000004"));
        frame(Frame::Group(v1::SessionGroup { tag, handle: 1, atomic, group, request_id }))
    };
    let silent = (session::MESSAGE, v1::OpenSessionRequest::default().encode_to_vec());
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
    let memory_id = || name("m");
    let grow =
        v1::GrowMemoryRequest { memory_id: memory_id(), delta_pages: 1, ..Default::default() };
    let delete = v1::DeleteMemoryRequest { memory_id: memory_id(), ..Default::default() };
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
        all(&[start(), detach.clone(), attach(1, false), attach(1, false)]),
        all(&[start(), attach(1, false), torn]),
        all(&[attach(1, false), start()]),
        all(&[
            start(),
            attach(1, false),
            repeated(2, true, Some(single(1))),
            repeated(3, true, Some(single(1))),
        ]),
        all(&[start(), attach(1, false), repeated(2, false, Some(single(1)))]),
        all(&[start(), attach(1, false), repeated(2, true, None), wait(3, -1)]),
        all(&[start(), silent]),
        all(&[start(), start()]),
        all(&[
            eager(),
            attach(1, false),
            group(2, false, list()),
            repeated(3, true, None),
            group(4, false, single(0)),
            detach.clone(),
            attach(1, false),
        ]),
        all(&[eager(), lots_of(attach(1, true))]),
        all(&[start(), attach(1, false), lots_of(group(2, false, list()))]),
        all(&[start(), attach(1, false), lots_of(group(2, false, Group::Packed(reads(1))))]),
        all(&[
            start(),
            attach(1, false),
            repeated(2, true, Some(differs())),
            group(3, true, differs()),
            group(4, false, many(differs())),
        ]),
        all(&[start(), attach(1, false), group(2, false, many(much(40_000)))]),
        all(&[start(), attach(1, false), group(2, false, Group::Packed(reads(40_000)))]),
        all(&[start(), attach(1, false), group(2, false, Group::Packed(torn_columns()))]),
        all(&[
            start(),
            attach(1, false),
            beside("GrowMemory", &grow),
            group(2, false, single(0)),
            beside("GrowMemory", &grow),
        ]),
        all(&[
            start(),
            attach(1, false),
            beside("DeleteMemory", &delete),
            group(2, false, single(0)),
            attach(1, false),
            group(3, false, list()),
        ]),
    ]
}

/// Sessions of the tenant that memories are shared with.
pub(super) fn lent() -> Vec<Vec<u8>> {
    let frame = |message: Frame| {
        (session::MESSAGE, v1::OpenSessionRequest { message: Some(message) }.encode_to_vec())
    };
    let (whose, start) =
        ((session::OF_GRANTEE, Vec::new()), frame(Frame::Start(v1::SessionStart::default())));
    let attach = |read_only| {
        let memory_id = name("x");
        frame(Frame::Attach(v1::SessionAttach {
            tag: 1,
            handle: 1,
            memory_id,
            uid: None,
            read_only,
        }))
    };
    let group = |tag, atomic, group| {
        let group = Some(group);
        frame(Frame::Group(v1::SessionGroup { tag, handle: 1, atomic, group, request_id: None }))
    };
    let list = || {
        let operations = kinds().into_iter().map(|kind| v1::Operation { operation: Some(kind) });
        Group::List(v1::OperationList { operations: operations.collect() })
    };
    let mount = |share: &str| {
        let mount = v1::MountShareRequest { share_id: name(share), memory_id: Some(name("x")) };
        beside("MountShare", &mount)
    };
    let revoke = |share: &str| {
        let revoke = v1::RevokeShareRequest { share_id: name(share), allow_missing: false };
        beside("RevokeShare", &revoke)
    };
    let packed = || Group::Packed(columns());
    vec![
        all(&[
            whose.clone(),
            mount(SHARE_FOR_WRITING),
            start.clone(),
            attach(false),
            group(2, true, list()),
            group(3, false, list()),
            group(4, false, packed()),
            revoke(SHARE_FOR_WRITING),
        ]),
        all(&[
            whose.clone(),
            mount(SHARE),
            start.clone(),
            attach(true),
            group(2, true, packed()),
            revoke(SHARE),
            group(3, true, packed()),
        ]),
        all(&[whose, mount(SHARE), start, attach(false)]),
    ]
}

/// A call beside a session.
fn beside(name: &str, request: &impl Message) -> (u8, Vec<u8>) {
    (session::BESIDE, [vec![session::call(name)], request.encode_to_vec()].concat())
}

/// An operation that fails when it is carried out.
fn differs() -> Group {
    let compare = v1::CompareOperation { offset: 200, expected: vec![1; 4].into() };
    Group::Single(v1::Operation { operation: Some(Kind::Compare(compare)) })
}

/// Two reads, which are more than one reply together.
fn much(length: u64) -> Group {
    let read = Kind::Read(v1::ReadOperation { offset: 0, length });
    Group::Single(v1::Operation { operation: Some(read) })
}

/// The same operation twice.
fn many(group: Group) -> Group {
    match group {
        Group::Single(single) => Group::List(v1::OperationList { operations: vec![single; 2] }),
        group => group,
    }
}

/// The same in columns.
fn reads(length: u32) -> v1::PackedOperations {
    v1::PackedOperations {
        opcodes: vec![v1::Opcode::Read.into(); 2],
        addresses: vec![0, 8],
        lengths: vec![length; 2],
        data: bytes::Bytes::new(),
    }
}

/// Columns that end in the middle of what an operation needs.
fn torn_columns() -> v1::PackedOperations {
    v1::PackedOperations {
        opcodes: vec![v1::Opcode::MemoryInit.into(); 2],
        addresses: vec![0, 8],
        lengths: vec![4; 2],
        data: [&0u64.to_le_bytes()[..], &[1], b"s", &0u64.to_le_bytes()[..], &[9]].concat().into(),
    }
}

//! Claims about ExecuteOperations: both forms mean the same and what WebAssembly means, a group is
//! whole or not at all, and what is refused names its operation. The instructions' own meaning is read
//! from their names here, not from the product.

use bytes::Bytes;
use linmemd::client::proto::execute_operations_request::Group;
use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::value::Value as Bits;
use linmemd::client::proto::{
    Allocator, AtomicRmwOperation, Backing, CompareOperation, CopyOperation,
    ExecuteOperationsRequest, FenceOperation, FillOperation, GatherOperation, LoadOperation,
    MemorySpec, Opcode, Operation, OperationResult, PackedOperations, ProtectMemoryRequest,
    Protection, ReadOperation, ScatterOperation, StoreOperation, Value, Verification,
    WriteOperation,
};
use linmemd::client::{Client, ClientError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::contract::{invalid, refused};
use crate::harness::{House, PAGE, pages, pattern};
use crate::instructions::{Deed, answered, listed, model, opcodes, packed, random_deed};

/// A memory of each kind that groups could fare differently on.
fn kinds() -> Vec<(&'static str, MemorySpec)> {
    let shared = MemorySpec { shared: true, maximum_pages: Some(2), ..Default::default() };
    let heap = MemorySpec { allocator: Allocator::Heap.into(), ..Default::default() };
    vec![
        ("slab", MemorySpec { maximum_pages: Some(2), ..Default::default() }),
        ("file", MemorySpec { backing: Backing::Memfd.into(), ..Default::default() }),
        ("heap-shared", MemorySpec { allocator: Allocator::Heap.into(), ..shared }),
        ("heap", heap),
        ("full", MemorySpec { verification: Verification::Full.into(), ..Default::default() }),
        (
            "copies",
            MemorySpec { verification: Verification::Redundant.into(), ..Default::default() },
        ),
    ]
}

#[tokio::test]
async fn both_forms_of_a_group_do_and_answer_what_the_instructions_names_say() {
    let house = House::start();
    let client = house.client().await;
    let all = opcodes();
    let mut seen = std::collections::BTreeSet::new();
    for (turn, (kind, spec)) in kinds().into_iter().enumerate() {
        let mut random = StdRng::seed_from_u64(turn as u64);
        let (one, other) = (format!("{kind}-packed"), format!("{kind}-list"));
        for id in [&one, &other] {
            client.create(Some(id), MemorySpec { initial_pages: 1, ..spec.clone() }).await.unwrap();
        }
        let mut bytes = vec![0; usize::try_from(PAGE).unwrap()];
        for _ in 0..60 {
            let count = random.random_range(0..30);
            let deeds: Vec<Deed> = (0..count).map(|_| random_deed(&mut random, &all)).collect();
            seen.extend(deeds.iter().map(|deed| i32::from(deed.opcode)));
            let answers: Vec<_> = deeds.iter().map(|deed| model(&mut bytes, deed)).collect();
            let fast = client.execute_packed(&one, packed(&deeds)).await.unwrap();
            assert_eq!(fast, answers.concat(), "{kind}: {deeds:?}");
            let results = client.execute(&other, deeds.iter().map(listed).collect()).await.unwrap();
            let wanted: Vec<_> =
                deeds.iter().zip(&answers).map(|(deed, raw)| answered(deed, raw)).collect();
            assert_eq!(results, wanted, "{kind}: {deeds:?}");
        }
        for id in [&one, &other] {
            assert!(client.read(id, 0, PAGE).await.unwrap() == bytes, "{id}");
        }
    }
    assert_eq!(seen.len(), all.len(), "every opcode had its turn");
    house.stop().await;
}

#[tokio::test]
async fn one_opcode_and_one_length_stand_for_all() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let bytes = pattern(PAGE, 3);
    client.write("m", 0, bytes.clone()).await.unwrap();
    let addresses: Vec<u64> = (0..128).map(|place| place * 500).collect();
    let reads = PackedOperations {
        opcodes: vec![Opcode::Read.into()],
        addresses: addresses.clone(),
        lengths: vec![64],
        ..Default::default()
    };
    let wanted: Vec<u8> = addresses
        .iter()
        .flat_map(|at| bytes[usize::try_from(*at).unwrap()..][..64].to_vec())
        .collect();
    assert_eq!(client.execute_packed("m", reads).await.unwrap(), wanted);
    assert_eq!(client.gather("m", 64, addresses.clone()).await.unwrap(), wanted);
    let scatter =
        ScatterOperation { width: 64, offsets: addresses, data: vec![7; 128 * 64].into() };
    client.execute("m", vec![Kind::Scatter(scatter).into()]).await.unwrap();
    assert_eq!(client.read("m", 500, 65).await.unwrap(), [&[7; 64][..], &bytes[564..565]].concat());
    let stats = client.memory("m").await.unwrap().stats.unwrap();
    assert_eq!((stats.read_count, stats.write_count), (128 + 128 + 1, 1 + 128));
    assert_eq!((stats.read_bytes, stats.write_bytes), (256 * 64 + 65, PAGE + 128 * 64));
    let page = house.scrape().await;
    for (operation, accesses) in [("read", 129.0), ("gather", 128.0), ("scatter", 128.0)] {
        let labels = [("tenant", "default"), ("operation", operation)];
        assert_eq!(page.value("linmemd_accesses_total", &labels), accesses, "{operation}");
    }
    house.stop().await;
}

fn read(offset: u64, length: u64) -> Operation {
    Kind::Read(ReadOperation { offset, length }).into()
}

fn write(offset: u64, data: &'static [u8]) -> Operation {
    Kind::Write(WriteOperation { offset, data: data.into() }).into()
}

fn compare(offset: u64, expected: &'static [u8]) -> Operation {
    Kind::Compare(CompareOperation { offset, expected: expected.into() }).into()
}

#[tokio::test]
async fn a_group_is_whole_or_not_at_all_and_names_the_operation_that_was_refused() {
    let house = House::start();
    let client = house.client().await;
    for (id, spec) in kinds() {
        client.create(Some(id), MemorySpec { initial_pages: 1, ..spec }).await.unwrap();
        client.write(id, 0, "before").await.unwrap();
        let failed = client.execute(id, vec![write(0, b"after"), compare(3, b"orf")]).await;
        let numbers: &[(&str, &dyn std::fmt::Display)] =
            &[("offset", &3), ("length", &3), ("operation_index", &1)];
        refused(failed, "COMPARE_FAILED", numbers);
        let past = client.execute(id, vec![write(0, b"after"), read(0, 1), read(PAGE, 1)]).await;
        let size = PAGE;
        let numbers: &[(&str, &dyn std::fmt::Display)] =
            &[("offset", &PAGE), ("length", &1), ("size_bytes", &size), ("operation_index", &2)];
        refused(past, "OUT_OF_BOUNDS", numbers);
        let wrapped = LoadOperation {
            opcode: Opcode::I32Load.into(),
            address: u64::MAX,
            static_offset: 1,
            align_log2: None,
        };
        let past = client.execute(id, vec![write(0, b"after"), Kind::Load(wrapped).into()]).await;
        let numbers: &[(&str, &dyn std::fmt::Display)] = &[
            ("offset", &u64::MAX),
            ("length", &4),
            ("size_bytes", &size),
            ("operation_index", &1),
        ];
        refused(past, "OUT_OF_BOUNDS", numbers);
        let rmw =
            AtomicRmwOperation { width: 8, address: 3, static_offset: 1, operator: 1, operand: 1 };
        let torn = client.execute(id, vec![write(0, b"after"), Kind::AtomicRmw(rmw).into()]).await;
        let numbers: &[(&str, &dyn std::fmt::Display)] =
            &[("offset", &4), ("width", &8), ("operation_index", &1)];
        refused(torn, "UNALIGNED", numbers);
        assert_eq!(client.read(id, 0, 6).await.unwrap(), "before", "{id}");
        let stats = client.memory(id).await.unwrap().stats.unwrap();
        assert_eq!((stats.trap_count, stats.write_count), (3, 1), "{id}");
        let done = client.execute(id, vec![write(0, b"after!"), compare(3, b"ore")]).await;
        assert_eq!(
            done.unwrap(),
            vec![OperationResult::default(); 2],
            "compares see what was before"
        );
        assert_eq!(client.read(id, 0, 6).await.unwrap(), "after!", "{id}");
    }
    let page = house.scrape().await;
    let traps =
        |reason| page.value("linmemd_traps_total", &[("tenant", "default"), ("reason", reason)]);
    let count = kinds().len() as f64;
    assert_eq!((traps("OUT_OF_BOUNDS"), traps("UNALIGNED")), (2.0 * count, count));
    house.stop().await;
}

#[tokio::test]
async fn a_group_that_touches_what_is_protected_stores_nothing() {
    let house = House::start();
    let client = house.client().await;
    for (id, spec) in kinds() {
        client.create(Some(id), MemorySpec { initial_pages: 1, ..spec }).await.unwrap();
        let protect = ProtectMemoryRequest {
            memory_id: id.to_owned(),
            offset: 100,
            length: 10,
            protection: Protection::Read.into(),
            ..Default::default()
        };
        client.protect_memory(protect).await.unwrap();
        let copy = CopyOperation { source_offset: 95, destination_offset: 0, length: 10 };
        let rmw = AtomicRmwOperation {
            width: 4,
            address: 104,
            operator: 1,
            operand: 1,
            ..Default::default()
        };
        for denied in [write(105, b"x"), Kind::AtomicRmw(rmw).into()] {
            let group = vec![write(0, b"x"), Kind::Copy(copy).into(), read(100, 10), denied];
            let failure = refused_reason(client.execute(id, group).await);
            assert_eq!(failure, ("PROTECTED".to_owned(), Some("3".to_owned())), "{id}");
        }
        assert_eq!(client.read(id, 0, 1).await.unwrap(), [0u8].as_slice(), "{id}");
        client.execute(id, vec![Kind::Copy(copy).into(), read(100, 10)]).await.unwrap();
    }
    house.stop().await;
}

fn refused_reason<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> (String, Option<String>) {
    match outcome {
        Err(ClientError::Refused(failure)) => {
            (failure.reason.clone(), failure.metadata.get("operation_index").cloned())
        }
        other => panic!("{other:?}"),
    }
}

async fn send(
    client: &Client,
    group: Option<Group>,
    request_id: Option<&str>,
) -> Result<(), ClientError> {
    let request = ExecuteOperationsRequest {
        memory_id: "m".to_owned(),
        group,
        request_id: request_id.map(str::to_owned),
        ..Default::default()
    };
    client.execute_operations(request).await.map(drop)
}

#[tokio::test]
async fn columns_that_do_not_fit_together_are_refused_by_their_name() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let (read, write, load) = (Opcode::Read.into(), Opcode::Write.into(), Opcode::I32Load.into());
    let (size, fill) = (Opcode::MemorySize.into(), Opcode::MemoryFill.into());
    #[expect(clippy::type_complexity, reason = "the columns, named below")]
    let rows: &[(&str, &[i32], &[u64], &[u32], &[u8])] = &[
        ("packed.opcodes", &[], &[0], &[], b""),
        ("packed.opcodes", &[read, read], &[0], &[1], b""),
        ("packed.opcodes", &[read, read], &[0, 0, 0], &[1], b""),
        ("packed.lengths", &[read], &[0], &[], b""),
        ("packed.lengths", &[read], &[0, 0, 0], &[1, 2], b""),
        ("packed.lengths", &[load], &[0], &[4], b""),
        ("packed.lengths", &[read, load], &[0, 0], &[1, 4], b""),
        ("packed.data", &[write], &[0], &[2], b"1"),
        ("packed.data", &[write], &[0], &[2], b"123"),
        ("packed.data", &[fill], &[0], &[2], b""),
        ("packed.data", &[read], &[0], &[2], b"1"),
        ("packed.addresses", &[size], &[1], &[], b""),
    ];
    for (field, opcodes, addresses, lengths, data) in rows {
        let packed = PackedOperations {
            opcodes: opcodes.to_vec(),
            addresses: addresses.to_vec(),
            lengths: lengths.to_vec(),
            data: Bytes::from_static(data),
        };
        let outcome = send(&client, Some(Group::Packed(packed.clone())), None).await;
        let Err(ClientError::Refused(failure)) = outcome else { panic!("{field} {packed:?}") };
        assert_eq!(failure.reason, "INVALID_FIELD", "{failure} {packed:?}");
        assert_eq!(failure.metadata.get("field").map(String::as_str), Some(*field), "{packed:?}");
    }
    for opcode in [0, 4, 0x27, 0x40, 0xFC09, 0xFE01, -1] {
        let packed = PackedOperations {
            opcodes: vec![read, opcode],
            addresses: vec![0, 0],
            lengths: vec![0, 0],
            ..Default::default()
        };
        let unknown = send(&client, Some(Group::Packed(packed)), None).await;
        let number = opcode.cast_unsigned();
        refused(unknown, "OPERATION_UNKNOWN", &[("opcode", &number), ("operation_index", &1)]);
    }
    invalid(send(&client, None, None).await, "group");
    let empty = PackedOperations::default();
    send(&client, Some(Group::Packed(empty)), None).await.unwrap();
    assert_eq!(client.execute("m", vec![]).await.unwrap(), vec![]);
    house.stop().await;
}

#[tokio::test]
async fn operations_of_a_list_that_say_nothing_or_too_much_are_refused() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let load = |opcode: Opcode, align_log2| {
        let opcode = opcode.into();
        Kind::Load(LoadOperation { opcode, align_log2, ..Default::default() })
    };
    let store = |opcode: Opcode, value| {
        let value = Some(Value { value });
        Kind::Store(StoreOperation { opcode: opcode.into(), value, ..Default::default() })
    };
    let rmw = |width, operator| {
        Kind::AtomicRmw(AtomicRmwOperation { width, operator, ..Default::default() })
    };
    let short = Some(Bits::V128(Bytes::from_static(b"15 bytes only..")));
    let rows: Vec<(&str, Option<Kind>)> = vec![
        ("operation", None),
        ("align_log2", Some(load(Opcode::I32Load16U, Some(2)))),
        ("value", Some(store(Opcode::I32Store, Some(Bits::I64(1))))),
        ("value", Some(store(Opcode::F32Store, Some(Bits::I32(1))))),
        ("value", Some(store(Opcode::I32Store, None))),
        ("value.v128", Some(store(Opcode::V128Store, short))),
        ("width", Some(rmw(16, 1))),
        ("width", Some(rmw(3, 1))),
        ("operator", Some(rmw(4, 0))),
        ("operator", Some(rmw(4, 7))),
        ("value", Some(Kind::Fill(FillOperation { offset: 0, length: 1, value: 256 }))),
        (
            "data",
            Some(Kind::Scatter(ScatterOperation {
                width: 2,
                offsets: vec![0, 8],
                data: Bytes::from_static(b"odd"),
            })),
        ),
    ];
    for (field, kind) in rows {
        let operations = vec![write(0, b"x"), Operation { operation: kind.clone() }];
        let outcome = client.execute("m", operations).await;
        let Err(ClientError::Refused(failure)) = outcome else { panic!("{field}: {kind:?}") };
        assert_eq!(failure.reason, "INVALID_FIELD", "{failure}");
        assert_eq!(failure.metadata.get("field").map(String::as_str), Some(field), "{kind:?}");
        assert_eq!(failure.metadata.get("operation_index").map(String::as_str), Some("1"));
    }
    for opcode in [Opcode::I32Store, Opcode::Read] {
        let number = i32::from(opcode);
        let unknown = client.execute("m", vec![load(opcode, None).into()]).await;
        refused(unknown, "OPERATION_UNKNOWN", &[("opcode", &number), ("operation_index", &0)]);
    }
    assert_eq!(client.read("m", 0, 1).await.unwrap(), [0u8].as_slice());
    house.stop().await;
}

#[tokio::test]
async fn a_group_past_a_limit_is_too_large_and_names_the_limit() {
    let house = House::start();
    let client = house.client().await;
    let spec = MemorySpec { initial_pages: 300, maximum_pages: Some(300), ..Default::default() };
    client.create(Some("m"), spec).await.unwrap();
    let limits = client.server_info().await.unwrap().limits.unwrap();
    let most = limits.max_operations as usize;
    let gather = |count| {
        let offsets = vec![0; count];
        vec![Kind::Gather(GatherOperation { width: 1, offsets }).into()]
    };
    let fence = || Operation::from(Kind::Fence(FenceOperation {}));
    assert_eq!(client.gather("m", 1, vec![0; most]).await.unwrap().len(), most);
    let fill = |length| Operation::from(Kind::Fill(FillOperation { offset: 0, length, value: 1 }));
    client.execute("m", vec![fill(limits.max_group_bytes)]).await.unwrap();
    assert_eq!(client.read("m", limits.max_group_bytes - 1, 2).await.unwrap(), [1u8, 0].as_slice());
    client.execute("m", vec![read(0, limits.max_group_reply_bytes)]).await.unwrap();
    let rows: Vec<(&str, u64, u64, Vec<Operation>)> = vec![
        ("max_operations", most as u64, most as u64 + 1, gather(most + 1)),
        ("max_operations", most as u64, most as u64 + 1, vec![fence(); most + 1]),
        (
            "max_group_bytes",
            limits.max_group_bytes,
            limits.max_group_bytes + 1,
            vec![fill(limits.max_group_bytes), read(0, 1)],
        ),
        (
            "max_group_reply_bytes",
            limits.max_group_reply_bytes,
            limits.max_group_reply_bytes + 1,
            vec![read(0, limits.max_group_reply_bytes), read(0, 1)],
        ),
    ];
    for (name, limit, length, operations) in rows {
        let Err(ClientError::Refused(failure)) = client.execute("m", operations).await else {
            panic!("{name}")
        };
        assert_eq!(failure.reason, "TOO_LARGE", "{failure}");
        let number = |key: &str| failure.metadata.get(key).cloned().unwrap();
        assert_eq!(number("limit_name"), name);
        assert_eq!((number("limit"), number("length")), (limit.to_string(), length.to_string()));
    }
    house.stop().await;
}

#[tokio::test]
async fn a_repeated_group_gets_the_first_results_and_happens_once() {
    const ID: &str = "33333333-3333-4333-8333-333333333333";
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let add = |operand| AtomicRmwOperation { width: 8, operator: 1, operand, ..Default::default() };
    let group = |operand| {
        let operations = vec![Kind::AtomicRmw(add(operand)).into(), read(0, 8)];
        Some(Group::List(linmemd::client::proto::OperationList { operations }))
    };
    let execute = async |operand| {
        let request = ExecuteOperationsRequest {
            memory_id: "m".to_owned(),
            group: group(operand),
            request_id: Some(ID.to_owned()),
            ..Default::default()
        };
        client.execute_operations(request).await
    };
    let first = execute(5).await.unwrap();
    client.write("m", 0, "otherwise").await.unwrap();
    assert_eq!(execute(5).await.unwrap(), first);
    assert_eq!(client.read("m", 0, 9).await.unwrap(), "otherwise");
    refused(execute(6).await, "REQUEST_ID_REUSED", &[("request_id", &ID)]);
    let limit = client.server_info().await.unwrap().limits.unwrap().max_remembered_reply_bytes;
    let wide = Some(Group::List(linmemd::client::proto::OperationList {
        operations: vec![read(0, limit + 1)],
    }));
    let id = "44444444-4444-4444-8444-444444444444";
    let numbers: &[(&str, &dyn std::fmt::Display)] = &[
        ("field", &"group"),
        ("length", &(limit + 1)),
        ("limit_name", &"max_remembered_reply_bytes"),
        ("limit", &limit),
    ];
    refused(send(&client, wide, Some(id)).await, "TOO_LARGE", numbers);
    house.stop().await;
}

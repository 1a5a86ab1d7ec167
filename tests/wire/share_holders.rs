//! Claims about who holds a share: what each RPC answers by the name of a memory that another tenant
//! shares, for reading and for reading and writing.
//!
//! Law: the table is held against the descriptors, so that an RPC without a row fails here.

use linmemd::client::ClientError;
use linmemd::client::proto::{
    CopyMemoryRequest, CreateMemoryRequest, CreateMemorySetRequest, DeleteMemoryRequest,
    DiscardMemoryRequest, DownloadMemoryRequest, ExecuteOperationsRequest, FillMemoryRequest,
    GetMemoryRequest, GrowMemoryRequest, InitMemoryRequest, KeepAliveMemoryRequest, MemorySpec,
    MemoryView, NewMember, NotifyAddressRequest, OpenViewRequest, Operation, OperationList,
    ProtectMemoryRequest, Protection, ReadMemoryRequest, ResetMemoryStatsRequest,
    SetVolatilityRequest, ShareAccess, ShareMemoryRequest, UpdateMemoryRequest,
    UploadMemoryRequest, VerifyMemoryRequest, Volatility, WaitOnAddressRequest, WriteMemoryRequest,
    WriteOperation, execute_operations_request::Group, operation,
};

use crate::authorization::served;
use crate::grpc::{Wire, framed};
use crate::harness::{pages, pattern};
use crate::sessions::{Raw, attach, reason, single, write};
use crate::shares::{house, lent};

const ONLY: &str = "GRANT_READ_ONLY";
/// By whom it may be done: by both, by who may write, by its owner only, or it is about no memory.
const BOTH: [&str; 2] = ["OK", "OK"];
const WRITERS: [&str; 2] = [ONLY, "OK"];
const OWNERS: [&str; 2] = [ONLY, ONLY];
const TAKEN: [&str; 2] = ["MEMORY_EXISTS", "MEMORY_EXISTS"];
const NO_MEMORY: [&str; 2] = ["-", "-"];

const TABLE: [(&str, [&str; 2]); 53] = [
    ("AdminService/CreatePartition", NO_MEMORY),
    ("AdminService/DeletePartition", NO_MEMORY),
    ("AdminService/Drain", NO_MEMORY),
    ("AdminService/GetHost", NO_MEMORY),
    ("AdminService/GetPartition", NO_MEMORY),
    ("AdminService/ListPartitions", NO_MEMORY),
    ("AdminService/ListTenants", NO_MEMORY),
    ("AdminService/Reload", NO_MEMORY),
    ("EventService/WatchEvents", NO_MEMORY),
    ("HookService/AnswerGrowHook", NO_MEMORY),
    ("HookService/CreateGrowHook", NO_MEMORY),
    ("HookService/DeleteGrowHook", NO_MEMORY),
    ("HookService/GetGrowHook", NO_MEMORY),
    ("HookService/ListGrowHooks", NO_MEMORY),
    ("MemoryService/CloseView", NO_MEMORY),
    ("MemoryService/CopyMemory", WRITERS),
    ("MemoryService/CreateMemory", TAKEN),
    ("MemoryService/CreateMemorySet", TAKEN),
    ("MemoryService/DeleteMemory", OWNERS),
    ("MemoryService/DeleteMemorySet", NO_MEMORY),
    ("MemoryService/DiscardMemory", OWNERS),
    ("MemoryService/DownloadMemory", BOTH),
    ("MemoryService/DropSegment", NO_MEMORY),
    ("MemoryService/ExecuteOperations", WRITERS),
    ("MemoryService/FillMemory", WRITERS),
    ("MemoryService/GetMemory", BOTH),
    ("MemoryService/GetMemorySet", NO_MEMORY),
    ("MemoryService/GetSegment", NO_MEMORY),
    ("MemoryService/GetServerInfo", NO_MEMORY),
    ("MemoryService/GrowMemory", OWNERS),
    ("MemoryService/InitMemory", WRITERS),
    ("MemoryService/KeepAliveMemory", OWNERS),
    ("MemoryService/ListMemories", NO_MEMORY),
    ("MemoryService/ListMemorySets", NO_MEMORY),
    ("MemoryService/ListSegments", NO_MEMORY),
    ("MemoryService/ListShares", NO_MEMORY),
    ("MemoryService/MountShare", NO_MEMORY),
    ("MemoryService/NotifyAddress", WRITERS),
    // By what it attaches; see below.
    ("MemoryService/OpenSession", NO_MEMORY),
    ("MemoryService/OpenView", BOTH),
    ("MemoryService/ProtectMemory", OWNERS),
    ("MemoryService/PutSegment", NO_MEMORY),
    ("MemoryService/ReadMemory", BOTH),
    ("MemoryService/RefreshView", NO_MEMORY),
    ("MemoryService/ResetMemoryStats", OWNERS),
    ("MemoryService/RevokeShare", NO_MEMORY),
    ("MemoryService/SetVolatility", OWNERS),
    ("MemoryService/ShareMemory", OWNERS),
    ("MemoryService/UpdateMemory", OWNERS),
    ("MemoryService/UploadMemory", WRITERS),
    ("MemoryService/VerifyMemory", OWNERS),
    ("MemoryService/WaitOnAddress", BOTH),
    ("MemoryService/WriteMemory", WRITERS),
];

/// A request that its owner would be granted, about the memory of this name.
fn request(rpc: &str, name: &str) -> Vec<u8> {
    let memory_id = name.to_owned();
    match rpc.split_once('/').unwrap().1 {
        "CopyMemory" => framed(&CopyMemoryRequest {
            source_memory_id: "own".to_owned(),
            destination_memory_id: memory_id,
            length: 8,
            ..Default::default()
        }),
        "CreateMemory" => {
            framed(&CreateMemoryRequest { memory_id: Some(memory_id), ..Default::default() })
        }
        "CreateMemorySet" => framed(&CreateMemorySetRequest {
            members: vec![NewMember { memory_id: Some(memory_id), spec: None }],
            ..Default::default()
        }),
        "DeleteMemory" => framed(&DeleteMemoryRequest { memory_id, ..Default::default() }),
        "DiscardMemory" => {
            framed(&DiscardMemoryRequest { memory_id, length: 1, ..Default::default() })
        }
        "DownloadMemory" => framed(&DownloadMemoryRequest { memory_id, ..Default::default() }),
        "ExecuteOperations" => {
            let write = WriteOperation { offset: 0, data: pattern(8, 1) };
            let operation = Some(operation::Operation::Write(write));
            let operations = vec![Operation { operation }];
            let group = Some(Group::List(OperationList { operations }));
            framed(&ExecuteOperationsRequest { memory_id, group, ..Default::default() })
        }
        "FillMemory" => {
            framed(&FillMemoryRequest { memory_id, length: 8, value: 7, ..Default::default() })
        }
        "GetMemory" => {
            let view = MemoryView::Full.into();
            framed(&GetMemoryRequest { memory_id, view, ..Default::default() })
        }
        "GrowMemory" => {
            framed(&GrowMemoryRequest { memory_id, delta_pages: 1, ..Default::default() })
        }
        "InitMemory" => {
            let segment_id = "s".to_owned();
            framed(&InitMemoryRequest { memory_id, segment_id, length: 1, ..Default::default() })
        }
        "KeepAliveMemory" => framed(&KeepAliveMemoryRequest { memory_id, uid: None }),
        "NotifyAddress" => framed(&NotifyAddressRequest { memory_id, ..Default::default() }),
        "OpenView" => framed(&OpenViewRequest { memory_id, length: 8, ..Default::default() }),
        "ProtectMemory" => framed(&ProtectMemoryRequest {
            memory_id,
            length: 1,
            protection: Protection::Read.into(),
            ..Default::default()
        }),
        "ReadMemory" => framed(&ReadMemoryRequest { memory_id, length: 8, ..Default::default() }),
        "ResetMemoryStats" => framed(&ResetMemoryStatsRequest { memory_id, uid: None }),
        "SetVolatility" => framed(&SetVolatilityRequest {
            memory_id,
            length: 1,
            volatility: Volatility::Volatile.into(),
            ..Default::default()
        }),
        "ShareMemory" => framed(&ShareMemoryRequest {
            memory_id,
            grantee_tenant: "green".to_owned(),
            access: ShareAccess::Read.into(),
            ..Default::default()
        }),
        "UpdateMemory" => framed(&UpdateMemoryRequest {
            memory_id,
            display_name: "mine".to_owned(),
            ..Default::default()
        }),
        "UploadMemory" => framed(&UploadMemoryRequest {
            memory_id: Some(memory_id),
            data: pattern(8, 1),
            ..Default::default()
        }),
        "VerifyMemory" => framed(&VerifyMemoryRequest { memory_id, uid: None }),
        "WaitOnAddress" => framed(&WaitOnAddressRequest {
            memory_id,
            width: 4,
            expected: 0xDEAD,
            ..Default::default()
        }),
        "WriteMemory" => {
            framed(&WriteMemoryRequest { memory_id, data: pattern(8, 1), ..Default::default() })
        }
        other => panic!("{other} has a row and no request"),
    }
}

#[test]
fn every_rpc_of_the_protos_has_a_row_for_share_holders() {
    assert_eq!(served(), TABLE.iter().map(|(rpc, _)| (*rpc).to_owned()).collect());
}

#[tokio::test]
async fn a_share_holder_does_what_its_share_says_and_nothing_more() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    let memory = blue.create(Some("m"), MemorySpec { shared: true, ..pages(1) }).await.unwrap();
    red.create(Some("own"), pages(1)).await.unwrap();
    red.put(Some("s"), "x").await.unwrap();
    let names = ["r", "w"];
    lent(&house, ShareAccess::Read, "r").await;
    lent(&house, ShareAccess::ReadWrite, "w").await;
    let wire = Wire::connect(house.grpc()).await;
    for (rpc, wanted) in TABLE.iter().filter(|(_, wanted)| *wanted != NO_MEMORY) {
        for (name, wanted) in names.into_iter().zip(wanted) {
            let method = rpc.split_once('/').unwrap().1;
            let headers = [("linmem-tenant", "red")];
            let outcome = wire.call(method, &headers, request(rpc, name)).await.outcome();
            let found = match outcome {
                Ok(_granted) => "OK".to_owned(),
                Err(ClientError::Refused(failure)) => {
                    assert_eq!(failure.metadata["memory_id"], name, "{rpc}");
                    failure.reason
                }
                Err(other) => panic!("{rpc}: {other}"),
            };
            assert_eq!(found, *wanted, "{rpc} of {name}");
            if found != "OK" {
                continue;
            }
            // What only its owner may change is as it was.
            let now = blue.memory("m").await.unwrap();
            assert_eq!((&now.uid, &now.etag), (&memory.uid, &memory.etag), "{rpc}");
            assert_eq!(now.size_pages, memory.size_pages, "{rpc}");
        }
    }
    red.drop_segment("s", false).await.unwrap();
    // The views that it opened end with their leases.
    house.close().await;
}

#[tokio::test]
async fn a_session_attaches_what_is_shared_for_as_much_as_the_share_says() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    blue.create(Some("m"), MemorySpec { shared: true, ..pages(1) }).await.unwrap();
    lent(&house, ShareAccess::Read, "r").await;
    lent(&house, ShareAccess::ReadWrite, "m").await;
    let mut raw = Raw::attached(&red).await;
    raw.say(attach(2, 2, "r"));
    assert_eq!(reason(raw.result(2).await), ONLY);
    let read_only = linmemd::client::proto::SessionAttach {
        tag: 3,
        handle: 2,
        memory_id: "r".to_owned(),
        read_only: true,
        ..Default::default()
    };
    raw.say(linmemd::client::proto::open_session_request::Message::Attach(read_only));
    raw.result(3).await;
    raw.say(single(4, write(0, b"by red")));
    raw.result(4).await;
    assert_eq!(blue.read("m", 0, 6).await.unwrap(), "by red");
    let write = |tag, handle| {
        let operation = Operation { operation: Some(write(0, b"x")) };
        let group = linmemd::client::proto::session_group::Group::Single(operation);
        crate::sessions::group(tag, handle, false, group)
    };
    raw.say(write(5, 2));
    assert_eq!(reason(raw.result(5).await), ONLY);
    let notify = operation::Operation::Notify(linmemd::client::proto::NotifyOperation {
        count: 1,
        ..Default::default()
    });
    let operation = Operation { operation: Some(notify) };
    let group = linmemd::client::proto::session_group::Group::Single(operation);
    raw.say(crate::sessions::group(6, 2, false, group));
    assert_eq!(reason(raw.result(6).await), ONLY, "to wake is no read");
    blue.grow("m", 1).await.unwrap();
    let mut told = 0;
    while told < 2 {
        let Some(word) = raw.hear().await else { panic!("it is told of growth") };
        told += i32::from(matches!(
            word,
            linmemd::client::proto::open_session_response::Message::Notice(_)
        ));
    }
    drop(raw);
    house.stop().await;
}

//! Claims about who may call what: every RPC of the protos, by every kind of caller, over the wire.
//!
//! Law: the table below is written by hand and held against the descriptors, so that an RPC without a
//! row fails here too; the daemon's own table is in `src/rpc/authorization.rs`.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use linmemd::client::proto::{
    ExecuteOperationsRequest, GetMemoryRequest, GetSegmentRequest, NotifyOperation, OperationList,
    PutSegmentRequest, SessionAttach, WriteOperation, execute_operations_request::Group, operation,
};
use linmemd::client::{Client, ClientError};
use linmemd::config::{Config, Identity};
use linmemd::proto::DESCRIPTORS;
use linmemd::token::Token;
use prost::Message;

use crate::contract::refused;
use crate::grpc::{Wire, framed};
use crate::harness::{House, pages, pattern, tenant};
use crate::reloads::Reloading;

/// Callers, each with a token of its own: name, tenant, roles.
const CALLERS: [(&str, &str, &[&str]); 8] = [
    ("owner", "blue", &["reader", "writer", "hook_decider", "watcher"]),
    ("other", "red", &["reader", "writer", "hook_decider", "watcher"]),
    ("reader", "blue", &["reader"]),
    ("writer", "blue", &["writer"]),
    ("decider", "blue", &["hook_decider"]),
    ("watcher", "blue", &["watcher"]),
    ("operator", "blue", &["operator"]),
    ("scraper", "blue", &["metrics"]),
];

const ALL: &str = "owner other reader writer decider watcher operator scraper";
const SEE: &str = "owner other reader writer operator";
const READ: &str = "owner other reader writer";
const WRITE: &str = "owner other writer";
const SEE_HOOKS: &str = "owner other reader writer decider operator";
const DECIDE: &str = "owner other decider";
const WATCH: &str = "owner other watcher";
const OPERATE: &str = "operator";

/// Who may call; everybody else is told which role is missing.
const TABLE: [(&str, &str); 53] = [
    ("AdminService/CreatePartition", OPERATE),
    ("AdminService/DeletePartition", OPERATE),
    ("AdminService/Drain", OPERATE),
    ("AdminService/GetHost", OPERATE),
    ("AdminService/GetPartition", OPERATE),
    ("AdminService/ListPartitions", OPERATE),
    ("AdminService/ListTenants", OPERATE),
    ("AdminService/Reload", OPERATE),
    ("EventService/WatchEvents", WATCH),
    ("HookService/AnswerGrowHook", DECIDE),
    ("HookService/CreateGrowHook", DECIDE),
    ("HookService/DeleteGrowHook", DECIDE),
    ("HookService/GetGrowHook", SEE_HOOKS),
    ("HookService/ListGrowHooks", SEE_HOOKS),
    ("MemoryService/CloseView", READ),
    ("MemoryService/CopyMemory", WRITE),
    ("MemoryService/CreateMemory", WRITE),
    ("MemoryService/CreateMemorySet", WRITE),
    ("MemoryService/DeleteMemory", WRITE),
    ("MemoryService/DeleteMemorySet", WRITE),
    ("MemoryService/DiscardMemory", WRITE),
    ("MemoryService/DownloadMemory", READ),
    ("MemoryService/DropSegment", WRITE),
    ("MemoryService/ExecuteOperations", READ),
    ("MemoryService/FillMemory", WRITE),
    ("MemoryService/GetMemory", SEE),
    ("MemoryService/GetMemorySet", SEE),
    ("MemoryService/GetSegment", SEE),
    ("MemoryService/GetServerInfo", ALL),
    ("MemoryService/GrowMemory", WRITE),
    ("MemoryService/InitMemory", WRITE),
    ("MemoryService/KeepAliveMemory", WRITE),
    ("MemoryService/ListMemories", SEE),
    ("MemoryService/ListMemorySets", SEE),
    ("MemoryService/ListSegments", SEE),
    ("MemoryService/ListShares", SEE),
    ("MemoryService/MountShare", WRITE),
    ("MemoryService/NotifyAddress", WRITE),
    ("MemoryService/OpenSession", READ),
    ("MemoryService/OpenView", READ),
    ("MemoryService/ProtectMemory", WRITE),
    ("MemoryService/PutSegment", WRITE),
    ("MemoryService/ReadMemory", READ),
    ("MemoryService/RefreshView", READ),
    ("MemoryService/ResetMemoryStats", WRITE),
    ("MemoryService/RevokeShare", WRITE),
    ("MemoryService/SetVolatility", WRITE),
    ("MemoryService/ShareMemory", WRITE),
    ("MemoryService/UpdateMemory", WRITE),
    ("MemoryService/UploadMemory", WRITE),
    ("MemoryService/VerifyMemory", WRITE),
    ("MemoryService/WaitOnAddress", READ),
    ("MemoryService/WriteMemory", WRITE),
];

/// The token of the caller at that place.
fn token(place: usize) -> Token {
    Token::new([u8::try_from(place).unwrap(); 32])
}

/// An identity for each caller (name, tenant, roles), by the token of its place.
pub(crate) fn by_tokens(
    callers: &[(&str, &str, &[&str])],
    token: fn(usize) -> Token,
) -> Vec<Identity> {
    let identity = |(place, (name, tenant, roles)): (usize, &(&str, &str, &[&str]))| Identity {
        name: (*name).to_owned(),
        tenant: (*tenant).to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        token_sha256: Some(*token(place).hash().bytes()),
        ..Identity::default()
    };
    callers.iter().enumerate().map(identity).collect()
}

/// Everybody of the table, and somebody whose time is over.
pub(crate) fn identities(config: &mut Config) {
    config.tenants = ["blue", "red"].map(|name| tenant(name, None)).to_vec();
    config.identities = by_tokens(&CALLERS, token);
    let mut expired = config.identities[0].clone();
    expired.name = "expired".to_owned();
    expired.token_sha256 = Some(*token(CALLERS.len()).hash().bytes());
    expired.expire_time = Some(SystemTime::now() - Duration::from_secs(1));
    config.identities.push(expired);
}

/// A client with the token of that caller.
pub(crate) async fn client_of(house: &House, caller: &str) -> Client {
    let place = CALLERS.iter().position(|(name, ..)| *name == caller).unwrap_or(CALLERS.len());
    house.client_by(token(place).reveal()).await
}

/// Why a call with an empty message was refused, if it was for who calls.
async fn refusal(wire: &Wire, rpc: &str, token: Option<&Token>) -> Option<String> {
    // A watch has no end of its own.
    let mut headers = vec![("grpc-timeout", "300m")];
    let authorization = token.map(|token| format!("Bearer {}", token.reveal()));
    headers.extend(authorization.iter().map(|value| ("authorization", value.as_str())));
    let mut started = wire.begin_path(&format!("/linmem.v1.{rpc}"), &headers).await;
    started.body.send_data(framed(&()).into(), true).unwrap();
    match started.answer().await.outcome() {
        Err(ClientError::Refused(failure)) => {
            let reasons = ["ROLE_MISSING", "TENANT_MISMATCH"];
            let about = reasons.contains(&failure.reason.as_str());
            (about || failure.reason.starts_with("CREDENTIALS")).then_some(failure.reason)
        }
        _ => None,
    }
}

/// Every RPC of the protos, by its service.
pub(crate) fn served() -> BTreeSet<String> {
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let ours = files.file.iter().filter(|file| file.package() == "linmem.v1");
    ours.flat_map(|file| &file.service)
        .flat_map(|service| {
            service.method.iter().map(|rpc| format!("{}/{}", service.name(), rpc.name()))
        })
        .collect()
}

#[test]
fn every_rpc_of_the_protos_has_a_row() {
    assert_eq!(served(), TABLE.iter().map(|(rpc, _)| (*rpc).to_owned()).collect());
}

#[tokio::test]
async fn every_rpc_is_for_those_of_its_row_and_for_nobody_else() {
    let house = House::with(identities);
    let wire = Wire::connect(house.grpc()).await;
    let drain = "AdminService/Drain";
    for (rpc, allowed) in TABLE {
        let nobody = refusal(&wire, rpc, None).await;
        assert_eq!(nobody.as_deref(), Some("CREDENTIALS_MISSING"), "{rpc}");
        let expired = refusal(&wire, rpc, Some(&token(CALLERS.len()))).await;
        assert_eq!(expired.as_deref(), Some("CREDENTIALS_EXPIRED"), "{rpc}");
        let unknown = refusal(&wire, rpc, Some(&Token::new([99; 32]))).await;
        assert_eq!(unknown.as_deref(), Some("CREDENTIALS_REFUSED"), "{rpc}");
        for (place, (caller, ..)) in CALLERS.iter().enumerate() {
            let may = allowed.split(' ').any(|one| one == *caller);
            if may && rpc == drain {
                continue;
            }
            let wanted = (!may).then_some("ROLE_MISSING");
            let found = refusal(&wire, rpc, Some(&token(place))).await;
            assert_eq!(found.as_deref(), wanted, "{rpc} by {caller}");
        }
    }
    let page = scrape(&house, Some(&token(7))).await.1;
    for (reason, least) in
        [("CREDENTIALS_MISSING", 48), ("CREDENTIALS_EXPIRED", 48), ("ROLE_MISSING", 48)]
    {
        let series = format!("linmemd_auth_failures_total{{reason=\"{reason}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&series)).unwrap();
        assert!(line.parse::<u64>().unwrap() >= least, "{reason} {line}");
    }
    assert_eq!(refusal(&wire, drain, Some(&token(6))).await, None);
}

#[tokio::test]
async fn another_tenants_memory_is_answered_as_one_that_is_not_there() {
    let house = House::with(identities);
    let (owner, other) = (client_of(&house, "owner").await, client_of(&house, "other").await);
    let wire = Wire::connect(house.grpc()).await;
    let authorization = format!("Bearer {}", token(1).reveal());
    let headers = [("authorization", authorization.as_str())];
    let request = GetMemoryRequest { memory_id: "m".to_owned(), ..Default::default() };
    let mut answers = Vec::new();
    for _absent_then_foreign in 0..2 {
        let answer = wire.call("GetMemory", &headers, framed(&request)).await;
        assert!(answer.body.is_empty());
        let length = answer.status.as_ref().unwrap().details().len();
        let Err(ClientError::Refused(mut failure)) = answer.outcome() else { panic!("found") };
        // The call's own number; it is as long.
        assert!(failure.metadata.remove("call_id").is_some());
        answers.push((failure.code, failure.message, failure.metadata, length));
        owner.create(Some("m"), pages(1)).await.ok();
    }
    assert_eq!(answers[0], answers[1]);
    refused(other.read("m", 0, 1).await, "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    owner.delete("m").await.unwrap();
}

#[tokio::test]
async fn a_tenant_is_named_by_its_own_and_by_operators_who_see_no_byte() {
    let house = House::with(identities);
    let owner = client_of(&house, "owner").await;
    owner.create(Some("m"), pages(1)).await.unwrap();
    let named = |client: &Client, tenant: &str| client.with_tenant(Some(tenant)).unwrap();
    named(&owner, "blue").memory("m").await.unwrap();
    let other = client_of(&house, "other").await;
    for tenant in ["blue", "absent"] {
        let numbers: [(&str, &dyn std::fmt::Display); 1] = [("tenant", &tenant)];
        refused(named(&other, tenant).memory("m").await, "TENANT_MISMATCH", &numbers);
    }
    let operator = client_of(&house, "operator").await;
    let there = named(&operator, "blue");
    assert_eq!(there.memory("m").await.unwrap().memory_id, "m");
    assert_eq!(named(&operator, "red").list("").await.unwrap(), []);
    refused(there.read("m", 0, 1).await, "ROLE_MISSING", &[("role", &"reader")]);
    let write = there.write("m", 0, pattern(1, 1)).await;
    refused(write, "ROLE_MISSING", &[("role", &"writer")]);
    let put = PutSegmentRequest {
        segment_id: Some("s".to_owned()),
        data: pattern(3, 1),
        ..Default::default()
    };
    let crc32c = owner.put_segment(put).await.unwrap().crc32c;
    let asked = |with_data| GetSegmentRequest { segment_id: "s".to_owned(), with_data };
    let seen = there.get_segment(asked(false)).await.unwrap().segment.unwrap();
    assert_eq!((seen.size_bytes, seen.crc32c), (3, 0), "three bytes follow from what checks them");
    assert_eq!(there.segments().await.unwrap(), [seen]);
    refused(there.get_segment(asked(true)).await, "ROLE_MISSING", &[("role", &"reader")]);
    let reader = client_of(&house, "reader").await;
    let read = reader.get_segment(asked(true)).await.unwrap();
    assert_eq!((read.data, read.segment.unwrap().crc32c), (pattern(3, 1), crc32c));
    owner.delete("m").await.unwrap();
}

#[tokio::test]
async fn a_reader_carries_out_groups_that_read_and_attaches_for_reading() {
    let house = House::with(identities);
    let owner = client_of(&house, "owner").await;
    owner.create(Some("m"), pages(1)).await.unwrap();
    let reader = client_of(&house, "reader").await;
    let write = operation::Operation::Write(WriteOperation { offset: 0, data: pattern(1, 1) });
    let group = |operation: operation::Operation| ExecuteOperationsRequest {
        memory_id: "m".to_owned(),
        group: Some(Group::List(OperationList { operations: vec![operation.into()] })),
        ..Default::default()
    };
    let mut stub = reader.memory_service();
    let size = operation::Operation::Size(Default::default());
    stub.execute_operations(reader.request(group(size))).await.unwrap();
    let notify = operation::Operation::Notify(NotifyOperation { count: 1, ..Default::default() });
    for operation in [write, notify.clone()] {
        let refusal = stub.execute_operations(reader.request(group(operation))).await;
        refused(refusal.map(drop), "ROLE_MISSING", &[("role", &"writer")]);
    }
    let session = reader.session(|_| ()).await.unwrap();
    refused(session.attach("m").await.map(drop), "ROLE_MISSING", &[("role", &"writer")]);
    let attach =
        SessionAttach { memory_id: "m".to_owned(), read_only: true, ..SessionAttach::default() };
    let attached = session.attach_as(attach).await.unwrap();
    refused(attached.execute_one(notify.into()).await, "GRANT_READ_ONLY", &[]);
    drop(session);
    owner.delete("m").await.unwrap();
}

/// The metrics page as whoever has that token sees it.
async fn scrape(house: &House, token: Option<&Token>) -> (u16, String) {
    let shown = token.map(|token| format!("Authorization: Bearer {}\r\n", token.reveal()));
    crate::harness::http_ask(
        house.daemon.addresses.http,
        "/metrics",
        shown.as_deref().unwrap_or_default(),
    )
    .await
}

#[tokio::test]
async fn the_page_is_for_those_with_the_role_once_anyone_has_it() {
    let house = House::with(identities);
    assert_eq!(scrape(&house, None).await.0, 401);
    assert_eq!(scrape(&house, Some(&Token::new([99; 32]))).await.0, 401);
    assert_eq!(scrape(&house, Some(&token(0))).await.0, 403);
    assert_eq!(scrape(&house, Some(&token(7))).await.0, 200);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(crate::harness::http_get(house.daemon.addresses.http, path).await.0, 200);
    }
}

#[tokio::test]
async fn a_reload_that_would_let_anybody_in_is_refused() {
    let token = Token::new([1; 32]);
    let identity = Identity {
        name: "somebody".to_owned(),
        tenant: "default".to_owned(),
        roles: ["operator", "metrics"].map(str::to_owned).to_vec(),
        token_sha256: Some(*token.hash().bytes()),
        ..Identity::default()
    };
    let it = Reloading::with(|config| config.identities = vec![identity.clone()]).await;
    let operator = it.house.client_by(token.reveal()).await;
    let reload = async || {
        refused(operator.reload(false).await, "INVALID_SPEC", &[("field", &"config")]).message
    };
    std::fs::write(it.path(), "").unwrap();
    let said = reload().await;
    assert!(said.contains("the last one cannot go without a restart"), "{said}");
    assert!(said.contains("role metrics cannot go without a restart"), "{said}");
    it.write(|config| config.identities[0].roles.truncate(1));
    let said = reload().await;
    assert!(!said.contains("anybody could call") && said.contains("role metrics"), "{said}");
    refused(it.house.client().await.list("").await, "CREDENTIALS_MISSING", &[]);
    refused(it.operator.host().await.map(drop), "CREDENTIALS_MISSING", &[]);
    assert_eq!(crate::harness::http_get(it.house.daemon.addresses.http, "/metrics").await.0, 401);
    operator.host().await.unwrap();
}

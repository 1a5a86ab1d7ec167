//! Claims about what lasts longer than the credentials it was let in by: every kind of it is over
//! within a second of the change, and says why.
//!
//! Law: each kind is open and past its first message before the change; the change is a new table of
//! identities, put in force as a reload does it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use linmemd::client::proto::{
    AnswerGrowHookRequest, CreateGrowHookRequest, DownloadMemoryRequest, MemorySpec,
    OpenSessionRequest, Operation, SessionAttach, SessionGroup, SessionStart, SessionWait,
    UploadMemoryRequest, WaitOnAddressRequest, WatchEventsRequest, WriteMemoryRequest,
    WriteOperation, open_session_request::Message as Asked, operation, session_group,
};
use linmemd::config::{Config, Identity};
use linmemd::model::TenantName;
use linmemd::tenancy::{Credential, Identities, Identity as Known, Mapping, Role, Roles, Unasked};
use linmemd::token::Token;

use crate::contract::refused;
use crate::grpc::{Started, Wire, framed};
use crate::harness::{House, connect_by, eventually, http_get, within};
use crate::hooks::{growing, hook, question, withdrawn};
use crate::process::Process;

const ROLES: [Role; 4] = [Role::Reader, Role::Writer, Role::HookDecider, Role::Watcher];
/// More than the windows of a stream and a connection hold together.
const LARGE: u64 = 512;

fn token(number: u8) -> Token {
    Token::new([number; 32])
}

fn configure(config: &mut Config) {
    let one = |number: u8| Identity {
        name: format!("token-{number}"),
        tenant: "default".to_owned(),
        roles: ROLES.iter().map(|role| role.word().to_owned()).collect(),
        token_sha256: Some(*token(number).hash().bytes()),
        ..Identity::default()
    };
    config.identities = vec![one(1), one(2)];
}

/// Who may call from now on, as a reload would say it.
fn reload(house: &House, known: &[(u8, &[Role], Option<SystemTime>)]) {
    let mapping = |(number, roles, expires): &(u8, &[Role], Option<SystemTime>)| Mapping {
        credential: Credential::Token(token(*number).hash()),
        identity: Known {
            name: format!("token-{number}"),
            tenant: TenantName::new("default").unwrap(),
            roles: roles.iter().copied().collect::<Roles>(),
            expires: *expires,
        },
    };
    let mappings = known.iter().map(mapping).collect();
    let identities = Identities::new(mappings, Vec::new(), Unasked::default()).unwrap();
    house.daemon.server.set_identities(identities);
}

/// One of each kind that lasts, all by token 1, each past its beginning.
struct Open {
    open: Vec<(&'static str, Started)>,
}

impl Open {
    async fn all(grpc: SocketAddr, are_open: impl AsyncFnMut() -> bool) -> Self {
        let own = client(grpc, 2).await;
        let spec = MemorySpec {
            initial_pages: LARGE,
            maximum_pages: Some(LARGE),
            shared: true,
            ..Default::default()
        };
        own.create(Some("m"), spec).await.unwrap();
        let hook = CreateGrowHookRequest { hook_id: Some("h".to_owned()), ..Default::default() };
        own.hook_service().create_grow_hook(own.request(hook)).await.unwrap();
        // A download that nobody reads takes the whole window of its connection.
        let (wire, full) = (Wire::connect(grpc).await, Wire::connect(grpc).await);
        let memory_id = || "m".to_owned();
        let download = DownloadMemoryRequest { memory_id: memory_id(), ..Default::default() };
        let upload = UploadMemoryRequest {
            memory_id: Some(memory_id()),
            data: vec![1; 64].into(),
            ..Default::default()
        };
        // Past what the upload writes.
        let wait = WaitOnAddressRequest {
            memory_id: memory_id(),
            address: 4096,
            width: 4,
            ..Default::default()
        };
        let decide = AnswerGrowHookRequest { hook_id: Some("h".to_owned()), ..Default::default() };
        let mut open = Vec::new();
        for (rpc, first, ends) in [
            // Nobody reads it: its window is full.
            ("MemoryService/DownloadMemory", framed(&download), true),
            ("MemoryService/UploadMemory", framed(&upload), false),
            ("MemoryService/WaitOnAddress", framed(&wait), true),
            ("MemoryService/OpenSession", session(&[]), false),
            ("MemoryService/OpenSession", session(&[attach()]), false),
            ("MemoryService/OpenSession", session(&[attach(), parked()]), false),
            ("EventService/WatchEvents", framed(&WatchEventsRequest::default()), true),
            ("HookService/AnswerGrowHook", framed(&decide), false),
        ] {
            let authorization = format!("Bearer {}", token(1).reveal());
            let headers = [("authorization", authorization.as_str())];
            let wire = if rpc.ends_with("DownloadMemory") { &full } else { &wire };
            let mut started = wire.begin_path(&format!("/linmem.v1.{rpc}"), &headers).await;
            started.body.send_data(first.into(), ends).unwrap();
            open.push((rpc, started));
        }
        // Everything is past its first message.
        eventually("all are open", are_open).await;
        eventually("the upload has begun", async || own.read("m", 0, 1).await.unwrap()[0] == 1)
            .await;
        Self { open }
    }

    async fn in_house(house: &House) -> Self {
        let server = &house.daemon.server;
        Self::all(house.grpc(), async || {
            let tenant = server.tenants.iter().next().unwrap();
            tenant.namespace.waiters() == 2 && server.running() >= 7
        })
        .await
    }

    /// Everything that can still say something says something that would change the memory.
    fn write_on(&mut self) {
        for (rpc, started) in &mut self.open {
            let more = if rpc.ends_with("UploadMemory") {
                framed(&UploadMemoryRequest { data: vec![2; 64].into(), ..Default::default() })
            } else if rpc.ends_with("OpenSession") {
                session_of(&[attach(), store()])
            } else {
                continue;
            };
            // One that is over already takes nothing.
            let _over = started.body.send_data(more.into(), false);
        }
    }

    /// Each is over, for this reason, and none took longer than a second from now on.
    async fn end(self, reason: &str) {
        let changed = Instant::now();
        for (rpc, started) in self.open {
            if rpc.ends_with("DownloadMemory") {
                // Who reads nothing can be told nothing: the stream is reset.
                let mut body = started.response.await.unwrap().into_body();
                let ended = within("it is over", async {
                    while let Some(Ok(data)) = body.data().await {
                        body.flow_control().release_capacity(data.len()).unwrap();
                    }
                    body.trailers().await
                });
                let told = ended.await;
                assert!(told.is_err() || told.unwrap().is_some(), "{rpc}");
                continue;
            }
            let outcome = started.answer().await.outcome();
            let took = changed.elapsed();
            assert!(took < Duration::from_secs(1), "{rpc} took {took:?}");
            // A refusal on a stream that was half done tells what stands.
            match outcome {
                Err(linmemd::client::ClientError::Refused(failure)) => {
                    assert_eq!(failure.reason, reason, "{rpc}: {failure}");
                }
                other => panic!("{rpc}: {other:?}"),
            }
        }
    }
}

fn attach() -> Asked {
    Asked::Attach(SessionAttach {
        tag: 1,
        handle: 1,
        memory_id: "m".to_owned(),
        ..Default::default()
    })
}

fn parked() -> Asked {
    Asked::Wait(SessionWait { tag: 2, handle: 1, address: 8192, width: 4, ..Default::default() })
}

/// A write through the handle.
fn store() -> Asked {
    let write = WriteOperation { offset: 0, data: vec![3; 64].into() };
    Asked::Group(SessionGroup {
        tag: 9,
        handle: 1,
        group: Some(session_group::Group::Single(Operation {
            operation: Some(operation::Operation::Write(write)),
        })),
        ..Default::default()
    })
}

/// The first messages of a session, one after the other.
fn session(then: &[Asked]) -> Vec<u8> {
    let start = Asked::Start(SessionStart::default());
    session_of(&[&[start], then].concat())
}

fn session_of(messages: &[Asked]) -> Vec<u8> {
    messages
        .iter()
        .flat_map(|asked| framed(&OpenSessionRequest { message: Some(asked.clone()) }))
        .collect()
}

async fn client(grpc: SocketAddr, number: u8) -> linmemd::client::Client {
    connect_by(grpc, token(number).reveal()).await
}

async fn clean(house: House) {
    let own = client(house.grpc(), 2).await;
    own.delete("m").await.unwrap();
    eventually("no call runs", async || house.daemon.server.running() == 0).await;
    house.close().await;
}

#[tokio::test]
async fn all_that_lasts_is_over_within_a_second_of_its_token_being_revoked() {
    let house = House::with(configure);
    let open = Open::in_house(&house).await;
    reload(&house, &[(2, &ROLES, None)]);
    open.end("CREDENTIALS_REFUSED").await;
    let own = client(house.grpc(), 2).await;
    own.memory("m").await.unwrap();
    clean(house).await;
}

#[tokio::test]
async fn all_that_lasts_is_over_when_its_token_runs_out() {
    let house = House::with(configure);
    let open = Open::in_house(&house).await;
    let soon = SystemTime::now() + Duration::from_millis(300);
    reload(&house, &[(1, &ROLES, Some(soon)), (2, &ROLES, None)]);
    eventually("it has run out", async || SystemTime::now() >= soon).await;
    open.end("CREDENTIALS_EXPIRED").await;
    clean(house).await;
}

#[tokio::test]
async fn who_has_lost_a_role_that_it_came_with_comes_again() {
    let house = House::with(configure);
    let open = Open::in_house(&house).await;
    reload(
        &house,
        &[(1, &[Role::Reader, Role::HookDecider, Role::Watcher], None), (2, &ROLES, None)],
    );
    let outcomes = open.open.into_iter().filter(|(rpc, _)| rpc.ends_with("OpenSession"));
    for (_, started) in outcomes {
        refused(started.answer().await.outcome(), "GRANT_REVOKED", &[]);
    }
    clean(house).await;
}

#[tokio::test]
async fn what_still_counts_goes_on_through_a_change() {
    let house = House::with(configure);
    let own = client(house.grpc(), 2).await;
    let session = own.session(|_| ()).await.unwrap();
    for _change in 0..3 {
        reload(&house, &[(2, &ROLES, None)]);
        own.create(Some("m"), crate::harness::pages(1)).await.unwrap();
        session.attach("m").await.unwrap();
        own.delete("m").await.unwrap();
    }
    drop(session);
    house.close().await;
}

#[tokio::test]
async fn a_call_that_waits_ends_with_its_callers_right_and_does_nothing() {
    let house = House::with(configure);
    let (gone, own) = (client(house.grpc(), 1).await, client(house.grpc(), 2).await);
    own.create(Some("m"), crate::harness::pages(1)).await.unwrap();
    let mut answers = hook(&own, "h").await;
    let grow = growing(&gone, "m", 1);
    question(&mut answers).await;
    // Its message is yet to come.
    let wire = Wire::connect(house.grpc()).await;
    let authorization = format!("Bearer {}", token(1).reveal());
    let headers = [("authorization", authorization.as_str())];
    let mut write = wire.begin("WriteMemory", &headers).await;
    let silent = wire.begin("WriteMemory", &headers).await;
    eventually("all wait", async || house.daemon.server.running() == 4).await;
    reload(&house, &[(2, &ROLES, None)]);
    refused(grow.await.unwrap(), "CREDENTIALS_REFUSED", &[]);
    withdrawn(&mut answers, 1).await;
    let late = WriteMemoryRequest {
        memory_id: "m".to_owned(),
        data: vec![1; 64].into(),
        ..Default::default()
    };
    // The stream may be over already.
    let _over = write.body.send_data(framed(&late).into(), true);
    for refusal in [write, silent] {
        refused(refusal.answer().await.outcome(), "CREDENTIALS_REFUSED", &[]);
    }
    assert_eq!(own.read("m", 0, 64).await.unwrap(), [0; 64].as_slice());
    assert_eq!(own.memory("m").await.unwrap().size_pages, 1);
    drop(answers);
    clean(house).await;
}

/// The file of a daemon where these tokens count.
fn file(numbers: &[u8]) -> String {
    let mut text = "[[tenant]]\nname = \"default\"\n".to_owned();
    for number in numbers {
        let hash: String =
            token(*number).hash().bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let roles: Vec<&str> = ROLES.iter().map(|role| role.word()).collect();
        write!(
            text,
            "[[identity]]\nname = \"token-{number}\"\ntenant = \"default\"\nroles = {roles:?}\n\
             token_sha256 = \"{hash}\"\n"
        )
        .unwrap();
    }
    text
}

#[tokio::test]
async fn a_token_revoked_by_sighup_ends_all_that_lasts_within_a_second_and_nothing_is_applied_after()
 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("linmemd.toml");
    std::fs::write(&path, file(&[1, 2])).unwrap();
    let prepare = format!("set -- \"$@\" --config '{}';", path.display());
    let daemon = Process::start(&prepare, &[]);
    let mut open = Open::all(daemon.grpc, async || {
        let page = http_get(daemon.http, "/metrics").await.1;
        let value = |name: &str| -> f64 {
            let line = page.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(0.0, |value| value.trim().parse().unwrap())
        };
        value("linmemd_waiters{tenant=\"default\"}") == 2.0 && value("linmemd_rpc_in_flight") >= 7.0
    })
    .await;
    std::fs::write(&path, file(&[2])).unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    eventually("it is in force", async || daemon.has_said(&["config reloaded", "SIGHUP"])).await;
    open.write_on();
    open.end("CREDENTIALS_REFUSED").await;
    let own = client(daemon.grpc, 2).await;
    assert_eq!(own.read("m", 0, 128).await.unwrap(), [vec![1; 64], vec![0; 64]].concat());
    let page = http_get(daemon.http, "/metrics").await.1;
    for series in ["\nlinmemd_config_reload_success 1\n", "\nlinmemd_panics_total 0\n"] {
        assert!(page.contains(series), "{series}");
    }
}

#[tokio::test]
async fn a_connection_whose_credentials_count_no_more_leaves_its_tenants_seat() {
    let house = House::with(|config| {
        configure(config);
        config.grpc.max_connections_per_tenant = Some(1);
    });
    let (first, second) = (client(house.grpc(), 1).await, client(house.grpc(), 2).await);
    let full: [(&str, &dyn std::fmt::Display); 3] =
        [("limit_name", &"tenant_connections"), ("limit", &1), ("used", &1)];
    first.server_info().await.unwrap();
    refused(second.server_info().await, "OVERLOADED", &full);
    reload(&house, &[(1, &ROLES, None), (2, &ROLES, None)]);
    first.server_info().await.unwrap();
    refused(second.server_info().await, "OVERLOADED", &full);
    reload(&house, &[(2, &ROLES, None)]);
    // The first one says nothing.
    eventually("its seat is free", async || second.server_info().await.is_ok()).await;
    reload(&house, &[(1, &ROLES, None), (2, &ROLES, None)]);
    refused(first.server_info().await, "OVERLOADED", &full);
    let soon = SystemTime::now() + Duration::from_secs(1);
    reload(&house, &[(1, &ROLES, None), (2, &ROLES, Some(soon))]);
    second.server_info().await.unwrap();
    refused(first.server_info().await, "OVERLOADED", &full);
    eventually("the second has run out", async || first.server_info().await.is_ok()).await;
    refused(second.server_info().await, "CREDENTIALS_EXPIRED", &[]);
    house.close().await;
}

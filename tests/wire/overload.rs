//! Claims about want of memory: what is refused at each step, what goes on at all of them, who is told,
//! and the way back.
//!
//! Law: the host is a group of 1,000 MiB whose files a test writes, with nothing volatile in it; purges
//! themselves are in `tests/core/purges.rs`, a real group's limit in `tests/host/overload.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use linmemd::client::proto::session_result::Outcome;
use linmemd::client::proto::{
    Allocator, CopyMemoryRequest, CreateMemorySetRequest, DownloadMemoryRequest, GrowMemoryRequest,
    KeepAliveMemoryRequest, MemorySpec, NewMember, Operation, Populate, ProtectMemoryRequest,
    Protection, SetVolatilityRequest, ShareAccess, ShareMemoryRequest, UploadMemoryRequest,
    Volatility, WriteOperation, operation,
};
use linmemd::client::{Client, ClientError, Upload};
use linmemd::config::Config;
use linmemd::proto::DESCRIPTORS;
use linmemd::registry::Step;
use prost::Message;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::contract::refused;
use crate::grpc::{Wire, framed};
use crate::harness::{House, PAGE, eventually, http_get, pages, pattern, tenant};
use crate::kernel::PausingKernel;
use crate::sessions::{Raw, read, reason, single, write};

/// What of the thousand is used at each step, and the step's number on the metrics page.
const STEPS: [(u64, Step, f64); 6] = [
    (100, Step::Calm, 0.0),
    (880, Step::StopPopulating, 1.0),
    (910, Step::DropWarm, 3.0),
    (930, Step::RefuseGrowth, 4.0),
    (960, Step::RefuseCreates, 5.0),
    (990, Step::ShedCalls, 6.0),
];

/// What is refused once calls are shed, whatever is in it; the rest depends on what it asks for, or is
/// always answered.
const SHED: [&str; 12] = [
    "EventService/WatchEvents",
    "HookService/CreateGrowHook",
    "MemoryService/CopyMemory",
    "MemoryService/FillMemory",
    "MemoryService/InitMemory",
    "MemoryService/MountShare",
    "MemoryService/OpenSession",
    "MemoryService/OpenView",
    "MemoryService/ShareMemory",
    "MemoryService/UploadMemory",
    "MemoryService/WaitOnAddress",
    "MemoryService/WriteMemory",
];

fn files(used_mib: u64) -> [(&'static str, String); 4] {
    [
        ("/proc/self/cgroup", "0::/\n".to_owned()),
        (
            "/proc/self/mountinfo",
            "31 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n".to_owned(),
        ),
        ("/sys/fs/cgroup/memory.max", (1000_u64 << 20).to_string()),
        ("/sys/fs/cgroup/memory.current", (used_mib << 20).to_string()),
    ]
}

/// A house whose group's use a test sets.
fn house(change: impl FnOnce(&mut Config)) -> House {
    let kernel = Arc::new(PausingKernel::default());
    kernel.plan.replace_files(files(100));
    House::on(kernel, |config| {
        config.memory.purge_at = Some(0.9);
        config.memory.pressure_interval = Duration::from_millis(10);
        change(config);
    })
}

/// Uses so much, and waits until the daemon has come to that step.
async fn come_to(house: &House, (used_mib, step, number): (u64, Step, f64)) {
    house.kernel.plan.replace_files(files(used_mib));
    let told = async || house.scrape().await.value("linmemd_overload_step", &[]);
    eventually(step.word(), async || told().await == number).await;
}

fn populated(initial_pages: u64) -> MemorySpec {
    MemorySpec {
        initial_pages,
        maximum_pages: Some(1000),
        populate: Populate::OnGrow.into(),
        ..MemorySpec::default()
    }
}

/// What takes memory, and for which steps it is refused: the last one that has been reached.
const TAKES: [(&str, &[Step]); 14] = [
    ("create populated", &[Step::StopPopulating, Step::RefuseCreates]),
    ("grow populated", &[Step::StopPopulating, Step::RefuseGrowth]),
    ("grow", &[Step::RefuseGrowth]),
    ("grow on the heap", &[Step::RefuseGrowth]),
    ("create", &[Step::RefuseCreates]),
    ("create a set", &[Step::RefuseCreates]),
    ("put a segment", &[Step::RefuseCreates]),
    ("write", &[Step::ShedCalls]),
    ("fill", &[Step::ShedCalls]),
    ("copy", &[Step::ShedCalls]),
    ("upload", &[Step::ShedCalls]),
    ("execute what stores", &[Step::ShedCalls]),
    ("open a session", &[Step::ShedCalls]),
    ("share", &[Step::ShedCalls]),
];

async fn take(client: &Client, deed: &str) -> Result<(), ClientError> {
    match deed {
        "create populated" => client.create(None, populated(1)).await.map(drop),
        "create" => client.create(None, pages(1)).await.map(drop),
        "grow populated" => client.grow("populated", 1).await.map(drop),
        "grow" => client.grow("m", 1).await.map(drop),
        "grow on the heap" => client.grow("heap", 1).await.map(drop),
        "create a set" => {
            let member = NewMember { spec: Some(pages(1)), ..NewMember::default() };
            let set = CreateMemorySetRequest { members: vec![member], ..Default::default() };
            let set = client.create_memory_set(set).await?;
            client.delete_memory_set(&set.set_id, false).await
        }
        "put a segment" => {
            let segment = client.put(None, vec![1; 3]).await?;
            client.drop_segment(&segment.segment_id, false).await
        }
        "write" => client.write("m", 0, pattern(PAGE, 1)).await,
        "fill" => client.fill("m", 0, PAGE, 1).await,
        "copy" => {
            let copy = CopyMemoryRequest {
                source_memory_id: "m".to_owned(),
                destination_memory_id: "populated".to_owned(),
                length: 1,
                ..CopyMemoryRequest::default()
            };
            client.copy_memory(copy).await
        }
        "upload" => {
            let chunks = [pattern(PAGE, 1)];
            client.upload_chunks(Upload::to("m"), chunks, |_| {}).await.map(drop)
        }
        "execute what stores" => {
            let write = WriteOperation { offset: 0, data: Bytes::from_static(b"stored") };
            let operation = Some(operation::Operation::Write(write));
            client.execute("m", vec![Operation { operation }]).await.map(drop)
        }
        "open a session" => client.session(|_| {}).await.map(drop),
        "share" => {
            let share = ShareMemoryRequest {
                memory_id: "m".to_owned(),
                grantee_tenant: "other".to_owned(),
                access: ShareAccess::Read.into(),
                ..ShareMemoryRequest::default()
            };
            let share = client.share_memory(share).await?;
            client.revoke_share(&share.share_id, false).await
        }
        other => unreachable!("{other}"),
    }
}

/// What reads, keeps or gives back, which is refused at no step.
async fn give(client: &Client) {
    assert_eq!(client.read("m", 0, 2).await.unwrap().len(), 2);
    let mut all = Vec::new();
    let request = DownloadMemoryRequest { memory_id: "m".to_owned(), ..Default::default() };
    client.download_to(request, &mut all, |_| {}).await.unwrap();
    assert!(!all.is_empty());
    let load = Operation { operation: Some(read(0, 4)) };
    client.execute("m", vec![load]).await.unwrap();
    let size = GrowMemoryRequest { memory_id: "m".to_owned(), ..Default::default() };
    client.grow_memory(size).await.unwrap();
    client.memory("m").await.unwrap();
    client.list("").await.unwrap();
    client.server_info().await.unwrap();
    client.host().await.unwrap();
    client.partitions().await.unwrap();
    client.verify("m").await.unwrap();
    client.notify("shared", 0, None).await.unwrap();
    let keep = KeepAliveMemoryRequest { memory_id: "leased".to_owned(), uid: None };
    client.keep_alive_memory(keep).await.unwrap();
    let protect = ProtectMemoryRequest {
        memory_id: "m".to_owned(),
        length: PAGE,
        protection: Protection::ReadWrite.into(),
        ..ProtectMemoryRequest::default()
    };
    client.protect_memory(protect).await.unwrap();
    // At an offset where nothing is read, and back, for what may go would.
    let volatile = |volatility: Volatility| SetVolatilityRequest {
        memory_id: "shared".to_owned(),
        length: 0,
        volatility: volatility.into(),
        ..SetVolatilityRequest::default()
    };
    client.set_volatility(volatile(Volatility::Volatile)).await.unwrap();
    client.set_volatility(volatile(Volatility::Nonvolatile)).await.unwrap();
    client.discard("shared", 0, PAGE).await.unwrap();
}

async fn furnish(client: &Client) {
    let large = |initial_pages| MemorySpec { maximum_pages: Some(1000), ..pages(initial_pages) };
    client.create(Some("m"), large(2)).await.unwrap();
    client.create(Some("populated"), populated(1)).await.unwrap();
    let heap = MemorySpec { allocator: Allocator::Heap.into(), ..large(1) };
    client.create(Some("heap"), heap).await.unwrap();
    client.create(Some("shared"), MemorySpec { shared: true, ..large(1) }).await.unwrap();
    let lease_ttl = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    client.create(Some("leased"), MemorySpec { lease_ttl, ..pages(1) }).await.unwrap();
}

#[tokio::test]
async fn at_each_step_what_takes_memory_is_refused_by_name_and_what_gives_it_back_is_not() {
    let house = house(|config| {
        config.tenants = ["default", "other"].map(|name| tenant(name, None)).to_vec();
    });
    let client = house.client().await;
    furnish(&client).await;
    let mut refusals = [0.0; Step::ALL.len()];
    // Up, and down again.
    for at in STEPS.iter().chain(STEPS.iter().rev()) {
        come_to(&house, *at).await;
        for (number, (deed, steps)) in TAKES.iter().enumerate() {
            let outcome = take(&client, deed).await;
            let Some(step) = steps.iter().rfind(|step| **step <= at.1) else {
                outcome.unwrap_or_else(|error| panic!("{deed} at {:?}: {error}", at.1));
                continue;
            };
            let failure = refused(outcome, "OVERLOADED", &[("limit_name", &step.word())]);
            assert!(failure.message.contains("try again"), "{failure}");
            assert!(failure.message.contains("delete") || number < 2, "{failure}");
            refusals[*step as usize] += 1.0;
        }
        give(&client).await;
    }
    let page = house.scrape().await;
    for step in Step::REFUSING {
        let shed = page.value("linmemd_calls_shed_total", &[("step", step.word())]);
        assert_eq!(shed, refusals[step as usize], "{step:?}");
    }
    house.stop().await;
}

#[tokio::test]
async fn once_calls_are_shed_memories_are_still_read_and_deleted() {
    let house = house(|_| {});
    let client = house.client().await;
    furnish(&client).await;
    let mut raw = Raw::attached(&client).await;
    come_to(&house, STEPS[5]).await;
    raw.say(single(2, write(0, b"no")));
    raw.say(single(3, read(0, 2)));
    assert_eq!(reason(raw.result(2).await), "OVERLOADED");
    let result = raw.result(3).await;
    assert!(matches!(result.outcome, Some(Outcome::Single(_))), "{result:?}");
    raw.requests = None;
    raw.ended().await.unwrap();
    for memory in client.list("").await.unwrap() {
        client.delete(&memory.memory_id).await.unwrap();
    }
    assert!(client.list("").await.unwrap().is_empty());
    come_to(&house, STEPS[0]).await;
    client.create(Some("m"), populated(1)).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn of_all_rpcs_those_that_write_or_begin_what_lasts_are_shed_and_no_others() {
    let house = house(|_| {});
    let wire = Wire::connect(house.grpc()).await;
    come_to(&house, STEPS[5]).await;
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut shed = Vec::new();
    for file in files.file.iter().filter(|file| file.package() == "linmem.v1") {
        for service in &file.service {
            for rpc in &service.method {
                let path = format!("{}/{}", service.name(), rpc.name());
                let headers = [("grpc-timeout", "300m")];
                let mut started = wire.begin_path(&format!("/linmem.v1.{path}"), &headers).await;
                started.body.send_data(framed(&()).into(), true).unwrap();
                let outcome = started.answer().await.outcome();
                let failure = outcome.as_ref().err().and_then(ClientError::failure);
                let step = failure.and_then(|failure| failure.metadata.get("limit_name"));
                if step.is_some_and(|step| step == Step::ShedCalls.word()) {
                    refused(outcome, "OVERLOADED", &[("limit_name", &"shed_calls")]);
                    shed.push(path);
                }
            }
        }
    }
    shed.sort();
    assert_eq!(shed, SHED);
    come_to(&house, STEPS[0]).await;
    house.stop().await;
}

#[tokio::test]
async fn a_repeat_of_what_was_done_is_answered_at_every_step() {
    let house = house(|_| {});
    let client = house.client().await;
    furnish(&client).await;
    let grow = GrowMemoryRequest {
        memory_id: "m".to_owned(),
        delta_pages: 3,
        request_id: Some("7e57c0de-0000-4000-8000-000000000001".to_owned()),
        ..GrowMemoryRequest::default()
    };
    let first = client.grow_memory(grow.clone()).await.unwrap();
    for at in STEPS {
        come_to(&house, at).await;
        assert_eq!(client.grow_memory(grow.clone()).await.unwrap(), first, "{at:?}");
    }
    let another = GrowMemoryRequest { request_id: None, ..grow };
    refused(client.grow_memory(another).await, "OVERLOADED", &[("limit_name", &"refuse_growth")]);
    assert_eq!(client.memory("m").await.unwrap().size_pages, 5);
    house.stop().await;
}

#[tokio::test]
async fn probes_tell_the_step_and_are_not_ready_while_calls_are_shed() {
    let house = house(|_| {});
    let endpoint = format!("http://{}", house.grpc());
    let channel =
        tonic::transport::Channel::from_shared(endpoint).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let client = house.client().await;
    for at @ (_, step, _) in STEPS.iter().chain(STEPS.iter().rev()) {
        come_to(&house, *at).await;
        let ready = http_get(house.daemon.addresses.http, "/readyz").await;
        let wanted = match step {
            Step::Calm => (200, "ready\n".to_owned()),
            Step::ShedCalls => (503, "overload: shed_calls\n".to_owned()),
            step => (200, format!("ready, overload: {}\n", step.word())),
        };
        assert_eq!(ready, wanted);
        let alive = http_get(house.daemon.addresses.http, "/healthz").await;
        assert_eq!(alive, (200, "ok\n".to_owned()));
        assert_eq!(client.host().await.unwrap().overload_step, step.word());
        for (service, is_shed) in
            [("", true), ("linmem.v1.MemoryService", true), ("linmem.v1.AdminService", false)]
        {
            let wanted = match *step == Step::ShedCalls && is_shed {
                true => ServingStatus::NotServing,
                false => ServingStatus::Serving,
            };
            let service = service.to_owned();
            let mut told = async || {
                let asked = HealthCheckRequest { service: service.clone() };
                health.check(asked).await.unwrap().into_inner().status()
            };
            eventually("health is told", async || told().await == wanted).await;
        }
    }
    come_to(&house, STEPS[5]).await;
    house.daemon.server.drain().await;
    house.kernel.plan.replace_files(files(100));
    eventually("it is over", async || house.daemon.server.registry.overload.step() == Step::Calm)
        .await;
    // A connection that is told to go takes with it what is asked as it goes.
    let mut told = async || {
        let asked = HealthCheckRequest { service: String::new() };
        health.check(asked).await.ok().map(|answer| answer.into_inner().status())
    };
    eventually("health tells of the drain", async || {
        told().await == Some(ServingStatus::NotServing)
    })
    .await;
    house.close().await;
}

#[tokio::test]
async fn an_upload_that_is_open_when_calls_are_shed_writes_no_more() {
    let house = house(|_| {});
    let client = house.client().await;
    furnish(&client).await;
    let wire = Wire::connect(house.grpc()).await;
    let mut upload = wire.begin("UploadMemory", &[]).await;
    let memory_id = Some("m".to_owned());
    let first = UploadMemoryRequest { memory_id, data: "some".into(), ..Default::default() };
    upload.body.send_data(framed(&first).into(), false).unwrap();
    eventually("it is written", async || client.read("m", 0, 4).await.unwrap() == "some").await;
    come_to(&house, STEPS[5]).await;
    let next = UploadMemoryRequest { data: "more".into(), ..Default::default() };
    upload.body.send_data(framed(&next).into(), false).unwrap();
    let numbers: [(&str, &dyn std::fmt::Display); 2] =
        [("limit_name", &"shed_calls"), ("bytes_written", &4)];
    refused(upload.answer().await.outcome(), "OVERLOADED", &numbers);
    assert_eq!(client.read("m", 4, 4).await.unwrap(), [0; 4].as_slice());
    come_to(&house, STEPS[0]).await;
    house.stop().await;
}

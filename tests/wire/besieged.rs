//! The claim that a tenant at every one of its limits is nobody else's trouble: nine others create, write,
//! read, grow and delete beside it, and none of their calls fails.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use linmemd::client::proto::{HugePages, Locking, MemorySpec, ProtectMemoryRequest, Protection};
use linmemd::client::{Client, ClientError, Session};
use linmemd::config::{Quota, Tenant as Configured};
use linmemd::tenancy::TenantLimits;

use crate::grpc::{Started, Wire, header};
use crate::harness::{House, PAGE, eventually, pages, pattern, tenant};

const RED: &str = "red";
const HONEST: usize = 9;
/// Every limit that a tenant has, as red meets it.
const LIMITS: [&str; 15] = [
    "OVERLOADED tenant_connections",
    "OVERLOADED tenant_handlers",
    "OVERLOADED tenant_in_flight_bytes",
    "QUOTA_EXCEEDED committed_bytes",
    "QUOTA_EXCEEDED huge_page_bytes",
    "QUOTA_EXCEEDED locked_bytes",
    "QUOTA_EXCEEDED mappings",
    "QUOTA_EXCEEDED memories",
    "QUOTA_EXCEEDED reserved_bytes",
    "QUOTA_EXCEEDED segment_bytes",
    "QUOTA_EXCEEDED segments",
    "RATE_LIMITED bytes_per_second",
    "RATE_LIMITED operations_per_second",
    "TOO_MANY_SESSIONS tenant_sessions",
    "TOO_MANY_WAITERS tenant_waiters",
];
const HANDLERS: u32 = 12;

fn red() -> Configured {
    let quota = Quota {
        locked_bytes: Some(2 * PAGE),
        huge_page_bytes: Some(1 << 20),
        waiters: Some(2),
        sessions: Some(2),
        segments: Some(2),
        segment_bytes: Some(16),
        handlers: Some(HANDLERS),
        in_flight_bytes: Some(5 << 20),
        operations_per_second: Some(300),
        bytes_per_second: Some(1 << 20),
        ..Quota::default()
    };
    Configured {
        quota,
        memories: Some(12),
        mappings: Some(60),
        reserved_bytes: Some(32 << 30),
        ..tenant(RED, Some(64 * PAGE))
    }
}

/// How many rounds each of the nine makes; CI has time for more.
fn rounds() -> usize {
    std::env::var("SIEGE_ROUNDS").map_or(40, |count| count.parse().expect("a count"))
}

/// What was refused so far, and whether to go on.
#[derive(Clone, Default)]
struct Siege {
    refusals: Arc<Mutex<BTreeSet<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Siege {
    fn note<T>(&self, outcome: Result<T, ClientError>) {
        if let Err(ClientError::Refused(failure)) = outcome {
            let limit = failure.metadata.get("limit_name").cloned().unwrap_or_default();
            self.refusals.lock().unwrap().insert(format!("{} {limit}", failure.reason));
        }
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Which limits were not met yet.
    fn missing(&self) -> Vec<&'static str> {
        let seen = self.refusals.lock().unwrap();
        LIMITS.into_iter().filter(|limit| !seen.contains(*limit)).collect()
    }

    /// Makes a call as often as its limit lets it.
    async fn fill<F>(&self, limit: &str, call: impl Fn(u64) -> F)
    where
        F: Future<Output = Result<(), ClientError>>,
    {
        for number in 0..100 {
            self.note(call(number).await);
            if self.refusals.lock().unwrap().contains(limit) {
                return;
            }
        }
        panic!("{limit} was not met, but {:?}", self.refusals);
    }

    /// Makes a call again and again.
    fn attack<F>(&self, client: &Client, call: impl Fn(Client, u64) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), ClientError>> + Send + 'static,
    {
        let (siege, client) = (self.clone(), client.clone());
        tokio::spawn(async move {
            let mut number = 0;
            while siege.goes_on() {
                siege.note(call(client.clone(), number).await);
                number += 1;
                tokio::task::yield_now().await;
            }
        });
    }
}

/// What red holds, of everything as much as it may; most of it only so that it is held.
#[expect(dead_code, reason = "held until it is dropped")]
struct Held {
    client: Client,
    wire: Wire,
    sessions: Vec<Session>,
    uploads: Vec<Started>,
    connection: Client,
}

/// Red takes all that each of its limits allows but the rates, and is refused more.
async fn fill(house: &House, siege: &Siege) -> Held {
    let client = house.client_of(RED).await;
    client.create(Some("w"), MemorySpec { shared: true, ..growable(8) }).await.unwrap();
    take(&client, siege).await;
    let wire = Wire::connect(house.grpc()).await;
    for wait in 0..2 {
        let client = client.clone();
        tokio::spawn(async move { client.wait32("w", wait * 8, 0, None).await.unwrap() });
    }
    eventually("both wait", async || used(&client, "waiters").await == 2).await;
    siege.fill("TOO_MANY_WAITERS tenant_waiters", |_| wait(client.clone())).await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(client.session(|_notice| ()).await.unwrap());
    }
    siege.fill("TOO_MANY_SESSIONS tenant_sessions", |_| open(client.clone())).await;
    // Uploads that announce much and send nothing.
    let mut uploads = vec![announce(&wire, 2 << 20).await, announce(&wire, 2 << 20).await];
    eventually("they are charged", async || house.daemon.server.in_flight_bytes() >= 4 << 20).await;
    siege.fill("OVERLOADED tenant_in_flight_bytes", |_| upload(&wire)).await;
    let handlers = &house.tenant(RED).handlers;
    while handlers.used() < HANDLERS.into() {
        let before = handlers.used();
        uploads.push(wire.begin("UploadMemory", &[("linmem-tenant", RED)]).await);
        eventually("it runs", async || handlers.used() > before).await;
    }
    siege.fill("OVERLOADED tenant_handlers", |_| look(client.clone())).await;
    // So that what red tries from now on comes to its other limits as well.
    uploads.truncate(uploads.len() - 2);
    let connection = house.client_of(RED).await;
    eventually("two places are free", async || connection.memory("w").await.is_ok()).await;
    let more = house.client_of(RED).await;
    siege.fill("OVERLOADED tenant_connections", |_| look(more.clone())).await;
    Held { client, wire, sessions, uploads, connection }
}

async fn used(client: &Client, resource: &str) -> u64 {
    let quotas = client.server_info().await.unwrap().quotas;
    quotas.iter().find(|quota| quota.resource == resource).unwrap().used
}

fn growable(initial: u64) -> MemorySpec {
    MemorySpec { maximum_pages: Some(64), ..pages(initial) }
}

/// Takes what is charged.
async fn take(client: &Client, siege: &Siege) {
    siege.fill("QUOTA_EXCEEDED locked_bytes", |number| lock(client.clone(), number)).await;
    siege.fill("QUOTA_EXCEEDED huge_page_bytes", |_| enlarge(client.clone())).await;
    siege.fill("QUOTA_EXCEEDED reserved_bytes", |number| reserve(client.clone(), number)).await;
    siege.fill("QUOTA_EXCEEDED memories", |number| create(client.clone(), number)).await;
    siege.fill("QUOTA_EXCEEDED mappings", |number| protect(client.clone(), number)).await;
    siege.fill("QUOTA_EXCEEDED segment_bytes", |_| put(client.clone(), 9)).await;
    siege.fill("QUOTA_EXCEEDED segments", |_| put(client.clone(), 0)).await;
    siege.fill("QUOTA_EXCEEDED committed_bytes", |_| grow(client.clone())).await;
}

async fn lock(client: Client, number: u64) -> Result<(), ClientError> {
    let spec = MemorySpec { locking: Locking::Locked.into(), ..pages(1) };
    client.create(Some(&format!("locked-{number}")), spec).await.map(drop)
}

async fn enlarge(client: Client) -> Result<(), ClientError> {
    let huge_pages = vec![HugePages::HugePages2m.into()];
    client.create(None, MemorySpec { huge_pages, ..pages(1) }).await.map(drop)
}

async fn reserve(client: Client, number: u64) -> Result<(), ClientError> {
    let spec = MemorySpec { maximum_pages: Some(65_536), ..pages(1) };
    client.create(Some(&format!("large-{number}")), spec).await.map(drop)
}

async fn create(client: Client, number: u64) -> Result<(), ClientError> {
    client.create(Some(&format!("m{number}")), growable(1)).await.map(drop)
}

async fn protect(client: Client, number: u64) -> Result<(), ClientError> {
    let (memory_id, protection) = ("w".to_owned(), Protection::Read.into());
    let (offset, length) = (number % 64 * 8192, 4096);
    let request = ProtectMemoryRequest { memory_id, uid: None, offset, length, protection };
    client.protect_memory(request).await
}

async fn put(client: Client, length: usize) -> Result<(), ClientError> {
    client.put(None, Bytes::from(vec![7; length])).await.map(drop)
}

async fn grow(client: Client) -> Result<(), ClientError> {
    client.grow("w", 1).await.map(drop)
}

async fn wait(client: Client) -> Result<(), ClientError> {
    // Once the limits are lifted nothing refuses it.
    let hurried = client.with_deadline(Some(Duration::from_millis(200)));
    hurried.wait32("w", 0, 0, None).await.map(drop)
}

async fn open(client: Client) -> Result<(), ClientError> {
    client.session(|_notice| ()).await.map(drop)
}

async fn look(client: Client) -> Result<(), ClientError> {
    client.memory("w").await.map(drop)
}

async fn announce(wire: &Wire, length: u32) -> Started {
    let mut call = wire.begin("UploadMemory", &[("linmem-tenant", RED)]).await;
    call.body.send_data(Bytes::copy_from_slice(&header(0, length)), false).unwrap();
    call
}

async fn upload(wire: &Wire) -> Result<(), ClientError> {
    announce(wire, 2 << 20).await.answer().await.outcome().map(drop)
}

/// Red tries all of it again and again, and reads as much as it may.
fn besiege(siege: &Siege, held: &Held) {
    // A connection that brings refusals without end may be told to go: not the one that holds.
    let client = &held.connection;
    siege.attack(client, lock);
    siege.attack(client, |client, _| enlarge(client));
    siege.attack(client, reserve);
    siege.attack(client, create);
    siege.attack(client, protect);
    siege.attack(client, |client, number| put(client, if number % 2 == 0 { 0 } else { 9 }));
    siege.attack(client, |client, _| grow(client));
    siege.attack(client, |client, _| wait(client));
    siege.attack(client, |client, _| open(client));
    siege.attack(client, |client, _| look(client));
    for _ in 0..4 {
        siege.attack(client, |client, _| async move { client.read("w", 0, PAGE).await.map(drop) });
    }
}

/// What an honest tenant does in a round; every call must succeed, and every byte be right.
async fn honest(client: &Client, round: usize, seed: u8) {
    let id = format!("m{}", round % 5);
    let failed = |deed: &str, failure: ClientError| panic!("round {round}: {deed}: {failure}");
    let data = pattern(PAGE, seed);
    if let Err(failure) = client.create(Some(&id), pages(1)).await {
        failed("create", failure);
    }
    if let Err(failure) = client.write(&id, 0, data.clone()).await {
        failed("write", failure);
    }
    if let Err(failure) = client.grow(&id, 1).await {
        failed("grow", failure);
    }
    match client.read(&id, 0, 2 * PAGE).await {
        Ok(found) => {
            let (written, grown) = found.split_at(data.len());
            assert!(written == data && grown.iter().all(|byte| *byte == 0));
        }
        Err(failure) => failed("read", failure),
    }
    if let Err(failure) = client.delete(&id).await {
        failed("delete", failure);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_at_every_one_of_its_limits_fails_no_call_of_nine_others() {
    let names: Vec<String> = (0..HONEST).map(|number| format!("honest-{number}")).collect();
    let tenants =
        names.iter().map(|name| tenant(name, None)).chain([red(), tenant("default", None)]);
    let tenants: Vec<Configured> = tenants.collect();
    let house = House::with(move |config| {
        config.memory.slabs = false;
        config.grpc.max_connections_per_tenant = Some(3);
        config.tenants = tenants;
    });
    let siege = Siege::default();
    let held = fill(&house, &siege).await;
    besiege(&siege, &held);
    let mut working = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let (client, siege) = (house.client_of(name).await, siege.clone());
        let seed = u8::try_from(number).unwrap();
        working.push(tokio::spawn(async move {
            let mut round = 0;
            // Until red has been at each of its limits, and as often as was asked for.
            while round < rounds() || !siege.missing().is_empty() {
                honest(&client, round, seed).await;
                round += 1;
                assert!(round < 100_000, "red never met {:?}", siege.missing());
            }
        }));
    }
    for one in working {
        one.await.unwrap();
    }
    siege.is_over.store(true, Ordering::Relaxed);
    assert!(siege.missing().is_empty(), "{:?}", siege.missing());
    for tenant in house.daemon.server.tenants.iter() {
        tenant.set_limits(&TenantLimits::NONE);
    }
    for wait in 0..2 {
        held.connection.notify("w", wait * 8, None).await.unwrap();
    }
    drop(held);
    eventually("red's calls are over", async || house.daemon.server.running() == 0).await;
    let red = house.client_of(RED).await;
    for segment in red.segments().await.unwrap() {
        red.drop_segment(&segment.segment_id, true).await.unwrap();
    }
    house.stop().await;
}

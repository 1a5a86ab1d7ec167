//! Owns [`House`]: one daemon in this process, on ports of its own, and everything that a test
//! reaches it by.
//!
//! Law: a house that is stopped has been cleaned through the wire, and then nobody is charged for
//! anything and nothing has panicked, unless the test said that it would. Waits are for conditions,
//! each with a bound; nothing here sleeps and hopes. Makes no claims of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use linmemd::client::proto::{Memory, MemorySpec};
use linmemd::client::{BearerToken, Client, ConnectOptions, RetryPolicy};
use linmemd::config::{self, Config};
use linmemd::daemon::Daemon;
use linmemd::memory::FixedAllocator;
use linmemd::os::kernel::Linux;
use linmemd::tenancy::Tenant;
use linmemd::units::WasmPages;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kernel::PausingKernel;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 65_536;
/// No condition takes longer on any machine that is alive.
pub(crate) const BOUND: Duration = Duration::from_secs(20);
/// What one remembered request_id is charged.
const REQUEST_ID_BYTES: u64 = 384;

/// A daemon and the ways to it.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) daemon: Daemon,
    pub(crate) kernel: Arc<PausingKernel>,
    /// What it was started with.
    pub(crate) config: Config,
    tenants: Vec<String>,
    panics: f64,
    /// What the host is charged as long as the daemon lives: for an arena, and not for partitions, which
    /// can be deleted.
    for_good: Vec<u64>,
}

impl House {
    /// On the defaults.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// With a reservation for every memory, so that a growth is a change of protection, which a test
    /// can refuse or hold up.
    pub(crate) fn dedicated() -> Self {
        Self::with(|config| config.memory.slabs = false)
    }

    /// With an arena of so many slots of so many pages; none, and said so, where this host lets no such
    /// be locked: it is a part of what RLIMIT_MEMLOCK is without anyone's doing.
    pub(crate) fn with_arena(slots: u32, slot_pages: u64) -> Option<Self> {
        let slot = WasmPages::new(slot_pages).unwrap();
        match FixedAllocator::arrange(Arc::new(Linux), slots, slot) {
            Ok(_arena) => Some(Self::with(|config| {
                (config.fixed.slots, config.fixed.slot_pages) = (slots, slot_pages);
                config.tenants = ["default", "other"].map(|name| tenant(name, None)).to_vec();
            })),
            Err(why) => {
                #[expect(clippy::print_stderr, reason = "what is left out is said")]
                {
                    eprintln!("left out: fixed memories: {why}");
                }
                None
            }
        }
    }

    /// On the defaults with a change.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Arc::default(), change)
    }

    /// The same on such a kernel.
    pub(crate) fn on(kernel: Arc<PausingKernel>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.grpc.listen = "127.0.0.1:0".parse().unwrap();
        config.http.listen = "127.0.0.1:0".parse().unwrap();
        config.pool.threads = Some(2);
        // So that no test depends on the machine's own memory: what is never touched costs none, and
        // nothing is purged but by the test.
        config.memory.host_budget = Some(64 << 30);
        config.memory.purge_at = None;
        change(&mut config);
        let daemon = Daemon::start(&config, kernel.clone()).unwrap();
        let tenants = config.tenants.iter().map(|tenant| tenant.name.clone()).collect();
        let held = daemon.server.registry.host.holdings();
        let for_good = if config.partitions.is_empty() {
            held.map(|holding| holding.used).to_vec()
        } else {
            vec![0; held.len()]
        };
        Self { daemon, kernel, config, tenants, panics: 0.0, for_good }
    }

    /// A panic is planted and expected.
    pub(crate) fn will_panic(&mut self) {
        self.panics += 1.0;
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        self.daemon.addresses.grpc
    }

    pub(crate) fn tenant(&self, name: &str) -> Arc<Tenant> {
        let mut tenants = self.daemon.server.tenants.iter();
        tenants.find(|tenant| tenant.namespace.name.as_str() == name).unwrap()
    }

    /// A client of the default tenant that never repeats a call: every failure is the test's.
    pub(crate) async fn client(&self) -> Client {
        connect(&format!("http://{}", self.grpc()), None).await
    }

    pub(crate) async fn client_of(&self, tenant: &str) -> Client {
        connect(&format!("http://{}", self.grpc()), Some(tenant)).await
    }

    /// The same of whoever has this token.
    pub(crate) async fn client_by(&self, token: &str) -> Client {
        connect_by(self.grpc(), token).await
    }

    pub(crate) async fn scrape(&self) -> Page {
        let (status, text) = http_get(self.daemon.addresses.http, "/metrics").await;
        assert_eq!(status, 200);
        Page::parse(&text)
    }

    /// Deletes everything of everyone, then asserts that nothing is left and nothing panicked.
    pub(crate) async fn stop(self) {
        for tenant in &self.tenants {
            let client = self.client_of(tenant).await;
            let all = client.list("").await.unwrap();
            // What is shared with it goes with its owner's.
            for memory in all.iter().filter(|memory| memory.shared_from.is_empty()) {
                client.delete(&memory.memory_id).await.unwrap();
            }
        }
        eventually("no call runs", async || self.daemon.server.running() == 0).await;
        eventually("everything was given back", async || self.is_empty()).await;
        let page = self.scrape().await;
        for tenant in &self.tenants {
            for resource in ["committed_bytes", "mappings", "reserved_bytes", "memories"] {
                let labels = [("tenant", tenant.as_str()), ("resource", resource)];
                assert_eq!(page.value("linmemd_quota_used", &labels), 0.0, "{tenant} {resource}");
            }
        }
        assert_eq!(page.value("linmemd_in_flight_bytes", &[]), 0.0);
        assert_eq!(page.value("linmemd_quarantined_bytes", &[]), 0.0);
        assert_eq!(page.value("linmemd_quarantined_memories", &[]), 0.0);
        self.close().await;
    }

    /// Asserts that nothing panicked; for a daemon that no longer serves.
    pub(crate) async fn close(self) {
        assert_eq!(self.scrape().await.value("linmemd_panics_total", &[]), self.panics);
    }

    /// Whether nothing but request ids and events is charged to the host.
    fn is_empty(&self) -> bool {
        let server = &self.daemon.server;
        let events = |tenant: Arc<Tenant>| tenant.namespace.events().charged_bytes();
        let events: u64 = server.tenants.iter().map(events).sum();
        server.in_flight_bytes() == 0
            && server.registry.host.holdings().iter().zip(&self.for_good).all(|(holding, good)| {
                match holding.resource {
                    "overhead_bytes" => {
                        (holding.used - good - events).is_multiple_of(REQUEST_ID_BYTES)
                    }
                    _ => holding.used == *good,
                }
            })
    }
}

pub(crate) async fn connect(endpoint: &str, tenant: Option<&str>) -> Client {
    let mut options = ConnectOptions::new(endpoint.parse().unwrap());
    options.retry = RetryPolicy::NONE;
    options.tenant = tenant.map(str::to_owned);
    Client::connect(&options).await.unwrap()
}

pub(crate) async fn connect_by(grpc: SocketAddr, token: &str) -> Client {
    let mut options = ConnectOptions::new(format!("http://{grpc}").parse().unwrap());
    options.retry = RetryPolicy::NONE;
    options.token = Some(BearerToken::new(token).unwrap());
    Client::connect(&options).await.unwrap()
}

/// Waits until the condition holds; the test fails where it never does.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + BOUND;
    while !condition().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A step that must not take for ever.
pub(crate) async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(BOUND, step).await {
        Ok(value) => value,
        Err(_elapsed) => panic!("waited in vain until {what}"),
    }
}

/// The status and the body of a GET.
pub(crate) async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    http_ask(address, path, "").await
}

/// The same with header lines, each with its end.
pub(crate) async fn http_ask(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("a page is whole", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A spec of so many pages, with room to grow up to twice as many.
pub(crate) fn pages(initial_pages: u64) -> MemorySpec {
    let maximum_pages = Some(initial_pages.max(1) * 2);
    MemorySpec { initial_pages, maximum_pages, ..MemorySpec::default() }
}

/// A configured tenant with a quota of bytes.
pub(crate) fn tenant(name: &str, quota_bytes: Option<u64>) -> config::Tenant {
    config::Tenant { quota_bytes, ..config::Tenant::named(name) }
}

/// Bytes that say where they belong.
pub(crate) fn pattern(length: u64, seed: u8) -> Bytes {
    (0..length).map(|at| (at % 251) as u8 ^ seed).collect::<Vec<u8>>().into()
}

/// A memory full of known bytes, to be found unharmed later.
#[derive(Debug)]
pub(crate) struct Witness {
    client: Client,
    memory: Memory,
    bytes: Bytes,
}

impl Witness {
    pub(crate) async fn of(client: &Client, memory_id: &str) -> Self {
        let memory = client.create(Some(memory_id), pages(2)).await.unwrap();
        let bytes = pattern(memory.size_bytes, 7);
        client.write(memory_id, 0, bytes.clone()).await.unwrap();
        Self { client: client.clone(), memory, bytes }
    }

    pub(crate) async fn is_unharmed(&self) {
        let now = self.client.memory(&self.memory.memory_id).await.unwrap();
        assert_eq!((&now.uid, &now.etag), (&self.memory.uid, &self.memory.etag));
        assert_eq!((now.size_bytes, now.state), (self.memory.size_bytes, self.memory.state));
        let bytes = self.client.read(&self.memory.memory_id, 0, now.size_bytes).await.unwrap();
        assert!(bytes == self.bytes, "bytes of {} changed", self.memory.memory_id);
    }
}

/// The series of a metrics page.
#[derive(Debug)]
pub(crate) struct Page(Vec<(String, BTreeMap<String, String>, f64)>);

impl Page {
    fn parse(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(series.map(Self::line).collect())
    }

    fn line(line: &str) -> (String, BTreeMap<String, String>, f64) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split(',').filter_map(|label| {
            let (key, value) = label.split_once('=')?;
            Some((key.to_owned(), value.trim_matches('"').to_owned()))
        });
        (name.to_owned(), labels.collect(), value.parse().unwrap())
    }

    /// The value of the one series with this name and, among its labels, these; 0 where there is
    /// none yet.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut found = self.0.iter().filter(|(series, has, _)| {
            series == name && labels.iter().all(|(k, v)| has.get(*k).is_some_and(|h| h == v))
        });
        let value = found.next().map_or(0.0, |(_, _, value)| *value);
        assert!(found.next().is_none(), "more than one {name}{labels:?}");
        value
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(series, _, _)| series == name)
    }
}

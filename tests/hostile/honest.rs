//! The honest tenant: 2,000 small calls a second over four connections, half of them writes.
//!
//! Law: open loop; each call is due at a fixed time and its latency counts from then, however late it
//! could begin; one during which the whole machine stood still is left out. A call that fails is counted,
//! and there must be none. Threads sleep on the kernel's clock, which is finer than a runtime's
//! millisecond. Runs in a process of its own.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use linmemd::client::proto::MemorySpec;
use linmemd::client::{Client, ConnectOptions, Endpoint, RetryPolicy, TlsOptions};
use tokio::runtime::Runtime;

use crate::attacker::told;
use crate::say;
use crate::stops::{Timed, Watch};

const TENANT: &str = "honest";
const CONNECTIONS: u32 = 4;
/// Of each connection: together 2,000 a second.
const INTERVAL: Duration = Duration::from_millis(2);
const LENGTH: u64 = 64;
const PAGES: u64 = 16;

/// What a child tells: microseconds, and counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) failed: u64,
}

impl Latency {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let numbers: Option<Vec<u64>> =
            line.split_whitespace().map(|word| word.parse().ok()).collect();
        let [p50, p99, failed] = numbers?[..] else { return None };
        Some(Self { p50, p99, failed })
    }
}

async fn connect(target: &str, ca: Option<&Path>) -> Client {
    let options = ConnectOptions {
        tenant: Some(TENANT.to_owned()),
        deadline: Some(Duration::from_secs(10)),
        retry: RetryPolicy::NONE,
        ..options(target, ca)
    };
    Client::connect(&options).await.expect("a connection")
}

/// How to reach the daemon: over TLS where there is a certificate to know it by.
pub(crate) fn options(target: &str, ca: Option<&Path>) -> ConnectOptions {
    let Some(ca) = ca else {
        return ConnectOptions::new(format!("http://{target}").parse().expect("an endpoint"));
    };
    let (_, port) = target.rsplit_once(':').expect("a port");
    let port = port.parse().expect("a port");
    let mut options = ConnectOptions::new(Endpoint::Https { host: "localhost".to_owned(), port });
    let ca = std::fs::read(ca).expect("a certificate");
    options.tls = Some(TlsOptions { ca, identity: None, server_name: None });
    options
}

/// Makes the honest tenant's memories, once.
pub(crate) fn prepare(target: &str, ca: Option<&Path>) {
    runtime().block_on(async {
        let client = connect(target, ca).await;
        for number in 0..CONNECTIONS {
            let spec = MemorySpec { initial_pages: PAGES, ..Default::default() };
            client.create(Some(&format!("h{number}")), spec).await.expect("a memory");
            client.fill(&format!("h{number}"), 0, PAGES * 65_536, 7).await.expect("its bytes");
        }
    });
}

/// Calls for so long and tells the parent on standard output.
pub(crate) fn run(target: &str, ca: Option<&Path>, time: Duration) -> bool {
    let begin = Instant::now() + Duration::from_millis(100);
    let end = begin + time;
    let watch = Watch::begin();
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (target, ca) = (target.to_owned(), ca.map(Path::to_owned));
            thread::spawn(move || {
                let runtime = runtime();
                let client = runtime.block_on(connect(&target, ca.as_deref()));
                calls(&runtime, &client, number, begin, end)
            })
        })
        .collect();
    let (mut all, mut failed) = (Vec::new(), 0);
    for thread in threads {
        let (calls, failures) = thread.join().expect("a caller");
        all.extend(calls);
        failed += failures;
    }
    let latencies = watch.end().latencies(&all).histogram;
    let [p50, p99] = [0.5, 0.99].map(|q| latencies.value_at_quantile(q) / 1_000);
    told(&format!("{p50} {p99} {failed}"));
    failed == 0
}

fn calls(
    runtime: &Runtime,
    client: &Client,
    number: u32,
    begin: Instant,
    end: Instant,
) -> (Vec<Timed>, u64) {
    let memory_id = format!("h{number}");
    let (mut calls, mut failed) = (Vec::new(), 0);
    let mut due = begin + INTERVAL * number / CONNECTIONS;
    let mut round = 0_u64;
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let offset = round * 4_160 % (PAGES * 65_536 - LENGTH);
        let done = runtime.block_on(async {
            if round.is_multiple_of(2) {
                client.write(&memory_id, offset, vec![7; 64]).await.map(|()| true)
            } else {
                client.read(&memory_id, offset, LENGTH).await.map(|read| read == [7; 64].as_slice())
            }
        });
        let latency = due.elapsed();
        if !matches!(done, Ok(true)) {
            failed += 1;
            if failed == 1 {
                say(&format!("the honest tenant got {done:?}"));
            }
        }
        calls.push((due, latency));
        due += INTERVAL;
        round += 1;
    }
    (calls, failed)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

//! The claim that a tenant at every one of its limits is nobody else's trouble: nine others create, write,
//! read, grow and delete beside it, and none of their calls fails.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use linmemd::client::proto::MemorySpec;
use linmemd::client::{Client, ClientError};
use linmemd::config::{Quota, Tenant as Configured};

use crate::grpc::{Wire, header};
use crate::harness::{House, PAGE, eventually, pages, pattern, tenant};

const RED: &str = "red";
const HONEST: usize = 9;
/// What red is refused, each at least once.
const REFUSALS: [&str; 8] = [
    "QUOTA_EXCEEDED memories",
    "QUOTA_EXCEEDED committed_bytes",
    "QUOTA_EXCEEDED segments",
    "TOO_MANY_WAITERS tenant_waiters",
    "TOO_MANY_SESSIONS tenant_sessions",
    "OVERLOADED tenant_in_flight_bytes",
    "OVERLOADED tenant_handlers",
    "RATE_LIMITED bytes_per_second",
];

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

    fn saw_all(&self) -> bool {
        let seen = self.refusals.lock().unwrap();
        REFUSALS.iter().all(|refusal| seen.contains(*refusal))
    }

    /// Makes a call again and again.
    fn attack<F>(&self, client: &Client, call: impl Fn(Client, usize) -> F + Send + 'static)
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

fn red() -> Configured {
    let quota = Quota {
        waiters: Some(2),
        sessions: Some(2),
        segments: Some(2),
        handlers: Some(8),
        in_flight_bytes: Some(5 << 20),
        // Of bytes: what moves none still meets the other limits.
        bytes_per_second: Some(1 << 20),
        ..Quota::default()
    };
    Configured { quota, memories: Some(8), ..tenant(RED, Some(64 * PAGE)) }
}

async fn besiege(house: &House, siege: &Siege) {
    let client = house.client_of(RED).await;
    client.create(Some("w"), MemorySpec { shared: true, ..pages(1) }).await.unwrap();
    let large = || MemorySpec { maximum_pages: Some(64), ..pages(1) };
    siege.attack(&client, move |client, number| async move {
        let id = format!("m{}", number % 12);
        client.create(Some(&id), large()).await.map(drop)
    });
    siege.attack(&client, |client, number| async move {
        client.grow(&format!("m{}", number % 12), 8).await.map(drop)
    });
    siege.attack(&client, |client, _number| async move {
        client.put(None, Bytes::from_static(b"segment")).await.map(drop)
    });
    siege.attack(
        &client,
        |client, _number| async move { client.read("w", 0, PAGE).await.map(drop) },
    );
    for _ in 0..4 {
        siege.attack(&client, |client, _number| async move {
            let hurried = client.with_deadline(Some(Duration::from_millis(200)));
            hurried.wait32("w", 0, 0, None).await.map(drop)
        });
    }
    let sessions = Arc::new(Mutex::new(Vec::new()));
    siege.attack(&client, move |client, number| {
        let sessions = Arc::clone(&sessions);
        async move {
            let opened = client.session(|_notice| ()).await?;
            let mut held = sessions.lock().unwrap();
            held.push(opened);
            if number % 7 == 0 {
                held.clear();
            }
            Ok(())
        }
    });
    // Calls that announce much and send nothing hold its places and its bytes.
    let (siege, address) = (siege.clone(), house.grpc());
    tokio::spawn(async move {
        let of_red = [("linmem-tenant", RED)];
        while siege.goes_on() {
            let wire = Wire::connect(address).await;
            let mut held = Vec::new();
            for _ in 0..12 {
                let mut call = wire.begin("UploadMemory", &of_red).await;
                let announced = Bytes::copy_from_slice(&header(0, 2 << 20));
                call.body.send_data(announced, false).unwrap();
                held.push(call);
            }
            for call in held {
                let answer = tokio::time::timeout(Duration::from_millis(50), async {
                    call.answer().await.outcome()
                });
                if let Ok(outcome) = answer.await {
                    siege.note(outcome);
                }
            }
            wire.connection.abort();
        }
    });
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
    let house = House::with(move |config| config.tenants = tenants);
    let siege = Siege::default();
    besiege(&house, &siege).await;
    let mut working = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let (client, siege) = (house.client_of(name).await, siege.clone());
        let seed = u8::try_from(number).unwrap();
        working.push(tokio::spawn(async move {
            let mut round = 0;
            // Until red has been at each of its limits, and as often as was asked for.
            while round < rounds() || !siege.saw_all() {
                honest(&client, round, seed).await;
                round += 1;
                assert!(round < 100_000, "red was only refused {:?}", siege.refusals);
            }
        }));
    }
    for one in working {
        one.await.unwrap();
    }
    siege.is_over.store(true, Ordering::Relaxed);
    assert!(siege.saw_all(), "{:?}", siege.refusals);
    eventually("red's calls are over", async || house.daemon.server.running() == 0).await;
    for tenant in house.daemon.server.tenants.iter() {
        tenant.set_limits(&linmemd::tenancy::TenantLimits::NONE);
    }
    let red = house.client_of(RED).await;
    for segment in red.segments().await.unwrap() {
        red.drop_segment(&segment.segment_id, true).await.unwrap();
    }
    house.stop().await;
}

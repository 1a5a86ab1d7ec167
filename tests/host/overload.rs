//! Want of memory under a real limit of a real control group: the daemon goes up its ladder and is not
//! killed, and comes down once something was given back; and what it costs to look while nothing happens.

use std::time::{Duration, Instant};

use linmemd::client::proto::{MemorySpec, Populate};
use linmemd::client::{Client, ClientError, RetryPolicy};

use crate::daemon::Daemon;
use crate::group::{Group, LIMIT, MIB, group};
use crate::{host, say};

/// What of a thousand each step is above, its number on the metrics page, and its name.
const STEPS: [(u64, f64, &str); 5] = [
    (875, 1.0, "stop_populating"),
    (900, 3.0, "drop_warm"),
    (925, 4.0, "refuse_growth"),
    (950, 5.0, "refuse_creates"),
    (975, 6.0, "shed_calls"),
];

fn step(daemon: &Daemon) -> f64 {
    daemon.metric("linmemd_overload_step")
}

/// Waits until the condition holds. Whether a step is there at a moment is not for a test to say: others'
/// stalls take it one further for a while.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Writes to one page after the other of a memory until so much of the group is used.
async fn write_up_to(client: &Client, group: &Group, used: u64, written: &mut u64) {
    let more = async || {
        if group.used() > used {
            return true;
        }
        match client.fill("large", *written, MIB / 4, 1).await {
            Ok(()) => *written += MIB / 4,
            refused => assert!(is_refused(refused, "shed_calls"), "a write was due"),
        }
        false
    };
    until("so much is used", more).await;
}

fn is_refused<T>(outcome: Result<T, ClientError>, step: &str) -> bool {
    let failure = outcome.err().and_then(|error| error.failure().cloned());
    failure.is_some_and(|failure| {
        let named = failure.metadata.get("limit_name").is_some_and(|name| name == step);
        failure.reason == "OVERLOADED" && named
    })
}

#[tokio::test]
async fn under_a_real_memory_limit_it_goes_up_the_ladder_and_down_and_is_not_killed() {
    const TEST: &str = "the overload ladder under a real memory limit";
    let Some(program) = host(TEST) else { return };
    let Some(group) = group(TEST, "linmemd-ladder") else { return };
    let config = "[memory]\nhost_budget = \"4GiB\"\npressure_interval = \"100ms\"\n";
    let daemon = group.daemon(&program, config);
    let client = daemon.client("default", 1).await.with_retry(RetryPolicy::NONE);
    let spec = |initial_pages, populate: Populate| MemorySpec {
        initial_pages,
        maximum_pages: Some(8192),
        populate: populate.into(),
        ..MemorySpec::default()
    };
    let plain = Populate::None;
    client.create(Some("large"), spec(4096, plain)).await.expect("a memory");
    client.create(Some("m"), spec(1, plain)).await.expect("a memory");
    let mut written = 0;
    for (per_mille, number, name) in STEPS {
        // A little more than that: the kernel counts in steps of its own.
        let used = LIMIT / 1000 * per_mille + MIB / 4;
        write_up_to(&client, &group, used, &mut written).await;
        until(name, async || step(&daemon) >= number).await;
        let refused = async || match name {
            "refuse_growth" => is_refused(client.grow("m", 1).await, name),
            "refuse_creates" => is_refused(client.create(None, spec(0, plain)).await, name),
            "shed_calls" => is_refused(client.fill("m", 0, 1, 1).await, name),
            _ => is_refused(client.create(None, spec(1, Populate::Initial)).await, STEPS[0].2),
        };
        until(name, refused).await;
    }
    assert_eq!(client.read("large", 0, 3).await.expect("a read"), [1, 1, 1][..]);
    client.delete("large").await.expect("given back");
    let ahead = async || client.create(None, spec(16, Populate::Initial)).await.is_ok();
    until("there are pages in advance again", ahead).await;
    client.grow("m", 1).await.expect("it grows again");
    until("it is calm", async || step(&daemon) == 0.0).await;
    assert_eq!(group.killed(), 0);
    let shed = daemon.metric("linmemd_calls_shed_total{step=\"shed_calls\"}");
    assert!(shed > 0.0);
    say(&format!(
        "{TEST}: of {} MiB {} were written before writes were refused, and no kill",
        LIMIT / MIB,
        written / MIB,
    ));
    daemon.stop();
}

#[test]
fn an_idle_daemon_looks_for_want_of_memory_a_few_times_a_second() {
    const TEST: &str = "an idle daemon's looks for want of memory";
    let Some(program) = host(TEST) else { return };
    let daemon = Daemon::start(&program, "");
    let (before, begun) = (daemon.sleeps("pressure"), Instant::now());
    std::thread::sleep(Duration::from_secs(10));
    let looks = daemon.sleeps("pressure") - before;
    say(&format!("{TEST}: {looks} in {:.1} s", begun.elapsed().as_secs_f64()));
    assert!(looks <= 50, "{looks}");
    daemon.stop();
}

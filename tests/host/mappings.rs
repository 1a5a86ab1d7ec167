//! The kernel's limit on mappings: kept clear of when it is low, enough for 20,000 memories with
//! mappings of their own when it is not, and no limit at all to those in slabs.
//!
//! Owns: `vm.max_map_count` while it is lowered. Law: the sysctl is put back by `Drop`, and what is
//! refused is refused by the ledger's count and never by an allocation of the daemon's own that
//! failed.

use std::fs;
use std::time::Instant;

use linmemd::client::Client;
use linmemd::client::proto::MemorySpec;

use crate::daemon::Daemon;
use crate::{host, say};

const SYSCTL: &str = "/proc/sys/vm/max_map_count";
/// Every memory has mappings of its own.
const DEDICATED: &str = "[memory]\nslabs = false\n";

/// The sysctl lowered for as long as this lives.
struct Lowered(String);

impl Lowered {
    fn to(limit: u32) -> Self {
        let before = fs::read_to_string(SYSCTL).expect("the sysctl");
        fs::write(SYSCTL, limit.to_string()).expect("root may write it");
        Self(before.trim().to_owned())
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SYSCTL, &self.0) {
            say(&format!("vm.max_map_count could not be put back to {}: {error}", self.0));
        }
    }
}

#[tokio::test]
async fn at_a_low_map_limit_creates_are_refused_by_name_and_all_else_goes_on() {
    let Some(program) = host("a low vm.max_map_count") else { return };
    let lowered = Lowered::to(8_000);
    let daemon = Daemon::start(&program, DEDICATED);
    let client = daemon.client("default", 1).await;
    let mut live = 0;
    let refused = loop {
        assert!(live < 8_000, "nothing was refused");
        match client.create(Some(&format!("m{live}")), spec(1, 16)).await {
            Ok(_) => live += 1,
            Err(error) => break error,
        }
    };
    let failure = refused.failure().expect("a refusal");
    assert_eq!(failure.reason, "HOST_EXHAUSTED", "{failure:?}");
    assert_eq!(linmemd::client::code_name(failure.code), "RESOURCE_EXHAUSTED");
    assert!(failure.message.contains("vm.max_map_count"), "{failure:?}");
    assert!(failure.changed_nothing);
    assert!(live > 1_000, "refused after {live}");

    for number in 0..live {
        let id = format!("m{number}");
        client.write(&id, 0, id.clone()).await.expect("a write");
        assert_eq!(client.read(&id, 0, 2).await.expect("a read"), id.as_bytes()[..2]);
    }
    let another = daemon.client("default", 4).await;
    assert_eq!(another.read("m0", 0, 2).await.expect("a read over a new connection"), "m0");
    let (vmas, limit) = (daemon.metric("linmemd_vmas "), daemon.metric("linmemd_vmas_limit "));
    assert_eq!(limit, 8_000.0);
    assert!(vmas < limit - 4_000.0, "{vmas} of {limit}");
    // One goes, one comes.
    another.delete("m0").await.expect("a delete");
    another.create(Some("m0"), spec(1, 16)).await.expect("room again");
    say(&format!(
        "vm.max_map_count 8000: {live} memories, {} mappings, then HOST_EXHAUSTED; reads, a new \
         connection and a scrape go on",
        daemon.mappings()
    ));
    drop(lowered);
    daemon.stop();
}

#[tokio::test]
async fn twenty_thousand_memories_live_also_after_every_second_was_replaced_by_a_larger() {
    const LIVE: usize = 20_000;
    let Some(program) = host("20,000 memories") else { return };
    let limit: u32 = fs::read_to_string(SYSCTL).expect("the sysctl").trim().parse().expect("it");
    assert!(limit >= 65_530, "vm.max_map_count is {limit}");
    let daemon = Daemon::start(&program, DEDICATED);
    let client = daemon.client("default", 4).await;

    let begin = Instant::now();
    each(&client, 0..LIVE, async |client, number| {
        client.create(Some(&id(number)), spec(1, 2)).await.expect("a create");
        client.write(&id(number), 0, id(number)).await.expect("a write");
    })
    .await;
    let created = begin.elapsed();
    let (before, begin) = (daemon.mappings(), Instant::now());

    each(&client, (0..LIVE).step_by(2), async |client, number| {
        client.delete(&id(number)).await.expect("a delete");
        client.create(Some(&id(number)), spec(2, 16)).await.expect("a larger one");
        client.write(&id(number), 65_536, id(number)).await.expect("a write");
    })
    .await;
    let replaced = begin.elapsed();

    each(&client, 0..LIVE, async |client, number| {
        let (offset, length) = if number % 2 == 0 { (65_536, 6) } else { (0, 6) };
        let read = client.read(&id(number), offset, length).await.expect("a read");
        assert_eq!(read, id(number));
        // The recycled address space shows nothing of whoever had it.
        let rest = client.read(&id(number), 6, 4_090).await.expect("a read");
        assert!(rest.iter().all(|byte| *byte == 0), "{number}");
    })
    .await;
    assert_eq!(daemon.metric("linmemd_tenant_memories{tenant=\"default\"}"), 20_000.0);
    say(&format!(
        "20,000 memories: created and written in {created:.1?}, {before} mappings; every second \
         replaced by a larger one in {replaced:.1?}, {} mappings of {limit}",
        daemon.mappings()
    ));
    let begin = Instant::now();
    each(&client, 0..LIVE, async |client, number| {
        client.delete(&id(number)).await.expect("a delete");
    })
    .await;
    let left = daemon.metric("linmemd_quota_used{tenant=\"default\",resource=\"mappings\"}");
    assert_eq!(left, 0.0);
    say(&format!("20,000 deleted in {:.1?}, {} mappings left", begin.elapsed(), daemon.mappings()));
    daemon.stop();
}

#[tokio::test]
async fn a_hundred_thousand_small_memories_live_in_a_few_mappings() {
    const LIVE: usize = 100_000;
    let Some(program) = host("100,000 memories") else { return };
    let daemon = Daemon::start(&program, "");
    let client = daemon.client("default", 4).await;
    let at_start = daemon.mappings();

    let begin = Instant::now();
    each(&client, 0..LIVE, async |client, number| {
        client.create(Some(&id(number)), spec(1, 1)).await.expect("a create");
        client.write(&id(number), 0, id(number)).await.expect("a write");
    })
    .await;
    let created = begin.elapsed();
    let mappings = daemon.mappings();
    assert!(mappings < at_start + 200, "{at_start} and then {mappings}");

    let begin = Instant::now();
    each(&client, (0..LIVE).step_by(2), async |client, number| {
        client.delete(&id(number)).await.expect("a delete");
    })
    .await;
    each(&client, (0..LIVE).step_by(2), async |client, number| {
        client.create(Some(&id(number)), spec(1, 1)).await.expect("another");
        let all = client.read(&id(number), 0, 65_536).await.expect("a read");
        assert!(all.iter().all(|byte| *byte == 0), "{number}");
    })
    .await;
    let recycled = begin.elapsed();
    for number in (1..LIVE).step_by(1_001).filter(|number| number % 2 == 1) {
        let read = client.read(&id(number), 0, 6).await.expect("a read");
        assert_eq!(read, id(number));
    }
    say(&format!(
        "100,000 memories: created and written in {created:.1?}, {at_start} mappings before and \
         {mappings} then; every second deleted, created again and read whole in {recycled:.1?}, {} \
         mappings",
        daemon.mappings()
    ));
    daemon.stop();
}

fn id(number: usize) -> String {
    format!("{number:06}")
}

fn spec(initial_pages: u64, maximum_pages: u64) -> MemorySpec {
    MemorySpec { initial_pages, maximum_pages: Some(maximum_pages), ..Default::default() }
}

/// Does something for each number, 32 at a time.
async fn each(
    client: &Client,
    numbers: impl Iterator<Item = usize>,
    work: impl AsyncFn(&Client, usize) + Copy + 'static,
) {
    let numbers = std::rc::Rc::new(std::cell::RefCell::new(numbers.collect::<Vec<_>>()));
    let tasks = tokio::task::LocalSet::new();
    let workers: Vec<_> = (0..32)
        .map(|_| {
            let (client, numbers) = (client.clone(), std::rc::Rc::clone(&numbers));
            tasks.spawn_local(async move {
                loop {
                    let next = numbers.borrow_mut().pop();
                    let Some(number) = next else { return };
                    work(&client, number).await;
                }
            })
        })
        .collect();
    tasks
        .run_until(async {
            for worker in workers {
                worker.await.expect("a worker");
            }
        })
        .await;
}

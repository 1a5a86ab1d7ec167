//! Claims about WaitOnAddress and NotifyAddress: who waits, who is woken and in what order, what ends a
//! wait beside that, and what waiting costs others.

use std::fmt::Display;
use std::time::Duration;

use linmemd::client::proto::{
    Allocator, Backing, MemorySpec, NotifyAddressRequest, Verification, WaitOnAddressRequest,
    WaitOutcome,
};
use linmemd::client::{Client, ClientError};
use tokio::task::JoinHandle;

use crate::contract::{invalid, refused};
use crate::grpc::{Wire, framed};
use crate::harness::{House, PAGE, Witness, eventually, pages, tenant, within};

const METHOD: (&str, &str) = ("method", "linmem.v1.MemoryService/WaitOnAddress");

type Wait = JoinHandle<Result<WaitOutcome, ClientError>>;

fn shared() -> MemorySpec {
    MemorySpec { shared: true, ..pages(2) }
}

fn waiters(house: &House) -> u64 {
    house.daemon.server.tenants.iter().map(|tenant| tenant.namespace.waiters()).sum()
}

/// One more that waits, once it does.
async fn parked(house: &House, client: &Client, memory_id: &'static str, address: u64) -> Wait {
    let before = waiters(house);
    let client = client.clone();
    let wait = tokio::spawn(async move { client.wait32(memory_id, address, 0, None).await });
    eventually("it is parked", async || waiters(house) == before + 1).await;
    wait
}

async fn woken(wait: Wait) {
    let outcome = within("it is woken", wait).await.unwrap();
    assert_eq!(outcome.unwrap(), WaitOutcome::Ok);
}

#[tokio::test]
async fn who_finds_what_it_expects_waits_and_who_does_not_is_told_at_once() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), shared()).await.unwrap();
    client.write("m", 8, vec![1, 2, 3, 4, 5, 6, 7, 8]).await.unwrap();
    let now = Some(Duration::ZERO);
    let (low, whole) = (0x0403_0201, 0x0807_0605_0403_0201);
    let not_equal = WaitOutcome::NotEqual;
    assert_eq!(client.wait32("m", 8, low, now).await.unwrap(), WaitOutcome::TimedOut);
    assert_eq!(client.wait64("m", 8, whole, now).await.unwrap(), WaitOutcome::TimedOut);
    assert_eq!(client.wait32("m", 8, low + 1, None).await.unwrap(), not_equal);
    assert_eq!(client.wait64("m", 8, whole ^ 1 << 63, None).await.unwrap(), not_equal);
    assert_eq!(client.wait32("m", 2 * PAGE - 4, 0, now).await.unwrap(), WaitOutcome::TimedOut);
    let soon = Some(Duration::from_millis(20));
    assert_eq!(client.wait32("m", 0, 0, soon).await.unwrap(), WaitOutcome::TimedOut);
    assert_eq!(client.notify("m", 0, None).await.unwrap(), 0, "nobody is left");
    let wait = parked(&house, &client, "m", 4).await;
    assert_eq!(client.notify("m", 0, None).await.unwrap(), 0, "another address");
    assert_eq!(client.notify("m", 4, None).await.unwrap(), 1);
    woken(wait).await;
    house.stop().await;
}

#[tokio::test]
async fn waiters_are_woken_in_order_of_arrival_each_once_and_no_more_than_asked_for() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), shared()).await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..5 {
        waits.push(parked(&house, &client, "m", 0).await);
    }
    assert_eq!(client.notify("m", 0, Some(0)).await.unwrap(), 0);
    assert_eq!(client.notify("m", 0, Some(2)).await.unwrap(), 2);
    let rest = waits.split_off(2);
    for wait in waits {
        woken(wait).await;
    }
    assert_eq!(waiters(&house), 3);
    assert!(!rest.iter().any(Wait::is_finished));
    assert_eq!(client.notify("m", 0, Some(u32::MAX)).await.unwrap(), 3);
    assert_eq!(client.notify("m", 0, None).await.unwrap(), 0);
    for wait in rest {
        woken(wait).await;
    }
    house.stop().await;
}

#[tokio::test]
async fn no_wake_is_lost_between_two_who_write_notify_and_wait_in_turn() {
    const TURNS: u32 = 300;
    let house = House::start();
    let (ping, pong) = (house.client().await, house.client().await);
    ping.create(Some("m"), shared()).await.unwrap();
    // Each waits for the number before its own and writes its own.
    let turns = async |client: Client, mut own: u32| {
        while own <= TURNS {
            client.wait32("m", 0, own.wrapping_sub(2), None).await.unwrap();
            let found = client.read("m", 0, 4).await.unwrap();
            if found[..] == (own - 1).to_le_bytes() {
                client.write("m", 0, own.to_le_bytes().to_vec()).await.unwrap();
                client.notify("m", 0, None).await.unwrap();
                own += 2;
            }
        }
    };
    within("the turns are over", async { tokio::join!(turns(ping, 1), turns(pong, 2)) }).await;
    assert_eq!(waiters(&house), 0);
    house.stop().await;
}

#[tokio::test]
async fn every_kind_of_memory_can_be_shared_waited_on_and_grown_meanwhile() {
    let arena = House::with_arena(2, 8);
    let has_arena = arena.is_some();
    let house = arena.unwrap_or_else(House::start);
    let client = house.client().await;
    let dedicated = MemorySpec { maximum_pages: Some(64), ..shared() };
    let of = |allocator: Allocator| MemorySpec { allocator: allocator.into(), ..shared() };
    let kinds = [
        ("slab", shared()),
        ("dedicated", dedicated.clone()),
        ("memfd", MemorySpec { backing: Backing::Memfd.into(), ..dedicated.clone() }),
        ("full", MemorySpec { verification: Verification::Full.into(), ..shared() }),
        ("redundant", MemorySpec { verification: Verification::Redundant.into(), ..dedicated }),
        ("heap", of(Allocator::Heap)),
        ("fixed", of(Allocator::Fixed)),
    ];
    for (name, spec) in kinds.into_iter().filter(|(name, _)| has_arena || *name != "fixed") {
        let made = client.create(Some("m"), spec).await.unwrap();
        assert!(made.spec.unwrap().shared, "{name}");
        let wait = parked(&house, &client, "m", 64).await;
        client.grow("m", 1).await.unwrap();
        client.write("m", 64, "changed").await.unwrap();
        assert!(!wait.is_finished(), "{name}: a write wakes nobody");
        assert_eq!(client.notify("m", 64, Some(1)).await.unwrap(), 1, "{name}");
        woken(wait).await;
        client.delete("m").await.unwrap();
    }
    let spec = MemorySpec { shared: true, initial_pages: 1, ..Default::default() };
    let refusal = client.create(Some("m"), spec).await;
    refused(refusal, "INVALID_SPEC", &[("field", &"spec.maximum_pages")]);
    house.stop().await;
}

#[tokio::test]
async fn what_webassembly_traps_on_is_a_trap_and_is_counted() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "unshared").await;
    client.create(Some("m"), shared()).await.unwrap();
    for (width, address) in [(4, 2), (8, 4), (8, 2 * PAGE + 1)] {
        let message = request("m", address, width, 0);
        let numbers: [(&str, &dyn Display); 2] = [("offset", &address), ("width", &width)];
        let failure = refused(client.wait_on_address(message).await, "UNALIGNED", &numbers);
        assert_eq!(failure.field_violations[0].field, "address");
    }
    let numbers: [(&str, &dyn Display); 2] = [("offset", &2), ("width", &4)];
    refused(client.notify("m", 2, None).await, "UNALIGNED", &numbers);
    let size = 2 * PAGE;
    let outside = |address: u64, length: u64, outcome| {
        let numbers: [(&str, &dyn Display); 3] =
            [("offset", &address), ("length", &length), ("size_bytes", &size)];
        refused(outcome, "OUT_OF_BOUNDS", &numbers);
    };
    outside(size, 4, client.wait32("m", size, 0, None).await.map(drop));
    outside(u64::MAX - 7, 8, client.wait64("m", u64::MAX - 7, 0, None).await.map(drop));
    outside(size, 4, client.notify("m", size, None).await.map(drop));
    let stats = client.memory("m").await.unwrap().stats.unwrap();
    assert_eq!((stats.trap_count, stats.access_count), (7, 0));
    refused(client.wait32("unshared", 0, 0, None).await, "EXPECTED_SHARED", &[]);
    // The alignment is looked at first, whatever the memory.
    let numbers: [(&str, &dyn Display); 2] = [("offset", &1), ("width", &4)];
    refused(client.wait32("unshared", 1, 0, None).await, "UNALIGNED", &numbers);
    assert_eq!(client.notify("unshared", 0, None).await.unwrap(), 0);
    outside(size, 4, client.notify("unshared", size, None).await.map(drop));
    assert_eq!(client.memory("unshared").await.unwrap().stats.unwrap().trap_count, 3);
    let page = house.scrape().await;
    for (reason, count) in [("UNALIGNED", 5.0), ("OUT_OF_BOUNDS", 4.0), ("EXPECTED_SHARED", 1.0)] {
        let labels = [("tenant", "default"), ("reason", reason)];
        assert_eq!(page.value("linmemd_traps_total", &labels), count, "{reason}");
    }
    witness.is_unharmed().await;
    house.stop().await;
}

fn request(memory_id: &str, address: u64, width: u32, expected: u64) -> WaitOnAddressRequest {
    let memory_id = memory_id.to_owned();
    WaitOnAddressRequest { memory_id, address, width, expected, ..Default::default() }
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_by_field() {
    let house = House::start();
    let client = house.client().await;
    let made = client.create(Some("m"), shared()).await.unwrap();
    for width in [0, 1, 2, 3, 5, 16, u32::MAX] {
        invalid(client.wait_on_address(request("m", 0, width, 0)).await, "width");
    }
    invalid(client.wait_on_address(request("m", 0, 4, 1 << 32)).await, "expected");
    let timeout = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    let negative = WaitOnAddressRequest { timeout, ..request("m", 0, 4, 0) };
    invalid(client.wait_on_address(negative).await, "timeout");
    let gone = "nothing";
    let missing: [(&str, &dyn Display); 1] = [("memory_id", &gone)];
    refused(client.wait32(gone, 0, 0, None).await, "MEMORY_NOT_FOUND", &missing);
    refused(client.notify(gone, 0, None).await, "MEMORY_NOT_FOUND", &missing);
    let uid = Some(uuid::Uuid::nil().to_string());
    let other = WaitOnAddressRequest { uid: uid.clone(), ..request("m", 0, 4, 0) };
    let found: [(&str, &dyn Display); 1] = [("uid", &made.uid)];
    refused(client.wait_on_address(other).await, "UID_MISMATCH", &found);
    let memory_id = "m".to_owned();
    let other = NotifyAddressRequest { memory_id, uid, ..Default::default() };
    refused(client.notify_address(other).await, "UID_MISMATCH", &found);
    house.stop().await;
}

#[tokio::test]
async fn who_goes_away_or_runs_out_of_time_waits_no_longer() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), shared()).await.unwrap();
    let goes = parked(&house, &client, "m", 0).await;
    let stays = parked(&house, &client, "m", 0).await;
    goes.abort();
    eventually("it has gone", async || waiters(&house) == 1).await;
    assert_eq!(client.notify("m", 0, Some(1)).await.unwrap(), 1);
    woken(stays).await;
    // Over a wire whose client keeps no time of its own: the server's answer is the claim.
    let wire = Wire::connect(house.grpc()).await;
    let body = framed(&request("m", 0, 4, 0));
    let answer = wire.call("WaitOnAddress", &[("grpc-timeout", "50m")], body).await;
    refused(answer.outcome(), "DEADLINE_PASSED", &[]);
    assert_eq!(waiters(&house), 0);
    assert_eq!(client.notify("m", 0, None).await.unwrap(), 0);
    house.stop().await;
}

#[tokio::test]
async fn the_end_of_a_memory_by_deletion_or_lease_ends_its_waits() {
    let house = House::with(|config| config.lease.sweep_interval = Duration::from_millis(20));
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let lease_ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    for spec in [shared(), MemorySpec { lease_ttl, ..shared() }] {
        client.create(Some("m"), spec.clone()).await.unwrap();
        let waits = [0, 0, 8].map(|address| parked(&house, &client, "m", address));
        let mut ended = Vec::new();
        for wait in waits {
            ended.push(wait.await);
        }
        if spec.lease_ttl.is_none() {
            client.delete("m").await.unwrap();
        }
        for wait in ended {
            let outcome = within("it has ended", wait).await.unwrap();
            refused(outcome, "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
        }
        assert_eq!(waiters(&house), 0);
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_quarantine_ends_the_waits_and_lets_nobody_wait() {
    let house = House::dedicated();
    let client = house.client().await;
    client.create(Some("m"), shared()).await.unwrap();
    client.fill("m", PAGE, PAGE, 5).await.unwrap();
    let wait = parked(&house, &client, "m", 0).await;
    // Behind the guard before the memory, and its first page.
    house.kernel.break_last_mapping(2 * 65_536, 4_096);
    // The read of a wait is an access as any other.
    let numbers: [(&str, &dyn Display); 2] = [("offset", &PAGE), ("length", &4)];
    refused(client.wait32("m", PAGE, 0, None).await, "HARDWARE_FAULT", &numbers);
    let why: [(&str, &dyn Display); 1] = [("state_reason", &"the host lost bytes of it")];
    let outcome = within("it has ended", wait).await.unwrap();
    refused(outcome, "QUARANTINED", &why);
    refused(client.wait32("m", 0, 0, None).await, "QUARANTINED", &why);
    refused(client.notify("m", 0, None).await, "QUARANTINED", &why);
    house.stop().await;
}

#[tokio::test]
async fn a_drain_ends_the_waits_at_once() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), shared()).await.unwrap();
    let waits = [parked(&house, &client, "m", 0).await, parked(&house, &client, "m", PAGE).await];
    let drained = within("it is drained", house.daemon.drain(Duration::from_secs(3600)));
    assert_eq!(drained.await, Ok(()), "long before its limit");
    for wait in waits {
        refused(wait.await.unwrap(), "DRAINING", &[]);
    }
    house.close().await;
}

#[tokio::test]
async fn waiters_are_capped_by_tenant_and_shown() {
    let house = House::with(|config| {
        config.grpc.waiters_per_tenant = 2;
        config.tenants = vec![tenant("default", None), tenant("red", None)];
    });
    let (client, red) = (house.client().await, house.client_of("red").await);
    client.create(Some("m"), shared()).await.unwrap();
    red.create(Some("m"), shared()).await.unwrap();
    let limits = client.server_info().await.unwrap().limits.unwrap();
    assert_eq!(limits.tenant_waiters, 2);
    let waits = [parked(&house, &client, "m", 0).await, parked(&house, &client, "m", 4).await];
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &"tenant_waiters"), ("limit", &2), ("used", &2)];
    refused(client.wait32("m", 0, 0, None).await, "TOO_MANY_WAITERS", &numbers);
    let not_equal = client.wait32("m", 0, 1, None).await.unwrap();
    assert_eq!(not_equal, WaitOutcome::NotEqual, "who does not wait needs no place");
    let of_red = parked(&house, &red, "m", 0).await;
    let page = house.scrape().await;
    assert_eq!(page.value("linmemd_waiters", &[("tenant", "default")]), 2.0);
    assert_eq!(page.value("linmemd_waiters", &[("tenant", "red")]), 1.0);
    assert_eq!(client.notify("m", 0, None).await.unwrap(), 1, "of one's own memory only");
    assert_eq!(client.notify("m", 4, None).await.unwrap(), 1);
    assert_eq!(red.notify("m", 0, None).await.unwrap(), 1);
    for wait in waits.into_iter().chain([of_red]) {
        woken(wait).await;
    }
    woken({
        let wait = parked(&house, &client, "m", 0).await;
        client.notify("m", 0, None).await.unwrap();
        wait
    })
    .await;
    house.stop().await;
}

#[tokio::test]
async fn a_parked_call_is_not_among_those_that_run_and_its_time_is_nobodys_latency() {
    let house = House::with(|config| config.grpc.handlers_per_tenant = 2);
    let client = house.client().await;
    client.create(Some("m"), shared()).await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..8 {
        waits.push(parked(&house, &client, "m", 0).await);
    }
    client.write("m", 0, "runs").await.unwrap();
    assert_eq!(client.notify("m", 0, None).await.unwrap(), 8);
    for wait in waits {
        woken(wait).await;
    }
    let page = house.scrape().await;
    let ok = [METHOD, ("code", "OK")];
    assert_eq!(page.value("linmemd_rpc_requests_total", &ok), 8.0);
    assert_eq!(page.value("linmemd_rpc_duration_seconds_count", &[METHOD]), 0.0);
    house.stop().await;
}

//! Claims about quotas: each kind is admitted at its limit and refused one past it, by name and with its
//! figures; it is told in GetServerInfo and on the metrics page; a lowered one takes nothing back.

use std::fmt::Display;

use bytes::Bytes;
use linmemd::client::proto::{HugePages, Locking, MemorySpec};
use linmemd::client::{Client, Upload};
use linmemd::config::{Config, Quota, Tenant as Configured};

use crate::contract::refused;
use crate::grpc::{Wire, header};
use crate::harness::{House, PAGE, eventually, pages, tenant};
use crate::reloads::Reloading;

const RED: &str = "red";

/// A daemon with a tenant of such a share.
fn with_share(quota: Quota) -> House {
    let red = Configured { quota, ..tenant(RED, None) };
    House::with(|config| config.tenants = vec![tenant("default", None), red])
}

async fn told(client: &Client, resource: &str) -> (u64, u64) {
    let quotas = client.server_info().await.unwrap().quotas;
    let quota = quotas.iter().find(|quota| quota.resource == resource).unwrap();
    (quota.limit, quota.used)
}

/// That both places tell the same of a tenant's quota.
async fn is_told(house: &House, client: &Client, resource: &str, limit: u64, used: u64) {
    assert_eq!(told(client, resource).await, (limit, used), "{resource}");
    let page = house.scrape().await;
    let labels = [("tenant", RED), ("resource", resource)];
    let shown = |family| page.value(family, &labels);
    assert_eq!(shown("linmemd_quota_limit"), limit as f64, "{resource}");
    assert_eq!(shown("linmemd_quota_used"), used as f64, "{resource}");
}

fn exceeded<T: std::fmt::Debug>(
    outcome: Result<T, linmemd::client::ClientError>,
    name: &str,
    limit: u64,
    used: u64,
) {
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &name), ("limit", &limit), ("used", &used)];
    refused(outcome, "QUOTA_EXCEEDED", &numbers);
}

#[tokio::test]
async fn memories_are_admitted_at_the_limit_and_refused_past_it() {
    let house = House::with(|config| {
        config.tenants = vec![tenant("default", None), tenant(RED, None)];
        config.quota.memories = Some(2);
    });
    let client = house.client_of(RED).await;
    client.create(Some("a"), pages(1)).await.unwrap();
    client.create(Some("b"), pages(1)).await.unwrap();
    exceeded(client.create(Some("c"), pages(1)).await, "memories", 2, 2);
    is_told(&house, &client, "memories", 2, 2).await;
    client.delete("a").await.unwrap();
    client.create(Some("c"), pages(1)).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn mappings_are_admitted_at_the_limit_and_refused_past_it() {
    let red = Configured { mappings: Some(3), ..tenant(RED, None) };
    let house = House::with(|config| {
        config.memory.slabs = false;
        config.tenants = vec![tenant("default", None), red];
    });
    let client = house.client_of(RED).await;
    client.create(Some("a"), pages(1)).await.unwrap();
    exceeded(client.create(Some("b"), pages(1)).await, "mappings", 3, 3);
    is_told(&house, &client, "mappings", 3, 3).await;
    house.stop().await;
}

#[tokio::test]
async fn address_space_is_admitted_at_the_limit_and_refused_past_it() {
    const GIB: u64 = 1 << 30;
    let red = Configured { reserved_bytes: Some(16 * GIB), ..tenant(RED, None) };
    let house = House::with(|config| {
        config.memory.slabs = false;
        config.tenants = vec![tenant("default", None), red];
    });
    let client = house.client_of(RED).await;
    let large = MemorySpec { maximum_pages: Some(65_536), ..pages(1) };
    let mut made = 0;
    let refusal = loop {
        match client.create(Some(&format!("m{made}")), large.clone()).await {
            Ok(_memory) => made += 1,
            Err(refusal) => break refusal,
        }
    };
    let (limit, used) = told(&client, "reserved_bytes").await;
    assert!(limit == 16 * GIB && used <= limit && used + used / made > limit, "{used} by {made}");
    exceeded(Err::<(), _>(refusal), "reserved_bytes", limit, used);
    is_told(&house, &client, "reserved_bytes", limit, used).await;
    client.delete("m0").await.unwrap();
    client.create(Some("m0"), large).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn locked_bytes_are_admitted_at_the_limit_and_refused_past_it() {
    let house = with_share(Quota { locked_bytes: Some(2 * PAGE), ..Quota::default() });
    let client = house.client_of(RED).await;
    let locked = |count| MemorySpec { locking: Locking::Locked.into(), ..pages(count) };
    exceeded(client.create(Some("m"), locked(3)).await, "locked_bytes", 2 * PAGE, 0);
    if let Err(why) = client.create(Some("m"), locked(1)).await {
        #[expect(clippy::print_stderr, reason = "what is left out is said")]
        {
            eprintln!("left out: locked memories: {why}");
        }
        return house.stop().await;
    }
    client.grow("m", 1).await.unwrap();
    exceeded(client.create(Some("n"), locked(1)).await, "locked_bytes", 2 * PAGE, 2 * PAGE);
    is_told(&house, &client, "locked_bytes", 2 * PAGE, 2 * PAGE).await;
    // Others are not of that kind.
    client.create(Some("plain"), pages(4)).await.unwrap();
    client.delete("m").await.unwrap();
    is_told(&house, &client, "locked_bytes", 2 * PAGE, 0).await;
    house.stop().await;
}

#[tokio::test]
async fn huge_pages_past_the_quota_are_refused_or_others_had_as_the_list_says() {
    let house = with_share(Quota { huge_page_bytes: Some(1 << 20), ..Quota::default() });
    let client = house.client_of(RED).await;
    let huge = |kinds: &[HugePages]| MemorySpec {
        huge_pages: kinds.iter().map(|kind| (*kind).into()).collect(),
        ..pages(1)
    };
    let only = client.create(Some("m"), huge(&[HugePages::HugePages2m])).await;
    exceeded(only, "huge_page_bytes", 1 << 20, 0);
    client.create(Some("m"), huge(&[HugePages::HugePages2m, HugePages::Base])).await.unwrap();
    is_told(&house, &client, "huge_page_bytes", 1 << 20, 0).await;
    house.stop().await;
}

#[tokio::test]
async fn segments_and_their_bytes_are_admitted_at_the_limit_and_refused_past_it() {
    let share = Quota { segments: Some(3), segment_bytes: Some(100), ..Quota::default() };
    let house = with_share(share);
    let client = house.client_of(RED).await;
    let put = async |id: &str, length: usize| {
        client.put(Some(id), Bytes::from(vec![7; length])).await.map(drop)
    };
    put("a", 60).await.unwrap();
    exceeded(put("b", 41).await, "segment_bytes", 100, 60);
    put("b", 40).await.unwrap();
    put("c", 0).await.unwrap();
    exceeded(put("d", 0).await, "segments", 3, 3);
    is_told(&house, &client, "segments", 3, 3).await;
    is_told(&house, &client, "segment_bytes", 100, 100).await;
    let limits = client.server_info().await.unwrap().limits.unwrap();
    assert_eq!(limits.max_segments, 3);
    for id in ["a", "b", "c"] {
        client.drop_segment(id, false).await.unwrap();
    }
    is_told(&house, &client, "segment_bytes", 100, 0).await;
    house.stop().await;
}

#[tokio::test]
async fn waiters_are_admitted_at_the_limit_and_refused_past_it() {
    let house = with_share(Quota { waiters: Some(1), ..Quota::default() });
    let client = house.client_of(RED).await;
    client.create(Some("m"), MemorySpec { shared: true, ..pages(1) }).await.unwrap();
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.wait32("m", 0, 0, None).await })
    };
    eventually("one waits", async || told(&client, "waiters").await.1 == 1).await;
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &"tenant_waiters"), ("limit", &1), ("used", &1)];
    refused(client.wait32("m", 0, 0, None).await, "TOO_MANY_WAITERS", &numbers);
    is_told(&house, &client, "waiters", 1, 1).await;
    client.notify("m", 0, None).await.unwrap();
    waiting.await.unwrap().unwrap();
    house.stop().await;
}

#[tokio::test]
async fn sessions_are_admitted_at_the_limit_and_refused_past_it() {
    let house = with_share(Quota { sessions: Some(1), ..Quota::default() });
    let client = house.client_of(RED).await;
    let session = client.session(|_notice| ()).await.unwrap();
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &"tenant_sessions"), ("limit", &1), ("used", &1)];
    let another = client.session(|_notice| ()).await.map(drop);
    refused(another, "TOO_MANY_SESSIONS", &numbers);
    is_told(&house, &client, "sessions", 1, 1).await;
    drop(session);
    eventually("its place is free", async || told(&client, "sessions").await.1 == 0).await;
    house.stop().await;
}

#[tokio::test]
async fn handlers_and_bytes_in_flight_have_a_limit_of_the_tenants_own() {
    let share = Quota { handlers: Some(2), in_flight_bytes: Some(8 << 20), ..Quota::default() };
    let house = with_share(share);
    let (client, other) = (house.client_of(RED).await, house.client().await);
    let limits = client.server_info().await.unwrap().limits.unwrap();
    assert_eq!((limits.tenant_handlers, limits.tenant_in_flight_bytes), (2, 8 << 20));
    let wire = Wire::connect(house.grpc()).await;
    let of_red = [("linmem-tenant", RED)];
    let mut first = wire.begin("UploadMemory", &of_red).await;
    first.body.send_data(Bytes::copy_from_slice(&header(0, 4 << 20)), false).unwrap();
    let second = wire.begin("UploadMemory", &of_red).await;
    eventually("both run", async || house.daemon.server.running() == 2).await;
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &"tenant_handlers"), ("limit", &2), ("used", &2)];
    refused(client.memory("m").await, "OVERLOADED", &numbers);
    other.memory("m").await.unwrap_err();
    let mut second = second;
    second.body.send_reset(h2::Reason::CANCEL);
    eventually("one place is free", async || client.server_info().await.is_ok()).await;
    eventually("the header was charged", async || house.daemon.server.in_flight_bytes() == 4 << 20)
        .await;
    let mut third = wire.begin("UploadMemory", &of_red).await;
    let more = u32::try_from((4 << 20) - (1 << 16)).unwrap();
    third.body.send_data(Bytes::copy_from_slice(&header(0, more)), false).unwrap();
    eventually("as much fits", async || {
        house.daemon.server.in_flight_bytes() == (8 << 20) - (1 << 16)
    })
    .await;
    first.body.send_reset(h2::Reason::CANCEL);
    third.body.send_reset(h2::Reason::CANCEL);
    eventually("all came back", async || house.daemon.server.in_flight_bytes() == 0).await;
    house.stop().await;
}

#[tokio::test]
async fn limits_that_a_reload_lowers_take_nothing_back_and_refuse_what_is_more() {
    let it = Reloading::with(|config| {
        config.tenants = vec![tenant("default", None), tenant(RED, None)];
    })
    .await;
    let client = it.house.client_of(RED).await;
    for id in ["a", "b", "c"] {
        client.create(Some(id), pages(2)).await.unwrap();
    }
    client.put(Some("s"), Bytes::from_static(b"bytes")).await.unwrap();
    let lowered = |config: &mut Config| {
        config.quota.segments = Some(0);
        config.quota.bytes_per_second = Some(1 << 40);
        config.grpc.max_connections_per_tenant = Some(9);
        let red = &mut config.tenants[1];
        red.memories = Some(2);
        red.maximum_pages = Some(3);
        red.quota.handlers = Some(7);
    };
    it.to(lowered).await;
    exceeded(client.create(Some("d"), pages(1)).await, "memories", 2, 3);
    exceeded(client.put(Some("t"), Bytes::new()).await.map(drop), "segments", 0, 1);
    let upload = client.upload_chunks(Upload::to("c"), [Bytes::from_static(b"x")], |_| ()).await;
    upload.unwrap();
    assert_eq!(client.read("c", 0, 2).await.unwrap(), "x\0");
    let limits = client.server_info().await.unwrap().limits.unwrap();
    assert_eq!((limits.tenant_handlers, limits.tenant_bytes_per_second), (7, Some(1 << 40)));
    assert_eq!(told(&client, "connections").await.0, 9);
    it.to(|config| {
        lowered(config);
        config.tenants[1].quota_bytes = Some(4 * PAGE);
    })
    .await;
    let failure = client.grow("a", 1).await.unwrap_err().failure().cloned().unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.number("limit")),
        ("QUOTA_EXCEEDED", Some(4 * PAGE))
    );
    it.to(|_| {}).await;
    client.create(Some("d"), pages(1)).await.unwrap();
    client.grow("a", 1).await.unwrap();
    client.drop_segment("s", false).await.unwrap();
    it.house.stop().await;
}

/// How often; CI has time for 10,000.
fn rounds() -> usize {
    std::env::var("CHURN").map_or(300, |count| count.parse().expect("CHURN is a count"))
}

#[tokio::test]
async fn delete_and_create_at_the_whole_of_a_quota_are_never_refused() {
    // Room for one memory, and for less than another page of what is remembered and told of it.
    let quota = 17 * PAGE;
    let red = Configured { memories: Some(1), ..tenant(RED, Some(quota)) };
    let house = House::with(|config| config.tenants = vec![tenant("default", None), red]);
    let client = house.client_of(RED).await;
    let spec = || MemorySpec { maximum_pages: Some(16), ..pages(16) };
    for round in 0..rounds() {
        let created = client.create(Some("m"), spec()).await;
        created.unwrap_or_else(|failure| panic!("round {round}: {failure}"));
        if round % 64 == 0 {
            let another = client.create(Some("n"), spec()).await.unwrap_err();
            assert_eq!(another.failure().unwrap().reason, "QUOTA_EXCEEDED");
            client.write("m", 0, Bytes::from_static(b"canary")).await.unwrap();
        } else {
            assert_eq!(client.read("m", 0, 6).await.unwrap(), "\0\0\0\0\0\0");
        }
        client.delete("m").await.unwrap_or_else(|failure| panic!("round {round}: {failure}"));
    }
    // All of it was needed: what is remembered and kept takes the rest.
    let (_, overhead) = told(&client, "overhead_bytes").await;
    assert!(overhead <= quota, "{overhead}");
    house.stop().await;
}

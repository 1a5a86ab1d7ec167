//! Claims about leases: a memory whose lease has run out does not exist from that moment, and the
//! sweep gives back what it cost.

use std::time::{Duration, Instant, SystemTime};

use linmemd::client::proto::{KeepAliveMemoryRequest, MemorySpec, UpdateMemoryRequest};

use crate::contract::{invalid, refused};
use crate::harness::{House, eventually, pages};

fn leased(seconds: i64) -> MemorySpec {
    let lease_ttl = Some(prost_types::Duration { seconds, nanos: 0 });
    MemorySpec { lease_ttl, ..pages(1) }
}

fn keep(memory_id: &str) -> KeepAliveMemoryRequest {
    KeepAliveMemoryRequest { memory_id: memory_id.to_owned(), uid: None }
}

#[tokio::test]
async fn a_lease_that_ran_out_takes_the_memory_at_once_and_the_sweep_gives_it_back() {
    // A sweep that comes late: the memory is gone long before.
    let house = House::with(|config| config.lease.sweep_interval = Duration::from_secs(2));
    let client = house.client().await;
    let created = Instant::now();
    client.create(Some("m"), leased(1)).await.unwrap();
    client.create(Some("kept"), pages(1)).await.unwrap();
    eventually("the lease ran out", async || client.read("m", 0, 1).await.is_err()).await;
    assert!(created.elapsed() >= Duration::from_secs(1));
    let gone: [(&str, &dyn std::fmt::Display); 1] = [("memory_id", &"m")];
    refused(client.memory("m").await, "MEMORY_NOT_FOUND", &gone);
    refused(client.keep_alive_memory(keep("m")).await, "MEMORY_NOT_FOUND", &gone);
    assert_eq!(client.list("").await.unwrap().len(), 1);
    client.create(Some("m"), pages(1)).await.unwrap();
    eventually("the sweep gave it back", async || {
        let quotas = client.server_info().await.unwrap().quotas;
        quotas.iter().any(|quota| quota.resource == "memories" && quota.used == 2)
    })
    .await;
    house.stop().await;
}

#[tokio::test]
async fn keeping_alive_starts_the_lease_anew_and_needs_one() {
    let house = House::with(|config| config.lease.sweep_interval = Duration::from_millis(50));
    let client = house.client().await;
    client.create(Some("m"), leased(1)).await.unwrap();
    client.create(Some("short"), leased(1)).await.unwrap();
    client.create(Some("unleased"), pages(1)).await.unwrap();
    invalid(client.keep_alive_memory(keep("unleased")).await, "memory_id");
    let mut last = SystemTime::UNIX_EPOCH;
    eventually("the lease that was not renewed ran out", async || {
        let expire_time = client.keep_alive_memory(keep("m")).await.unwrap().expire_time;
        let expire_time = SystemTime::try_from(expire_time.unwrap()).unwrap();
        assert!(expire_time > last);
        last = expire_time;
        client.memory("short").await.is_err()
    })
    .await;
    let shown = client.memory("m").await.unwrap().expire_time.unwrap();
    assert_eq!(SystemTime::try_from(shown).unwrap(), last);
    house.stop().await;
}

#[tokio::test]
async fn an_update_gives_takes_and_changes_a_lease() {
    let house = House::with(|config| config.lease.sweep_interval = Duration::from_millis(50));
    let client = house.client().await;
    let update = |lease_ttl: Option<i64>| UpdateMemoryRequest {
        memory_id: "m".to_owned(),
        lease_ttl: lease_ttl.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["lease_ttl".to_owned()] }),
        ..Default::default()
    };
    client.create(Some("m"), leased(1)).await.unwrap();
    let longer = client.update_memory(update(Some(3600))).await.unwrap();
    assert!(longer.expire_time.is_some());
    let none = client.update_memory(update(None)).await.unwrap();
    assert_eq!((none.expire_time, none.spec.unwrap().lease_ttl), (None, None));
    client.update_memory(update(Some(1))).await.unwrap();
    eventually("the new lease ran out", async || client.memory("m").await.is_err()).await;
    eventually("the sweep gave it back", async || {
        let page = house.scrape().await;
        page.value("linmemd_tenant_memories", &[("tenant", "default")]) == 0.0
    })
    .await;
    house.stop().await;
}

//! Claims about a memory's statistics: the last access and the regions that were touched, and what a reset
//! begins anew and what goes on.

use std::fmt::Display;
use std::time::SystemTime;

use linmemd::client::Client;
use linmemd::client::proto::{GetMemoryRequest, MemorySpec, MemoryStats, ResetMemoryStatsRequest};

use crate::contract::refused;
use crate::harness::{House, PAGE, pages, tenant};

async fn stats(client: &Client) -> MemoryStats {
    client.memory("m").await.unwrap().stats.unwrap()
}

fn last(stats: &MemoryStats) -> (Option<u64>, Option<u64>) {
    (stats.last_access_offset, stats.last_access_length)
}

#[tokio::test]
async fn the_last_access_and_the_regions_touched_are_those_of_successful_accesses() {
    let house = House::start();
    let client = house.client().await;
    // A power of two, and none.
    for maximum in [64, 48] {
        let spec = MemorySpec { initial_pages: 48, maximum_pages: Some(maximum), ..pages(48) };
        let memory = client.create(Some("m"), spec).await.unwrap();
        let made = memory.stats.unwrap();
        assert_eq!((last(&made), made.distinct_regions), ((None, None), 0));
        assert_eq!(made.since, memory.create_time);
        let region = maximum * 1024;
        client.read("m", 0, 0).await.unwrap();
        let seen = stats(&client).await;
        assert_eq!((last(&seen), seen.distinct_regions), ((Some(0), Some(0)), 0));
        client.write("m", region - 1, "x").await.unwrap();
        let seen = stats(&client).await;
        assert_eq!((last(&seen), seen.distinct_regions), ((Some(region - 1), Some(1)), 1));
        client.read("m", region - 1, 2).await.unwrap();
        assert_eq!(stats(&client).await.distinct_regions, 2);
        client.read("m", 48 * PAGE, 1).await.unwrap_err();
        let seen = stats(&client).await;
        assert_eq!((last(&seen), seen.distinct_regions), ((Some(region - 1), Some(2)), 2));
        client.fill("m", 7 * region, 3 * region, 1).await.unwrap();
        assert_eq!(stats(&client).await.distinct_regions, 5);
        client.discard("m", 20 * region + 5, 10).await.unwrap();
        let seen = stats(&client).await;
        assert_eq!(last(&seen), (Some(20 * region + 5), Some(10)));
        assert_eq!(seen.distinct_regions, 6);
        client.delete("m").await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn an_access_too_long_for_its_place_is_told_all_the_same() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(600)).await.unwrap();
    for (offset, length) in [(5, 512 * PAGE), (0, (1 << 24) - 3), (1, (1 << 24) - 2), (9, 1)] {
        client.fill("m", offset, length, 1).await.unwrap();
        let seen = stats(&client).await;
        assert_eq!(last(&seen), (Some(offset), Some(length)));
        assert!(seen.largest_access_bytes >= length);
    }
    house.stop().await;
}

#[tokio::test]
async fn a_reset_begins_counters_and_peaks_anew_and_neither_sizes_nor_metrics() {
    let house = House::with(|config| {
        config.metrics.each_memory = true;
        config.tenants = vec![tenant("default", None)];
    });
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    client.write("m", 3, "four").await.unwrap();
    client.read("m", 0, 100).await.unwrap();
    client.read("m", 0, 3 * PAGE).await.unwrap_err();
    client.grow("m", 1).await.unwrap();
    client.grow("m", 99).await.unwrap_err();
    let before = client.memory("m").await.unwrap();
    let old = before.stats.unwrap();
    assert_eq!((old.access_count, old.trap_count), (2, 1));
    assert_eq!((old.grow_count, old.grow_failure_count), (1, 1));
    let begun = SystemTime::now();
    let reset = client.reset_stats("m").await.unwrap();
    let since = reset.stats.as_ref().unwrap().since;
    assert_eq!(reset.stats, Some(MemoryStats { since, ..Default::default() }));
    let since = SystemTime::try_from(since.unwrap()).unwrap();
    assert!(since >= begun && since <= SystemTime::now());
    let unchanged = linmemd::client::proto::Memory { stats: None, ..before };
    assert_eq!(linmemd::client::proto::Memory { stats: None, ..reset }, unchanged);
    client.read("m", 5, 6).await.unwrap();
    let seen = stats(&client).await;
    assert_eq!((seen.read_count, seen.read_bytes, seen.largest_access_bytes), (1, 6, 6));
    let page = house.scrape().await;
    let of = |operation| [("tenant", "default"), ("operation", operation)];
    let reads = page.value("linmemd_accesses_total", &of("read"));
    let writes = page.value("linmemd_accesses_total", &of("write"));
    assert_eq!((reads, writes), (2.0, 1.0));
    let each = [("tenant", "default"), ("memory_id", "m")];
    assert_eq!(page.value("linmemd_each_memory_accesses_total", &each), 3.0);
    house.stop().await;
}

#[tokio::test]
async fn a_reset_names_one_memory() {
    let house = House::start();
    let client = house.client().await;
    let missing: [(&str, &dyn Display); 1] = [("memory_id", &"m")];
    refused(client.reset_stats("m").await, "MEMORY_NOT_FOUND", &missing);
    let memory = client.create(Some("m"), pages(1)).await.unwrap();
    let request = ResetMemoryStatsRequest {
        memory_id: "m".to_owned(),
        uid: Some("11111111-1111-4111-8111-111111111111".to_owned()),
    };
    let other = client.reset_memory_stats(request).await;
    refused(other, "UID_MISMATCH", &[("uid", &memory.uid)]);
    let request = GetMemoryRequest { memory_id: "m".to_owned(), ..Default::default() };
    assert_eq!(client.get_memory(request).await.unwrap(), memory);
    house.stop().await;
}

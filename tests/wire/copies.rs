//! Claims about CopyMemory: of any length, within a memory and between two, whole to everybody else,
//! and never in each other's way.

use std::sync::Arc;

use linmemd::client::Client;
use linmemd::client::proto::{Allocator, CopyMemoryRequest, MemorySpec, ShareAccess, Verification};

use crate::contract::{invalid, refused};
use crate::harness::{House, PAGE, pages, pattern, within};
use crate::shares::{house as house_of_tenants, lent};

/// More than is copied on a serving thread, more than a turn of the pool takes, and in no step with
/// either.
const LONG: u64 = 5 * 1024 * 1024 + 77;

fn copy(from: (&str, u64), to: (&str, u64), length: u64) -> CopyMemoryRequest {
    CopyMemoryRequest {
        source_memory_id: from.0.to_owned(),
        source_offset: from.1,
        destination_memory_id: to.0.to_owned(),
        destination_offset: to.1,
        length,
        ..Default::default()
    }
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap()
}

/// Two memories of 100 pages, the first full of known bytes.
async fn two(client: &Client, spec: MemorySpec) -> Vec<u8> {
    for id in ["a", "b"] {
        let spec = MemorySpec { initial_pages: 100, ..spec.clone() };
        client.create(Some(id), spec).await.unwrap();
    }
    let bytes = pattern(100 * PAGE, 1);
    for (place, part) in bytes.chunks(size(60 * PAGE)).enumerate() {
        let part = bytes::Bytes::copy_from_slice(part);
        client.write("a", place as u64 * 60 * PAGE, part).await.unwrap();
    }
    bytes.to_vec()
}

async fn whole(client: &Client, id: &str) -> Vec<u8> {
    let mut bytes = client.read(id, 0, 60 * PAGE).await.unwrap().to_vec();
    bytes.extend_from_slice(&client.read(id, 60 * PAGE, 40 * PAGE).await.unwrap());
    bytes
}

#[tokio::test]
async fn a_range_arrives_whole_wherever_it_goes_also_over_itself() {
    let house = House::start();
    let client = house.client().await;
    let full = Verification::Full.into();
    let specs = [
        MemorySpec::default(),
        MemorySpec { allocator: Allocator::Heap.into(), ..Default::default() },
        MemorySpec { verification: full, ..Default::default() },
    ];
    for spec in specs {
        let mut wanted = two(&client, spec).await;
        for (from, to, length) in [
            (0, 3, LONG),
            (5_000, 4_321, LONG),
            (0, 0, LONG),
            (9, 300_000, 100),
            (70_000, 69_999, 200_000),
        ] {
            client.copy_memory(copy(("a", from), ("a", to), length)).await.unwrap();
            wanted.copy_within(size(from)..size(from + length), size(to));
            assert!(whole(&client, "a").await == wanted, "{from} to {to}, {length}");
        }
        let mut other = vec![0; wanted.len()];
        for (from, to, length) in [(11, 100_003, LONG), (0, 100 * PAGE - 50, 50), (3, 3, 0)] {
            client.copy_memory(copy(("a", from), ("b", to), length)).await.unwrap();
            let moved = wanted[size(from)..size(from + length)].to_vec();
            other[size(to)..size(to + length)].copy_from_slice(&moved);
            assert!(whole(&client, "b").await == other, "{from} to {to}, {length}");
        }
        for id in ["a", "b"] {
            client.delete(id).await.unwrap();
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn what_lies_past_either_end_is_refused_and_nothing_is_copied() {
    let house = House::start();
    let client = house.client().await;
    let bytes = two(&client, MemorySpec::default()).await;
    let end = 100 * PAGE;
    for (from, to, offset) in
        [(end - 3, 0, end - 3), (0, end - 3, end - 3), (u64::MAX, 0, u64::MAX)]
    {
        let outcome = client.copy_memory(copy(("a", from), ("b", to), 4)).await;
        let numbers: &[(&str, &dyn std::fmt::Display)] =
            &[("offset", &offset), ("length", &4), ("size_bytes", &end)];
        refused(outcome, "OUT_OF_BOUNDS", numbers);
    }
    for (from, to) in [("a", "nobody"), ("nobody", "a")] {
        let outcome = client.copy_memory(copy((from, 0), (to, 0), 4)).await;
        refused(outcome, "MEMORY_NOT_FOUND", &[("memory_id", &"nobody")]);
    }
    assert!(whole(&client, "a").await == bytes);
    assert!(whole(&client, "b").await.iter().all(|byte| *byte == 0));
    house.stop().await;
}

#[tokio::test]
async fn a_repeated_copy_happens_once() {
    let house = House::start();
    let client = house.client().await;
    two(&client, MemorySpec::default()).await;
    let request_id = Some("55555555-5555-4555-8555-555555555555".to_owned());
    let once = CopyMemoryRequest { request_id, ..copy(("a", 0), ("b", 0), LONG) };
    client.copy_memory(once.clone()).await.unwrap();
    client.write("b", 0, "mine").await.unwrap();
    client.copy_memory(once).await.unwrap();
    assert_eq!(client.read("b", 0, 4).await.unwrap(), "mine");
    house.stop().await;
}

/// Copies that go round in a ring would wait for each other for ever if each took its own first.
#[tokio::test]
async fn copies_in_a_ring_all_end_and_each_is_seen_whole() {
    let house = House::start();
    let client = Arc::new(house.client().await);
    let ids = ["a", "b", "c"];
    let length = 600_000;
    for (place, id) in ids.iter().enumerate() {
        let spec = MemorySpec { initial_pages: 20, ..Default::default() };
        client.create(Some(id), spec).await.unwrap();
        let value = u8::try_from(place + 1).unwrap();
        client.fill(id, 0, length, value).await.unwrap();
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 2), (2, 1), (1, 0)] {
        let client = Arc::clone(&client);
        tasks.spawn(async move {
            for _ in 0..30 {
                client.copy_memory(copy((ids[from], 0), (ids[to], 0), length)).await.unwrap();
                let seen = client.read(ids[to], 0, length).await.unwrap();
                assert!(seen.iter().all(|byte| *byte == seen[0]), "half of a copy");
            }
        });
    }
    within("all copies have ended", async {
        while let Some(task) = tasks.join_next().await {
            task.unwrap()
        }
    })
    .await;
    house.stop().await;
}

/// Neither of two tenants' memories is held while the other is waited for, so each copy may have to look
/// for both again and again.
#[tokio::test]
async fn copies_between_two_tenants_memories_all_end_whichever_way_they_go() {
    let house = house_of_tenants();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    blue.create(Some("m"), pages(16)).await.unwrap();
    red.create(Some("n"), pages(16)).await.unwrap();
    lent(&house, ShareAccess::ReadWrite, "lent").await;
    blue.fill("m", 0, 16 * PAGE, 1).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for (from, to) in [("lent", "n"), ("n", "lent")] {
        for length in [64, 64, 600_000, 600_000] {
            let red = house.client_of("red").await;
            tasks.spawn(async move {
                for _ in 0..30 {
                    red.copy_memory(copy((from, 0), (to, 0), length)).await.unwrap();
                }
            });
        }
    }
    within("all copies have ended", async {
        while let Some(task) = tasks.join_next().await {
            task.unwrap()
        }
    })
    .await;
    let seen = [blue.read("m", 0, 600_000).await, red.read("n", 0, 600_000).await];
    assert_eq!(seen[0].as_ref().unwrap(), seen[1].as_ref().unwrap());
    house.stop().await;
}

#[tokio::test]
async fn a_name_or_a_uid_that_is_none_is_refused_under_its_own_field() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("a"), MemorySpec { initial_pages: 1, ..Default::default() }).await.unwrap();
    for (from, to, field) in [("a b", "a", "source_memory_id"), ("a", "", "destination_memory_id")]
    {
        invalid(client.copy_memory(copy((from, 0), (to, 0), 1)).await, field);
    }
    let uid = || Some("none".to_owned());
    let plain = || copy(("a", 0), ("a", 1), 1);
    let of_source = CopyMemoryRequest { source_uid: uid(), ..plain() };
    invalid(client.copy_memory(of_source).await, "source_uid");
    let of_destination = CopyMemoryRequest { destination_uid: uid(), ..plain() };
    invalid(client.copy_memory(of_destination).await, "destination_uid");
    house.stop().await;
}

//! Claims about memories that are not the usual kind, of the heap and of the fixed arena: the same
//! promises, and what each says of itself.

use linmemd::client::Client;
use linmemd::client::proto::{
    Allocator, GetMemoryRequest, GuardKind, Memory, MemorySpec, MemoryView, Populate,
    ProtectMemoryRequest, Protection,
};
use linmemd::os::kernel::Call;

use crate::contract::refused;
use crate::harness::{House, PAGE, Witness, pages, pattern};

/// Both forms of memories on the heap.
fn heap() -> [MemorySpec; 2] {
    let exclusive = MemorySpec {
        allocator: Allocator::Heap.into(),
        initial_pages: 2,
        maximum_pages: Some(64),
        ..Default::default()
    };
    [exclusive.clone(), MemorySpec { shared: true, ..exclusive }]
}

async fn in_full(client: &Client, memory_id: &str) -> Memory {
    let view = MemoryView::Full.into();
    let get = GetMemoryRequest { memory_id: memory_id.to_owned(), view, ..Default::default() };
    client.get_memory(get).await.unwrap()
}

async fn used(client: &Client, resource: &str) -> u64 {
    let quotas = client.server_info().await.unwrap().quotas;
    quotas.iter().find(|quota| quota.resource == resource).unwrap().used
}

#[tokio::test]
async fn a_heap_memory_says_that_it_has_no_guards_and_what_is_charged_for_it() {
    let house = House::start();
    let client = house.client().await;
    for spec in heap() {
        let made = client.create(Some("m"), spec.clone()).await.unwrap().spec.unwrap();
        assert_eq!((made.allocator(), made.shared), (Allocator::Heap, spec.shared));
        let guard = made.guard.unwrap();
        assert_eq!((guard.before_bytes, guard.after_bytes), (Some(0), Some(0)));
        client.fill("m", 0, 2 * PAGE, 1).await.unwrap();
        let seen = in_full(&client, "m").await;
        assert_eq!(seen.resident_bytes, Some(2 * PAGE));
        let guard = seen.placement.unwrap().guard.unwrap();
        assert_eq!((guard.kind(), guard.given.unwrap().after_bytes), (GuardKind::None, Some(0)));
        assert_eq!(used(&client, "committed_bytes").await, 2 * PAGE);
        assert_eq!(used(&client, "reserved_bytes").await, 0, "nothing is set aside for growth");
        client.grow("m", 30).await.unwrap();
        assert_eq!(used(&client, "committed_bytes").await, 32 * PAGE);
        assert_eq!(used(&client, "mappings").await, 1, "one block is left");
        client.delete("m").await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_growth_that_moves_is_charged_for_both_places_until_it_is_over() {
    let house = House::with(|config| {
        config.tenants = vec![crate::harness::tenant("default", Some(1 << 20))];
    });
    let client = house.client().await;
    for spec in heap() {
        // 7 pages and 14 are 1.3 MiB, of a quota of 1 MiB; 12 for a while are not.
        client.create(Some("m"), MemorySpec { initial_pages: 7, ..spec }).await.unwrap();
        let bytes = pattern(7 * PAGE, 5);
        client.write("m", 0, bytes.clone()).await.unwrap();
        let error = client.grow("m", 7).await;
        refused(error, "QUOTA_EXCEEDED", &[("limit_name", &"committed_bytes")]);
        assert!(client.read("m", 0, 7 * PAGE).await.unwrap() == bytes);
        client.grow("m", 1).await.unwrap();
        assert!(client.read("m", 0, 7 * PAGE).await.unwrap() == bytes);
        client.delete("m").await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_heap_that_has_nothing_left_is_said_by_name_and_the_memory_is_as_it_was() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    for spec in heap() {
        house.kernel.plan.fail_call(Call::HeapBlock, libc::ENOMEM, 1);
        let none = client.create(Some("m"), spec.clone()).await;
        refused(none, "HOST_EXHAUSTED", &[("limit_name", &"heap")]);
        client.create(Some("m"), spec).await.unwrap();
        client.write("m", PAGE, "kept").await.unwrap();
        house.kernel.plan.fail_call(Call::HeapBlock, libc::ENOMEM, 1);
        refused(client.grow("m", 3).await, "HOST_EXHAUSTED", &[("limit_name", &"heap")]);
        assert_eq!(client.read("m", PAGE, 4).await.unwrap(), "kept");
        assert_eq!(used(&client, "committed_bytes").await, 2 * PAGE + 2 * PAGE, "the witness too");
        client.delete("m").await.unwrap();
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn reads_and_writes_beside_a_growth_that_moves_find_the_memory_before_it_or_after_it() {
    let house = House::start();
    let client = house.client().await;
    for spec in heap() {
        client.create(Some("m"), spec).await.unwrap();
        let (writer, grower) = (house.client().await, house.client().await);
        let writes = async {
            for round in 0..200_u64 {
                let at = round % 128 * 1024;
                writer.write("m", at, pattern(1024, 7)).await.unwrap();
                let read = writer.read("m", at, 1024).await.unwrap();
                assert!(read == pattern(1024, 7), "a write was lost");
            }
        };
        let grows = async {
            for _ in 0..30 {
                grower.grow("m", 1).await.unwrap();
            }
        };
        tokio::join!(writes, grows);
        assert_eq!(client.memory("m").await.unwrap().size_pages, 32);
        for at in 0..128 {
            let read = client.read("m", at * 1024, 1024).await.unwrap();
            assert!(read == pattern(1024, 7), "a write was lost");
        }
        let new = client.read("m", 2 * PAGE, 30 * PAGE).await.unwrap();
        assert!(new.iter().all(|byte| *byte == 0));
        client.delete("m").await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_protected_range_is_so_on_the_heap_and_stays_so_where_it_moves_to() {
    let house = House::start();
    let client = house.client().await;
    for spec in heap() {
        client.create(Some("m"), spec).await.unwrap();
        let protect = ProtectMemoryRequest {
            memory_id: "m".to_owned(),
            uid: None,
            offset: 100,
            length: PAGE,
            protection: Protection::Read.into(),
        };
        client.protect_memory(protect).await.unwrap();
        client.grow("m", 2).await.unwrap();
        refused(client.write("m", 99, "ab").await, "PROTECTED", &[("offset", &100)]);
        refused(client.fill("m", 0, 4 * PAGE, 1).await, "PROTECTED", &[("offset", &100)]);
        client.write("m", PAGE + 100, "free").await.unwrap();
        client.read("m", 0, 4 * PAGE).await.unwrap();
        assert_eq!(client.memory("m").await.unwrap().stats.unwrap().trap_count, 2);
        client.delete("m").await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_heap_memory_that_lost_a_page_is_quarantined_and_kept_from_the_heap() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    for spec in heap() {
        client.create(Some("m"), spec).await.unwrap();
        client.fill("m", 0, 2 * PAGE, 0x5E).await.unwrap();
        house.kernel.break_last_mapping(4096, 4096);
        let lost: [(&str, &dyn std::fmt::Display); 1] = [("offset", &4096)];
        refused(client.read("m", 4096, 100).await, "HARDWARE_FAULT", &lost);
        client.delete("m").await.unwrap();
        let ranges = house.daemon.server.registry.quarantined_ranges();
        assert_eq!(ranges.len(), 1, "no store reaches it, and it is not the kernel's to take back");
        // Whoever comes next has another block.
        let populate = Populate::Initial.into();
        let spec = MemorySpec { populate, allocator: Allocator::Heap.into(), ..pages(2) };
        client.create(Some("n"), spec).await.unwrap();
        let bytes = client.read("n", 0, 2 * PAGE).await.unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        client.delete("n").await.unwrap();
        house.kernel.mend_last_broken();
        crate::harness::eventually("it was given back", async || {
            house.daemon.server.registry.quarantined_ranges().is_empty()
        })
        .await;
    }
    witness.is_unharmed().await;
    house.stop().await;
}

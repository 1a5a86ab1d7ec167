//! Claims about memories that are not the usual kind, of the heap and of the fixed arena: the same
//! promises, and what each says of itself.

use std::fmt::Display;

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
        let error = client.grow("m", 7).await.unwrap_err();
        let failure = error.failure().unwrap();
        assert_eq!(failure.reason, "QUOTA_EXCEEDED");
        let used = failure.number("used").unwrap();
        assert!((7 * PAGE..8 * PAGE).contains(&used), "what it is asked for is not in it: {used}");
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
        let word = Protection::Read.as_str_name();
        let one: [(&str, &dyn Display); 3] =
            [("offset", &100), ("length", &1), ("protection", &word)];
        refused(client.write("m", 99, "ab").await, "PROTECTED", &one);
        let all: [(&str, &dyn Display); 3] =
            [("offset", &100), ("length", &PAGE), ("protection", &word)];
        refused(client.fill("m", 0, 4 * PAGE, 1).await, "PROTECTED", &all);
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
        let lost: [(&str, &dyn Display); 2] = [("offset", &4096), ("length", &100)];
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

/// A memory in a slot.
fn fixed(initial_pages: u64) -> MemorySpec {
    MemorySpec { allocator: Allocator::Fixed.into(), ..pages(initial_pages) }
}

#[tokio::test]
async fn without_an_arena_fixed_memories_are_refused_by_name_with_what_to_do() {
    let house = House::start();
    let client = house.client().await;
    let error = client.create(Some("m"), fixed(1)).await;
    let said = error.as_ref().unwrap_err().to_string();
    assert!(said.contains("fixed.slots"), "{said}");
    let numbers: [(&str, &dyn Display); 2] =
        [("field", &"spec.allocator"), ("value", &"ALLOCATOR_FIXED")];
    refused(error, "CAPABILITY_UNAVAILABLE", &numbers);
    house.stop().await;
}

#[tokio::test]
async fn a_fixed_memory_is_as_long_as_its_slot_at_most_and_says_so() {
    let Some(house) = House::with_arena(2, 4) else { return };
    let client = house.client().await;
    let capabilities = client.server_info().await.unwrap().capabilities;
    let found = capabilities.iter().find(|one| one.name == "allocator_fixed").unwrap();
    assert_eq!(found.state(), linmemd::client::proto::CapabilityState::Available);
    let host = || house.daemon.server.registry.host.holdings().map(|holding| holding.used);
    let at_start = host();
    assert_eq!((at_start[0], at_start[2]), (8 * PAGE, 5), "the arena, and two mappings a slot");

    for (asked, had) in [(None, 4), (Some(3), 3), (Some(100), 4)] {
        let spec = MemorySpec { maximum_pages: asked, ..fixed(1) };
        let made = client.create(Some("m"), spec).await.unwrap().spec.unwrap();
        assert_eq!((made.allocator(), made.maximum_pages), (Allocator::Fixed, Some(had)));
        assert_eq!(made.guard.unwrap().after_bytes, Some(PAGE));
        assert_eq!(used(&client, "committed_bytes").await, PAGE, "of the tenant's quota");
        client.grow("m", had - 1).await.unwrap();
        assert_eq!(used(&client, "committed_bytes").await, had * PAGE);
        let now = host();
        assert_eq!((now[0], now[2], now[3]), (at_start[0], at_start[2], at_start[3]), "paid");
        let numbers: [(&str, &dyn Display); 4] = [
            ("current_pages", &had),
            ("delta_pages", &1),
            ("limit", &had),
            ("limit_name", &"maximum_pages"),
        ];
        refused(client.grow("m", 1).await, "MAXIMUM_REACHED", &numbers);
        let seen = in_full(&client, "m").await;
        assert_eq!(seen.resident_bytes, Some(had * PAGE), "untouched as it is");
        assert_eq!(seen.placement.unwrap().guard.unwrap().kind(), GuardKind::ProtNone);
        client.delete("m").await.unwrap();
    }
    let error = client.create(Some("m"), fixed(5)).await;
    refused(error, "INVALID_SPEC", &[("field", &"spec.initial_pages")]);
    house.stop().await;
}

#[tokio::test]
async fn a_create_past_the_slots_is_refused_by_their_name_and_one_that_comes_back_is_had() {
    let Some(house) = House::with_arena(2, 1) else { return };
    let client = house.client().await;
    for name in ["a", "b"] {
        client.create(Some(name), fixed(1)).await.unwrap();
    }
    let error = client.create(Some("c"), fixed(1)).await;
    let said = error.as_ref().unwrap_err().to_string();
    assert!(said.contains("fixed.slots") && !said.contains('2'), "no host figures: {said}");
    refused(error, "HOST_EXHAUSTED", &[("limit_name", &"fixed_slots")]);
    client.delete("a").await.unwrap();
    client.create(Some("c"), fixed(1)).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_recycled_heap_block_or_fixed_slot_is_zero_whoever_had_it() {
    let Some(house) = House::with_arena(1, 4) else { return };
    let (one, other) = (house.client().await, house.client_of("other").await);
    let [exclusive, shared] = heap();
    let slot = MemorySpec { initial_pages: 2, maximum_pages: Some(4), ..fixed(2) };
    for spec in [exclusive, shared, slot] {
        for round in 0..6 {
            let (had, has) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
            had.create(Some("m"), spec.clone()).await.unwrap();
            had.grow("m", 2).await.unwrap();
            had.fill("m", 0, 4 * PAGE, 0x5E).await.unwrap();
            had.delete("m").await.unwrap();
            has.create(Some("m"), spec.clone()).await.unwrap();
            has.grow("m", 2).await.unwrap();
            let bytes = has.read("m", 0, 4 * PAGE).await.unwrap();
            assert!(bytes.iter().all(|byte| *byte == 0), "{spec:?}");
            has.delete("m").await.unwrap();
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn a_fixed_slot_that_could_not_be_wiped_is_nobodys_until_it_could() {
    let Some(house) = House::with_arena(1, 2) else { return };
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    client.create(Some("m"), fixed(2)).await.unwrap();
    client.fill("m", 0, 2 * PAGE, 0x5E).await.unwrap();
    // No store reaches it, and the kernel refuses to take it back.
    let refusals = 1_000;
    let call = Call::Advise(linmemd::os::kernel::Advice::DontNeedLocked);
    house.kernel.plan.fail_call(call, libc::ENOMEM, refusals);
    house.kernel.break_last_locked(4096, 4096);
    let lost: [(&str, &dyn Display); 2] = [("offset", &4096), ("length", &100)];
    refused(client.read("m", 4096, 100).await, "HARDWARE_FAULT", &lost);
    client.delete("m").await.unwrap();
    assert_eq!(house.daemon.server.registry.quarantined_ranges().len(), 1);
    let none = client.create(Some("n"), fixed(1)).await;
    refused(none, "HOST_EXHAUSTED", &[("limit_name", &"fixed_slots")]);
    house.kernel.plan.forget();
    house.kernel.mend_last_broken();
    crate::harness::eventually("it was given back", async || {
        house.daemon.server.registry.quarantined_ranges().is_empty()
    })
    .await;
    client.create(Some("n"), fixed(2)).await.unwrap();
    let bytes = client.read("n", 0, 2 * PAGE).await.unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn an_arena_that_cannot_be_locked_ends_the_start_naming_limit_need_and_remedy() {
    let kernel = std::sync::Arc::new(linmemd::os::failing::FailingKernel::new());
    kernel.fail_call(Call::Lock, libc::ENOMEM, 1);
    let mut config = linmemd::config::Config::default();
    config.grpc.listen = "127.0.0.1:0".parse().unwrap();
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    (config.fixed.slots, config.fixed.slot_pages) = (3, 2);
    let said = linmemd::daemon::Daemon::start(&config, kernel).unwrap_err().to_string();
    for word in ["fixed.slots", "393216"] {
        assert!(said.contains(word), "{said:?} lacks {word}");
    }
    config.memory.host_budget = Some(1 << 17);
    let kernel = std::sync::Arc::new(linmemd::os::failing::FailingKernel::new());
    let said = linmemd::daemon::Daemon::start(&config, kernel).unwrap_err().to_string();
    assert!(said.contains("memory.host_budget"), "{said}");
}

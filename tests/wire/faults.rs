//! Claims about what goes wrong inside: a fault of the host or a panic is answered, counted, harms
//! the one memory that it met, and that memory can still be described and deleted.

use linmemd::client::Client;
use linmemd::client::proto::{GetMemoryRequest, MemoryState, MemoryView};
use linmemd::os::kernel::{Advice, Call};

use crate::contract::refused;
use crate::harness::{House, PAGE, Witness, eventually, pages};

async fn only_get_and_delete_work(client: &Client, why: &str) {
    let reason: [(&str, &dyn std::fmt::Display); 1] = [("state_reason", &why)];
    refused(client.read("m", 0, 1).await, "QUARANTINED", &reason);
    refused(client.write("m", 0, "x").await, "QUARANTINED", &reason);
    refused(client.fill("m", 0, 2 * PAGE, 1).await, "QUARANTINED", &reason);
    refused(client.grow("m", 1).await, "QUARANTINED", &reason);
    let memory = client.memory("m").await.unwrap();
    assert_eq!((memory.state(), memory.state_reason.as_str()), (MemoryState::Quarantined, why));
    let full = GetMemoryRequest {
        memory_id: "m".to_owned(),
        view: MemoryView::Full.into(),
        ..Default::default()
    };
    assert_eq!(client.get_memory(full).await.unwrap().state(), MemoryState::Quarantined);
    client.delete("m").await.unwrap();
    client.create(Some("m"), pages(1)).await.unwrap();
}

#[tokio::test]
async fn a_fault_of_the_host_inside_a_read_quarantines_that_memory_alone() {
    let house = House::dedicated();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    client.create(Some("m"), pages(2)).await.unwrap();
    client.fill("m", 0, 2 * PAGE, 5).await.unwrap();
    // Behind the guard before the memory, and its first page.
    house.kernel.break_last_mapping(2 * 65_536, 4_096);
    let numbers: [(&str, &dyn std::fmt::Display); 2] = [("offset", &(PAGE - 8)), ("length", &16)];
    refused(client.read("m", PAGE - 8, 16).await, "HARDWARE_FAULT", &numbers);
    let page = house.scrape().await;
    assert_eq!(page.value("linmemd_quarantined_memories", &[]), 1.0);
    only_get_and_delete_work(&client, "the host lost bytes of it").await;
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_panic_is_answered_counted_and_harms_one_memory() {
    let mut house = House::dedicated();
    house.will_panic();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    client.create(Some("m"), pages(2)).await.unwrap();
    house.kernel.plan.panic_at(Call::Protect);
    let failure = refused(client.grow("m", 1).await, "INTERNAL_FAULT", &[]);
    assert!(!failure.message.contains("panic"), "a fixed text: {failure}");
    let why = client.memory("m").await.unwrap().state_reason;
    only_get_and_delete_work(&client, &why).await;
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_range_that_cannot_be_released_is_charged_counted_listed_and_tried_again() {
    let house = House::with(|config| {
        config.memory.slabs = false;
        config.lease.sweep_interval = std::time::Duration::from_millis(50);
    });
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    for (call, step) in [(Call::Advise(Advice::DontNeed), "wipe"), (Call::Unmap, "release")] {
        client.create(Some("m"), pages(2)).await.unwrap();
        client.fill("m", 0, 2 * PAGE, 5).await.unwrap();
        house.kernel.plan.fail_call(call, 12, u64::MAX);
        client.delete("m").await.unwrap();
        refused(client.memory("m").await, "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
        eventually("it was tried again", async || {
            let ranges = client.host().await.unwrap().quarantined_ranges;
            assert_eq!((ranges.len(), ranges[0].tenant.as_str()), (1, "default"));
            assert_eq!((ranges[0].errno, ranges[0].step.as_str()), (12, step));
            assert!(ranges[0].bytes >= 2 * PAGE);
            ranges[0].attempts >= 2
        })
        .await;
        let page = house.scrape().await;
        assert!(page.value("linmemd_quarantined_bytes", &[]) >= 2.0 * 65_536.0);
        let charged = [("tenant", "default"), ("resource", "committed_bytes")];
        assert_eq!(page.value("linmemd_quota_used", &charged), 4.0 * 65_536.0);
        house.kernel.plan.forget();
        eventually("it was given back", async || {
            client.host().await.unwrap().quarantined_ranges.is_empty()
        })
        .await;
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_host_that_refuses_pages_is_an_exhausted_host_and_costs_nothing() {
    let house = House::dedicated();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let refusal = |outcome: Result<(), linmemd::client::ClientError>| {
        let failure = outcome.unwrap_err().failure().cloned().unwrap();
        assert_eq!(failure.reason, "HOST_EXHAUSTED");
        assert!(failure.message.contains("vm.max_map_count"), "{failure}");
    };
    house.kernel.plan.fail_call(Call::MapReserved, 12, 1);
    refusal(client.create(Some("m"), pages(1)).await.map(drop));
    house.kernel.plan.fail_call(Call::Protect, 12, 1);
    refusal(client.grow("w", 1).await.map(drop));
    witness.is_unharmed().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    house.stop().await;
}

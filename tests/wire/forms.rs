//! Claims about what is asked of the host: whatever the form, the same bytes come back, growth shows
//! zeros, and what was given is told with its evidence.

use std::time::Duration;

use linmemd::client::Client;
use linmemd::client::proto::{
    Allocator, Backing, CapabilityState, CreateMemoryRequest, Evidence, GetMemoryRequest,
    HugePages, Locking, Memory, MemorySpec, MemoryView, Numa, NumaPolicy, Populate, Reservation,
    Tagging, TaggingMode, TaggingRequirement,
};
use linmemd::os::kernel::{Advice, Call};

use crate::contract::refused;
use crate::grpc::{Wire, framed};
use crate::harness::{House, PAGE, Witness, eventually, pages, pattern};

fn numa(policy: NumaPolicy, nodes: &[u32], strict: bool) -> Option<Numa> {
    Some(Numa { policy: policy.into(), nodes: nodes.to_vec(), strict })
}

fn tagging(requirement: TaggingRequirement) -> Option<Tagging> {
    Some(Tagging { requirement: requirement.into(), ..Default::default() })
}

/// Specs of every form that every host has.
fn specs() -> Vec<(&'static str, MemorySpec)> {
    let plain = MemorySpec { initial_pages: 2, maximum_pages: Some(20), ..Default::default() };
    let populated = |populate: Populate| MemorySpec { populate: populate.into(), ..plain.clone() };
    let memfd = MemorySpec { backing: Backing::Memfd.into(), ..plain.clone() };
    let full = MemorySpec { reservation: Reservation::Wasm32Full.into(), ..plain.clone() };
    let heap = MemorySpec { allocator: Allocator::Heap.into(), ..plain.clone() };
    let rather = vec![HugePages::Transparent.into(), HugePages::Base.into()];
    vec![
        ("plain", plain.clone()),
        ("shared", MemorySpec { shared: true, ..plain.clone() }),
        ("memfd shared", MemorySpec { shared: true, ..memfd.clone() }),
        ("memfd", memfd.clone()),
        ("full", full),
        ("initial", populated(Populate::Initial)),
        ("on grow", populated(Populate::OnGrow)),
        ("maximum", populated(Populate::Maximum)),
        ("memfd maximum", MemorySpec { populate: Populate::Maximum.into(), ..memfd }),
        (
            "preferred",
            MemorySpec { numa: numa(NumaPolicy::Preferred, &[0], false), ..plain.clone() },
        ),
        ("bind", MemorySpec { numa: numa(NumaPolicy::Bind, &[0], false), ..plain.clone() }),
        ("elsewhere", MemorySpec { numa: numa(NumaPolicy::Bind, &[1023], false), ..plain.clone() }),
        ("transparent or base", MemorySpec { huge_pages: rather, ..plain.clone() }),
        ("tagged", MemorySpec { tagging: tagging(TaggingRequirement::Prefer), ..plain.clone() }),
        ("heap", heap.clone()),
        ("heap shared", MemorySpec { shared: true, ..heap.clone() }),
        ("fixed", MemorySpec { allocator: Allocator::Fixed.into(), ..plain }),
        ("heap on grow", MemorySpec { populate: Populate::OnGrow.into(), ..heap }),
    ]
}

async fn in_full(client: &Client, memory_id: &str) -> Memory {
    let view = MemoryView::Full.into();
    let get = GetMemoryRequest { memory_id: memory_id.to_owned(), view, ..Default::default() };
    client.get_memory(get).await.unwrap()
}

#[tokio::test]
async fn whatever_the_form_the_same_bytes_come_back_and_new_ones_are_zero() {
    let arena = House::with_arena(1, 20);
    let has_arena = arena.is_some();
    let house = arena.unwrap_or_else(House::start);
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    for (name, spec) in specs().into_iter().filter(|(name, _)| has_arena || *name != "fixed") {
        for round in ["first", "recycled"] {
            let made = client.create(Some("m"), spec.clone()).await.unwrap();
            let effective = made.spec.unwrap();
            assert_eq!(effective.maximum_pages, Some(20), "{name}");
            for (asked, had) in [
                (spec.allocator, effective.allocator),
                (i32::from(spec.shared), i32::from(effective.shared)),
                (spec.backing, effective.backing),
                (spec.populate, effective.populate),
                (spec.reservation, effective.reservation),
            ] {
                assert!(asked == 0 || asked == had, "{name}");
            }
            let zero = client.read("m", 0, 2 * PAGE).await.unwrap();
            assert!(zero.iter().all(|byte| *byte == 0), "{name}, {round}");
            let bytes = pattern(PAGE + 100, 3);
            client.write("m", PAGE - 100, bytes.clone()).await.unwrap();
            let grown = client.grow("m", 3).await.unwrap();
            assert_eq!((grown.previous_pages, grown.current_pages), (2, 5));
            let read = client.read("m", PAGE - 100, PAGE + 100).await.unwrap();
            assert!(read == bytes, "{name}, {round}");
            let new = client.read("m", 2 * PAGE, 3 * PAGE).await.unwrap();
            assert!(new.iter().all(|byte| *byte == 0), "{name}, {round}: what was grown");
            client.fill("m", 0, 5 * PAGE, 0xA5).await.unwrap();
            let size = 5 * PAGE;
            refused(
                client.read("m", size, 1).await,
                "OUT_OF_BOUNDS",
                &[("offset", &size), ("length", &1), ("size_bytes", &size)],
            );
            client.delete("m").await.unwrap();
        }
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn pages_taken_in_advance_are_in_ram_before_anyone_touches_them() {
    let house = House::start();
    let client = house.client().await;
    let cases = [
        (Populate::None, 0, 0),
        (Populate::Initial, 2, 2),
        (Populate::OnGrow, 2, 5),
        (Populate::Maximum, 20, 20),
    ];
    for backing in [Backing::Anonymous, Backing::Memfd] {
        for (populate, at_first, grown) in cases {
            let spec = MemorySpec {
                initial_pages: 2,
                maximum_pages: Some(20),
                backing: backing.into(),
                populate: populate.into(),
                ..Default::default()
            };
            let id = format!("{backing:?}.{populate:?}");
            client.create(Some(&id), spec.clone()).await.unwrap();
            let resident = in_full(&client, &id).await.resident_bytes;
            assert_eq!(resident, Some(at_first * PAGE), "{id}");
            // A second one, for an observation may be a second old.
            let other = format!("{id}.grown");
            client.create(Some(&other), spec).await.unwrap();
            client.grow(&other, 3).await.unwrap();
            let resident = in_full(&client, &other).await.resident_bytes;
            assert_eq!(resident, Some(grown * PAGE), "{other}");
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn a_maximum_taken_in_advance_is_charged_from_the_start_and_growing_into_it_costs_nothing() {
    let house = House::start();
    let client = house.client().await;
    let used = async || {
        let quotas = client.server_info().await.unwrap().quotas;
        quotas.iter().find(|quota| quota.resource == "committed_bytes").unwrap().used
    };
    let populate = Populate::Maximum.into();
    let spec = MemorySpec { initial_pages: 1, maximum_pages: Some(10), populate, ..pages(1) };
    client.create(Some("m"), spec).await.unwrap();
    assert_eq!(used().await, 10 * PAGE);
    client.grow("m", 9).await.unwrap();
    assert_eq!(used().await, 10 * PAGE);
    house.stop().await;
}

#[tokio::test]
async fn a_placement_says_what_was_asked_and_given_and_how_that_is_known() {
    let house = House::start();
    let client = house.client().await;
    let spec = |policy, nodes: &[u32]| MemorySpec {
        numa: numa(policy, nodes, false),
        populate: Populate::Initial.into(),
        ..pages(4)
    };
    client.create(Some("here"), spec(NumaPolicy::Bind, &[0])).await.unwrap();
    let nodes = in_full(&client, "here").await.placement.unwrap().nodes.unwrap();
    assert!(nodes.policy_in_force);
    assert_eq!((nodes.given.as_slice(), nodes.evidence()), (&[0][..], Evidence::Observed));
    assert_eq!(nodes.held[0].bytes, 4 * PAGE);
    client.create(Some("gone"), spec(NumaPolicy::Bind, &[1023])).await.unwrap();
    let nodes = in_full(&client, "gone").await.placement.unwrap().nodes.unwrap();
    assert!(!nodes.policy_in_force);
    assert_eq!(nodes.asked.unwrap().nodes, [1023]);
    assert!(!nodes.given.contains(&1023));
    let page = house.scrape().await;
    assert_eq!(page.value("linmemd_placement_fallbacks_total", &[("kind", "numa")]), 1.0);
    client.create(Some("plain"), pages(1)).await.unwrap();
    let placement = in_full(&client, "plain").await.placement.unwrap();
    let given = placement.pages.unwrap();
    assert_eq!((given.given.as_slice(), given.granule_bytes), (&[4][..], PAGE));
    house.stop().await;
}

#[tokio::test]
async fn a_node_that_is_not_there_is_refused_where_strict_with_what_to_do() {
    let house = House::start();
    let client = house.client().await;
    for policy in [NumaPolicy::Preferred, NumaPolicy::Bind, NumaPolicy::Interleave] {
        let spec = MemorySpec { numa: numa(policy, &[0, 1023], true), ..pages(1) };
        let error = client.create(Some("m"), spec).await;
        let said = error.as_ref().unwrap_err().to_string();
        assert!(said.contains("GetHost"), "{said}");
        refused(
            error,
            "CAPABILITY_UNAVAILABLE",
            &[("field", &"spec.numa.nodes"), ("value", &"[0, 1023]")],
        );
    }
    house.stop().await;
}

#[tokio::test]
async fn a_pool_without_pages_is_told_and_a_list_that_ends_in_base_gets_base_pages() {
    let house = House::start();
    let client = house.client().await;
    let spec = |huge_pages: &[HugePages]| MemorySpec {
        huge_pages: huge_pages.iter().map(|kind| i32::from(*kind)).collect(),
        ..pages(1)
    };
    house.kernel.plan.fail_call(Call::Allocate, libc::ENOSPC, 2);
    let error = client.create(Some("m"), spec(&[HugePages::HugePages2m])).await;
    let numbers: [(&str, &dyn std::fmt::Display); 2] =
        [("field", &"spec.huge_pages"), ("page_bytes", &(2 << 20))];
    refused(error, "HUGE_PAGES_EXHAUSTED", &numbers);
    client.create(Some("m"), spec(&[HugePages::HugePages2m, HugePages::Base])).await.unwrap();
    let placement = in_full(&client, "m").await.placement.unwrap().pages.unwrap();
    assert_eq!(placement.asked, [2, 4]);
    assert_eq!(placement.given, [4]);
    let page = house.scrape().await;
    assert_eq!(page.value("linmemd_placement_fallbacks_total", &[("kind", "huge_pages")]), 1.0);
    house.stop().await;
}

#[tokio::test]
async fn a_deadline_that_passes_while_pages_are_taken_gives_everything_back() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let wire = Wire::connect(house.grpc()).await;
    let pause = house.kernel.pause_at(Call::Advise(Advice::PopulateWrite));
    let spec = MemorySpec {
        initial_pages: 1024,
        populate: Populate::Initial.into(),
        ..MemorySpec::default()
    };
    let create = CreateMemoryRequest {
        memory_id: Some("m".to_owned()),
        spec: Some(spec),
        ..Default::default()
    };
    let mut started = wire.begin("CreateMemory", &[("grpc-timeout", "50m")]).await;
    started.body.send_data(framed(&create).into(), true).unwrap();
    let answer = tokio::spawn(started.answer());
    pause.reached(1).await;
    wire.let_pass(Duration::from_millis(60)).await;
    // The answer comes when everything was given back, not before.
    assert!(!answer.is_finished());
    drop(pause);
    refused(answer.await.unwrap().outcome(), "DEADLINE_PASSED", &[]);
    let host = &house.daemon.server.registry.host;
    eventually("the charge is back", async || {
        let used =
            host.holdings().iter().find(|one| one.resource == "committed_bytes").unwrap().used;
        used == 2 * PAGE
    })
    .await;
    let takes = house.kernel.plan.calls();
    let taken = takes.iter().filter(|call| **call == Call::Advise(Advice::PopulateWrite)).count();
    assert_eq!(taken, 1, "no slice after the one that ran");
    refused(client.memory("m").await, "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_locked_memory_that_lost_a_page_is_given_back_all_the_same() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let spec = MemorySpec { locking: Locking::Locked.into(), ..pages(2) };
    if client.create(Some("m"), spec).await.is_err() {
        #[expect(clippy::print_stderr, reason = "what is left out is said")]
        {
            eprintln!("left out: RLIMIT_MEMLOCK allows no locked memory of 128 KiB");
        }
        return house.stop().await;
    }
    client.fill("m", 0, 2 * PAGE, 0x5E).await.unwrap();
    // Behind the guard before it.
    house.kernel.break_last_mapping(65_536 + 65_536, 4096);
    let numbers: [(&str, &dyn std::fmt::Display); 2] = [("offset", &PAGE), ("length", &100)];
    refused(client.read("m", PAGE, 100).await, "HARDWARE_FAULT", &numbers);
    client.delete("m").await.unwrap();
    witness.is_unharmed().await;
    // Asserts that nothing is quarantined or charged.
    house.stop().await;
}

#[tokio::test]
async fn tags_are_given_or_refused_as_the_capability_says_and_the_placement_tells() {
    let house = House::start();
    let client = house.client().await;
    let info = client.server_info().await.unwrap();
    let tags = info.capabilities.iter().find(|one| one.name == "memory_tagging").unwrap();
    let create = async |id, requirement| {
        client.create(Some(id), MemorySpec { tagging: tagging(requirement), ..pages(1) }).await
    };
    let preferred = create("preferred", TaggingRequirement::Prefer).await.unwrap();
    let spec = preferred.spec.unwrap().tagging.unwrap();
    assert_eq!(spec.requirement(), TaggingRequirement::Prefer);
    assert_eq!((spec.mode(), spec.tag_mask), (TaggingMode::Synchronous, 0xFFFE));
    let placed = in_full(&client, "preferred").await.placement.unwrap().tagging.unwrap();
    assert_eq!(placed.asked, Some(spec));
    let required = create("required", TaggingRequirement::Require).await;
    let fallbacks = house.scrape().await;
    let fallbacks = fallbacks.value("linmemd_placement_fallbacks_total", &[("kind", "tagging")]);
    if tags.state() == CapabilityState::Available {
        assert_eq!((placed.given, fallbacks), (Some(TaggingMode::Synchronous.into()), 0.0));
        required.unwrap();
    } else {
        assert_eq!((placed.given, fallbacks), (None, 1.0));
        let value = "TAGGING_REQUIREMENT_REQUIRE";
        let field = "spec.tagging.requirement";
        refused(required, "CAPABILITY_UNAVAILABLE", &[("field", &field), ("value", &value)]);
        assert!(tags.reason.contains("tagging"), "{}", tags.reason);
    }
    house.stop().await;
}

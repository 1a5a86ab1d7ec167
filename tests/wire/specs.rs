//! Claims about specs: what is not built is refused by field and value, what contradicts itself is
//! INVALID_SPEC, what is no value at all is INVALID_FIELD, and what was had is spelled out.

use std::collections::BTreeMap;

use linmemd::client::proto::{self, CreateMemoryRequest, MemorySpec};
use linmemd::client::{Client, ClientError};

use crate::contract::{invalid, refused};
use crate::harness::{House, Witness, pages};

type Change = fn(&mut MemorySpec);

const HEAP: i32 = 2;
const FIXED: i32 = 3;

async fn create(client: &Client, change: Change) -> Result<proto::Memory, ClientError> {
    let mut spec = pages(1);
    change(&mut spec);
    client.create(Some("m"), spec).await
}

#[tokio::test]
async fn every_field_that_is_not_built_is_refused_with_its_name_and_value() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let unbuilt: &[(&str, &str, Change)] = &[
        ("spec.attachable", "true", |s| s.attachable = true),
        ("spec.allocator", "ALLOCATOR_FIXED", |s| s.allocator = 3),
    ];
    for (field, value, change) in unbuilt {
        let outcome = create(&client, *change).await;
        refused(outcome, "CAPABILITY_UNAVAILABLE", &[("field", field), ("value", value)]);
    }
    let missing = client.memory("m").await;
    refused(missing, "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_required_capability_that_is_not_there_is_refused_by_its_name_on_one_line() {
    let house = House::start();
    let client = house.client().await;
    let create = |names: &[&str]| CreateMemoryRequest {
        memory_id: Some("m".to_owned()),
        spec: Some(pages(1)),
        required_capabilities: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    };
    for name in ["allocator_fixed", "time_travel"] {
        let outcome = client.create_memory(create(&["leases", name])).await;
        let numbers: [(&str, &dyn std::fmt::Display); 2] =
            [("field", &"required_capabilities"), ("value", &name)];
        refused(outcome, "CAPABILITY_UNAVAILABLE", &numbers);
    }
    let odd = format!("time\n\u{1b}[2Jtravel{}", "l".repeat(1_000));
    let outcome = client.create_memory(create(&[&odd])).await;
    let shown = format!("time\\n\\x1b[2Jtravel{}", "l".repeat(64 - 19));
    refused(
        outcome,
        "CAPABILITY_UNAVAILABLE",
        &[("field", &"required_capabilities"), ("value", &shown)],
    );
    let capabilities = client.server_info().await.unwrap().capabilities;
    let available: Vec<&str> = capabilities
        .iter()
        .filter(|one| one.state() != proto::CapabilityState::Refused)
        .map(|one| one.name.as_str())
        .collect();
    client.create_memory(create(&available)).await.unwrap();
    for refused in capabilities.iter().filter(|one| !available.contains(&one.name.as_str())) {
        assert!(!refused.reason.is_empty(), "{refused:?}");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_spec_that_no_memory_can_have_is_invalid_and_says_which_field() {
    let house = House::start();
    let client = house.client().await;
    let invalid: &[(&str, Change)] = &[
        ("spec.initial_pages", |s| (s.initial_pages, s.maximum_pages) = (65_537, None)),
        ("spec.initial_pages", |s| (s.initial_pages, s.maximum_pages) = (u64::MAX, None)),
        ("spec.maximum_pages", |s| s.maximum_pages = Some(65_537)),
        ("spec.maximum_pages", |s| s.maximum_pages = Some(u64::MAX)),
        ("spec.maximum_pages", |s| (s.initial_pages, s.maximum_pages) = (2, Some(1))),
        ("spec.initial_pages", |s| (s.index_type, s.initial_pages) = (2, (1 << 48) + 1)),
        ("spec.guard", |s| guard(s).after_bytes = Some(u64::MAX)),
        ("spec.guard", |s| guard(s).before_bytes = Some(u64::MAX)),
        ("spec.reservation", |s| (s.index_type, s.reservation) = (2, 2)),
        ("spec.backing", |s| (s.allocator, s.backing) = (HEAP, 2)),
        ("spec.reservation", |s| (s.allocator, s.reservation) = (HEAP, 2)),
        ("spec.huge_pages", |s| (s.allocator, s.huge_pages) = (HEAP, vec![3, 4])),
        ("spec.numa.policy", |s| {
            (s.allocator, s.numa) = (HEAP, None);
            (numa(s).policy, numa(s).nodes) = (3, vec![0]);
        }),
        ("spec.guard", |s| {
            s.allocator = HEAP;
            guard(s).before_bytes = Some(1);
        }),
        ("spec.guard", |s| {
            s.allocator = HEAP;
            guard(s).after_bytes = Some(65_536);
        }),
        ("spec.locking", |s| (s.allocator, s.locking) = (HEAP, 2)),
        ("spec.populate", |s| (s.allocator, s.populate) = (HEAP, 4)),
        ("spec.backing", |s| (s.allocator, s.backing) = (FIXED, 2)),
        ("spec.reservation", |s| (s.allocator, s.reservation) = (FIXED, 2)),
        ("spec.huge_pages", |s| (s.allocator, s.huge_pages) = (FIXED, vec![3, 4])),
        ("spec.guard", |s| {
            s.allocator = FIXED;
            guard(s).after_bytes = Some(65_537);
        }),
        ("spec.verification", |s| (s.allocator, s.verification) = (HEAP, 4)),
        ("spec.verification", |s| (s.allocator, s.verification) = (HEAP, 5)),
        ("spec.verification", |s| {
            (s.allocator, s.shared, s.verification) = (HEAP, true, 6);
        }),
        ("spec.verification", |s| (s.allocator, s.verification) = (FIXED, 6)),
        ("spec.verification", |s| {
            tag(s).requirement = 2;
            s.verification = 4;
        }),
        ("spec.maximum_pages", |s| {
            (s.allocator, s.shared, s.maximum_pages) = (HEAP, true, None);
        }),
        ("spec.maximum_pages", |s| (s.shared, s.maximum_pages) = (true, None)),
        ("spec.huge_pages", |s| (s.backing, s.huge_pages) = (2, vec![3, 4])),
        ("spec.numa.nodes", |s| numa(s).nodes = vec![0]),
        ("spec.numa.nodes", |s| numa(s).policy = 3),
        ("spec.numa.strict", |s| numa(s).strict = true),
    ];
    let tagged: &[Change] = &[
        |s| s.backing = proto::Backing::Memfd.into(),
        |s| s.huge_pages = vec![proto::HugePages::HugePages2m.into()],
        |s| (numa(s).policy, numa(s).nodes) = (proto::NumaPolicy::Bind.into(), vec![0]),
        |s| s.populate = proto::Populate::Maximum.into(),
        |s| s.locking = proto::Locking::Locked.into(),
    ];
    for change in tagged {
        let mut spec = pages(1);
        tag(&mut spec).requirement = proto::TaggingRequirement::Prefer.into();
        change(&mut spec);
        let outcome = client.create(Some("m"), spec).await;
        refused(outcome, "INVALID_SPEC", &[("field", &"spec.tagging")]);
    }
    for (field, change) in invalid {
        refused(create(&client, *change).await, "INVALID_SPEC", &[("field", field)]);
    }
    house.stop().await;
}

#[tokio::test]
async fn a_value_that_is_none_is_an_invalid_field_and_never_the_default() {
    let house = House::start();
    let client = house.client().await;
    let unknown: &[(&str, Change)] = &[
        ("spec.index_type", |s| s.index_type = 77),
        ("spec.growth", |s| s.growth = -1),
        ("spec.owner", |s| s.owner = 77),
        ("spec.allocator", |s| s.allocator = 77),
        ("spec.backing", |s| s.backing = 77),
        ("spec.reservation", |s| s.reservation = 77),
        ("spec.huge_pages", |s| s.huge_pages = vec![4, 77]),
        ("spec.huge_pages", |s| s.huge_pages = vec![0]),
        ("spec.huge_pages", |s| s.huge_pages = vec![3, 4, 3]),
        ("spec.numa.nodes", |s| (numa(s).policy, numa(s).nodes) = (3, vec![1024])),
        ("spec.numa.nodes", |s| (numa(s).policy, numa(s).nodes) = (2, vec![0, u32::MAX])),
        ("spec.numa.policy", |s| numa(s).policy = 77),
        ("spec.populate", |s| s.populate = 77),
        ("spec.locking", |s| s.locking = 77),
        ("spec.verification", |s| s.verification = 77),
        ("spec.tagging.requirement", |s| tag(s).requirement = 77),
        ("spec.tagging.mode", |s| tag(s).mode = 77),
        ("spec.tagging.tag_mask", |s| tag(s).tag_mask = 0x1_0000),
        ("spec.lease_ttl", |s| s.lease_ttl = Some(prost_types::Duration { seconds: -1, nanos: 0 })),
        ("spec.lease_ttl", |s| s.lease_ttl = Some(prost_types::Duration::default())),
        ("spec.lease_ttl", |s| {
            s.lease_ttl = Some(prost_types::Duration { seconds: i64::MAX, nanos: i32::MAX });
        }),
        ("spec.display_name", |s| s.display_name = "n".repeat(257)),
        ("spec.labels", |s| s.labels = labels(65, 1)),
        ("spec.labels", |s| s.labels = labels(1, 257)),
        ("spec.labels", |s| s.labels = BTreeMap::from([("ä".to_owned(), String::new())])),
        ("spec.labels", |s| s.labels = BTreeMap::from([(String::new(), String::new())])),
    ];
    for (field, change) in unknown {
        invalid(create(&client, *change).await, field);
    }
    let widest = |s: &mut MemorySpec| {
        s.labels = labels(64, 256);
        s.display_name = "n".repeat(256);
    };
    create(&client, widest).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn an_effective_spec_says_everything_and_nothing_unspecified() {
    let house = House::start();
    let client = house.client().await;
    let memory = client.create(None, MemorySpec::default()).await.unwrap();
    let spec = memory.spec.clone().unwrap();
    let enums = [spec.index_type, spec.owner, spec.allocator, spec.backing, spec.growth];
    let more = [spec.reservation, spec.populate, spec.locking, spec.verification, memory.state];
    let (numa, tagging) = (spec.numa.unwrap(), spec.tagging.unwrap());
    let nested = [numa.policy, tagging.requirement, tagging.mode];
    for value in enums.iter().chain(&more).chain(&nested).chain(&spec.huge_pages) {
        assert_ne!(*value, 0, "UNSPECIFIED in {memory:?}");
    }
    assert!(!spec.huge_pages.is_empty());
    assert_eq!(spec.maximum_pages, Some(4_096));
    let guard = spec.guard.unwrap();
    assert_eq!((guard.before_bytes, guard.after_bytes), (Some(65_536), Some(65_536)));
    assert_eq!(memory.memory_id.len(), 32, "128 random bits");
    assert_eq!(client.memory(&memory.memory_id).await.unwrap().spec, memory.spec);
    let again = client.create(None, memory.spec.unwrap()).await.unwrap();
    assert_ne!((&again.memory_id, &again.uid), (&memory.memory_id, &memory.uid));
    house.stop().await;
}

#[tokio::test]
async fn guards_are_rounded_up_to_the_host_page_and_may_be_absent() {
    let house = House::start();
    let client = house.client().await;
    let host_page = client.server_info().await.unwrap().limits.unwrap().host_page_bytes;
    let memory = create(&client, |s| {
        (guard(s).before_bytes, guard(s).after_bytes) = (Some(0), Some(1));
    });
    let given = memory.await.unwrap().spec.unwrap().guard.unwrap();
    assert_eq!((given.before_bytes, given.after_bytes), (Some(0), Some(host_page)));
    house.stop().await;
}

fn numa(spec: &mut MemorySpec) -> &mut proto::Numa {
    spec.numa.get_or_insert_default()
}

fn tag(spec: &mut MemorySpec) -> &mut proto::Tagging {
    spec.tagging.get_or_insert_default()
}

fn guard(spec: &mut MemorySpec) -> &mut proto::Guard {
    spec.guard.get_or_insert_default()
}

fn labels(count: usize, value_bytes: usize) -> BTreeMap<String, String> {
    (0..count).map(|number| (format!("k{number}"), "v".repeat(value_bytes))).collect()
}

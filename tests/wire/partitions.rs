//! Claims about partitions over the wire: who may make them, what they show, what their memories get,
//! the minimum that is held while another is at its maximum, and those of the config.

use std::fmt::Display;

use linmemd::client::proto::{
    GrowMemoryRequest, HugePages, ListPartitionsRequest, MemorySpec, Partition, PartitionSpec,
    Populate,
};
use linmemd::client::{Client, ClientError};
use linmemd::config;
use linmemd::daemon::{Daemon, StartError};
use linmemd::os::kernel::{Kernel, Linux};

use crate::contract::{invalid, refused};
use crate::harness::{House, PAGE, Witness, connect, pages, tenant};

/// What a memory costs beside its bytes, and more.
const BESIDE: u64 = 8 << 10;
const SMALL: u64 = 4 * PAGE + BESIDE;

/// A house, and its operator on a Unix socket.
async fn house(change: impl FnOnce(&mut config::Config)) -> (House, Client, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sock");
    let house = House::with(|config| {
        config.grpc.unix_socket = Some(path.clone());
        change(config);
    });
    let operator = connect(&format!("unix://{}", path.display()), None).await;
    (house, operator, folder)
}

fn asked(minimum_bytes: u64, maximum_bytes: u64) -> PartitionSpec {
    PartitionSpec { minimum_bytes, maximum_bytes, ..Default::default() }
}

fn within(partition: &str, initial_pages: u64) -> MemorySpec {
    MemorySpec { partition: partition.to_owned(), maximum_pages: Some(64), ..pages(initial_pages) }
}

async fn make(operator: &Client, id: &str, spec: PartitionSpec) -> Result<Partition, ClientError> {
    operator.create_partition(Some(id), spec).await
}

/// Whether this process may lock what the tests here have locked; said where it may not.
#[expect(clippy::print_stderr, reason = "what is left out is said")]
fn can_lock() -> bool {
    let limit = Linux.lock_limit();
    if limit < 4 << 20 {
        eprintln!("left out: partitions with a minimum: RLIMIT_MEMLOCK is {limit}");
    }
    limit >= 4 << 20
}

/// What a tenant is told of the partition that a request names.
fn named<'a>(id: &'a &'a str) -> [(&'static str, &'a dyn Display); 1] {
    [("partition_id", id)]
}

#[tokio::test]
async fn an_operator_makes_sees_and_ends_partitions_and_memories_live_in_them() {
    if !can_lock() {
        return;
    }
    let (house, operator, _folder) = house(|_| {}).await;
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let made = make(&operator, "live", asked(SMALL, 8 * SMALL)).await.unwrap();
    let spec = made.spec.clone().unwrap();
    assert_eq!((spec.minimum_bytes, spec.maximum_bytes), (SMALL, 8 * SMALL));
    assert_eq!((spec.page_kind(), spec.locked), (HugePages::Base, false));
    assert_eq!((made.set_aside_bytes, made.used_bytes, made.memories), (SMALL, 0, 0));
    assert!(made.create_time.is_some());
    let inner = PartitionSpec { parent: "live".to_owned(), ..asked(0, SMALL) };
    make(&operator, "inner", inner).await.unwrap();

    let memory = client.create(Some("m"), within("live", 2)).await.unwrap();
    let spec = memory.spec.unwrap();
    assert_eq!((spec.partition.as_str(), spec.populate()), ("live", Populate::OnGrow));
    client.fill("m", 0, 2 * PAGE, 7).await.unwrap();
    client.grow("m", 4).await.unwrap();
    let seen = client.partition("live").await.unwrap();
    assert_eq!((seen.memories, seen.set_aside_bytes), (1, 0));
    assert_eq!(seen.borrowed_bytes, seen.used_bytes - SMALL);
    assert_eq!(seen.children, ["inner"]);

    let page = house.scrape().await;
    let value = |name: &str| page.value(name, &[("partition", "live")]);
    assert_eq!(value("linmemd_partition_minimum_bytes"), SMALL as f64);
    assert_eq!(value("linmemd_partition_maximum_bytes"), (8 * SMALL) as f64);
    assert_eq!(value("linmemd_partition_used_bytes"), seen.used_bytes as f64);
    assert_eq!(value("linmemd_partition_borrowed_bytes"), seen.borrowed_bytes as f64);
    assert_eq!(value("linmemd_partition_set_aside_bytes"), 0.0);

    let used: [(&str, &dyn Display); 3] =
        [("partition_id", &"live"), ("memories", &1), ("children", &1)];
    refused(operator.delete_partition("live", false).await, "PROTECTED", &used);
    client.delete("m").await.unwrap();
    assert_eq!(client.partition("live").await.unwrap().set_aside_bytes, SMALL);
    for id in ["inner", "live"] {
        operator.delete_partition(id, false).await.unwrap();
        refused(client.partition(id).await, "PARTITION_NOT_FOUND", &named(&id));
        let again = operator.delete_partition(id, false).await;
        refused(again, "PARTITION_NOT_FOUND", &named(&id));
        operator.delete_partition(id, true).await.unwrap();
    }
    assert!(!house.scrape().await.has("linmemd_partition_used_bytes"), "gone with it");
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_guaranteed_minimum_is_held_while_another_partition_is_at_its_maximum() {
    if !can_lock() {
        return;
    }
    // What two partitions take, the place of the minimum, and the request ids; no page more.
    let budget = 3 * SMALL + 32 * 1024;
    let (house, operator, _folder) = house(|config| config.memory.host_budget = Some(budget)).await;
    let client = house.client().await;
    make(&operator, "greedy", asked(0, 2 * SMALL)).await.unwrap();
    make(&operator, "held", asked(SMALL, SMALL)).await.unwrap();
    for _round in 0..20 {
        client.create(Some("a"), within("greedy", 8)).await.unwrap();
        let numbers: [(&str, &dyn Display); 3] = [
            ("partition_id", &"greedy"),
            ("limit_name", &"partition_committed_bytes"),
            ("limit", &(2 * SMALL)),
        ];
        refused(client.grow("a", 1).await, "QUOTA_EXCEEDED", &numbers);
        let outside = client.create(Some("o"), pages(1)).await;
        refused(outside, "HOST_EXHAUSTED", &[("limit_name", &"committed_bytes")]);
        // The whole minimum, in two steps.
        client.create(Some("h"), within("held", 2)).await.unwrap();
        client.fill("h", 0, 2 * PAGE, 0x5E).await.unwrap();
        client.grow("h", 2).await.unwrap();
        let grown = client.read("h", 2 * PAGE, 2 * PAGE).await.unwrap();
        assert!(grown.iter().all(|byte| *byte == 0));
        client.delete("h").await.unwrap();
        client.delete("a").await.unwrap();
    }
    assert_eq!(client.partition("held").await.unwrap().set_aside_bytes, SMALL);
    for id in ["held", "greedy"] {
        operator.delete_partition(id, false).await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn under_pressure_borrowing_is_refused_by_name_and_the_minimum_is_not() {
    if !can_lock() {
        return;
    }
    let (house, operator, _folder) = house(|_| {}).await;
    let client = house.client().await;
    make(&operator, "p", asked(SMALL, 8 * SMALL)).await.unwrap();
    client.create(Some("m"), within("p", 2)).await.unwrap();
    house.daemon.server.registry.set_pressure(true);
    client.grow("m", 2).await.unwrap();
    let grow =
        GrowMemoryRequest { memory_id: "m".to_owned(), delta_pages: 1, ..Default::default() };
    let lent = client.grow_memory(grow.clone()).await;
    refused(lent, "HOST_EXHAUSTED", &[("limit_name", &"partition_borrowing")]);
    client.create(Some("elsewhere"), pages(1)).await.unwrap();
    house.daemon.server.registry.set_pressure(false);
    client.grow_memory(grow).await.unwrap();
    client.delete("m").await.unwrap();
    operator.delete_partition("p", false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn over_tcp_partitions_can_be_looked_at_and_not_changed() {
    let (house, operator, _folder) = house(|_| {}).await;
    let client = house.client().await;
    make(&operator, "p", asked(0, SMALL)).await.unwrap();
    let role: [(&str, &dyn Display); 1] = [("role", &"operator")];
    refused(make(&client, "q", asked(0, SMALL)).await, "ROLE_MISSING", &role);
    refused(client.delete_partition("p", true).await, "ROLE_MISSING", &role);
    assert_eq!(client.partitions().await.unwrap().len(), 1);
    operator.delete_partition("p", false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn partitions_are_listed_in_order_a_page_at_a_time() {
    let (house, operator, _folder) = house(|_| {}).await;
    for number in (0..5).rev() {
        make(&operator, &format!("p{number}"), asked(0, SMALL)).await.unwrap();
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListPartitionsRequest { page_size: 2, page_token };
        let page = operator.list_partitions(request).await.unwrap();
        assert!(page.partitions.len() <= 2);
        seen.extend(page.partitions.into_iter().map(|one| one.partition_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["p0", "p1", "p2", "p3", "p4"]);
    for page_token in ["x", "00000000.p1"] {
        let request = ListPartitionsRequest { page_token: page_token.to_owned(), page_size: 0 };
        refused(operator.list_partitions(request).await, "PAGE_TOKEN_INVALID", &[]);
    }
    for id in seen {
        operator.delete_partition(&id, false).await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn what_contradicts_itself_or_the_host_is_refused_and_nothing_is_made() {
    let (house, operator, _folder) = house(|_| {}).await;
    make(&operator, "p", asked(0, 4 * SMALL)).await.unwrap();
    let exists = make(&operator, "p", asked(0, SMALL)).await;
    refused(exists, "PARTITION_EXISTS", &named(&"p"));
    let child = PartitionSpec { parent: "nobody".to_owned(), ..asked(0, SMALL) };
    refused(make(&operator, "q", child).await, "PARTITION_NOT_FOUND", &named(&"nobody"));
    let inner = |spec: PartitionSpec| PartitionSpec { parent: "p".to_owned(), ..spec };
    let kind =
        |spec: PartitionSpec, kind: HugePages| PartitionSpec { page_kind: kind.into(), ..spec };
    for (spec, field) in [
        (asked(0, 0), "spec.maximum_bytes"),
        (asked(2 * SMALL, SMALL), "spec.minimum_bytes"),
        (PartitionSpec { nodes: vec![1024], ..asked(0, SMALL) }, "spec.nodes"),
        (kind(asked(0, SMALL), HugePages::Transparent), "spec.page_kind"),
        (inner(kind(asked(0, SMALL), HugePages::HugePages2m)), "spec.page_kind"),
    ] {
        refused(make(&operator, "q", spec).await, "INVALID_SPEC", &[("field", &field)]);
    }
    invalid(make(&operator, "no name", asked(0, SMALL)).await, "partition_id");
    let named_badly = PartitionSpec { tenants: vec!["a b".to_owned()], ..asked(0, SMALL) };
    invalid(make(&operator, "q", named_badly).await, "spec.tenants");
    let unknown = PartitionSpec { page_kind: 77, ..asked(0, SMALL) };
    invalid(make(&operator, "q", unknown).await, "spec.page_kind");
    let above: [(&str, &dyn Display); 3] = [
        ("partition_id", &"p"),
        ("limit_name", &"partition_committed_bytes"),
        ("limit", &(4 * SMALL)),
    ];
    let too_much = make(&operator, "q", inner(asked(5 * SMALL, 5 * SMALL))).await;
    refused(too_much, "QUOTA_EXCEEDED", &above);
    let past_budget = make(&operator, "q", asked(65 << 30, 65 << 30)).await;
    refused(past_budget, "HOST_EXHAUSTED", &[("limit_name", &"committed_bytes")]);
    let elsewhere = PartitionSpec { nodes: vec![1023], ..asked(SMALL, SMALL) };
    let nodes: [(&str, &dyn Display); 2] = [("field", &"spec.nodes"), ("value", &"[1023]")];
    refused(make(&operator, "q", elsewhere).await, "CAPABILITY_UNAVAILABLE", &nodes);
    assert_eq!(operator.partitions().await.unwrap().len(), 1);
    operator.delete_partition("p", false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_partition_of_other_tenants_does_not_exist() {
    let (house, operator, _folder) =
        house(|config| config.tenants.extend([tenant("red", None), tenant("blue", None)])).await;
    let (red, blue) = (house.client_of("red").await, house.client_of("blue").await);
    let reds = PartitionSpec { tenants: vec!["red".to_owned()], ..asked(0, 2 * SMALL) };
    make(&operator, "reds", reds).await.unwrap();
    red.create(Some("m"), within("reds", 1)).await.unwrap();
    for id in ["reds", "nobodys"] {
        let outcome = blue.create(Some("m"), within(id, 1)).await;
        refused(outcome, "PARTITION_NOT_FOUND", &named(&id));
    }
    invalid(blue.create(Some("m"), within("no name", 1)).await, "spec.partition");
    red.delete("m").await.unwrap();
    operator.delete_partition("reds", false).await.unwrap();
    house.stop().await;
}

fn configured(name: &str, minimum_bytes: u64, maximum_bytes: u64) -> config::Partition {
    let name = name.to_owned();
    config::Partition { name, minimum_bytes, maximum_bytes, ..Default::default() }
}

#[tokio::test]
async fn partitions_of_the_config_are_there_at_start_children_before_parents_or_not() {
    if !can_lock() {
        return;
    }
    let (house, operator, _folder) = house(|config| {
        let parent = Some("outer".to_owned());
        let inner = config::Partition { parent, ..configured("inner", SMALL, SMALL) };
        config.partitions = vec![inner, configured("outer", 2 * SMALL, 4 * SMALL)];
    })
    .await;
    let client = house.client().await;
    let all = client.partitions().await.unwrap();
    let found: Vec<(&str, u64)> =
        all.iter().map(|one| (one.partition_id.as_str(), one.set_aside_bytes)).collect();
    assert_eq!(found, [("inner", SMALL), ("outer", SMALL)]);
    client.create(Some("m"), within("inner", 4)).await.unwrap();
    client.delete("m").await.unwrap();
    for id in ["inner", "outer"] {
        operator.delete_partition(id, false).await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_daemon_whose_partitions_do_not_fit_does_not_start() {
    let mut config = config::Config::default();
    config.grpc.listen = "127.0.0.1:0".parse().unwrap();
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    config.memory.host_budget = Some(SMALL);
    config.partitions = vec![configured("p", 2 * SMALL, 2 * SMALL)];
    match Daemon::start(&config, std::sync::Arc::new(Linux)) {
        Err(StartError::Partition { id, failure }) => {
            assert_eq!(id, "p");
            assert!(failure.to_string().contains("committed_bytes"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_partition_has_so_many_memories_and_so_much_address_space_of_all_tenants_together() {
    let tenants = || vec![tenant("default", None), tenant("other", None)];
    let (house, operator, _folder) = house(|config| config.tenants = tenants()).await;
    let (client, other) = (house.client().await, house.client_of("other").await);
    let few = PartitionSpec { memories: Some(3), ..asked(0, 64 * SMALL) };
    let made = make(&operator, "few", few).await.unwrap();
    assert_eq!(made.spec.unwrap().memories, Some(3));
    let narrow = PartitionSpec {
        parent: "few".to_owned(),
        reserved_bytes: Some(PAGE),
        ..asked(0, 64 * SMALL)
    };
    make(&operator, "narrow", narrow).await.unwrap();
    client.create(Some("a"), within("few", 1)).await.unwrap();
    other.create(Some("a"), within("few", 1)).await.unwrap();
    let too_wide = other.create(Some("b"), within("narrow", 1)).await;
    let numbers: [(&str, &dyn Display); 3] = [
        ("partition_id", &"narrow"),
        ("limit_name", &"partition_reserved_bytes"),
        ("limit", &PAGE),
    ];
    refused(too_wide, "QUOTA_EXCEEDED", &numbers);
    client.create(Some("b"), within("few", 1)).await.unwrap();
    let numbers: [(&str, &dyn Display); 3] =
        [("partition_id", &"few"), ("limit_name", &"partition_memories"), ("limit", &3)];
    refused(other.create(Some("b"), within("few", 1)).await, "QUOTA_EXCEEDED", &numbers);
    // Growth is no memory.
    other.grow("a", 1).await.unwrap();
    let seen = operator.partition("few").await.unwrap();
    assert_eq!(seen.memories, 3);
    assert!(seen.reserved_bytes > 0);
    client.delete("a").await.unwrap();
    other.create(Some("b"), within("few", 1)).await.unwrap();
    for (client, id) in [(&client, "b"), (&other, "a"), (&other, "b")] {
        client.delete(id).await.unwrap();
    }
    let seen = operator.partition("few").await.unwrap();
    assert_eq!((seen.memories, seen.mappings, seen.reserved_bytes), (0, 0, 0));
    for id in ["narrow", "few"] {
        operator.delete_partition(id, false).await.unwrap();
    }
    house.stop().await;
}

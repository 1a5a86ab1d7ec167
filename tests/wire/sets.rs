//! Claims about memory sets: all of their memories or none, in order; gone in one moment; and what becomes
//! of a set whose memory is deleted by itself.

use std::fmt::Display;

use linmemd::client::proto::{
    ActiveSegment, CreateMemorySetRequest, GrowMemoryRequest, ListMemorySetsRequest, MemorySet,
    MemorySetMember, MemorySpec, NewMember,
};
use linmemd::client::{Client, ClientError};
use linmemd::os::kernel::Call;

use crate::contract::{invalid, refused};
use crate::harness::{House, PAGE, Witness, pages, tenant};

const FIRST: &str = "11111111-1111-4111-8111-111111111111";
/// What the request_id of the client's own create is charged.
const REQUEST_ID_BYTES: u64 = 384;

fn new(memory_id: &str, spec: MemorySpec) -> NewMember {
    NewMember { memory_id: Some(memory_id.to_owned()), spec: Some(spec) }
}

/// Without a request_id, which would be charged.
async fn create(
    client: &Client,
    set_id: &str,
    members: Vec<NewMember>,
) -> Result<MemorySet, ClientError> {
    let set_id = Some(set_id.to_owned());
    let message = CreateMemorySetRequest { set_id, members, ..Default::default() };
    let made = client.memory_service().create_memory_set(client.request(message)).await?;
    Ok(made.into_inner().memory_set.unwrap())
}

async fn charged(client: &Client) -> Vec<u64> {
    let quotas = client.server_info().await.unwrap().quotas;
    quotas.iter().take(5).map(|quota| quota.used).collect()
}

fn named<'a>(id: &'a &'a str) -> [(&'static str, &'a dyn Display); 1] {
    [("set_id", id)]
}

fn gone<'a>(id: &'a &'a str) -> [(&'static str, &'a dyn Display); 1] {
    [("memory_id", id)]
}

fn sizes(set: &MemorySet) -> Vec<Option<u64>> {
    let size = |member: &MemorySetMember| {
        assert_eq!(member.exists, member.memory.is_some());
        let memory = member.memory.as_ref()?;
        assert_eq!((&memory.memory_id, &memory.uid), (&member.memory_id, &member.uid));
        Some(memory.size_pages)
    };
    set.members.iter().map(size).collect()
}

#[tokio::test]
async fn a_set_is_made_in_order_used_one_by_one_and_gone_with_all_of_its_memories() {
    let house = House::with(|config| config.events.ring = 0);
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let before = charged(&client).await;
    let data = ActiveSegment { offset: 3, data: "active".into(), length: None };
    let members = vec![
        new("z", MemorySpec { segments: vec![data], ..pages(1) }),
        NewMember { memory_id: None, spec: None },
        new("a", MemorySpec { maximum_pages: Some(64), ..pages(3) }),
    ];
    let made = create(&client, "s", members).await.unwrap();
    assert_eq!(sizes(&made), [Some(1), Some(0), Some(3)]);
    assert_eq!((&*made.members[0].memory_id, &*made.members[2].memory_id), ("z", "a"));
    assert!(made.create_time.is_some());
    assert_eq!(client.memory_set("s").await.unwrap(), made);
    assert_eq!(client.read("z", 3, 6).await.unwrap(), "active");
    client.write("a", 2 * PAGE, "bytes").await.unwrap();
    let grow =
        GrowMemoryRequest { memory_id: "z".to_owned(), delta_pages: 1, ..Default::default() };
    client.memory_service().grow_memory(client.request(grow)).await.unwrap();
    assert_eq!(sizes(&client.memory_set("s").await.unwrap()), [Some(2), Some(0), Some(3)]);
    refused(create(&client, "s", vec![new("b", pages(1))]).await, "SET_EXISTS", &named(&"s"));
    assert_eq!(client.list("").await.unwrap().len(), 4);
    client.delete_memory_set("s", false).await.unwrap();
    for id in ["z", "a"] {
        refused(client.memory(id).await, "MEMORY_NOT_FOUND", &gone(&id));
    }
    refused(client.memory_set("s").await, "SET_NOT_FOUND", &named(&"s"));
    refused(client.delete_memory_set("s", false).await, "SET_NOT_FOUND", &named(&"s"));
    client.delete_memory_set("s", true).await.unwrap();
    assert_eq!(charged(&client).await, before);
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn where_one_memory_cannot_be_had_there_is_none_of_them_and_nothing_is_charged() {
    let house = House::with(|config| {
        config.events.ring = 0;
        config.tenants = vec![tenant("default", Some(40 * PAGE))];
    });
    let client = house.client().await;
    client.create(Some("taken"), pages(1)).await.unwrap();
    let before = charged(&client).await;
    let outcome = create(&client, "s", vec![new("a", pages(1)), new("taken", pages(1))]).await;
    refused(outcome, "MEMORY_EXISTS", &gone(&"taken"));
    let contradiction = MemorySpec { maximum_pages: Some(1), ..pages(2) };
    let outcome = create(&client, "s", vec![new("a", pages(1)), new("b", contradiction)]).await;
    let failure = refused(outcome, "INVALID_SPEC", &[("field", &"spec.maximum_pages")]);
    assert!(failure.message.contains("members[1]"), "{failure}");
    // Each would fit by itself.
    let outcome = create(&client, "s", vec![new("a", pages(20)), new("b", pages(20))]).await;
    let failure = outcome.unwrap_err().failure().cloned().unwrap();
    assert_eq!(failure.reason, "QUOTA_EXCEEDED", "{failure}");
    assert_eq!(charged(&client).await, before);

    invalid(create(&client, "s", Vec::new()).await, "members");
    let crowd = (0..65).map(|number| new(&format!("m{number}"), pages(0))).collect();
    invalid(create(&client, "s", crowd).await, "members");
    let twice = vec![new("a", pages(1)), new("a", pages(1))];
    invalid(create(&client, "s", twice).await, "members.memory_id");
    invalid(create(&client, "s", vec![new("no name", pages(1))]).await, "members.memory_id");
    invalid(create(&client, "no name", vec![new("a", pages(1))]).await, "set_id");
    refused(client.memory("a").await, "MEMORY_NOT_FOUND", &gone(&"a"));
    refused(client.memory_set("s").await, "SET_NOT_FOUND", &named(&"s"));
    assert_eq!(charged(&client).await, before);
    let most = (0..64).map(|number| new(&format!("m{number}"), pages(0))).collect();
    create(&client, "s", most).await.unwrap();
    client.delete_memory_set("s", false).await.unwrap();
    assert_eq!(charged(&client).await, before);
    house.stop().await;
}

#[tokio::test]
async fn a_set_that_is_being_made_is_seen_by_nobody_and_its_names_are_free_until_it_is() {
    let house = House::dedicated();
    let client = house.client().await;
    let pause = house.kernel.pause_at(Call::MapReserved);
    let making = {
        let client = client.clone();
        tokio::spawn(async move {
            create(&client, "s", vec![new("a", pages(1)), new("b", pages(1))]).await
        })
    };
    pause.reached(1).await;
    refused(client.memory_set("s").await, "SET_NOT_FOUND", &named(&"s"));
    for id in ["a", "b"] {
        refused(client.memory(id).await, "MEMORY_NOT_FOUND", &gone(&id));
    }
    assert!(client.list("").await.unwrap().is_empty());
    let paid = charged(&client).await;
    assert_eq!((paid[0], paid[4]), (2 * PAGE, 2), "all of them, before the first is made");
    drop(pause);
    making.await.unwrap().unwrap();
    assert_eq!(client.list("").await.unwrap().len(), 2);
    client.delete_memory_set("s", false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_memory_that_is_deleted_by_itself_keeps_its_place_and_its_successor_is_no_member() {
    let house = House::with(|config| config.events.ring = 0);
    let client = house.client().await;
    let members = ["a", "b"].map(|id| new(id, pages(1))).to_vec();
    let made = create(&client, "s", members).await.unwrap();
    client.delete("a").await.unwrap();
    client.create(Some("a"), pages(5)).await.unwrap();
    let seen = client.memory_set("s").await.unwrap();
    assert_eq!(sizes(&seen), [None, Some(1)]);
    assert_eq!(seen.members[0].uid, made.members[0].uid);
    client.delete_memory_set("s", false).await.unwrap();
    assert_eq!(client.memory("a").await.unwrap().size_pages, 5);
    refused(client.memory("b").await, "MEMORY_NOT_FOUND", &gone(&"b"));
    client.delete("a").await.unwrap();
    assert_eq!(charged(&client).await, [0, REQUEST_ID_BYTES, 0, 0, 0]);
    house.stop().await;
}

#[tokio::test]
async fn sets_are_listed_in_order_a_page_at_a_time_without_their_memories_descriptions() {
    let house = House::with(|config| config.events.ring = 0);
    let client = house.client().await;
    for number in [2, 0, 1] {
        let member = new(&format!("m{number}"), pages(0));
        create(&client, &format!("s{number}"), vec![member]).await.unwrap();
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = ListMemorySetsRequest { page_size: 2, page_token };
        let page = client.list_memory_sets(message).await.unwrap();
        assert!(page.memory_sets.len() <= 2);
        seen.extend(page.memory_sets);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let ids: Vec<&str> = seen.iter().map(|set| &*set.set_id).collect();
    assert_eq!(ids, ["s0", "s1", "s2"]);
    for set in &seen {
        assert!(set.members[0].exists && set.members[0].memory.is_none());
        client.delete_memory_set(&set.set_id, false).await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_repeated_creation_gets_the_first_set_as_it_is_now() {
    let house = House::with(|config| config.events.ring = 0);
    let client = house.client().await;
    let make = async |initial_pages| {
        let message = CreateMemorySetRequest {
            set_id: None,
            members: vec![NewMember { memory_id: None, spec: Some(pages(initial_pages)) }],
            request_id: Some(FIRST.to_owned()),
            ..Default::default()
        };
        client.create_memory_set(message).await
    };
    let first = make(1).await.unwrap();
    client.grow(&first.members[0].memory_id, 1).await.unwrap();
    let again = make(1).await.unwrap();
    assert_eq!((&again.set_id, sizes(&again)), (&first.set_id, vec![Some(2)]));
    refused(make(2).await, "REQUEST_ID_REUSED", &[("request_id", &FIRST)]);
    client.delete_memory_set(&first.set_id, false).await.unwrap();
    refused(make(1).await, "SET_NOT_FOUND", &[("set_id", &first.set_id)]);
    house.stop().await;
}

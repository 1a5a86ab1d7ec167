//! Claims about owner CONNECTION: the memory is gone with the connection that made it, however that ends,
//! and nothing of it is left; while it lives it is a memory like any other.

use std::fmt::Display;
use std::time::Duration;

use linmemd::client::proto::{
    CreateMemoryRequest, CreateMemorySetRequest, EventKind, MemorySpec, NewMember, Owner,
};
use linmemd::client::{Client, Watch};
use linmemd::os::kernel::Call;

use crate::contract::refused;
use crate::events::{begun, event};
use crate::grpc::{Wire, framed};
use crate::harness::{House, eventually, pages};

const FIRST: &str = "11111111-1111-4111-8111-111111111111";

fn of_connection(initial_pages: u64) -> MemorySpec {
    MemorySpec { owner: Owner::Connection.into(), ..pages(initial_pages) }
}

fn gone<'a>(id: &'a &'a str) -> [(&'static str, &'a dyn Display); 1] {
    [("memory_id", id)]
}

async fn memories(client: &Client) -> u64 {
    let quotas = client.server_info().await.unwrap().quotas;
    quotas.iter().find(|quota| quota.resource == "memories").unwrap().used
}

/// That nobody finds it and its charge is back.
async fn is_gone(client: &Client, id: &str, others: u64) {
    eventually("the memory is gone", async || client.memory(id).await.is_err()).await;
    refused(client.memory(id).await, "MEMORY_NOT_FOUND", &gone(&id));
    eventually("its charge is back", async || memories(client).await == others).await;
}

#[tokio::test]
async fn it_is_gone_with_its_connection_and_others_use_it_until_then() {
    // No sweep helps: what is waited for here is there long before the next.
    let house = House::with(|config| config.lease.sweep_interval = Duration::from_secs(60));
    let (maker, other) = (house.client().await, house.client().await);
    let mut stream = begun(&other, Watch::default()).await;
    let made = maker.create(Some("m"), of_connection(2)).await.unwrap();
    assert_eq!(made.spec.as_ref().unwrap().owner(), Owner::Connection);
    let usual = other.create(Some("usual"), pages(1)).await.unwrap();
    assert_eq!(usual.spec.unwrap().owner(), Owner::Tenant);
    other.write("m", 0, "shared by the tenant").await.unwrap();
    other.grow("m", 1).await.unwrap();
    assert_eq!(maker.read("m", 0, 6).await.unwrap(), "shared");
    assert_eq!(other.memory("m").await.unwrap().spec.unwrap().owner(), Owner::Connection);
    drop(maker);
    is_gone(&other, "m", 1).await;
    // Its name is free, and what comes next under it is another's.
    let next = other.create(Some("m"), pages(1)).await.unwrap();
    assert_ne!(next.uid, made.uid);
    assert_eq!(other.read("m", 0, 6).await.unwrap(), "\0\0\0\0\0\0");
    let mut told = Vec::new();
    while told.last() != Some(&(EventKind::Created, next.uid.clone())) {
        let event = event(&mut stream).await;
        told.push((event.kind(), event.uid));
    }
    let of_made: Vec<EventKind> =
        told.iter().filter(|(_, uid)| *uid == made.uid).map(|(kind, _)| *kind).collect();
    assert_eq!(of_made, [EventKind::Created, EventKind::Grown, EventKind::Deleted]);
    // A watch holds its part of the bytes in flight.
    drop(stream);
    house.stop().await;
}

async fn create_by_hand(wire: &Wire, id: &str) {
    let message = CreateMemoryRequest {
        memory_id: Some(id.to_owned()),
        spec: Some(of_connection(1)),
        ..Default::default()
    };
    wire.call("CreateMemory", &[], framed(&message)).await.outcome().unwrap();
}

#[tokio::test]
async fn it_is_gone_when_its_connection_is_lost_or_told_to_go() {
    let house = House::start();
    let client = house.client().await;
    let wire = Wire::connect(house.grpc()).await;
    create_by_hand(&wire, "lost").await;
    client.memory("lost").await.unwrap();
    wire.connection.abort();
    is_gone(&client, "lost", 0).await;
    house.stop().await;

    // Idle for too long: the daemon sends GOAWAY, and who made it goes.
    let house = House::with(|config| config.grpc.idle_timeout = Duration::from_millis(300));
    let wire = Wire::connect(house.grpc()).await;
    create_by_hand(&wire, "idle").await;
    eventually("it is told to go", async || wire.connection.is_finished()).await;
    is_gone(&house.client().await, "idle", 0).await;
    house.stop().await;
}

#[tokio::test]
async fn a_drain_takes_it_with_the_connections() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), of_connection(1)).await.unwrap();
    house.daemon.server.drain().await;
    let account = |house: &House| house.tenant("default").namespace.account.holdings()[4].used;
    eventually("it is gone", async || account(&house) == 0).await;
    house.close().await;
}

#[tokio::test]
async fn of_a_lease_and_a_connection_the_first_to_end_ends_it() {
    let house = House::with(|config| config.lease.sweep_interval = Duration::from_millis(50));
    let (maker, other) = (house.client().await, house.client().await);
    let mut stream = begun(&other, Watch::default()).await;
    let leased = |seconds| MemorySpec {
        lease_ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..of_connection(1)
    };
    maker.create(Some("short"), leased(1)).await.unwrap();
    maker.create(Some("long"), leased(3600)).await.unwrap();
    eventually("the lease ran out", async || memories(&other).await == 1).await;
    refused(maker.memory("short").await, "MEMORY_NOT_FOUND", &gone(&"short"));
    maker.memory("long").await.unwrap();
    drop(maker);
    is_gone(&other, "long", 0).await;
    let mut ends = Vec::new();
    while ends.len() < 2 {
        let event = event(&mut stream).await;
        if event.kind() != EventKind::Created {
            ends.push((event.kind(), event.memory_id));
        }
    }
    let wanted = [(EventKind::Expired, "short"), (EventKind::Deleted, "long")];
    assert_eq!(ends, wanted.map(|(kind, id)| (kind, id.to_owned())));
    drop(stream);
    house.stop().await;
}

#[tokio::test]
async fn of_a_set_those_members_go_that_are_of_the_connection() {
    let house = House::start();
    let (maker, other) = (house.client().await, house.client().await);
    let member = |id: &str, spec| NewMember { memory_id: Some(id.to_owned()), spec: Some(spec) };
    let message = CreateMemorySetRequest {
        set_id: Some("set".to_owned()),
        members: vec![member("stays", pages(1)), member("goes", of_connection(1))],
        ..Default::default()
    };
    maker.create_memory_set(message).await.unwrap();
    drop(maker);
    is_gone(&other, "goes", 1).await;
    let set = other.memory_set("set").await.unwrap();
    assert_eq!(set.members.iter().map(|one| one.exists).collect::<Vec<_>>(), [true, false]);
    other.delete_memory_set("set", false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_repeat_over_another_connection_finds_it_only_while_the_first_is_there() {
    let house = House::start();
    let (maker, other) = (house.client().await, house.client().await);
    let request = || CreateMemoryRequest {
        memory_id: Some("m".to_owned()),
        spec: Some(of_connection(1)),
        request_id: Some(FIRST.to_owned()),
        ..Default::default()
    };
    let made = maker.create_memory(request()).await.unwrap();
    assert_eq!(other.create_memory(request()).await.unwrap().uid, made.uid);
    drop(maker);
    is_gone(&other, "m", 0).await;
    refused(other.create_memory(request()).await, "MEMORY_NOT_FOUND", &gone(&"m"));
    house.stop().await;
}

#[tokio::test]
async fn a_create_whose_connection_ends_in_the_middle_leaves_nothing() {
    let house = House::dedicated();
    let other = house.client().await;
    let wire = Wire::connect(house.grpc()).await;
    let pause = house.kernel.pause_at(Call::Protect);
    let message = CreateMemoryRequest {
        memory_id: Some("m".to_owned()),
        spec: Some(of_connection(1)),
        ..Default::default()
    };
    let mut started = wire.begin("CreateMemory", &[]).await;
    started.body.send_data(framed(&message).into(), true).unwrap();
    pause.reached(1).await;
    wire.connection.abort();
    eventually("the connection is over", async || house.daemon.server.connections() == 1).await;
    drop(pause);
    eventually("nothing is left", async || memories(&other).await == 0).await;
    refused(other.memory("m").await, "MEMORY_NOT_FOUND", &gone(&"m"));
    drop(started);
    house.stop().await;
}

#[tokio::test]
async fn many_go_at_once_and_those_deleted_before_are_not_missed() {
    const MANY: usize = 500;
    let house = House::start();
    let (maker, other) = (house.client().await, house.client().await);
    for number in 0..MANY {
        maker.create(Some(&format!("m{number}")), of_connection(1)).await.unwrap();
        if number % 2 == 0 {
            other.delete(&format!("m{number}")).await.unwrap();
        }
    }
    assert_eq!(memories(&other).await, MANY as u64 / 2);
    let session = other.session(|_notice| ()).await.unwrap();
    let attached = session.attach("m1").await.unwrap();
    drop(maker);
    is_gone(&other, "m1", 0).await;
    assert!(other.list("").await.unwrap().is_empty());
    drop(attached);
    drop(session);
    house.stop().await;
}

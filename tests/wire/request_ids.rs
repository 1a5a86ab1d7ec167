//! Claims about request ids: a repeat gets the first success, whatever happened since; nothing else
//! is remembered.

use linmemd::client::proto::{
    CreateMemoryRequest, GrowMemoryRequest, GrowMemoryResponse, Memory, UpdateMemoryRequest,
};
use linmemd::client::{Client, ClientError};
use linmemd::os::kernel::Call;

use crate::contract::{invalid, refused};
use crate::harness::{House, eventually, pages, tenant};

const FIRST: &str = "11111111-1111-4111-8111-111111111111";
const SECOND: &str = "22222222-2222-4222-8222-222222222222";

async fn create(
    client: &Client,
    memory_id: Option<&str>,
    initial_pages: u64,
    request_id: &str,
) -> Result<Memory, ClientError> {
    let request = CreateMemoryRequest {
        memory_id: memory_id.map(str::to_owned),
        spec: Some(pages(initial_pages)),
        request_id: Some(request_id.to_owned()),
        ..Default::default()
    };
    client.create_memory(request).await
}

async fn grow(
    client: &Client,
    delta_pages: u64,
    request_id: &str,
) -> Result<GrowMemoryResponse, ClientError> {
    let request = GrowMemoryRequest {
        memory_id: "m".to_owned(),
        delta_pages,
        request_id: Some(request_id.to_owned()),
        ..Default::default()
    };
    client.grow_memory(request).await
}

#[tokio::test]
async fn a_repeated_create_gives_the_same_memory_as_it_is_now() {
    let house = House::start();
    let client = house.client().await;
    for memory_id in [Some("m"), None] {
        let request_id = if memory_id.is_some() { FIRST } else { SECOND };
        let first = create(&client, memory_id, 1, request_id).await.unwrap();
        client.grow(&first.memory_id, 1).await.unwrap();
        let update = UpdateMemoryRequest {
            memory_id: first.memory_id.clone(),
            display_name: "later".to_owned(),
            ..Default::default()
        };
        client.update_memory(update).await.unwrap();
        let again = create(&client, memory_id, 1, request_id).await.unwrap();
        assert_eq!((&again.uid, again.size_pages), (&first.uid, 2));
        assert_eq!(again.spec.unwrap().display_name, "later");
    }
    assert_eq!(client.list("").await.unwrap().len(), 2);
    house.stop().await;
}

#[tokio::test]
async fn a_repeated_create_whose_memory_is_gone_is_not_found_even_under_the_same_name() {
    let house = House::start();
    let client = house.client().await;
    create(&client, Some("m"), 1, FIRST).await.unwrap();
    client.delete("m").await.unwrap();
    let gone: [(&str, &dyn std::fmt::Display); 1] = [("memory_id", &"m")];
    refused(create(&client, Some("m"), 1, FIRST).await, "MEMORY_NOT_FOUND", &gone);
    create(&client, Some("m"), 1, SECOND).await.unwrap();
    refused(create(&client, Some("m"), 1, FIRST).await, "MEMORY_NOT_FOUND", &gone);
    house.stop().await;
}

#[tokio::test]
async fn a_repeated_growth_gives_the_first_result_and_grows_once() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(4)).await.unwrap();
    let first = grow(&client, 1, FIRST).await.unwrap();
    grow(&client, 1, SECOND).await.unwrap();
    assert_eq!(grow(&client, 1, FIRST).await.unwrap(), first);
    assert_eq!((first.previous_pages, first.current_pages), (4, 5));
    assert_eq!(client.memory("m").await.unwrap().size_pages, 6);
    client.delete("m").await.unwrap();
    let gone: [(&str, &dyn std::fmt::Display); 1] = [("memory_id", &"m")];
    refused(grow(&client, 1, FIRST).await, "MEMORY_NOT_FOUND", &gone);
    house.stop().await;
}

#[tokio::test]
async fn the_same_request_id_with_another_body_is_refused_by_name() {
    let house = House::start();
    let client = house.client().await;
    create(&client, Some("m"), 1, FIRST).await.unwrap();
    let reused: [(&str, &dyn std::fmt::Display); 1] = [("request_id", &FIRST)];
    let other_size = create(&client, Some("m"), 2, FIRST).await;
    refused(other_size, "REQUEST_ID_REUSED", &reused);
    let other_name = create(&client, Some("n"), 1, FIRST).await;
    refused(other_name, "REQUEST_ID_REUSED", &reused);
    refused(grow(&client, 1, FIRST).await, "REQUEST_ID_REUSED", &reused);
    assert_eq!(client.list("").await.unwrap().len(), 1);
    assert_eq!(client.memory("m").await.unwrap().size_pages, 1);
    for request_id in ["", "no-uuid", "1"] {
        invalid(create(&client, None, 1, request_id).await, "request_id");
        invalid(grow(&client, 1, request_id).await, "request_id");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_failure_is_forgotten_so_that_the_repeat_may_succeed() {
    let house = House::start();
    let client = house.client().await;
    create(&client, Some("m"), 1, FIRST).await.unwrap();
    let taken: [(&str, &dyn std::fmt::Display); 1] = [("memory_id", &"m")];
    refused(create(&client, Some("m"), 1, SECOND).await, "MEMORY_EXISTS", &taken);
    client.delete("m").await.unwrap();
    create(&client, Some("m"), 1, SECOND).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_repeat_while_the_first_runs_is_told_to_come_back_and_then_finds_the_result() {
    let house = House::dedicated();
    let client = house.client().await;
    let running: [(&str, &dyn std::fmt::Display); 2] =
        [("limit_name", &"running_request_id"), ("limit", &1)];
    let pause = house.kernel.pause_at(Call::MapReserved);
    let first = {
        let client = client.clone();
        tokio::spawn(async move { create(&client, Some("m"), 1, FIRST).await })
    };
    pause.reached(1).await;
    refused(create(&client, Some("m"), 1, FIRST).await, "OVERLOADED", &running);
    drop(pause);
    let uid = first.await.unwrap().unwrap().uid;
    assert_eq!(create(&client, Some("m"), 1, FIRST).await.unwrap().uid, uid);

    let pause = house.kernel.pause_at(Call::Protect);
    let first = {
        let client = client.clone();
        tokio::spawn(async move { grow(&client, 1, SECOND).await })
    };
    pause.reached(1).await;
    refused(grow(&client, 1, SECOND).await, "OVERLOADED", &running);
    drop(pause);
    let grown = first.await.unwrap().unwrap();
    assert_eq!(grow(&client, 1, SECOND).await.unwrap(), grown);
    assert_eq!(client.memory("m").await.unwrap().size_pages, 2);
    house.stop().await;
}

#[tokio::test]
async fn request_ids_belong_to_their_tenant_and_the_oldest_goes_first() {
    let house = House::with(|config| {
        config.tenants = vec![tenant("default", None), tenant("red", None)];
        config.requests.per_tenant = 2;
    });
    let (client, red) = (house.client().await, house.client_of("red").await);
    let first = create(&client, Some("m"), 1, FIRST).await.unwrap();
    let of_red = create(&red, Some("m"), 2, FIRST).await.unwrap();
    assert_ne!(first.uid, of_red.uid);
    for _ in 0..2 {
        client.grow("m", 0).await.unwrap();
    }
    let taken: [(&str, &dyn std::fmt::Display); 1] = [("memory_id", &"m")];
    refused(create(&client, Some("m"), 1, FIRST).await, "MEMORY_EXISTS", &taken);
    assert_eq!(create(&red, Some("m"), 2, FIRST).await.unwrap().uid, of_red.uid);
    house.stop().await;
}

#[tokio::test]
async fn a_request_id_is_forgotten_at_the_end_of_its_window() {
    let house = House::with(|config| {
        config.requests.window = std::time::Duration::from_millis(50);
    });
    let client = house.client().await;
    create(&client, Some("m"), 1, FIRST).await.unwrap();
    client.delete("m").await.unwrap();
    eventually("the id is forgotten", async || create(&client, Some("m"), 1, FIRST).await.is_ok())
        .await;
    house.stop().await;
}

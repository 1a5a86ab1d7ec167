//! Claims about what a session hears of its memories, how many there may be, and how one ends whose
//! client takes nothing.

use std::time::Duration;

use linmemd::client::proto::open_session_request::Message as Asked;
use linmemd::client::proto::open_session_response::Message as Word;
use linmemd::client::proto::session_notice::Notice;
use linmemd::client::proto::session_result::Outcome;
use linmemd::client::proto::{MemorySpec, SessionStart};
use linmemd::client::{Client, ClientError};
use tonic::Code;

use crate::contract::refused;
use crate::harness::{House, eventually, pages};
use crate::sessions::{Raw, attach, data, read, reason, single};

const OPEN: (&str, &str) = ("method", "linmem.v1.MemoryService/OpenSession");

async fn noticed(raw: &mut Raw) -> (u32, Notice) {
    match raw.hear().await {
        Some(Word::Notice(notice)) => (notice.handle, notice.notice.unwrap()),
        other => panic!("a notice was due, not {other:?}"),
    }
}

/// That the memory of a handle is gone.
async fn detached(raw: &mut Raw, handle: u32) {
    let (of, Notice::Detached(status)) = noticed(raw).await else { panic!("it has grown") };
    assert_eq!((of, status.code), (handle, Code::NotFound as i32), "{status:?}");
}

async fn leased(client: &Client, memory_id: &str) {
    let lease_ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    client.create(Some(memory_id), MemorySpec { lease_ttl, ..pages(1) }).await.unwrap();
}

#[tokio::test]
async fn a_session_hears_of_growth_and_of_the_end_of_what_it_has_attached() {
    let house = House::start();
    let client = house.client().await;
    let spec = MemorySpec { maximum_pages: Some(9), ..pages(1) };
    client.create(Some("m"), spec).await.unwrap();
    client.create(Some("other"), pages(1)).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    raw.say(attach(2, 7, "m"));
    raw.result(2).await;
    client.grow("other", 0).await.unwrap();
    client.grow("m", 2).await.unwrap();
    let mut heard = [noticed(&mut raw).await, noticed(&mut raw).await];
    heard.sort_by_key(|(handle, _)| *handle);
    assert_eq!(heard, [(1, Notice::GrownToPages(3)), (7, Notice::GrownToPages(3))]);
    client.delete("other").await.unwrap();
    client.delete("m").await.unwrap();
    detached(&mut raw, 1).await;
    detached(&mut raw, 7).await;
    raw.say(single(3, read(0, 1)));
    assert_eq!(reason(raw.result(3).await), "MEMORY_NOT_FOUND");
    leased(&client, "m").await;
    raw.say(attach(4, 1, "m"));
    raw.result(4).await;
    detached(&mut raw, 1).await;
    raw.requests = None;
    assert!(raw.ended().await.is_ok());
    house.stop().await;
}

#[tokio::test]
async fn a_handle_whose_memory_is_gone_says_so_until_another_memory_has_its_place() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    client.delete("m").await.unwrap();
    detached(&mut raw, 1).await;
    raw.say(attach(2, 1, "m"));
    assert_eq!(reason(raw.result(2).await), "MEMORY_NOT_FOUND");
    raw.say(single(3, read(0, 1)));
    assert_eq!(reason(raw.result(3).await), "MEMORY_NOT_FOUND");
    client.create(Some("m"), pages(1)).await.unwrap();
    raw.say(attach(4, 1, "m"));
    assert!(matches!(raw.result(4).await.outcome, Some(Outcome::Attached(_))));
    raw.say(single(5, read(0, 1)));
    assert_eq!(data(&raw.result(5).await), [0]);
    raw.requests = None;
    assert!(raw.ended().await.is_ok());
    house.stop().await;
}

#[tokio::test]
async fn a_handle_that_was_given_back_hears_nothing() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    client.create(Some("n"), pages(1)).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    raw.say(Asked::Detach(linmemd::client::proto::SessionDetach { tag: 2, handle: 1 }));
    raw.result(2).await;
    client.delete("m").await.unwrap();
    raw.say(attach(3, 1, "n"));
    assert!(matches!(raw.result(3).await.outcome, Some(Outcome::Attached(_))));
    raw.say(single(4, read(0, 1)));
    match raw.hear().await {
        Some(Word::Result(result)) => assert_eq!(data(&result), [0]),
        other => panic!("{other:?}"),
    }
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn a_tenant_has_so_many_sessions_and_no_more() {
    let house = House::with(|config| {
        config.grpc.sessions_per_tenant = 2;
        config.grpc.handlers_per_tenant = 1;
    });
    let client = house.client().await;
    assert_eq!(client.server_info().await.unwrap().limits.unwrap().tenant_sessions, 2);
    client.create(Some("m"), pages(1)).await.unwrap();
    let first = Raw::attached(&client).await;
    let second = Raw::attached(&client).await;
    let third = empty_session(&client).await;
    let numbers: &[(&str, &dyn std::fmt::Display)] =
        &[("limit_name", &"tenant_sessions"), ("limit", &2), ("used", &2)];
    refused(third, "TOO_MANY_SESSIONS", numbers);
    drop(first);
    eventually("a place is given back", async || empty_session(&client).await.is_ok()).await;
    drop(second);
    house.stop().await;
}

async fn empty_session(client: &Client) -> Result<(), ClientError> {
    let request = client.request(tonic::codegen::tokio_stream::empty());
    let mut answers = client.memory_service().open_session(request).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_ended_and_one_that_asks_for_nothing_is_not() {
    let house = House::with(|config| {
        config.grpc.stall_timeout = Duration::from_millis(100);
        config.grpc.sessions_per_tenant = 2;
    });
    let client = house.client().await;
    client.create(Some("m"), pages(16)).await.unwrap();
    let mut idle = Raw::attached(&client).await;
    let other = house.client().await;
    let stuck = Raw::open(&other).await;
    stuck.say(Asked::Start(SessionStart::default()));
    stuck.say(attach(1, 1, "m"));
    // More than any window holds.
    (2..200).for_each(|tag| stuck.say(single(tag, read(0, 1 << 20))));
    eventually("the stuck one is ended", async || {
        let page = house.scrape().await;
        page.value("linmemd_rpc_requests_total", &[OPEN, ("code", "RESOURCE_EXHAUSTED")]) == 1.0
    })
    .await;
    empty_session(&client).await.unwrap();
    match stuck.ended().await {
        Err(ClientError::Transport { never_sent: false, .. }) => {}
        other => panic!("{other:?}"),
    }
    idle.say(single(2, read(0, 1)));
    assert_eq!(data(&idle.result(2).await), [0]);
    drop(idle);
    house.stop().await;
}

//! Claims about peers that mean harm: how many they may be, and what their frames may cost. The shapes in
//! numbers are in `tests/hostile`; each finding of theirs is a claim here or in `slow_peers.rs`.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use linmemd::client::proto::{MemorySpec, OpenViewRequest, WaitOnAddressRequest};
use linmemd::client::{Client, ConnectOptions, RetryPolicy};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::contract::{invalid, refused};
use crate::frames::{
    DATA, END_HEADERS, Frames, HEADERS, PING, RST_STREAM, SETTINGS, call_headers, frame,
};
use crate::grpc::Wire;
use crate::harness::{BOUND, House, Witness, eventually, pages, tenant};
use crate::slow_peers::read;

#[tokio::test]
async fn the_least_duration_that_there_is_is_an_invalid_field_and_no_panic() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), MemorySpec { shared: true, ..pages(1) }).await.unwrap();
    for seconds in [i64::MIN, i64::MIN + 1, -1] {
        let least = Some(prost_types::Duration { seconds, nanos: -1 });
        let spec = MemorySpec { lease_ttl: least, ..pages(1) };
        invalid(client.create(Some("n"), spec).await, "spec.lease_ttl");
        let wait = WaitOnAddressRequest {
            memory_id: "m".to_owned(),
            timeout: least,
            width: 4,
            ..Default::default()
        };
        invalid(client.wait_on_address(wait).await, "timeout");
        let view = OpenViewRequest { memory_id: "m".to_owned(), ttl: least, ..Default::default() };
        invalid(client.open_view(view).await, "ttl");
    }
    house.stop().await;
}

/// A connection from this address on loopback.
async fn from(address: &str, target: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(target).await.unwrap()
}

#[tokio::test]
async fn connections_of_one_address_are_capped_and_those_of_another_are_served() {
    let house = House::with(|config| config.grpc.max_connections_per_address = Some(3));
    let mut kept = Vec::new();
    for _ in 0..5 {
        let mut frames = Frames { stream: from("127.0.0.2", house.grpc()).await };
        let _ended = frames.write(&frames_greeting()).await;
        if frames.until(SETTINGS).await.is_some() {
            kept.push(frames);
        }
    }
    assert_eq!(kept.len(), 3);
    let shed = [("step", "connections_per_address")];
    assert_eq!(house.scrape().await.value("linmemd_calls_shed_total", &shed), 2.0);
    house.client().await.server_info().await.unwrap();
    kept.pop();
    eventually("its place is free", async || {
        let mut frames = Frames { stream: from("127.0.0.2", house.grpc()).await };
        let _ended = frames.write(&frames_greeting()).await;
        frames.until(SETTINGS).await.is_some()
    })
    .await;
    house.stop().await;
}

fn frames_greeting() -> Vec<u8> {
    [crate::frames::PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

async fn connection_of(house: &House, tenant: &str) -> Client {
    let mut options = ConnectOptions::new(format!("http://{}", house.grpc()).parse().unwrap());
    options.retry = RetryPolicy::NONE;
    options.tenant = Some(tenant.to_owned());
    Client::connect(&options).await.unwrap()
}

#[tokio::test]
async fn connections_that_call_for_one_tenant_are_capped_and_may_call_for_another() {
    let house = House::with(|config| {
        config.grpc.max_connections_per_tenant = Some(2);
        config.tenants = vec![tenant("default", None), tenant("red", None)];
    });
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &"tenant_connections"), ("limit", &2), ("used", &2)];
    let held = [connection_of(&house, "red").await, connection_of(&house, "red").await];
    for client in &held {
        let limits = client.server_info().await.unwrap().limits.unwrap();
        assert_eq!(limits.tenant_connections, Some(2));
        client.server_info().await.unwrap();
    }
    let third = connection_of(&house, "red").await;
    refused(third.server_info().await, "OVERLOADED", &numbers);
    house.client().await.server_info().await.unwrap();
    drop(held);
    eventually("places are free", async || third.server_info().await.is_ok()).await;
    drop(third);
    house.stop().await;
}

#[tokio::test]
async fn a_flood_of_frames_that_bring_nothing_is_slowed_then_ended_and_others_are_served() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    for flood in [frame(PING, 0, 0, b"flooding"), frame(77, 0, 1, &[]), frame(2, 0, 1, &[0; 5])] {
        let mut frames = Frames::greet(house.grpc()).await;
        frames.until(SETTINGS).await.unwrap();
        let many = flood.repeat(5_000);
        let begun = Instant::now();
        let slowed = loop {
            match timeout(Duration::from_millis(50), frames.write(&many)).await {
                Ok(Ok(())) => assert!(begun.elapsed() < BOUND, "never slowed"),
                Ok(Err(_ended)) => break false,
                Err(_slowed) => break true,
            }
        };
        // Whether it is ended depends on how much of it the kernel takes; that it waits does not.
        assert!(slowed || begun.elapsed() >= Duration::from_millis(50));
        client.read("m", 0, 8).await.unwrap();
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_client_that_calls_off_every_other_call_is_never_slowed() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let mut frames = Frames::greet(house.grpc()).await;
    frames.until(SETTINGS).await.unwrap();
    let block = call_headers("ReadMemory");
    let begun = Instant::now();
    let mut number = 0;
    for _ in 0..3_000 {
        let mut pair = Vec::new();
        for called_off in [true, false] {
            let stream = 2 * number + 1;
            number += 1;
            pair.extend(frame(HEADERS, END_HEADERS, stream, &block));
            if called_off {
                pair.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            } else {
                pair.extend(frame(DATA, 1, stream, &read(1)));
            }
        }
        frames.write(&pair).await.unwrap();
        let headers = frames.until(HEADERS).await.expect("an answer");
        assert!(!headers.payload.is_empty());
        let _trailers = frames.until(HEADERS).await.expect("its end");
    }
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    house.stop().await;
}

#[tokio::test]
async fn streams_of_reflection_are_few_and_do_not_stay() {
    let house = House::start();
    let wire = Wire::connect(house.grpc()).await;
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let mut held = Vec::new();
    for _ in 0..16 {
        let started = wire.begin_path(path, &[]).await;
        held.push((started.response.await.unwrap(), started.body));
    }
    let numbers: [(&str, &dyn Display); 2] =
        [("limit_name", &"reflection_streams"), ("limit", &16)];
    let one_more = wire.begin_path(path, &[]).await;
    refused(one_more.answer().await.outcome(), "OVERLOADED", &numbers);
    drop(held);
    eventually("there is room again", async || {
        let started = wire.begin_path(path, &[]).await;
        started.answer_or_lost().await.is_some_and(|answer| answer.outcome().is_ok())
    })
    .await;
    house.stop().await;
}

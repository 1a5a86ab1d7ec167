//! Claims about an upload's messages overlapping: the next one comes in while the last one is being
//! written, and nobody can tell.
//!
//! A pool of one thread that is kept busy holds a message back for as long as a test wants.

use std::fmt::Display;

use bytes::Bytes;
use linmemd::client::proto::{GetMemoryRequest, UploadMemoryRequest, UploadMemoryResponse};
use linmemd::os::kernel::Call;
use prost::Message;

use crate::contract::refused;
use crate::grpc::{Started, Wire, framed, header};
use crate::harness::{House, PAGE, eventually, pages};
use crate::kernel::Pause;

/// Long enough for the pool.
const LONG: usize = 3 << 20;

/// An upload whose first message waits for the pool, whose next begins with `second`, and what ends
/// the wait.
async fn held_back(house: &House, second: Bytes) -> (Wire, Started, Pause) {
    let client = house.client().await;
    client.create(Some("m"), pages(256)).await.unwrap();
    client.create(Some("other"), pages(8)).await.unwrap();
    let pause = house.kernel.pause_at(Call::Protect);
    tokio::spawn(async move { client.grow("other", 1).await });
    pause.reached(1).await;
    let wire = Wire::connect(house.grpc()).await;
    let mut upload = wire.begin("UploadMemory", &[]).await;
    let first = UploadMemoryRequest { memory_id: Some("m".to_owned()), ..data(1) };
    upload.body.send_data([framed(&first), second.to_vec()].concat().into(), false).unwrap();
    eventually("the first is charged", async || {
        house.daemon.server.in_flight_bytes() >= LONG as u64
    })
    .await;
    // The upload's connection answers other calls, so what came before them was seen.
    let memory_id = "m".to_owned();
    let get = framed(&GetMemoryRequest { memory_id, ..Default::default() });
    wire.call("GetMemory", &[], get).await.outcome().unwrap();
    (wire, upload, pause)
}

fn data(value: u8) -> UploadMemoryRequest {
    UploadMemoryRequest { data: vec![value; LONG].into(), ..Default::default() }
}

#[tokio::test]
async fn a_budget_for_one_message_carries_a_stream_of_them_however_early_they_come() {
    let house = House::with(|config| {
        config.memory.slabs = false;
        config.pool.threads = Some(1);
        config.grpc.in_flight_bytes_per_tenant = 5 << 20;
    });
    let second = framed(&data(2));
    let (_wire, mut upload, pause) = held_back(&house, second.into()).await;
    drop(pause);
    for value in 3..6 {
        upload.body.send_data(framed(&data(value)).into(), value == 5).unwrap();
    }
    let answer = upload.answer().await.outcome().unwrap();
    let answer = UploadMemoryResponse::decode(&answer[header_bytes()..]).unwrap();
    assert_eq!(answer.bytes_written, 5 * LONG as u64);
    let client = house.client().await;
    for value in 1..6 {
        let begins = (u64::from(value) - 1) * LONG as u64;
        let seen = client.read("m", begins, PAGE).await.unwrap();
        assert!(seen.iter().all(|byte| *byte == value), "message {value}");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_broken_message_behind_one_that_is_being_written_does_not_hide_what_stands() {
    let house = House::with(|config| {
        config.memory.slabs = false;
        config.pool.threads = Some(1);
    });
    let compressed = Bytes::copy_from_slice(&header(1, 10));
    let (_wire, upload, pause) = held_back(&house, compressed).await;
    drop(pause);
    let numbers: [(&str, &dyn Display); 3] =
        [("field", &"grpc-encoding"), ("value", &"compressed"), ("bytes_written", &LONG)];
    refused(upload.answer().await.outcome(), "CAPABILITY_UNAVAILABLE", &numbers);
    let client = house.client().await;
    assert_eq!(client.read("m", LONG as u64 - 1, 2).await.unwrap(), [1, 0].as_slice());
    house.stop().await;
}

/// Bytes of a gRPC message's header.
fn header_bytes() -> usize {
    header(0, 0).len()
}

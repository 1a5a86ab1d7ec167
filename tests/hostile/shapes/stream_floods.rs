//! Stream floods: calls that are begun and not ended, far more than a connection may have, and calls
//! that are whole, as fast as can be.

use std::time::Duration;

use crate::attacker::{Order, Tally};
use crate::protobuf::delimited;
use crate::wire::{DATA, END_HEADERS, END_STREAM, HEADERS, Peer, call, frame, message, stream};

const CONNECTIONS: u64 = 8;

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut open = Vec::new();
    let block = call("ReadMemory");
    let body = message(&[delimited(1, b"m"), vec![0x20, 8]].concat());
    let each = (order.inputs / CONNECTIONS).max(1);
    for connection in 0..CONNECTIONS {
        let Ok(mut peer) = Peer::greet(order.target, &[]).await else {
            all.ended += 1;
            continue;
        };
        let mut flood = Vec::new();
        for number in 0..each {
            flood.extend(frame(HEADERS, END_HEADERS, stream(number), &block));
            if connection.is_multiple_of(2) {
                flood.extend(frame(DATA, END_STREAM, stream(number), &body));
            }
        }
        // Past its limits the daemon refuses, or ends the connection.
        let _ended = peer.write(&flood).await;
        open.push(peer);
    }
    all.inputs += u64::from(open.is_empty());
    for mut peer in open {
        all.saw(each, peer.listen(Duration::from_millis(50), each).await);
    }
    all
}

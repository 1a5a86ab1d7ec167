//! Drip senders: a byte now and then, in the preface, in the headers, in a frame's header, in a message
//! of one call and in one of a stream.

use std::time::Duration;

use crate::attacker::{Order, Tally};
use crate::wire::{
    DATA, END_HEADERS, HEADERS, PREFACE, Peer, announced, call, frame, frame_header, greeting,
};

/// Between two bytes.
const DRIP: Duration = Duration::from_millis(250);
/// So many are sent: longer than any timeout of the daemon's.
const DRIPS: usize = 20;

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut open = Vec::new();
    for number in order.numbers() {
        all.inputs += 1;
        let Ok(mut peer) = Peer::connect(order.target).await else {
            all.ended += 1;
            continue;
        };
        let (first, slow) = phase(number);
        if peer.write(&first).await.is_ok() {
            open.push((peer, slow));
        }
    }
    for at in 0..DRIPS {
        tokio::time::sleep(DRIP).await;
        for (peer, slow) in &mut open {
            peer.write_some(&slow[at..=at]);
        }
    }
    for (mut peer, _) in open {
        all.saw(0, peer.listen(Duration::from_millis(1), u64::MAX).await);
    }
    all
}

/// What is sent at once, and what comes byte by byte.
fn phase(number: u64) -> (Vec<u8>, Vec<u8>) {
    let hello = greeting(&[]);
    let headers = |method| frame(HEADERS, END_HEADERS, 1, &call(method));
    let data = |length: u32| frame_header(length, DATA, 0, 1).to_vec();
    let zeros = vec![0; DRIPS];
    match number % 6 {
        0 => (Vec::new(), PREFACE.to_vec()),
        1 => (hello, headers("ReadMemory")),
        2 => ([hello, headers("ReadMemory")].concat(), [data(5), vec![0; DRIPS]].concat()),
        // A frame of one byte each time.
        3 => {
            let begun = [hello, headers("WriteMemory"), data(5), announced(1_000).to_vec()];
            (begun.concat(), [data(1), vec![7]].concat().repeat(DRIPS))
        }
        4 => {
            let begun = [hello, headers("UploadMemory"), data(1_000), announced(900).to_vec()];
            (begun.concat(), zeros)
        }
        _ => {
            let begun = [hello, headers("OpenSession"), data(1_000), announced(900).to_vec()];
            (begun.concat(), zeros)
        }
    }
}

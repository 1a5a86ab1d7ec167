//! Mutated frames: a conversation that would do, of which frames are turned, cut, doubled, swapped and
//! renamed, or say another length than theirs.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::attacker::{Order, Tally};
use crate::protobuf::delimited;
use crate::shapes::mutated_messages::mutate;
use crate::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, Peer, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, call, frame, greeting, message,
};

/// Inputs of one connection.
const EACH: u64 = 4;
/// Connections open at a time.
const AT_A_TIME: u64 = 8;

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut number = order.from;
    while all.inputs < order.inputs {
        let mut open = Vec::new();
        for _ in 0..AT_A_TIME {
            let Ok(mut peer) = Peer::connect(order.target).await else {
                all.ended += 1;
                continue;
            };
            let bytes = conversation(&order, number);
            number += EACH;
            // The daemon ends many of them before the last byte.
            let _ended = peer.write(&bytes).await;
            open.push(peer);
        }
        for mut peer in open {
            all.saw(EACH, peer.listen(Duration::from_millis(5), EACH).await);
        }
        all.inputs += u64::from(all.inputs == 0);
    }
    all
}

fn conversation(order: &Order, from: u64) -> Vec<u8> {
    let mut bytes = greeting(&[]);
    if order.random(from).random_ratio(1, 16) {
        mutate(&mut bytes, b"GET / HTTP/1.1\r\n\r\n", &mut order.random(!from));
    }
    let block = call("ReadMemory");
    for number in from..from + EACH {
        let mut random = order.random(number);
        let mut frames = sound(&mut random, &block);
        let at = random.random_range(0..frames.len());
        let victim = &mut frames[at];
        match random.random_range(0..7) {
            0 => mutate(victim, &block, &mut random),
            // Of the header: length, kind, flags, stream.
            1 => victim[random.random_range(0..3)] = random.random(),
            2 => victim[3] = random.random_range(0..12),
            3 => victim[4] = random.random(),
            4 => victim[random.random_range(5..9)] = random.random(),
            5 => frames.shuffle(&mut random),
            _ => {
                let again = frames[at].clone();
                frames.push(again);
            }
        }
        bytes.extend(frames.concat());
    }
    bytes
}

/// A few frames of which nothing is wrong.
fn sound(random: &mut StdRng, block: &[u8]) -> Vec<Vec<u8>> {
    let stream = 2 * random.random_range(0..32_u32) + 1;
    let body = message(&[delimited(1, b"m"), vec![0x20, 8]].concat());
    let half = block.len() / 2;
    match random.random_range(0..8) {
        0 => vec![
            frame(HEADERS, 0, stream, &block[..half]),
            frame(CONTINUATION, END_HEADERS, stream, &block[half..]),
            frame(DATA, END_STREAM, stream, &body),
        ],
        1 => vec![frame(PING, 0, 0, &[7; 8])],
        2 => vec![frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])],
        3 => vec![frame(WINDOW_UPDATE, 0, stream, &[0, 1, 0, 0])],
        4 => vec![frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 16])],
        5 => vec![
            frame(HEADERS, END_HEADERS, stream, block),
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ],
        6 if random.random_ratio(1, 8) => vec![frame(GOAWAY, 0, 0, &[0; 8])],
        _ => vec![
            frame(HEADERS, END_HEADERS, stream, block),
            frame(DATA, 0, stream, &body[..3]),
            frame(DATA, END_STREAM, stream, &body[3..]),
        ],
    }
}

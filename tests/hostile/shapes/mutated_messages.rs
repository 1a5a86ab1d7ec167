//! Mutated messages: requests at the limits of their fields, cut, joined, and with their bits turned;
//! and the five bytes before a message, which may say anything.

use std::rc::Rc;

use rand::Rng;
use rand::rngs::StdRng;

use crate::attacker::{Order, Tally};
use crate::boundary::{self, Plain, Request};
use crate::shapes::boundary_values::calls;
use crate::wire::message;

pub(crate) async fn attack(order: Order) -> Tally {
    thread_local! {
        static ALL: Rc<(Vec<Request>, Vec<Plain>)> = Rc::new((boundary::all(), boundary::plain()));
    }
    let all = ALL.with(Rc::clone);
    calls(order, move |number| {
        let (requests, plain) = &*all;
        let mut random = order.random(number);
        let Plain { path, body } = &plain[random.random_range(0..plain.len())];
        let other = &requests[random.random_range(0..requests.len())];
        // Of another RPC's request, as often as not.
        let mut bytes = if random.random() { body.clone() } else { other.body.clone() };
        for _ in 0..random.random_range(0..8) {
            mutate(&mut bytes, &other.body, &mut random);
        }
        bytes.truncate(400_000);
        let mut framed = message(&bytes);
        if random.random_ratio(1, 16) {
            let at = random.random_range(0..5);
            framed[at] = random.random();
        }
        (path.clone(), framed)
    })
    .await
}

/// One change.
pub(crate) fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut StdRng) {
    if bytes.is_empty() {
        bytes.push(random.random());
        return;
    }
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..8) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        2 => bytes.truncate(at),
        3 => {
            let some: [u8; 4] = random.random();
            bytes.splice(at..at, some);
        }
        4 => {
            bytes.remove(at);
        }
        5 => {
            let end = (at + random.random_range(1..64)).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        6 => {
            let from = random.random_range(0..=other.len());
            let end = (from + random.random_range(0..256)).min(other.len());
            bytes.splice(at..at, other[from..end].iter().copied());
        }
        _ => {
            let end = (at + 10).min(bytes.len());
            bytes[at..end].fill(0xFF);
        }
    }
}

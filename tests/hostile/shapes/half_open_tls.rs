//! Half-open TLS: handshakes that are not begun, torn, garbled, or begun and never gone on with.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::attacker::{Order, Tally};
use crate::wire::Peer;

/// Longer than a handshake may take.
const STAY: Duration = Duration::from_millis(2_700);

pub(crate) async fn attack(order: Order) -> Tally {
    let mut all = Tally::default();
    let mut open = Vec::new();
    let hello = hello();
    for number in order.numbers() {
        all.inputs += 1;
        let Ok(mut peer) = Peer::connect(order.target).await else {
            all.ended += 1;
            continue;
        };
        let mut said = hello.clone();
        let somewhere = order.random(number).random_range(0..said.len());
        match number % 4 {
            0 => said.clear(),
            1 => said.truncate(somewhere),
            2 => said[somewhere] ^= 0x55,
            // It is answered with a key of the daemon's and its signature.
            _ => {}
        }
        let _ended = peer.write(&said).await;
        open.push(peer);
    }
    tokio::time::sleep(STAY).await;
    for mut peer in open {
        all.ended += u64::from(peer.is_ended().await);
    }
    all
}

/// What a client says first.
fn hello() -> Vec<u8> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a vector takes all");
    hello
}

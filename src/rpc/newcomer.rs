//! [`Newcomer`]: a connection between the acceptor and its first byte of HTTP/2.
//!
//! Law: it has its place from the beginning, and waits for its turn before anything costly is done for
//! it. Why one did not come through is counted and, where its certificate was refused, told; not to it.
//! Does not know TLS.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::Failure;
use crate::rpc::audit::{Stranger, turned_away};
use crate::rpc::party::Party;
use crate::rpc::places::Place;
use crate::rpc::server::Server;
use crate::rpc::turns::{begin, shake_hands};

/// What the audit log calls it.
const HANDSHAKE: &str = "TLS handshake";

/// A connection that has a place and has not been taken up.
#[derive(Debug)]
pub struct Newcomer {
    pub(super) server: Arc<Server>,
    pub(super) number: u64,
    pub(super) place: Place,
    /// Whom its turns are counted for.
    pub(super) party: Arc<Party>,
}

impl Newcomer {
    /// The next one, in this place.
    #[must_use]
    pub fn new(server: &Arc<Server>, place: Place) -> Self {
        let number = server.connections_ever.fetch_add(1, Ordering::Relaxed);
        let party = Party::of(Some(place.origin()), number);
        Self { server: Arc::clone(server), number, place, party }
    }

    /// Waits until it may be taken up; whether its peer is still there then.
    pub async fn may_begin(&self, is_gone: impl Fn() -> bool) -> bool {
        begin(&self.party, is_gone).await
    }

    /// Waits until it may have its TLS handshake.
    pub async fn may_shake_hands(&self) {
        shake_hands(&self.party).await;
    }

    /// It did not come through its TLS handshake; why, where that is about what it showed.
    pub fn failed(&self, refusal: Option<&Failure>) {
        self.server.note_handshake();
        if let Some(failure) = refusal {
            let stranger = Stranger { address: self.place.peer(), ..Stranger::default() };
            turned_away(&self.server, HANDSHAKE, failure, stranger);
        }
    }
}

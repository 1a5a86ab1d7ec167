//! How much a session has under way: when it takes its next message, and what its results are charged.
//!
//! Law: ahead of its turn a message is taken where that is in nobody's way. In its turn it is taken once
//! nothing is under way, here or to the peer, so that a session whose peer takes nothing has no more than
//! one message's results. Nothing is taken while its tenant's rates are used up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::error::Failure;
use crate::rpc::admission::{Door, InFlight};
use crate::rpc::deadline::timer;
use crate::rpc::session::Session;
use crate::rpc::untaken::SHORT;

impl Session {
    /// Ahead of its turn something is taken where that is in nobody's way; in its turn it is once nothing is
    /// under way, here or to the peer.
    pub(super) fn has_room(&mut self, context: &mut Context<'_>) -> bool {
        let ahead = self.groups < self.limits.max_groups_in_flight
            && self.reply_bytes < self.limits.max_reply_bytes_in_flight
            && self.call.door.has_room_ahead();
        ahead || (self.groups == 0 && self.is_out(context))
    }

    /// Whether what was handed over has been taken. While it is not the peer is due to, from when the first
    /// of it was there.
    pub(super) fn is_out(&mut self, context: &mut Context<'_>) -> bool {
        while let Some(first) = self.departures.front_mut() {
            if Pin::new(first).poll(context).is_pending() {
                return false;
            }
            self.departures.pop_front();
        }
        true
    }

    /// What was put, charged until it is out.
    pub(super) fn hand_over(&mut self, bytes: Bytes) -> Bytes {
        let door = &self.call.door;
        let held = self.held.take();
        if bytes.len() < SHORT {
            return bytes;
        }
        let length = bytes.len() as u64;
        let mut held = held.unwrap_or_else(|| door.hold_anyway(length));
        held.settle(length);
        let limit = door.server.limits.stall_timeout;
        let (bytes, departure) = door.untaken.charge_of_stream(bytes, Some(held), limit);
        self.departures.push_back(departure);
        bytes
    }

    /// Looks again after that, if nothing else happens before; whether that is still to come.
    pub(super) fn pauses(&mut self, time: Duration, context: &mut Context<'_>) -> bool {
        self.pause = timer(Instant::now().checked_add(time));
        self.pause.as_mut().is_none_or(|pause| pause.as_mut().poll(context).is_pending())
    }

    /// Whether nothing is left of the tenant's rates, so that no further message is taken: each owes what
    /// it leads to.
    pub(super) fn is_held_up(&mut self, context: &mut Context<'_>) -> bool {
        while let Some(wait) = self.call.door.access.tenant().rates.wait() {
            if self.pauses(wait, context) {
                return true;
            }
        }
        self.pause = None;
        false
    }
}

/// The results' part of the budgets. Of a session one group at a time looks for it.
pub(super) async fn room(
    door: &Arc<Door>,
    reply: u64,
    own: u64,
    line: &Semaphore,
) -> Result<InFlight, Failure> {
    if let Ok(held) = door.hold(reply) {
        return Ok(held);
    }
    // Nobody closes it.
    let _first = line.acquire().await;
    door.hold_in_time(reply, own).await
}

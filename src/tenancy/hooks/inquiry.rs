//! [`Inquiry`]: one growth and the hooks that have a say in it.
//!
//! Law: over at its first denial, or when no seat is open. Asks and tells nobody: the board does.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::error::Failure;
use crate::registry::Wish;
use crate::tenancy::hooks::Hook;
use crate::tenancy::hooks::board::Seen;

/// One growth that is being asked about.
#[derive(Debug)]
pub(super) struct Inquiry {
    pub(super) wish: Arc<Wish>,
    pub(super) seats: Vec<Seat>,
    /// The first.
    pub(super) denial: Option<Failure>,
    pub(super) waker: Option<Waker>,
}

/// One hook's say in it.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) hook: Arc<Hook>,
    pub(super) since: Instant,
    pub(super) deadline: Instant,
    pub(super) state: SeatState,
}

/// How a hook's say stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeatState {
    /// It is waited for.
    Open(Seen),
    /// It may grow, and who said so is told what comes of it.
    Allowed(Seen),
    /// Nobody's say is waited for any more.
    Settled,
}

impl Inquiry {
    pub(super) const fn of(wish: Arc<Wish>, seats: Vec<Seat>) -> Self {
        Self { wish, seats, denial: None, waker: None }
    }

    pub(super) fn is_over(&self) -> bool {
        self.denial.is_some() || self.deadline().is_none()
    }

    /// When the next of those who are waited for is waited for no longer; none where there is none.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.seats.iter().filter(|seat| matches!(seat.state, SeatState::Open(_)));
        open.map(|seat| seat.deadline).min()
    }

    /// Those who had to answer by now: place, question, and since when.
    pub(super) fn due(&self, now: Instant) -> impl Iterator<Item = (usize, Seen, Instant)> {
        let seats = self.seats.iter().enumerate();
        seats.filter_map(move |(place, seat)| match seat.state {
            SeatState::Open(seen) if seat.deadline <= now => Some((place, seen, seat.since)),
            _ => None,
        })
    }

    /// Who allowed it.
    pub(super) fn allowed(&self) -> impl Iterator<Item = Seen> {
        self.seats.iter().filter_map(|seat| match seat.state {
            SeatState::Allowed(seen) => Some(seen),
            SeatState::Open(_) | SeatState::Settled => None,
        })
    }

    /// Waits for nobody any more: how they stood.
    pub(super) fn settle_all(&mut self) -> impl Iterator<Item = SeatState> {
        let settle = |seat: &mut Seat| std::mem::replace(&mut seat.state, SeatState::Settled);
        self.seats.iter_mut().map(settle)
    }
}

//! [`Manners`]: how much of the serving thread one connection's frames may take.
//!
//! A frame of nine bytes can cost more than a kilobyte of a message does, and h2 takes frames for as
//! long as any are there. So a connection's turn ends after [`TURN`] frames, and others have theirs:
//! whose turn it is, is said by `turns.rs`. Frames that ask for work and bring nothing (resets, pings, settings, priorities, continuations,
//! empty DATA, what nobody knows) are paid for out of a credit, which calls earn and time gives back:
//!
//! ```text
//! a call's HEADERS +1      RST_STREAM -2      the others -1      a second +1,000      at most 1,000
//! ```
//!
//! Law: who has no credit waits until there is some, unread; who must wait for long again and again
//! is ended. A call that is answered is never charged, and a client that cancels every other call
//! stays even. Knows frame headers only.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use crate::rpc::turns::{self, Party, Place, TURN};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
/// Of SETTINGS and PING.
const ACK: u8 = 1;
/// Of DATA.
const END_STREAM: u8 = 1;

/// Credit at most, and from the start.
const MOST: i64 = 1_000;
/// Credit that a second brings.
const A_SECOND: i64 = 1_000;
/// A debt that is no accident of a client in a hurry.
const RUDE: i64 = 50;
/// So many such debts before the credit was full again end the connection.
const STRIKES: u32 = 64;

/// One connection's turns and credit.
#[derive(Debug)]
pub(crate) struct Manners {
    party: Arc<Party>,
    /// Frames that were read since a turn was last asked for.
    frames: u32,
    /// The socket was found empty since: what comes next is of another turn.
    is_over: bool,
    /// Where it waits for its turn.
    place: Option<Place>,
    credit: i64,
    counted: Instant,
    strikes: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Manners {
    pub(crate) fn new(party: Arc<Party>) -> Self {
        Self {
            party,
            frames: 0,
            is_over: false,
            place: None,
            credit: MOST,
            counted: Instant::now(),
            strikes: 0,
            pause: None,
        }
    }

    /// A frame came, with so long a payload.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, length: usize) {
        self.frames = self.frames.saturating_add(1);
        let change = match kind {
            HEADERS => 1,
            RST_STREAM => -2,
            DATA if length > 0 || flags & END_STREAM != 0 => 0,
            SETTINGS | PING if flags & ACK != 0 => 0,
            GOAWAY | WINDOW_UPDATE => 0,
            _ => -1,
        };
        self.credit = self.credit.saturating_add(change).min(MOST);
    }

    /// The socket was found empty: whatever comes next is of another turn.
    pub(crate) const fn idle(&mut self) {
        self.is_over = true;
    }

    /// Whether more may be read now; if not, the task is woken when it may.
    ///
    /// # Errors
    /// That the peer has gone too far too often.
    pub(crate) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if self.credit < 0
            && let Some(time) = self.owed(Instant::now())?
        {
            let mut pause = Box::pin(sleep(time));
            if pause.as_mut().poll(context).is_pending() {
                self.pause = Some(pause);
                return Poll::Pending;
            }
        }
        if let Some(place) = &self.place {
            std::task::ready!(place.poll(context));
            self.place = None;
        } else if self.frames >= TURN || (self.is_over && self.frames > 0) {
            let others_had_theirs = std::mem::take(&mut self.is_over);
            self.place = turns::ask(&self.party, std::mem::take(&mut self.frames), context);
            if self.place.is_some() {
                return Poll::Pending;
            }
            if !others_had_theirs {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// How long the peer must wait, with what time has brought since this was last asked.
    fn owed(&mut self, now: Instant) -> io::Result<Option<Duration>> {
        let passed = i64::try_from(now.duration_since(self.counted).as_millis());
        let brought = passed.unwrap_or(i64::MAX).saturating_mul(A_SECOND) / 1_000;
        self.counted = now;
        let sum = self.credit.saturating_add(brought);
        if sum >= MOST {
            self.strikes = 0;
        }
        self.credit = sum.min(MOST);
        if self.credit >= 0 {
            return Ok(None);
        }
        let debt = self.credit.saturating_neg();
        if debt >= RUDE {
            self.strikes = self.strikes.saturating_add(1);
            if self.strikes >= STRIKES {
                return Err(io::Error::other("too many frames that bring nothing"));
            }
        }
        let millis = u64::try_from(debt.saturating_mul(1_000) / A_SECOND).unwrap_or(1);
        Ok(Some(Duration::from_millis(millis.clamp(1, 1_000))))
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn manners() -> Manners {
        Manners::new(Party::of(None, 1))
    }

    /// Reads so many of these frames a turn until told to wait or to go; how many that took.
    fn until_told(manners: &mut Manners, now: Instant, frames: &[(u8, u8, usize)]) -> usize {
        for count in 1..=10_000 {
            for (kind, flags, length) in frames {
                manners.frame(*kind, *flags, *length);
            }
            if manners.credit < 0 && !matches!(manners.owed(now), Ok(None)) {
                return count;
            }
        }
        10_000
    }

    #[test]
    fn calls_and_their_messages_cost_nothing_however_many() {
        let mut manners = manners();
        let call = [(HEADERS, 4, 50), (DATA, 0, 100), (DATA, END_STREAM, 0), (WINDOW_UPDATE, 0, 4)];
        let now = manners.counted;
        assert_eq!(until_told(&mut manners, now, &call), 10_000);
        assert_eq!(until_told(&mut manners, now, &[(PING, ACK, 8), (SETTINGS, ACK, 0)]), 10_000);
        let every_other = [(HEADERS, 4, 50), (HEADERS, 4, 50), (RST_STREAM, 0, 4)];
        assert_eq!(until_told(&mut manners, now, &every_other), 10_000);
    }

    #[test]
    fn what_brings_nothing_is_paid_for_and_time_pays() {
        for (kind, flags, length) in
            [(PING, 0, 8), (SETTINGS, 0, 0), (2, 0, 5), (DATA, 0, 0), (9, 4, 0), (77, 0, 9)]
        {
            let mut manners = manners();
            let now = manners.counted;
            assert_eq!(until_told(&mut manners, now, &[(kind, flags, length)]), 1_001);
            let later = now + Duration::from_secs(1);
            assert_eq!(until_told(&mut manners, later, &[(kind, flags, length)]), 1_000);
        }
        let mut manners = manners();
        let now = manners.counted;
        assert_eq!(until_told(&mut manners, now, &[(HEADERS, 4, 50), (RST_STREAM, 0, 4)]), 1_000);
    }

    #[test]
    fn a_pinger_with_one_ping_under_way_is_slowed_and_a_flood_is_ended() {
        let (mut pinger, mut flooder) = (manners(), manners());
        let mut now = pinger.counted;
        for _ping in 0..20_000 {
            pinger.frame(PING, 0, 8);
            if pinger.credit < 0 {
                now += pinger.owed(now).unwrap().unwrap_or_default();
            }
        }
        let mut rounds = 0;
        let mut now = flooder.counted;
        let ended = loop {
            (0..480).for_each(|_| flooder.frame(PING, 0, 8));
            rounds += 1;
            match flooder.owed(now) {
                Ok(wait) => now += wait.unwrap_or_default(),
                Err(ended) => break ended,
            }
        };
        assert!(rounds < 100, "{rounds}: {ended}");
    }

    #[tokio::test]
    async fn a_turn_ends_after_its_frames_and_the_next_one_comes_at_once() {
        let mut manners = manners();
        let turn = async |manners: &mut Manners| {
            poll_fn(|context| Poll::Ready(manners.poll_turn(context).is_ready())).await
        };
        assert!(turn(&mut manners).await);
        (0..TURN).for_each(|_| manners.frame(DATA, 0, 100));
        assert!(!turn(&mut manners).await);
        assert!(turn(&mut manners).await);
        (1..TURN).for_each(|_| manners.frame(DATA, 0, 100));
        manners.idle();
        assert!(turn(&mut manners).await);
        manners.frame(DATA, 0, 100);
        assert!(turn(&mut manners).await);
    }
}

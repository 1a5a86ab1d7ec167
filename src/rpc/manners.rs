//! [`Manners`]: how much of the serving thread one connection's frames may take.
//!
//! A frame of nine bytes can cost more than a kilobyte of a message does, and h2 takes frames for as
//! long as any are there. So a connection's turn ends after [`TURN`] frames where others stand in a
//! line, and after [`POLL`] everywhere, and others have theirs: whose turn it is, is said by
//! `turns.rs`. Frames that ask for work and bring nothing (resets, pings, settings, priorities,
//! continuations, empty DATA, what nobody knows) are paid for at the end of a turn, out of a credit
//! that calls earn and time gives back:
//!
//! ```text
//! a call's HEADERS +1      RST_STREAM -2      the others -1      what a call showed in vain -64
//! a connection             a second +1,000    at most 1,000
//! a party, on each thread  a second +8,000    at most 8,000, of which turns of more cost than worth take
//! ```
//!
//! Law: who has no credit waits until there is some, unread; who must wait again and again
//! is ended, and so is, while its party owes much, a connection that has cost more than it was worth in
//! all its life. A call that is answered is never charged, but where a signature was verified for it in
//! vain (`verdicts.rs`, which charges the party). A client that cancels every other call
//! stays even. Knows frame headers only.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use crate::rpc::allowance::{Allowance, Terms};
use crate::rpc::party::Party;
use crate::rpc::polls;
use crate::rpc::turns::{self, Place, TURN};

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

/// Frames of one poll at most, where nobody stands in a line: each poll more is a write more.
const POLL: u32 = 4 * TURN;
/// A connection's credit.
const CREDIT: Terms = Terms { most: 1_000, each: Duration::from_millis(1), deepest: i64::MAX };
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(1);
/// A turn's debt that is no accident of a client in a hurry: a third of the frames that it may have.
const RUDE: i64 = 8;
/// So much of such debts, 3.2 seconds' worth, before the credit was full again ends the connection.
const ENOUGH: i64 = 3_200;

/// One connection's turns and credit.
#[derive(Debug)]
pub(crate) struct Manners {
    party: Arc<Party>,
    /// Frames that were read since a turn was last asked for.
    frames: u32,
    /// The socket was found empty since: what comes next is of another turn.
    is_over: bool,
    /// Frames that were read in this poll of the connection, and which one that is: within a poll h2
    /// asks for more each time that it hands a stream over, whether or not it was told to wait.
    run: u32,
    poll: u64,
    /// Where it waits for its turn.
    place: Option<Place>,
    /// What the frames of this turn were worth, less what they cost.
    worth: i64,
    /// Of those, what calls took in vain.
    vain: i64,
    /// The same of all frames ever.
    worth_ever: i64,
    credit: Allowance,
    /// What was owed rudely since the credit was full.
    rudeness: i64,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Manners {
    pub(crate) fn new(party: Arc<Party>) -> Self {
        Self {
            party,
            frames: 0,
            is_over: false,
            run: 0,
            poll: polls::number(),
            place: None,
            worth: 0,
            vain: 0,
            worth_ever: 0,
            credit: Allowance::whole(&CREDIT, Instant::now()),
            rudeness: 0,
            pause: None,
        }
    }

    /// A frame came, with so long a payload.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, length: usize) {
        self.frames = self.frames.saturating_add(1);
        if kind == HEADERS {
            polls::headers_came();
        }
        let change = match kind {
            HEADERS => 1,
            RST_STREAM => -2,
            DATA if length > 0 || flags & END_STREAM != 0 => 0,
            SETTINGS | PING if flags & ACK != 0 => 0,
            GOAWAY | WINDOW_UPDATE => 0,
            _ => -1,
        };
        self.worth = self.worth.saturating_add(change);
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
        let poll = polls::number();
        if std::mem::replace(&mut self.poll, poll) != poll {
            self.run = 0;
        } else if self.run >= POLL {
            return Poll::Pending;
        }
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if let Some(place) = &self.place {
            std::task::ready!(place.poll(context));
            self.place = None;
        } else if self.frames >= TURN || (self.is_over && self.frames > 0) {
            self.bear();
            if self.worth >= 0 {
                let worth = self.earn();
                self.credit.give(&CREDIT, worth);
            } else if let Some(time) = self.settle(Instant::now())? {
                let mut pause = Box::pin(sleep(time));
                if pause.as_mut().poll(context).is_pending() {
                    self.pause = Some(pause);
                    return Poll::Pending;
                }
            }
            self.is_over = false;
            let frames = std::mem::take(&mut self.frames);
            self.run = self.run.saturating_add(frames);
            self.place = turns::ask(&self.party, frames, context);
            if self.place.is_some() {
                return Poll::Pending;
            }
            if self.run >= POLL {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What calls took in vain since the last turn is of this one.
    fn bear(&mut self) {
        let vain = i64::from(self.party.owed());
        self.vain = self.vain.saturating_add(vain);
        self.worth = self.worth.saturating_sub(vain);
    }

    /// What the frames of this turn were worth.
    const fn earn(&mut self) -> i64 {
        self.vain = 0;
        let worth = std::mem::replace(&mut self.worth, 0);
        self.worth_ever = self.worth_ever.saturating_add(worth);
        worth
    }

    /// How long the peer must wait for what its frames cost beyond what they were worth.
    fn settle(&mut self, now: Instant) -> io::Result<Option<Duration>> {
        let vain = self.vain;
        let cost = self.earn().saturating_neg();
        let left = self.credit.take(&CREDIT, cost, now);
        if left.saturating_add(cost) >= CREDIT.most {
            self.rudeness = 0;
        }
        if left <= RUDE.saturating_neg() {
            self.rudeness = self.rudeness.saturating_sub(left);
        }
        // Of what was in vain it has had its part.
        let owes = turns::charge(&self.party, cost.saturating_sub(vain).max(0), now);
        let is_one_of_many = owes.is_some_and(|owes| owes.is_deep) && self.worth_ever < 0;
        if is_one_of_many || self.rudeness >= ENOUGH {
            return Err(io::Error::other("too many frames that bring nothing"));
        }
        let time = CREDIT.until_even(left).max(owes.map(|owes| owes.time));
        Ok(time.map(|time| time.min(LONGEST)))
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Those of a connection that shares its party with none.
    fn manners() -> Manners {
        static PARTIES: AtomicU64 = AtomicU64::new(0);
        Manners::new(Party::of(None, PARTIES.fetch_add(1, Ordering::Relaxed)))
    }

    /// Takes turns of one of these frames each until told to wait or to go; how many that took.
    fn until_told(manners: &mut Manners, now: Instant, frames: &[(u8, u8, usize)]) -> usize {
        for count in 1..=10_000 {
            for (kind, flags, length) in frames {
                manners.frame(*kind, *flags, *length);
            }
            if manners.worth < 0 && !matches!(manners.settle(now), Ok(None)) {
                return count;
            }
        }
        10_000
    }

    #[test]
    fn calls_and_their_messages_cost_nothing_however_many() {
        let mut manners = manners();
        let call = [(HEADERS, 4, 50), (DATA, 0, 100), (DATA, END_STREAM, 0), (WINDOW_UPDATE, 0, 4)];
        let now = Instant::now();
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
            let now = Instant::now();
            assert_eq!(until_told(&mut manners, now, &[(kind, flags, length)]), 1_001);
            let later = now + Duration::from_secs(2);
            assert_eq!(until_told(&mut manners, later, &[(kind, flags, length)]), 1_001);
        }
        let mut manners = manners();
        let reset = [(HEADERS, 4, 50), (RST_STREAM, 0, 4)];
        assert_eq!(until_told(&mut manners, Instant::now(), &reset), 1_001);
    }

    #[test]
    fn a_pinger_with_one_ping_under_way_is_slowed_and_a_flood_is_ended() {
        let (mut pinger, mut flooder) = (manners(), manners());
        let mut now = Instant::now();
        for _ping in 0..20_000 {
            pinger.frame(PING, 0, 8);
            now += pinger.settle(now).unwrap().unwrap_or_default();
        }
        let mut rounds = 0;
        let ended = loop {
            (0..480).for_each(|_| flooder.frame(PING, 0, 8));
            rounds += 1;
            match flooder.settle(now) {
                Ok(wait) => now += wait.unwrap_or_default(),
                Err(ended) => break ended,
            }
        };
        assert!(rounds < 100, "{rounds}: {ended}");
    }

    /// A call that came by this many frames' worth of what nobody is.
    fn forge(manners: &mut Manners, now: Instant) -> io::Result<Option<Duration>> {
        manners.frame(HEADERS, 4, 500);
        manners.party.owe(turns::HANDSHAKE);
        manners.bear();
        manners.settle(now)
    }

    #[test]
    fn who_forges_now_and_then_waits_for_nothing_and_a_flood_of_forgeries_is_ended() {
        let (mut seldom, mut flooder, mut burst) = (manners(), manners(), manners());
        let mut now = Instant::now();
        for _forgery in 0..1_000 {
            assert!(matches!(forge(&mut seldom, now), Ok(None)));
            now += Duration::from_millis(100);
        }
        let mut count = 0;
        while let Ok(wait) = forge(&mut flooder, now) {
            (now, count) = (now + wait.unwrap_or_default(), count + 1);
            assert!(count < 100, "it is not ended");
        }
        assert!(count > 15, "{count}: a few are no flood");
        (0..96).for_each(|_| {
            burst.frame(HEADERS, 4, 500);
            burst.party.owe(turns::HANDSHAKE);
        });
        burst.bear();
        assert!(burst.settle(now).is_err(), "as many as come in one poll");
    }

    #[tokio::test]
    async fn connections_of_one_party_share_what_may_bring_nothing_and_those_that_never_did_are_ended()
     {
        tokio::spawn(turns::give_turns());
        tokio::task::yield_now().await;
        let party = manners().party;
        let now = Instant::now();
        let with_resets = |calls: usize| {
            let mut manners = Manners::new(Arc::clone(&party));
            (0..calls).for_each(|_| manners.frame(HEADERS, 4, 50));
            manners.earn();
            (0..17).for_each(|_| manners.frame(HEADERS, 4, 50));
            (0..17).for_each(|_| manners.frame(RST_STREAM, 0, 4));
            manners.settle(now)
        };
        let free = (0..2_000).take_while(|_| matches!(with_resets(0), Ok(None))).count();
        assert_eq!(free, 8_000 / 17, "however many connections they came by");
        assert!(with_resets(0).is_ok_and(|wait| wait.is_some()), "a small debt is waited for");
        while with_resets(0).is_ok() {}
        let wait =
            with_resets(1_000).expect("a storm of deadlines on a connection that was of use");
        assert!(wait.is_some(), "waits as well, and lives");
        let (later, mut another) = (now + Duration::from_secs(4), manners());
        another.frame(RST_STREAM, 0, 4);
        assert!(matches!(another.settle(later), Ok(None)), "another party never owed anything");
    }

    #[tokio::test]
    async fn a_poll_ends_after_its_frames_and_the_next_one_comes_at_once() {
        let mut manners = manners();
        let again = async |manners: &mut Manners| {
            poll_fn(|context| Poll::Ready(manners.poll_turn(context).is_ready())).await
        };
        let turn = async |manners: &mut Manners| {
            let mut ready = |context: &mut Context<'_>| manners.poll_turn(context).is_ready();
            poll_fn(|context| Poll::Ready(polls::poll(context, &mut ready))).await
        };
        assert!(turn(&mut manners).await);
        (0..POLL).for_each(|_| manners.frame(DATA, 0, 100));
        assert!(!turn(&mut manners).await);
        assert!(!again(&mut manners).await, "it has not let go of the thread");
        assert!(turn(&mut manners).await);
        (1..POLL).for_each(|_| manners.frame(DATA, 0, 100));
        manners.idle();
        assert!(turn(&mut manners).await);
        manners.frame(DATA, 0, 100);
        assert!(turn(&mut manners).await);
    }

    #[tokio::test]
    async fn a_socket_found_empty_within_a_poll_begins_no_other_turn() {
        let mut manners = manners();
        let mut read = |context: &mut Context<'_>| {
            let mut read = 0;
            while read < 10 * POLL && manners.poll_turn(context).is_ready() {
                manners.frame(HEADERS, 4, 50);
                manners.idle();
                read += 1;
            }
            read
        };
        assert_eq!(poll_fn(|context| Poll::Ready(polls::poll(context, &mut read))).await, POLL);
    }
}

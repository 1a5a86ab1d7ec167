//! [`ask`]: whose turn it is on a serving thread, where several tenants want more than a little of it.
//!
//! Each tenant has an allowance of frames, which time gives back. Who stays within it is served as it comes.
//! Who does not stands in a line, and so does, before its first call, every connection, in that of its
//! address: for being taken up, for its TLS handshake, for its first frames.
//!
//! ```text
//!  within the allowance ──────────────────────────────> served at once
//!  beyond it ──> blue  ▪▪▪▪ ┐ in turns, about TURN frames each time that the thread
//!                red   ▪    ├──> has looked at its sockets and done what came
//!                green ▪▪   ┘
//! ```
//!
//! So who comes with little never waits for more than one turn of who comes with much, and of those who
//! come with much each tenant has as much as another, however many connections it has.
//!
//! Two things are paced besides, for they cost the daemon more than the peer: connections of one address
//! that are taken up ([`begin`]), and, over all connections of a party, frames that bring nothing
//! ([`charge`]).
//!
//! Law: a thread's own, without locks. In a line nobody waits while nothing else is to be done, and nobody
//! at all while there is one party alone. On a thread that nobody gives turns on ([`give_turns`]) there are
//! no lines and nobody is paced.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::rpc::allowance::{Allowance, Terms};
use crate::rpc::party::{Key, Party};

/// Frames of one connection before others have their turn: some twelve calls.
pub(crate) const TURN: u32 = 24;
/// What a poll of a call costs, in frames.
pub(crate) const CALL: u32 = 2;
/// Frames of a party, on each thread: 32,000 a second, some five thousand calls.
const FRAMES: Terms = Terms { most: 128, each: Duration::from_nanos(31_250), deepest: 128 };
/// Frames of a party that bring nothing, as `manners.rs` counts them, on each thread: 8,000 a second.
/// It is told of no more than two seconds' worth.
const IDLE: Terms = Terms { most: 8_000, each: Duration::from_micros(125), deepest: 16_000 };
/// How many of them that is.
pub(crate) const PER_SECOND: u32 = 8_000;
/// A debt of them that is no accident.
const DEEP: i64 = 1_000;
/// Connections of one address that each thread takes up: 500 a second.
const CONNECTIONS: Terms = Terms { most: 500, each: Duration::from_millis(2), deepest: 1_000_000 };
/// How often who waits to be taken up is looked after: whether its peer is still there.
const LOOK: Duration = Duration::from_millis(50);
/// What taking a connection up costs, in frames.
const CONNECTION: u32 = 16;
/// What a TLS handshake costs, in frames: a key, a signature. So does a signature that is forged.
pub(crate) const HANDSHAKE: u32 = 64;
/// How often parties that are quiet are looked for.
const SWEEP: Duration = Duration::from_millis(50);
/// Who has been quiet at so many such looks, a second's, is forgotten. Beside somebody who calls now and
/// then, a greedy party is not alone.
const FORGOTTEN: u32 = 20;

/// A place in a line. Left when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Ticket>);

#[derive(Debug)]
struct Ticket {
    is_called: AtomicBool,
    waker: Mutex<Waker>,
}

impl Place {
    /// Waits to be called.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.0.is_called.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let mut waker = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner);
        waker.clone_from(context.waker());
        Poll::Pending
    }
}

impl Ticket {
    fn call(&self) {
        self.is_called.store(true, Ordering::Release);
        self.waker.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

/// A place in the line for a connection of this party that has read so many frames since it asked last;
/// none where it need not stand there.
pub(crate) fn ask(party: &Party, frames: u32, context: &mut Context<'_>) -> Option<Place> {
    LINES.with_borrow_mut(|lines| lines.ask(party.key(), frames, context.waker()))
}

/// What a party owes for frames that bring nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owes {
    /// Until nothing is owed.
    pub(crate) time: Duration,
    /// It is more than an accident.
    pub(crate) is_deep: bool,
}

/// Charges this party so much for frames that bring nothing; what it owes then.
pub(crate) fn charge(party: &Party, cost: i64, now: Instant) -> Option<Owes> {
    let left = LINES.with_borrow_mut(|lines| {
        let line = lines.paced(party.key(), now);
        line.map_or(0, |line| line.idle.take(&IDLE, cost, now))
    });
    let is_deep = left <= DEEP.saturating_neg();
    IDLE.until_even(left).map(|time| Owes { time, is_deep })
}

/// Waits until a connection of this party may be taken up; whether its peer is still there.
pub(crate) async fn begin(party: &Party, is_gone: impl Fn() -> bool) -> bool {
    let mut taken = Taken::take(party.key());
    while let Some(wait) = taken.wait.take() {
        sleep(wait.min(LOOK)).await;
        if is_gone() {
            return false;
        }
        taken.wait = wait.checked_sub(LOOK).filter(|left| !left.is_zero());
    }
    taken.is_up = true;
    turn(party, CONNECTION).await;
    true
}

/// Waits until a connection of this party may have its TLS handshake.
pub(crate) async fn shake_hands(party: &Party) {
    turn(party, HANDSHAKE).await;
}

async fn turn(party: &Party, frames: u32) {
    let mut asked = None;
    poll_fn(|context| {
        let place = asked.get_or_insert_with(|| ask(party, frames, context));
        place.as_ref().map_or(Poll::Ready(()), |place| place.poll(context))
    })
    .await;
}

/// One of the connections of an address that may be taken up. Given back when dropped before it is.
struct Taken {
    party: Key,
    wait: Option<Duration>,
    is_up: bool,
}

impl Taken {
    fn take(party: Key) -> Self {
        let now = Instant::now();
        let left = LINES.with_borrow_mut(|lines| {
            let line = lines.paced(party, now);
            line.map_or(0, |line| line.connections.take(&CONNECTIONS, 1, now))
        });
        Self { party, wait: CONNECTIONS.until_even(left), is_up: false }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.is_up {
            return;
        }
        // The thread may be ending.
        let _gone = LINES.try_with(|lines| {
            if let Some(line) = lines.borrow_mut().by_party.get_mut(&self.party) {
                line.connections.give(&CONNECTIONS, 1);
            }
        });
    }
}

/// Gives turns on this thread, for as long as it is polled.
pub async fn give_turns() {
    let _giver = Giver::begin();
    loop {
        poll_fn(|context| LINES.with_borrow_mut(|lines| lines.poll_waiting(context))).await;
        // Back after the thread has looked at its sockets.
        tokio::task::yield_now().await;
        let called = LINES.with_borrow_mut(Lines::next);
        called.iter().for_each(|ticket| ticket.call());
    }
}

thread_local! {
    static LINES: RefCell<Lines> = RefCell::default();
}

/// A thread's lines.
#[derive(Debug, Default)]
struct Lines {
    is_given: bool,
    /// Who gives turns, while nobody waits for one.
    giver: Option<Waker>,
    by_party: HashMap<Key, Line>,
    /// Parties of whom somebody waits.
    ring: VecDeque<Key>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Line {
    frames: Allowance,
    idle: Allowance,
    connections: Allowance,
    waiting: VecDeque<Waiting>,
    /// It asked since it was last looked at.
    asked: bool,
    /// Looks at which it was quiet, one after the other.
    quiet: u32,
}

#[derive(Debug)]
struct Waiting {
    ticket: Arc<Ticket>,
    /// What it read in its last turn.
    frames: u32,
}

impl Lines {
    /// A place in the line; none where it needs to wait for nobody.
    fn ask(&mut self, party: Key, frames: u32, waker: &Waker) -> Option<Place> {
        if !self.is_given {
            return None;
        }
        if party.is_tenants()
            && let Some(line) = self.by_party.get_mut(&party)
            && line.waiting.is_empty()
            && line.frames.draw(frames.into())
        {
            line.asked = true;
            return None;
        }
        let now = Instant::now();
        self.sweep(now);
        let line = self.line(party, now);
        line.asked = true;
        let left = line.frames.take(&FRAMES, frames.into(), now);
        if party.is_tenants() && left >= 0 && line.waiting.is_empty() || self.by_party.len() == 1 {
            return None;
        }
        let (is_called, waker) = (AtomicBool::new(false), Mutex::new(waker.clone()));
        let ticket = Arc::new(Ticket { is_called, waker });
        let waiting = Waiting { ticket: Arc::clone(&ticket), frames };
        if let Entry::Occupied(mut line) = self.by_party.entry(party) {
            if line.get().waiting.is_empty() {
                self.ring.push_back(party);
            }
            line.get_mut().waiting.push_back(waiting);
        }
        if let Some(giver) = self.giver.take() {
            giver.wake();
        }
        Some(Place(ticket))
    }

    /// Where what a party is paced by is counted.
    fn paced(&mut self, party: Key, now: Instant) -> Option<&mut Line> {
        self.sweep(now);
        self.is_given.then(|| self.line(party, now))
    }

    fn line(&mut self, party: Key, now: Instant) -> &mut Line {
        self.by_party.entry(party).or_insert_with(|| Line::new(now))
    }

    fn poll_waiting(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.ring.is_empty() {
            return Poll::Ready(());
        }
        self.giver = Some(context.waker().clone());
        Poll::Pending
    }

    /// Those whose turn it is: of each party in turn, until they come to about one whole turn.
    fn next(&mut self) -> Vec<Arc<Ticket>> {
        let (mut called, mut frames) = (Vec::new(), 0u32);
        while frames < TURN
            && let Some(party) = self.ring.pop_front()
        {
            let Some(line) = self.by_party.get_mut(&party) else { continue };
            // Who has left the line has no turn.
            while let Some(first) = line.waiting.pop_front() {
                if Arc::strong_count(&first.ticket) > 1 {
                    frames = frames.saturating_add(first.frames.max(1));
                    called.push(first.ticket);
                    break;
                }
            }
            if !line.waiting.is_empty() {
                self.ring.push_back(party);
            }
        }
        called
    }

    /// Forgets who has been quiet for long.
    fn sweep(&mut self, now: Instant) {
        let swept = *self.swept.get_or_insert(now);
        if now.saturating_duration_since(swept) < SWEEP {
            return;
        }
        self.swept = Some(now);
        self.by_party.retain(|_, line| !line.is_forgotten(now));
    }

    fn call_all(&mut self) -> Vec<Arc<Ticket>> {
        self.ring.clear();
        let lines = std::mem::take(&mut self.by_party).into_values();
        lines.flat_map(|line| line.waiting).map(|waiting| waiting.ticket).collect()
    }
}

impl Line {
    const fn new(now: Instant) -> Self {
        Self {
            frames: Allowance::whole(&FRAMES, now),
            idle: Allowance::whole(&IDLE, now),
            connections: Allowance::whole(&CONNECTIONS, now),
            waiting: VecDeque::new(),
            asked: false,
            quiet: 0,
        }
    }

    /// Looks at it: whether this was the last look of many at which it was quiet.
    fn is_forgotten(&mut self, now: Instant) -> bool {
        let is_quiet = self.is_quiet(now);
        self.quiet = if is_quiet { self.quiet.saturating_add(1) } else { 0 };
        self.quiet >= FORGOTTEN
    }

    /// It has all of its allowances, nobody waits and nobody asked since the last look.
    fn is_quiet(&mut self, now: Instant) -> bool {
        !std::mem::replace(&mut self.asked, false)
            && self.waiting.is_empty()
            && self.frames.take(&FRAMES, 0, now) == FRAMES.most
            && self.idle.take(&IDLE, 0, now) == IDLE.most
            && self.connections.take(&CONNECTIONS, 0, now) == CONNECTIONS.most
    }
}

/// While turns are given.
struct Giver;

impl Giver {
    fn begin() -> Self {
        LINES.with_borrow_mut(|lines| lines.is_given = true);
        Self
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        // The thread may be ending.
        let _gone = LINES.try_with(|lines| {
            let called = {
                let mut lines = lines.borrow_mut();
                lines.is_given = false;
                lines.call_all()
            };
            called.iter().for_each(|ticket| ticket.call());
        });
    }
}

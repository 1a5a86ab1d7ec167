//! [`ask`]: whose turn it is on a serving thread, where several tenants want more than a little of it.
//!
//! Each party (a tenant; before a connection's first call, its address) has an allowance of frames, which
//! time gives back. Who stays within it is served as it comes. Who does not stands in a line:
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
//! Law: a thread's own, without locks. Nobody waits while nothing else is to be done, and nobody at all
//! while there is one party alone. A thread that nobody gives turns on ([`give_turns`]) has no lines.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Frames of one connection before others have their turn: some sixteen calls.
pub(crate) const TURN: u32 = 32;
/// Each party may have a frame for each of these times, on each thread: 16,000 frames a second, some five
/// thousand calls.
pub(super) const FRAME: Duration = Duration::from_nanos(62_500);
/// Of its allowance a party keeps no more than that.
pub(super) const MOST: i64 = 256;
/// What taking a connection up costs, in frames.
const CONNECTION: u32 = 16;
/// How often parties that are quiet are forgotten.
const SWEEP: Duration = Duration::from_millis(50);

/// Whom a connection's turns are counted for.
#[derive(Debug)]
pub(crate) struct Party(AtomicU64);

impl Party {
    /// Before it is known whose it is: an address's, or one of its own.
    pub(crate) fn of(address: Option<IpAddr>, connection: u64) -> Arc<Self> {
        // Addresses of tenants are even, these are not.
        let key = match address {
            Some(IpAddr::V4(address)) => u64::from(address.to_bits()),
            // One host has at the least a network of 64 bits.
            Some(IpAddr::V6(address)) => u64::try_from(address.to_bits() >> 64).unwrap_or(u64::MAX),
            None => connection,
        };
        Arc::new(Self(AtomicU64::new(key << 1 | 1)))
    }

    /// It is a tenant's, which stands at this address.
    pub(crate) fn is_tenants(&self, address: usize) {
        self.0.store(address as u64 & !1, Ordering::Relaxed);
    }

    fn key(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

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

/// Waits until a connection of this party may be taken up.
pub(crate) fn begin(party: &Party) -> impl Future<Output = ()> {
    let mut asked = None;
    poll_fn(move |context| {
        let place = asked.get_or_insert_with(|| ask(party, CONNECTION, context));
        place.as_ref().map_or(Poll::Ready(()), |place| place.poll(context))
    })
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
    by_party: HashMap<u64, Line>,
    /// Parties of whom somebody waits.
    ring: VecDeque<u64>,
    swept: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) left: i64,
    counted: Instant,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    ticket: Arc<Ticket>,
    /// What it read in its last turn.
    frames: u32,
}

impl Lines {
    /// A place in the line; none where it needs to wait for nobody.
    fn ask(&mut self, party: u64, frames: u32, waker: &Waker) -> Option<Place> {
        if !self.is_given {
            return None;
        }
        let now = Instant::now();
        self.sweep(now);
        let line = self.by_party.entry(party).or_insert_with(|| Line::new(now));
        line.count(frames, now);
        if line.left >= 0 && line.waiting.is_empty() || self.by_party.len() == 1 {
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

    /// Forgets who has been quiet for long enough to have all of its allowance.
    fn sweep(&mut self, now: Instant) {
        let swept = *self.swept.get_or_insert(now);
        if now.saturating_duration_since(swept) < SWEEP {
            return;
        }
        self.swept = Some(now);
        self.by_party.retain(|_, line| {
            line.count(0, now);
            line.left < MOST || !line.waiting.is_empty()
        });
    }

    fn call_all(&mut self) -> Vec<Arc<Ticket>> {
        self.ring.clear();
        let lines = std::mem::take(&mut self.by_party).into_values();
        lines.flat_map(|line| line.waiting).map(|waiting| waiting.ticket).collect()
    }
}

impl Line {
    pub(super) const fn new(now: Instant) -> Self {
        Self { left: MOST, counted: now, waiting: VecDeque::new() }
    }

    pub(super) fn count(&mut self, frames: u32, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).as_nanos();
        let brought =
            u32::try_from(passed.checked_div(FRAME.as_nanos()).unwrap_or(0)).unwrap_or(u32::MAX);
        // What is less than a frame's time goes on running.
        self.counted = self.counted.checked_add(FRAME.saturating_mul(brought)).unwrap_or(now);
        let left = self.left.saturating_add(brought.into()).min(MOST).saturating_sub(frames.into());
        // It has its turns in line meanwhile, so that no debt must last.
        self.left = left.max(-MOST);
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

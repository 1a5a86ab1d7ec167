//! Waiting for an address of a shared memory, and waking those who wait: WebAssembly's wait and notify.
//!
//! ```text
//! look: aligned, shared, within the size │ read lock: compare, park │ no lock, no thread: Parked
//! ```
//!
//! Law: a write owns the lock under which a wait compares and parks, so that none falls between the two,
//! and a notify after that write finds the wait. A notify takes no lock of a memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Failure;
use crate::registry::counter::Full;
use crate::registry::gate::Gate;
use crate::registry::lifecycle;
use crate::registry::namespace::Namespace;
use crate::registry::operations::bytes::{reading, settled};
use crate::registry::operations::hand;
use crate::registry::quota::Taken;
use crate::registry::record::Record;
use crate::registry::settings::Registry;
use crate::registry::share::{self, Share};
use crate::registry::waiters::{Over, Waiters, Waiting};
use crate::units::ByteRange;

/// The alignment of what is notified: the narrowest that can be waited for.
const NOTIFIED: u64 = 4;

/// What a wait expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Four bytes.
    Bits32(u32),
    /// Eight bytes.
    Bits64(u64),
}

impl Expected {
    const fn width(self) -> u64 {
        match self {
            Self::Bits32(_) => 4,
            Self::Bits64(_) => 8,
        }
    }

    fn is(self, found: &[u8]) -> bool {
        match self {
            Self::Bits32(value) => found == value.to_le_bytes(),
            Self::Bits64(value) => found == value.to_le_bytes(),
        }
    }
}

/// What came of a wait at once.
#[derive(Debug)]
pub enum Waited {
    /// Other bytes are there.
    NotEqual,
    /// The expected ones: it waits.
    Parked(Parked),
}

/// A wait that goes on: ready when it was woken, or will not be. Dropped, it is over, and a wake that it
/// has not heard of passes on to the next.
#[must_use = "nobody waits where it is dropped"]
#[derive(Debug)]
pub struct Parked {
    // Dropped first: who has a seat may wait.
    waiting: Waiting,
    record: Arc<Record>,
    /// What it goes by, and that one's end.
    share: Option<(Arc<Share>, share::Over)>,
    _seat: Taken,
}

impl Waited {
    /// The same for who came by a share: it ends with that.
    #[must_use]
    pub fn until(self, share: &Arc<Share>) -> Self {
        match self {
            Self::Parked(parked) => {
                Self::Parked(Parked { share: Some((Arc::clone(share), share.over())), ..parked })
            }
            Self::NotEqual => self,
        }
    }
}

impl Parked {
    /// Waits no longer. What it had been told before that; none where it was still waiting.
    pub fn give_up(&mut self) -> Option<Result<(), Failure>> {
        let told = self.waiting.give_up()?;
        Some(told.map_err(|over| self.failure(over)))
    }

    fn failure(&self, over: Over) -> Failure {
        let failure = failure(&self.record, over);
        match &self.share {
            Some((share, _)) => share.told(failure),
            None => failure,
        }
    }
}

impl Future for Parked {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let told = Pin::new(&mut this.waiting).poll(context);
        if let Poll::Ready(told) = told {
            return Poll::Ready(told.map_err(|over| this.failure(over)));
        }
        match &mut this.share {
            Some((_, over)) => Pin::new(over).poll(context).map(Err),
            None => Poll::Pending,
        }
    }
}

impl Registry {
    /// Waits for an address to be notified, if the bytes there are the expected ones. Owns all that it
    /// needs; the seat is one of the namespace's.
    ///
    /// # Errors
    /// UNALIGNED, EXPECTED_SHARED, OUT_OF_BOUNDS, TOO_MANY_WAITERS, what ends a read, MEMORY_NOT_FOUND,
    /// QUARANTINED, DRAINING; nobody waits then. [`Parked`] ends with one of the last three.
    pub fn wait(
        &self,
        namespace: &Namespace,
        record: Arc<Record>,
        address: u64,
        expected: Expected,
        gate: Arc<Gate>,
    ) -> impl Future<Output = Result<Waited, Failure>> + Send + use<> {
        let (seats, waiters) = (Arc::clone(&namespace.waiters), Arc::clone(&self.waiters));
        async move {
            let range = waitable(&record, address, expected.width())
                // What is gone has no size to be measured by.
                .map_err(|failure| if record.has_ended() { record.not_found() } else { failure })?;
            let (mut reading, seat) = match lifecycle::read_now(Arc::clone(&record)) {
                Some(reading) => (reading, None),
                // Who stands in line for the memory waits already, whatever it will find there.
                None => {
                    if let Some(why) = record.quarantined() {
                        return Err(Failure::Quarantined { why });
                    }
                    if record.has_ended() {
                        return Err(record.not_found());
                    }
                    let seat = seats.take(1).map_err(too_many)?;
                    (reading(Arc::clone(&record), &gate).await?, Some(seat))
                }
            };
            let mut found = Vec::new();
            let read = hand(reading.memory()).map(|mut memory| memory.read(range, &mut found));
            settled(&record, read)?;
            if !expected.is(&found) {
                return Ok(Waited::NotEqual);
            }
            let seat = match seat {
                Some(seat) => seat,
                None => seats.take(1).map_err(too_many)?,
            };
            let parked = waiters.park(record.uid, address, || record.is_over());
            drop(reading);
            match parked {
                Ok(waiting) => {
                    Ok(Waited::Parked(Parked { waiting, record, share: None, _seat: seat }))
                }
                Err(over) => Err(failure(&record, over)),
            }
        }
    }

    /// That an address can be notified.
    ///
    /// # Errors
    /// UNALIGNED, OUT_OF_BOUNDS, QUARANTINED.
    pub fn notifiable(&self, record: &Record, address: u64) -> Result<(), Failure> {
        aligned(record, address, NOTIFIED)?;
        record.within(address, NOTIFIED)?;
        record.quarantined().map_or(Ok(()), |why| Err(Failure::Quarantined { why }))
    }

    /// Wakes those who wait for an address, those first who came first, `count` at most, [`u32::MAX`]:
    /// all; how many. At once and without a lock of the memory: to be called after the effects that it
    /// tells of, by whoever found the address [`Self::notifiable`].
    #[must_use]
    pub fn notify(&self, record: &Record, address: u64, count: u32) -> u32 {
        notify(&self.waiters, record, address, count)
    }

    /// Every wait ends as DRAINING from now on.
    pub fn end_waits(&self) {
        self.waiters.close();
    }
}

/// [`Registry::notify`], for a job of the pool.
pub(super) fn notify(waiters: &Waiters, record: &Record, address: u64, count: u32) -> u32 {
    // Nobody waits on what is not shared.
    if !record.shape.is_shared() {
        return 0;
    }
    let count = if count == u32::MAX { usize::MAX } else { count as usize };
    waiters.notify(record.uid, address, count)
}

/// The range that is compared; what is wrong with it is a trap, in the order of the proposal's own
/// interpreter.
fn waitable(record: &Record, address: u64, width: u64) -> Result<ByteRange, Failure> {
    aligned(record, address, width)?;
    if !record.shape.is_shared() {
        record.note_trap();
        return Err(Failure::ExpectedShared);
    }
    Ok(record.within(address, width)?)
}

fn aligned(record: &Record, offset: u64, width: u64) -> Result<(), Failure> {
    if offset.is_multiple_of(width) {
        return Ok(());
    }
    record.note_trap();
    Err(Failure::Unaligned { offset, width })
}

fn failure(record: &Record, over: Over) -> Failure {
    match over {
        Over::Gone => record.not_found(),
        Over::Quarantined(why) => Failure::Quarantined { why },
        Over::Draining => Failure::Draining,
    }
}

const fn too_many(full: Full) -> Failure {
    Failure::TooManyWaiters { limit: full.limit, used: full.used }
}

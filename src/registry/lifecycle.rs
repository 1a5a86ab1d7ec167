//! [`Lifecycle`]: one state word, and the two locks around what lives.
//!
//! ```text
//! LIVE ──quarantine──> LOST_BYTES, BROKEN, CORRUPTED (quarantined, and why)
//!   └──────────┬──────────┘
//!              └──end (ticket and body both held, so everything before has drained)──> GONE
//! ```
//!
//! `body` is for operations on bytes: reads share, writes own. `ticket` is for growth, one at a
//! time, beside reads and writes. Law: each lock holds its own share of what lives, and nobody keeps
//! one without the lock; so whoever holds both can take it out whole. Order: ticket, then body.
//!
//! What can only be had alone lives in the body, and the ticket holds no share of it: even a read then
//! owns the body. What moves as it grows is grown by who holds both ([`freeze`]), as it is ended: those
//! before have drained, and those after wait in the body's queue, in order of arrival.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::error::Failure;
use crate::memory::guard::{ReadGuard, WriteGuard};
use crate::memory::lock::Locked;
use crate::memory::sync::{AtomicU8, Ordering};
use crate::registry::gate::Gate;
use crate::registry::state::{GONE, LIVE, reason};
use crate::registry::unwound::unwinding;

pub(super) use crate::registry::state::Why;

/// What a lock of a [`Lifecycle`] guards.
pub(super) type Share<M> = Option<Arc<M>>;

/// Where something of kind `M` is in its life.
pub(super) struct Lifecycle<M> {
    state: AtomicU8,
    /// It can only be had alone.
    is_alone: bool,
    ticket: Locked<Share<M>>,
    body: Locked<Share<M>>,
}

/// What has a [`Lifecycle`] in it, always the same one.
pub(super) trait Lives: Sized + 'static {
    /// What lives.
    type Memory: 'static;
    /// Its lifecycle.
    fn life(&self) -> &Lifecycle<Self::Memory>;
    /// How many of its kind are quarantined.
    fn quarantined_count(&self) -> &AtomicU64;
    /// Carries a change to quarantined out and, where it was one, tells of it.
    fn quarantining(&self, _why: &'static str, change: impl FnOnce() -> bool) {
        let _changed = change();
    }
    /// It has just been quarantined.
    fn end_waits(&self, _why: &'static str) {}
}

/// It has ended; to a caller it does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended;

/// Why a guard could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotHad {
    /// It has ended.
    Ended,
    /// Anything else.
    Failed(Failure),
}

impl From<Ended> for NotHad {
    fn from(Ended: Ended) -> Self {
        Self::Ended
    }
}

impl From<Failure> for NotHad {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<M> Lifecycle<M> {
    pub(super) fn new(is_alone: bool, memory: M) -> Self {
        let memory = Arc::new(memory);
        Self {
            state: AtomicU8::new(LIVE),
            is_alone,
            ticket: Locked::new((!is_alone).then(|| Arc::clone(&memory))),
            body: Locked::new(Some(memory)),
        }
    }

    /// Why it is quarantined, if it is.
    pub(super) fn quarantined(&self) -> Option<&'static str> {
        reason(self.state.load(Ordering::Acquire))
    }

    /// Whether it is over.
    pub(super) fn has_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == GONE
    }

    fn admit(&self) -> Result<(), NotHad> {
        let state = self.state.load(Ordering::Acquire);
        match reason(state) {
            None if state == LIVE => Ok(()),
            None => Err(NotHad::Ended),
            Some(why) => Err(NotHad::Failed(Failure::Quarantined { why })),
        }
    }
}

/// Nothing reads or writes it from here on; it can still be looked at and deleted. The first reason
/// stays.
pub(super) fn quarantine<R: Lives>(owner: &R, why: Why) {
    let (state, why) = (&owner.life().state, why.state());
    let said = reason(why).unwrap_or_default();
    owner.quarantining(said, || {
        let done = state.compare_exchange(LIVE, why, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if done {
            owner.quarantined_count().fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            owner.end_waits(said);
        }
        done
    });
}

impl<M> fmt::Debug for Lifecycle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("state", &self.state).finish_non_exhaustive()
    }
}

/// A share in the bytes of something alive, or all of them where there are no shares.
pub(super) struct Reading<R: Lives>(Reader<R>);

enum Reader<R: Lives> {
    Among(ReadGuard<R, Share<R::Memory>>),
    Alone(WriteGuard<R, Share<R::Memory>>),
}

/// What lives, as a guard has it.
pub(super) enum Lent<'a, M> {
    /// Others may have it too.
    Among(&'a M),
    /// Nobody else has it.
    Alone(&'a mut M),
}

/// The bytes of something alive, alone.
pub(super) struct Writing<R: Lives>(WriteGuard<R, Share<R::Memory>>);

/// The one growth of something alive.
pub(super) struct Growing<R: Lives>(WriteGuard<R, Share<R::Memory>>);

/// Everything about it: growth and bytes.
pub(super) struct Whole<R: Lives> {
    // Dropped in this order: the body, then the ticket.
    body: WriteGuard<R, Share<R::Memory>>,
    ticket: Growing<R>,
}

fn body<R: Lives>(owner: &R) -> &Locked<Share<R::Memory>> {
    &owner.life().body
}

fn ticket<R: Lives>(owner: &R) -> &Locked<Share<R::Memory>> {
    &owner.life().ticket
}

/// Shares the bytes, in order of arrival.
pub(super) async fn read<R: Lives>(owner: Arc<R>, gate: &Gate) -> Result<Reading<R>, NotHad> {
    if owner.life().is_alone {
        let guard = exclusive(owner, body::<R>, usize::MAX, gate).await?;
        guard.owner().life().admit()?;
        return Ok(Reading(Reader::Alone(guard)));
    }
    let guard = match Locked::try_read(owner, body::<R>) {
        Ok(guard) => guard,
        Err(owner) => gate.guard(Locked::read(owner, body::<R>)).await?,
    };
    guard.owner().life().admit()?;
    Ok(Reading(Reader::Among(guard)))
}

/// Shares the bytes at once; none where someone has them alone or waits for them, or it is not alive.
pub(super) fn read_now<R: Lives>(owner: Arc<R>) -> Option<Reading<R>> {
    let reader = if owner.life().is_alone {
        Reader::Alone(Locked::try_write(owner, body::<R>).ok()?)
    } else {
        Reader::Among(Locked::try_read(owner, body::<R>).ok()?)
    };
    let reading = Reading(reader);
    reading.owner().life().admit().ok()?;
    Some(reading)
}

/// Takes the bytes alone, in order of arrival.
pub(super) async fn write<R: Lives>(owner: Arc<R>, gate: &Gate) -> Result<Writing<R>, NotHad> {
    let guard = exclusive(owner, body::<R>, usize::MAX, gate).await?;
    guard.owner().life().admit()?;
    Ok(Writing(guard))
}

/// Takes the bytes alone at once; none where anyone uses them or waits for them, or it is not alive.
pub(super) fn write_now<R: Lives>(owner: Arc<R>) -> Option<Writing<R>> {
    let guard = Locked::try_write(owner, body::<R>).ok()?;
    guard.owner().life().admit().ok()?;
    Some(Writing(guard))
}

/// That it is alive still, for who has a guard of it and has waited since.
pub(super) fn alive<R: Lives>(owner: &R) -> Result<(), NotHad> {
    owner.life().admit()
}

/// Takes the growth ticket, in order of arrival, unless `room` wait already.
pub(super) async fn grow<R: Lives>(
    owner: Arc<R>,
    room: usize,
    gate: &Gate,
) -> Result<Growing<R>, NotHad> {
    let guard = exclusive(owner, ticket::<R>, room, gate).await?;
    guard.owner().life().admit()?;
    Ok(Growing(guard))
}

/// Waits until everything that came before is over and keeps everything else out. Also of what is
/// quarantined.
pub(super) async fn whole<R: Lives>(owner: Arc<R>, gate: &Gate) -> Result<Whole<R>, NotHad> {
    let ticket = Growing(exclusive(Arc::clone(&owner), ticket::<R>, usize::MAX, gate).await?);
    let body = exclusive(owner, body::<R>, usize::MAX, gate).await?;
    if body.is_none() {
        return Err(NotHad::Ended);
    }
    Ok(Whole { body, ticket })
}

/// The same for a growth that has the ticket: of what is alive.
pub(super) async fn freeze<R: Lives>(ticket: Growing<R>, gate: &Gate) -> Result<Whole<R>, NotHad> {
    let owner = Arc::clone(ticket.owner());
    let body = exclusive(owner, body::<R>, usize::MAX, gate).await?;
    body.owner().life().admit()?;
    Ok(Whole { body, ticket })
}

/// What lives, by a guard that has the body alone.
fn lend<'a, R: Lives>(
    body: &'a mut WriteGuard<R, Share<R::Memory>>,
) -> Result<Lent<'a, R::Memory>, Ended> {
    if body.owner().life().is_alone {
        // The one share there is.
        body.as_mut().and_then(Arc::get_mut).map(Lent::Alone).ok_or(Ended)
    } else {
        body.as_deref().map(Lent::Among).ok_or(Ended)
    }
}

async fn exclusive<R: Lives>(
    owner: Arc<R>,
    which: fn(&R) -> &Locked<Share<R::Memory>>,
    room: usize,
    gate: &Gate,
) -> Result<WriteGuard<R, Share<R::Memory>>, NotHad> {
    match Locked::try_write(owner, which) {
        Ok(guard) => Ok(guard),
        Err(owner) => gate.guard(Locked::write(owner, which, room)).await?.map_err(|_full| {
            NotHad::Failed(Failure::Overloaded {
                limit_name: "max_queued_grows",
                limit: room as u64,
                used: None,
                after: std::time::Duration::from_millis(10),
            })
        }),
    }
}

impl<R: Lives> Reading<R> {
    pub(super) fn owner(&self) -> &Arc<R> {
        match &self.0 {
            Reader::Among(guard) => guard.owner(),
            Reader::Alone(guard) => guard.owner(),
        }
    }

    /// What lives; absent only after the end, when no guard is given out.
    pub(super) fn memory(&mut self) -> Result<Lent<'_, R::Memory>, Ended> {
        match &mut self.0 {
            Reader::Among(guard) => guard.as_deref().map(Lent::Among).ok_or(Ended),
            Reader::Alone(guard) => lend(guard),
        }
    }
}

impl<R: Lives> Writing<R> {
    pub(super) fn owner(&self) -> &Arc<R> {
        self.0.owner()
    }

    /// What lives; absent only after the end, when no guard is given out.
    pub(super) fn memory(&mut self) -> Result<Lent<'_, R::Memory>, Ended> {
        lend(&mut self.0)
    }
}

impl<R: Lives> Growing<R> {
    pub(super) fn owner(&self) -> &Arc<R> {
        self.0.owner()
    }

    /// What lives; absent after the end, when no guard is given out, and of what can only be had alone.
    pub(super) fn memory(&self) -> Option<&R::Memory> {
        self.0.as_deref()
    }
}

impl<R: Lives> Whole<R> {
    pub(super) fn owner(&self) -> &Arc<R> {
        self.body.owner()
    }

    /// What lives; absent only after the end, when no guard is given out.
    pub(super) fn memory(&mut self) -> Result<Lent<'_, R::Memory>, Ended> {
        lend(&mut self.body)
    }

    /// Ends it: what lived, for the first who asks.
    pub(super) fn end(&mut self) -> Option<R::Memory> {
        let owner = self.body.owner();
        if reason(owner.life().state.swap(GONE, Ordering::AcqRel)).is_some() {
            owner.quarantined_count().fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }
        let ticket = self.ticket.0.take();
        let body = self.body.take();
        drop(ticket);
        body.and_then(Arc::into_inner)
    }
}

impl<R: Lives> Drop for Reading<R> {
    fn drop(&mut self) {
        if unwinding() {
            quarantine(&**self.owner(), Why::Broken);
        }
    }
}

impl<R: Lives> Drop for Writing<R> {
    fn drop(&mut self) {
        if unwinding() {
            quarantine(&**self.0.owner(), Why::Broken);
        }
    }
}

impl<R: Lives> Drop for Growing<R> {
    fn drop(&mut self) {
        if unwinding() {
            quarantine(&**self.0.owner(), Why::Broken);
        }
    }
}

impl<R: Lives> Drop for Whole<R> {
    fn drop(&mut self) {
        if unwinding() {
            quarantine(&**self.body.owner(), Why::Broken);
        }
    }
}

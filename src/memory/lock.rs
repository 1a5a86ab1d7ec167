//! [`Locked`]: the lock of one memory. Readers share, a writer is alone, in order of arrival.
//!
//! Law: it is taken by try; on contention the *task* queues (a [`Waker`] is kept), never the
//! thread. A guard is an owned value that keeps its owner alive, so it can move into a job on
//! another thread. Whoever waits and goes away leaves no trace: its grant, if it had one, passes on.
//!
//! ```text
//! word   | readers × 4 | QUEUED 2 | WRITER 1 |
//! queue  front → [write] [read] [read] [write]      only touched on contention
//! ```
//!
//! While QUEUED is set nobody acquires but from the front of the queue, under its mutex; so no
//! arrival overtakes another. Lock order: the queue, then one waiter's slot; wakers run after both.
//! Does not know what it guards, and has no timers: a deadline is its caller's business. What a
//! holder has is in `guard.rs`.

#![expect(unsafe_code, reason = "a lock that hands out its value is an UnsafeCell")]

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::memory::guard::{ReadGuard, WriteGuard};
use crate::memory::sync::{AtomicUsize, Mutex, Ordering, lock};

const WRITER: usize = 1;
const QUEUED: usize = 2;
const READER: usize = 4;

/// Who waits. Absent while nobody does, in eight bytes: most memories are never waited for.
type Queue = Option<Box<Line>>;

/// Those who wait, in order, and those who have gone away and are not taken out yet: each costs its share of
/// one pass over the line, wherever it stood.
#[derive(Default)]
struct Line {
    waiters: VecDeque<Arc<Waiter>>,
    gone: usize,
}

/// A value that many may read or one may change.
pub struct Locked<T> {
    word: AtomicUsize,
    queue: Mutex<Queue>,
    pub(super) value: UnsafeCell<T>,
}

// SAFETY: the value moves with the lock, which needs T: Send and nothing more.
unsafe impl<T: Send> Send for Locked<T> {}
// SAFETY: `&T` is given to several threads at once (T: Sync) and `&mut T` to one at a time, possibly
// another than made it (T: Send); the word's protocol keeps the two apart.
unsafe impl<T: Send + Sync> Sync for Locked<T> {}

/// How to find a lock inside what owns it.
pub type Project<R, T> = fn(&R) -> &Locked<T>;

/// So many wait already that the caller's bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl<T> Locked<T> {
    /// A lock that nobody holds.
    pub fn new(value: T) -> Self {
        Self { word: AtomicUsize::new(0), queue: Mutex::new(None), value: UnsafeCell::new(value) }
    }

    /// Shares the value at once, or gives the owner back.
    ///
    /// # Errors
    /// The owner, where a writer holds the lock or anyone waits for it.
    pub fn try_read<R>(owner: Arc<R>, project: Project<R, T>) -> Result<ReadGuard<R, T>, Arc<R>> {
        let held = project(&owner);
        let mut word = held.word.load(Ordering::Relaxed);
        while word & (WRITER | QUEUED) == 0 {
            let more = word.wrapping_add(READER);
            match held.word.compare_exchange_weak(word, more, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => {
                    let lock = NonNull::from(held);
                    // SAFETY: `held` is a reference into `*owner`, and the word counts a reader.
                    return Ok(unsafe { ReadGuard::new(owner, lock) });
                }
                Err(now) => word = now,
            }
        }
        Err(owner)
    }

    /// Takes the value alone at once, or gives the owner back.
    ///
    /// # Errors
    /// The owner, where anyone holds the lock or waits for it.
    pub fn try_write<R>(owner: Arc<R>, project: Project<R, T>) -> Result<WriteGuard<R, T>, Arc<R>> {
        let held = project(&owner);
        match held.word.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => {
                let lock = NonNull::from(held);
                // SAFETY: `held` is a reference into `*owner`, and WRITER was set here.
                Ok(unsafe { WriteGuard::new(owner, lock) })
            }
            Err(_) => Err(owner),
        }
    }

    /// Shares the value, in order of arrival.
    pub fn read<R>(owner: Arc<R>, project: Project<R, T>) -> Read<R, T> {
        Read(Acquire::new(owner, project, Kind::Read, usize::MAX))
    }

    /// Takes the value alone, in order of arrival, unless `room` tasks wait already.
    pub fn write<R>(owner: Arc<R>, project: Project<R, T>, room: usize) -> Write<R, T> {
        Write(Acquire::new(owner, project, Kind::Write, room))
    }

    fn enqueue(&self, kind: Kind, room: usize, waker: &Waker) -> Result<Arc<Waiter>, QueueFull> {
        let mut queue = lock(&self.queue);
        if queue.as_ref().map_or(0, |line| line.len()) >= room {
            return Err(QueueFull);
        }
        let waiter =
            Arc::new(Waiter { kind, slot: Mutex::new(Slot::Waiting(Some(waker.clone()))) });
        // From here on every arrival queues. Who releases after this sees QUEUED and grants; who
        // released before it is seen by the grant below.
        self.word.fetch_or(QUEUED, Ordering::AcqRel);
        queue.get_or_insert_default().waiters.push_back(Arc::clone(&waiter));
        let woken = self.grant(&mut queue);
        drop(queue);
        wake(woken);
        Ok(waiter)
    }

    /// Gives the lock to as many as may have it, from the front. Needs the queue, and QUEUED set.
    fn grant(&self, queue: &mut Queue) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(line) = queue
            && let Some(front) = line.first()
        {
            let word = self.word.load(Ordering::Acquire);
            match front.kind {
                Kind::Read if word & WRITER == 0 => self.word.fetch_add(READER, Ordering::AcqRel),
                Kind::Write if word & !QUEUED == 0 => self.word.fetch_or(WRITER, Ordering::AcqRel),
                Kind::Read | Kind::Write => return woken,
            };
            if let Slot::Waiting(Some(waker)) = mem::replace(&mut *lock(&front.slot), Slot::Granted)
            {
                woken.push(waker);
            }
            line.waiters.pop_front();
        }
        *queue = None;
        self.word.fetch_and(!QUEUED, Ordering::AcqRel);
        woken
    }

    pub(super) fn release(&self, kind: Kind) {
        let before = match kind {
            Kind::Read => self.word.fetch_sub(READER, Ordering::AcqRel),
            Kind::Write => self.word.fetch_and(!WRITER, Ordering::AcqRel),
        };
        let was_last = kind == Kind::Write || before / READER == 1;
        if before & QUEUED != 0 && was_last {
            let mut queue = lock(&self.queue);
            // Another release may have emptied the queue since: then there is nobody to grant.
            if queue.is_none() {
                return;
            }
            let woken = self.grant(&mut queue);
            drop(queue);
            wake(woken);
        }
    }

    /// Takes a waiter out, wherever it stands.
    fn abandon(&self, waiter: &Arc<Waiter>) {
        let mut queue = lock(&self.queue);
        let was = mem::replace(&mut *lock(&waiter.slot), Slot::Gone);
        if matches!(was, Slot::Granted) {
            drop(queue);
            self.release(waiter.kind);
            return;
        }
        if let Some(line) = &mut *queue {
            line.one_has_gone();
        }
        // A writer that waited at the front may have held up readers.
        let woken = self.grant(&mut queue);
        drop(queue);
        wake(woken);
    }
}

impl Line {
    /// How many wait.
    fn len(&self) -> usize {
        self.waiters.len().saturating_sub(self.gone)
    }

    /// Who waits at the front.
    fn first(&mut self) -> Option<&Arc<Waiter>> {
        while self.waiters.front().is_some_and(|front| front.has_gone()) {
            self.waiters.pop_front();
            self.gone = self.gone.saturating_sub(1);
        }
        self.waiters.front()
    }

    /// One of those in line waits no longer. Once they are half of it, they are taken out.
    fn one_has_gone(&mut self) {
        self.gone = self.gone.saturating_add(1);
        if self.gone > self.waiters.len() / 2 {
            self.waiters.retain(|waiter| !waiter.has_gone());
            self.gone = 0;
        }
    }
}

impl<T> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").field("word", &self.word).finish_non_exhaustive()
    }
}

/// The wait for a [`ReadGuard`].
#[must_use = "nothing is locked until it is awaited"]
#[derive(Debug)]
pub struct Read<R, T>(Acquire<R, T>);

/// The wait for a [`WriteGuard`].
#[must_use = "nothing is locked until it is awaited"]
#[derive(Debug)]
pub struct Write<R, T>(Acquire<R, T>);

impl<R, T> Future for Read<R, T> {
    type Output = ReadGuard<R, T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<ReadGuard<R, T>> {
        match self.0.poll_granted(context) {
            Poll::Ready(Ok((owner, lock))) => {
                // SAFETY: a grant to a reader: the lock is in `*owner` and its word counts it.
                Poll::Ready(unsafe { ReadGuard::new(owner, lock) })
            }
            // A read's room is unbounded, so it is never full.
            Poll::Ready(Err(QueueFull)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<R, T> Future for Write<R, T> {
    type Output = Result<WriteGuard<R, T>, QueueFull>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let granted = self.0.poll_granted(context);
        // SAFETY: a grant to a writer: the lock is in `*owner` and WRITER was set for it.
        granted.map_ok(|(owner, lock)| unsafe { WriteGuard::new(owner, lock) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

struct Waiter {
    kind: Kind,
    slot: Mutex<Slot>,
}

enum Slot {
    Waiting(Option<Waker>),
    Granted,
    /// Whoever waited has gone away.
    Gone,
}

impl Waiter {
    fn has_gone(&self) -> bool {
        matches!(*lock(&self.slot), Slot::Gone)
    }
}

struct Acquire<R, T> {
    /// Taken out when the guard is made.
    owner: Option<Arc<R>>,
    project: Project<R, T>,
    kind: Kind,
    room: usize,
    waiter: Option<Arc<Waiter>>,
}

impl<R, T> fmt::Debug for Acquire<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<R, T> Unpin for Acquire<R, T> {}

impl<R, T> Acquire<R, T> {
    fn new(owner: Arc<R>, project: Project<R, T>, kind: Kind, room: usize) -> Self {
        Self { owner: Some(owner), project, kind, room, waiter: None }
    }

    #[expect(clippy::type_complexity, reason = "the two halves of a guard, made two lines above")]
    fn poll_granted(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Arc<R>, NonNull<Locked<T>>), QueueFull>> {
        let Some(owner) = &self.owner else { return Poll::Pending };
        let held = (self.project)(owner);
        if self.waiter.is_none() {
            match held.enqueue(self.kind, self.room, context.waker()) {
                Ok(waiter) => self.waiter = Some(waiter),
                Err(full) => return Poll::Ready(Err(full)),
            }
        }
        if let Some(waiter) = &self.waiter {
            let waker = Some(context.waker().clone());
            let mut slot = lock(&waiter.slot);
            if let Slot::Waiting(old) = &mut *slot {
                let old = mem::replace(old, waker);
                drop(slot);
                // Dropped after the slot: the last share of a task may go with its waker.
                drop(old);
                return Poll::Pending;
            }
        }
        let lock = NonNull::from(held);
        self.waiter = None;
        match self.owner.take() {
            Some(owner) => Poll::Ready(Ok((owner, lock))),
            None => Poll::Pending,
        }
    }
}

impl<R, T> Drop for Acquire<R, T> {
    fn drop(&mut self) {
        if let (Some(owner), Some(waiter)) = (&self.owner, &self.waiter) {
            (self.project)(owner).abandon(waiter);
        }
    }
}

fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

//! [`Passage`]: one use of a share, from the look at whether it counts to its last effect; [`Through`],
//! work that is such a use; [`Over`], the wait for a share's end.
//!
//! ```text
//! pass ──> under way ── done, dropped ──> drained, once nobody is
//!             └── the share ends: gate closed, polled once more ──> called off, or runs to its end
//! ```
//!
//! Law: a share that is over lets nobody pass, so after its end and its drain nothing comes of it. What
//! had its first effect is not torn. Knows no clock.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::Failure;
use crate::model::ShareAccess;
use crate::registry::gate::Gate;
use crate::registry::share::{Life, Share, User};

/// One use of a share. Over when dropped.
#[must_use = "over when dropped"]
#[derive(Debug)]
pub struct Passage {
    share: Arc<Share>,
    number: u64,
}

/// Work that goes by a share.
#[must_use = "does nothing unless polled"]
pub struct Through<'a, T> {
    // Dropped in this order: what was done is over before its passage is.
    work: Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>,
    passage: Passage,
}

/// Is ready when a share is over, with what is then told.
#[must_use = "does nothing unless polled"]
#[derive(Debug)]
pub struct Over {
    share: Arc<Share>,
    number: Option<u64>,
}

/// Is ready when a share is over and nobody is under way by it.
pub(in crate::registry) struct Drained(Arc<Share>);

impl Life {
    fn enlist(&mut self, gate: Option<Arc<Gate>>, waker: Option<Waker>) -> u64 {
        let number = self.arrivals;
        self.arrivals = self.arrivals.saturating_add(1);
        self.users.insert(number, User { gate, waker });
        number
    }

    /// Has a user woken at the end; what it would have woken until now.
    fn watch(&mut self, number: u64, waker: &Waker) -> Option<Waker> {
        let user = self.users.get_mut(&number)?;
        if user.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            return None;
        }
        user.waker.replace(waker.clone())
    }

    fn is_drained(&self) -> bool {
        self.users.values().all(|user| user.gate.is_none())
    }
}

impl Share {
    /// That it gives so much.
    ///
    /// # Errors
    /// [`Failure::BeyondShare`].
    pub fn permit(&self, needs: ShareAccess) -> Result<(), Failure> {
        if needs > self.access { Err(self.beyond()) } else { Ok(()) }
    }

    /// Lets one use pass that needs no more than this; its gate closes when the share ends.
    ///
    /// # Errors
    /// [`Failure::BeyondShare`]; [`Failure::ShareEnded`] and MEMORY_NOT_FOUND where it is over.
    pub fn pass(
        self: &Arc<Self>,
        needs: ShareAccess,
        gate: &Arc<Gate>,
    ) -> Result<Passage, Failure> {
        self.permit(needs)?;
        let mut life = self.life();
        if life.end.is_some() {
            drop(life);
            return Err(self.gone());
        }
        let number = life.enlist(Some(Arc::clone(gate)), None);
        drop(life);
        Ok(Passage { share: Arc::clone(self), number })
    }

    /// The same for work, whose failures are told as the grantee knows things.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub fn through<'a, T>(
        self: &Arc<Self>,
        needs: ShareAccess,
        gate: &Arc<Gate>,
        work: impl Future<Output = Result<T, Failure>> + Send + 'a,
    ) -> Result<Through<'a, T>, Failure> {
        let passage = self.pass(needs, gate)?;
        Ok(Through { work: Box::pin(work), passage })
    }

    /// Waits for its end.
    pub fn over(self: &Arc<Self>) -> Over {
        Over { share: Arc::clone(self), number: None }
    }

    pub(in crate::registry) fn drained(self: &Arc<Self>) -> Drained {
        Drained(Arc::clone(self))
    }
}

impl<T> fmt::Debug for Through<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Through").field("passage", &self.passage).finish_non_exhaustive()
    }
}

impl<T> Future for Through<'_, T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let share = &this.passage.share;
        // Before the work is: an end that comes after this look wakes, one before it closed the gate.
        let before = share.life().watch(this.passage.number, context.waker());
        drop(before);
        let polled = this.work.as_mut().poll(context);
        polled.map(|done| done.map_err(|failure| share.told(failure)))
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let mut life = self.share.life();
        let user = life.users.remove(&self.number);
        let over = life.end.is_some() && life.is_drained();
        let woken = if over { mem::take(&mut life.drained) } else { Vec::new() };
        drop(life);
        drop(user);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Future for Over {
    type Output = Failure;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Failure> {
        let this = &mut *self;
        let mut life = this.share.life();
        if life.end.is_some() {
            drop(life);
            return Poll::Ready(this.share.gone());
        }
        let before = match this.number {
            Some(number) => life.watch(number, context.waker()),
            None => {
                this.number = Some(life.enlist(None, Some(context.waker().clone())));
                None
            }
        };
        drop(life);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let user = self.share.life().users.remove(&number);
            drop(user);
        }
    }
}

impl Future for Drained {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut life = self.0.life();
        if life.is_drained() {
            return Poll::Ready(());
        }
        life.drained.push(context.waker().clone());
        Poll::Pending
    }
}

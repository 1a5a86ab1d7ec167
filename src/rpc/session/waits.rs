//! [`Waits`]: a session's waits at addresses, beside its groups.
//!
//! Law: a wait holds up nothing and no thread; one that is cancelled, or whose session goes, is over,
//! and a wake that it was given and nobody heard of is passed on. Its tag has one result, cancelled or
//! not.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::{FuturesUnordered, Stream};

use crate::error::Failure;
use crate::proto::v1::{SessionWait, SessionWaited, WaitOutcome};
use crate::registry::{Found, Gate, Waited};
use crate::rpc::call::Call;
use crate::rpc::operations::invalid;
use crate::rpc::session::alone::alone;
use crate::rpc::waits::{Park, allowed, wanted};

type Waiting = Pin<Box<dyn Future<Output = (u64, Result<WaitOutcome, Failure>)> + Send>>;

/// What a session waits for.
#[derive(Default)]
pub(super) struct Waits {
    running: FuturesUnordered<Waiting>,
    /// By their tags.
    aborts: HashMap<u64, AbortHandle>,
}

impl Waits {
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits, from now on.
    ///
    /// # Errors
    /// INVALID_FIELD.
    pub(super) fn begin(
        &mut self,
        call: &Call,
        found: &Found,
        wait: SessionWait,
    ) -> Result<(), Failure> {
        let SessionWait { tag, address, width, expected, timeout, .. } = wait;
        let (expected, timeout) = (wanted(width, expected)?, timeout.map(allowed).transpose()?);
        let Entry::Vacant(place) = self.aborts.entry(tag) else {
            return Err(invalid("tag", "is that of a wait that has not ended"));
        };
        let gate = Gate::new();
        let waited = call.door.access.wait_on(found, address, expected, Arc::clone(&gate));
        let (wait, abort) = abortable(async move {
            match alone(waited).await? {
                Waited::NotEqual => Ok(WaitOutcome::NotEqual),
                Waited::Parked(parked) => Park::new(parked, timeout, gate).await,
            }
        });
        place.insert(abort);
        let wait = async move { (tag, wait.await.unwrap_or(Ok(WaitOutcome::Cancelled))) };
        self.running.push(Box::pin(wait));
        Ok(())
    }

    /// Ends a wait.
    ///
    /// # Errors
    /// INVALID_FIELD where there is none.
    pub(super) fn cancel(&mut self, tag: u64) -> Result<(), Failure> {
        match self.aborts.get(&tag) {
            Some(abort) => {
                abort.abort();
                Ok(())
            }
            None => Err(invalid("wait_tag", "is that of no wait that has not ended")),
        }
    }

    /// A wait that has ended.
    pub(super) fn poll_ended(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(u64, Result<SessionWaited, Failure>)> {
        match Pin::new(&mut self.running).poll_next(context) {
            Poll::Ready(Some((tag, ended))) => {
                self.aborts.remove(&tag);
                let told = ended.map(|outcome| SessionWaited { outcome: outcome.into() });
                Poll::Ready((tag, told))
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

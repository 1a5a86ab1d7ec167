//! [`Drip`]: how long a message that has begun may take to come.
//!
//! Law: `grpc.message_timeout`, and a second more for every 64 KiB of it; no timer while bytes are there
//! to be read. A message that has not begun is awaited for ever where a stream may be silent. Ends
//! nothing itself.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::error::Failure;
use crate::rpc::deadline::timer;
use crate::rpc::untaken::patience;

/// What a peer did not do.
pub(crate) const UNSENT: &str = "did not send the whole of a message";

/// The time of one message after the other.
#[derive(Debug)]
pub(crate) struct Drip {
    limit: Duration,
    /// Whether a message is awaited from the start: the stream is of one and nothing else.
    from_the_start: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// The bytes that the timer allows for.
    allowed: usize,
}

impl Drip {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, from_the_start: false, timer: None, allowed: 0 }
    }

    /// The call is about one message, which is due from now on.
    pub(crate) fn expect(&mut self) {
        self.from_the_start = true;
    }

    /// Whether more of a message is waited for.
    pub(crate) const fn is_running(&self) -> bool {
        self.timer.is_some()
    }

    /// A message is here whole.
    pub(crate) fn over(&mut self) {
        self.timer = None;
        self.allowed = 0;
    }

    /// More is to be waited for: of a message of so many bytes, or of none that has begun.
    ///
    /// # Errors
    /// STALLED, once that took too long.
    pub(crate) fn poll_late(
        &mut self,
        begun: Option<usize>,
        context: &mut Context<'_>,
    ) -> Poll<Failure> {
        if begun.is_none() && !self.from_the_start {
            return Poll::Pending;
        }
        let length = begun.unwrap_or(0);
        if self.timer.is_none() || length > self.allowed {
            // From when its length is known: a moment after its first byte.
            self.allowed = length;
            self.timer = timer(Instant::now().checked_add(patience(self.limit, length)));
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        std::task::ready!(timer.as_mut().poll(context));
        Poll::Ready(Failure::Stalled { deed: UNSENT, limit: self.limit })
    }
}

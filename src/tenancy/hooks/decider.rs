//! [`Decider`]: one stream's end of a hook, by which it hears questions and answers them.
//!
//! Law: dropped, it decides no more: what it has not answered goes to another stream of its hook, or to
//! the failure policy at once.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use crate::error::Failure;
use crate::model::HookId;
use crate::registry::Wish;
use crate::tenancy::hooks::Hooks;
use crate::tenancy::hooks::board::StreamId;

/// What is said to a decider.
#[derive(Clone, Debug)]
pub enum Saying {
    /// A growth waits for an answer.
    Question {
        /// Its number on this stream.
        question: u64,
        /// What is to grow.
        wish: Arc<Wish>,
        /// How long an answer is waited for.
        within: Duration,
    },
    /// It needs no answer any more.
    Withdrawal {
        /// Its number on this stream.
        question: u64,
    },
    /// What came of a growth that was allowed here.
    News {
        /// Its number on this stream.
        question: u64,
        /// Whether it happened.
        grown: bool,
    },
}

/// One stream's end of a hook.
#[derive(Debug)]
pub struct Decider {
    pub(super) hooks: Arc<Hooks>,
    pub(super) stream: StreamId,
    /// Its hook.
    pub(super) hook: HookId,
}

impl Decider {
    /// What its end is called when the hook was deleted.
    #[must_use]
    pub fn gone(&self) -> Failure {
        Failure::HookNotFound { hook_id: self.hook.clone() }
    }

    /// What is to be said next; none when the hook was deleted.
    pub fn poll_saying(&self, context: &mut Context<'_>) -> Poll<Option<Saying>> {
        self.hooks.with(|board| board.next(self.stream, context.waker()))
    }

    /// Answers a question; what was not asked, or is over, is counted and ignored.
    ///
    /// # Errors
    /// Never: an `Err` verdict denies, for that reason.
    pub fn answer(&self, question: u64, verdict: Result<(), &str>) {
        let now = self.hooks.clock.now();
        self.hooks.with(|board| board.answer(self.stream, question, verdict, now));
    }

    /// Whether a question waits for this one's answer.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.hooks.with(|board| board.owes(self.stream))
    }

    /// The moment so long from now, for people.
    #[must_use]
    pub fn moment(&self, within: Duration) -> SystemTime {
        let now = self.hooks.clock.wall();
        now.checked_add(within).unwrap_or(now)
    }
}

impl Drop for Decider {
    fn drop(&mut self) {
        let now = self.hooks.clock.now();
        self.hooks.with(|board| board.leave(self.stream, now));
    }
}

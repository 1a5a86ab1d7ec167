//! [`Stream`]: what a board knows of one decider's stream.
//!
//! Law: a question is open from when it is asked until it is answered or taken back; what is queued for a
//! decider that takes nothing is bounded by what was ever open for it at once. Wakes nobody: it gives its
//! waker to who may.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::metrics::HookEvent;
use crate::registry::Wish;
use crate::tenancy::hooks::board::InquiryId;
use crate::tenancy::hooks::{Hook, Saying};

/// Answers that are remembered, to tell one that comes twice from one that comes late.
const REMEMBERED_ANSWERS: usize = 256;

/// A place in an inquiry.
pub(super) type Place = (InquiryId, usize);

/// One decider's stream.
#[derive(Debug)]
pub(super) struct Stream {
    hook: Arc<Hook>,
    /// By number.
    open: BTreeMap<u64, Place>,
    sayings: VecDeque<Saying>,
    /// The number of the last question.
    asked: u64,
    answered: VecDeque<u64>,
    /// When it was asked last.
    turn: u64,
    waker: Option<Waker>,
    ended: bool,
}

impl Stream {
    pub(super) fn of(hook: Arc<Hook>) -> Self {
        Self {
            hook,
            open: BTreeMap::new(),
            sayings: VecDeque::new(),
            asked: 0,
            answered: VecDeque::new(),
            turn: 0,
            waker: None,
            ended: false,
        }
    }

    /// Whether it decides for this hook.
    pub(super) fn is_of(&self, hook: &Arc<Hook>) -> bool {
        !self.ended && Arc::ptr_eq(&self.hook, hook)
    }

    pub(super) const fn is_open(&self) -> bool {
        !self.ended
    }

    /// Questions that wait for it.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// The less, the sooner it is asked.
    pub(super) fn load(&self) -> (usize, u64) {
        (self.open.len(), self.turn)
    }

    pub(super) fn wake(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    /// Asks, as the board's `turn`-th act; the question's number.
    pub(super) fn ask(
        &mut self,
        turn: u64,
        place: Place,
        wish: Arc<Wish>,
        within: Duration,
    ) -> u64 {
        self.turn = turn;
        self.asked = self.asked.saturating_add(1);
        self.open.insert(self.asked, place);
        self.say(Saying::Question { question: self.asked, wish, within });
        self.asked
    }

    /// Takes a question back: out of the queue, or by telling who has it.
    pub(super) fn unask(&mut self, question: u64) {
        self.open.remove(&question);
        match self.sayings.iter().position(|saying| saying.asks(question)) {
            Some(place) => drop(self.sayings.remove(place)),
            None => self.say(Saying::Withdrawal { question }),
        }
    }

    /// An answer came: to which question it is, or what is wrong with it.
    pub(super) fn answered(&mut self, question: u64) -> Result<Place, HookEvent> {
        let Some(place) = self.open.remove(&question) else {
            return Err(match question {
                _ if self.answered.contains(&question) => HookEvent::Duplicate,
                _ if (1..=self.asked).contains(&question) => HookEvent::Late,
                _ => HookEvent::Unknown,
            });
        };
        if self.answered.len() >= REMEMBERED_ANSWERS {
            self.answered.pop_front();
        }
        self.answered.push_back(question);
        // Guessed before it was sent.
        self.sayings.retain(|saying| !saying.asks(question));
        Ok(place)
    }

    pub(super) fn say(&mut self, saying: Saying) {
        self.sayings.push_back(saying);
    }

    /// What is to be said next; the waker that was there is spent.
    pub(super) fn next(&mut self, waker: &Waker, spent: &mut Vec<Waker>) -> Poll<Saying> {
        if let Some(saying) = self.sayings.pop_front() {
            return Poll::Ready(saying);
        }
        spent.extend(self.waker.replace(waker.clone()));
        Poll::Pending
    }

    /// Nothing is said here any more: what was open.
    pub(super) fn end(&mut self) -> impl Iterator<Item = Place> + use<> {
        self.ended = true;
        self.sayings.clear();
        std::mem::take(&mut self.open).into_values()
    }
}

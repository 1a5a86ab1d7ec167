//! [`Stream`]: what a board knows of one decider's stream.
//!
//! Law: a question is open from when it is asked until it is answered or taken back; what is queued for a
//! decider that takes nothing is bounded by what was ever open for it at once, and news, which may be of
//! questions answered before they were taken, by a number: the oldest go. What is queued is found by its
//! number. Wakes nobody: it gives its waker to who may.

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
/// News that are queued.
pub(super) const MOST_NEWS: usize = 1_024;

/// A place in an inquiry.
pub(super) type Place = (InquiryId, usize);

/// One decider's stream.
#[derive(Debug)]
pub(super) struct Stream {
    hook: Arc<Hook>,
    /// By number.
    open: BTreeMap<u64, Place>,
    /// What is queued, in its order.
    sayings: BTreeMap<u64, Saying>,
    /// How much has ever been queued.
    said: u64,
    /// Where the questions among it are, by number.
    queued: BTreeMap<u64, u64>,
    /// Where the news among it are.
    news: VecDeque<u64>,
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
            sayings: BTreeMap::new(),
            said: 0,
            queued: BTreeMap::new(),
            news: VecDeque::new(),
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
        let place = self.say(Saying::Question { question: self.asked, wish, within });
        self.queued.insert(self.asked, place);
        self.asked
    }

    /// Takes a question back: out of the queue, or by telling who has it.
    pub(super) fn unask(&mut self, question: u64) {
        self.open.remove(&question);
        if !self.unsay(question) {
            self.say(Saying::Withdrawal { question });
        }
    }

    /// Takes a question out of the queue, if it is there still.
    fn unsay(&mut self, question: u64) -> bool {
        let place = self.queued.remove(&question);
        place.is_some_and(|place| self.sayings.remove(&place).is_some())
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
        self.unsay(question);
        Ok(place)
    }

    /// Says what came of a growth that was allowed here.
    pub(super) fn tell(&mut self, question: u64, grown: bool) {
        if self.news.len() >= MOST_NEWS
            && let Some(oldest) = self.news.pop_front()
        {
            self.sayings.remove(&oldest);
        }
        let place = self.say(Saying::News { question, grown });
        self.news.push_back(place);
    }

    /// Queues it; its place.
    fn say(&mut self, saying: Saying) -> u64 {
        self.said = self.said.saturating_add(1);
        self.sayings.insert(self.said, saying);
        self.said
    }

    /// What is to be said next; the waker that was there is spent.
    pub(super) fn next(&mut self, waker: &Waker, spent: &mut Vec<Waker>) -> Poll<Saying> {
        if let Some((_, saying)) = self.sayings.pop_first() {
            let _its_place = match &saying {
                Saying::Question { question, .. } => self.queued.remove(question),
                Saying::News { .. } => self.news.pop_front(),
                Saying::Withdrawal { .. } => None,
            };
            return Poll::Ready(saying);
        }
        spent.extend(self.waker.replace(waker.clone()));
        Poll::Pending
    }

    /// Nothing is said here any more: what was open.
    pub(super) fn end(&mut self) -> impl Iterator<Item = Place> + use<> {
        self.ended = true;
        self.sayings.clear();
        self.queued.clear();
        self.news.clear();
        std::mem::take(&mut self.open).into_values()
    }
}

//! [`Board`]: hooks, the streams of their deciders, and the growths that wait for them.
//!
//! ```text
//! inquiry (a growth)  ┌ seat: hook a ── open: question 7 of stream 2 ──answer──> allowed, denied
//!                     ├ seat: hook b ── settled (absent or timed out, and fails open; deleted)
//!                     └ seat: hook c ── allowed, and told what came of it
//! ```
//!
//! Law: an inquiry is over at its first denial, or when no seat is open; whatever is still open then is
//! withdrawn, and whoever allowed it hears that nothing grew. A question is open on one stream, under a
//! number of that stream's own. A machine: time and wakers come in, [`Effects`] go out. What is queued
//! for a stream that takes nothing is at most what is open on it, as much again of what was, and some news.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::error::{DenialCause, Failure};
use crate::metrics::HookEvent;
use crate::model::HookId;
use crate::registry::Wish;
use crate::tenancy::hooks::denial::{denied, unanswered};
use crate::tenancy::hooks::inquiry::{Inquiry, Seat, SeatState};
use crate::tenancy::hooks::stream::Stream;
use crate::tenancy::hooks::{Effects, FailurePolicy, Hook, MAX_HOOK_STREAMS, MAX_HOOKS, Saying};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct InquiryId(u64);
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct StreamId(u64);

/// A question that was asked: a stream's, under its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) stream: StreamId,
    pub(super) question: u64,
}

/// What came of asking.
#[derive(Debug)]
pub(super) enum Asked {
    /// No hook has a say, or all of them fail open without anyone to ask.
    Nobody,
    /// There is nobody to ask and it fails closed.
    Denied(Failure),
    /// Answers are waited for.
    Open(InquiryId),
}

/// How an inquiry stands.
#[derive(Debug)]
pub(super) enum Look {
    /// It is over: who allowed it, or why not.
    Over(Result<Vec<Seen>, Failure>),
    /// It is to be looked at again, at this moment at the latest.
    Until(Instant),
}

/// All hooks of a tenant.
#[derive(Debug, Default)]
pub(super) struct Board {
    hooks: BTreeMap<HookId, Arc<Hook>>,
    streams: BTreeMap<StreamId, Stream>,
    inquiries: HashMap<InquiryId, Inquiry>,
    numbers: u64,
    effects: Effects,
}

impl Board {
    pub(super) fn effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn hooks(&self) -> usize {
        self.hooks.len()
    }

    fn number(&mut self) -> u64 {
        self.numbers = self.numbers.wrapping_add(1);
        self.numbers
    }

    /// Adds a hook.
    pub(super) fn put(&mut self, hook: Arc<Hook>) -> Result<(), Failure> {
        if self.hooks.contains_key(&hook.id) {
            return Err(Failure::HookExists { hook_id: hook.id.clone() });
        }
        let own = self.hooks.values().filter(|hook| !hook.configured).count();
        within("hooks", MAX_HOOKS, own)?;
        self.hooks.insert(hook.id.clone(), hook);
        Ok(())
    }

    pub(super) fn find(&self, id: &HookId) -> Result<&Arc<Hook>, Failure> {
        self.hooks.get(id).ok_or_else(|| Failure::HookNotFound { hook_id: id.clone() })
    }

    /// Its streams, and how many questions are open.
    pub(super) fn figures(&self, hook: &Arc<Hook>) -> (usize, usize) {
        let of = self.streams.values().filter(|stream| stream.is_of(hook));
        of.fold((0, 0), |(streams, open), stream| {
            (streams.saturating_add(1), open.saturating_add(stream.open()))
        })
    }

    /// Hooks after one, in order of their ids.
    pub(super) fn after(&self, after: Option<&HookId>) -> impl Iterator<Item = &Arc<Hook>> {
        let after = after.cloned();
        self.hooks.values().filter(move |hook| after.as_ref().is_none_or(|id| hook.id > *id))
    }

    /// Ends a hook: growth goes on without its say.
    pub(super) fn remove(&mut self, id: &HookId) -> Result<(), Failure> {
        let hook = Arc::clone(self.find(id)?);
        if hook.configured {
            return Err(Failure::HookConfigured { hook_id: id.clone() });
        }
        self.end(&hook);
        Ok(())
    }

    /// Puts a hook in the place of whatever has its name.
    pub(super) fn replace(&mut self, hook: Arc<Hook>) {
        if let Some(before) = self.hooks.get(&hook.id).map(Arc::clone) {
            self.end(&before);
        }
        self.hooks.insert(hook.id.clone(), hook);
    }

    /// Ends a hook that is there, whoever made it.
    pub(super) fn end(&mut self, hook: &Arc<Hook>) {
        self.hooks.remove(&hook.id);
        let mut open = Vec::new();
        for stream in self.streams.values_mut().filter(|one| one.is_of(hook)) {
            open.extend(stream.end());
            self.effects.wakers.extend(stream.wake());
        }
        for (inquiry, seat) in open {
            self.happened(HookEvent::Withdrawn, None);
            self.settle(inquiry, seat, SeatState::Settled);
        }
    }

    /// Opens a stream of a hook.
    pub(super) fn join(&mut self, id: &HookId) -> Result<StreamId, Failure> {
        let hook = Arc::clone(self.find(id)?);
        let (streams, _) = self.figures(&hook);
        within("hook_streams", MAX_HOOK_STREAMS, streams)?;
        let number = self.number();
        self.streams.insert(StreamId(number), Stream::of(hook));
        Ok(StreamId(number))
    }

    /// A stream is over: what it has not answered goes to another of the same hook, if there is one.
    pub(super) fn leave(&mut self, id: StreamId, now: Instant) {
        let Some(mut stream) = self.streams.remove(&id) else { return };
        self.effects.spent.extend(stream.wake());
        for (inquiry, seat) in stream.end() {
            self.pass_on(inquiry, seat, now);
        }
    }

    fn pass_on(&mut self, id: InquiryId, seat: usize, now: Instant) {
        let Some(inquiry) = self.inquiries.get(&id) else { return };
        let Some(Seat { hook, deadline, .. }) = inquiry.seats.get(seat) else { return };
        let (hook, deadline, wish) = (Arc::clone(hook), *deadline, Arc::clone(&inquiry.wish));
        match self.question(&hook, (id, seat), wish, deadline.saturating_duration_since(now)) {
            Some(seen) => self.settle(id, seat, SeatState::Open(seen)),
            None => {
                self.happened(HookEvent::Absent, None);
                self.give_up(id, seat, DenialCause::Absent);
            }
        }
    }

    /// Asks the hooks that select a memory.
    pub(super) fn ask(&mut self, wish: Wish, now: Instant) -> Asked {
        let labels = || wish.labels.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        let selected = self.hooks.values().filter(|hook| hook.spec.selector.selects(labels()));
        let mut selected: Vec<Arc<Hook>> = selected.cloned().collect();
        selected.sort_by(|a, b| (a.spec.rank, &a.id).cmp(&(b.spec.rank, &b.id)));
        let mut present = Vec::new();
        for hook in selected {
            if self.least_busy(&hook).is_some() {
                present.push(hook);
                continue;
            }
            self.happened(HookEvent::Absent, None);
            if hook.spec.failure_policy == FailurePolicy::FailClosed {
                return Asked::Denied(unanswered(&hook, DenialCause::Absent));
            }
        }
        if present.is_empty() {
            return Asked::Nobody;
        }
        let (id, wish) = (InquiryId(self.number()), Arc::new(wish));
        let mut seats = Vec::new();
        for hook in present {
            let timeout = hook.spec.answer_timeout;
            let seen = self.question(&hook, (id, seats.len()), Arc::clone(&wish), timeout);
            let state = seen.map_or(SeatState::Settled, SeatState::Open);
            let deadline = now.checked_add(timeout).unwrap_or(now);
            seats.push(Seat { hook, since: now, deadline, state });
        }
        self.inquiries.insert(id, Inquiry::of(wish, seats));
        Asked::Open(id)
    }

    /// The stream of a hook with the fewest open questions; among equals, the one asked longest ago.
    fn least_busy(&self, hook: &Arc<Hook>) -> Option<StreamId> {
        let of = self.streams.iter().filter(|(_, one)| one.is_of(hook));
        of.min_by_key(|(_, one)| one.load()).map(|(id, _)| *id)
    }

    fn question(
        &mut self,
        hook: &Arc<Hook>,
        seat: (InquiryId, usize),
        wish: Arc<Wish>,
        within: Duration,
    ) -> Option<Seen> {
        let id = self.least_busy(hook)?;
        let turn = self.number();
        let stream = self.streams.get_mut(&id)?;
        let question = stream.ask(turn, seat, wish, within);
        self.effects.wakers.extend(stream.wake());
        Some(Seen { stream: id, question })
    }

    /// A decider says something.
    pub(super) fn answer(
        &mut self,
        id: StreamId,
        question: u64,
        verdict: Result<(), &str>,
        now: Instant,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (inquiry, seat) = match stream.answered(question) {
            Ok(asked) => asked,
            Err(event) => return self.happened(event, None),
        };
        let seen = Seen { stream: id, question };
        let asked = self.inquiries.get(&inquiry).and_then(|inquiry| inquiry.seats.get(seat));
        let Some(Seat { hook, since, .. }) = asked else { return };
        let (hook, waited) = (Arc::clone(hook), Some(now.saturating_duration_since(*since)));
        match verdict {
            Ok(()) => {
                self.happened(HookEvent::Allowed, waited);
                self.settle(inquiry, seat, SeatState::Allowed(seen));
            }
            Err(reason) => {
                self.happened(HookEvent::Denied, waited);
                self.settle(inquiry, seat, SeatState::Settled);
                self.deny(inquiry, denied(&hook, reason));
            }
        }
    }

    /// What was not answered by now is decided by policy.
    pub(super) fn expire(&mut self, id: InquiryId, now: Instant) {
        let Some(inquiry) = self.inquiries.get(&id) else { return };
        let due: Vec<(usize, Seen, Instant)> = inquiry.due(now).collect();
        for (place, seen, since) in due {
            // The one before may have ended it all.
            if self.inquiries.get(&id).is_some_and(Inquiry::is_over) {
                return;
            }
            self.unask(seen);
            self.happened(HookEvent::Timeout, Some(now.saturating_duration_since(since)));
            self.give_up(id, place, DenialCause::Timeout);
        }
    }

    /// Nobody answered for this seat.
    fn give_up(&mut self, id: InquiryId, seat: usize, cause: DenialCause) {
        self.settle(id, seat, SeatState::Settled);
        let hook = self.inquiries.get(&id).and_then(|inquiry| inquiry.seats.get(seat));
        let hook = hook.map(|seat| Arc::clone(&seat.hook));
        if let Some(hook) = hook
            && hook.spec.failure_policy == FailurePolicy::FailClosed
        {
            self.deny(id, unanswered(&hook, cause));
        }
    }

    fn settle(&mut self, id: InquiryId, place: usize, state: SeatState) {
        let Some(inquiry) = self.inquiries.get_mut(&id) else { return };
        if let Some(seat) = inquiry.seats.get_mut(place) {
            seat.state = state;
        }
        if inquiry.is_over() {
            self.effects.wakers.extend(inquiry.waker.take());
        }
    }

    /// The first denial is the one that counts, and ends the asking.
    fn deny(&mut self, id: InquiryId, failure: Failure) {
        let Some(inquiry) = self.inquiries.get_mut(&id) else { return };
        inquiry.denial.get_or_insert(failure);
        self.effects.wakers.extend(inquiry.waker.take());
        self.close(id);
    }

    /// Withdraws what is open, and tells whoever has allowed it.
    fn close(&mut self, id: InquiryId) {
        let Some(inquiry) = self.inquiries.get_mut(&id) else { return };
        let states: Vec<SeatState> = inquiry.settle_all().collect();
        for state in states {
            match state {
                SeatState::Open(seen) => {
                    self.unask(seen);
                    self.happened(HookEvent::Withdrawn, None);
                }
                SeatState::Allowed(seen) => self.tell(&[seen], false),
                SeatState::Settled => {}
            }
        }
    }

    /// Takes a question back: out of the queue, or by telling who has it.
    fn unask(&mut self, Seen { stream, question }: Seen) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.unask(question);
            self.effects.wakers.extend(stream.wake());
        }
    }

    /// Who waits for an inquiry has gone.
    pub(super) fn withdraw(&mut self, id: InquiryId) {
        self.close(id);
        self.forget(id);
    }

    fn forget(&mut self, id: InquiryId) {
        let inquiry = self.inquiries.remove(&id);
        self.effects.spent.extend(inquiry.and_then(|inquiry| inquiry.waker));
    }

    /// How an inquiry stands; one that is over is forgotten.
    pub(super) fn look(&mut self, id: InquiryId, waker: &Waker) -> Look {
        let Some(inquiry) = self.inquiries.get_mut(&id) else {
            return Look::Over(Err(Failure::InternalFault));
        };
        if let (None, Some(deadline)) = (&inquiry.denial, inquiry.deadline()) {
            self.effects.spent.extend(inquiry.waker.replace(waker.clone()));
            return Look::Until(deadline);
        }
        let outcome = inquiry.denial.take().map_or_else(|| Ok(inquiry.allowed().collect()), Err);
        self.forget(id);
        Look::Over(outcome)
    }

    /// Says to those who allowed a growth what came of it.
    pub(super) fn tell(&mut self, seen: &[Seen], grown: bool) {
        for Seen { stream, question } in seen {
            let there = self.streams.get_mut(stream).filter(|stream| stream.is_open());
            let Some(stream) = there else { continue };
            stream.tell(*question, grown);
            self.effects.wakers.extend(stream.wake());
            self.happened(HookEvent::Told, None);
        }
    }

    /// What is to be said next on a stream; none when its hook is gone.
    pub(super) fn next(&mut self, id: StreamId, waker: &Waker) -> Poll<Option<Saying>> {
        match self.streams.get_mut(&id).filter(|stream| stream.is_open()) {
            Some(stream) => stream.next(waker, &mut self.effects.spent).map(Some),
            None => Poll::Ready(None),
        }
    }

    /// Whether a stream owes an answer.
    pub(super) fn owes(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.open() > 0)
    }

    /// Whether no growth waits and no question is open.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.inquiries.is_empty() && self.streams.values().all(|stream| stream.open() == 0)
    }

    fn happened(&mut self, event: HookEvent, waited: Option<Duration>) {
        self.effects.happened.push((event, waited));
    }
}

fn within(limit_name: &'static str, most: usize, have: usize) -> Result<(), Failure> {
    if have < most {
        return Ok(());
    }
    let (limit, used) = (most as u64, have as u64);
    Err(Failure::QuotaExceeded { limit_name, limit, used, asked: 1 })
}

//! One memory as a sequence of calls would leave it: the specification that histories are held against.
//!
//! Law: [`State::after`] is the contract (sections 2 and 4 of the API's page) for one call alone, and
//! exact: it answers the only state that a call with this outcome leads to, and none where the call could
//! not have had this outcome. What a call reads and changes of a state is said by [`Footprint`], never
//! less than the truth. Knows nothing of time.

use crate::history::{
    Answer, CELLS, Call, Deed, FIRST_PAGE, MAXIMUM_PAGES, Outcome, PAGE, Record, Span, Step, Wanted,
};

/// One name's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// None: there is no such memory.
    uid: Option<u128>,
    pages: u64,
    cells: [u64; CELLS],
}

impl State {
    /// No memory has the name.
    pub(crate) const ABSENT: Self = Self { uid: None, pages: 0, cells: [0; CELLS] };

    /// A new memory.
    pub(crate) const fn new(uid: u128, pages: u64) -> Self {
        Self { uid: Some(uid), pages, cells: [0; CELLS] }
    }

    /// What is there after this call, if it can have had this outcome here.
    pub(crate) fn after(&self, call: &Call, outcome: &Outcome) -> Option<Self> {
        let same = |fits: bool| fits.then_some(*self);
        let Some(found) = self.uid else {
            return match (&call.deed, outcome) {
                (Deed::Create { pages, .. }, Outcome::Created(uid)) => {
                    Some(Self::new(*uid, *pages))
                }
                (Deed::Create { .. }, _) => None,
                (_, outcome) => same(*outcome == Outcome::NotFound),
            };
        };
        match call.wanted {
            Wanted::Uid(uid) if uid != found => {
                return same(*outcome == Outcome::UidMismatch(found));
            }
            Wanted::Attached(uid) if uid != found => return same(*outcome == Outcome::NotFound),
            _ => {}
        }
        match (&call.deed, outcome) {
            (Deed::Create { .. }, outcome) => same(*outcome == Outcome::Exists),
            (Deed::Delete, Outcome::Deleted) => Some(Self::ABSENT),
            (Deed::Describe | Deed::Attach, Outcome::Shown { uid, pages }) => {
                same(*uid == found && *pages == self.pages)
            }
            (Deed::Grow { delta, expected }, outcome) => self.grown(*delta, *expected, outcome),
            (Deed::Steps(_, steps), outcome) => self.stepped(steps, outcome),
            _ => None,
        }
    }

    fn grown(&self, delta: u64, expected: Option<u64>, outcome: &Outcome) -> Option<Self> {
        let previous = self.pages;
        let due = match previous + delta {
            _ if expected.is_some_and(|expected| expected != previous) => {
                Outcome::SizeMismatch { current: previous }
            }
            current if current > MAXIMUM_PAGES => Outcome::MaximumReached { current: previous },
            current => Outcome::Grown { previous, current },
        };
        let pages = if matches!(due, Outcome::Grown { .. }) { previous + delta } else { previous };
        (*outcome == due).then_some(Self { pages, ..*self })
    }

    fn stepped(&self, steps: &[Step], outcome: &Outcome) -> Option<Self> {
        let size_bytes = self.pages * PAGE;
        let is_within = steps.iter().all(|step| end(step) <= size_bytes);
        let is_as_expected = steps.iter().all(|step| match step {
            Step::Compare(span, expected) => self.cells[span.cells()] == expected[..],
            _ => true,
        });
        match outcome {
            Outcome::OutOfBounds { size_bytes: told } => {
                (!is_within && *told == size_bytes).then_some(*self)
            }
            Outcome::CompareFailed => (is_within && !is_as_expected).then_some(*self),
            Outcome::Answers(answers) if is_within && is_as_expected => {
                let mut next = *self;
                let fits = steps.len() == answers.len()
                    && steps.iter().zip(answers).all(|(step, answer)| next.take(step, answer));
                fits.then_some(next)
            }
            _ => None,
        }
    }

    /// Does one step; whether it can have answered this.
    fn take(&mut self, step: &Step, answer: &Answer) -> bool {
        match (step, answer) {
            (Step::Read(span), Answer::Values(values)) => self.cells[span.cells()] == values[..],
            (Step::Write(span, values), Answer::Nothing) => {
                self.cells[span.cells()].copy_from_slice(values);
                true
            }
            (Step::Fill(span, byte), Answer::Nothing) => {
                self.cells[span.cells()].fill(u64::from_le_bytes([*byte; 8]));
                true
            }
            (Step::Compare(..), Answer::Nothing) => true,
            (Step::Copy(from, to), Answer::Nothing) => {
                self.cells.copy_within(from.cells(), *to);
                true
            }
            (Step::Add(cell, by), Answer::Old(old)) => {
                let new = old.wrapping_add(*by);
                std::mem::replace(&mut self.cells[*cell], new) == *old
            }
            (Step::Exchange(cell, new), Answer::Old(old)) => {
                std::mem::replace(&mut self.cells[*cell], *new) == *old
            }
            (Step::CompareExchange { cell, expected, replacement }, Answer::Old(old)) => {
                let new = if old == expected { replacement } else { old };
                std::mem::replace(&mut self.cells[*cell], *new) == *old
            }
            (Step::Size, Answer::Pages(pages)) => *pages == self.pages,
            _ => false,
        }
    }
}

/// The first byte after what a step touches.
fn end(step: &Step) -> u64 {
    match step {
        Step::Read(span) | Step::Write(span, _) | Step::Fill(span, _) | Step::Compare(span, _) => {
            span.end()
        }
        Step::Copy(span, to) => span.end().max(Span::one(to + span.count() - 1).end()),
        Step::Add(cell, _) | Step::Exchange(cell, _) | Step::CompareExchange { cell, .. } => {
            Span::one(*cell).end()
        }
        Step::Size => 0,
    }
}

/// The parts of a state that a call with its outcome depends on, and those that it may change: a bit for
/// each place, one for the size, one for which memory there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    reads: u16,
    writes: u16,
}

const SIZE: u16 = 1 << CELLS;
const LIFE: u16 = 1 << (CELLS + 1);
const ALL: u16 = (1 << (CELLS + 2)) - 1;

impl Footprint {
    pub(crate) fn of(record: &Record) -> Self {
        let mut footprint = Self { reads: LIFE, writes: 0 };
        match (&record.call.deed, &record.outcome) {
            (_, Outcome::NotFound | Outcome::Exists | Outcome::UidMismatch(_)) => {}
            (_, Outcome::Created(_) | Outcome::Deleted) => footprint.writes = ALL,
            (Deed::Grow { delta, .. }, outcome) => {
                footprint.reads |= SIZE;
                if *delta > 0 && matches!(outcome, Outcome::Grown { .. }) {
                    footprint.writes = SIZE;
                }
            }
            (Deed::Steps(_, steps), Outcome::Answers(answers)) => {
                for (step, answer) in steps.iter().zip(answers) {
                    footprint.add(step, Some(answer));
                }
            }
            (Deed::Steps(_, steps), _) => {
                footprint.reads |= SIZE;
                steps.iter().for_each(|step| footprint.add(step, None));
            }
            _ => footprint.reads |= SIZE,
        }
        footprint
    }

    /// Whether nothing is changed.
    pub(crate) const fn is_harmless(self) -> bool {
        self.writes == 0
    }

    /// Whether the order of the two can matter.
    pub(crate) const fn conflicts(self, other: Self) -> bool {
        self.writes & (other.reads | other.writes) != 0 || other.writes & self.reads != 0
    }

    /// None answered where the group failed as a whole.
    fn add(&mut self, step: &Step, answer: Option<&Answer>) {
        let bits =
            |cells: std::ops::RangeInclusive<usize>| cells.fold(0, |sum, cell| sum | 1 << cell);
        // Whatever lies in the first page is there as long as the memory is.
        if end(step) > PAGE || *step == Step::Size {
            self.reads |= SIZE;
        }
        let (reads, writes) = match step {
            Step::Read(span) | Step::Compare(span, _) => (bits(span.cells()), 0),
            Step::Write(span, _) | Step::Fill(span, _) => (0, bits(span.cells())),
            Step::Copy(span, to) => (bits(span.cells()), bits(*to..=to + span.count() - 1)),
            Step::CompareExchange { cell, expected, .. } => match answer {
                Some(Answer::Old(old)) if old != expected => (1 << cell, 0),
                _ => (1 << cell, 1 << cell),
            },
            Step::Add(cell, _) | Step::Exchange(cell, _) => (1 << cell, 1 << cell),
            Step::Size => (0, 0),
        };
        self.reads |= reads;
        if answer.is_some() {
            self.writes |= writes;
        }
    }
}

// A memory is never smaller than what is taken for granted of it.
const _: () = assert!(FIRST_PAGE.end() <= PAGE);

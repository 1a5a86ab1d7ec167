//! What a client asks next: random, from a seed, and from what it has seen.
//!
//! Law: nothing is asked that the contract leaves open. Numbers that are written are new each time, so
//! that a read names its write; fills, copies and adds see to it that this is not always so.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::door::FORMS;
use crate::history::{
    Answer, CELLS, Call, Deed, EVERYTHING, FIRST_PAGE, MAXIMUM_PAGES, MEMORIES, Outcome,
    SIDE_BY_SIDE, Span, Step, Wanted, Way,
};

/// What a client last saw of a memory.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    uid: Option<u128>,
    attached: Option<u128>,
    is_gone: bool,
    pages: u64,
    cells: [u64; CELLS],
}

/// One client's.
#[derive(Debug)]
pub(crate) struct Script {
    random: StdRng,
    seen: [Seen; MEMORIES],
    has_session: bool,
    /// The next new number.
    next: u64,
}

impl Script {
    pub(crate) fn new(seed: u64, client: usize) -> Self {
        let client = client as u64;
        Self {
            random: StdRng::seed_from_u64(seed.wrapping_mul(64).wrapping_add(client)),
            // At first there are none.
            seen: [Seen { is_gone: true, ..Default::default() }; MEMORIES],
            has_session: client.is_multiple_of(3),
            next: (client + 1) << 48,
        }
    }

    pub(crate) fn next(&mut self) -> Call {
        let memory = self.random.random_range(0..MEMORIES);
        let seen = self.seen[memory];
        let call = |wanted, deed| Call { memory, wanted, deed };
        if seen.is_gone && self.random.random_ratio(1, 3) {
            return call(Wanted::Any, self.create());
        }
        if self.has_session && seen.attached.is_none() && self.random.random_ratio(1, 4) {
            return call(Wanted::Any, Deed::Attach);
        }
        let steps = match self.random.random_range(0..1_000) {
            0..3 => return call(self.wanted(seen), Deed::Delete),
            3..8 => return call(Wanted::Any, self.create()),
            8..32 => return call(self.wanted(seen), self.grow(seen)),
            32..55 => return call(self.wanted(seen), Deed::Describe),
            55..200 => self.group(seen),
            _ => vec![self.step(seen)],
        };
        let way = self.way(&steps, seen);
        let wanted = match (way, seen.attached) {
            (Way::SessionSingle | Way::SessionList | Way::SessionPacked, Some(uid)) => {
                Wanted::Attached(uid)
            }
            // CopyMemory has no uid.
            (Way::Own, _) if matches!(steps[0], Step::Copy(..)) => Wanted::Any,
            _ => self.wanted(seen),
        };
        call(wanted, Deed::Steps(way, steps))
    }

    /// Looks at what came of a call.
    pub(crate) fn learn(&mut self, call: &Call, outcome: &Outcome) {
        let seen = &mut self.seen[call.memory];
        match outcome {
            Outcome::NotFound if matches!(call.wanted, Wanted::Attached(_)) => {
                seen.attached = None;
                return;
            }
            Outcome::NotFound | Outcome::Deleted => {
                *seen = Seen { attached: seen.attached, ..Seen::default() }
            }
            Outcome::Created(uid) | Outcome::UidMismatch(uid) => seen.uid = Some(*uid),
            Outcome::Shown { uid, pages } => {
                (seen.uid, seen.pages) = (Some(*uid), *pages);
                if call.deed == Deed::Attach {
                    seen.attached = Some(*uid);
                }
            }
            Outcome::Grown { current, .. }
            | Outcome::SizeMismatch { current }
            | Outcome::MaximumReached { current } => seen.pages = *current,
            Outcome::Answers(answers) => {
                call.steps().iter().zip(answers).for_each(|(step, answer)| seen.note(step, answer));
            }
            Outcome::Exists | Outcome::OutOfBounds { .. } | Outcome::CompareFailed => {}
        }
        seen.is_gone = matches!(outcome, Outcome::NotFound | Outcome::Deleted);
    }

    fn wanted(&mut self, seen: Seen) -> Wanted {
        match seen.uid {
            Some(uid) if self.random.random_ratio(1, 12) => Wanted::Uid(uid),
            _ => Wanted::Any,
        }
    }

    fn create(&mut self) -> Deed {
        let pages = self.random.random_range(1..4);
        Deed::Create { pages, form: self.random.random_range(0..FORMS) }
    }

    fn grow(&mut self, seen: Seen) -> Deed {
        let delta = [0, 1, 1, 1, 2, MAXIMUM_PAGES][self.random.random_range(0..6)];
        let expected = self.random.random_ratio(1, 3).then_some(seen.pages);
        Deed::Grow { delta, expected }
    }

    fn way(&mut self, steps: &[Step], seen: Seen) -> Way {
        let in_session = seen.attached.is_some() && self.random.random_bool(0.5);
        let has_own =
            matches!(steps, [Step::Read(_) | Step::Write(..) | Step::Fill(..) | Step::Copy(..)]);
        match self.random.random_range(0..4) {
            0 | 1 if in_session && steps.len() == 1 => Way::SessionSingle,
            0..=2 if in_session => Way::SessionList,
            _ if in_session => Way::SessionPacked,
            0..=2 if has_own => Way::Own,
            0 | 1 => Way::List,
            _ => Way::Packed,
        }
    }

    fn group(&mut self, seen: Seen) -> Vec<Step> {
        let count = self.random.random_range(2..6);
        let mut steps: Vec<Step> = (0..count).map(|_| self.step(seen)).collect();
        // Of a place that is often still as it was seen.
        if self.random.random_bool(0.5) {
            let cell = self.random.random_range(1..5);
            steps.insert(0, Step::Compare(Span::one(cell), vec![seen.cells[cell]]));
        }
        if self.random.random_ratio(1, 4) {
            steps.insert(0, Step::Size);
            steps.push(Step::Size);
        }
        steps
    }

    fn step(&mut self, seen: Seen) -> Step {
        let cell = self.cell();
        match self.random.random_range(0..1_000) {
            0..210 => Step::Read(Span::one(cell)),
            210..350 => Step::Read(self.span()),
            350..500 => Step::Write(Span::one(cell), self.numbers(1)),
            500..610 => {
                let span = self.span();
                Step::Write(span, self.numbers(span.count()))
            }
            610..660 => Step::Fill(self.span(), self.random.random_range(0..4)),
            660..690 => {
                let from = self.side_by_side();
                let last = SIDE_BY_SIDE.last + 1 - from.count();
                Step::Copy(from, self.random.random_range(SIDE_BY_SIDE.first..=last))
            }
            690..800 => Step::Add(self.word(), self.random.random_range(1..4)),
            800..850 => Step::Exchange(self.word(), self.numbers(1)[0]),
            850..960 => {
                let cell = self.word();
                let replacement = self.numbers(1)[0];
                Step::CompareExchange { cell, expected: seen.cells[cell], replacement }
            }
            _ => Step::Size,
        }
    }

    /// A word or the block.
    fn cell(&mut self) -> usize {
        if self.random.random_ratio(1, 8) { 0 } else { self.word() }
    }

    /// More often one of the first page.
    fn word(&mut self) -> usize {
        let last = if self.random.random_bool(0.6) { FIRST_PAGE.last } else { CELLS - 1 };
        self.random.random_range(1..=last)
    }

    fn side_by_side(&mut self) -> Span {
        let first = self.random.random_range(SIDE_BY_SIDE.first..SIDE_BY_SIDE.last);
        Span { first, last: self.random.random_range(first + 1..=SIDE_BY_SIDE.last) }
    }

    fn span(&mut self) -> Span {
        match self.random.random_range(0..60) {
            0 => EVERYTHING,
            1..4 => FIRST_PAGE,
            _ => self.side_by_side(),
        }
    }

    fn numbers(&mut self, count: usize) -> Vec<u64> {
        let new = self.next..self.next + count as u64;
        self.next = new.end;
        new.collect()
    }
}

impl Seen {
    fn note(&mut self, step: &Step, answer: &Answer) {
        match (step, answer) {
            (Step::Read(span), Answer::Values(values)) => {
                self.cells[span.cells()].copy_from_slice(values);
            }
            (Step::Write(span, values), _) => self.cells[span.cells()].copy_from_slice(values),
            (Step::Add(cell, by), Answer::Old(old)) => self.cells[*cell] = old.wrapping_add(*by),
            (Step::Exchange(cell, new), _) => self.cells[*cell] = *new,
            (Step::CompareExchange { cell, expected, replacement }, Answer::Old(old)) => {
                self.cells[*cell] = if old == expected { *replacement } else { *old };
            }
            (_, Answer::Pages(pages)) => self.pages = *pages,
            _ => {}
        }
    }
}

//! Carries a group out, by who has the memory as it needs it: shared where it only reads, else alone.
//!
//! Law: what can fail is asked first, for every step; only the host, and bytes that are not what was
//! stored, stop a group in its middle, and both cost the memory. Numbers are read, changed and stored
//! under the memory's lock, which makes them atomic.

use std::mem;

use crate::memory::any::Hand;
use crate::memory::group::{Group, Step};
use crate::memory::plan::Plan;
use crate::memory::protections::Use;
use crate::memory::scalars::{Load, number};
use crate::memory::undone::Undone;
use crate::units::{ByteCount, ByteRange, WasmPages};

/// Copied through a buffer of this size at a time: of the first level's cache.
const COPY_SLICE: ByteCount = ByteCount::new(16 << 10);

/// A group that did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The operation that stopped it.
    pub operation: u32,
    /// Why.
    pub why: Unfit,
}

/// Why an operation stopped its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Other bytes are there than were expected: nothing has happened.
    Compare(ByteRange),
    /// By kind.
    Undone(Undone),
}

/// Waiters are to be woken, and their number put into the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where in the results, in four bytes.
    pub place: usize,
    /// Where they wait.
    pub address: u64,
    /// How many at most.
    pub count: u32,
}

impl Group {
    /// Carries it out on a memory of that size and appends the results to `out`; what is still to be
    /// done for them.
    ///
    /// # Errors
    /// [`Stopped`]: nothing has happened, or the memory has lost bytes; `out` is as it was.
    pub fn run(
        &self,
        hand: &mut Hand<'_>,
        size: WasmPages,
        out: &mut Vec<u8>,
    ) -> Result<Vec<Notice>, Stopped> {
        let before = out.len();
        let mut run = Run { group: self, size, scratch: Vec::new(), notices: Vec::new() };
        match run.steps(hand, out) {
            Ok(()) => Ok(run.notices),
            Err(stopped) => {
                out.truncate(before);
                Err(stopped)
            }
        }
    }
}

struct Run<'a> {
    group: &'a Group,
    size: WasmPages,
    scratch: Vec<u8>,
    notices: Vec<Notice>,
}

impl Run<'_> {
    fn steps(&mut self, hand: &mut Hand<'_>, out: &mut Vec<u8>) -> Result<(), Stopped> {
        let group = self.group;
        let at = |place: usize| {
            move |why: Undone| Stopped {
                operation: group.operation(place),
                why: Unfit::Undone(why),
            }
        };
        if !hand.admits_all() {
            for (place, step) in group.steps.iter().enumerate() {
                step.admitted(hand).map_err(at(place))?;
            }
        }
        if group.compares {
            for (place, step) in group.steps.iter().enumerate() {
                let Step::Compare(range, operand) = *step else { continue };
                self.load(hand, range).map_err(at(place))?;
                if self.scratch != group.operand(operand, self.scratch.len()) {
                    let operation = group.operation(place);
                    return Err(Stopped { operation, why: Unfit::Compare(range) });
                }
            }
        }
        for (place, step) in group.steps.iter().enumerate() {
            self.step(*step, hand, out).map_err(at(place))?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step, hand: &mut Hand<'_>, out: &mut Vec<u8>) -> Result<(), Undone> {
        match step {
            Step::Read(range) => hand.read(range, out),
            Step::Load(range, load) => {
                self.load(hand, range)?;
                load.widen(&self.scratch, out);
                Ok(())
            }
            Step::Compare(..) => Ok(()),
            Step::Write(range, operand) => {
                let bytes = self.group.operand(operand, range.length().as_usize());
                hand.apply(&Plan::put(range, bytes))
            }
            Step::Fill(range, value) => hand.apply(&Plan::fill(range, value)),
            Step::Copy(from, to) => self.copy(hand, from, to),
            Step::Rmw { range, to, operator, operand } => {
                self.load(hand, range)?;
                Load::zero(to, to).widen(&self.scratch, out);
                let new = operator.apply(number(&self.scratch), operand);
                self.put(hand, range, new)
            }
            Step::Cmpxchg { range, to, operand } => {
                self.load(hand, range)?;
                Load::zero(to, to).widen(&self.scratch, out);
                let both = self.group.operand(operand, 16);
                let (expected, replacement) = both.split_at_checked(8).unwrap_or_default();
                if number(&self.scratch) == number(expected) {
                    self.put(hand, range, number(replacement))?;
                }
                Ok(())
            }
            Step::Size => {
                out.extend_from_slice(&self.size.get().to_le_bytes());
                Ok(())
            }
            Step::Notify { address, count } => {
                self.notices.push(Notice { place: out.len(), address, count });
                out.extend_from_slice(&[0; 4]);
                Ok(())
            }
        }
    }

    /// The range's bytes, in `scratch`.
    fn load(&mut self, hand: &mut Hand<'_>, range: ByteRange) -> Result<(), Undone> {
        self.scratch.clear();
        hand.read(range, &mut self.scratch)
    }

    fn put(&self, hand: &mut Hand<'_>, range: ByteRange, number: u64) -> Result<(), Undone> {
        let bytes = number.to_le_bytes();
        hand.apply(&Plan::put(range, bytes.get(..range.length().as_usize()).unwrap_or(&[])))
    }

    fn copy(&mut self, hand: &mut Hand<'_>, from: ByteRange, to: ByteRange) -> Result<(), Undone> {
        let mut slices = Slices::new(from, to, false);
        let mut buffer = mem::take(&mut self.scratch);
        let copied = loop {
            let Some((from, into)) = slices.next(COPY_SLICE) else { break Ok(()) };
            buffer.clear();
            if let Err(why) = hand.read(from, &mut buffer) {
                break Err(why);
            }
            if let Err(why) = hand.apply(&Plan::put(into, &buffer)) {
                break Err(why);
            }
        };
        self.scratch = buffer;
        copied
    }
}

impl Step {
    fn admitted(&self, hand: &Hand<'_>) -> Result<(), Undone> {
        match *self {
            Self::Read(range) | Self::Load(range, _) | Self::Compare(range, _) => {
                hand.admit(range, Use::Read)
            }
            Self::Write(range, _) | Self::Fill(range, _) => hand.admit(range, Use::Write),
            Self::Rmw { range, .. } | Self::Cmpxchg { range, .. } => {
                hand.admit(range, Use::Read)?;
                hand.admit(range, Use::Write)
            }
            Self::Copy(from, to) => {
                hand.admit(from, Use::Read)?;
                hand.admit(to, Use::Write)
            }
            Self::Size | Self::Notify { .. } => Ok(()),
        }
    }
}

/// A copy in slices, from the end that keeps what is still to be read: the first, unless the range
/// moves up over itself.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    rest: Option<(ByteRange, ByteRange)>,
    backwards: bool,
}

impl Slices {
    /// Of one memory, or of two where they are `apart`. Both ranges are of one length.
    #[must_use]
    pub fn new(from: ByteRange, to: ByteRange, apart: bool) -> Self {
        let backwards = !apart && to.start() > from.start() && to.start() < from.end();
        let rest = (from.length() > ByteCount::ZERO).then_some((from, to));
        Self { rest, backwards }
    }

    /// What is copied next, and to where.
    pub fn next(&mut self, slice: ByteCount) -> Option<(ByteRange, ByteRange)> {
        let (from, to) = self.rest?;
        let at = match from.length().checked_sub(slice) {
            Some(before) if self.backwards => before,
            _ if self.backwards => ByteCount::ZERO,
            _ => slice,
        };
        let ((low, high), (low_to, high_to)) = (from.split(at), to.split(at));
        let halves = (Some((low, low_to)).filter(|_| at > ByteCount::ZERO), high.zip(high_to));
        let here = if self.backwards {
            self.rest = halves.0;
            halves.1
        } else {
            self.rest = halves.1;
            halves.0
        };
        here.or(Some((from, to)))
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_leave_what_a_move_at_once_would(
            length in 0..200u64, from in 0..200u64, to in 0..200u64, slice in 1..70u64
        ) {
            let size = ByteCount::new(400);
            let range = |at| ByteRange::within(at, length, size).unwrap();
            let mut bytes: Vec<u8> = (0..=255).cycle().take(400).collect();
            let mut wanted = bytes.clone();
            let at = |count| ByteCount::new(count).as_usize();
            let place = |range: ByteRange| at(range.start())..at(range.end());
            wanted.copy_within(place(range(from)), at(to));
            let mut slices = Slices::new(range(from), range(to), false);
            while let Some((from, to)) = slices.next(ByteCount::new(slice)) {
                prop_assert!(from.length().get() <= slice && from.length() == to.length());
                let moved = bytes[place(from)].to_vec();
                bytes[place(to)].copy_from_slice(&moved);
            }
            prop_assert_eq!(bytes, wanted);
        }
    }
}

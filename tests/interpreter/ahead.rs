//! Loads that are asked for before they are reached.
//!
//! A loop that reads a memory byte by byte is a call a byte, and one call waits for the other. So once a
//! load instruction has been met at addresses in even steps, the daemon is asked for the next ones
//! too, each a load operation of its own, in one group.
//!
//! Law: an answer is used only for the instruction, the memory and the address that it was asked for,
//! and only if no other memory instruction has come between; shared memories are never read ahead. So
//! what a program sees is what it would have seen.

use std::collections::VecDeque;

use crate::value::Value;

/// The load instruction of which it is told: its memory, its body and its place in there.
pub(crate) type Spot = (usize, usize, usize);

/// Even steps before more than one is asked for.
const TRUSTED: u32 = 3;
/// As many as are asked for at once, the first time and at most.
const FEWEST: u64 = 8;
const MOST: u64 = 512;

/// What was asked for of one instruction.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    spot: Spot,
    last: u64,
    stride: i64,
    steps: u32,
    window: u64,
    answers: VecDeque<Value>,
    /// Answers that nobody came for.
    pub(crate) unused: u64,
}

impl Ahead {
    /// Another memory instruction comes.
    pub(crate) fn forget(&mut self) {
        self.unused += self.answers.len() as u64;
        self.answers.clear();
        self.steps = 0;
        self.stride = 0;
    }

    /// The answer, where it is here already.
    pub(crate) fn take(&mut self, spot: Spot, address: u64) -> Option<Value> {
        if self.spot != spot || self.last.checked_add_signed(self.stride) != Some(address) {
            return None;
        }
        let answer = self.answers.pop_front()?;
        self.last = address;
        Some(answer)
    }

    /// The addresses to ask for: this one, and perhaps more. None of them is past `last_address`.
    pub(crate) fn addresses(&mut self, spot: Spot, address: u64, last_address: u64) -> Vec<u64> {
        let stride = address.wrapping_sub(self.last).cast_signed();
        let is_even = self.spot == spot && stride != 0 && stride == self.stride;
        if !is_even {
            self.forget();
            self.window = FEWEST;
        }
        self.steps = if is_even { self.steps + 1 } else { 0 };
        (self.spot, self.last, self.stride) = (spot, address, stride);
        let mut count = 1;
        if self.steps >= TRUSTED {
            count = self.window;
            self.window = MOST.min(self.window * 2);
        }
        let next = |at: &u64| at.checked_add_signed(stride).filter(|next| *next <= last_address);
        let wanted = usize::try_from(count).unwrap_or(1);
        std::iter::successors(Some(address), next).take(wanted).collect()
    }

    /// Keeps the answers for the addresses behind the first.
    pub(crate) fn keep(&mut self, answers: impl IntoIterator<Item = Value>) {
        self.answers.extend(answers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOT: Spot = (1, 2, 3);

    /// One that has answers for 4 to 11, after loads at 0 to 3.
    fn ahead() -> Ahead {
        let mut ahead = Ahead::default();
        for address in [9, 0, 1, 2, 3] {
            assert_eq!(ahead.addresses(SPOT, address, 100), [address]);
        }
        assert_eq!(ahead.addresses(SPOT, 4, 100), [4, 5, 6, 7, 8, 9, 10, 11]);
        ahead.keep((5..12).map(Value::I32));
        ahead
    }

    #[test]
    fn an_answer_is_given_out_once_and_for_its_own_address_only() {
        let mut ahead = ahead();
        assert_eq!(ahead.take(SPOT, 5), Some(Value::I32(5)));
        assert_eq!(ahead.take(SPOT, 5), None);
        assert_eq!(ahead.take(SPOT, 7), None);
        assert_eq!(ahead.take((1, 2, 4), 6), None);
        assert_eq!(ahead.take(SPOT, 6), Some(Value::I32(6)));
    }

    #[test]
    fn another_instruction_forgets_every_answer() {
        let mut ahead = ahead();
        ahead.forget();
        assert_eq!(ahead.take(SPOT, 5), None);
        assert_eq!(ahead.unused, 7);
        assert_eq!(ahead.addresses(SPOT, 5, 100), [5], "and the steps begin anew");
    }

    #[test]
    fn a_jump_of_the_address_forgets_every_answer() {
        let mut ahead = ahead();
        assert_eq!(ahead.addresses(SPOT, 50, 100), [50]);
        assert_eq!(ahead.take(SPOT, 5), None);
    }

    #[test]
    fn nothing_is_asked_for_past_the_last_address() {
        let mut ahead = Ahead::default();
        for address in [90, 0, 30, 60, 90] {
            ahead.addresses(SPOT, address, 150);
        }
        assert_eq!(ahead.addresses(SPOT, 120, 150), [120, 150]);
    }
}

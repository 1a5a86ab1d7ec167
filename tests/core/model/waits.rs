//! The model's part of waiting: what is compared, and in what order a wait is refused. Nobody waits for
//! long here; who is woken is the registry's own tests' and the wire's.

use super::deeds::{Answer, Comparison, Deed};
use super::modelled::{Modelled, refused};
use super::plain::Model;

impl Model {
    /// A wait on what is there, or on something else.
    pub(super) fn wait_for(&self, name: u8, offset: u64, comparison: Comparison) -> Deed {
        let Comparison { is_wide, is_aligned, is_equal } = comparison;
        let width: u8 = if is_wide { 8 } else { 4 };
        let address = if is_aligned { offset & !u64::from(width - 1) } else { offset };
        let bytes = self.0.get(&name).map_or(&[][..], |memory| &memory.bytes);
        let from = usize::try_from(address).unwrap();
        let there = bytes.get(from..).and_then(|bytes| bytes.get(..width.into()));
        let number = there.unwrap_or_default().iter().rev();
        let number = number.fold(0, |number, byte| number << 8 | u64::from(*byte));
        let expected = if is_equal { number } else { number ^ 1 };
        Deed::Wait { name, address, width, expected }
    }
}

impl Modelled {
    fn trapped(&mut self, reason: &str) -> Answer {
        self.seen.trap_count += 1;
        refused(reason)
    }

    pub(super) fn wait(&mut self, address: u64, width: u8, expected: u64) -> Answer {
        if !address.is_multiple_of(width.into()) {
            return self.trapped("UNALIGNED");
        }
        if !self.is_shared {
            return self.trapped("EXPECTED_SHARED");
        }
        match self.usable(address, width.into()) {
            Ok((from, to)) => {
                let expected = expected.to_le_bytes();
                Answer::Waited(self.bytes[from..to] == expected[..width.into()])
            }
            Err(trap) => trap.into(),
        }
    }

    pub(super) fn notify(&mut self, address: u64) -> Answer {
        if !address.is_multiple_of(4) {
            return self.trapped("UNALIGNED");
        }
        self.within(address, 4).map_or_else(Answer::from, |_range| Answer::Woken(0))
    }
}

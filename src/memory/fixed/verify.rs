//! What an arena is, as found out by looking: resident, locked, zero, and fenced.
//!
//! Law: every slot and every guard is looked at, by the kernel's account and by reading; no signal is
//! provoked. One that is not what it has to be ends the start.

use crate::memory::access::{self, Opened};
use crate::memory::allocator::Pages;
use crate::memory::fixed::slot::whole;
use crate::memory::fixed::{Arena, GUARD, Unarranged};
use crate::units::{ByteCount, ByteRange};

/// Bytes looked at in one go.
const LOOK: u64 = 1 << 20;

impl Arena {
    pub(super) fn verify(self: &std::sync::Arc<Self>) -> Result<(), Unarranged> {
        let slots = u64::from(self.slots);
        let locked = self.reservation.locked_bytes()?;
        if locked.get() < self.slot_bytes().get().saturating_mul(slots) {
            // Which of them, the kernel does not say where mappings have merged.
            return Err(Unarranged::Broken { slot: 0, what: "or another is not locked in RAM" });
        }
        for number in 0..self.slots {
            let broken = |what| Err(Unarranged::Broken { slot: number, what });
            let (from, to) = (self.at(number), self.end(number));
            if self.reservation.resident_bytes(from, to)? != self.slot_bytes() {
                return broken("is not resident as a whole");
            }
            if !self.is_zero(number) {
                return broken("is not zero");
            }
            self.reservation.can_be_read(from, to)?;
            let before = from.checked_sub(GUARD).unwrap_or(ByteCount::ZERO);
            let after = to.checked_add(GUARD).unwrap_or(to);
            for (from, to) in [(before, from), (to, after)] {
                if self.reservation.can_be_read(from, to).is_ok() {
                    return broken("has a guard that can be read");
                }
            }
        }
        Ok(())
    }

    fn is_zero(self: &std::sync::Arc<Self>, number: u32) -> bool {
        let Some(slot) = whole(self, number) else { return false };
        let (room, mut bytes) = (slot.room(), Vec::new());
        let mut rest = ByteRange::within(0, room.get(), room).ok();
        while let Some(range) = rest {
            let (here, after) = range.split(ByteCount::new(LOOK));
            bytes.clear();
            if access::append_to(&mut bytes, Opened::of(&slot, room), here).is_err()
                || bytes.iter().any(|byte| *byte != 0)
            {
                return false;
            }
            rest = after;
        }
        true
    }
}

//! [`Refused`]: why the host did not give pages, and [`Going`]: whether anyone still wants them.
//!
//! Law: closed, with the numbers in it; what a caller is told is made of it above.

use crate::os::OsError;
use crate::units::ByteCount;

/// Why there are no fixed memories.
pub const NO_ARENA: &str =
    "no arena was set aside at start; an operator sets fixed.slots in the config";

/// Asked between two slices of slow work; false calls the rest off.
pub type Going<'a> = &'a dyn Fn() -> bool;

/// So much is taken from the host between two looks at [`Going`].
const SLICE: u64 = 16 << 20;

/// Why the host did not give pages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A call was refused.
    #[error(transparent)]
    Host(#[from] OsError),
    /// The process's heap has no block so long.
    #[error(transparent)]
    Heap(OsError),
    /// Every slot of the fixed arena is in use.
    #[error("no slot of the fixed arena is free")]
    FixedSlots,
    /// The pool of huge pages is empty, or there is none.
    #[error("the host has no {wanted} huge pages of {page_bytes}: {error}")]
    HugePages {
        /// The size of one.
        page_bytes: ByteCount,
        /// How many were wanted at once.
        wanted: u64,
        /// What the kernel said.
        error: OsError,
    },
    /// More than the process may lock in RAM.
    #[error("{asked} more cannot be locked in RAM, the limit being {limit}: {error}")]
    LockLimit {
        /// `RLIMIT_MEMLOCK`.
        limit: ByteCount,
        /// How much was asked for.
        asked: ByteCount,
        /// What the kernel said.
        error: OsError,
    },
    /// Taking so much would have the kernel end processes.
    #[error("{asked} more cannot be set aside, {available} being available")]
    NotAvailable {
        /// What the host says is available.
        available: ByteCount,
        /// How much was asked for.
        asked: ByteCount,
    },
    /// The host has not what the spec asks for.
    #[error("{field} = {value}: {why}")]
    NotHere {
        /// The spec's field.
        field: &'static str,
        /// Its value.
        value: String,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// Nobody wants them any more.
    #[error("called off")]
    CalledOff,
}

impl Refused {
    /// That there is no arena.
    #[must_use]
    pub fn no_arena() -> Self {
        Self::NotHere {
            field: "spec.allocator",
            value: "ALLOCATOR_FIXED".to_owned(),
            why: NO_ARENA,
        }
    }

    /// That nothing stays off swap here.
    pub(super) fn swap() -> Self {
        Self::NotHere {
            field: "spec.locking",
            value: "LOCKING_LOCKED_NO_SWAP".to_owned(),
            why: "the host has swap space; an operator can turn it off (swapoff -a), or ask for \
                  LOCKING_LOCKED",
        }
    }
}

/// Does `take` for `[from, to)`, a slice at a time, as long as someone wants it.
pub(super) fn in_slices(
    from: ByteCount,
    to: ByteCount,
    granule: ByteCount,
    going: Going<'_>,
    mut take: impl FnMut(ByteCount, ByteCount) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let slice = SLICE.max(granule.get());
    let mut at = from.get();
    while at < to.get() {
        if !going() {
            return Err(Refused::CalledOff);
        }
        let end = at.saturating_add(slice).min(to.get());
        take(ByteCount::new(at), ByteCount::new(end))?;
        at = end;
    }
    Ok(())
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn slices_cover_the_range_and_stop_when_nobody_wants_it() {
        let (from, to) = (ByteCount::new(4096), ByteCount::new(40 << 20));
        let mut taken = Vec::new();
        let mut take = |from: ByteCount, to: ByteCount| {
            taken.push((from.get(), to.get()));
            Ok(())
        };
        in_slices(from, to, ByteCount::new(65_536), &|| true, &mut take).unwrap();
        assert_eq!(
            taken,
            [
                (4096, (16 << 20) + 4096),
                ((16 << 20) + 4096, (32 << 20) + 4096),
                ((32 << 20) + 4096, 40 << 20)
            ]
        );
        let looks = Cell::new(0);
        let going = || looks.replace(looks.get() + 1) < 1;
        let mut slices = 0;
        let outcome = in_slices(from, to, ByteCount::new(65_536), &going, |_, _| {
            slices += 1;
            Ok(())
        });
        assert_eq!((outcome, slices), (Err(Refused::CalledOff), 1));
    }
}

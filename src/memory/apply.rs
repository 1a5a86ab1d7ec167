//! Carries plans out: begin, bytes, end. The only place where a memory's bytes change.
//!
//! Law: what a plan will touch is noted before its first byte, so that a wipe always reaches it,
//! even where the host fails in the middle. Here alone the page map is kept, and here redo and
//! snapshots will hook in. Checks nothing that the plan has checked.

use crate::memory::access::{self, NotMoved, Opened};
use crate::memory::allocator::Pages;
use crate::memory::plan::{Change, Plan};
use crate::os::OsError;
use crate::units::{ByteCount, ByteRange};

/// Carries a plan out; `note` keeps the page map.
pub(super) fn apply(
    opened: Opened<'_>,
    note: impl FnOnce(ByteRange),
    plan: &Plan<'_>,
) -> Result<(), NotMoved> {
    note(plan.range());
    bytes(opened, plan)
}

/// Zeros a range: whole host pages by the kernel, where `give_back` takes their RAM back, the rest by
/// stores. How many bytes of RAM went back.
pub(super) fn discard(
    opened: Opened<'_>,
    note: impl FnOnce(ByteRange),
    host_page: ByteCount,
    give_back: impl FnOnce(ByteCount, ByteCount) -> Result<bool, OsError>,
    range: ByteRange,
) -> Result<ByteCount, NotMoved> {
    note(range);
    let (before, whole, after) = range.around(host_page);
    access::set(opened, before, 0)?;
    access::set(opened, after, 0)?;
    let Some(whole) = whole else { return Ok(ByteCount::ZERO) };
    let (from, to) = (ByteCount::new(whole.start()), ByteCount::new(whole.end()));
    match give_back(from, to) {
        Ok(true) => Ok(whole.length()),
        // What the kernel does not take is zero all the same.
        Ok(false) | Err(_) => access::set(opened, whole, 0).map(|()| ByteCount::ZERO),
    }
}

/// Puts the bytes of a range where a memory is moving to; `note` keeps the page map there.
pub(super) fn carry(
    from: Opened<'_>,
    to: Opened<'_>,
    note: impl FnOnce(ByteRange),
    range: ByteRange,
) -> Result<(), NotMoved> {
    note(range);
    access::carry(from, to, range)
}

/// Gives the RAM of whole host pages back, which are zero then; how much of them was in RAM. None, and
/// nothing done, where this gives none back: nothing is stored for it.
pub(super) fn purge(pages: &dyn Pages, range: ByteRange) -> Result<Option<ByteCount>, OsError> {
    let (from, to) = (ByteCount::new(range.start()), ByteCount::new(range.end()));
    // Where the host does not say, all of it.
    let resident = pages.resident(from, to).unwrap_or(range.length());
    Ok(pages.discard(from, to)?.then_some(resident))
}

fn bytes(opened: Opened<'_>, plan: &Plan<'_>) -> Result<(), NotMoved> {
    match plan.0 {
        Change::Fill { range, value } => access::set(opened, range, value),
        Change::Write { range, sources } => {
            let mut rest = Some(range);
            for source in sources.pieces() {
                let Some(range) = rest else { break };
                let (here, after) = range.split(ByteCount::of(source));
                access::put(opened, here, source)?;
                rest = after;
            }
            Ok(())
        }
    }
}

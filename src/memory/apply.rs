//! Carries plans out: begin, bytes, end. The only place where a memory's bytes change.
//!
//! Law: what a plan will touch is noted before its first byte, so that a wipe always reaches it,
//! even where the host fails in the middle. Here alone the page map is kept, and here redo and
//! snapshots will hook in. Checks nothing that the plan has checked.

use crate::memory::access::{self, NotMoved};
use crate::memory::allocator::Pages;
use crate::memory::page_map::PageMap;
use crate::memory::plan::{Change, Plan};
use crate::units::ByteCount;

pub(super) fn apply(
    pages: &dyn Pages,
    opened: ByteCount,
    touched: &PageMap,
    plan: &Plan<'_>,
) -> Result<(), NotMoved> {
    begin(touched, plan);
    bytes(pages, opened, plan)
}

fn begin(touched: &PageMap, plan: &Plan<'_>) {
    touched.note(plan.range());
}

fn bytes(pages: &dyn Pages, opened: ByteCount, plan: &Plan<'_>) -> Result<(), NotMoved> {
    match plan.0 {
        Change::Fill { range, value } => access::set(pages, opened, range, value),
        Change::Write { range, sources } => {
            let mut rest = Some(range);
            for source in sources.pieces() {
                let Some(range) = rest else { break };
                let (here, after) = range.split(ByteCount::of(source));
                access::put(pages, opened, here, source)?;
                rest = after;
            }
            Ok(())
        }
    }
}

//! Carries plans out: begin, bytes, end. The only place where a memory's bytes change.
//!
//! Law: what a plan will touch is noted before its first byte, so that a wipe always reaches it,
//! even where the host fails in the middle. Here alone the page map is kept, and here redo and
//! snapshots will hook in. Checks nothing that the plan has checked.

use crate::memory::access::{self, NotMoved};
use crate::memory::allocator::Pages;
use crate::memory::page_map::PageMap;
use crate::memory::plan::{Change, Plan};
use crate::units::{ByteCount, ByteRange};

pub(super) fn apply(
    pages: &dyn Pages,
    opened: ByteCount,
    touched: &PageMap,
    plan: &Plan<'_>,
) -> Result<(), NotMoved> {
    begin(touched, plan);
    bytes(pages, opened, plan)
}

/// Zeros a range: whole host pages by the kernel, where it takes their RAM back, the rest by stores.
/// How many bytes of RAM went back.
pub(super) fn discard(
    pages: &dyn Pages,
    opened: ByteCount,
    touched: &PageMap,
    range: ByteRange,
) -> Result<ByteCount, NotMoved> {
    touched.note(range);
    let (before, whole, after) = range.around(pages.host_page());
    access::set(pages, opened, before, 0)?;
    access::set(pages, opened, after, 0)?;
    let Some(whole) = whole else { return Ok(ByteCount::ZERO) };
    let (from, to) = (ByteCount::new(whole.start()), ByteCount::new(whole.end()));
    match pages.discard(from, to) {
        Ok(true) => Ok(whole.length()),
        // What the kernel does not take is zero all the same.
        Ok(false) | Err(_) => access::set(pages, opened, whole, 0).map(|()| ByteCount::ZERO),
    }
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

//! Carries plans out: begin, bytes, end. The only place where a memory's bytes change.
//!
//! Law: what a plan will touch is noted before its first byte, so that a wipe always reaches it,
//! even where the host fails in the middle. Here the host page map is kept once ranges are recycled
//! (`begin` marks, `end` seals), and here redo and snapshots will hook in. Checks nothing that the
//! plan has checked.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::access::{self, NotMoved};
use crate::memory::allocator::Pages;
use crate::memory::plan::{Change, Plan};
use crate::units::{ByteCount, ByteRange};

/// How far a memory has ever been written: the coarsest host page map, one extent from 0.
#[derive(Debug, Default)]
pub(super) struct Touched(AtomicU64);

impl Touched {
    /// Everything at or past this byte is as the kernel first gave it.
    pub(super) fn extent(&self) -> ByteCount {
        ByteCount::new(self.0.load(Ordering::Acquire))
    }

    fn note(&self, range: ByteRange) {
        if range.length() > ByteCount::ZERO && range.end() > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(range.end(), Ordering::AcqRel);
        }
    }
}

pub(super) fn apply(
    pages: &dyn Pages,
    opened: ByteCount,
    touched: &Touched,
    plan: &Plan<'_>,
) -> Result<(), NotMoved> {
    begin(touched, plan);
    bytes(pages, opened, plan)
}

fn begin(touched: &Touched, plan: &Plan<'_>) {
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

//! Carries plans out: begin, bytes, end. The only place where a memory's bytes change.
//!
//! Law: what a plan will touch is noted before its first byte, so that a wipe always reaches it,
//! even where the host fails in the middle. Here alone the page map, the checksums and the shadow
//! copy are kept, and here redo and snapshots will hook in. A page that is changed in part is verified
//! first, and its new checksum is made of that copy and the sources, never of what lies in RAM: so
//! that no damage is ever made good. Checks nothing that the plan has checked.

use std::slice;

use bytes::Bytes;

use crate::checksum::{Crc64, crc64};
use crate::memory::access::{self, NotMoved, Opened};
use crate::memory::allocator::Pages;
use crate::memory::integrity::{Copies, Integrity};
use crate::memory::page_map::PageMap;
use crate::memory::plan::{Change, Plan};
use crate::memory::undone::{Undone, fault};
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

/// The same of a memory that keeps what its bytes are known by.
pub(super) fn apply_verified(
    integrity: &Integrity,
    copies: Copies<'_>,
    touched: &PageMap,
    plan: &Plan<'_>,
) -> Result<(), Undone> {
    let edges = Edges::verified(integrity, copies, plan.range())?;
    touched.note(plan.range());
    let lost = |not_moved| fault(plan.range(), not_moved);
    bytes(copies.own, plan).map_err(lost)?;
    if let Some(shadow) = copies.shadow {
        bytes(shadow, plan).map_err(lost)?;
    }
    end(integrity, &edges, plan);
    Ok(())
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

/// [`discard`] of a memory that keeps what its bytes are known by.
pub(super) fn discard_verified(
    integrity: &Integrity,
    copies: Copies<'_>,
    touched: &PageMap,
    give_back: impl FnOnce(ByteCount, ByteCount) -> Result<bool, OsError>,
    range: ByteRange,
) -> Result<ByteCount, Undone> {
    let (before, whole, after) = range.around(integrity.checksums.host_page());
    for part in [before, after] {
        apply_verified(integrity, copies, touched, &Plan::fill(part, 0))?;
    }
    let Some(whole) = whole else { return Ok(ByteCount::ZERO) };
    let (from, to) = (ByteCount::new(whole.start()), ByteCount::new(whole.end()));
    match give_back(from, to) {
        Ok(true) => {
            integrity.checksums.forget(whole);
            Ok(whole.length())
        }
        Ok(false) | Err(_) => {
            let zero = Plan::fill(whole, 0);
            apply_verified(integrity, copies, touched, &zero).map(|()| ByteCount::ZERO)
        }
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

/// Gives the RAM of whole host pages back, which are zero then, in every copy, and known as never
/// written; how much of them was in RAM. None, and nothing done, where this gives none back: nothing is
/// stored for it.
pub(super) fn purge(
    pages: &dyn Pages,
    integrity: Option<&Integrity>,
    range: ByteRange,
) -> Result<Option<ByteCount>, OsError> {
    let (from, to) = (ByteCount::new(range.start()), ByteCount::new(range.end()));
    // Where the host does not say, all of it.
    let resident = pages.resident(from, to).unwrap_or(range.length());
    if !pages.discard(from, to)? {
        return Ok(None);
    }
    if let Some(integrity) = integrity {
        integrity.checksums.forget(range);
    }
    Ok(Some(resident))
}

fn bytes(opened: Opened<'_>, plan: &Plan<'_>) -> Result<(), NotMoved> {
    match plan.0 {
        Change::Fill { range, value } => access::set(opened, range, value),
        Change::Put { range, bytes } => access::put(opened, range, bytes),
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

/// Copies of the first and the last host page of a range, where it has only a part of them, as they
/// were before.
struct Edges {
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Edges {
    fn verified(
        integrity: &Integrity,
        copies: Copies<'_>,
        range: ByteRange,
    ) -> Result<Self, Undone> {
        let host_page = integrity.checksums.host_page();
        let mut edges = Self { first: Vec::new(), last: Vec::new() };
        let (begin, rest) = range.split_at_multiple(host_page);
        if begin.length() > ByteCount::ZERO && begin.length() < host_page {
            let page = begin.start().checked_div(host_page.get()).unwrap_or(0);
            integrity.page(copies, page, &mut edges.first)?;
        }
        let end = rest.map_or(0, ByteRange::end);
        if !end.is_multiple_of(host_page.get()) {
            let page = end.checked_div(host_page.get()).unwrap_or(0);
            integrity.page(copies, page, &mut edges.last)?;
        }
        Ok(edges)
    }
}

/// Notes the checksums of all that a plan has changed.
fn end(integrity: &Integrity, edges: &Edges, plan: &Plan<'_>) {
    let host_page = integrity.checksums.host_page();
    let mut new = New::of(plan, host_page);
    let mut old = &edges.first;
    for (page, part) in integrity.parts(plan.range()) {
        let crc = match new.whole_page().filter(|_| part.length() == host_page) {
            Some(crc) => crc,
            None => {
                let kept = if part.length() < host_page { old.as_slice() } else { &[] };
                let begin = part.start().checked_rem(host_page.get()).unwrap_or(0);
                let begin = ByteCount::new(begin).as_usize();
                let past = begin.saturating_add(part.length().as_usize());
                let mut crc = Crc64::new();
                crc.update(kept.get(..begin).unwrap_or_default());
                new.take(part.length().as_usize(), &mut crc);
                crc.update(kept.get(past..).unwrap_or_default());
                crc.value()
            }
        };
        integrity.store(page, crc);
        old = &edges.last;
    }
}

/// The bytes of a plan, from its first to its last.
enum New<'a> {
    Write { pieces: slice::Iter<'a, Bytes>, here: &'a [u8] },
    Fill { page: Vec<u8>, crc: u64 },
}

impl<'a> New<'a> {
    fn of(plan: &Plan<'a>, host_page: ByteCount) -> Self {
        match plan.0 {
            Change::Write { sources, .. } => {
                Self::Write { pieces: sources.pieces().iter(), here: &[] }
            }
            Change::Put { bytes, .. } => Self::Write { pieces: [].iter(), here: bytes },
            Change::Fill { value, .. } => {
                let page = vec![value; host_page.as_usize()];
                let crc = crc64(&page);
                Self::Fill { page, crc }
            }
        }
    }

    /// The checksum of the next host page, where it is known.
    const fn whole_page(&self) -> Option<u64> {
        match self {
            Self::Fill { crc, .. } => Some(*crc),
            Self::Write { .. } => None,
        }
    }

    /// Adds the next bytes, a host page of them at most.
    fn take(&mut self, count: usize, crc: &mut Crc64) {
        match self {
            Self::Fill { page, .. } => crc.update(page.get(..count).unwrap_or_default()),
            Self::Write { pieces, here } => {
                let mut left = count;
                while left > 0 {
                    if here.is_empty() {
                        let Some(next) = pieces.next() else { return };
                        *here = next;
                        continue;
                    }
                    let (now, after) = here.split_at(left.min(here.len()));
                    crc.update(now);
                    left = left.saturating_sub(now.len());
                    *here = after;
                }
            }
        }
    }
}

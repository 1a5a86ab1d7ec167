//! [`Integrity`]: what a memory keeps to know its bytes by: a checksum of each host page and, beside
//! its pages, a shadow copy of them.
//!
//! Law: the bytes that are given out are those that were verified: a host page is copied out once, and
//! it is that copy which is checked. Nothing is repaired. Checksums change in `apply.rs` alone.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::checksum::crc64;
use crate::memory::access::{self, Opened};
use crate::memory::allocator::Pages;
use crate::memory::checksums::{Checksums, sum};
use crate::memory::undone::{Fault, Undone, fault};
use crate::model::Verification;
use crate::units::{ByteCount, ByteRange};

/// Into so many parts SAMPLING divides the pages; one is checked at a time.
pub(super) const PARTS: u8 = 16;

/// Which copy of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replica {
    /// The memory's own.
    Memory,
    /// The shadow.
    Shadow,
}

/// A host page that is not what was stored there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// Its number, from 0.
    pub page: u64,
    /// Its bytes.
    pub range: ByteRange,
    /// Which copy of it.
    pub replica: Replica,
    /// What its checksum must be.
    pub wanted: u64,
    /// What it is.
    pub found: u64,
}

/// The open bytes of a memory, and the second copy of them where there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copies<'a> {
    pub(super) own: Opened<'a>,
    pub(super) shadow: Option<Opened<'a>>,
}

impl<'a> Copies<'a> {
    /// The first `length` bytes of these pages.
    pub(super) fn of(pages: &'a dyn Pages, length: ByteCount) -> Self {
        let shadow = pages.shadow().map(|shadow| Opened::of(shadow, length));
        Self { own: Opened::of(pages, length), shadow }
    }
}

/// What is kept of a memory's pages.
#[derive(Debug)]
pub(super) struct Integrity {
    pub(super) checksums: Checksums,
    checks_reads: bool,
    /// Which part is next, where pages are sampled.
    part: Option<AtomicU8>,
}

impl Integrity {
    /// What is kept at this level; none where nothing is.
    pub(super) fn of(
        verification: Verification,
        room: ByteCount,
        host_page: ByteCount,
    ) -> Option<Self> {
        verification.keeps_checksums().then(|| Self {
            checksums: Checksums::new(room, host_page),
            checks_reads: verification.checks_reads(),
            part: (verification == Verification::Sampling).then(AtomicU8::default),
        })
    }

    /// Whether nothing is read that was not verified.
    pub(super) const fn checks_reads(&self) -> bool {
        self.checks_reads
    }

    /// The part that is to be checked next; none: all of them.
    pub(super) fn part(&self) -> Option<u8> {
        self.part.as_ref().map(|part| part.load(Ordering::Acquire))
    }

    /// A part has been checked to its end.
    pub(super) fn checked(&self, part: Option<u8>) {
        if let (Some(next), Some(part)) = (&self.part, part) {
            let after = part.wrapping_add(1).checked_rem(PARTS).unwrap_or(0);
            // Of two that checked the same part one moves on.
            let _other = next.compare_exchange(part, after, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// The part of a page. Neighbours, and pages at any even distance, are of different parts.
    pub(super) const fn part_of(page: u64) -> u8 {
        // The golden ratio in 64 bits; its upper four of the product.
        (page.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60) as u8
    }

    /// Appends the range's bytes to `out`, once all of their host pages were verified; its length is
    /// unchanged on failure.
    pub(super) fn read(
        &self,
        copies: Copies<'_>,
        range: ByteRange,
        out: &mut Vec<u8>,
    ) -> Result<(), Undone> {
        let before = out.len();
        // A page more, and its shadow, are there for a moment.
        let beside = self.checksums.host_page().get().saturating_mul(2);
        let room = range.length().get().saturating_add(beside);
        out.reserve(ByteCount::new(room).as_usize());
        let read = self.parts(range).try_for_each(|(page, part)| {
            let at = out.len();
            let whole = self.page(copies, page, out)?;
            let length = part.length().as_usize();
            let skipped = ByteCount::new(part.start().saturating_sub(whole.start())).as_usize();
            let from = at.saturating_add(skipped);
            if skipped > 0 {
                out.copy_within(from..from.saturating_add(length), at);
            }
            out.truncate(at.saturating_add(length));
            Ok(())
        });
        if read.is_err() {
            out.truncate(before);
        }
        read
    }

    /// Appends a host page to `out`, if it is what was stored. Where it lies.
    pub(super) fn page(
        &self,
        copies: Copies<'_>,
        page: u64,
        out: &mut Vec<u8>,
    ) -> Result<ByteRange, Undone> {
        let whole = self.place(page, copies.own.length())?;
        let at = out.len();
        access::append_to(out, copies.own, whole).map_err(|lost| fault(whole, lost))?;
        let wanted = self.checksums.wanted(page);
        let verified = |replica, bytes: &[u8]| {
            let (wanted, found) = (wanted.get(), sum(crc64(bytes)).get());
            let corruption = Corruption { page, range: whole, replica, wanted, found };
            if wanted == found { Ok(()) } else { Err(Undone::Corrupted(corruption)) }
        };
        verified(Replica::Memory, out.get(at..).unwrap_or_default())?;
        if let Some(shadow) = copies.shadow {
            let end = out.len();
            access::append_to(out, shadow, whole).map_err(|lost| fault(whole, lost))?;
            let (own, copy) = out.get(at..).unwrap_or_default().split_at(end.saturating_sub(at));
            if own != copy {
                verified(Replica::Shadow, copy)?;
            }
            out.truncate(end);
        }
        Ok(whole)
    }

    /// The range's host pages: the number of each, and which of its bytes are of the range.
    pub(super) fn parts(&self, range: ByteRange) -> impl Iterator<Item = (u64, ByteRange)> {
        let host_page = self.checksums.host_page();
        let mut rest = Some(range).filter(|range| range.length() > ByteCount::ZERO);
        std::iter::from_fn(move || {
            let (here, after) = rest?.split_at_multiple(host_page);
            rest = after;
            Some((here.start().checked_div(host_page.get())?, here))
        })
    }

    fn place(&self, page: u64, opened: ByteCount) -> Result<ByteRange, Fault> {
        let length = self.checksums.host_page().get();
        let offset = page.saturating_mul(length);
        ByteRange::within(offset, length, opened).map_err(|_past| Fault { offset, count: length })
    }

    /// A page of these bytes has been stored.
    pub(super) fn store(&self, page: u64, crc: u64) -> NonZeroU64 {
        let sum = sum(crc);
        self.checksums.set(page, sum);
        sum
    }
}

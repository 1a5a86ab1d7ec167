//! [`Scan`]: checks what is stored against what is kept for it, a slice at a time.
//!
//! Law: only host pages that have been written are read, so that none becomes resident by it; those
//! that the tenant has protected from every access are left out and counted. Ends at the first page
//! that is wrong. Whoever scans keeps writes away from the first slice to the last.

use crate::memory::inspect::{Check, Finding, Outcome};
use crate::memory::integrity::{Copies, Corruption, Integrity, Replica};
use crate::memory::linear::LinearMemory;
use crate::memory::undone::Undone;
use crate::model::Verification;
use crate::units::{ByteCount, ByteRange};

/// How far a memory's pages have been checked.
#[derive(Debug)]
pub struct Scan {
    /// Where it goes on, in bytes.
    at: u64,
    /// Only pages of this part.
    part: Option<u8>,
    page: Vec<u8>,
    /// Pages that have been written.
    pub pages: u64,
    /// Those of them that were read.
    pub checked: u64,
    /// Those that may not be read.
    pub shut: u64,
    /// The first that is not what was stored.
    pub bad: Option<Corruption>,
    /// The first that a wipe would not have reached.
    unnoted: Option<u64>,
}

impl Scan {
    /// Of this memory; none where nothing is kept of its pages.
    #[must_use]
    pub fn begin(memory: &LinearMemory) -> Option<Self> {
        let part = memory.integrity()?.part();
        let (page, bad, unnoted) = (Vec::new(), None, None);
        Some(Self { at: 0, part, page, pages: 0, checked: 0, shut: 0, bad, unnoted })
    }

    /// Checks pages within the next `slice` bytes that were written. Whether that was the last.
    ///
    /// # Errors
    /// [`Undone`] where the host failed under a page.
    pub fn some(&mut self, memory: &LinearMemory, slice: ByteCount) -> Result<bool, Undone> {
        let (Some(integrity), size) = (memory.integrity(), memory.size().bytes()) else {
            return Ok(true);
        };
        let host_page = integrity.checksums.host_page();
        let left = size.get().saturating_sub(self.at);
        let Ok(range) = ByteRange::within(self.at, left, size) else { return Ok(true) };
        let mut looked_at = 0_u64;
        for page in integrity.checksums.touched(range) {
            if looked_at >= slice.get() {
                self.at = page.saturating_mul(host_page.get());
                return Ok(false);
            }
            looked_at = looked_at.saturating_add(host_page.get());
            self.look_at(memory, integrity, page)?;
            if self.bad.is_some() {
                return Ok(true);
            }
        }
        integrity.checked(self.part);
        Ok(true)
    }

    fn look_at(
        &mut self,
        memory: &LinearMemory,
        integrity: &Integrity,
        page: u64,
    ) -> Result<(), Undone> {
        let host_page = integrity.checksums.host_page();
        let at = ByteCount::new(page.saturating_mul(host_page.get()));
        self.pages = self.pages.saturating_add(1);
        if self.unnoted.is_none() && !memory.written.has(at) {
            self.unnoted = Some(page);
        }
        if self.part.is_some_and(|part| part != Integrity::part_of(page)) {
            return Ok(());
        }
        if memory.is_shut(at, host_page) {
            self.shut = self.shut.saturating_add(1);
            return Ok(());
        }
        self.page.clear();
        let copies = Copies::of(&*memory.pages, memory.size().bytes());
        match integrity.page(copies, page, &mut self.page) {
            Ok(_place) => self.checked = self.checked.saturating_add(1),
            Err(Undone::Corrupted(corruption)) => {
                self.checked = self.checked.saturating_add(1);
                self.bad = Some(corruption);
            }
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// What came of it.
    #[must_use]
    pub fn findings(&self, verification: Verification) -> Vec<Finding> {
        let page_map = self.unnoted.map_or(Outcome::Passed, |page| {
            Outcome::Failed(format!("host page {page} has a checksum and is not noted as written"))
        });
        let of = |replica| match self.bad.filter(|bad| bad.replica == replica) {
            None => Outcome::Passed,
            Some(Corruption { page, range, wanted, found, .. }) => Outcome::Failed(format!(
                "host page {page} at offset {} has the CRC-64 {found:#018x}, not {wanted:#018x}",
                range.start()
            )),
        };
        let mut findings = vec![
            Finding { check: Check::PageMap, outcome: page_map },
            Finding { check: Check::Checksums, outcome: of(Replica::Memory) },
        ];
        if verification.copies() > 1 {
            findings.push(Finding { check: Check::ShadowCopy, outcome: of(Replica::Shadow) });
        }
        findings
    }
}

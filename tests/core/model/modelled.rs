//! One memory of the model: a plain vector, and what the contract says of each byte and each access.

use super::deeds::{Answer, Seen};

pub(super) const PAGE: u64 = 65_536;
const HOST_PAGE: usize = 4096;

/// What becomes of a byte: it stays, it went, or it may go, with that age.
pub(super) const STAYS: u32 = 0;
pub(super) const WENT: u32 = 1;

pub(super) struct Modelled {
    pub(super) bytes: Vec<u8>,
    pub(super) is_shared: bool,
    /// One for each byte.
    pub(super) fates: Vec<u32>,
    /// What growth may reach.
    pub(super) most: u64,
    /// Whether it is charged for that from the start.
    pub(super) is_paid: bool,
    /// Whether growth is a move, for which there are two of it.
    pub(super) moves: bool,
    /// Whether its pages are the kernel's to take back.
    pub(super) may_go: bool,
    /// How many copies of it are charged.
    pub(super) copies: u64,
    pub(super) reserved: u64,
    /// Which 64ths of the maximum were accessed.
    pub(super) regions: std::collections::BTreeSet<u64>,
    pub(super) seen: Seen,
}

/// Why an access does not happen.
pub(super) enum Trap {
    /// An access outside a memory of this size, in bytes.
    Outside(u64),
    /// An access of bytes that went.
    Purged,
}

impl From<Trap> for Answer {
    fn from(trap: Trap) -> Self {
        match trap {
            Trap::Outside(size) => Self::Refused("OUT_OF_BOUNDS".to_owned(), Some(size)),
            Trap::Purged => refused("PURGED"),
        }
    }
}

pub(super) fn refused(reason: &str) -> Answer {
    Answer::Refused(reason.to_owned(), None)
}

impl Modelled {
    pub(super) fn committed(&self) -> u128 {
        if self.is_paid {
            u128::from(self.most) * u128::from(PAGE)
        } else {
            self.bytes.len() as u128 * u128::from(self.copies)
        }
    }

    pub(super) fn seen(&self) -> Seen {
        Seen { size_pages: self.bytes.len() as u64 / PAGE, ..self.seen.clone() }
    }

    pub(super) fn within(&mut self, offset: u64, length: u64) -> Result<(usize, usize), Trap> {
        let (size, end) = (self.bytes.len() as u64, u128::from(offset) + u128::from(length));
        if end > u128::from(size) {
            self.seen.trap_count += 1;
            return Err(Trap::Outside(size));
        }
        Ok((usize::try_from(offset).unwrap(), usize::try_from(end).unwrap()))
    }

    pub(super) fn admit(&mut self, from: usize, to: usize) -> Result<(), Trap> {
        if self.fates[from..to].contains(&WENT) {
            self.seen.trap_count += 1;
            return Err(Trap::Purged);
        }
        Ok(())
    }

    /// A range that can be accessed.
    pub(super) fn usable(&mut self, offset: u64, length: u64) -> Result<(usize, usize), Trap> {
        let (from, to) = self.within(offset, length)?;
        self.admit(from, to).map(|()| (from, to))
    }

    pub(super) fn volatile(&mut self, offset: u64, length: u64, fate: u32) -> Answer {
        let (from, to) = match self.within(offset, length) {
            Ok(range) => range,
            Err(trap) => return trap.into(),
        };
        if !self.may_go {
            // Those of the heap and of the arena are never purged.
            return Answer::WasPurged(false);
        }
        let fates = &mut self.fates[from..to];
        let was_purged = fates.contains(&WENT);
        for old in fates.iter_mut().filter(|old| **old != WENT || fate == STAYS) {
            *old = fate;
        }
        Answer::WasPurged(was_purged)
    }

    /// Whole host pages of one age go; how many bytes.
    pub(super) fn purge(&mut self) -> u64 {
        let page = HOST_PAGE;
        let pages = self.fates.chunks_mut(page).zip(self.bytes.chunks_mut(page));
        let mut gone = 0;
        for (fates, bytes) in pages {
            if fates[0] > WENT && fates.iter().all(|fate| *fate == fates[0]) {
                fates.fill(WENT);
                bytes.fill(0);
                gone += bytes.len() as u64;
            }
        }
        gone
    }

    pub(super) fn read(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, Trap> {
        let (from, to) = self.usable(offset, length)?;
        self.was_read(from, to);
        Ok(self.bytes[from..to].to_vec())
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Trap> {
        let length = data.len() as u64;
        let (from, to) = self.usable(offset, length)?;
        self.bytes[from..to].copy_from_slice(data);
        self.was_written(from, to);
        Ok(())
    }

    pub(super) fn fill(&mut self, offset: u64, length: u64, value: u8) -> Answer {
        match self.usable(offset, length) {
            Ok((from, to)) => {
                self.bytes[from..to].fill(value);
                self.was_written(from, to);
                Answer::Done
            }
            Err(trap) => trap.into(),
        }
    }

    pub(super) fn was_read(&mut self, from: usize, to: usize) {
        self.seen.read_count += 1;
        self.seen.read_bytes += (to - from) as u64;
        self.was_accessed(from as u64, to as u64);
    }

    fn was_written(&mut self, from: usize, to: usize) {
        self.seen.write_count += 1;
        self.seen.write_bytes += (to - from) as u64;
        self.was_accessed(from as u64, to as u64);
    }

    fn was_accessed(&mut self, from: u64, to: u64) {
        self.seen.largest_access_bytes = self.seen.largest_access_bytes.max(to - from);
        self.seen.last_access = Some((from, to - from));
        let region = |at: u64| at * 64 / (self.seen.maximum_pages * PAGE);
        if from < to {
            self.regions.extend(region(from)..=region(to - 1));
        }
        self.seen.distinct_regions = u32::try_from(self.regions.len()).unwrap();
    }

    pub(super) fn reset(&mut self) {
        let Seen { name, display_name, maximum_pages, .. } = std::mem::take(&mut self.seen);
        self.seen = Seen { name, display_name, maximum_pages, ..Seen::default() };
        self.regions.clear();
    }
}

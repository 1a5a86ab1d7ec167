//! Which ranges of a [`LinearMemory`] may lose their bytes, since when, and which have.
//!
//! ```text
//! HELD, of an age ──purge: whole host pages──> PURGED ──nobody's wish but NONVOLATILE──> neither
//!   ^ VOLATILE again: a new age                  ^ VOLATILE again: stays
//! ```
//!
//! Law: an age is whatever number the caller counts by; bytes made volatile in one go have one age.
//! What has been purged is zero, and every access of it is refused until someone has been told. Only
//! what gives RAM back is purged, in the second copy as well: never by stores, and whatever a range's
//! protection, which says what clients may do. Who may call what at the same time is the lock's business.

use std::sync::{PoisonError, RwLock};

use crate::memory::apply;
use crate::memory::linear::LinearMemory;
use crate::memory::ranges::{Ranges, TooMany};
use crate::os::OsError;
use crate::units::{ByteCount, ByteRange};

/// What a purge may make of a memory's ranges: a part that is purged splits one into three at most.
const MOST_PARTS: usize = 3 * crate::memory::MOST_RANGES;

/// Where the bytes may go.
#[derive(Debug, Default)]
pub(super) struct Volatile(RwLock<Ranges<Fate>>);

/// What is to become of bytes, or became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// They may go, in order of this number.
    Held(u64),
    /// They went, and nobody has been told.
    Purged,
}

/// An access of bytes that were purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// The first such byte.
    pub offset: u64,
    /// How many of them the access has in a row.
    pub length: u64,
}

/// It would be more than [`crate::memory::MOST_RANGES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyVolatile;

/// A range was made volatile, or not volatile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Whether any byte of it had been purged.
    pub was_purged: bool,
    /// Whether any byte of it has the new age: what has been purged has none.
    pub is_held: bool,
    /// Ages that no byte of the memory has any more.
    pub over: Vec<u64>,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeStep {
    /// So much of an age went, of which so much was in RAM.
    Gone {
        /// What can no longer be read.
        range: ByteRange,
        /// What of it was in RAM and went back to the host.
        given_back: ByteCount,
        /// Whether there is more of that age here that could go.
        more: bool,
    },
    /// There is nothing of that age here that could go.
    Nothing,
}

impl Volatile {
    fn now(&self) -> Ranges<Fate> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, then: Ranges<Fate>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = then;
    }

    /// The first bytes of an access that have been purged.
    pub(super) fn against(&self, range: ByteRange) -> Option<Purged> {
        let ranges = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (found, _) = ranges.first(range, |fate| fate == Fate::Purged)?;
        Some(Purged { offset: found.start(), length: found.length().get() })
    }
}

impl LinearMemory {
    /// How many more ranges are to be paid for before [`Self::set_volatile`].
    ///
    /// # Errors
    /// [`TooManyVolatile`].
    pub fn volatile_costs(
        &self,
        range: ByteRange,
        age: Option<u64>,
    ) -> Result<usize, TooManyVolatile> {
        let (now, then) = self.wish(range, age)?;
        Ok(then.more_than(&now))
    }

    /// Lets a range's bytes go from now on, in order of that age, or has them stay. What has been
    /// purged stays so until it is to stay; then it is zero.
    ///
    /// # Errors
    /// [`TooManyVolatile`]: it is as it was.
    pub fn set_volatile(
        &self,
        range: ByteRange,
        age: Option<u64>,
    ) -> Result<Remembered, TooManyVolatile> {
        let (now, then) = self.wish(range, age)?;
        let was_purged = now.first(range, |fate| fate == Fate::Purged).is_some();
        let left = ages(&then);
        let is_held = age.is_some_and(|age| left.contains(&age));
        let over = ages(&now).into_iter().filter(|age| !left.contains(age)).collect();
        if self.kept.get().is_some() || then.len() > 0 {
            self.kept.get_or_init(Box::default).volatile.set(then);
        }
        Ok(Remembered { was_purged, is_held, over })
    }

    /// The ages that bytes of it have.
    #[must_use]
    pub fn ages(&self) -> Vec<u64> {
        self.kept.get().map(|kept| ages(&kept.volatile.now())).unwrap_or_default()
    }

    /// Purges some of what has that age: whole host pages, `at_most` bytes of them or one.
    ///
    /// # Errors
    /// [`OsError`]: nothing of it went. The kernel refuses such a call before its first page.
    pub fn purge(&self, age: u64, at_most: ByteCount) -> Result<PurgeStep, OsError> {
        let Some(kept) = self.kept.get() else { return Ok(PurgeStep::Nothing) };
        let page = self.pages.host_page();
        let at_most = at_most.max(page).checked_round_up(page).unwrap_or(at_most);
        let now = kept.volatile.now();
        let Some((range, _)) = whole_of(&now, age, page).map(|whole| whole.split(at_most)) else {
            return Ok(PurgeStep::Nothing);
        };
        let then = now.changed(range, |_held| Some(Fate::Purged));
        if then.len() > MOST_PARTS {
            return Ok(PurgeStep::Nothing);
        }
        match apply::purge(&*self.pages, kept.integrity.as_ref(), range)? {
            Some(given_back) => {
                let more = whole_of(&then, age, page).is_some();
                kept.volatile.set(then);
                Ok(PurgeStep::Gone { range, given_back, more })
            }
            None => Ok(PurgeStep::Nothing),
        }
    }

    fn wish(
        &self,
        range: ByteRange,
        age: Option<u64>,
    ) -> Result<(Ranges<Fate>, Ranges<Fate>), TooManyVolatile> {
        let now = self.kept.get().map(|kept| kept.volatile.now()).unwrap_or_default();
        let then = now.changed(range, |fate| match (fate, age) {
            (Some(Fate::Purged), Some(_)) => Some(Fate::Purged),
            (_, age) => age.map(Fate::Held),
        });
        let then = then.wished(&now).map_err(|TooMany| TooManyVolatile)?;
        Ok((now, then))
    }
}

/// The first whole host pages that have that age.
fn whole_of(ranges: &Ranges<Fate>, age: u64, page: ByteCount) -> Option<ByteRange> {
    let held = ranges.all().filter(|(_, fate)| *fate == Fate::Held(age));
    held.filter_map(|(part, _)| part.around(page).1).next()
}

fn ages(ranges: &Ranges<Fate>) -> Vec<u64> {
    let mut ages: Vec<u64> = ranges
        .all()
        .filter_map(|(_, fate)| match fate {
            Fate::Held(age) => Some(age),
            Fate::Purged => None,
        })
        .collect();
    ages.sort_unstable();
    ages.dedup();
    ages
}

//! What may be done with ranges of a [`LinearMemory`]: kept here for every access to ask, and by the
//! kernel too where a memory's mappings are its own.
//!
//! Law: what accesses are checked against is changed last, after the kernel agreed. Who may call what
//! at the same time is the lock's business.

use std::sync::PoisonError;

use crate::memory::linear::{Kept, LinearMemory};
use crate::memory::protections::{Protections, Use};
use crate::memory::ranges::TooMany;
use crate::memory::undone::Undone;
use crate::model::Protection;
use crate::os::OsError;
use crate::units::{ByteCount, ByteRange};

/// A protection was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprotected {
    /// It would be more than [`crate::memory::MOST_RANGES`].
    TooManyRanges,
    /// What the kernel said.
    Host(OsError),
}

impl LinearMemory {
    /// That no byte of the range is protected from such an access or purged: for who goes on in
    /// slices, of which none may be refused after the first.
    ///
    /// # Errors
    /// [`Undone::Protected`], [`Undone::Purged`].
    pub fn admit(&self, range: ByteRange, wanted: Use) -> Result<(), Undone> {
        let Some(kept) = self.kept.get() else { return Ok(()) };
        kept.admit(range, wanted)
    }

    /// Whether [`Self::admit`] has nothing to refuse.
    pub(super) fn admits_all(&self) -> bool {
        self.kept.get().is_none()
    }

    /// How many more mappings [`Self::protect`] may cost, where the kernel keeps to it as well.
    ///
    /// # Errors
    /// [`Unprotected::TooManyRanges`].
    pub fn protect_costs(
        &self,
        range: ByteRange,
        protection: Protection,
    ) -> Result<u64, Unprotected> {
        let (now, then) = Kept::reprotected(self.kept.get(), range, protection)?;
        Ok((then.more_than(&now) as u64).saturating_mul(2))
    }

    /// Sets what may be done with a range: in every access's own check and, for the whole host pages
    /// of a reservation of its own, also by the kernel.
    ///
    /// # Errors
    /// [`Unprotected`]: it is as it was.
    pub fn protect(&self, range: ByteRange, protection: Protection) -> Result<(), Unprotected> {
        let (now, then) = Kept::reprotected(self.kept.get(), range, protection)?;
        if let Err(error) = self.enforce(range, protection, &then) {
            // Back to what it was, as far as the kernel lets: widest first, then the narrower ones.
            let none = Protections::default();
            let undone = self.enforce(range, Protection::ReadWrite, &none).and_then(|()| {
                let around = now.within(self.host_pages(range));
                around.into_iter().try_for_each(|(part, was)| self.enforce(part, was, &now))
            });
            if let Err(error) = undone {
                tracing::warn!(%error, "pages may be protected more than they were asked to be");
            }
            return Err(Unprotected::Host(error));
        }
        self.kept.get_or_init(Box::default).set(then);
        Ok(())
    }

    /// Has the kernel keep to what a range is to be among `all`: whole host pages as asked, and those of
    /// which it has a part as wide as the widest of what is in them, for software judges each byte.
    fn enforce(
        &self,
        range: ByteRange,
        protection: Protection,
        all: &Protections,
    ) -> Result<(), OsError> {
        let tell = |range: ByteRange, protection| {
            let (from, to) = (ByteCount::new(range.start()), ByteCount::new(range.end()));
            self.pages.protect(from, to, protection).map(|_by_the_kernel_too| ())
        };
        let (before, whole, after) = range.around(self.pages.host_page());
        for part in [before, after] {
            if part.length() > ByteCount::ZERO {
                let pages = self.host_pages(part);
                tell(pages, all.widest(pages))?;
            }
        }
        whole.map_or(Ok(()), |whole| tell(whole, protection))
    }

    /// The host pages that the range has a part of.
    fn host_pages(&self, range: ByteRange) -> ByteRange {
        let page = self.pages.host_page();
        let start = range.start().checked_div(page.get()).unwrap_or(0).saturating_mul(page.get());
        let size = self.size.bytes();
        let end =
            ByteCount::new(range.end()).checked_round_up(page).map_or(size, |end| end.min(size));
        ByteRange::within(start, end.get().saturating_sub(start), size).unwrap_or(range)
    }

    /// Lets go of all of it, before it is wiped. What the kernel refuses shows then.
    pub(super) fn unprotect(&self) {
        let size = self.size.bytes();
        if let Ok(all) = ByteRange::within(0, size.get(), size)
            && self.admit(all, Use::Write).is_err()
            && let Err(error) = self.enforce(all, Protection::ReadWrite, &Protections::default())
        {
            tracing::warn!(%error, "a memory is wiped with its protections in place");
        }
    }
}

impl Kept {
    pub(super) fn admit(&self, range: ByteRange, wanted: Use) -> Result<(), Undone> {
        let protections = self.protections.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(protected) = protections.against(range, wanted) {
            return Err(protected.into());
        }
        self.volatile.against(range).map_or(Ok(()), |purged| Err(purged.into()))
    }

    /// What is kept now, and what would be.
    pub(super) fn reprotected(
        kept: Option<&Self>,
        range: ByteRange,
        protection: Protection,
    ) -> Result<(Protections, Protections), Unprotected> {
        let now = kept.map(|kept| {
            let now = kept.protections.read().unwrap_or_else(PoisonError::into_inner);
            Protections::clone(&now)
        });
        let now = now.unwrap_or_default();
        let then = now.with(range, protection).map_err(|TooMany| Unprotected::TooManyRanges)?;
        Ok((now, then))
    }

    pub(super) fn set(&self, protections: Protections) {
        *self.protections.write().unwrap_or_else(PoisonError::into_inner) = protections;
    }
}

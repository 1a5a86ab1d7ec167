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
        if let Err(error) = self.enforce(range, protection) {
            // Back to what it was, as far as the kernel lets: widest first, then the narrower ones.
            let undone = self.enforce(range, Protection::ReadWrite).and_then(|()| {
                now.within(range).try_for_each(|(part, before)| self.enforce(part, before))
            });
            if let Err(error) = undone {
                tracing::warn!(%error, "pages may be protected more than they were asked to be");
            }
            return Err(Unprotected::Host(error));
        }
        self.kept.get_or_init(Box::default).set(then);
        Ok(())
    }

    fn enforce(&self, range: ByteRange, protection: Protection) -> Result<(), OsError> {
        let (_, whole, _) = range.around(self.pages.host_page());
        let Some(whole) = whole else { return Ok(()) };
        let (from, to) = (ByteCount::new(whole.start()), ByteCount::new(whole.end()));
        self.pages.protect(from, to, protection).map(|_by_the_kernel_too| ())
    }

    /// Lets go of all of it, before it is wiped. What the kernel refuses shows then.
    pub(super) fn unprotect(&self) {
        let size = self.size.bytes();
        if let Ok(all) = ByteRange::within(0, size.get(), size)
            && self.admit(all, Use::Write).is_err()
            && let Err(error) = self.enforce(all, Protection::ReadWrite)
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

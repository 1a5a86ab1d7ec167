//! [`Span`]: a part of a reservation that many share, each keeping to its own.
//!
//! Law: every range is checked against the span before the kernel is asked, so that who holds one can
//! never reach a neighbour's. Does not know which spans there are: whoever cuts a reservation up sees
//! to it that no two overlap.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::os::OsError;
use crate::os::reservation::{Reservation, invalid};
use crate::units::ByteCount;

/// Bytes `[at, at + length)` of a reservation's body, which lives as long as they do.
#[derive(Clone, Debug)]
pub struct Span {
    space: Arc<Reservation>,
    at: ByteCount,
    length: ByteCount,
}

impl Span {
    /// That part of the reservation; none where it has none.
    #[must_use]
    pub fn of(space: &Arc<Reservation>, at: ByteCount, length: ByteCount) -> Option<Self> {
        let end = at.checked_add(length)?;
        (end <= space.body_bytes()).then(|| Self { space: Arc::clone(space), at, length })
    }

    /// Where it begins. What may be done with the address is as for [`Reservation::body`].
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        // SAFETY: at <= body_bytes (of()), so the sum lies within the mapping or at its end.
        unsafe { self.space.body().add(self.at.as_usize()) }
    }

    /// How long it is.
    #[must_use]
    pub const fn length(&self) -> ByteCount {
        self.length
    }

    /// The size of its host pages.
    #[must_use]
    pub fn host_page(&self) -> ByteCount {
        self.space.host_page()
    }

    /// [`Reservation::guard`], of bytes of the span.
    ///
    /// # Errors
    /// As there; EINVAL where the range is not within the span.
    pub fn guard(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let (from, to) = self.within(from, to)?;
        self.space.guard(from, to)
    }

    /// [`Reservation::unguard`], of bytes of the span.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn unguard(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let (from, to) = self.within(from, to)?;
        self.space.unguard(from, to)
    }

    /// [`Reservation::wipe`], of bytes of the span.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let (from, to) = self.within(from, to)?;
        self.space.wipe(from, to)
    }

    /// [`Reservation::populate`], of bytes of the span.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn populate(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let (from, to) = self.within(from, to)?;
        self.space.populate(from, to)
    }

    /// [`Reservation::resident_bytes`] of the first bytes of the span.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn resident_bytes(&self, upto: ByteCount) -> Result<ByteCount, OsError> {
        let (from, to) = self.within(ByteCount::ZERO, upto)?;
        self.space.resident_bytes(from, to)
    }

    fn within(&self, from: ByteCount, to: ByteCount) -> Result<(ByteCount, ByteCount), OsError> {
        let ends = self.at.checked_add(from).zip(self.at.checked_add(to));
        ends.filter(|_| from <= to && to <= self.length).ok_or_else(|| invalid("madvise", to))
    }
}

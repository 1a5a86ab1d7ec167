//! [`Span`]: a part of a reservation that many share, each keeping to its own.
//!
//! Law: every range is checked against the span before the kernel is asked, so that who holds one can
//! never reach a neighbour's. Does not know which spans there are: whoever cuts a reservation up sees
//! to it that no two overlap. There may be a million: places are counted in units of 4 KiB, which
//! every host page is a multiple of.

use std::borrow::Borrow;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::os::OsError;
use crate::os::reservation::{Reservation, invalid};
use crate::units::ByteCount;

const UNIT: u64 = 4096;

/// Bytes `[at, at + length)` of the body of a reservation, which lives in an `S` and as long as they
/// do.
#[derive(Debug)]
pub struct Span<S = Reservation> {
    space: Arc<S>,
    at: u32,
    length: u32,
}

impl<S> Clone for Span<S> {
    fn clone(&self) -> Self {
        Self { space: Arc::clone(&self.space), at: self.at, length: self.length }
    }
}

impl<S: Borrow<Reservation>> Span<S> {
    /// That part of the reservation; none where it has none, or it is not whole units.
    #[must_use]
    pub fn of(space: &Arc<S>, at: ByteCount, length: ByteCount) -> Option<Self> {
        let end = at.checked_add(length)?;
        let reservation: &Reservation = (**space).borrow();
        let (at, length) = (units(at)?, units(length)?);
        (end <= reservation.body_bytes()).then(|| Self { space: Arc::clone(space), at, length })
    }

    /// What the reservation lives in.
    #[must_use]
    pub fn space(&self) -> &S {
        &self.space
    }

    /// Where it begins. What may be done with the address is as for [`Reservation::body`].
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        // SAFETY: at <= body_bytes (of()), so the sum lies within the mapping or at its end.
        unsafe { self.reservation().body().add(self.at().as_usize()) }
    }

    /// How long it is.
    #[must_use]
    pub const fn length(&self) -> ByteCount {
        bytes(self.length)
    }

    /// The size of its host pages.
    #[must_use]
    pub fn host_page(&self) -> ByteCount {
        self.reservation().host_page()
    }

    /// [`Reservation::guard`], of bytes of the span.
    ///
    /// # Errors
    /// As there; EINVAL where the range is not within the span.
    pub fn guard(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let (from, to) = self.within(from, to)?;
        self.reservation().guard(from, to)
    }

    /// [`Reservation::unguard`], of bytes of the span.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn unguard(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let (from, to) = self.within(from, to)?;
        self.reservation().unguard(from, to)
    }

    /// [`Reservation::wipe`], of bytes of the span.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let (from, to) = self.within(from, to)?;
        self.reservation().wipe(from, to)
    }

    /// [`Reservation::populate`], of bytes of the span.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn populate(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let (from, to) = self.within(from, to)?;
        self.reservation().populate(from, to)
    }

    /// [`Reservation::wipe_locked`], of bytes of the span.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn wipe_locked(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let (from, to) = self.within(from, to)?;
        self.reservation().wipe_locked(from, to)
    }

    /// [`Reservation::resident_bytes`], of bytes of the span.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn resident_bytes(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        let (from, to) = self.within(from, to)?;
        self.reservation().resident_bytes(from, to)
    }

    /// [`Reservation::is_mapped`], of the span and so many bytes before and after it, which are no
    /// other span's.
    ///
    /// # Errors
    /// As there.
    pub fn is_mapped(&self, beside: ByteCount) -> Result<bool, OsError> {
        let (from, to) = (-signed(beside), signed(self.length()).saturating_add(signed(beside)));
        self.reservation().is_mapped(self.place(from), self.place(to))
    }

    /// [`Reservation::refuses`], of a host page counted from the span's begin: of the span, or of the
    /// guards beside it.
    ///
    /// # Errors
    /// As there.
    pub fn refuses(&self, at: i64) -> Result<bool, OsError> {
        self.reservation().refuses(self.place(at))
    }

    fn place(&self, at: i64) -> i64 {
        signed(self.at()).saturating_add(at)
    }

    fn reservation(&self) -> &Reservation {
        (*self.space).borrow()
    }

    const fn at(&self) -> ByteCount {
        bytes(self.at)
    }

    fn within(&self, from: ByteCount, to: ByteCount) -> Result<(ByteCount, ByteCount), OsError> {
        let ends = self.at().checked_add(from).zip(self.at().checked_add(to));
        ends.filter(|_| from <= to && to <= self.length()).ok_or_else(|| invalid("madvise", to))
    }
}

/// At most 2^44, see [`bytes()`].
fn signed(bytes: ByteCount) -> i64 {
    i64::try_from(bytes.get()).unwrap_or(i64::MAX)
}

fn units(bytes: ByteCount) -> Option<u32> {
    let whole = bytes.get().is_multiple_of(UNIT);
    u32::try_from(bytes.get().checked_div(UNIT)?).ok().filter(|_| whole)
}

const fn bytes(units: u32) -> ByteCount {
    // At most 2^32 times 4 KiB: 2^44.
    ByteCount::new((units as u64).saturating_mul(UNIT))
}

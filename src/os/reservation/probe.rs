//! What the kernel says of a reservation's address space, without an access to it.
//!
//! Law: asks and changes nothing: nothing becomes resident that must not be there, no signal is
//! raised, no neighbour is disturbed. What a kernel cannot say is an error, never a verdict.

use std::ptr::NonNull;

use crate::os::OsError;
use crate::os::kernel::Advice;
use crate::os::reservation::{Reservation, invalid, is_multiple};
use crate::units::ByteCount;

/// How long a reservation's parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fences {
    /// Inaccessible bytes before the body.
    pub before: ByteCount,
    /// The body, open or not.
    pub body: ByteCount,
    /// Inaccessible bytes after it.
    pub after: ByteCount,
}

impl Reservation {
    /// How long its parts are, with what an alignment took.
    #[must_use]
    pub fn fences(&self) -> Fences {
        let before = self.body.as_ptr().addr().saturating_sub(self.base.as_ptr().addr()) as u64;
        let body = self.body_bytes;
        let after = self.total_bytes.get().saturating_sub(before).saturating_sub(body.get());
        Fences { before: ByteCount::new(before), body, after: ByteCount::new(after) }
    }

    /// Whether all of `[from, to)`, counted from the body's begin and guards included, is mapped.
    ///
    /// # Errors
    /// EINVAL where that is no whole host pages of the reservation; else what the kernel said.
    pub fn is_mapped(&self, from: i64, to: i64) -> Result<bool, OsError> {
        let (address, length) = self.part(from, to)?;
        if length == ByteCount::ZERO {
            return Ok(true);
        }
        // Given once more, advice that all of it has changes nothing; a hole is ENOMEM.
        match self.advise(address, length, Advice::DontFork) {
            Ok(()) => Ok(true),
            Err(error) if error.errno == libc::ENOMEM => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a read of the host page at `at`, counted from the body's begin, would be a fault. One
    /// that is not becomes readable by this, as if it had been read.
    ///
    /// # Errors
    /// EINVAL where there is no such page; ENOSYS where the kernel has no such question (before Linux
    /// 5.14); ENOMEM where nothing is mapped there; else what the kernel said.
    pub fn refuses(&self, at: i64) -> Result<bool, OsError> {
        let page = i64::try_from(self.host_page().get()).unwrap_or(i64::MAX);
        let (address, length) = self.part(at, at.saturating_add(page))?;
        let ask = |length| self.advise(address, length, Advice::PopulateRead);
        ask(ByteCount::ZERO).map_err(|error| OsError { errno: libc::ENOSYS, ..error })?;
        match ask(length) {
            Ok(()) => Ok(false),
            // A mapping that allows no read, or a guard, or past the end of a file.
            Err(error) if matches!(error.errno, libc::EINVAL | libc::EFAULT) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Where so many bytes from the body's begin are, and how many, if they are of this reservation.
    fn part(&self, from: i64, to: i64) -> Result<(NonNull<u8>, ByteCount), OsError> {
        let before = self.fences().before.get();
        let place = |at: i64| before.checked_add_signed(at).map(ByteCount::new);
        let whole = |at: &ByteCount| is_multiple(*at, self.host_page());
        let ends = place(from).filter(whole).zip(place(to).filter(whole));
        let part = ends.filter(|(_, to)| *to <= self.total_bytes).and_then(|(from, to)| {
            let length = to.checked_sub(from)?;
            // SAFETY: from <= to <= total_bytes, so the sum lies within the mapping or at its end.
            Some((unsafe { self.base.add(from.as_usize()) }, length))
        });
        part.ok_or_else(|| invalid("madvise", self.total_bytes))
    }
}

//! [`Reservation`]: one range of address space, owned, of which a part can be opened and wiped.
//!
//! ```text
//!   base            body                     body + open                          base + total
//!    |  guard before  |  open: read, write      |  body not open yet  |  guard after  |
//!    |  PROT_NONE     |  zero until written     |  PROT_NONE          |  PROT_NONE    |
//!    +----------------+------- body_bytes ------+---------------------+---------------+
//! ```
//!
//! Law: the guards are never opened; what is opened stays open; the range stays where it is until
//! it is released as a whole. Every advice that keeps tenant bytes out of children and core dumps
//! was accepted by the kernel, or the reservation does not exist. Does not know how much is open,
//! reads and writes no byte, and hands out no reference: the owner does the book-keeping.

#![expect(unsafe_code, reason = "owns mappings, which the kernel knows as bare addresses")]

mod arena;
mod outcome;
mod pages;
mod probe;
mod span;
mod tagged;
#[cfg(all(test, target_arch = "aarch64"))]
mod tagged_tests;
#[cfg(test)]
mod tests;

use std::ffi::CStr;
use std::num::NonZero;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use outcome::{Absence, ReleaseFailed, ReserveFailed};
pub(in crate::os) use pages::resident;
pub use probe::Fences;
pub use span::Span;
pub use tagged::{Tagged, TaggedReserveFailed, Tagger};

use crate::os::kernel::{Advice, Kernel, Protection};
use crate::os::{OsError, host_page};
use crate::units::ByteCount;

/// One name for all: mappings of different names never merge, and the map limit is shared.
const NAME: &CStr = c"linmemd";

static LEAKED: AtomicU64 = AtomicU64::new(0);

/// One range of address space. Dropping it gives it back; where the kernel refuses that, it stays
/// mapped for good and is counted in [`leaked_bytes`]. Owners that can quarantine and retry call
/// [`Reservation::release`] instead.
#[derive(Debug)]
pub struct Reservation {
    kernel: Arc<dyn Kernel>,
    base: NonNull<u8>,
    /// `base` and the guard before.
    body: NonNull<u8>,
    body_bytes: ByteCount,
    /// 0 where there is no mapping, at first or any more.
    total_bytes: ByteCount,
    absences: Vec<Absence>,
}

/// How many bytes of address space reservations that were dropped could not give back.
#[must_use]
pub fn leaked_bytes() -> ByteCount {
    ByteCount::new(LEAKED.load(Ordering::Relaxed))
}

/// So many bytes stay for good.
pub(super) fn note_leaked(bytes: ByteCount) {
    LEAKED.fetch_add(bytes.get(), Ordering::Relaxed);
}

// SAFETY: the fields but for the two addresses are Send. The addresses belong to the process, not
// to a thread, and to this value alone (map_reserved's promise).
unsafe impl Send for Reservation {}

// SAFETY: with a shared reference one can make system calls about the range, which the kernel
// orders by its own lock, and copy out addresses, whose use is unsafe; no field changes.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `before + body + after` bytes, none of which can be accessed yet.
    ///
    /// # Errors
    /// EINVAL where a length is no multiple of the host page or the sum is no length; else what
    /// the kernel said, with the range itself where it is still mapped.
    pub fn reserve(
        kernel: Arc<dyn Kernel>,
        before: ByteCount,
        body: ByteCount,
        after: ByteCount,
    ) -> Result<Self, ReserveFailed> {
        let page = host_page(&*kernel);
        Self::reserve_aligned(kernel, before, body, after, page)
    }

    /// The same with a body that begins at a multiple of `align`: for that the guards are longer, by
    /// `align` in all where it is more than a host page.
    ///
    /// # Errors
    /// As [`Self::reserve`]; EINVAL also where `align` is no power of two.
    pub fn reserve_aligned(
        kernel: Arc<dyn Kernel>,
        before: ByteCount,
        body: ByteCount,
        after: ByteCount,
        align: ByteCount,
    ) -> Result<Self, ReserveFailed> {
        let page = host_page(&*kernel);
        let slack = if align > page { align } else { ByteCount::ZERO };
        let total =
            [body, after, slack].iter().try_fold(before, |sum, part| sum.checked_add(*part));
        let whole = [before, body, after, align].iter().all(|part| is_multiple(*part, page));
        let total = match total {
            // No allocation of Rust's may be longer than isize::MAX, so no range may be.
            Some(total)
                if whole
                    && align.get().is_power_of_two()
                    && isize::try_from(total.get()).is_ok() =>
            {
                total
            }
            _ => return Err(invalid("mmap", body).into()),
        };
        // Where there is nothing to map, an address that is aligned as a mapping would be.
        let nowhere = NonZero::new(page.as_usize()).unwrap_or(NonZero::<usize>::MIN);
        let base = match total {
            ByteCount::ZERO => NonNull::without_provenance(nowhere),
            _ => kernel.map_reserved(total.as_usize()).map_err(refused("mmap", total))?,
        };
        // SAFETY: before <= total, so the sum lies within the mapping or at its end.
        let first = unsafe { base.add(before.as_usize()) };
        let past = first.as_ptr().addr() & align.as_usize().wrapping_sub(1);
        let skipped = if slack > ByteCount::ZERO && past > 0 { align.as_usize() - past } else { 0 };
        // SAFETY: skipped < align = slack, and before + slack + body + after = total, so that the
        // body, which begins here, still ends within the mapping.
        let start = unsafe { first.add(skipped) };
        // From here on, dropping it gives the range back.
        let mut reservation = Self {
            kernel,
            base,
            body: start,
            body_bytes: body,
            total_bytes: total,
            absences: Vec::new(),
        };
        match reservation.prepare() {
            Ok(()) => Ok(reservation),
            Err(error) => {
                Err(ReserveFailed { error, left: reservation.release().err().map(Box::new) })
            }
        }
    }

    fn prepare(&mut self) -> Result<(), OsError> {
        if self.total_bytes == ByteCount::ZERO {
            return Ok(());
        }
        self.advise_all(Advice::DontFork)?;
        self.advise_all(Advice::DontDump)?;
        let advised = self.advise_all(Advice::NoHugePage);
        self.or_absent(advised, Absence::HugePageAdvice)?;
        let named = self.name();
        self.or_absent(named, Absence::MappingName)
    }

    /// Makes bytes `[from, to)` of the body readable and writable; they are zero unless they were
    /// open before. Opening what is open changes nothing. After an error some of the range may be
    /// open, and asking again is the way on.
    ///
    /// # Errors
    /// EINVAL where the range is not within the body or its ends are no multiples of the host
    /// page; ENOMEM at the map limit.
    pub fn open(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.protect(from, to, Protection::ReadWrite)
    }

    /// Makes bytes `[from, to)` of the body inaccessible again. What they held is kept: for bytes
    /// that nobody has touched since they were opened.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn close(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.protect(from, to, Protection::None)
    }

    /// Makes bytes `[from, to)` of the open body readable only. What they hold is kept.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn make_read_only(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.protect(from, to, Protection::Read)
    }

    fn protect(
        &self,
        from: ByteCount,
        to: ByteCount,
        protection: Protection,
    ) -> Result<(), OsError> {
        let Some(length) = self.pages_between(from, to) else {
            return Err(invalid("mprotect", to));
        };
        if length == ByteCount::ZERO {
            return Ok(());
        }
        // SAFETY: from < to <= body_bytes (pages_between), so the sum lies within the mapping.
        let address = unsafe { self.body.add(from.as_usize()) };
        // SAFETY: [from, to) lies within the body, which is mapped as long as self lives; no
        // reference to its bytes exists (the law of this file).
        let changed = unsafe { self.kernel.protect(address, length.as_usize(), protection) };
        changed.map_err(refused("mprotect", length))
    }

    /// The length of `[from, to)`, where that is whole host pages of the body.
    fn pages_between(&self, from: ByteCount, to: ByteCount) -> Option<ByteCount> {
        let page = host_page(&*self.kernel);
        let whole = to <= self.body_bytes && is_multiple(from, page) && is_multiple(to, page);
        to.checked_sub(from).filter(|_| whole)
    }

    /// Gives back the bytes of the host pages that `[from, to)` touches: they are zero when they
    /// are next read. On an error they may be as they were.
    ///
    /// # Errors
    /// EINVAL where the range is not within the body; else what the kernel said.
    pub fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let call = Advice::DontNeed.call();
        let end = self.whole_pages(to, call)?;
        let page = host_page(&*self.kernel).get();
        let begin = from.get().saturating_sub(from.get().checked_rem(page).unwrap_or(0));
        let Some(length) = end.checked_sub(ByteCount::new(begin)) else {
            return Err(invalid(call, to));
        };
        if length == ByteCount::ZERO {
            return Ok(());
        }
        // SAFETY: begin <= end <= body_bytes, so the sum lies within the mapping.
        let address = unsafe { self.body.add(ByteCount::new(begin).as_usize()) };
        self.advise(address, length, Advice::DontNeed)
    }

    /// Makes host pages of the open body guards: their bytes are given back, and an access is a
    /// fault. Costs no mapping. After an error some of them may be guards.
    ///
    /// # Errors
    /// EINVAL where the range is not within the body, its ends are no multiples of the host page, or
    /// the kernel has no such guards; else what the kernel said.
    pub fn guard(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.advise_between(from, to, Advice::GuardInstall)
    }

    /// Makes guards in the open body host pages again, all zero. What is none is left alone.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn unguard(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.advise_between(from, to, Advice::GuardRemove)
    }

    fn advise_between(
        &self,
        from: ByteCount,
        to: ByteCount,
        advice: Advice,
    ) -> Result<(), OsError> {
        let Some(length) = self.pages_between(from, to) else {
            return Err(invalid(advice.call(), to));
        };
        if length == ByteCount::ZERO {
            return Ok(());
        }
        // SAFETY: from < to <= body_bytes (pages_between), so the sum lies within the mapping.
        let address = unsafe { self.body.add(from.as_usize()) };
        self.advise(address, length, advice)
    }

    /// Gives the whole range back.
    ///
    /// # Errors
    /// [`ReleaseFailed`], with the reservation in it, for another attempt later.
    pub fn release(mut self) -> Result<(), ReleaseFailed> {
        match self.give_back() {
            Ok(()) => Ok(()),
            Err(error) => Err(ReleaseFailed { reservation: self, error }),
        }
    }

    /// Where the body begins. Only what has been opened may be accessed, only while this value
    /// lives, and never by reference.
    #[must_use]
    pub const fn body(&self) -> NonNull<u8> {
        self.body
    }

    /// How long the body is, open or not.
    #[must_use]
    pub const fn body_bytes(&self) -> ByteCount {
        self.body_bytes
    }

    /// The size of its host pages.
    #[must_use]
    pub fn host_page(&self) -> ByteCount {
        host_page(&*self.kernel)
    }

    /// How much address space it takes, guards included.
    #[must_use]
    pub const fn total_bytes(&self) -> ByteCount {
        self.total_bytes
    }

    /// What this host could not give.
    #[must_use]
    pub fn absences(&self) -> &[Absence] {
        &self.absences
    }

    fn give_back(&mut self) -> Result<(), OsError> {
        if self.total_bytes > ByteCount::ZERO {
            let length = self.total_bytes.as_usize();
            // SAFETY: [base, base + total) is what map_reserved gave, and total_bytes says that it
            // is still mapped. The exclusive reference means that nobody uses this value, and who
            // uses an address that it handed out broke body()'s condition.
            let unmapped = unsafe { self.kernel.unmap(self.base, length) };
            unmapped.map_err(refused("munmap", self.total_bytes))?;
            self.total_bytes = ByteCount::ZERO;
        }
        Ok(())
    }

    fn advise_all(&self, advice: Advice) -> Result<(), OsError> {
        self.advise(self.base, self.total_bytes, advice)
    }

    /// `[address, address + length)` lies within the mapping: all callers pass the whole of it or a
    /// checked part.
    fn advise(
        &self,
        address: NonNull<u8>,
        length: ByteCount,
        advice: Advice,
    ) -> Result<(), OsError> {
        // SAFETY: the range lies within the mapping, see above, which lives as long as self; no
        // reference to its bytes exists (the law of this file).
        let advised = unsafe { self.kernel.advise(address, length.as_usize(), advice) };
        advised.map_err(refused(advice.call(), length))
    }

    fn name(&self) -> Result<(), OsError> {
        // SAFETY: the range is the whole mapping, which lives as long as self.
        let named = unsafe { self.kernel.name(self.base, self.total_bytes.as_usize(), NAME) };
        named.map_err(refused("prctl(PR_SET_VMA_ANON_NAME)", self.total_bytes))
    }

    /// EINVAL, for a range that is known to be right, means that the kernel has no such thing.
    fn or_absent(&mut self, done: Result<(), OsError>, what: Absence) -> Result<(), OsError> {
        match done {
            Err(error) if error.errno == libc::EINVAL => {
                self.absences.push(what);
                Ok(())
            }
            done => done,
        }
    }

    fn whole_pages(&self, upto: ByteCount, call: &'static str) -> Result<ByteCount, OsError> {
        match upto.checked_round_up(host_page(&*self.kernel)) {
            Some(length) if length <= self.body_bytes => Ok(length),
            _ => Err(invalid(call, upto)),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.give_back().is_err() {
            note_leaked(self.total_bytes);
        }
    }
}

fn is_multiple(length: ByteCount, page: ByteCount) -> bool {
    length.checked_round_up(page) == Some(length)
}

fn invalid(call: &'static str, length: ByteCount) -> OsError {
    OsError { call, errno: libc::EINVAL, bytes: length.get() }
}

fn refused(call: &'static str, length: ByteCount) -> impl FnOnce(i32) -> OsError {
    move |errno| OsError { call, errno, bytes: length.get() }
}

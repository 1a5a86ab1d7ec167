//! [`Tagged`]: a reservation whose open bytes all carry one tag, which its address carries too.
//!
//! ```text
//!  address   0x0T00_7f…: T is the tag          an access through an address with another tag is
//!  memory    | T | T | T | T | not open |      a fault, whoever makes it and however it came by it
//!            16 bytes each
//! ```
//!
//! Law: what is open has the tag before anyone is told that it is open, and a new life of the same
//! bytes has another tag where the mask has another. A thread that cannot be made to check gets an
//! address that nothing is at, never unchecked access. Reads no byte and hands out no reference.
//!
//! Tags are stored by touching: what is open is resident. So a wipe stores zeroes, which keep or
//! change the tag in the same pass; giving the RAM back would lose the tags, and the next access
//! would be a fault.

#![expect(unsafe_code, reason = "states what the kernel and the tag routine are told")]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::os::OsError;
use crate::os::kernel::Kernel;
use crate::os::reservation::{ReleaseFailed, Reservation, ReserveFailed, invalid, refused};
use crate::os::tagging::{MemoryTagging, Tag, TagCheck, TagMask};
use crate::units::ByteCount;

/// How memory is to be tagged: the proof that it can be, the tags to choose from, and when a wrong
/// one is told of.
#[derive(Clone, Copy, Debug)]
pub struct Tagger {
    /// That it can be done here.
    pub tagging: MemoryTagging,
    /// The tags that may be given out.
    pub mask: TagMask,
    /// When a wrong one is told of.
    pub check: TagCheck,
}

/// A reservation whose open bytes carry a tag. Dropped and released as a [`Reservation`] is.
#[derive(Debug)]
pub struct Tagged {
    space: Reservation,
    tagger: Tagger,
    tag: AtomicU8,
}

/// A range was not set aside.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct TaggedReserveFailed {
    /// Why.
    #[source]
    pub error: OsError,
    /// Where something was mapped by then and the kernel did not take it back either; and why not.
    pub left: Option<(Box<Tagged>, OsError)>,
}

impl Tagged {
    /// Reserves as [`Reservation::reserve`] does, and draws the tag.
    ///
    /// # Errors
    /// As there, or what the kernel or the processor said about tags.
    pub fn reserve(
        kernel: Arc<dyn Kernel>,
        before: ByteCount,
        body: ByteCount,
        after: ByteCount,
        tagger: Tagger,
    ) -> Result<Self, TaggedReserveFailed> {
        // The processor generates no tag but 0 for a thread that has not asked for checks.
        let checked = tagger.tagging.check(&*kernel, tagger.check);
        let tag = checked
            .and_then(|()| tagger.tagging.draw(tagger.mask, None))
            .map_err(|error| TaggedReserveFailed { error, left: None })?;
        let with_tag = |space| Self { space, tagger, tag: AtomicU8::new(tag.number()) };
        match Reservation::reserve(kernel, before, body, after) {
            Ok(space) => Ok(with_tag(space)),
            Err(ReserveFailed { error, left }) => {
                let left = left.map(|left| (Box::new(with_tag(left.reservation)), left.error));
                Err(TaggedReserveFailed { error, left })
            }
        }
    }

    /// Makes bytes `[from, to)` of the body readable and writable by their tag, all zero.
    ///
    /// # Errors
    /// As [`Reservation::open`]; EINVAL or ENOTSUP where the host takes no tags there.
    pub fn open(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        const CALL: &str = "mprotect(PROT_MTE)";
        let Some(length) = self.space.pages_between(from, to) else {
            return Err(invalid(CALL, to));
        };
        if length == ByteCount::ZERO {
            return Ok(());
        }
        let address = self.place(from);
        // SAFETY: [from, to) lies within the body (pages_between), which is mapped as long as self
        // lives; no reference to its bytes exists (the law of this file).
        let opened = unsafe { self.space.kernel.protect_tagged(address, length.as_usize()) };
        opened.map_err(refused(CALL, length))?;
        self.store(from, length, self.tag())
    }

    /// [`Reservation::close`]: for bytes that nobody has touched since they were opened.
    ///
    /// # Errors
    /// As there.
    pub fn close(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.space.close(from, to)
    }

    /// Makes the host pages that `[from, to)` touches zero, all of them open. The tag stays.
    ///
    /// # Errors
    /// EINVAL where the range is not within the body; EFAULT where it is not open, or the host
    /// failed under it.
    pub fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        let (from, length) = self.whole(from, to)?;
        self.store(from, length, self.tag())
    }

    /// Ends one life of the first `to` bytes, which are all that is open, and begins another: they
    /// are zero and have a tag that they did not have, where the mask has one. Addresses from before
    /// lead to faults from now on. After an error some may have either tag: it is to be asked again.
    ///
    /// # Errors
    /// As [`Self::wipe`]; what `prctl` said.
    pub fn renew(&self, to: ByteCount) -> Result<(), OsError> {
        let (from, length) = self.whole(ByteCount::ZERO, to)?;
        let Tagger { tagging, mask, check } = self.tagger;
        tagging.check(&*self.space.kernel, check)?;
        let tag = tagging.draw(mask, Some(self.tag()))?;
        self.tag.store(tag.number(), Ordering::Relaxed);
        self.store(from, length, tag)
    }

    /// Where the body begins, with the tag, for an access by this thread, which is checked from here
    /// on as this memory is to be. Otherwise as [`Reservation::body`].
    #[must_use]
    pub fn body(&self) -> NonNull<u8> {
        let Tagger { tagging, check, .. } = self.tagger;
        let body = self.tag().on(self.space.body());
        match tagging.check(&*self.space.kernel, check) {
            Ok(()) => body,
            Err(_refused) => tagging.unreachable(body),
        }
    }

    /// The tag that open bytes have now.
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag::of(self.tag.load(Ordering::Relaxed))
    }

    /// How it was asked for.
    #[must_use]
    pub const fn tagger(&self) -> Tagger {
        self.tagger
    }

    /// The reservation, for what has nothing to do with tags.
    #[must_use]
    pub const fn space(&self) -> &Reservation {
        &self.space
    }

    /// Gives the whole range back.
    ///
    /// # Errors
    /// As [`Reservation::release`], with all of this to try again.
    pub fn release(self) -> Result<(), (Self, OsError)> {
        let Self { space, tagger, tag } = self;
        space.release().map_err(|ReleaseFailed { reservation: space, error }| {
            (Self { space, tagger, tag }, error)
        })
    }

    /// The host pages that `[from, to)` touches, as where and how long.
    fn whole(&self, from: ByteCount, to: ByteCount) -> Result<(ByteCount, ByteCount), OsError> {
        const CALL: &str = "stz2g";
        let end = self.space.whole_pages(to, CALL)?;
        let page = self.space.host_page().get();
        let begin = from.get().saturating_sub(from.get().checked_rem(page).unwrap_or(0));
        let begin = ByteCount::new(begin);
        match end.checked_sub(begin) {
            Some(length) => Ok((begin, length)),
            None => Err(invalid(CALL, to)),
        }
    }

    /// `length` bytes from there lie within the body: all callers pass checked host pages of it.
    fn store(&self, from: ByteCount, length: ByteCount, tag: Tag) -> Result<(), OsError> {
        // SAFETY: the range lies within the body, see above, which is mapped as long as self lives
        // and of which every byte is writable or inaccessible; no reference to its bytes exists (the
        // law of this file). A host page is a multiple of 64 bytes.
        unsafe { self.tagger.tagging.zero_and_tag(self.place(from), length, tag) }
    }

    /// The untagged address of a byte of the body: `from` is within it, as with `store`.
    fn place(&self, from: ByteCount) -> NonNull<u8> {
        // SAFETY: from <= body_bytes, see above, so the sum lies within the mapping or at its end.
        unsafe { self.space.body().add(from.as_usize()) }
    }
}

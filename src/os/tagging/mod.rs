//! Memory tagging: the processor compares four bits of an address with four bits that it keeps for
//! each granule of 16 bytes, and an access whose tag is another's is a fault.
//!
//! Law: [`MemoryTagging`] exists only where the machine, the processor and the kernel have been asked
//! and have it; on a machine without such a thing the type has no value, so that nothing past
//! [`MemoryTagging::probe`] can run there. Owns the tags, the checking that each thread asks for, and
//! the count of what the hardware told. Does not own memory: `reservation/tagged.rs` does.
//!
//! ```text
//!  TagCheck        a wrong tag                  is told                          names the access
//!  Synchronous     moves no byte                as a count, by the copy itself   yes
//!  Asynchronous    is not held up: it happens   by the kernel, at the thread's   no: TagFaults alone
//!                                               next entry into it
//! ```
//!
//! The kernel keeps the checking for each thread, so an access first sees to its thread
//! ([`MemoryTagging::check`]): a thread-local look, and a `prctl` where the last access was checked
//! otherwise. What the kernel itself does for us (a wipe, a count of pages) gets untagged addresses.

#![expect(unsafe_code, reason = "stores tags by the address it is given")]

#[cfg(not(target_arch = "aarch64"))]
mod elsewhere;
#[cfg(target_arch = "aarch64")]
mod mte;
mod told;

use std::cell::Cell;
use std::fmt;
use std::num::NonZero;
use std::ptr::NonNull;

pub use told::{TagFaults, tag_faults};
pub(super) use told::{is_late, note_fault, take_late_report};

use crate::os::OsError;
use crate::os::kernel::Kernel;
#[cfg(not(target_arch = "aarch64"))]
use crate::os::tagging::elsewhere as machine;
use crate::os::tagging::machine::Machine;
pub(super) use crate::os::tagging::machine::fixups;
#[cfg(target_arch = "aarch64")]
use crate::os::tagging::mte as machine;
use crate::units::ByteCount;

/// How far up in an address its tag is.
const TAG_SHIFT: u32 = 56;

/// Addresses with this bit belong to the kernel, and every access by us is a fault.
const KERNEL_HALF: usize = 1 << 55;

thread_local! {
    /// How this thread's accesses are checked since it last said so.
    static CHECKED: Cell<Option<TagCheck>> = const { Cell::new(None) };
}

/// The proof that this process can tag memory.
#[derive(Clone, Copy, Debug)]
pub struct MemoryTagging(Machine);

/// When an access with a wrong tag is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagCheck {
    /// At once: the access does not happen.
    Synchronous,
    /// At the thread's next entry into the kernel: the access does happen.
    Asynchronous,
}

/// The tag of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(u8);

/// The tags that may be given out: bit n is tag n. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TagMask(NonZero<u16>);

/// Why memory cannot be tagged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untaggable {
    /// Machines of this kind have no such thing.
    #[error("{}", self.reason())]
    OtherMachine,
    /// Machines of this kind may have it, this one has not.
    #[error("{}", self.reason())]
    NoHardware,
    /// The kernel refused it to this process.
    #[error("{}: {refusal}", self.reason(), refusal = .0)]
    Refused(OsError),
}

impl Untaggable {
    /// For who is not to see the host's figures.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::OtherMachine => {
                "memory tagging is not on this machine: it takes an aarch64 processor with MTE"
            }
            Self::NoHardware => "this aarch64 processor, or its kernel, has no memory tagging",
            Self::Refused(_) => "the kernel refuses memory tagging to this process",
        }
    }
}

impl From<NonZero<u16>> for TagMask {
    fn from(tags: NonZero<u16>) -> Self {
        Self(tags)
    }
}

impl TagMask {
    /// Every tag but 0, which all memory has that nobody tagged and every address that carries none.
    pub const ALL_BUT_0: Self = Self(NonZero::new(0xFFFE).unwrap());

    /// Whether it may be given out.
    #[must_use]
    pub const fn allows(self, tag: Tag) -> bool {
        self.0.get() & tag.bit() != 0
    }

    /// These but that one, unless it is the only one.
    const fn without(self, tag: Tag) -> Self {
        match NonZero::new(self.0.get() & !tag.bit()) {
            Some(rest) => Self(rest),
            None => self,
        }
    }
}

impl Tag {
    /// Tag 0 to 15: what is above counts as its lowest four bits.
    pub(super) const fn of(number: u8) -> Self {
        Self(number & 15)
    }

    pub(super) const fn number(self) -> u8 {
        self.0
    }

    const fn bit(self) -> u16 {
        1 << self.0
    }

    /// The address with this tag instead of the one it has.
    pub(super) fn on(self, address: NonNull<u8>) -> NonNull<u8> {
        let tag = usize::from(self.0) << TAG_SHIFT;
        // No address is its tag alone: page 0 is nobody's.
        address
            .map_addr(|bits| NonZero::new((bits.get() & !(15 << TAG_SHIFT)) | tag).unwrap_or(bits))
    }
}

impl MemoryTagging {
    /// Asks the machine, the processor and the kernel.
    ///
    /// # Errors
    /// [`Untaggable`]: which of them has it not.
    pub fn probe(kernel: &dyn Kernel) -> Result<Self, Untaggable> {
        let found = Self(Machine::probe(kernel)?);
        found.check(kernel, TagCheck::Synchronous).map_err(Untaggable::Refused)?;
        Ok(found)
    }

    /// From here on this thread's accesses are checked so.
    ///
    /// # Errors
    /// What `prctl` said: they are checked as before.
    pub fn check(self, kernel: &dyn Kernel, how: TagCheck) -> Result<(), OsError> {
        if CHECKED.get() == Some(how) {
            return Ok(());
        }
        if how == TagCheck::Asynchronous {
            told::expect_late_reports();
        }
        // Unknown until it is done.
        CHECKED.set(None);
        kernel.check_tags(how).map_err(|errno| OsError {
            call: "prctl(PR_SET_TAGGED_ADDR_CTRL)",
            errno,
            bytes: 0,
        })?;
        CHECKED.set(Some(how));
        Ok(())
    }

    /// A tag by chance, of the mask's and not that one where the mask has others. The thread has
    /// asked for checks.
    ///
    /// # Errors
    /// ENOTSUP where the processor gives none of them.
    pub(super) fn draw(self, mask: TagMask, not: Option<Tag>) -> Result<Tag, OsError> {
        let mask = not.map_or(mask, |tag| mask.without(tag));
        let tag = Tag::of(self.0.random(!mask.0.get()));
        let drawn = Some(tag).filter(|tag| mask.allows(*tag));
        drawn.ok_or(OsError { call: "irg", errno: libc::ENOTSUP, bytes: 0 })
    }

    /// Makes `[address, address + length)` zero and tags it, and looks whether that took.
    ///
    /// # Safety
    /// No reference points into the range, which is memory that the caller may write or keeps
    /// inaccessible. Both ends are multiples of 64.
    ///
    /// # Errors
    /// EFAULT where the range is not accessible, with how many bytes were not reached; ENOTSUP
    /// where it takes no tags.
    pub(super) unsafe fn zero_and_tag(
        self,
        address: NonNull<u8>,
        length: ByteCount,
        tag: Tag,
    ) -> Result<(), OsError> {
        let address = tag.on(address);
        // SAFETY: the caller's conditions are these.
        let left = unsafe { self.0.zero_and_tag(address, length.as_usize()) };
        if left > 0 {
            return Err(OsError { call: "stz2g", errno: libc::EFAULT, bytes: left as u64 });
        }
        // SAFETY: the range is accessible, since it was stored to just now.
        let found = unsafe { self.0.tag_at(address) };
        if length > ByteCount::ZERO && found != Some(tag.0) {
            return Err(OsError { call: "ldg", errno: libc::ENOTSUP, bytes: length.get() });
        }
        Ok(())
    }

    /// The address in the half of the address space that is never ours, for an access that must not
    /// happen: it moves no byte.
    pub(super) fn unreachable(self, address: NonNull<u8>) -> NonNull<u8> {
        address.map_addr(|bits| bits | KERNEL_HALF)
    }

    /// The tag that the granule at the address has; none where it cannot be accessed.
    ///
    /// # Safety
    /// The address is one that the caller may read or keeps inaccessible.
    #[cfg(all(test, target_arch = "aarch64"))]
    pub(super) unsafe fn tag_at(self, address: NonNull<u8>) -> Option<Tag> {
        // SAFETY: the caller's condition is this.
        unsafe { self.0.tag_at(address) }.map(Tag)
    }
}

impl fmt::Display for TagCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synchronous => "synchronous",
            Self::Asynchronous => "asynchronous",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::kernel::Linux;

    fn mask(tags: u16) -> TagMask {
        NonZero::new(tags).unwrap().into()
    }

    #[test]
    fn a_mask_has_a_tag_and_gives_its_last_one_again() {
        assert!(!TagMask::ALL_BUT_0.allows(Tag(0)));
        assert!((1..16).all(|tag| TagMask::ALL_BUT_0.allows(Tag(tag))));
        let two = mask(0x8001);
        assert_eq!(two.without(Tag(15)), mask(1));
        assert_eq!(two.without(Tag(15)).without(Tag(0)), mask(1));
    }

    #[test]
    fn a_tag_replaces_the_one_that_an_address_has() {
        let address = NonNull::without_provenance(NonZero::new(0x7F00_0000_1000).unwrap());
        let tagged = Tag(9).on(address);
        assert_eq!(tagged.addr().get(), 0x0900_7F00_0000_1000);
        assert_eq!(Tag(0).on(tagged), address);
    }

    #[test]
    #[cfg(not(target_arch = "aarch64"))]
    fn a_machine_without_it_says_so_and_the_kernel_is_not_asked() {
        use crate::os::failing::FailingKernel;

        let kernel = FailingKernel::new();
        assert_eq!(MemoryTagging::probe(&kernel).unwrap_err(), Untaggable::OtherMachine);
        assert_eq!(kernel.calls(), []);
        assert!(Untaggable::OtherMachine.to_string().contains("not on this machine"));
        assert!(MemoryTagging::probe(&Linux).is_err());
    }

    #[test]
    #[cfg(target_arch = "aarch64")]
    fn the_probe_says_what_the_processor_says() {
        const HWCAP2_MTE: u64 = 1 << 18;
        let found = MemoryTagging::probe(&Linux);
        if Linux.hardware_capabilities() & HWCAP2_MTE == 0 {
            assert_eq!(found.unwrap_err(), Untaggable::NoHardware);
        } else {
            assert!(found.is_ok(), "{found:?}");
        }
    }
}

//! [`Machine`] where no processor has memory tagging: a type without a value.
//!
//! Law: only the probe can be called, and it says that this is another machine. Whatever else would
//! tag memory takes a value of this type, so there is no such code here.

use std::ptr::NonNull;

use crate::os::fixups::FixUp;
use crate::os::kernel::Kernel;
use crate::os::tagging::Untaggable;

/// There is none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Machine {}

/// No instruction of this machine's touches tags.
pub(in crate::os) const fn fixups() -> &'static [FixUp] {
    &[]
}

impl Machine {
    pub(super) const fn probe(_: &dyn Kernel) -> Result<Self, Untaggable> {
        Err(Untaggable::OtherMachine)
    }

    pub(super) const fn random(self, _: u16) -> u8 {
        match self {}
    }

    pub(super) const unsafe fn zero_and_tag(self, _: NonNull<u8>, _: usize) -> usize {
        match self {}
    }

    pub(super) const unsafe fn tag_at(self, _: NonNull<u8>) -> Option<u8> {
        match self {}
    }
}

//! [`ExclusiveMemory`]: a memory on the heap that one has at a time.
//!
//! Law: every method that touches bytes takes `&mut self`, there is no atomic and no lock in it, and it
//! is [`Send`] and not [`Sync`]: that no two use it at once is for the compiler to see to, and costs
//! nothing.
//!
//! ```
//! fn sent<T: Send>() {}
//! sent::<linmemd::memory::ExclusiveMemory>();
//! ```
//!
//! ```compile_fail,E0277
//! fn shared<T: Sync>() {}
//! shared::<linmemd::memory::ExclusiveMemory>();
//! ```

use std::cell::Cell;
use std::marker::PhantomData;

use crate::memory::allocator::{Held, Pages, Placed};
use crate::memory::heap::{Block, Place};
use crate::memory::linear::LinearMemory;
use crate::memory::page_map::PlainPageMap;
use crate::memory::plan::Plan;
use crate::memory::protect::Unprotected;
use crate::memory::protections::{Protections, Use};
use crate::memory::ranges::TooMany;
use crate::memory::undone::Undone;
use crate::model::Protection;
use crate::os::OsError;
use crate::units::{ByteCount, ByteRange, WasmPages};

/// A memory on the heap, for one at a time.
#[derive(Debug)]
pub struct ExclusiveMemory {
    place: Place<PlainPageMap>,
    /// Few memories have any.
    protections: Option<Box<Protections>>,
    /// A `&Cell` is for one thread.
    alone: PhantomData<Cell<()>>,
}

impl ExclusiveMemory {
    /// A memory of this size in a block that is as long and all zero.
    #[must_use]
    pub fn new(block: Block, size: WasmPages) -> Self {
        Self { place: Place::new(block, size), protections: None, alone: PhantomData }
    }

    /// Its size.
    #[must_use]
    pub const fn size(&self) -> WasmPages {
        self.place.size()
    }

    /// Appends the range's bytes to `out`, whose length is unchanged on failure.
    ///
    /// # Errors
    /// [`Undone`] where the range is protected, or the host failed under it.
    pub fn read(&mut self, range: ByteRange, out: &mut Vec<u8>) -> Result<(), Undone> {
        self.admit(range, Use::Read)?;
        Ok(self.place.read(range, out)?)
    }

    /// Carries a plan out.
    ///
    /// # Errors
    /// [`Undone`] where its range is protected, or the host failed in the middle: then bytes are lost.
    pub fn apply(&mut self, plan: &Plan<'_>) -> Result<(), Undone> {
        self.admit(plan.range(), Use::Write)?;
        Ok(self.place.apply_alone(plan)?)
    }

    /// That no byte of the range is protected from such an access.
    ///
    /// # Errors
    /// [`Undone::Protected`].
    pub fn admit(&self, range: ByteRange, wanted: Use) -> Result<(), Undone> {
        let against = self.protections.as_ref().and_then(|all| all.against(range, wanted));
        against.map_or(Ok(()), |protected| Err(protected.into()))
    }

    /// Whether [`Self::admit`] has nothing to refuse.
    #[must_use]
    pub const fn admits_all(&self) -> bool {
        self.protections.is_none()
    }

    /// Sets what may be done with a range, from the next access on.
    ///
    /// # Errors
    /// [`Unprotected::TooManyRanges`]: it is as it was.
    pub fn protect(&mut self, range: ByteRange, to: Protection) -> Result<(), Unprotected> {
        let then = self.reprotected(range, to)?;
        self.protections = Some(Box::new(then));
        Ok(())
    }

    /// How many more ranges [`Self::protect`] would make of them.
    ///
    /// # Errors
    /// [`Unprotected::TooManyRanges`].
    pub fn protect_costs(&self, range: ByteRange, to: Protection) -> Result<u64, Unprotected> {
        let (none, then) = (Protections::default(), self.reprotected(range, to)?);
        Ok(then.more_than(self.protections.as_deref().unwrap_or(&none)) as u64)
    }

    fn reprotected(&self, range: ByteRange, to: Protection) -> Result<Protections, Unprotected> {
        let none = Protections::default();
        let now = self.protections.as_deref().unwrap_or(&none);
        now.with(range, to).map_err(|TooMany| Unprotected::TooManyRanges)
    }

    /// What the kernel says that it holds.
    ///
    /// # Errors
    /// [`OsError`].
    pub fn held(&self) -> Result<Held, OsError> {
        self.place.block().held(self.size().bytes())
    }

    /// What it was given.
    #[must_use]
    pub fn placed(&self) -> Placed {
        self.place.block().placed()
    }

    /// Where its bytes are, for a growth to move them.
    pub const fn place(&mut self) -> &mut Place<PlainPageMap> {
        &mut self.place
    }

    /// Where its byte 0 lies, until it grows or is dropped: for an engine that runs code on it in
    /// place. As [`LinearMemory::base`]: such writes are not in the page map, so that who wants them to
    /// be moved or wiped notes them first ([`Place::note`]).
    #[must_use]
    pub fn base(&mut self) -> std::ptr::NonNull<u8> {
        self.place.block().base()
    }

    /// As a memory that nobody uses any more: to be wiped and released like any other.
    #[must_use]
    pub fn into_memory(self) -> LinearMemory {
        self.place.into_memory()
    }

    /// Its size, and how long its block is.
    pub(in crate::memory) fn lengths(&self) -> (WasmPages, ByteCount) {
        (self.size(), self.room())
    }

    /// Room for its present size only.
    #[must_use]
    pub fn room(&self) -> ByteCount {
        self.place.block().room()
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    /// What is Copy holds no atomic and no lock.
    fn is_plain<T: Copy>(_value: &T) {}

    /// Every field of an exclusive memory, by its type, so that a new one is looked at here. The block's
    /// own are an address, a length, a flag, and the heap that no operation on bytes asks.
    #[test]
    fn nothing_that_an_access_touches_is_an_atomic_or_a_lock() {
        fn look(memory: ExclusiveMemory) {
            let ExclusiveMemory { place, protections, alone } = memory;
            let (_block, size, written) = place.parts();
            is_plain(&size);
            is_plain(&written);
            is_plain(&alone);
            let _ranges: Option<Box<Protections>> = protections;
        }
        let kernel = std::sync::Arc::new(crate::os::kernel::Linux);
        let block = Block::take(kernel, ByteCount::ZERO).unwrap();
        look(ExclusiveMemory::new(block, WasmPages::ZERO));
    }
}

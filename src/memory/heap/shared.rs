//! [`SharedMemory`]: a memory on the heap that many use at a time.
//!
//! Law: whoever touches bytes is counted in, and nobody is let in while they move ([`Movable`]); so
//! every method takes `&self` and is sound whoever else calls what. In the daemon a growth takes the
//! memory's lock as well, where those who come meanwhile wait in order; here they are refused.

use once_cell::race::OnceBox;

use crate::memory::allocator::{Held, Pages, Placed};
use crate::memory::heap::movable::{Freezing, Movable};
use crate::memory::heap::{Block, Place};
use crate::memory::linear::{Kept, LinearMemory};
use crate::memory::page_map::PageMap;
use crate::memory::plan::Plan;
use crate::memory::protect::Unprotected;
use crate::memory::protections::Use;
use crate::memory::undone::Undone;
use crate::model::Protection;
use crate::os::OsError;
use crate::units::{ByteCount, ByteRange, WasmPages};

/// A memory on the heap, for many at a time.
#[derive(Debug)]
pub struct SharedMemory {
    place: Movable<Place<PageMap>>,
    kept: OnceBox<Kept>,
}

impl SharedMemory {
    /// A memory of this size in a block that is as long and all zero.
    #[must_use]
    pub fn new(block: Block, size: WasmPages) -> Self {
        Self { place: Movable::new(Place::new(block, size)), kept: OnceBox::new() }
    }

    /// Its size.
    ///
    /// # Errors
    /// [`Undone::Moving`].
    pub fn size(&self) -> Result<WasmPages, Undone> {
        self.within(Place::size)
    }

    /// Appends the range's bytes to `out`, whose length is unchanged on failure.
    ///
    /// # Errors
    /// [`Undone`] where the range is protected, the memory moves, or the host failed under it.
    pub fn read(&self, range: ByteRange, out: &mut Vec<u8>) -> Result<(), Undone> {
        self.admit(range, Use::Read)?;
        Ok(self.within(|place| place.read(range, out))??)
    }

    /// Carries a plan out.
    ///
    /// # Errors
    /// [`Undone`] where its range is protected, the memory moves, or the host failed in the middle:
    /// then bytes are lost.
    pub fn apply(&self, plan: &Plan<'_>) -> Result<(), Undone> {
        self.admit(plan.range(), Use::Write)?;
        Ok(self.within(|place| place.apply(plan))??)
    }

    /// That no byte of the range is protected from such an access.
    ///
    /// # Errors
    /// [`Undone::Protected`].
    pub fn admit(&self, range: ByteRange, wanted: Use) -> Result<(), Undone> {
        self.kept.get().map_or(Ok(()), |kept| kept.admit(range, wanted))
    }

    /// Whether [`Self::admit`] has nothing to refuse.
    #[must_use]
    pub fn admits_all(&self) -> bool {
        self.kept.get().is_none()
    }

    /// Sets what may be done with a range, from the next access on.
    ///
    /// # Errors
    /// [`Unprotected::TooManyRanges`]: it is as it was.
    pub fn protect(&self, range: ByteRange, to: Protection) -> Result<(), Unprotected> {
        let (_now, then) = Kept::reprotected(self.kept.get(), range, to)?;
        self.kept.get_or_init(Box::default).set(then);
        Ok(())
    }

    /// How many more ranges [`Self::protect`] would make of them.
    ///
    /// # Errors
    /// [`Unprotected::TooManyRanges`].
    pub fn protect_costs(&self, range: ByteRange, to: Protection) -> Result<u64, Unprotected> {
        let (now, then) = Kept::reprotected(self.kept.get(), range, to)?;
        Ok(then.more_than(&now) as u64)
    }

    /// What the kernel says that it holds.
    ///
    /// # Errors
    /// [`OsError`]; EAGAIN while it moves.
    pub fn held(&self) -> Result<Held, OsError> {
        self.within(|place| place.block().held(place.size().bytes()))
            .unwrap_or_else(|_moving| Err(OsError::again("mincore")))
    }

    /// What it was given.
    #[must_use]
    pub fn placed(&self) -> Placed {
        Block::PLACED
    }

    /// Its size, and how long its block is.
    pub(in crate::memory) fn lengths(&self) -> Result<(WasmPages, ByteCount), Undone> {
        self.within(|place| (place.size(), place.block().room()))
    }

    /// Lets nobody in from here on; to be awaited until everybody is out. None where it is growing
    /// already.
    pub fn freeze(&self) -> Option<Freezing<'_, Place<PageMap>>> {
        self.place.freeze()
    }

    /// As a memory that nobody uses any more: to be wiped and released like any other.
    #[must_use]
    pub fn into_memory(self) -> LinearMemory {
        self.place.into_inner().into_memory()
    }

    fn within<R>(&self, act: impl FnOnce(&Place<PageMap>) -> R) -> Result<R, Undone> {
        let inside = self.place.enter().ok_or(Undone::Moving)?;
        Ok(inside.with(act))
    }
}

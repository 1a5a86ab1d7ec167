//! [`AnyMemory`]: a memory of whichever kind its spec asked for, and [`Hand`]: what the holder of its
//! lock can do with it.
//!
//! ```text
//! Mapped                 never moves: grown beside its reads and writes
//! Heap::Shared           moves: grown while nobody reads or writes
//! Heap::Exclusive        moves, and is reached by `&mut` only: even reads have it one at a time
//! ```
//!
//! Law: the kind is decided at create and never changes. Who may hold what is the lock's business; here
//! a kind that needs all of it cannot be reached by less. What has ended is one kind only, whatever it
//! was: it never grows again. As with [`LinearMemory`], there may be a million of these.

use crate::memory::allocator::{Held, PageAllocator, Placed};
use crate::memory::heap::{Alone, ExclusiveMemory, SharedMemory};
use crate::memory::layout::Layout;
use crate::memory::linear::{LinearMemory, Uncreated};
use crate::memory::plan::Plan;
use crate::memory::protect::Unprotected;
use crate::memory::protections::Use;
use crate::memory::refused::Going;
use crate::memory::undone::Undone;
use crate::memory::volatile::{PurgeStep, Remembered, TooManyVolatile};
use crate::model::{Allocator, Protection};
use crate::os::OsError;
use crate::units::{ByteCount, ByteRange, WasmPages};

/// One memory, of one of the kinds.
#[derive(Debug)]
pub enum AnyMemory {
    /// In address space of its own.
    Mapped(LinearMemory),
    /// On the process's heap.
    Heap(Box<HeapMemory>),
}

/// One memory on the heap.
#[derive(Debug)]
pub enum HeapMemory {
    /// For one at a time.
    Exclusive(Alone<ExclusiveMemory>),
    /// For many at a time.
    Shared(SharedMemory),
}

impl From<LinearMemory> for AnyMemory {
    fn from(memory: LinearMemory) -> Self {
        Self::Mapped(memory)
    }
}

impl AnyMemory {
    /// A memory of the layout's initial size, all zero, of the kind that its form asks for.
    ///
    /// # Errors
    /// [`Uncreated`], with what is left behind where the host did not take it back.
    pub fn create(
        allocator: &dyn PageAllocator,
        layout: &Layout,
        going: Going<'_>,
    ) -> Result<Self, Uncreated> {
        let form = &layout.form;
        if form.allocator != Allocator::Heap {
            return LinearMemory::create(allocator, layout, going).map(Self::Mapped);
        }
        let initial = layout.initial;
        let block = allocator
            .block(initial.bytes(), form.populate, going)
            .map_err(|refused| Uncreated { refused, left: None })?;
        Ok(Self::Heap(Box::new(if form.is_shared {
            HeapMemory::Shared(SharedMemory::new(block, initial))
        } else {
            HeapMemory::Exclusive(Alone::new(ExclusiveMemory::new(block, initial)))
        })))
    }

    /// Whether it is reached by `&mut` only.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        matches!(self, Self::Heap(heap) if matches!(**heap, HeapMemory::Exclusive(_)))
    }

    /// For a holder among others; none where there may be no others.
    #[must_use]
    pub fn hand(&self) -> Option<Hand<'_>> {
        match self {
            Self::Mapped(memory) => Some(Hand::Mapped(memory)),
            Self::Heap(heap) => match &**heap {
                HeapMemory::Shared(memory) => Some(Hand::Shared(memory)),
                HeapMemory::Exclusive(_) => None,
            },
        }
    }

    /// For who has it alone.
    #[must_use]
    pub fn hand_alone(&mut self) -> Hand<'_> {
        match self {
            Self::Mapped(memory) => Hand::Mapped(memory),
            Self::Heap(heap) => match &mut **heap {
                HeapMemory::Shared(memory) => Hand::Shared(memory),
                HeapMemory::Exclusive(memory) => Hand::Exclusive(memory.get_mut()),
            },
        }
    }

    /// As a memory that nobody uses any more: to be wiped and released.
    #[must_use]
    pub fn ended(self) -> LinearMemory {
        match self {
            Self::Mapped(memory) => memory,
            Self::Heap(heap) => match *heap {
                HeapMemory::Shared(memory) => memory.into_memory(),
                HeapMemory::Exclusive(memory) => memory.into_inner().into_memory(),
            },
        }
    }
}

/// What the holder of a memory's lock has of it.
#[derive(Debug)]
pub enum Hand<'a> {
    /// It stays where it is.
    Mapped(&'a LinearMemory),
    /// It stays where it is while anyone is inside.
    Shared(&'a SharedMemory),
    /// Nobody else has any of it.
    Exclusive(&'a mut ExclusiveMemory),
}

impl Hand<'_> {
    /// Appends the range's bytes to `out`, whose length is unchanged on failure.
    ///
    /// # Errors
    /// [`Undone`] where the range is protected, or the host failed under it.
    pub fn read(&mut self, range: ByteRange, out: &mut Vec<u8>) -> Result<(), Undone> {
        match self {
            Self::Mapped(memory) => memory.read(range, out),
            Self::Shared(memory) => memory.read(range, out),
            Self::Exclusive(memory) => memory.read(range, out),
        }
    }

    /// Carries a plan out.
    ///
    /// # Errors
    /// [`Undone`] where its range is protected, or the host failed in the middle: then bytes are lost.
    pub fn apply(&mut self, plan: &Plan<'_>) -> Result<(), Undone> {
        match self {
            Self::Mapped(memory) => memory.apply(plan),
            Self::Shared(memory) => memory.apply(plan),
            Self::Exclusive(memory) => memory.apply(plan),
        }
    }

    /// Makes a range zero and gives the RAM of its whole host pages back where it can be had again at
    /// once; how much that was: on the heap, none.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn discard(&mut self, range: ByteRange) -> Result<ByteCount, Undone> {
        match self {
            Self::Mapped(memory) => memory.discard(range),
            heap => heap.apply(&Plan::fill(range, 0)).map(|()| ByteCount::ZERO),
        }
    }

    /// That no byte of the range is protected from such an access or purged: for who goes on in
    /// slices, of which none may be refused after the first.
    ///
    /// # Errors
    /// [`Undone::Protected`], [`Undone::Purged`].
    pub fn admit(&self, range: ByteRange, wanted: Use) -> Result<(), Undone> {
        match self {
            Self::Mapped(memory) => memory.admit(range, wanted),
            Self::Shared(memory) => memory.admit(range, wanted),
            Self::Exclusive(memory) => memory.admit(range, wanted),
        }
    }

    /// Whether [`Self::admit`] has nothing to refuse, whatever it is asked.
    #[must_use]
    pub fn admits_all(&self) -> bool {
        match self {
            Self::Mapped(memory) => memory.admits_all(),
            Self::Shared(memory) => memory.admits_all(),
            Self::Exclusive(memory) => memory.admits_all(),
        }
    }

    /// How many more mappings [`Self::protect`] may cost.
    ///
    /// # Errors
    /// [`Unprotected::TooManyRanges`].
    pub fn protect_costs(&self, range: ByteRange, to: Protection) -> Result<u64, Unprotected> {
        match self {
            Self::Mapped(memory) => memory.protect_costs(range, to),
            Self::Shared(memory) => memory.protect_costs(range, to),
            Self::Exclusive(memory) => memory.protect_costs(range, to),
        }
    }

    /// Sets what may be done with a range: in every access's own check and, where its mappings are its
    /// own, also by the kernel.
    ///
    /// # Errors
    /// [`Unprotected`]: it is as it was.
    pub fn protect(&mut self, range: ByteRange, to: Protection) -> Result<(), Unprotected> {
        match self {
            Self::Mapped(memory) => memory.protect(range, to),
            Self::Shared(memory) => memory.protect(range, to),
            Self::Exclusive(memory) => memory.protect(range, to),
        }
    }

    /// How many more ranges are to be paid for before [`Self::set_volatile`].
    ///
    /// # Errors
    /// [`TooManyVolatile`].
    pub fn volatile_costs(
        &self,
        range: ByteRange,
        age: Option<u64>,
    ) -> Result<usize, TooManyVolatile> {
        match self {
            Self::Mapped(memory) => memory.volatile_costs(range, age),
            Self::Shared(_) | Self::Exclusive(_) => Ok(0),
        }
    }

    /// Lets a range's bytes go from now on, in order of that age, or has them stay. On the heap they
    /// always do: its pages are not the kernel's to take back.
    ///
    /// # Errors
    /// [`TooManyVolatile`]: it is as it was.
    pub fn set_volatile(
        &self,
        range: ByteRange,
        age: Option<u64>,
    ) -> Result<Remembered, TooManyVolatile> {
        match self {
            Self::Mapped(memory) => memory.set_volatile(range, age),
            Self::Shared(_) | Self::Exclusive(_) => Ok(Remembered::default()),
        }
    }

    /// Purges some of what has that age: whole host pages, `at_most` bytes of them or one.
    ///
    /// # Errors
    /// [`OsError`]: nothing of it went.
    pub fn purge(&self, age: u64, at_most: ByteCount) -> Result<PurgeStep, OsError> {
        match self {
            Self::Mapped(memory) => memory.purge(age, at_most),
            Self::Shared(_) | Self::Exclusive(_) => Ok(PurgeStep::Nothing),
        }
    }

    /// What the kernel says that it holds.
    ///
    /// # Errors
    /// [`OsError`].
    pub fn held(&self) -> Result<Held, OsError> {
        match self {
            Self::Mapped(memory) => memory.held(),
            Self::Shared(memory) => memory.held(),
            Self::Exclusive(memory) => memory.held(),
        }
    }

    /// What it was given.
    #[must_use]
    pub fn placed(&self) -> Placed {
        match self {
            Self::Mapped(memory) => memory.placed(),
            Self::Shared(memory) => memory.placed(),
            Self::Exclusive(memory) => memory.placed(),
        }
    }

    /// The bytes that are charged for it at that size.
    #[must_use]
    pub fn committed(&self, size: WasmPages) -> ByteCount {
        match self {
            Self::Mapped(memory) => memory.committed(size),
            Self::Shared(_) | Self::Exclusive(_) => size.bytes(),
        }
    }
}

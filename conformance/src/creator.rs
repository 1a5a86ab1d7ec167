//! [`Creator`]: wasmtime's `MemoryCreator` over linmemd's memories.
//!
//! A creator belongs to an engine, an engine to several [`Variant`]s; which of them the next memory
//! is to be is said on the thread that instantiates ([`hand_out`]). A thread that was not told gets
//! no memory, so nothing is tested by accident on another kind than the one named.
//!
//! Law: what wasmtime was promised of reservation and guard is checked against what the layout has,
//! because the code that it compiles relies on it unseen. Imported shared memories and those that
//! the host makes (`spectest`'s) do not come through here: wasmtime makes them itself.

#![expect(unsafe_code, reason = "implements wasmtime's traits, which are promises of addresses")]

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use linmemd::memory::{
    Alone, AnyMemory, ExclusiveMemory, GuardKind, HeapMemory, LinearMemory, PageAllocator, Place,
    Plan, PublishedSize,
};
use linmemd::model::{IndexType, Populate};
use linmemd::units::{ByteCount, ByteRange, WasmPages};
use wasmtime::{MemoryCreator, MemoryType};

use crate::variant::{Ask, Room, Variant};

/// A memory up to this size is written whole before it is given back, so that the next owner of its
/// pages meets zeros only if the wipe reached every byte, and is looked at whole. A longer one is
/// dropped.
const DIRTIED: u64 = 1 << 20;
const DIRT: u8 = 0xA5;

thread_local! {
    static HANDED_OUT: RefCell<Option<Handed>> = const { RefCell::new(None) };
}

/// What the memories made on this thread are to be.
#[derive(Clone, Debug)]
struct Handed {
    variant: &'static Variant,
    room: Room,
    tally: Arc<Tally>,
}

/// What became of the memories of one [`hand_out`].
#[derive(Debug, Default)]
pub struct Tally {
    created: AtomicU64,
    in_slabs: AtomicU64,
    returned: AtomicU64,
    unreturned: AtomicU64,
}

impl Tally {
    /// A memory was given up: whether the host took it.
    fn note(&self, returned: bool) {
        let count = if returned { &self.returned } else { &self.unreturned };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls of the creator that made a memory.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// Those of them between guards of a slab.
    #[must_use]
    pub fn in_slabs(&self) -> u64 {
        self.in_slabs.load(Ordering::Relaxed)
    }

    /// Whether every memory was given back, and the host took it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.unreturned.load(Ordering::Relaxed) == 0
            && self.returned.load(Ordering::Relaxed) == self.created()
    }
}

/// Makes every memory that `work` instantiates on this thread one of this variant, and says what
/// became of them.
pub fn hand_out<T>(
    variant: &'static Variant,
    room: Room,
    work: impl FnOnce() -> T,
) -> (T, Arc<Tally>) {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            HANDED_OUT.set(None);
        }
    }
    let tally = Arc::new(Tally::default());
    HANDED_OUT.set(Some(Handed { variant, room, tally: Arc::clone(&tally) }));
    let reset = Reset;
    let outcome = work();
    drop(reset);
    (outcome, tally)
}

/// Makes memories of the kind that was handed out on the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Creator;

// SAFETY: new_memory() gives a memory that nobody else has, that is zero, whose room is at least
// `reserved` bytes followed by `guard` inaccessible ones (Variant::create checks both), and whose
// capacity is no more than what the compiled code takes for its bound (Room's law).
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn wasmtime::LinearMemory>, String> {
        let handed = HANDED_OUT.with_borrow(Clone::clone);
        let Some(Handed { variant, room, tally }) = handed else {
            return Err("no kind of memory was handed out on this thread".to_owned());
        };
        let ask = Ask {
            index_type: if ty.is_64() { IndexType::I64 } else { IndexType::I32 },
            initial: whole_pages(minimum)?,
            maximum: ty.maximum(),
            reserved: bytes(reserved.unwrap_or(0)),
            guard: bytes(guard),
            room,
        };
        let (mut memory, room) = variant.create(&ask)?;
        if !reads_zero(&mut memory, ask.initial) {
            return Err(format!("a new memory on {} is not zero", variant.name));
        }
        tally.created.fetch_add(1, Ordering::Relaxed);
        if memory.hand_alone().placed().guard == GuardKind::GuardInstall {
            tally.in_slabs.fetch_add(1, Ordering::Relaxed);
        }
        let size = PublishedSize::at(ask.initial);
        match memory {
            AnyMemory::Mapped(memory) => {
                Ok(Box::new(HostMemory { memory: Some(memory), size, room, tally }))
            }
            AnyMemory::Heap(memory) => match *memory {
                HeapMemory::Exclusive(memory) => {
                    let allocator = variant.allocator()?;
                    Ok(Box::new(MovingMemory::new(
                        memory.into_inner(),
                        allocator,
                        size,
                        room,
                        tally,
                    )))
                }
                HeapMemory::Shared(_) => {
                    Err("the engine has shared memories of its own".to_owned())
                }
            },
        }
    }
}

/// One memory, as wasmtime holds it.
struct HostMemory {
    /// There until drop.
    memory: Option<LinearMemory>,
    size: PublishedSize,
    room: WasmPages,
    tally: Arc<Tally>,
}

// SAFETY: base() is one address for as long as the memory lives, which is as long as this value
// does; the bytes below byte_size() are readable and writable, and grow_to() raises it only after
// the pages are open; what follows, up to room and guard, is inaccessible.
unsafe impl wasmtime::LinearMemory for HostMemory {
    fn byte_size(&self) -> usize {
        self.size.bytes().as_usize()
    }

    fn byte_capacity(&self) -> usize {
        self.room.bytes().as_usize()
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        let to = whole_pages(new_size).map_err(wasmtime::Error::msg)?;
        let Some(memory) = self.memory.as_ref().filter(|_| to <= self.room) else {
            return Err(wasmtime::Error::msg(format!("{to} do not fit into {}", self.room)));
        };
        memory.open(to, &|| true).map_err(|error| wasmtime::Error::msg(format!("{error:?}")))?;
        memory.publish(to, &self.size);
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.memory.as_ref().map_or(std::ptr::null_mut(), |memory| memory.base().as_ptr())
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        let size = self.size.bytes();
        let returned = if size.get() > DIRTIED {
            drop(memory);
            true
        } else {
            let dirtied = ByteRange::within(0, size.get(), size)
                .is_ok_and(|whole| memory.apply(&Plan::fill(whole, DIRT)).is_ok());
            dirtied && memory.release().is_ok()
        };
        self.tally.note(returned);
    }
}

impl fmt::Debug for HostMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostMemory").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// One memory of the heap, as wasmtime holds it: it is elsewhere after each growth.
struct MovingMemory {
    /// There until drop.
    memory: Option<Alone<ExclusiveMemory>>,
    /// Where its bytes are now.
    base: *mut u8,
    allocator: &'static dyn PageAllocator,
    size: PublishedSize,
    room: WasmPages,
    tally: Arc<Tally>,
}

// SAFETY: the address is the memory's, which belongs to no thread; all else is Send.
unsafe impl Send for MovingMemory {}
// SAFETY: a shared reference gives the address and the size, which change by `&mut` only.
unsafe impl Sync for MovingMemory {}

impl MovingMemory {
    fn new(
        mut memory: ExclusiveMemory,
        allocator: &'static dyn PageAllocator,
        size: PublishedSize,
        room: WasmPages,
        tally: Arc<Tally>,
    ) -> Self {
        let base = memory.base().as_ptr();
        Self { memory: Some(Alone::new(memory)), base, allocator, size, room, tally }
    }
}

// SAFETY: base is the address of byte 0 until the next growth, which may move it (memory_may_move), and
// the bytes below byte_size() are readable and writable there; nothing is promised of what follows, and
// compiled code compares every access with the size (Bounds::Software).
unsafe impl wasmtime::LinearMemory for MovingMemory {
    fn byte_size(&self) -> usize {
        self.size.bytes().as_usize()
    }

    fn byte_capacity(&self) -> usize {
        self.size.bytes().as_usize()
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        let debug = |error: &dyn fmt::Debug| wasmtime::Error::msg(format!("{error:?}"));
        let to = whole_pages(new_size).map_err(wasmtime::Error::msg)?;
        let Some(memory) = self.memory.as_mut().filter(|_| to <= self.room) else {
            return Err(wasmtime::Error::msg(format!("{to} do not fit into {}", self.room)));
        };
        let size = self.size.bytes();
        let block = self.allocator.block(to.bytes(), Populate::None, &|| true);
        let mut there = Place::new(block.map_err(|error| debug(&error))?, to);
        let here = memory.get_mut().place();
        // Compiled code wrote where it liked, and the page map knows of none of it.
        let whole = ByteRange::within(0, size.get(), size).map_err(|error| debug(&error))?;
        here.note(whole);
        let mut from = ByteCount::ZERO;
        while let Some(copied) =
            here.copy_some(&mut there, from, bytes(1 << 20)).map_err(|error| debug(&error))?
        {
            from = copied;
        }
        let old = here.settle(there, &self.size);
        self.base = memory.get_mut().base().as_ptr();
        old.release().map_err(|error| debug(&error))
    }

    fn as_ptr(&self) -> *mut u8 {
        self.base
    }
}

impl Drop for MovingMemory {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        let (mut memory, size) = (memory.into_inner(), self.size.bytes());
        let dirtied = ByteRange::within(0, size.get(), size)
            .is_ok_and(|whole| memory.apply(&Plan::fill(whole, DIRT)).is_ok());
        self.tally.note(dirtied && memory.into_memory().release().is_ok());
    }
}

impl fmt::Debug for MovingMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovingMemory").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// The tests would find it out as well, but some by waiting for ever.
fn reads_zero(memory: &mut AnyMemory, size: WasmPages) -> bool {
    let size = size.bytes();
    let mut bytes = Vec::new();
    let whole = ByteRange::within(0, size.get().min(DIRTIED), size);
    whole.is_ok_and(|whole| memory.hand_alone().read(whole, &mut bytes).is_ok())
        && bytes.iter().all(|byte| *byte == 0)
}

fn bytes(count: usize) -> ByteCount {
    ByteCount::new(count as u64)
}

/// Only whole pages: the proposal of other page sizes is not switched on.
fn whole_pages(bytes: usize) -> Result<WasmPages, String> {
    const PAGE: usize = 64 << 10;
    let whole = bytes.is_multiple_of(PAGE).then(|| WasmPages::new((bytes / PAGE) as u64));
    whole.flatten().ok_or_else(|| format!("{bytes} bytes are not so many pages"))
}

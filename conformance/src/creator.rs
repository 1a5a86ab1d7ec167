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

use linmemd::memory::{GuardKind, LinearMemory, Plan, PublishedSize};
use linmemd::model::IndexType;
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
        let (memory, room) = variant.create(&ask)?;
        if !reads_zero(&memory) {
            return Err(format!("a new memory on {} is not zero", variant.name));
        }
        tally.created.fetch_add(1, Ordering::Relaxed);
        if memory.placed().guard == GuardKind::GuardInstall {
            tally.in_slabs.fetch_add(1, Ordering::Relaxed);
        }
        let size = PublishedSize::of(&memory);
        Ok(Box::new(HostMemory { memory: Some(memory), size, room, tally }))
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
        let count = if returned { &self.tally.returned } else { &self.tally.unreturned };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for HostMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostMemory").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// The tests would find it out as well, but some by waiting for ever.
fn reads_zero(memory: &LinearMemory) -> bool {
    let size = memory.size().bytes();
    let mut bytes = Vec::new();
    let whole = ByteRange::within(0, size.get().min(DIRTIED), size);
    whole.is_ok_and(|whole| memory.read(whole, &mut bytes).is_ok())
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

//! [`Variant`]: the kinds of memory that the official tests run on, and the engine that fits each.
//!
//! To add one: a function that makes its allocator, and a line in [`VARIANTS`].
//!
//! Law: the code that an engine compiles trusts its configuration, so a variant's layout has at
//! least what [`Bounds`] says, and its capacity is never past what that code takes for the bound.

use std::fmt;
use std::sync::{Arc, LazyLock};

use linmemd::memory::{
    AnyMemory, FixedAllocator, HeapAllocator, Layout, MmapAllocator, PageAllocator,
};
use linmemd::model::{
    Allocator as Source, Form, Growth, Guard, IndexType, PageKind, Populate, Shape,
};
use linmemd::os;
use linmemd::os::kernel::Linux;
use linmemd::units::{ByteCount, WasmPages};
use wasmtime::{Config, Engine};

use crate::creator::Creator;
use crate::testsuite::File;

/// Every kind of memory that compiled code can be let loose on. Memory files are none of them: past
/// the end of one an access is SIGBUS, which wasmtime on Linux does not make a trap of. Nor shared
/// memories of the heap: those that code shares are the engine's own, and may not move.
pub static VARIANTS: [Variant; 7] = [
    Variant {
        name: "dedicated",
        bounds: Bounds::Checked,
        room: Room::Ample,
        allocator: &DEDICATED,
        form: Form::default,
    },
    Variant {
        name: "slab",
        bounds: Bounds::Checked,
        room: Room::Small,
        allocator: &SLABS,
        form: Form::default,
    },
    Variant {
        name: "slab, populated",
        bounds: Bounds::Checked,
        room: Room::Small,
        allocator: &SLABS,
        form: || Form { populate: Populate::OnGrow, ..Form::default() },
    },
    Variant {
        name: "transparent",
        bounds: Bounds::Checked,
        room: Room::Ample,
        allocator: &DEDICATED,
        form: || Form {
            page_kinds: vec![PageKind::Transparent, PageKind::Base],
            ..Form::default()
        },
    },
    Variant {
        name: "guards only",
        bounds: Bounds::GuardsOnly,
        room: Room::Ample,
        allocator: &DEDICATED,
        form: Form::default,
    },
    Variant {
        name: "heap",
        bounds: Bounds::Software,
        room: Room::Ample,
        allocator: &HEAP,
        form: || Form { allocator: Source::Heap, ..Form::default() },
    },
    Variant {
        name: "fixed",
        bounds: Bounds::Software,
        room: Room::Slot,
        allocator: &FIXED,
        form: || Form { allocator: Source::Fixed, ..Form::default() },
    },
];

static DEDICATED: LazyLock<Allocator> = LazyLock::new(dedicated);
static SLABS: LazyLock<Allocator> = LazyLock::new(slabs);
static HEAP: LazyLock<Allocator> = LazyLock::new(heap);
static FIXED: LazyLock<Allocator> = LazyLock::new(fixed);

fn dedicated() -> Allocator {
    Ok(Box::new(MmapAllocator::dedicated(Arc::new(Linux))))
}

fn slabs() -> Allocator {
    match MmapAllocator::new(Arc::new(Linux)) {
        (allocator, None) => Ok(Box::new(allocator)),
        (_, Some(error)) => Err(format!("this host cannot guard slabs: {error:?}")),
    }
}

fn heap() -> Allocator {
    Ok(Box::new(HeapAllocator::new(Arc::new(Linux))))
}

fn fixed() -> Allocator {
    let slot = WasmPages::new(SMALL).ok_or("no such slot")?;
    match FixedAllocator::arrange(Arc::new(Linux), SLOTS, slot) {
        Ok(allocator) => Ok(Box::new(allocator)),
        Err(error) => Err(error.to_string()),
    }
}

/// An allocator, or why this host has none of the kind.
type Allocator = Result<Box<dyn PageAllocator>, String>;

/// What a slab's slot has on either side, and [`Bounds::Checked`] asks for.
const GUARD: u64 = 64 << 10;
/// All that a 32-bit index reaches, and as much again for the offset in the instruction.
const FOUR_GIB: u64 = 4 << 30;
/// Slots of the arena: the most memories that a file has at a time, and some more.
const SLOTS: u32 = 192;
/// The longest slot of a slab, and every slot of the arena.
const SMALL: u64 = 16;
/// Where no maximum is declared: what a 32-bit index reaches.
const AMPLE: u64 = 65_536;

/// A kind of memory.
pub struct Variant {
    /// What it is called.
    pub name: &'static str,
    /// How the compiled code keeps within bounds.
    pub bounds: Bounds,
    /// What a memory is given that may grow far.
    pub room: Room,
    allocator: &'static LazyLock<Allocator>,
    /// What is asked of the host.
    form: fn() -> Form,
}

/// How compiled code keeps within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// By comparing with the size, which it loads each time: `memory_reservation(0)`. wasmtime
    /// would otherwise compare with the reservation and leave the rest to guards, and no slot of a
    /// slab is as long as a memory without a maximum may grow. Offsets up to the guard's length are
    /// still left to the guard.
    Checked,
    /// By comparing every access with the size, which it loads each time with the address: there is
    /// nothing behind the size that would refuse. Memories may move as they grow.
    Software,
    /// Not at all: whatever index and offset can reach is reserved, and faults past the size. The
    /// layout that WASM32_FULL names.
    GuardsOnly,
}

/// What a module may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modules {
    /// One memory at most: tests that are older than the proposal hold more to be an error.
    OneMemory,
    /// As many as it likes.
    ManyMemories,
}

/// How much room a memory without a maximum, or with a high one, is given under
/// [`Bounds::Checked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// At most 1 MiB: what a slab has room for. Growth past that fails, as the specification lets
    /// it.
    Small,
    /// The same: what a slot of the arena has.
    Slot,
    /// Its maximum, and 4 GiB at most.
    Ample,
}

/// What wasmtime asks of a memory.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The width of addresses.
    pub index_type: IndexType,
    /// Size at create.
    pub initial: WasmPages,
    /// Pages that it may grow to by its type.
    pub maximum: Option<u64>,
    /// Address space that the compiled code relies on.
    pub reserved: ByteCount,
    /// Inaccessible bytes after that.
    pub guard: ByteCount,
    /// How much to give where nothing is relied on.
    pub room: Room,
}

impl Variant {
    /// The engine whose code relies on no more than this variant has.
    ///
    /// # Panics
    /// Where wasmtime refuses the configuration.
    #[must_use]
    pub fn engine(&self, modules: Modules) -> &'static Engine {
        static ENGINES: [LazyLock<Engine>; 6] = [
            LazyLock::new(|| engine(Bounds::Checked, Modules::OneMemory)),
            LazyLock::new(|| engine(Bounds::Checked, Modules::ManyMemories)),
            LazyLock::new(|| engine(Bounds::GuardsOnly, Modules::OneMemory)),
            LazyLock::new(|| engine(Bounds::GuardsOnly, Modules::ManyMemories)),
            LazyLock::new(|| engine(Bounds::Software, Modules::OneMemory)),
            LazyLock::new(|| engine(Bounds::Software, Modules::ManyMemories)),
        ];
        let [checked, checked_many, guards_only, guards_only_many, software, software_many] =
            &ENGINES;
        match (self.bounds, modules) {
            (Bounds::Checked, Modules::OneMemory) => checked,
            (Bounds::Checked, Modules::ManyMemories) => checked_many,
            (Bounds::GuardsOnly, Modules::OneMemory) => guards_only,
            (Bounds::GuardsOnly, Modules::ManyMemories) => guards_only_many,
            (Bounds::Software, Modules::OneMemory) => software,
            (Bounds::Software, Modules::ManyMemories) => software_many,
        }
    }

    /// Why this host has no such memories, where it has none.
    #[must_use]
    pub fn absence(&self) -> Option<&str> {
        self.allocator().err()
    }

    /// Why a file is not run on it, where it is not.
    #[must_use]
    pub fn leaves_out(&self, file: File) -> Option<&'static str> {
        match self.bounds {
            Bounds::Software if file.is_long() => Some(
                "a memory of 4 GiB from the start: no slot is so long, and no heap wipes so much",
            ),
            Bounds::Software if self.room == Room::Slot && file.grows_far() => {
                Some("grows past what a slot has room for, and must")
            }
            _ => None,
        }
    }

    /// One memory, and the size that it may grow to.
    ///
    /// # Errors
    /// In words: the layout falls short of what was asked, or the host refused.
    pub fn create(&self, ask: &Ask) -> Result<(AnyMemory, WasmPages), String> {
        let allocator = self.allocator()?;
        let shape = ask.shape((self.form)())?;
        let layouts = Layout::candidates(&shape, os::host_page(&Linux)).map_err(debug)?;
        let mut refused = String::new();
        for layout in layouts {
            if layout.room.bytes() < ask.reserved || layout.guard.after < ask.guard {
                return Err(format!("{layout:?} falls short of {ask:?}"));
            }
            match AnyMemory::create(allocator, &layout, &|| true) {
                Ok(memory) => return Ok((memory, layout.room)),
                Err(why) => refused = debug(why),
            }
        }
        Err(refused)
    }

    /// Where its memories come from.
    ///
    /// # Errors
    /// Why there are none.
    pub fn allocator(&self) -> Result<&dyn PageAllocator, &str> {
        match &**self.allocator {
            Ok(allocator) => Ok(&**allocator),
            Err(reason) => Err(reason),
        }
    }
}

impl Ask {
    fn shape(&self, form: Form) -> Result<Shape, String> {
        let initial = self.initial;
        let room = if self.reserved > ByteCount::ZERO && initial.bytes() <= self.reserved {
            // Compiled code takes the reservation for the bound: more room would be out of its
            // reach.
            self.reserved.get().div_ceil(GUARD)
        } else {
            let most = if self.room == Room::Ample { AMPLE } else { SMALL };
            self.maximum.unwrap_or(most).min(most).max(initial.get())
        };
        Ok(Shape {
            initial,
            maximum: WasmPages::new(room).ok_or_else(|| format!("no room for {room} pages"))?,
            index_type: self.index_type,
            growth: Growth::Allowed,
            guard: if form.allocator == Source::Heap {
                Guard::NONE
            } else {
                Guard { before: ByteCount::new(GUARD), after: self.guard }
            },
            form: form.shared(),
        })
    }
}

impl fmt::Debug for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variant").field("name", &self.name).finish_non_exhaustive()
    }
}

fn engine(bounds: Bounds, modules: Modules) -> Engine {
    let (reservation, guard) = match bounds {
        Bounds::Checked => (0, GUARD),
        Bounds::Software => (0, 0),
        Bounds::GuardsOnly => (FOUR_GIB, FOUR_GIB + GUARD),
    };
    let mut config = Config::new();
    config
        .with_host_memory(Arc::new(Creator))
        .memory_init_cow(false)
        .memory_may_move(bounds == Bounds::Software)
        .memory_reservation(reservation)
        .memory_guard_size(guard)
        // Heaps for collected objects would come from the creator too, and be counted.
        .gc_support(false)
        .wasm_exceptions(false)
        .wasm_memory64(true)
        .wasm_multi_memory(modules == Modules::ManyMemories)
        .wasm_threads(true)
        .shared_memory(true);
    Engine::new(&config).expect("a configuration that wasmtime takes")
}

fn debug(error: impl fmt::Debug) -> String {
    format!("{error:?}")
}

//! Which files of the specification's tests are here, which are not, and why.
//!
//! Law: what stands in `testsuite/` and what is listed are the same, so nothing is left out in
//! silence; a test holds it.

use std::fs;
use std::path::PathBuf;

use crate::variant::Modules;

/// A file of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Its folder below `testsuite/`.
    pub folder: &'static str,
    /// Its name without `.wast`.
    pub name: &'static str,
}

/// The folders, and the files of each that are run.
pub const FILES: [(&str, &[&str]); 6] = [
    (
        "core",
        &[
            "address",
            "align",
            "data",
            "endianness",
            "exports",
            "float_memory",
            "imports",
            "load",
            "memory",
            "memory_grow",
            "memory_redundancy",
            "memory_size",
            "memory_trap",
            "start",
            "store",
            "traps",
        ],
    ),
    ("bulk-memory", &["bulk", "memory_copy", "memory_fill", "memory_init"]),
    (
        "memory64",
        &[
            "address64",
            "align64",
            "bulk64",
            "endianness64",
            "float_memory64",
            "load64",
            "mem4g",
            "memory64",
            "memory64-imports",
            "memory_copy_mixed",
            "memory_grow64",
            "memory_init",
            "memory_redundancy64",
            "memory_trap64",
        ],
    ),
    (
        "multi-memory",
        &[
            "address0",
            "address1",
            "align0",
            "binary0",
            "data0",
            "data1",
            "data_drop0",
            "exports0",
            "float_exprs0",
            "float_exprs1",
            "float_memory0",
            "imports0",
            "imports1",
            "imports2",
            "imports3",
            "imports4",
            "linking0",
            "linking1",
            "linking2",
            "linking3",
            "load0",
            "load1",
            "load2",
            "memory-multi",
            "memory_copy0",
            "memory_copy1",
            "memory_fill0",
            "memory_grow",
            "memory_init0",
            "memory_size0",
            "memory_size1",
            "memory_size2",
            "memory_size3",
            "memory_size_import",
            "memory_trap0",
            "memory_trap1",
            "start0",
            "store0",
            "store1",
            "store2",
            "traps0",
        ],
    ),
    (
        "simd",
        &[
            "simd_address",
            "simd_align",
            "simd_load",
            "simd_load16_lane",
            "simd_load32_lane",
            "simd_load64_lane",
            "simd_load8_lane",
            "simd_load_extend",
            "simd_load_splat",
            "simd_load_zero",
            "simd_memory-multi",
            "simd_store",
            "simd_store16_lane",
            "simd_store32_lane",
            "simd_store64_lane",
            "simd_store8_lane",
        ],
    ),
    (
        "threads",
        &[
            "LB",
            "LB_atomic",
            "MP",
            "MP_atomic",
            "MP_wait",
            "SB",
            "SB_atomic",
            "atomic",
            "exports",
            "memory",
            "thread",
            "wait_notify",
        ],
    ),
];

/// Files of the memory family that are not here, each with its reason.
pub const LEFT_OUT: [(&str, &str); 10] = [
    ("core/linking", COLLECTOR),
    ("core/float_exprs", "tests arithmetic; memories are only where its operands lie"),
    ("core/skip-stack-guard-page", "tests the guard of the engine's stack"),
    ("custom-page-sizes/custom-page-sizes", "linmemd's pages are 64 KiB"),
    ("memory64/binary_leb128_64", "tests the encoding of modules, and makes no memory"),
    ("memory64/call_indirect64", "tests tables, as table64 and the table_*64 do"),
    ("memory64/memory_copy64", "is the second half of bulk-memory/memory_copy"),
    ("memory64/memory_fill64", "is the second half of bulk-memory/memory_fill"),
    ("memory64/memory_init64", "is the second half of memory64/memory_init"),
    (
        "threads/imports",
        "holds a second table to be an error, and tests imports, which are never ours",
    ),
];

const COLLECTOR: &str =
    "needs types of the engine's collector, whose heaps would come from the creator and be counted";

/// Files in which no module of their own is given a memory, each with its reason.
pub const WITHOUT_MEMORY: [(&str, &str); 2] = [
    ("multi-memory/imports1", "imports the host's memory alone, which is never ours"),
    ("multi-memory/memory_size3", "has invalid modules only"),
];

/// Files whose memories grow past what a slab has room for.
const GROWING_FAR: [&str; 2] = ["core/memory_grow", "memory64/memory_grow64"];

/// Files with a memory of 4 GiB from the start.
const LONG: [&str; 3] = ["core/data", "memory64/mem4g", "multi-memory/data1"];

/// Files that hold a second memory of a module to be an error: they are older than that proposal.
const ONE_MEMORY: [&str; 3] = ["core/imports", "threads/exports", "threads/memory"];

/// Every file, in order.
pub fn files() -> impl Iterator<Item = File> {
    FILES
        .into_iter()
        .flat_map(|(folder, names)| names.iter().map(move |name| File { folder, name }))
}

/// Where the files are.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testsuite")
}

impl File {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        root().join(self.folder).join(self.name).with_extension("wast")
    }

    /// Why it makes no memory, where it makes none.
    #[must_use]
    pub fn without_memory(&self) -> Option<&'static str> {
        let own = self.to_string();
        WITHOUT_MEMORY.iter().find(|(file, _)| *file == own).map(|(_, reason)| *reason)
    }

    /// Whether its memories grow past what a slab has room for.
    #[must_use]
    pub fn grows_far(&self) -> bool {
        GROWING_FAR.contains(&self.to_string().as_str())
    }

    /// Whether a memory of it has 4 GiB from the start.
    #[must_use]
    pub fn is_long(&self) -> bool {
        LONG.contains(&self.to_string().as_str())
    }

    /// What its modules may have.
    #[must_use]
    pub fn modules(&self) -> Modules {
        let one = ONE_MEMORY.contains(&self.to_string().as_str());
        if one { Modules::OneMemory } else { Modules::ManyMemories }
    }

    /// What it says.
    ///
    /// The threads proposal's last modules import a memory under a name that only their threads
    /// have registered; here a registration is a thread's own, so it is said once more for them.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    pub fn text(&self) -> String {
        let text = fs::read_to_string(self.path()).expect("a listed file");
        text.replace("\n(module $Check", "\n(register \"mem\" $Mem)\n(module $Check")
    }
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.folder, self.name)
    }
}

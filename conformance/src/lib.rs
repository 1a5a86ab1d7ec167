//! linmemd's memories as wasmtime's host memory.
//!
//! ```text
//! tests/official.rs    each file of testsuite/, on each Variant
//! benches/pooling.rs   a slab's memory beside one of wasmtime's pooling allocator
//!      │
//! testsuite            which files there are, and which were left out, and why
//! variant              the kinds of memory, and the engine that fits each
//! creator              wasmtime's MemoryCreator over linmemd::memory
//! ```
//!
//! A package of its own, with its own lock file: no engine is in the product's tree. What the
//! daemon never does, running code on a memory in place, is done here, so that the specification's
//! own tests judge its memories: their zeros, their sizes, their growth and their guards.

pub mod creator;
pub mod testsuite;
pub mod variant;

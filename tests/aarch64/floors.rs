//! The os and memory floors and the ground, and what those use, as a library of their own: what
//! `tests/aarch64/run` compiles for another machine. Has nothing that `src/` has not.

#[path = "../../src/checksum.rs"]
pub mod checksum;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/memory/mod.rs"]
pub mod memory;
#[path = "../../src/model/mod.rs"]
pub mod model;
#[path = "../../src/os/mod.rs"]
pub mod os;
#[path = "../../src/units.rs"]
pub mod units;

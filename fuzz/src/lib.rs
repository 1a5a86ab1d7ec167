//! Fuzz targets: one for every decoder of linmemd that a stranger can reach, and one that drives
//! random programs against the product's own model.
//!
//! ```text
//! seeds/  ──> bin/fuzz.rs (libFuzzer) ──┐                ┌─> world.rs: the daemon, whole
//! corpus/ ──> bin/replay.rs ────────────┴─> targets/ ────┼─> known.rs: one that asks who calls
//!                                                        └─> law.rs: what holds of every answer
//! ```
//!
//! Law: a target goes in through the door that strangers have, keeps no copy of what it tests, and
//! checks more than that nothing panics; what it checks is said at its top. `run` in this folder
//! builds, runs and reports; `FUZZ_FAULT=1` plants a bug for each (`planted.rs`).

#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../../tests/core/floors.rs"]
mod floors;
mod hardware;
mod known;
mod law;
mod log;
mod model;
mod mutate;
mod planted;
mod rpcs;
mod script;
pub mod seeds;
mod talk;
mod targets;
mod tree;
mod unconfined;
mod world;

pub use mutate::{Blind, Form, mutate};
pub use targets::{TARGETS, Target, target};

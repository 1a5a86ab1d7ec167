//! What the confined daemon can do, and what who took it over could: each system call of each role both
//! ways, attacks from inside, and the real program.
//!
//! Owns: the children in which this is tried. Law: what is refused is also shown to be possible without
//! the confinement, so that no claim holds for another reason; a call that is allowed is shown to be
//! refused where it is taken off the list.

mod attacks;
mod calls;
mod child;
mod daemon;
mod secured;
#[path = "../serving/mod.rs"]
mod serving;

use std::io::{Write, stderr};

/// A line past the test harness, which keeps what passed tests print.
fn say(line: &str) {
    writeln!(stderr(), "{line}").expect("standard error");
}

/// Whether this process has a capability, without which some attacks are not possible at all.
fn has(capability: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("the own status");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("CapEff");
    u64::from_str_radix(line.trim(), 16).expect("a number") & (1 << capability) != 0
}

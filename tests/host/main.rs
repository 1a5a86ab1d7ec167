//! What only a special host can show: a lowered `vm.max_map_count`, a million memories, 16 GiB of
//! fills, a memory limit of a real control group.
//!
//! Owns: the claims' modules and the one line that is said where they are left out. Law: they run
//! only where `HOST_TESTS` names a release daemon, as root, one at a time (`.ci/run` does
//! so); what they change of the host is put back, whatever happens. What needs no more than a shell
//! (metrics' lint, a real file) stands beside as scripts.

mod confined;
#[path = "../control_group/mod.rs"]
mod control_group;
mod daemon;
mod group;
mod huge_pages;
mod locked;
mod mappings;
mod million;
mod neighbour;
mod overload;
mod partition;
mod purge;
#[path = "../serving/mod.rs"]
mod serving;
#[path = "../stops/mod.rs"]
mod stops;
mod tenants;

use std::io::{Write, stderr};

/// The daemon's own, so that what is counted in this process is what a daemon would use.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The release daemon to test, or why this test is left out, said so that nobody misses it.
fn host(test: &str) -> Option<String> {
    let daemon = std::env::var("HOST_TESTS").ok();
    if daemon.is_none() {
        say(&format!("{test}: left out; needs root and a release daemon, and .ci/run gives both"));
    }
    daemon
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// A line past the test harness, which keeps what passed tests print.
fn say(line: &str) {
    writeln!(stderr(), "{line}").expect("standard error");
}

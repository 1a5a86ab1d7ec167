//! A million hostile inputs over real sockets, in named shapes, beside an honest tenant.
//!
//! ```text
//! HOST_TESTS=path/to/linmemd cargo test --test hostile [-- SHAPE...]
//! ```
//!
//! Owns: the roles of this program, which starts itself as attacker, spinner and honest tenant, and the
//! words by which it is run:
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `HOST_TESTS` | the daemon; left out without it | - |
//! | `HOSTILE_INPUTS` | inputs of all shapes together | 1,000,000 |
//! | `HOSTILE_SEED` | what all randomness follows from | the time |
//! | `HOSTILE_FROM` | the number of the first input, to make one again | 0 |
//! | `HOSTILE_SECONDS` | each shape attacks for so long at least | 5 |
//! | `HOSTILE_ROUNDS` | attacks of each shape; the median ratio counts | 3 |
//! | `HOSTILE_RATIO` | the honest p99 beside a shape over that beside a spinner, at most | 2.0 |
//! | `HOSTILE_GROWN` | hundredths of what was resident before a shape that may be so 30 s after | 105 |
//!
//! Law: as root, for the attackers' control group; a shape that cannot be is named and left out. What is
//! found is a named test of `wire` before it is mended.

mod attacker;
mod boundary;
mod calls;
mod certificate;
#[path = "../control_group/mod.rs"]
mod control_group;
mod descriptors;
mod half_a_core;
mod honest;
mod protobuf;
mod resident;
#[path = "../serving/mod.rs"]
mod serving;
mod shapes;
mod siege;
#[path = "../stops/mod.rs"]
mod stops;
mod table;
mod wire;

use std::io::{Write, stderr};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use linmemd::os::process::raise_open_files;

use crate::attacker::{Amount, Order};
use crate::certificate::Certificate;

/// What a child is: `attacker`, `spinner` or `honest`.
const ROLE: &str = "HOSTILE_ROLE";
const SHAPE: &str = "HOSTILE_SHAPE";
const TARGET: &str = "HOSTILE_TARGET";
const SEED: &str = "HOSTILE_SEED";
const FROM: &str = "HOSTILE_FROM";
const INPUTS: &str = "HOSTILE_INPUTS";
/// The certificate of a daemon that speaks TLS.
const CA: &str = "HOSTILE_CA";
const SECONDS: &str = "HOSTILE_SECONDS";
const ROUNDS: &str = "HOSTILE_ROUNDS";
const GROWN: &str = "HOSTILE_GROWN";

fn main() -> ExitCode {
    let Some(role) = text(ROLE) else { return parent() };
    let seconds = Duration::from_secs(number(SECONDS).unwrap_or(5));
    let target = text(TARGET);
    let went_well = match (role.as_str(), target) {
        ("attacker", Some(target)) => {
            raise_open_files();
            let name = text(SHAPE).expect("a shape");
            let shape = shapes::ALL.iter().find(|shape| shape.name == name).expect("a shape");
            let order = Order {
                target: target.parse().expect("an address"),
                seed: number(SEED).expect("a seed"),
                from: number(FROM).unwrap_or(0),
                inputs: 0,
            };
            let inputs = number(INPUTS).expect("a number of inputs");
            let at_most = seconds.max(Duration::from_secs(1)) * 60;
            attacker::run(shape, order, Amount { inputs, at_least: seconds, at_most })
        }
        ("honest", Some(target)) => {
            honest::run(&target, text(CA).as_deref().map(Path::new), seconds)
        }
        _ => {
            let end = Instant::now() + seconds;
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            true
        }
    };
    if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parent() -> ExitCode {
    let Some(program) = text("HOST_TESTS") else {
        say("hostile sockets: left out; needs root and a daemon, and .ci/run gives both");
        return ExitCode::SUCCESS;
    };
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    let mut went_well = true;
    if is_wanted("descriptors") {
        went_well &= descriptors::run(&program);
    }
    let chosen = shapes::ALL.iter().filter(|shape| is_wanted(shape.name));
    let (of_tls, of_none): (Vec<_>, Vec<_>) = chosen.partition(|shape| shape.is_of_tls());
    if !of_none.is_empty() {
        went_well &= siege::run(&program, &of_none, None);
    }
    if !of_tls.is_empty() {
        went_well &= siege::run(&program, &of_tls, Some(Certificate::new()));
    }
    if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    text(name).map(|value| value.replace('_', "").parse().unwrap_or_else(|_| panic!("{name}")))
}

/// A line for people.
fn say(line: &str) {
    writeln!(stderr(), "{line}").expect("standard error");
}

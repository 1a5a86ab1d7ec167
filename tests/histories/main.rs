//! Histories of concurrent operations against a real daemon, checked for linearizability: each operation
//! is atomic on its memory, and a group is whole or not at all (the API's page, section 2).
//!
//! ```text
//! script    what a client asks next, from a seed     model     one memory, one call at a time
//! door      a call over gRPC, one connection each    checker   is there an order that explains it all
//! recorder  eight clients, one clock, pieces         faults    promises broken between the two, by name
//! ```
//!
//! Law: what is recorded is all that a client saw, and every record is checked; what is not decided is
//! not accepted. The same recorder and checker must find every planted fault. `HISTORY_OPERATIONS` says
//! how many operations are recorded (20,000 where it is absent), `HISTORY_SEED` from which seed.

mod checker;
mod checker_tests;
mod daemon;
mod door;
mod faults;
mod history;
mod model;
mod recorder;
mod script;
#[path = "../serving/mod.rs"]
mod serving;
mod wording;

use std::collections::BTreeMap;
use std::time::Instant;

use crate::checker::{Checker, Figures, Refused};
use crate::daemon::Daemon;
use crate::faults::Fault;
use crate::history::{CLIENTS, MEMORIES, Record};
use crate::model::State;
use crate::recorder::Recorder;

/// Calls of each client between two meetings of all.
const BETWEEN_MEETINGS: usize = 60;
/// Within how many operations every planted fault must be found.
const BOUND: u64 = 40_000;

fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
        Err(_absent) => otherwise,
    }
}

#[expect(clippy::print_stderr, reason = "figures are for who reads the log")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// The checkers of all memories, which go through the pieces together.
struct Checkers {
    all: Vec<Checker>,
    checked: u64,
}

impl Checkers {
    fn new() -> Self {
        let all = (0..MEMORIES).map(|_| Checker::new(State::ABSENT)).collect();
        Self { all, checked: 0 }
    }

    /// Checks a piece; where it is refused, after how many operations, and why.
    fn take(&mut self, piece: &[Record]) -> Result<(), (u64, Refused)> {
        for (memory, checker) in self.all.iter_mut().enumerate() {
            let own = |record: &&Record| record.call.memory == memory;
            let own: Vec<Record> = piece.iter().filter(own).cloned().collect();
            if let Err(refused) = checker.take(&own) {
                let back = match &refused {
                    Refused::NotLinearizable { at, .. } => {
                        piece.iter().filter(|record| record.back <= *at).count() as u64
                    }
                    Refused::UidAgain(_) | Refused::Budget => piece.len() as u64,
                };
                return Err((self.checked + back, refused));
            }
        }
        self.checked += piece.len() as u64;
        Ok(())
    }

    fn figures(&self) -> Figures {
        let mut sum = Figures::default();
        self.all.iter().for_each(|checker| sum.merge(&checker.figures));
        sum
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_recorded_history_is_linearizable() {
    let operations = number("HISTORY_OPERATIONS", 20_000);
    let seed = number("HISTORY_SEED", rand::random_range(0..1_000_000));
    say(&format!("histories: {operations} operations of {CLIENTS} clients, seed {seed}"));
    let (begun, daemon) = (Instant::now(), Daemon::start());
    let mut recorder = Recorder::start(&daemon, "h", seed, None).await;
    let (mut checkers, mut kinds, mut checking) = (Checkers::new(), BTreeMap::new(), 0.0);
    while checkers.checked < operations {
        let piece = recorder.piece(BETWEEN_MEETINGS).await;
        for record in &piece {
            *kinds.entry((record.kind(), record.ending())).or_insert(0_u64) += 1;
        }
        let checked = Instant::now();
        if let Err((after, refused)) = checkers.take(&piece) {
            panic!("seed {seed}: after {after} operations: {refused}");
        }
        checking += checked.elapsed().as_secs_f64();
    }
    for ((kind, ending), count) in &kinds {
        say(&format!("  {count:>7} {kind}: {ending}"));
    }
    let figures = checkers.figures();
    let share = figures.contended as f64 / figures.records as f64;
    say(&format!("{figures}; {checking:.1} s of {:.1} s checking", begun.elapsed().as_secs_f64()));
    assert!(share >= 0.3, "only {:.1} % overlap what they conflict with", share * 100.0);
    for due in
        ["read of a range", "cmpxchg that stored", "group", "grow", "delete", "create", "attach"]
    {
        assert!(kinds.contains_key(&(due, "OK")), "no {due} that succeeded");
    }
    for due in ["MEMORY_NOT_FOUND", "MEMORY_EXISTS", "OUT_OF_BOUNDS", "COMPARE_FAILED"] {
        assert!(kinds.keys().any(|(_, ending)| *ending == due), "no {due}");
    }
    recorder.finish().await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_planted_fault_is_found_by_the_same_checker() {
    let daemon = Daemon::start();
    let only = std::env::var("HISTORY_FAULT").ok();
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        let name = format!("{fault:?}");
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let seed = number("HISTORY_SEED", rand::random_range(0..1_000_000));
        let mut recorder = Recorder::start(&daemon, &name, seed, Some(fault)).await;
        let mut checkers = Checkers::new();
        let found = loop {
            let piece = recorder.piece(BETWEEN_MEETINGS).await;
            match checkers.take(&piece) {
                Ok(()) if checkers.checked >= BOUND => break None,
                Ok(()) => {}
                Err((_, undecided @ Refused::Budget)) => panic!("{fault:?}, {seed}: {undecided}"),
                Err((after, _)) => break Some(after),
            }
        };
        match found {
            Some(after) => say(&format!("{fault:?}: found after {after} operations (seed {seed})")),
            None => missed.push(format!("{fault:?} (seed {seed})")),
        }
        recorder.finish().await;
    }
    assert!(missed.is_empty(), "not found within {BOUND} operations: {missed:?}");
    daemon.stop();
}

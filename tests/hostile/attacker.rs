//! The child process that attacks, in rounds, until it has made its inputs and its time is over.
//!
//! Owns: [`Order`], what a round is to do; [`Tally`], what came of it; the line that tells the parent.
//! Law: every input follows from the seed and its number alone, so that one can be made again by
//! `HOSTILE_SEED=… HOSTILE_FROM=… HOSTILE_INPUTS=1` and the shape's name.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::say;
use crate::shapes::Shape;
use crate::wire::Seen;

/// What a round is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) target: SocketAddr,
    pub(crate) seed: u64,
    /// The number of the first input.
    pub(crate) from: u64,
    pub(crate) inputs: u64,
}

impl Order {
    /// What is random about an input.
    pub(crate) fn random(&self, number: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn numbers(&self) -> std::ops::Range<u64> {
        self.from..self.from + self.inputs
    }
}

/// What came of inputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) inputs: u64,
    /// Answers: OK, or what came on streams that nobody judges.
    pub(crate) answered: u64,
    /// Failures with our ErrorInfo.
    pub(crate) refused: u64,
    pub(crate) reset: u64,
    /// Connections that the daemon ended or did not take.
    pub(crate) ended: u64,
    /// Answers that must not be.
    pub(crate) bad: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.answered += other.answered;
        self.refused += other.refused;
        self.reset += other.reset;
        self.ended += other.ended;
        self.bad.extend(other.bad);
    }

    /// What was seen on a connection that had so many inputs.
    pub(crate) fn saw(&mut self, inputs: u64, seen: Seen) {
        self.inputs += inputs;
        self.answered += seen.headers;
        self.reset += seen.resets;
        self.ended += u64::from(seen.ended);
    }
}

/// A round that goes on.
pub(crate) type Attack = Pin<Box<dyn Future<Output = Tally>>>;

/// How much the child is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) inputs: u64,
    pub(crate) at_least: Duration,
    pub(crate) at_most: Duration,
}

/// Attacks and tells the parent on standard output.
pub(crate) fn run(shape: &Shape, first: Order, amount: Amount) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tally = runtime.expect("a runtime").block_on(async {
        let (mut all, begin) = (Tally::default(), Instant::now());
        let mut from = first.from;
        while (all.inputs < amount.inputs || begin.elapsed() < amount.at_least)
            && begin.elapsed() < amount.at_most
            && all.bad.is_empty()
        {
            let inputs = shape.round.min(amount.inputs.max(1));
            let tally = (shape.attack)(Order { from, inputs, ..first }).await;
            from += inputs;
            all.add(tally);
        }
        all
    });
    let Tally { inputs, answered, refused, reset, ended, bad } = &tally;
    for bad in bad.iter().take(20) {
        say(&format!("{} seed {} {bad}", shape.name, first.seed));
    }
    told(&format!("{inputs} {answered} {refused} {reset} {ended} {}", bad.len()));
    bad.is_empty()
}

/// One line to the parent.
#[expect(clippy::print_stdout, reason = "it is the way to the parent")]
pub(crate) fn told(line: &str) {
    println!("{line}");
}

impl Tally {
    /// What a child told.
    pub(crate) fn parse(line: &str) -> Option<(Self, u64)> {
        let numbers: Option<Vec<u64>> =
            line.split_whitespace().map(|word| word.parse().ok()).collect();
        let [inputs, answered, refused, reset, ended, bad] = numbers?[..] else { return None };
        Some((Self { inputs, answered, refused, reset, ended, bad: Vec::new() }, bad))
    }
}

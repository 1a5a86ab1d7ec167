//! What the comparison found.
//!
//! Owns: rounds, medians, ratios, and their print as lines or JSON. Law: a ratio is never shown
//! without both absolute figures. Does not: run anything.

use serde_json::{Value, json};

use crate::shape::Operation;

/// Both rates of one round, in the operation's unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// linmemd's.
    pub(crate) linmemd: f64,
    /// The plain server's.
    pub(crate) echo: f64,
    /// Redis's, where it was measured.
    pub(crate) redis: Option<f64>,
}

impl Round {
    fn ratio(self) -> f64 {
        self.linmemd / self.echo
    }

    fn to_redis(self) -> Option<f64> {
        self.redis.map(|redis| self.linmemd / redis)
    }

    fn redis_words(self, unit: &str) -> String {
        let words = |(redis, ratio)| format!(" redis {redis:>9.0} {unit:<8} ratio {ratio:.2}");
        self.redis.zip(self.to_redis()).map(words).unwrap_or_default()
    }
}

/// All rounds of one operation.
#[derive(Debug)]
pub(crate) struct Found {
    operation: Operation,
    calls: u64,
    rounds: Vec<Round>,
}

impl Found {
    /// Nothing yet; each run makes so many calls.
    pub(crate) fn new(operation: Operation, calls: u64) -> Self {
        Self { operation, calls, rounds: Vec::new() }
    }

    /// Adds a round; answers its line.
    pub(crate) fn add(&mut self, round: Round) -> String {
        self.rounds.push(round);
        let (name, unit) = (self.operation.name(), self.operation.unit());
        format!(
            "{name:<9} round {:<3} linmemd {:>9.0} {unit:<8} echo {:>9.0} {unit:<8} ratio {:.3}{}",
            self.rounds.len(),
            round.linmemd,
            round.echo,
            round.ratio(),
            round.redis_words(unit)
        )
    }

    /// The median of the rounds' ratios: what `--at-least` looks at.
    pub(crate) fn median_of_ratios(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.ratio()))
    }

    /// What it makes beside Redis, as a part of what is promised.
    pub(crate) fn beside_redis(&self) -> Option<f64> {
        let promised = self.operation.beside_redis()?;
        let ratios: Option<Vec<f64>> = self.rounds.iter().map(|round| round.to_redis()).collect();
        ratios.map(|ratios| median(ratios.into_iter()) / promised)
    }

    fn medians(&self) -> Round {
        Round {
            linmemd: median(self.rounds.iter().map(|round| round.linmemd)),
            echo: median(self.rounds.iter().map(|round| round.echo)),
            redis: self
                .rounds
                .iter()
                .map(|round| round.redis)
                .collect::<Option<Vec<f64>>>()
                .map(|rates| median(rates.into_iter())),
        }
    }

    /// The line under the rounds.
    pub(crate) fn summary(&self) -> String {
        let (name, unit) = (self.operation.name(), self.operation.unit());
        let medians = self.medians();
        format!(
            "{name:<9} median    linmemd {:>9.0} {unit:<8} echo {:>9.0} {unit:<8} ratio {:.3} \
             (median of {} ratios; ratio of medians {:.3}){}",
            medians.linmemd,
            medians.echo,
            self.median_of_ratios(),
            self.rounds.len(),
            medians.ratio(),
            medians.redis_words(unit)
        )
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let (connections, streams) = self.operation.concurrency();
        let medians = self.medians();
        let rounds: Vec<Value> = self
            .rounds
            .iter()
            .map(|round| {
                json!({
                    "linmemd": round.linmemd, "echo": round.echo, "ratio": round.ratio(),
                    "redis": round.redis, "ratio_to_redis": round.to_redis(),
                })
            })
            .collect();
        json!({
            "operation": self.operation.name(),
            "unit": self.operation.unit(),
            "connections": connections,
            "streams_per_connection": streams,
            "calls_per_run": self.calls,
            "rounds": rounds,
            "linmemd_median": medians.linmemd,
            "echo_median": medians.echo,
            "redis_median": medians.redis,
            "part_of_what_is_promised_beside_redis": self.beside_redis(),
            "ratio_of_medians": medians.ratio(),
            "median_of_ratios": self.median_of_ratios(),
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

//! What a bench counted and how it is told.
//!
//! Its law: a latency is one of an operation that succeeded; failures stand beside, by reason.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::bench::{BenchArgs, Shape, described, per_second};
use crate::failure::CtlError;

/// Counts of one connection, or of all.
#[derive(Debug)]
pub(crate) struct Record {
    nanoseconds: Histogram<u64>,
    failures: BTreeMap<String, u64>,
}

/// A finished bench.
#[derive(Debug)]
pub(crate) struct Report {
    pub(super) args: BenchArgs,
    pub(super) shape: Shape,
    pub(super) elapsed: Duration,
    pub(super) record: Record,
}

impl Record {
    pub(super) fn new() -> Result<Self, CtlError> {
        let nanoseconds = Histogram::new_with_bounds(1, LONGEST, 3)
            .map_err(|error| CtlError::Host(format!("no histogram: {error}")))?;
        Ok(Self { nanoseconds, failures: BTreeMap::new() })
    }

    pub(super) fn done(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(LONGEST);
        self.nanoseconds.saturating_record(nanoseconds.max(1));
    }

    pub(super) fn failed(&mut self, reason: &str) {
        match self.failures.get_mut(reason) {
            Some(count) => *count += 1,
            None => drop(self.failures.insert(reason.to_owned(), 1)),
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for value in other.nanoseconds.iter_recorded() {
            let (at, count) = (value.value_iterated_to(), value.count_at_value());
            self.nanoseconds.saturating_record_n(at, count);
        }
        for (reason, count) in other.failures {
            *self.failures.entry(reason).or_default() += count;
        }
    }

    fn count(&self) -> u64 {
        self.nanoseconds.len()
    }

    fn microseconds(&self, quantile: f64) -> f64 {
        micros(self.nanoseconds.value_at_quantile(quantile))
    }
}

impl Report {
    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        let record = &self.record;
        json!({
            "op": described(&self.shape).split(' ').next(),
            "size_bytes": self.shape.size,
            "memory_bytes": self.shape.memory_bytes,
            "connections": self.args.connections,
            "concurrency": self.args.concurrency,
            "rate": self.args.rate,
            "seconds": self.elapsed.as_secs_f64(),
            "operations": record.count(),
            "operations_per_second": self.rate(),
            "megabytes_per_second": self.megabytes(),
            "latency_microseconds": {
                "mean": record.nanoseconds.mean() / 1e3,
                "p50": record.microseconds(0.5),
                "p99": record.microseconds(0.99),
                "p99_9": record.microseconds(0.999),
                "max": micros(record.nanoseconds.max()),
            },
            "failures": record.failures,
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let BenchArgs { connections, concurrency, rate, .. } = &self.args;
        let record = &self.record;
        let mut text = format!(
            "{}: {connections} connections x {concurrency}, {:.1} s, {}\n",
            described(&self.shape),
            self.elapsed.as_secs_f64(),
            match rate {
                Some(rate) => format!("open loop at {rate} ops/s"),
                None => "closed loop".to_owned(),
            },
        );
        let mut add = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        add(format!("  {:.0} ops/s, {:.1} MB/s", self.rate(), self.megabytes()));
        add(format!(
            "  p50 {}  p99 {}  p99.9 {}  max {}",
            shown(record.microseconds(0.5)),
            shown(record.microseconds(0.99)),
            shown(record.microseconds(0.999)),
            shown(micros(record.nanoseconds.max())),
        ));
        match record.failures.is_empty() {
            true => add(format!("  {} operations, no failures", record.count())),
            false => {
                let failures = record.failures.values().sum::<u64>();
                add(format!("  {} operations, {failures} failures:", record.count()));
                for (reason, count) in &record.failures {
                    add(format!("    {count} x {reason}"));
                }
            }
        }
        text.trim_end().to_owned()
    }

    fn rate(&self) -> f64 {
        per_second(self.record.count(), self.elapsed)
    }

    fn megabytes(&self) -> f64 {
        per_second(self.record.count().saturating_mul(self.shape.size), self.elapsed) / 1e6
    }
}

/// Ten minutes: far beyond any call's limit.
const LONGEST: u64 = 600_000_000_000;

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

fn shown(microseconds: f64) -> String {
    match microseconds {
        short if short < 1e3 => format!("{short:.0} \u{b5}s"),
        middle if middle < 1e6 => format!("{:.2} ms", middle / 1e3),
        long => format!("{:.2} s", long / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Op;

    #[test]
    fn a_report_says_rates_quantiles_and_failures_by_reason() {
        let mut one = Record::new().unwrap();
        (1..=999).for_each(|_| one.done(Duration::from_micros(100)));
        one.failed("OVERLOADED");
        let mut other = Record::new().unwrap();
        other.done(Duration::from_millis(50));
        other.failed("OVERLOADED");
        other.failed("CLIENT_DEADLINE");
        one.merge(other);
        let args = BenchArgs {
            op: Op::Read,
            size: None,
            connections: 1,
            concurrency: 2,
            duration: Duration::from_secs(2),
            warmup: Duration::ZERO,
            memory_size: None,
            rate: None,
        };
        let shape = Shape { op: Op::Read, size: 1000, memory_bytes: 65_536 };
        let report = Report { args, shape, elapsed: Duration::from_secs(2), record: one };
        let value = report.json();
        assert_eq!(value["op"], "read");
        assert_eq!(value["operations"], 1000);
        assert_eq!(value["operations_per_second"], 500.0);
        assert_eq!(value["megabytes_per_second"], 0.5);
        assert_eq!(value["failures"]["OVERLOADED"], 2);
        let max = value["latency_microseconds"]["max"].as_f64().unwrap();
        assert!((50_000.0..50_100.0).contains(&max), "{max}");
        let text = report.text();
        assert!(text.contains("p50 100 \u{b5}s") && text.contains("2 x OVERLOADED"), "{text}");
    }
}

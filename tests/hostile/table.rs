//! [`Row`]: what is told of one shape, as a line of the table, and what is wrong with it.

use crate::attacker::Tally;
use crate::honest::Latency;
use crate::say;

/// The peak over what was before: this many KiB, and so many for each connection.
const PEAK: u64 = 64 << 10;
const EACH: u64 = 32;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) connections: u64,
    pub(crate) tally: Tally,
    pub(crate) bad: u64,
    pub(crate) honest: Latency,
    /// The honest p99 beside it over that beside a spinner; none where it was not in half a core.
    pub(crate) ratio: Option<f64>,
    /// KiB before, at most meanwhile, and 30 s after.
    pub(crate) resident: [u64; 3],
}

pub(crate) fn head() {
    say(&format!(
        "{:<20} {:>8} {:>8} {:>8} {:>8} {:>8} | {:>7} {:>7} {:>5} | {:>9} {:>9} {:>9}",
        "shape",
        "inputs",
        "answered",
        "refused",
        "reset",
        "ended",
        "p50 us",
        "p99 us",
        "ratio",
        "before",
        "peak KiB",
        "after"
    ));
}

impl Row {
    pub(crate) fn say(&self) {
        let Tally { inputs, answered, refused, reset, ended, .. } = &self.tally;
        let [before, peak, after] = self.resident;
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let Latency { p50, p99, .. } = self.honest;
        say(&format!(
            "{:<20} {inputs:>8} {answered:>8} {refused:>8} {reset:>8} {ended:>8} | {p50:>7} {p99:>7} \
             {ratio:>5} | {before:>9} {peak:>9} {after:>9}",
            self.name
        ));
    }

    /// What to say where the honest p99 is more than so many times that beside a spinner.
    pub(crate) fn slow(&self, most: f64) -> Option<String> {
        let (name, p99) = (self.name, self.honest.p99);
        let ratio = self.ratio.filter(|ratio| *ratio > most)?;
        Some(format!("{name}: p99 {p99} us, {ratio:.2} of that beside a spinner"))
    }

    /// What else is not as it must be. `grown` is the hundredths of what was resident before that may be so
    /// after.
    pub(crate) fn faults(&self, grown: u64) -> Vec<String> {
        let [before, peak, after] = self.resident;
        let mut faults = Vec::new();
        let mut claim = |holds: bool, why: String| {
            if !holds {
                faults.push(format!("{}: {why}", self.name));
            }
        };
        claim(self.bad == 0, format!("{} answers that must not be", self.bad));
        claim(self.tally.inputs > 0, "no inputs were made".to_owned());
        claim(self.honest.failed == 0, format!("{} honest calls failed", self.honest.failed));
        let limit = before + PEAK + EACH * self.connections;
        claim(peak <= limit, format!("{peak} KiB at its peak, more than {limit}"));
        claim(after * 100 <= before * grown, format!("{after} KiB after, {before} before"));
        faults
    }
}

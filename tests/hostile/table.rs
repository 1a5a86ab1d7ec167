//! [`Row`]: what is told of one shape, as a line of the table, and what is wrong with it.

use crate::attacker::Tally;
use crate::honest::Latency;
use crate::say;

/// The peak over what was before: this many KiB, and so many for each connection.
const PEAK: u64 = 64 << 10;
const EACH: u64 = 32;

/// One attack of a shape.
pub(crate) struct Round {
    pub(crate) tally: Tally,
    pub(crate) bad: u64,
    /// The honest tenant beside a spinner just before; none where attackers have no half of a core.
    pub(crate) base: Option<Latency>,
    /// The honest tenant beside it.
    pub(crate) honest: Latency,
    /// KiB resident, at most.
    pub(crate) peak: u64,
}

impl Round {
    /// The honest p99 beside it over that beside a spinner.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn ratio(&self) -> Option<f64> {
        let base = self.base.filter(|base| base.p99 > 0)?;
        Some(self.honest.p99 as f64 / base.p99 as f64)
    }
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) connections: u64,
    /// At least one.
    pub(crate) rounds: Vec<Round>,
    /// KiB resident before the first round, and up to 30 s after the last.
    pub(crate) before: u64,
    pub(crate) after: u64,
}

pub(crate) fn head() {
    say(&format!(
        "{:<18} {:>8} {:>8} {:>8} {:>8} {:>8} | {:>7} {:>7} {:>7} {:>5} | {:>7} {:>8} {:>7} | ratios",
        "shape",
        "inputs",
        "answered",
        "refused",
        "reset",
        "ended",
        "base us",
        "p50 us",
        "p99 us",
        "ratio",
        "before",
        "peak KiB",
        "after"
    ));
}

impl Row {
    pub(crate) fn inputs(&self) -> u64 {
        self.rounds.iter().map(|round| round.tally.inputs).sum()
    }

    /// The round whose ratio is the median, and every ratio, in order.
    fn median(&self) -> (&Round, Vec<f64>) {
        let mut rounds: Vec<&Round> = self.rounds.iter().collect();
        let ratio = |round: &Round| round.ratio().unwrap_or_default();
        rounds.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
        let ratios = rounds.iter().filter_map(|round| round.ratio()).collect();
        (rounds[rounds.len() / 2], ratios)
    }

    pub(crate) fn say(&self) {
        let sum = |count: fn(&Tally) -> u64| -> u64 {
            self.rounds.iter().map(|round| count(&round.tally)).sum()
        };
        let [answered, refused, reset, ended] = [
            sum(|tally| tally.answered),
            sum(|tally| tally.refused),
            sum(|tally| tally.reset),
            sum(|tally| tally.ended),
        ];
        let (round, ratios) = self.median();
        let or_none = |told: Option<String>| told.unwrap_or_else(|| "-".to_owned());
        let base = or_none(round.base.map(|base| base.p99.to_string()));
        let ratio = or_none(round.ratio().map(|ratio| format!("{ratio:.2}")));
        let ratios: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let Latency { p50, p99, .. } = round.honest;
        let (inputs, peak) = (self.inputs(), self.peak());
        say(&format!(
            "{:<18} {inputs:>8} {answered:>8} {refused:>8} {reset:>8} {ended:>8} | {base:>7} {p50:>7} \
             {p99:>7} {ratio:>5} | {:>7} {peak:>8} {:>7} | {}",
            self.name,
            self.before,
            self.after,
            ratios.join(" ")
        ));
    }

    fn peak(&self) -> u64 {
        self.rounds.iter().map(|round| round.peak).max().unwrap_or_default()
    }

    /// What is not as it must be: `most` is the largest ratio, `grown` the hundredths of what was resident
    /// before that may be so after.
    pub(crate) fn faults(&self, most: f64, grown: u64) -> Vec<String> {
        let Self { name, before, after, connections, .. } = self;
        let mut faults = Vec::new();
        let mut claim = |holds: bool, why: String| {
            if !holds {
                faults.push(format!("{name}: {why}"));
            }
        };
        for round in &self.rounds {
            claim(round.bad == 0, format!("{} answers that must not be", round.bad));
            claim(round.tally.inputs > 0, "no inputs were made".to_owned());
            let failed = [Some(round.honest), round.base].into_iter().flatten().map(|it| it.failed);
            claim(failed.sum::<u64>() == 0, "honest calls failed".to_owned());
        }
        let (round, _) = self.median();
        if let Some(ratio) = round.ratio() {
            let p99 = round.honest.p99;
            claim(ratio <= most, format!("p99 {p99} us, {ratio:.2} of that beside a spinner"));
        }
        let (peak, limit) = (self.peak(), before + PEAK + EACH * connections);
        claim(peak <= limit, format!("{peak} KiB at its peak, more than {limit}"));
        claim(after * 100 <= before * grown, format!("{after} KiB after, {before} before"));
        faults
    }
}

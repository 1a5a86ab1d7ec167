//! What became of volatile ranges.

use metrics::Counter;

use crate::metrics::{Metrics, PURGED_BYTES_TOTAL, PURGES_TOTAL};

impl Metrics {
    /// The handles of purges, by what may tell of pressure.
    #[must_use]
    pub fn purges(&self, reasons: &[&'static str]) -> PurgeMeters {
        let of = |reason: &'static str| PurgesOf {
            reason,
            ranges: self.counter(PURGES_TOTAL, &[("reason", reason)]),
            bytes: self.counter(PURGED_BYTES_TOTAL, &[("reason", reason)]),
        };
        PurgeMeters(reasons.iter().map(|reason| of(reason)).collect())
    }
}

/// The handles of purges.
#[derive(Debug)]
pub struct PurgeMeters(Vec<PurgesOf>);

#[derive(Debug)]
struct PurgesOf {
    reason: &'static str,
    ranges: Counter,
    bytes: Counter,
}

impl PurgeMeters {
    /// So many ranges lost so many bytes, for that reason.
    pub fn count(&self, reason: &str, ranges: u64, bytes: u64) {
        if let Some(of) = self.0.iter().find(|of| of.reason == reason) {
            of.ranges.increment(ranges);
            of.bytes.increment(bytes);
        }
    }
}

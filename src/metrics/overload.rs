//! How short of memory the host is, and what was refused for it.
//!
//! Law: as `daemon.rs`: set at the scrape by whoever reads it.

use metrics::{Counter, Gauge};

use crate::metrics::{CALLS_SHED_TOTAL, Metrics, OVERLOAD_STEP, float};

/// The handles of want of memory.
#[derive(Debug)]
pub struct OverloadMeters {
    step: Gauge,
    refused: Vec<Counter>,
}

impl Metrics {
    /// The handles of want of memory: its step, and what was refused for each of these.
    #[must_use]
    pub fn overload(&self, refusing: &[&'static str]) -> OverloadMeters {
        let refused = |step: &&'static str| self.counter(CALLS_SHED_TOTAL, &[("step", *step)]);
        OverloadMeters {
            step: self.gauge(OVERLOAD_STEP, &[]),
            refused: refusing.iter().map(refused).collect(),
        }
    }
}

impl OverloadMeters {
    /// The step now, and how often something was refused for each, in the order of the handles.
    pub fn set(&self, step: u64, refused: impl IntoIterator<Item = u64>) {
        self.step.set(float(step));
        self.refused.iter().zip(refused).for_each(|(counter, count)| counter.absolute(count));
    }
}

//! The handles of one tenant's hooks of growth.
//!
//! Law: what never occurred has no series: most tenants have no hooks.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Histogram};

use crate::metrics::{GROW_HOOK_DURATION_SECONDS, GROW_HOOK_EVENTS_TOTAL, Metrics};

/// What became of a question, or of telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// Answered: it may grow.
    Allowed,
    /// Answered: it may not.
    Denied,
    /// Not answered in time.
    Timeout,
    /// Nobody was there to answer.
    Absent,
    /// Not to be answered any more: denied elsewhere, the caller went, the hook was deleted.
    Withdrawn,
    /// An answer that came when nobody waited for it.
    Late,
    /// An answer that came again.
    Duplicate,
    /// An answer to what was not asked.
    Unknown,
    /// Whoever allowed a growth was told what came of it.
    Told,
}

impl HookEvent {
    const ALL: [Self; 9] = [
        Self::Allowed,
        Self::Denied,
        Self::Timeout,
        Self::Absent,
        Self::Withdrawn,
        Self::Late,
        Self::Duplicate,
        Self::Unknown,
        Self::Told,
    ];

    const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Allowed => ["pre", "allowed"],
            Self::Denied => ["pre", "denied"],
            Self::Timeout => ["pre", "timeout"],
            Self::Absent => ["pre", "absent"],
            Self::Withdrawn => ["pre", "withdrawn"],
            Self::Late => ["pre", "late"],
            Self::Duplicate => ["pre", "duplicate"],
            Self::Unknown => ["pre", "unknown"],
            Self::Told => ["post", "told"],
        }
    }
}

impl Metrics {
    /// The handles of a tenant's hooks.
    #[must_use]
    pub fn hooks(self: &Arc<Self>, label: &Arc<str>) -> HookMeters {
        HookMeters {
            metrics: Arc::clone(self),
            label: Arc::clone(label),
            events: std::array::from_fn(|_| OnceLock::new()),
            duration: OnceLock::new(),
        }
    }
}

/// The handles of a tenant's hooks. What never occurred has no series.
pub struct HookMeters {
    metrics: Arc<Metrics>,
    label: Arc<str>,
    events: [OnceLock<Counter>; HookEvent::ALL.len()],
    duration: OnceLock<Histogram>,
}

impl fmt::Debug for HookMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookMeters").field("label", &self.label).finish_non_exhaustive()
    }
}

impl HookMeters {
    /// It happened.
    pub fn happened(&self, event: HookEvent) {
        let places = self.events.iter().zip(HookEvent::ALL);
        for (slot, _) in places.filter(|(_, this)| *this == event) {
            let [phase, outcome] = event.words();
            let labels = [("tenant", &*self.label), ("phase", phase), ("outcome", outcome)];
            slot.get_or_init(|| self.metrics.counter(GROW_HOOK_EVENTS_TOTAL, &labels)).increment(1);
        }
    }

    /// A question took so long.
    pub fn waited(&self, duration: Duration) {
        let labels = [("tenant", &*self.label)];
        self.duration
            .get_or_init(|| self.metrics.histogram(GROW_HOOK_DURATION_SECONDS, &labels))
            .record(duration);
    }
}

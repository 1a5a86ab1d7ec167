//! What is counted of one tenant's hooks of growth.
//!
//! Law: what never occurred has no series: most tenants have no hooks.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::metrics::SECONDS;
use crate::metrics::tenant::{TenantMeters, add};

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
    pub(super) const ALL: [Self; 9] = [
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

    pub(super) const fn words(self) -> [&'static str; 2] {
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

/// What is counted of one tenant's hooks.
#[derive(Debug, Default)]
pub(super) struct HookCounts {
    pub(super) events: [AtomicU64; HookEvent::ALL.len()],
    /// Answers by the first of [`SECONDS`] that they took no longer than; the last took longer.
    pub(super) durations: [AtomicU64; SECONDS.len() + 1],
    /// The sum of them.
    pub(super) nanoseconds: AtomicU64,
}

impl TenantMeters {
    /// It happened to a question of the tenant's.
    pub fn happened(&self, event: HookEvent) {
        self.hooks.events.get(event as usize).into_iter().for_each(|counter| add(counter, 1));
    }

    /// A question took so long.
    pub fn waited(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = SECONDS.iter().take_while(|bound| seconds > **bound).count();
        self.hooks.durations.get(bucket).into_iter().for_each(|counter| add(counter, 1));
        add(&self.hooks.nanoseconds, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }
}

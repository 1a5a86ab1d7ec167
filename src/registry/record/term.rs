//! How long a [`Record`] lives by itself: its lease, looked at, renewed and ended.
//!
//! Law: of a renewal and an end the first wins, for both hold the record's own lock. Time is an
//! argument; when to look is `registry/lease.rs`'s.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use crate::error::Failure;
use crate::model::Now;
use crate::registry::events::Happening;
use crate::registry::record::Record;

/// The expiry of a memory that its lease has ended for good.
const EXPIRED: u64 = 0;
/// The expiry of a memory whose maker is gone: no lease ends a nanosecond after the epoch.
const LET_GO: u64 = 1;

impl Record {
    /// Whether its lease has run out, or its maker is gone.
    pub fn has_expired(&self, now: Now) -> bool {
        let expiry = self.expiry.load(Ordering::Acquire);
        expiry != u64::MAX && self.nanoseconds(now.steady) >= expiry
    }

    /// When its lease runs out; none where it has and is over for good.
    pub(in crate::registry) fn expiry(&self) -> Option<Instant> {
        match self.expiry.load(Ordering::Acquire) {
            EXPIRED | u64::MAX => None,
            expiry => self.home.epoch.checked_add(Duration::from_nanos(expiry)),
        }
    }

    /// Ends it for good if its lease has run out. Renewals hold the same lock, so of a renewal and
    /// this the first wins.
    pub(in crate::registry) fn expire(&self, now: Now) -> bool {
        let _aside = self.aside();
        let expired = self.has_expired(now);
        if expired && !self.is_let_go() {
            self.expiry.store(EXPIRED, Ordering::Release);
        }
        expired
    }

    /// Ends it for good, whatever its lease: whoever made it is gone.
    pub(in crate::registry) fn let_go(&self) {
        let _aside = self.aside();
        self.expiry.store(LET_GO, Ordering::Release);
    }

    /// What is told of its end by itself.
    pub(in crate::registry) fn why_gone(&self) -> Happening {
        if self.is_let_go() { Happening::Deleted } else { Happening::Expired }
    }

    fn is_let_go(&self) -> bool {
        self.expiry.load(Ordering::Acquire) == LET_GO
    }

    /// Starts the lease anew; when it now runs out, where there is one.
    pub(in crate::registry) fn keep_alive(&self, now: Now) -> Result<Option<SystemTime>, Failure> {
        let mut aside = self.aside();
        if self.has_expired(now) {
            return Err(self.not_found());
        }
        let Some(lease) = aside.said.lease_ttl() else { return Ok(None) };
        let expire_time = expire_time(Some(lease), now);
        aside.said.renew(expire_time);
        self.start_lease(Some(lease), now);
        Ok(expire_time)
    }

    pub(super) fn start_lease(&self, lease: Option<Duration>, now: Now) {
        let end = lease.and_then(|lease| now.steady.checked_add(lease));
        let expiry = end.map_or(u64::MAX, |end| self.nanoseconds(end).max(LET_GO.wrapping_add(1)));
        self.expiry.store(expiry, Ordering::Release);
    }

    fn nanoseconds(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.home.epoch).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

/// When a lease that starts now runs out, for people.
pub(super) fn expire_time(lease: Option<Duration>, now: Now) -> Option<SystemTime> {
    lease.and_then(|lease| now.wall.checked_add(lease))
}

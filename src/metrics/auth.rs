//! Who was refused, and until when the daemon's own certificate counts.
//!
//! Law: reasons are a closed list; what was shown is in no label.

use std::time::SystemTime;

use metrics::Counter;

use crate::metrics::{AUDIT_LOST_TOTAL, AUTH_FAILURES_TOTAL, Metrics, TLS_EXPIRY};

/// Reasons of refusals: those of the answers, and a handshake that failed, which has no answer.
pub const AUTH_FAILURES: [&str; 8] = [
    "CREDENTIALS_MISSING",
    "CREDENTIALS_REFUSED",
    "CREDENTIALS_EXPIRED",
    "ROLE_MISSING",
    "TENANT_MISMATCH",
    "GRANT_READ_ONLY",
    "GRANT_REVOKED",
    "TLS_HANDSHAKE",
];

/// The handles of refusals.
#[derive(Debug)]
pub struct AuthMeters([Counter; AUTH_FAILURES.len()]);

impl Metrics {
    /// The handles of refusals.
    #[must_use]
    pub fn auth(&self) -> AuthMeters {
        let handle = |reason| self.counter(AUTH_FAILURES_TOTAL, &[("reason", reason)]);
        AuthMeters(AUTH_FAILURES.map(handle))
    }

    /// Entries of the audit log that were lost.
    pub fn audit_lost(&self) -> Counter {
        self.counter(AUDIT_LOST_TOTAL, &[])
    }

    /// When the daemon's certificate runs out.
    pub fn set_tls_expiry(&self, when: SystemTime) {
        let since = when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.gauge(TLS_EXPIRY, &[]).set(since.as_secs_f64());
    }
}

impl AuthMeters {
    /// Somebody was refused; a reason that is on no list is not counted.
    pub fn refused(&self, reason: &str) {
        let known = AUTH_FAILURES.iter().zip(&self.0).find(|(one, _)| **one == reason);
        if let Some((_, counter)) = known {
            counter.increment(1);
        }
    }
}

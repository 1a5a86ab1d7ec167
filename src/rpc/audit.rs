//! [`AuditEntry`]: what is told of the calls that make, grow, end or share memories, of those that are
//! refused for who calls, and of what operators do.
//!
//! ```text
//! let in, and of a Deed ── its handler says whom it is about ── over, or dropped ──┐
//! refused for who calls ───────────────────────────────────────────────────────────┴─> queue ─> sink
//! ```
//!
//! Law: one entry for each, whatever came of it. It holds no tenant's bytes and no credentials; what a
//! caller wrote is cut to [`TEXT`] characters. How it gets to the sink is `audit_queue.rs`'s.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use uuid::Uuid;

use crate::registry::Record;
use crate::rpc::admission::Door;
use crate::rpc::audit_queue::Audit;
use crate::rpc::call::{Call, CallId};
use crate::rpc::connection::Connection;
use crate::rpc::method::Method;
use crate::tenancy::Peer;

/// Characters of anything that a caller wrote: as many as the longest id has.
const TEXT: usize = 128;

/// What an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A memory or a set made.
    Create,
    /// Pages added.
    Grow,
    /// A memory or a set ended.
    Delete,
    /// A memory shared, a share used or ended.
    Share,
    /// A call refused for who calls.
    Deny,
    /// What an operator does to the daemon, or sees of a tenant.
    Admin,
}

impl Deed {
    /// Its name in the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Grow => "grow",
            Self::Delete => "delete",
            Self::Share => "share",
            Self::Deny => "deny",
            Self::Admin => "admin",
        }
    }

    /// What a call of this method is; none: nothing that is told.
    const fn of(method: Method) -> Option<Self> {
        Some(match method {
            Method::CreateMemory | Method::CreateMemorySet => Self::Create,
            Method::GrowMemory => Self::Grow,
            Method::DeleteMemory | Method::DeleteMemorySet => Self::Delete,
            Method::ShareMemory | Method::MountShare | Method::RevokeShare => Self::Share,
            Method::Drain | Method::Reload | Method::CreatePartition | Method::DeletePartition => {
                Self::Admin
            }
            _ => return None,
        })
    }
}

/// Whom a call is about, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The name of a memory, set or partition.
    pub id: Option<String>,
    /// The memory itself.
    pub uid: Option<Uuid>,
    /// The request's own.
    pub request_id: Option<String>,
    /// Its size afterwards, pages.
    pub pages: Option<u64>,
    /// With whom it is shared.
    pub grantee: Option<String>,
}

impl Subject {
    /// What a request names.
    pub(crate) fn named(&mut self, id: Option<&str>, request_id: Option<&str>) {
        self.id = id.map(cut);
        self.request_id = request_id.map(cut);
    }

    /// With whom a memory is to be shared.
    pub(crate) fn is_for(&mut self, grantee: &str) {
        self.grantee = Some(cut(grantee));
    }

    /// The memory that was made or ended.
    pub fn is(&mut self, record: &Record) {
        self.id = Some(record.id.to_string());
        self.uid = Some(record.uid);
        self.pages = Some(record.size().get());
    }
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When it was over.
    pub time: SystemTime,
    /// What it is of.
    pub deed: Deed,
    /// By which RPC, or by what else.
    pub method: &'static str,
    /// As in the answer; none where nobody called.
    pub call_id: Option<String>,
    /// Whose memories; none where that is not known.
    pub tenant: Option<String>,
    /// The identity that called; none where none is known.
    pub caller: Option<String>,
    /// Where from: an address, or a user of this host.
    pub peer: Option<String>,
    /// Whom it is about.
    pub subject: Subject,
    /// OK or the failure's reason; CANCELLED where the caller did not wait for it.
    pub outcome: &'static str,
}

impl AuditEntry {
    /// Of a call that was let in, and of which nothing is known yet.
    fn of(deed: Deed, id: CallId, method: Method, door: &Door) -> Self {
        let identity = door.access.grant().identity.as_ref();
        Self {
            time: SystemTime::now(),
            deed,
            method: method.name(),
            call_id: Some(id.to_string()),
            tenant: Some(door.access.tenant().namespace.name.to_string()),
            caller: identity.map(|identity| cut(&identity.name)),
            peer: whereabouts(door.shown.borrow().peer, door.address),
            subject: Subject::default(),
            outcome: "CANCELLED",
        }
    }

    /// Of a memory whose lease ran out.
    #[must_use]
    pub fn expired(record: &Record) -> Self {
        let mut entry = Self::uncalled(Deed::Delete, "lease", "OK");
        entry.tenant = record.tenant().map(|name| name.to_string());
        entry.subject.is(record);
        entry
    }

    /// Of what nobody called for over the wire.
    #[must_use]
    pub fn uncalled(deed: Deed, method: &'static str, outcome: &'static str) -> Self {
        Self {
            time: SystemTime::now(),
            deed,
            method,
            call_id: None,
            tenant: None,
            caller: None,
            peer: None,
            subject: Subject::default(),
            outcome,
        }
    }
}

/// The entry of a call that runs, told when that is over. Dropped before, its caller did not wait.
pub(crate) struct Audited {
    entry: Mutex<Option<AuditEntry>>,
    audit: Arc<Audit>,
}

impl fmt::Debug for Audited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audited").finish_non_exhaustive()
    }
}

impl Audited {
    /// None where nothing is told of such a call.
    pub(crate) fn of(id: CallId, method: Method, door: &Door) -> Option<Arc<Self>> {
        let audit = door.server.audit.as_ref()?;
        let admin = door.access.is_of_another().then_some(Deed::Admin);
        let deed = Deed::of(method).or(admin)?;
        let entry = Mutex::new(Some(AuditEntry::of(deed, id, method, door)));
        Some(Arc::new(Self { entry, audit: Arc::clone(audit) }))
    }

    /// Whom it is about.
    pub(crate) fn is_about(&self, say: impl FnOnce(&mut Subject)) {
        if let Some(entry) = &mut *self.entry() {
            say(&mut entry.subject);
        }
    }

    /// It is over.
    pub(crate) fn over(&self, outcome: &'static str) {
        let Some(mut entry) = self.entry().take() else { return };
        entry.time = SystemTime::now();
        entry.outcome = outcome;
        if is_denial(outcome) {
            entry.deed = Deed::Deny;
        }
        self.audit.tell(entry);
    }

    fn entry(&self) -> MutexGuard<'_, Option<AuditEntry>> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Audited {
    fn drop(&mut self) {
        self.over("CANCELLED");
    }
}

/// A call of which nothing else is told is refused.
pub(crate) fn refused(call: &Call, outcome: &'static str) {
    if let Some(audit) = &call.door.server.audit
        && call.audited.is_none()
        && is_denial(outcome)
    {
        let entry = AuditEntry::of(Deed::Deny, call.id, call.method, &call.door);
        audit.tell(AuditEntry { outcome, ..entry });
    }
}

/// A call is refused at the door, where its tenant is not known.
pub(crate) fn shut_out(connection: &Connection, id: CallId, method: Method, reason: &'static str) {
    if let Some(audit) = connection.server.audit.as_ref().filter(|_| is_denial(reason)) {
        audit.tell(AuditEntry {
            time: SystemTime::now(),
            deed: Deed::Deny,
            method: method.name(),
            call_id: Some(id.to_string()),
            tenant: None,
            caller: None,
            peer: connection.whereabouts(),
            subject: Subject::default(),
            outcome: reason,
        });
    }
}

/// Whether a reason is about who calls.
pub(crate) fn is_denial(reason: &str) -> bool {
    ["CREDENTIALS_", "GRANT_", "ROLE_", "TENANT_"].iter().any(|begin| reason.starts_with(begin))
}

/// Where a caller is, in words.
pub(crate) fn whereabouts(peer: &Peer, address: Option<IpAddr>) -> Option<String> {
    match (peer, address) {
        (Peer::User { uid, .. }, _) => Some(format!("uid {uid}")),
        (_, address) => address.map(|address| address.to_canonical().to_string()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_reason_about_who_calls_is_a_denial_and_no_other() {
        for reason in ["CREDENTIALS_MISSING", "GRANT_REVOKED", "ROLE_MISSING", "TENANT_MISMATCH"] {
            assert!(is_denial(reason));
        }
        for reason in ["OK", "CANCELLED", "GROW_DENIED", "QUOTA_EXCEEDED", "MEMORY_NOT_FOUND"] {
            assert!(!is_denial(reason));
        }
        assert_eq!(cut(&"ä".repeat(500)).chars().count(), TEXT);
    }
}

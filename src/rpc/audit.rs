//! [`AuditEntry`]: what is told of the calls that make, grow, end or share memories, of those that are
//! refused for who calls, and of what operators do.
//!
//! ```text
//! let in, and of a Deed ── its handler says whom it is about ── over, or dropped ──┐
//! refused for who calls: at a handshake, a door, the metrics page, within a call ──┼─> queue ─> sink
//! nobody called: a lease, a connection's end, a signal ────────────────────────────┘
//! ```
//!
//! Law: one entry for each, whatever came of it, and beside a set's one for each of its memories. It holds
//! no tenant's bytes and no credentials; what a
//! caller wrote is cut to [`TEXT`] characters. How it gets to the sink is `audit_queue.rs`'s.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::error::{Failure, printable};
use crate::registry::{Member, Record};
use crate::rpc::admission::Door;
use crate::rpc::audit_queue::Audit;
use crate::rpc::call::{Call, CallId};
use crate::rpc::connection::Connection;
use crate::rpc::method::Method;
use crate::rpc::server::Server;
use crate::rpc::status::reason;
use crate::rpc::whereabouts::Whereabouts;
use crate::tenancy::{Denied, Identity, Peer};

/// Characters of anything that a caller wrote: as many as the longest id has.
const TEXT: usize = 128;

/// Of what its caller did not wait for: it happened whole or not at all.
const CANCELLED: &str = "CANCELLED";

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
    /// Its size afterwards, pages; the last, where it has ended.
    pub pages: Option<u64>,
    /// With whom it is shared.
    pub grantee: Option<String>,
    /// The set that it was made or ended with.
    pub set: Option<String>,
    /// The tenant that a caller named and was not let in to.
    pub named_tenant: Option<String>,
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

    /// The memory that is or was made or ended.
    pub fn is(&mut self, record: &Record) {
        self.id = Some(record.id.to_string());
        self.uid = Some(record.uid);
        self.pages = Some(record.size().get());
    }

    /// A memory of a set that is to be made.
    pub(crate) fn of_member(member: &Member) -> Self {
        Self { id: Some(member.id.to_string()), uid: Some(member.uid), ..Self::default() }
    }

    /// What a refusal says of it, where the request has not been asked.
    fn of(failure: &Failure) -> Self {
        let id = match failure {
            Failure::BeyondShare { memory_id, .. } => memory_id.to_string(),
            Failure::ShareEnded { share_id } => share_id.to_string(),
            Failure::InOperation { failure, .. } => return Self::of(failure),
            _ => return Self::default(),
        };
        Self { id: Some(id), ..Self::default() }
    }
}

/// Whoever is refused where no call of theirs is let in, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct Stranger {
    /// Whom they showed to be.
    pub(crate) who: Option<Arc<Identity>>,
    /// Where they are.
    pub(crate) address: Option<IpAddr>,
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
    pub peer: Option<Whereabouts>,
    /// Whom it is about.
    pub subject: Subject,
    /// OK or the failure's reason; CANCELLED where the caller did not wait for it.
    pub outcome: &'static str,
    /// It was refused before anything of it was done.
    pub is_of_the_door: bool,
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
            peer: Whereabouts::of(door.shown.borrow().peer, door.address),
            subject: Subject::default(),
            outcome: CANCELLED,
            is_of_the_door: false,
        }
    }

    /// Of a memory that has ended by itself: with its lease, or its connection.
    #[must_use]
    pub fn ended(record: &Record, why: &'static str) -> Self {
        let mut entry = Self::uncalled(Deed::Delete, why, "OK");
        entry.tenant = record.tenant().map(|name| name.to_string());
        entry.subject.is(record);
        entry
    }

    fn is_by(&mut self, who: Option<&Identity>) {
        self.tenant = who.map(|who| who.tenant.to_string());
        self.caller = who.map(|who| cut(&who.name));
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
            is_of_the_door: false,
        }
    }
}

/// The entry of a call that runs, told when that is over. Dropped before, its caller did not wait.
pub(crate) struct Audited {
    told: Mutex<Option<Told>>,
    audit: Arc<Audit>,
}

/// What is told of a call.
struct Told {
    entry: AuditEntry,
    /// The memories of a set that it makes or ends.
    members: Vec<Subject>,
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
        let entry = AuditEntry::of(deed, id, method, door);
        let told = Mutex::new(Some(Told { entry, members: Vec::new() }));
        Some(Arc::new(Self { told, audit: Arc::clone(audit) }))
    }

    /// Whom it is about.
    pub(crate) fn is_about(&self, say: impl FnOnce(&mut Subject)) {
        if let Some(told) = &mut *self.told() {
            say(&mut told.entry.subject);
        }
    }

    /// Which memories it makes or ends together.
    pub(crate) fn is_about_all(&self, members: Vec<Subject>) {
        if let Some(told) = &mut *self.told() {
            told.members = members;
        }
    }

    /// It is over.
    pub(crate) fn over(&self, outcome: &'static str) {
        let Some(Told { mut entry, members }) = self.told().take() else { return };
        entry.time = SystemTime::now();
        entry.outcome = outcome;
        if is_denial(outcome) {
            entry.deed = Deed::Deny;
        }
        let with_set = members.into_iter().filter(|_| concerns_members(outcome)).map(|member| {
            let set = entry.subject.id.clone();
            let request_id = entry.subject.request_id.clone();
            AuditEntry { subject: Subject { set, request_id, ..member }, ..entry.clone() }
        });
        let members: Vec<AuditEntry> = with_set.collect();
        self.audit.tell(entry);
        members.into_iter().for_each(|member| self.audit.tell(member));
    }

    fn told(&self) -> MutexGuard<'_, Option<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Audited {
    fn drop(&mut self) {
        self.over(CANCELLED);
    }
}

/// A call of which nothing else is told is refused.
pub(crate) fn refused(call: &Call, failure: &Failure) {
    let outcome = reason(failure);
    if let Some(audit) = &call.door.server.audit
        && call.audited.is_none()
        && is_denial(outcome)
    {
        let entry = AuditEntry::of(Deed::Deny, call.id, call.method, &call.door);
        audit.tell(AuditEntry { outcome, subject: Subject::of(failure), ..entry });
    }
}

/// A call is refused at the door: for who calls, or, of somebody who has called before, for want of something.
/// Its tenant is the one that it came to, else its caller's own, as far as what it showed was found to say.
pub(crate) fn shut_out(
    connection: &Connection,
    id: CallId,
    method: Method,
    headers: &HeaderMap,
    denied: &Denied,
) {
    let outcome = reason(&denied.failure);
    let deed = if is_denial(outcome) { Some(Deed::Deny) } else { Deed::of(method) };
    let Some((audit, deed)) = connection.server.audit.as_ref().zip(deed) else { return };
    let shown = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let (authorization, tenant) = (shown("authorization"), shown("linmem-tenant"));
    if let Some(door) = connection.last_door(authorization, tenant) {
        let entry = AuditEntry::of(deed, id, method, &door);
        return audit.tell(AuditEntry { outcome, is_of_the_door: true, ..entry });
    }
    // Whatever else a stranger is refused for is not about anybody's memories.
    if deed != Deed::Deny {
        return;
    }
    let mut entry = AuditEntry::uncalled(deed, method.name(), outcome);
    entry.call_id = Some(id.to_string());
    entry.peer = connection.whereabouts();
    entry.subject.named_tenant = tenant.map(printable);
    entry.is_by(denied.who.as_deref());
    audit.tell(entry);
}

/// Somebody is refused where there is no call.
pub(crate) fn turned_away(
    server: &Server,
    method: &'static str,
    failure: &Failure,
    stranger: Stranger,
) {
    if let Some(audit) = &server.audit {
        let mut entry = AuditEntry::uncalled(Deed::Deny, method, reason(failure));
        entry.peer = Whereabouts::of(&Peer::Anonymous, stranger.address);
        entry.is_by(stranger.who.as_deref());
        audit.tell(entry);
    }
}

/// Whether a reason is about who calls.
pub(crate) fn is_denial(reason: &str) -> bool {
    ["CREDENTIALS_", "GRANT_", "ROLE_", "TENANT_"].iter().any(|begin| reason.starts_with(begin))
}

/// Whether something was done to a set's memories, or may have been: a failure did nothing to them, but for
/// those that leave it open.
fn concerns_members(outcome: &str) -> bool {
    matches!(outcome, "OK" | CANCELLED | "DEADLINE_EXCEEDED" | "INTERNAL_FAULT")
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

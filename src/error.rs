//! The closed list of failures: what happened, the numbers, and what to do about it.
//!
//! Law: `rpc/status.rs` alone turns these into gRPC, without a wildcard arm; a message never holds
//! a tenant's bytes, nor the host's figures where a tenant reads it. Knows nothing of transports.

use std::borrow::Cow;
use std::time::Duration;

use crate::model::{
    HookId, Id, MemoryId, PartitionId, Protection, Resource, SegmentId, ShareAccess, ShareId,
    TenantName, Uuid,
};
use crate::units::OutOfBounds;

/// Why an operation did not happen. Unless said otherwise nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// An access outside `[0, size)`.
    #[error(
        "offset {offset} and length {length} do not lie within the size of {size} bytes; \
         grow the memory or read its size with GetMemory",
        offset = .0.offset, length = .0.length, size = .0.size
    )]
    OutOfBounds(OutOfBounds),
    /// A growth past the maximum.
    #[error(
        "growing {current_pages} pages by {delta_pages} would pass the maximum of {maximum_pages} \
         pages, which is fixed at create"
    )]
    MaximumReached {
        /// The size.
        current_pages: u64,
        /// The growth asked for.
        delta_pages: u64,
        /// The most there may be.
        maximum_pages: u64,
    },
    /// Another memory is behind the id now.
    #[error("the memory behind this id has uid {found}, not {wanted}; it was created anew")]
    UidMismatch {
        /// What the caller holds.
        wanted: Uuid,
        /// What there is.
        found: Uuid,
    },
    /// Not built, or not to be had on this host.
    #[error("{field} = {value} is not available: {why}")]
    CapabilityUnavailable {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// Why not, and what to use instead.
        why: Cow<'static, str>,
    },
    /// The memory's bytes can no longer be trusted.
    #[error("the memory is quarantined: {why}; GetMemory and DeleteMemory still work")]
    Quarantined {
        /// What happened.
        why: &'static str,
    },
    /// Bytes that were protected from such an access.
    #[error(
        "{length} bytes at offset {offset} are {protection}; ProtectMemory changes that",
        protection = .protection.word()
    )]
    Protected {
        /// The first of them in the access.
        offset: u64,
        /// How many in a row.
        length: u64,
        /// What they allow.
        protection: Protection,
    },
    /// Bytes that were volatile and went.
    #[error(
        "{length} bytes at offset {offset} were volatile and have been purged; SetVolatility \
         NONVOLATILE, then write them anew"
    )]
    Purged {
        /// The first of them in the access.
        offset: u64,
        /// How many in a row.
        length: u64,
    },
    /// The event to go on at is no longer kept, or of another run of the daemon.
    #[error(
        "the events from there on are no longer kept; go on at sequence {oldest} of boot_id \
         {boot_id}, or begin with a snapshot"
    )]
    SequenceCompacted {
        /// The oldest that there is, or the next one.
        oldest: u64,
        /// This run of the daemon.
        boot_id: Uuid,
    },
    /// The size is not the one expected.
    #[error("the size is {current_pages} pages, not the expected {expected_pages}; read it again")]
    SizeMismatch {
        /// What the caller expected.
        expected_pages: u64,
        /// What it is.
        current_pages: u64,
    },
    /// The memory was updated since it was read.
    #[error("the etag is {found}, not {wanted}; read the memory again")]
    EtagMismatch {
        /// What the caller holds, escaped and cut.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// The tenant's own limit.
    #[error("{limit_name}: {}", beyond(*limit, *used, *asked))]
    QuotaExceeded {
        /// Which quota.
        limit_name: &'static str,
        /// How much there may be.
        limit: u64,
        /// How much there is.
        used: u64,
        /// How much more was asked for.
        asked: u64,
    },
    /// The host has no more; its figures are the operator's to see.
    #[error("the host has no more {limit_name}: {remedy}")]
    HostExhausted {
        /// What ran out.
        limit_name: &'static str,
        /// What an operator can do.
        remedy: &'static str,
    },
    /// The host's pool of huge pages is empty, or there is none.
    #[error(
        "the host has no free huge pages of {page_bytes} bytes; ask for HUGE_PAGES_BASE as well, or \
         have an operator reserve more (vm.nr_hugepages)"
    )]
    HugePagesExhausted {
        /// The size of one.
        page_bytes: u64,
    },
    /// Too much at once; the same call will do later.
    #[error("too much at once ({limit_name} {limit}); try again after the given delay")]
    Overloaded {
        /// Which limit.
        limit_name: &'static str,
        /// How much there may be.
        limit: u64,
        /// How much there is, where that is the tenant's to know.
        used: Option<u64>,
        /// When to try again.
        after: Duration,
    },
    /// The tenant's rate; the same call will do later.
    #[error("{limit_name}: more than {limit} a second; try again after the given delay")]
    RateLimited {
        /// Which rate.
        limit_name: &'static str,
        /// How many a second there may be.
        limit: u64,
        /// How many of those that may come at once are not there, and how many are owed.
        used: u64,
        /// When they will be there.
        after: Duration,
    },
    /// The host is short of memory; the same call will do once it is not.
    #[error(
        "the host is short of memory ({step}), and {remedy}; or try again after the given delay"
    )]
    HostShort {
        /// From which step on this is refused.
        step: &'static str,
        /// What is not done, and what to do.
        remedy: &'static str,
        /// When to try again.
        after: Duration,
    },
    /// The daemon is ending.
    #[error("the daemon is draining; try again elsewhere or after its restart")]
    Draining,
    /// The deadline passed before the first effect.
    #[error("the deadline passed before anything was done")]
    DeadlinePassed,
    /// The deadline passed after the first effect: the work runs to its end.
    #[error("the deadline passed while the work was being done; it runs to its end")]
    DeadlineExceeded,
    /// Fields that contradict each other or a limit.
    #[error("{field}: {why}")]
    InvalidSpec {
        /// The field.
        field: &'static str,
        /// What is wrong and what is accepted.
        why: String,
    },
    /// A field that is wrong by itself.
    #[error("{field}: {why}")]
    InvalidField {
        /// The field.
        field: &'static str,
        /// What is wrong and what is accepted.
        why: String,
    },
    /// More bytes than one call takes.
    #[error("{field} is {length} bytes; at most {limit} ({limit_name}): {instead}")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// How long it is.
        length: u64,
        /// Which limit.
        limit_name: &'static str,
        /// How long it may be.
        limit: u64,
        /// What to use instead.
        instead: &'static str,
    },
    /// Not a token of this list.
    #[error("page_token: {why}; begin again without it")]
    PageTokenInvalid {
        /// What is wrong.
        why: &'static str,
    },
    /// The request id was used for something else.
    #[error("request_id {request_id} was used with another request; make a new one")]
    RequestIdReused {
        /// The id.
        request_id: Uuid,
    },
    /// The bytes that came are not those that were sent.
    #[error(
        "crc32c of the bytes received is {found:#010x}, not {wanted:#010x}; what was written stands"
    )]
    ChecksumMismatch {
        /// What the caller computed.
        wanted: u32,
        /// What the daemon computed.
        found: u32,
    },
    /// No such memory in this tenant.
    #[error("there is no memory {memory_id}")]
    MemoryNotFound {
        /// The name.
        memory_id: MemoryId,
    },
    /// The name is taken.
    #[error("there is a memory {memory_id} already; choose another id or delete it")]
    MemoryExists {
        /// The name.
        memory_id: MemoryId,
    },
    /// No such partition, or none that this tenant's memories may live in.
    #[error("there is no partition {partition_id} for this tenant")]
    PartitionNotFound {
        /// The name.
        partition_id: PartitionId,
    },
    /// The name is taken.
    #[error("there is a partition {partition_id} already; choose another id or delete it")]
    PartitionExists {
        /// The name.
        partition_id: PartitionId,
    },
    /// The partition's own limit.
    #[error(
        "partition {partition_id} has no room for {asked} more below its {limit_name} of {limit}; \
         delete something in it or have another made"
    )]
    PartitionFull {
        /// The partition.
        partition_id: PartitionId,
        /// Which of its limits.
        limit_name: &'static str,
        /// How much there may be.
        limit: u64,
        /// How much more was asked for.
        asked: u64,
    },
    /// Something lives in the partition that was to be deleted.
    #[error(
        "partition {partition_id} has {memories} memories and {children} partitions in it; delete \
         them first"
    )]
    PartitionInUse {
        /// The partition.
        partition_id: PartitionId,
        /// Memories in it, those among them that could not be given back yet.
        memories: u64,
        /// Partitions in it.
        children: u64,
    },
    /// The caller may not do this.
    #[error("{rpc} needs the role {role}: {how}")]
    RoleMissing {
        /// The call.
        rpc: &'static str,
        /// The role it needs.
        role: &'static str,
        /// How to come by it.
        how: &'static str,
    },
    /// Credentials are asked for, and none were shown.
    #[error(
        "this listener asks for credentials and none were shown; send `authorization: Bearer TOKEN`, \
         or connect with a client certificate"
    )]
    CredentialsMissing,
    /// What was shown is nobody's. Which part of it does not count is not told.
    #[error("the credentials that were shown do not count here; ask whoever runs this daemon")]
    CredentialsRefused,
    /// What was shown counted until it ran out.
    #[error("the credentials that were shown have run out; get new ones")]
    CredentialsExpired,
    /// What a call was let in by has changed since.
    #[error("what this call was let in by counts for less now; show credentials again")]
    GrantRevoked,
    /// The tenant named is not one that this caller may name.
    #[error("tenant {tenant} is not one this caller may use; check the linmem-tenant metadata")]
    TenantMismatch {
        /// The name, escaped and cut.
        tenant: String,
    },
    /// The hardware or kernel lost bytes; the memory is quarantined.
    #[error("the host could not serve {count} bytes at offset {offset}; the memory is quarantined")]
    HardwareFault {
        /// Where the access began.
        offset: u64,
        /// How many bytes at most were not moved.
        count: u64,
    },
    /// A page is not what was stored there; the memory is quarantined.
    #[error(
        "the {length} bytes at offset {offset} are not what was stored there; none of them was \
         returned, and the memory is quarantined: delete it and write it anew"
    )]
    Corrupted {
        /// Where the host page begins.
        offset: u64,
        /// How long it is.
        length: u64,
    },
    /// An atomic access between two numbers.
    #[error("offset {offset} is no multiple of {width}, as an atomic access of that width must be")]
    Unaligned {
        /// The effective address.
        offset: u64,
        /// How wide the access is, in bytes.
        width: u64,
    },
    /// A wait on a memory that is not shared.
    #[error("the memory is not shared; waiting needs one that was created with spec.shared")]
    ExpectedShared,
    /// The tenant's callers wait already, as many as may.
    #[error(
        "{used} of {limit} waiters wait already; end some, or have the tenant's waiters raised"
    )]
    TooManyWaiters {
        /// How many may.
        limit: u64,
        /// How many do.
        used: u64,
    },
    /// The tenant has as many sessions open as it may.
    #[error(
        "{used} of {limit} sessions are open already; close some, or have the tenant's sessions raised"
    )]
    TooManySessions {
        /// How many may be.
        limit: u64,
        /// How many are.
        used: u64,
    },
    /// The client takes nothing of what is there for it, or does not send what it began.
    #[error("the client {deed} within {limit:?}; go on faster, or do less at once")]
    Stalled {
        /// What it did not do.
        deed: &'static str,
        /// How long it had, beside the time that bytes take.
        limit: Duration,
    },
    /// Other bytes were there than a group expected.
    #[error(
        "the {length} bytes at offset {offset} are not the expected ones; nothing was done: read them \
         again"
    )]
    CompareFailed {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        length: u64,
    },
    /// No such opcode, or none for this place.
    #[error("{opcode:#x} is no operation of a memory that this server knows; see Opcode")]
    OperationUnknown {
        /// Its number.
        opcode: u32,
    },
    /// A message of a session that may not come, or not there.
    #[error("{why}; the session is over: open another")]
    SessionProtocol {
        /// What is wrong.
        why: &'static str,
    },
    /// What was attached for reading only.
    #[error("this handle is for reading only; attach the memory without read_only")]
    GrantReadOnly,
    /// More than a share gives.
    #[error(
        "memory {memory_id} is shared by tenant {shared_from} for {access} of its bytes; what is more is \
         its owner's to do, and RevokeShare gives it up",
        access = .access.word()
    )]
    BeyondShare {
        /// Its name here.
        memory_id: MemoryId,
        /// Whose it is.
        shared_from: TenantName,
        /// What the share gives.
        access: ShareAccess,
    },
    /// The share that a call went by is over.
    #[error("share {share_id} is over: it was revoked or has run out; ask its owner for another")]
    ShareEnded {
        /// Which.
        share_id: ShareId,
    },
    /// A share that has its name already.
    #[error("share {share_id} is mounted already, as {memory_id}; use that, or ask for another")]
    ShareMounted {
        /// Which.
        share_id: ShareId,
        /// Its name.
        memory_id: MemoryId,
    },
    /// An operation of a group; so none of them happened.
    #[error("operation {operation}: {failure}")]
    InOperation {
        /// Its place, from 0.
        operation: u32,
        /// What became of it.
        failure: Box<Self>,
    },
    /// No such resource in this tenant.
    #[error("there is no {resource} {id}", resource = .resource.word())]
    NotFound {
        /// What it would be.
        resource: Resource,
        /// Its name.
        id: Id,
    },
    /// The name is taken.
    #[error(
        "there is a {resource} {id} already; choose another id or delete it",
        resource = .resource.word()
    )]
    Exists {
        /// What it is.
        resource: Resource,
        /// Its name.
        id: Id,
    },
    /// A part outside `[0, size)` of a segment.
    #[error(
        "source_offset {} and length {} do not lie within the {} bytes of segment {segment_id}",
        .part.offset, .part.length, .part.size
    )]
    OutOfSegment {
        /// The segment.
        segment_id: SegmentId,
        /// The part, and the segment's size.
        part: OutOfBounds,
    },
    /// Someone who has a say in growth denied it, or nobody said anything in time.
    #[error("{hook_id} denied the growth ({cause}): {why}", cause = .cause.word())]
    GrowDenied {
        /// How it came about.
        cause: DenialCause,
        /// The hook, or `policy:` and the key of a limit in the config.
        hook_id: String,
        /// Its reason, escaped and cut, or what to do.
        why: String,
    },
    /// No such hook in this tenant.
    #[error("there is no hook {hook_id}")]
    HookNotFound {
        /// The name.
        hook_id: HookId,
    },
    /// The name is taken.
    #[error("there is a hook {hook_id} already; choose another id or delete it")]
    HookExists {
        /// The name.
        hook_id: HookId,
    },
    /// The hook is the config's.
    #[error("hook {hook_id} is made by the daemon's config; an operator takes its [[hook]] out")]
    HookConfigured {
        /// The name.
        hook_id: HookId,
    },
    /// A defect of the daemon. Whatever memory it held is quarantined.
    #[error("internal fault; please report it with the call_id")]
    InternalFault,
}

impl Failure {
    /// The same about the spec of one memory of several, from 0.
    #[must_use]
    pub fn of_member(self, number: usize) -> Self {
        let told = |why| format!("of members[{number}]: {why}");
        match self {
            Self::InvalidSpec { field, why } => Self::InvalidSpec { field, why: told(why) },
            Self::InvalidField { field, why } => Self::InvalidField { field, why: told(why) },
            other => other,
        }
    }
}

/// How a growth came to be denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialCause {
    /// A decider or a policy said so.
    Denied,
    /// No answer came in time.
    Timeout,
    /// There was nobody to ask.
    Absent,
}

impl DenialCause {
    /// Its name on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Denied => "DENIED",
            Self::Timeout => "TIMEOUT",
            Self::Absent => "ABSENT",
        }
    }
}

impl From<OutOfBounds> for Failure {
    fn from(refused: OutOfBounds) -> Self {
        Self::OutOfBounds(refused)
    }
}

/// What a caller named and must not be echoed as it came: escaped, at most 64 characters.
#[must_use]
pub fn printable(name: &[u8]) -> String {
    name.escape_ascii().take(64).map(char::from).collect()
}

/// How a limit was met, and what helps: to delete something does not where all of it would be too little.
fn beyond(limit: u64, used: u64, asked: u64) -> String {
    if asked > limit {
        return format!(
            "{asked} asked for, {limit} at most; ask for less or have the quota raised"
        );
    }
    format!(
        "{used} of {limit} used, {asked} more asked for; delete something or have the quota raised"
    )
}

//! Failures as gRPC: code, reason, retry word, details. The only place where a `tonic::Status` is
//! made of one.
//!
//! Law: no wildcard arm, so a new failure does not compile until it is mapped; metadata keys are the
//! messages' field names plus `limit_name`, `limit`, `used`, `size_bytes`, `call_id` and `retry`;
//! host figures never go to a tenant. Decides nothing.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::Failure;
use crate::model::Resource;

/// The domain of every `google.rpc.ErrorInfo` of this daemon.
pub const DOMAIN: &str = "linmemd";

/// When a caller told DRAINING may look for a successor.
const AFTER_DRAIN: Duration = Duration::from_secs(1);

/// A failure, and what a stream's failure adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What happened.
    pub(crate) failure: Failure,
    /// On an upload: bytes of earlier messages, which stand.
    pub(crate) bytes_written: Option<u64>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, bytes_written: None }
    }
}

/// What a caller may do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Same,
    AfterChange,
    AtHigherLevel,
    Never,
    Unknown,
}

impl Retry {
    const fn word(self) -> &'static str {
        match self {
            Self::Same => "SAME",
            Self::AfterChange => "AFTER_CHANGE",
            Self::AtHigherLevel => "AT_HIGHER_LEVEL",
            Self::Never => "NEVER",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The status of a refusal. `call_id` finds it in the log.
pub(crate) fn status(refusal: &Refusal, call_id: &str) -> Status {
    let failure = &refusal.failure;
    let message = failure.to_string();
    let Some((reason, code, retry)) = classify(failure) else {
        // After the first effect: the outcome is unknown, so no reason claims that nothing changed.
        return plain(Code::DeadlineExceeded, message);
    };
    let mut metadata = numbers(failure);
    metadata.insert("retry".to_owned(), retry.word().to_owned());
    metadata.insert("call_id".to_owned(), call_id.to_owned());
    if let Some(bytes_written) = refusal.bytes_written {
        metadata.insert("bytes_written".to_owned(), bytes_written.to_string());
    }
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, metadata);
    if let Some(field) = field(failure) {
        details.add_bad_request_violation(field, message.clone());
    }
    let plainly = match failure {
        Failure::InOperation { failure, .. } => failure,
        failure => failure,
    };
    match plainly {
        Failure::Overloaded { after, .. } => {
            details.set_retry_info(Some(*after));
        }
        Failure::Draining | Failure::Stalled { .. } => {
            details.set_retry_info(Some(AFTER_DRAIN));
        }
        _ => {}
    }
    Status::with_error_details(code, message, details)
}

/// The reason of a failure, for those who are told of it and did not ask.
pub(crate) fn reason(failure: &Failure) -> &'static str {
    match classify(failure) {
        Some((reason, _, _)) => reason,
        None => "DEADLINE_EXCEEDED",
    }
}

/// A path that no service has: tonic's own words for it.
pub(crate) fn unimplemented() -> Status {
    plain(Code::Unimplemented, String::new())
}

#[expect(clippy::disallowed_methods, reason = "the one file that makes statuses")]
fn plain(code: Code, message: String) -> Status {
    Status::new(code, message)
}

/// Reason, code and retry word; none for the one failure that has no reason.
fn classify(failure: &Failure) -> Option<(&'static str, Code, Retry)> {
    use Retry::{AfterChange, AtHigherLevel, Never, Same, Unknown};
    Some(match failure {
        Failure::OutOfBounds(_) | Failure::OutOfSegment { .. } => {
            ("OUT_OF_BOUNDS", Code::OutOfRange, AfterChange)
        }
        Failure::SequenceCompacted { .. } => ("SEQUENCE_COMPACTED", Code::OutOfRange, AfterChange),
        Failure::MaximumReached { .. } => ("MAXIMUM_REACHED", Code::FailedPrecondition, Never),
        Failure::UidMismatch { .. } => ("UID_MISMATCH", Code::FailedPrecondition, AfterChange),
        Failure::CapabilityUnavailable { .. } => {
            ("CAPABILITY_UNAVAILABLE", Code::FailedPrecondition, AfterChange)
        }
        Failure::Quarantined { .. } => ("QUARANTINED", Code::FailedPrecondition, AfterChange),
        // The table has no words of its own for a partition in use and a hook that the config makes.
        Failure::Protected { .. }
        | Failure::PartitionInUse { .. }
        | Failure::HookConfigured { .. } => ("PROTECTED", Code::FailedPrecondition, AfterChange),
        Failure::Purged { .. } => ("PURGED", Code::FailedPrecondition, AfterChange),
        Failure::SizeMismatch { .. } => ("SIZE_MISMATCH", Code::Aborted, AtHigherLevel),
        Failure::EtagMismatch { .. } => ("ETAG_MISMATCH", Code::Aborted, AtHigherLevel),
        Failure::QuotaExceeded { .. } | Failure::PartitionFull { .. } => {
            ("QUOTA_EXCEEDED", Code::ResourceExhausted, AfterChange)
        }
        Failure::HostExhausted { .. } => ("HOST_EXHAUSTED", Code::ResourceExhausted, AfterChange),
        Failure::HugePagesExhausted { .. } => {
            ("HUGE_PAGES_EXHAUSTED", Code::ResourceExhausted, AfterChange)
        }
        Failure::Overloaded { .. } => ("OVERLOADED", Code::Unavailable, Same),
        Failure::Draining => ("DRAINING", Code::Unavailable, Same),
        Failure::DeadlinePassed => ("DEADLINE_PASSED", Code::DeadlineExceeded, Same),
        Failure::DeadlineExceeded => return None,
        Failure::InvalidSpec { .. } => ("INVALID_SPEC", Code::InvalidArgument, Never),
        Failure::InvalidField { .. } => ("INVALID_FIELD", Code::InvalidArgument, Never),
        Failure::TooLarge { .. } => ("TOO_LARGE", Code::InvalidArgument, Never),
        Failure::PageTokenInvalid { .. } => ("PAGE_TOKEN_INVALID", Code::InvalidArgument, Never),
        Failure::RequestIdReused { .. } => ("REQUEST_ID_REUSED", Code::InvalidArgument, Never),
        Failure::ChecksumMismatch { .. } => ("CHECKSUM_MISMATCH", Code::InvalidArgument, Never),
        Failure::MemoryNotFound { .. } => ("MEMORY_NOT_FOUND", Code::NotFound, Never),
        Failure::MemoryExists { .. } => ("MEMORY_EXISTS", Code::AlreadyExists, Never),
        Failure::PartitionNotFound { .. } => ("PARTITION_NOT_FOUND", Code::NotFound, Never),
        Failure::PartitionExists { .. } => ("PARTITION_EXISTS", Code::AlreadyExists, Never),
        Failure::RoleMissing { .. } => ("ROLE_MISSING", Code::PermissionDenied, Never),
        Failure::TenantMismatch { .. } => ("TENANT_MISMATCH", Code::PermissionDenied, Never),
        Failure::CredentialsMissing => ("CREDENTIALS_MISSING", Code::Unauthenticated, Never),
        Failure::CredentialsRefused => ("CREDENTIALS_REFUSED", Code::Unauthenticated, Never),
        Failure::CredentialsExpired => ("CREDENTIALS_EXPIRED", Code::Unauthenticated, Never),
        Failure::Corrupted { .. } => ("CORRUPTED", Code::DataLoss, Never),
        Failure::HardwareFault { .. } => ("HARDWARE_FAULT", Code::DataLoss, Never),
        Failure::GrowDenied { .. } => ("GROW_DENIED", Code::FailedPrecondition, AfterChange),
        Failure::HookNotFound { .. } => ("HOOK_NOT_FOUND", Code::NotFound, Never),
        Failure::HookExists { .. } => ("HOOK_EXISTS", Code::AlreadyExists, Never),
        Failure::InternalFault => ("INTERNAL_FAULT", Code::Internal, Unknown),
        Failure::Unaligned { .. } => ("UNALIGNED", Code::InvalidArgument, Never),
        Failure::ExpectedShared => ("EXPECTED_SHARED", Code::FailedPrecondition, AfterChange),
        Failure::TooManyWaiters { .. } => {
            ("TOO_MANY_WAITERS", Code::ResourceExhausted, AfterChange)
        }
        Failure::TooManySessions { .. } => {
            ("TOO_MANY_SESSIONS", Code::ResourceExhausted, AfterChange)
        }
        Failure::Stalled { .. } => ("STALLED", Code::ResourceExhausted, Same),
        Failure::CompareFailed { .. } => ("COMPARE_FAILED", Code::FailedPrecondition, AfterChange),
        Failure::OperationUnknown { .. } => ("OPERATION_UNKNOWN", Code::InvalidArgument, Never),
        Failure::SessionProtocol { .. } => ("SESSION_PROTOCOL", Code::InvalidArgument, Never),
        Failure::GrantReadOnly | Failure::BeyondShare { .. } => {
            ("GRANT_READ_ONLY", Code::PermissionDenied, Never)
        }
        Failure::GrantRevoked | Failure::ShareEnded { .. } => {
            ("GRANT_REVOKED", Code::PermissionDenied, Never)
        }
        Failure::ShareMounted { .. } => ("SHARE_EXISTS", Code::AlreadyExists, Never),
        Failure::InOperation { failure, .. } => return classify(failure),
        Failure::NotFound { resource, .. } => match resource {
            Resource::Segment => ("SEGMENT_NOT_FOUND", Code::NotFound, Never),
            Resource::MemorySet => ("SET_NOT_FOUND", Code::NotFound, Never),
            Resource::View => ("VIEW_NOT_FOUND", Code::NotFound, Never),
            Resource::Share => ("SHARE_NOT_FOUND", Code::NotFound, Never),
        },
        Failure::Exists { resource, .. } => match resource {
            Resource::Segment => ("SEGMENT_EXISTS", Code::AlreadyExists, Never),
            Resource::MemorySet => ("SET_EXISTS", Code::AlreadyExists, Never),
            Resource::View => ("VIEW_EXISTS", Code::AlreadyExists, Never),
            Resource::Share => ("SHARE_EXISTS", Code::AlreadyExists, Never),
        },
    })
}

/// The field that is at fault, for those failures that are INVALID_ARGUMENT.
fn field(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::InvalidSpec { field, .. }
        | Failure::InvalidField { field, .. }
        | Failure::TooLarge { field, .. } => Some(field),
        Failure::PageTokenInvalid { .. } => Some("page_token"),
        Failure::RequestIdReused { .. } => Some("request_id"),
        Failure::ChecksumMismatch { .. } => Some("crc32c"),
        Failure::Unaligned { .. } => Some("address"),
        Failure::OperationUnknown { .. } => Some("opcode"),
        Failure::SessionProtocol { .. } => Some("message"),
        Failure::InOperation { failure, .. } => field(failure),
        Failure::OutOfBounds(_)
        | Failure::SequenceCompacted { .. }
        | Failure::MaximumReached { .. }
        | Failure::UidMismatch { .. }
        | Failure::CapabilityUnavailable { .. }
        | Failure::Quarantined { .. }
        | Failure::Protected { .. }
        | Failure::Purged { .. }
        | Failure::SizeMismatch { .. }
        | Failure::EtagMismatch { .. }
        | Failure::QuotaExceeded { .. }
        | Failure::HostExhausted { .. }
        | Failure::HugePagesExhausted { .. }
        | Failure::Overloaded { .. }
        | Failure::Draining
        | Failure::DeadlinePassed
        | Failure::DeadlineExceeded
        | Failure::MemoryNotFound { .. }
        | Failure::MemoryExists { .. }
        | Failure::PartitionNotFound { .. }
        | Failure::PartitionExists { .. }
        | Failure::PartitionFull { .. }
        | Failure::PartitionInUse { .. }
        | Failure::RoleMissing { .. }
        | Failure::TenantMismatch { .. }
        | Failure::CredentialsMissing
        | Failure::CredentialsRefused
        | Failure::CredentialsExpired
        | Failure::Corrupted { .. }
        | Failure::HardwareFault { .. }
        | Failure::ExpectedShared
        | Failure::TooManyWaiters { .. }
        | Failure::TooManySessions { .. }
        | Failure::Stalled { .. }
        | Failure::CompareFailed { .. }
        | Failure::GrantReadOnly
        | Failure::GrantRevoked
        | Failure::BeyondShare { .. }
        | Failure::ShareEnded { .. }
        | Failure::ShareMounted { .. }
        | Failure::NotFound { .. }
        | Failure::Exists { .. }
        | Failure::OutOfSegment { .. }
        | Failure::GrowDenied { .. }
        | Failure::HookNotFound { .. }
        | Failure::HookExists { .. }
        | Failure::HookConfigured { .. }
        | Failure::InternalFault => None,
    }
}

/// The failure's numbers and names, by field name.
fn numbers(failure: &Failure) -> HashMap<String, String> {
    let pairs: Vec<(&str, String)> = match failure {
        Failure::OutOfBounds(trap) => vec![
            ("offset", trap.offset.to_string()),
            ("length", trap.length.to_string()),
            ("size_bytes", trap.size.to_string()),
        ],
        Failure::MaximumReached { current_pages, delta_pages, maximum_pages } => vec![
            ("current_pages", current_pages.to_string()),
            ("delta_pages", delta_pages.to_string()),
            ("limit_name", "maximum_pages".to_owned()),
            ("limit", maximum_pages.to_string()),
        ],
        Failure::UidMismatch { found, .. } => vec![("uid", found.to_string())],
        Failure::CapabilityUnavailable { field, value, .. } => {
            vec![("field", (*field).to_owned()), ("value", value.clone())]
        }
        Failure::Quarantined { why } => vec![("state_reason", (*why).to_owned())],
        Failure::Protected { offset, length, protection } => vec![
            ("offset", offset.to_string()),
            ("length", length.to_string()),
            ("protection", protection.word().to_owned()),
        ],
        Failure::Purged { offset, length }
        | Failure::HardwareFault { offset, count: length }
        | Failure::Corrupted { offset, length }
        | Failure::CompareFailed { offset, length } => {
            vec![("offset", offset.to_string()), ("length", length.to_string())]
        }
        Failure::SequenceCompacted { oldest, boot_id } => {
            vec![("sequence", oldest.to_string()), ("boot_id", boot_id.to_string())]
        }
        Failure::SizeMismatch { expected_pages, current_pages } => vec![
            ("expected_pages", expected_pages.to_string()),
            ("current_pages", current_pages.to_string()),
        ],
        Failure::EtagMismatch { found, .. } => vec![("etag", found.clone())],
        Failure::QuotaExceeded { limit_name, limit, used, .. } => of(limit_name, *limit, *used),
        Failure::HostExhausted { limit_name, .. } => {
            vec![("limit_name", (*limit_name).to_owned())]
        }
        Failure::HugePagesExhausted { page_bytes } => {
            vec![("field", "spec.huge_pages".to_owned()), ("page_bytes", page_bytes.to_string())]
        }
        Failure::Overloaded { limit_name, limit, .. } => {
            vec![("limit_name", (*limit_name).to_owned()), ("limit", limit.to_string())]
        }
        Failure::TooLarge { field, length, limit_name, limit, .. } => vec![
            ("field", (*field).to_owned()),
            ("length", length.to_string()),
            ("limit_name", (*limit_name).to_owned()),
            ("limit", limit.to_string()),
        ],
        Failure::InvalidSpec { field, .. } | Failure::InvalidField { field, .. } => {
            vec![("field", (*field).to_owned())]
        }
        Failure::RequestIdReused { request_id } => vec![("request_id", request_id.to_string())],
        Failure::ChecksumMismatch { found, .. } => vec![("crc32c", found.to_string())],
        Failure::MemoryNotFound { memory_id } | Failure::MemoryExists { memory_id } => {
            vec![("memory_id", memory_id.to_string())]
        }
        Failure::PartitionNotFound { partition_id } | Failure::PartitionExists { partition_id } => {
            vec![("partition_id", partition_id.to_string())]
        }
        // What others use of it is not the caller's to know.
        Failure::PartitionFull { partition_id, limit, .. } => vec![
            ("partition_id", partition_id.to_string()),
            ("limit_name", "partition_committed_bytes".to_owned()),
            ("limit", limit.to_string()),
        ],
        Failure::PartitionInUse { partition_id, memories, children } => vec![
            ("partition_id", partition_id.to_string()),
            ("memories", memories.to_string()),
            ("children", children.to_string()),
        ],
        Failure::RoleMissing { role, .. } => vec![("role", (*role).to_owned())],
        Failure::TenantMismatch { tenant } => vec![("tenant", tenant.clone())],
        Failure::Unaligned { offset, width } => {
            vec![("offset", offset.to_string()), ("width", width.to_string())]
        }
        Failure::TooManyWaiters { limit, used } => of("tenant_waiters", *limit, *used),
        Failure::TooManySessions { limit, used } => of("tenant_sessions", *limit, *used),
        Failure::BeyondShare { memory_id, access, .. } => {
            vec![("memory_id", memory_id.to_string()), ("access", access.word().to_owned())]
        }
        Failure::ShareEnded { share_id } | Failure::ShareMounted { share_id, .. } => {
            vec![("share_id", share_id.to_string())]
        }
        Failure::OperationUnknown { opcode } => vec![("opcode", opcode.to_string())],
        Failure::InOperation { operation, failure } => {
            let mut numbers = numbers(failure);
            numbers.insert("operation_index".to_owned(), operation.to_string());
            return numbers;
        }
        Failure::NotFound { resource, id } | Failure::Exists { resource, id } => {
            vec![(resource.field(), id.to_string())]
        }
        Failure::OutOfSegment { segment_id, part } => vec![
            ("segment_id", segment_id.to_string()),
            ("source_offset", part.offset.to_string()),
            ("length", part.length.to_string()),
            ("size_bytes", part.size.to_string()),
        ],
        Failure::GrowDenied { cause, hook_id, .. } => {
            vec![("cause", cause.word().to_owned()), ("hook_id", hook_id.clone())]
        }
        Failure::HookNotFound { hook_id }
        | Failure::HookExists { hook_id }
        | Failure::HookConfigured { hook_id } => vec![("hook_id", hook_id.to_string())],
        Failure::SessionProtocol { .. }
        | Failure::GrantReadOnly
        | Failure::GrantRevoked
        | Failure::CredentialsMissing
        | Failure::CredentialsRefused
        | Failure::CredentialsExpired
        | Failure::Stalled { .. }
        | Failure::Draining
        | Failure::DeadlinePassed
        | Failure::DeadlineExceeded
        | Failure::PageTokenInvalid { .. }
        | Failure::ExpectedShared
        | Failure::InternalFault => Vec::new(),
    };
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A limit, and how much of it is used.
fn of(limit_name: &str, limit: u64, used: u64) -> Vec<(&'static str, String)> {
    vec![
        ("limit_name", limit_name.to_owned()),
        ("limit", limit.to_string()),
        ("used", used.to_string()),
    ]
}

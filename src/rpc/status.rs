//! Failures as gRPC: code, reason, retry word, details. The only place where a `tonic::Status` is
//! made of one.
//!
//! Law: no wildcard arm, so a new failure does not compile until it is mapped; metadata keys are those
//! of `details.rs`, `call_id` and `retry`. Decides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb::bad_request::FieldViolation;
use tonic_types::pb::{self, BadRequest, RetryInfo};

use crate::error::Failure;
use crate::model::Resource;
use crate::rpc::details;

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
    let mut metadata = details::numbers(failure);
    metadata.insert("retry".to_owned(), retry.word().to_owned());
    metadata.insert("call_id".to_owned(), call_id.to_owned());
    if let Some(bytes_written) = refusal.bytes_written {
        metadata.insert("bytes_written".to_owned(), bytes_written.to_string());
    }
    let info = ErrorInfo { reason: reason.to_owned(), domain: DOMAIN.to_owned(), metadata };
    let mut all = vec![any("ErrorInfo", &info)];
    if let Some(field) = details::field(failure) {
        let (field, description) = (field.to_owned(), message.clone());
        let violation = FieldViolation { field, description, ..Default::default() };
        all.push(any("BadRequest", &BadRequest { field_violations: vec![violation] }));
    }
    let plainly = match failure {
        Failure::InOperation { failure, .. } => failure,
        failure => failure,
    };
    match plainly {
        Failure::Overloaded { after, .. }
        | Failure::HostShort { after, .. }
        | Failure::RateLimited { after, .. } => {
            all.push(retry_after(*after));
        }
        Failure::Draining | Failure::Stalled { .. } => {
            all.push(retry_after(AFTER_DRAIN));
        }
        _ => {}
    }
    let told = pb::Status { code: code as i32, message: message.clone(), details: all };
    Status::with_details(code, message, told.encode_to_vec().into())
}

/// `google.rpc.ErrorInfo`, in the same bytes for the same failure: the generated one's metadata are in an
/// order that differs from one to the next.
#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

fn any(name: &str, message: &impl Message) -> Any {
    let type_url = format!("type.googleapis.com/google.rpc.{name}");
    Any { type_url, value: message.encode_to_vec() }
}

fn retry_after(time: Duration) -> Any {
    // None is longer than an hour.
    any("RetryInfo", &RetryInfo { retry_delay: time.try_into().ok() })
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
        Failure::Overloaded { .. } | Failure::HostShort { .. } => {
            ("OVERLOADED", Code::Unavailable, Same)
        }
        Failure::RateLimited { .. } => ("RATE_LIMITED", Code::ResourceExhausted, Same),
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

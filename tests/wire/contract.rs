//! Owns the contract's table of failures: reason, code, retry word; and [`refused`], which holds
//! an answer against it.
//!
//! Law: the table is written from the API's page, not from the code that it tests. A failure is
//! right when its code, retry word, call_id, numbers (all of them, and no others), BadRequest and
//! RetryInfo are.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::time::Duration;

use linmemd::client::{ClientError, Failure, Retry};
use tonic::Code;

const TABLE: &[(&str, Code, Retry)] = &[
    ("OUT_OF_BOUNDS", Code::OutOfRange, Retry::AfterChange),
    ("SEQUENCE_COMPACTED", Code::OutOfRange, Retry::AfterChange),
    ("MAXIMUM_REACHED", Code::FailedPrecondition, Retry::Never),
    ("UID_MISMATCH", Code::FailedPrecondition, Retry::AfterChange),
    ("CAPABILITY_UNAVAILABLE", Code::FailedPrecondition, Retry::AfterChange),
    ("QUARANTINED", Code::FailedPrecondition, Retry::AfterChange),
    ("PROTECTED", Code::FailedPrecondition, Retry::AfterChange),
    ("PURGED", Code::FailedPrecondition, Retry::AfterChange),
    ("SIZE_MISMATCH", Code::Aborted, Retry::AtHigherLevel),
    ("ETAG_MISMATCH", Code::Aborted, Retry::AtHigherLevel),
    ("QUOTA_EXCEEDED", Code::ResourceExhausted, Retry::AfterChange),
    ("HOST_EXHAUSTED", Code::ResourceExhausted, Retry::AfterChange),
    ("HUGE_PAGES_EXHAUSTED", Code::ResourceExhausted, Retry::AfterChange),
    ("OVERLOADED", Code::Unavailable, Retry::Same),
    ("RATE_LIMITED", Code::ResourceExhausted, Retry::Same),
    ("DRAINING", Code::Unavailable, Retry::Same),
    ("DEADLINE_PASSED", Code::DeadlineExceeded, Retry::Same),
    ("INVALID_SPEC", Code::InvalidArgument, Retry::Never),
    ("INVALID_FIELD", Code::InvalidArgument, Retry::Never),
    ("TOO_LARGE", Code::InvalidArgument, Retry::Never),
    ("PAGE_TOKEN_INVALID", Code::InvalidArgument, Retry::Never),
    ("REQUEST_ID_REUSED", Code::InvalidArgument, Retry::Never),
    ("CHECKSUM_MISMATCH", Code::InvalidArgument, Retry::Never),
    ("MEMORY_NOT_FOUND", Code::NotFound, Retry::Never),
    ("MEMORY_EXISTS", Code::AlreadyExists, Retry::Never),
    ("PARTITION_NOT_FOUND", Code::NotFound, Retry::Never),
    ("PARTITION_EXISTS", Code::AlreadyExists, Retry::Never),
    ("ROLE_MISSING", Code::PermissionDenied, Retry::Never),
    ("TENANT_MISMATCH", Code::PermissionDenied, Retry::Never),
    ("GRANT_REVOKED", Code::PermissionDenied, Retry::Never),
    ("CREDENTIALS_MISSING", Code::Unauthenticated, Retry::Never),
    ("CREDENTIALS_REFUSED", Code::Unauthenticated, Retry::Never),
    ("CREDENTIALS_EXPIRED", Code::Unauthenticated, Retry::Never),
    ("CORRUPTED", Code::DataLoss, Retry::Never),
    ("HARDWARE_FAULT", Code::DataLoss, Retry::Never),
    ("INTERNAL_FAULT", Code::Internal, Retry::Unknown),
    ("UNALIGNED", Code::InvalidArgument, Retry::Never),
    ("EXPECTED_SHARED", Code::FailedPrecondition, Retry::AfterChange),
    ("TOO_MANY_WAITERS", Code::ResourceExhausted, Retry::AfterChange),
    ("TOO_MANY_SESSIONS", Code::ResourceExhausted, Retry::AfterChange),
    ("STALLED", Code::ResourceExhausted, Retry::Same),
    ("COMPARE_FAILED", Code::FailedPrecondition, Retry::AfterChange),
    ("SESSION_PROTOCOL", Code::InvalidArgument, Retry::Never),
    ("GRANT_READ_ONLY", Code::PermissionDenied, Retry::Never),
    ("OPERATION_UNKNOWN", Code::InvalidArgument, Retry::Never),
    ("SEGMENT_NOT_FOUND", Code::NotFound, Retry::Never),
    ("SEGMENT_EXISTS", Code::AlreadyExists, Retry::Never),
    ("SET_NOT_FOUND", Code::NotFound, Retry::Never),
    ("SET_EXISTS", Code::AlreadyExists, Retry::Never),
    ("VIEW_NOT_FOUND", Code::NotFound, Retry::Never),
    ("SHARE_NOT_FOUND", Code::NotFound, Retry::Never),
    ("SHARE_EXISTS", Code::AlreadyExists, Retry::Never),
    ("GROW_DENIED", Code::FailedPrecondition, Retry::AfterChange),
    ("HOOK_NOT_FOUND", Code::NotFound, Retry::Never),
    ("HOOK_EXISTS", Code::AlreadyExists, Retry::Never),
];

/// Asserts that the outcome is this failure with exactly these numbers, and gives it.
pub(crate) fn refused<T: Debug>(
    outcome: Result<T, impl Into<ClientError>>,
    reason: &str,
    numbers: &[(&str, &dyn Display)],
) -> Failure {
    let failure = match outcome.map_err(Into::into) {
        Err(ClientError::Refused(failure)) => *failure,
        other => panic!("{reason} was due, not {other:?}"),
    };
    let (_, code, retry) = TABLE.iter().find(|(row, _, _)| *row == reason).unwrap();
    assert_eq!(failure.reason, reason, "{failure}");
    assert_eq!((failure.code, failure.retry), (*code, *retry), "{failure}");
    has_call_id(&failure);
    let wanted: BTreeMap<String, String> =
        numbers.iter().map(|(key, value)| ((*key).to_owned(), value.to_string())).collect();
    let mut found = failure.metadata.clone();
    assert_eq!(found.remove("retry").as_deref(), Some(retry.as_str()));
    found.remove("call_id");
    assert_eq!(found, wanted, "the numbers of {failure}");
    let later = failure.retry_after.is_some_and(|after| after > Duration::ZERO);
    let told = *code == Code::Unavailable || ["STALLED", "RATE_LIMITED"].contains(&reason);
    assert_eq!(later, told, "RetryInfo of {failure}");
    let violations = usize::from(*code == Code::InvalidArgument);
    assert_eq!(failure.field_violations.len(), violations, "BadRequest of {failure}");
    if let (Some(field), Some(violation)) = (wanted.get("field"), failure.field_violations.first())
    {
        assert_eq!(&violation.field, field);
        assert!(!violation.description.is_empty());
    }
    failure
}

/// INVALID_FIELD of this field.
pub(crate) fn invalid<T: Debug>(outcome: Result<T, impl Into<ClientError>>, field: &str) {
    refused(outcome, "INVALID_FIELD", &[("field", &field)]);
}

/// `boot-connection-number`, in hexadecimal.
fn has_call_id(failure: &Failure) {
    let call_id = failure.call_id.as_deref().unwrap_or_default();
    let parts: Vec<&str> = call_id.split('-').collect();
    let hexadecimal = |part: &&str| u64::from_str_radix(part, 16).is_ok();
    assert!(parts.len() == 3 && parts.iter().all(hexadecimal), "call_id {call_id:?}");
}

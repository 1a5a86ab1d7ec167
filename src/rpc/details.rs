//! What a failure names in the details of its status: the field at fault, and its figures.
//!
//! Law: no wildcard arm, so a new failure does not compile until it is here; keys are the messages' field
//! names plus `limit_name`, `limit`, `used` and `size_bytes`; host figures never go to a tenant.

use std::collections::BTreeMap;

use crate::error::Failure;

/// The field that is at fault, for those failures that are INVALID_ARGUMENT.
pub(super) fn field(failure: &Failure) -> Option<&'static str> {
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
        | Failure::HostShort { .. }
        | Failure::RateLimited { .. }
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
pub(super) fn numbers(failure: &Failure) -> BTreeMap<String, String> {
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
        Failure::QuotaExceeded { limit_name, limit, used, .. }
        | Failure::RateLimited { limit_name, limit, used, .. } => of(limit_name, *limit, *used),
        Failure::HostExhausted { limit_name, .. } => {
            vec![("limit_name", (*limit_name).to_owned())]
        }
        Failure::HugePagesExhausted { page_bytes } => {
            vec![("field", "spec.huge_pages".to_owned()), ("page_bytes", page_bytes.to_string())]
        }
        Failure::HostShort { step, .. } => vec![("limit_name", (*step).to_owned())],
        Failure::Overloaded { limit_name, limit, used, .. } => {
            [("limit_name", (*limit_name).to_owned()), ("limit", limit.to_string())]
                .into_iter()
                .chain(used.map(|used| ("used", used.to_string())))
                .collect()
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
        Failure::PartitionFull { partition_id, limit_name, limit, .. } => vec![
            ("partition_id", partition_id.to_string()),
            ("limit_name", (*limit_name).to_owned()),
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

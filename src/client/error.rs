//! What can go wrong with a call, decoded from `google.rpc` details once, here.
//!
//! Its law: a failure that carries the daemon's ErrorInfo keeps its reason, its retry word and its
//! metadata as sent; anything else is said to be of unknown outcome. It words no advice.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::client::endpoint::EndpointError;

/// Whether and how to try again, in the daemon's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call, later.
    Same,
    /// Once something has changed: room, a grant, a label.
    AfterChange,
    /// The whole sequence that this call was part of, from its read.
    AtHigherLevel,
    /// It cannot succeed.
    Never,
    /// Nobody can tell.
    Unknown,
}

/// A field that was refused and why, from `google.rpc.BadRequest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path in the request.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// A call that a server answered with a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// gRPC's code.
    pub code: Code,
    /// The daemon's word for what happened (`MEMORY_NOT_FOUND`); where the answer had none, the
    /// code's upper-case name.
    pub reason: String,
    /// Whether to try again.
    pub retry: Retry,
    /// What happened, for people.
    pub message: String,
    /// The numbers, by name.
    pub metadata: BTreeMap<String, String>,
    /// The call's name in the daemon's log.
    pub call_id: Option<String>,
    /// How long to wait before the same call may succeed.
    pub retry_after: Option<Duration>,
    /// The fields that were refused.
    pub field_violations: Vec<FieldViolation>,
    /// Whether the daemon promised that the failed call changed nothing. On a stream this speaks
    /// of the message that failed: earlier ones stand.
    pub changed_nothing: bool,
}

/// Why a call gave no resource.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint or the tenant cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The daemon could not be reached, or the connection broke.
    #[error("{message}")]
    Transport {
        /// The layers' own words, outermost first.
        message: String,
        /// Whether it is certain that the daemon never saw the call.
        never_sent: bool,
    },
    /// A server answered, and said no.
    #[error("{0}")]
    Refused(Box<Failure>),
    /// The caller's deadline passed and nobody said that nothing happened: it happened whole or
    /// not at all.
    #[error("no answer within the deadline; the call may or may not have taken effect")]
    DeadlinePassed,
    /// Bytes arrived that are not those that were sent.
    #[error("checksum mismatch at offset {offset}: expected {expected:08x}, found {found:08x}")]
    Checksum {
        /// Where the checked bytes begin, in the memory.
        offset: u64,
        /// CRC-32C as announced.
        expected: u32,
        /// CRC-32C of what arrived.
        found: u32,
    },
    /// The bytes to be sent could not be read.
    #[error("cannot read the bytes to send: {0}")]
    Source(#[source] io::Error),
    /// The bytes that arrived could not be passed on.
    #[error("cannot write the bytes received: {0}")]
    Sink(#[source] io::Error),
    /// The answer breaks the protocol.
    #[error("the server's answer breaks the protocol: {0}")]
    Answer(String),
    /// This host gives no random bytes for a request_id.
    #[error("no random bytes from this host: {0}")]
    Random(String),
}

impl Retry {
    /// The word as the daemon sends it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "SAME",
            Self::AfterChange => "AFTER_CHANGE",
            Self::AtHigherLevel => "AT_HIGHER_LEVEL",
            Self::Never => "NEVER",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl Failure {
    /// A number of the metadata.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.metadata.get(key)?.parse().ok()
    }

    /// How many bytes of a failed upload stand.
    pub fn bytes_written(&self) -> Option<u64> {
        self.number("bytes_written")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        self.field_violations
            .iter()
            .filter(|violation| !self.message.contains(&violation.description))
            .try_for_each(|violation| {
                write!(f, " ({}: {})", violation.field, violation.description)
            })
    }
}

impl ClientError {
    /// The server's failure, where there is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Refused(failure) => Some(failure),
            _ => None,
        }
    }

    /// The daemon's word for what happened, or the client's own for what it saw.
    pub fn reason(&self) -> &str {
        match self {
            Self::Endpoint(_) => "CLIENT_ENDPOINT",
            Self::Transport { .. } => "CLIENT_TRANSPORT",
            Self::Refused(failure) => &failure.reason,
            Self::DeadlinePassed => "CLIENT_DEADLINE",
            Self::Checksum { .. } => "CLIENT_CHECKSUM",
            Self::Source(_) => "CLIENT_SOURCE",
            Self::Sink(_) => "CLIENT_SINK",
            Self::Answer(_) => "CLIENT_PROTOCOL",
            Self::Random(_) => "CLIENT_RANDOM",
        }
    }

    /// How many bytes of a failed upload stand.
    pub fn bytes_written(&self) -> Option<u64> {
        self.failure().and_then(Failure::bytes_written)
    }

    /// Reads a status, whoever made it.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        if info.is_none() {
            if status.code() == Code::DeadlineExceeded || timed_out_here(status) {
                return Self::DeadlinePassed;
            }
            if status.source().is_some() {
                return transport(status.source());
            }
        }
        let metadata: BTreeMap<String, String> =
            info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default();
        let reason = match info {
            Some(info) => info.reason.clone(),
            None => code_name(status.code()).to_owned(),
        };
        let violations = details.bad_request().map_or(&[][..], |bad| &bad.field_violations);
        let field_violations = violations
            .iter()
            .map(|one| FieldViolation {
                field: one.field.clone(),
                description: one.description.clone(),
            })
            .collect();
        Self::Refused(Box::new(Failure {
            code: status.code(),
            retry: retry_word(metadata.get("retry").map(String::as_str)),
            message: status.message().to_owned(),
            call_id: metadata.get("call_id").cloned(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            field_violations,
            changed_nothing: info.is_some() && !QUARANTINING.contains(&reason.as_str()),
            reason,
            metadata,
        }))
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::from_status(&status)
    }
}

impl From<tonic::transport::Error> for ClientError {
    fn from(error: tonic::transport::Error) -> Self {
        transport(Some(&error))
    }
}

/// gRPC's name of a code, as in `linmemd_rpc_requests_total{code}`.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

const DOMAIN: &str = "linmemd";

/// Failures that quarantine the memory instead of leaving it unchanged.
const QUARANTINING: [&str; 3] = ["HARDWARE_FAULT", "CORRUPTED", "INTERNAL_FAULT"];

fn retry_word(word: Option<&str>) -> Retry {
    match word {
        Some("SAME") => Retry::Same,
        Some("AFTER_CHANGE") => Retry::AfterChange,
        Some("AT_HIGHER_LEVEL") => Retry::AtHigherLevel,
        Some("NEVER") => Retry::Never,
        _ => Retry::Unknown,
    }
}

/// tonic's channel keeps grpc-timeout itself and then answers CANCELLED.
fn timed_out_here(status: &Status) -> bool {
    chain(status.source()).any(|error| error.is::<tonic::TimeoutExpired>())
}

fn transport(error: Option<&(dyn Error + 'static)>) -> ClientError {
    let never_sent = chain(error).any(|error| error.is::<tonic::ConnectError>());
    let mut parts: Vec<String> = Vec::new();
    for error in chain(error) {
        let text = error.to_string();
        // Layers repeat each other's words; tonic's outermost ones say nothing.
        if !text.is_empty() && !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    if parts.len() > 1 && parts[0] == "transport error" {
        parts.remove(0);
    }
    ClientError::Transport { message: parts.join(": "), never_sent }
}

fn chain<'a>(
    first: Option<&'a (dyn Error + 'static)>,
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(first, |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    fn refused(details: ErrorDetails) -> Failure {
        let status = Status::with_error_details(Code::Unavailable, "busy", details);
        match ClientError::from(status) {
            ClientError::Refused(failure) => *failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_part_of_the_daemons_failure_is_kept() {
        let metadata = [("retry", "SAME"), ("call_id", "c-1"), ("bytes_written", "4096")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut details =
            ErrorDetails::with_error_info("OVERLOADED", "linmemd", HashMap::from(metadata));
        details.set_retry_info(Some(Duration::from_millis(70)));
        details.add_bad_request_violation("offset", "too far");
        let failure = refused(details);
        assert_eq!(failure.reason, "OVERLOADED");
        assert_eq!(failure.retry, Retry::Same);
        assert_eq!(failure.call_id.as_deref(), Some("c-1"));
        assert_eq!(failure.retry_after, Some(Duration::from_millis(70)));
        assert_eq!(failure.bytes_written(), Some(4096));
        assert_eq!(failure.field_violations[0].field, "offset");
        assert!(failure.changed_nothing);
        assert_eq!(failure.to_string(), "OVERLOADED: busy (offset: too far)");
    }

    #[test]
    fn a_failure_of_another_domain_promises_nothing() {
        let failure = refused(ErrorDetails::with_error_info("X", "elsewhere", HashMap::new()));
        assert_eq!(failure.reason, "UNAVAILABLE");
        assert_eq!(failure.retry, Retry::Unknown);
        assert!(!failure.changed_nothing);
    }

    #[test]
    fn a_quarantining_failure_does_not_claim_that_nothing_changed() {
        let details = ErrorDetails::with_error_info("CORRUPTED", "linmemd", HashMap::new());
        assert!(!refused(details).changed_nothing);
    }

    #[test]
    fn a_plain_deadline_leaves_the_outcome_unknown() {
        let error = ClientError::from(Status::deadline_exceeded("late"));
        assert!(matches!(error, ClientError::DeadlinePassed));
        let expired = Status::from_error(Box::new(tonic::TimeoutExpired(())));
        assert!(matches!(ClientError::from(expired), ClientError::DeadlinePassed));
    }

    #[test]
    fn a_refused_connection_is_known_never_to_have_been_sent() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(tonic::ConnectError(Box::new(refused))));
        let error = ClientError::from(status);
        assert!(matches!(error, ClientError::Transport { never_sent: true, .. }), "{error:?}");
        assert!(error.to_string().contains("connection refused"), "{error}");
    }
}

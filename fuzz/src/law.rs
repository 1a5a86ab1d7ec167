//! What holds of every answer, whatever was asked: the API's page, read without the daemon's code.
//!
//! Law: a status is OK with messages of the response's type, or it is one of the page's failures,
//! under its code, with a call_id, a retry word and, where a field is at fault, a field that the
//! request has. No input may bring out a failure that is the daemon's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use linmemd::proto::DESCRIPTORS;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::rpcs::Rpc;
use crate::talk::Answer;

/// Reason, code and retry word of section 6.
const FAILURES: &[(&str, Code, &str)] = &[
    ("OUT_OF_BOUNDS", Code::OutOfRange, "AFTER_CHANGE"),
    ("SEQUENCE_COMPACTED", Code::OutOfRange, "AFTER_CHANGE"),
    ("MAXIMUM_REACHED", Code::FailedPrecondition, "NEVER"),
    ("COMPARE_FAILED", Code::FailedPrecondition, "AFTER_CHANGE"),
    ("UID_MISMATCH", Code::FailedPrecondition, "AFTER_CHANGE"),
    ("EXPECTED_SHARED", Code::FailedPrecondition, "AFTER_CHANGE"),
    ("GROW_DENIED", Code::FailedPrecondition, "AFTER_CHANGE"),
    ("CAPABILITY_UNAVAILABLE", Code::FailedPrecondition, "AFTER_CHANGE"),
    ("QUARANTINED", Code::FailedPrecondition, "AFTER_CHANGE"),
    ("PURGED", Code::FailedPrecondition, "AFTER_CHANGE"),
    ("PROTECTED", Code::FailedPrecondition, "AFTER_CHANGE"),
    ("SIZE_MISMATCH", Code::Aborted, "AT_HIGHER_LEVEL"),
    ("ETAG_MISMATCH", Code::Aborted, "AT_HIGHER_LEVEL"),
    ("QUOTA_EXCEEDED", Code::ResourceExhausted, "AFTER_CHANGE"),
    ("HOST_EXHAUSTED", Code::ResourceExhausted, "AFTER_CHANGE"),
    ("HUGE_PAGES_EXHAUSTED", Code::ResourceExhausted, "AFTER_CHANGE"),
    ("TOO_MANY_WAITERS", Code::ResourceExhausted, "AFTER_CHANGE"),
    ("TOO_MANY_SESSIONS", Code::ResourceExhausted, "AFTER_CHANGE"),
    ("RATE_LIMITED", Code::ResourceExhausted, "SAME"),
    ("STALLED", Code::ResourceExhausted, "SAME"),
    ("OVERLOADED", Code::Unavailable, "SAME"),
    ("DRAINING", Code::Unavailable, "SAME"),
    ("STARTING", Code::Unavailable, "SAME"),
    ("DEADLINE_PASSED", Code::DeadlineExceeded, "SAME"),
    ("INVALID_SPEC", Code::InvalidArgument, "NEVER"),
    ("INVALID_FIELD", Code::InvalidArgument, "NEVER"),
    ("UNALIGNED", Code::InvalidArgument, "NEVER"),
    ("TOO_LARGE", Code::InvalidArgument, "NEVER"),
    ("OPERATION_UNKNOWN", Code::InvalidArgument, "NEVER"),
    ("PAGE_TOKEN_INVALID", Code::InvalidArgument, "NEVER"),
    ("REQUEST_ID_REUSED", Code::InvalidArgument, "NEVER"),
    ("CHECKSUM_MISMATCH", Code::InvalidArgument, "NEVER"),
    ("SESSION_PROTOCOL", Code::InvalidArgument, "NEVER"),
    ("MEMORY_NOT_FOUND", Code::NotFound, "NEVER"),
    ("SEGMENT_NOT_FOUND", Code::NotFound, "NEVER"),
    ("SET_NOT_FOUND", Code::NotFound, "NEVER"),
    ("VIEW_NOT_FOUND", Code::NotFound, "NEVER"),
    ("PARTITION_NOT_FOUND", Code::NotFound, "NEVER"),
    ("HOOK_NOT_FOUND", Code::NotFound, "NEVER"),
    ("SHARE_NOT_FOUND", Code::NotFound, "NEVER"),
    ("MEMORY_EXISTS", Code::AlreadyExists, "NEVER"),
    ("SEGMENT_EXISTS", Code::AlreadyExists, "NEVER"),
    ("SET_EXISTS", Code::AlreadyExists, "NEVER"),
    ("VIEW_EXISTS", Code::AlreadyExists, "NEVER"),
    ("PARTITION_EXISTS", Code::AlreadyExists, "NEVER"),
    ("HOOK_EXISTS", Code::AlreadyExists, "NEVER"),
    ("SHARE_EXISTS", Code::AlreadyExists, "NEVER"),
    ("ROLE_MISSING", Code::PermissionDenied, "NEVER"),
    ("TENANT_MISMATCH", Code::PermissionDenied, "NEVER"),
    ("GRANT_READ_ONLY", Code::PermissionDenied, "NEVER"),
    ("GRANT_REVOKED", Code::PermissionDenied, "NEVER"),
    ("CREDENTIALS_MISSING", Code::Unauthenticated, "NEVER"),
    ("CREDENTIALS_REFUSED", Code::Unauthenticated, "NEVER"),
    ("CREDENTIALS_EXPIRED", Code::Unauthenticated, "NEVER"),
    ("CORRUPTED", Code::DataLoss, "NEVER"),
    ("HARDWARE_FAULT", Code::DataLoss, "NEVER"),
    ("INTERNAL_FAULT", Code::Internal, "UNKNOWN"),
];

/// Stands for the reason that a deadline after the first effect has not.
const OUTCOME_UNKNOWN: &str = "DEADLINE_EXCEEDED";

/// What no input may bring out: the daemon's own faults, and what this host cannot do to it.
const NEVER_OF_AN_INPUT: &[&str] = &[
    "QUARANTINED",
    "STALLED",
    "DRAINING",
    "STARTING",
    "CORRUPTED",
    "HARDWARE_FAULT",
    "INTERNAL_FAULT",
];

/// What is at fault beside a request's fields.
const BESIDE: [&str; 5] = ["message", "grpc-encoding", "grpc-timeout", "linmem-tenant", "config"];

/// An answer that every law holds for.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// OK, with these messages.
    Done(Vec<Vec<u8>>),
    /// It waited for others, and was called off.
    Parked,
    Refused(Refusal),
}

/// A failure of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) fields: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) message: String,
}

impl Verdict {
    /// Whether what was asked for may have been done: the page says that of who has an answer without a
    /// reason, or none, that it happened whole or not at all.
    pub(crate) fn may_be_done(&self) -> bool {
        match self {
            Self::Done(_) | Self::Parked => true,
            Self::Refused(refusal) => refusal.reason == OUTCOME_UNKNOWN,
        }
    }

    /// The reason of a refusal; OK is empty.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Done(_) | Self::Parked => "",
            Self::Refused(refusal) => &refusal.reason,
        }
    }
}

/// Judges an answer.
pub(crate) fn verdict(rpc: &Rpc, answer: &Answer) -> Verdict {
    let messages = || messages(&answer.body);
    if answer.parked {
        assert!(messages().iter().all(|message| (rpc.is_response)(message)), "{}", rpc.name);
        return Verdict::Parked;
    }
    let status = answer.status.as_ref().expect("every answer has a status");
    assert_eq!(answer.http, 200, "gRPC's failures are in its status");
    if status.code() != Code::Ok {
        return Verdict::Refused(refusal(rpc, status));
    }
    let messages = messages();
    for message in &messages {
        assert!((rpc.is_response)(message), "{}: {message:?} is no response", rpc.name);
    }
    Verdict::Done(messages)
}

/// The messages of a body, which must be whole.
pub(crate) fn messages(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let [compressed, a, b, c, d, after @ ..] = body else { panic!("a torn header: {body:?}") };
        assert_eq!(*compressed, 0, "nothing is compressed");
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (message, after) = after.split_at_checked(length).expect("a whole message");
        found.push(message.to_vec());
        body = after;
    }
    found
}

/// Judges a failure.
pub(crate) fn refusal(rpc: &Rpc, status: &Status) -> Refusal {
    let details = status.get_error_details();
    let message = status.message().to_owned();
    assert!(message.len() < 4_096 && !message.is_empty(), "{}: {status:?}", rpc.name);
    // A reload's mistakes are a line each.
    let is_odd = |letter: char| letter.is_control() && (rpc.name != "Reload" || letter != '\n');
    assert!(!message.chars().any(is_odd), "{}: {status:?}", rpc.name);
    let Some(info) = details.error_info() else {
        // The one failure without a reason, after the first effect.
        assert_eq!(status.code(), Code::DeadlineExceeded, "{}: {status:?}", rpc.name);
        let reason = OUTCOME_UNKNOWN.to_owned();
        return Refusal { reason, fields: Vec::new(), metadata: BTreeMap::new(), message };
    };
    let known = FAILURES.iter().find(|(reason, ..)| *reason == info.reason);
    let Some((_, code, retry)) = known else { panic!("{}: {status:?}", rpc.name) };
    assert!(!NEVER_OF_AN_INPUT.contains(&&*info.reason), "{}: {status:?}", rpc.name);
    assert_eq!(status.code(), *code, "{}: {status:?}", rpc.name);
    assert_eq!(info.domain, "linmemd");
    let said = |key: &str| info.metadata.get(key).map(String::as_str);
    assert_eq!(said("retry"), Some(*retry), "{}: {status:?}", rpc.name);
    assert!(said("call_id").is_some(), "{}: {status:?}", rpc.name);
    let waits = details.retry_info().is_some();
    assert_eq!(waits, matches!(info.reason.as_str(), "OVERLOADED" | "RATE_LIMITED"));
    let violations = details.bad_request().map(|bad| bad.field_violations.clone());
    let fields: Vec<String> =
        violations.unwrap_or_default().into_iter().map(|violation| violation.field).collect();
    assert_eq!(!fields.is_empty(), *code == Code::InvalidArgument, "{}: {status:?}", rpc.name);
    let names = NAMES.get(rpc.request).expect("the request's type");
    for field in &fields {
        let is_known =
            BESIDE.contains(&field.as_str()) || field.split('.').all(|name| names.contains(name));
        assert!(is_known, "{}: {field} is no field of the request", rpc.name);
    }
    Refusal { reason: info.reason.clone(), fields, metadata: without_call(&info.metadata), message }
}

fn without_call(metadata: &HashMap<String, String>) -> BTreeMap<String, String> {
    let others = metadata.iter().filter(|(key, _)| *key != "call_id");
    others.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// That a message is refused as malformed where prost's own decoding refuses it, and only there.
pub(crate) fn malformed_is_refused(rpc: &Rpc, bytes: &[u8], verdict: &Verdict) {
    let refused = matches!(verdict, Verdict::Refused(refusal)
        if refusal.fields == ["message"] && refusal.message.contains("is not the protobuf message"));
    let reached = verdict.reason() != "DEADLINE_PASSED";
    let is_one = (rpc.is_request)(bytes);
    assert!(!reached || refused != is_one, "{}: {bytes:?} is one: {is_one}; {verdict:?}", rpc.name);
}

/// By message type, the names of all fields and oneofs that it holds, however deep.
static NAMES: LazyLock<HashMap<&'static str, BTreeSet<String>>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors");
    let mut own = HashMap::new();
    for file in files.file {
        for message in file.message_type {
            let name = format!(".{}.{}", file.package.clone().unwrap_or_default(), message.name());
            note(&mut own, name, &message);
        }
    }
    let own: HashMap<String, (BTreeSet<String>, Vec<String>)> = own;
    let mut all = HashMap::new();
    for full in own.keys() {
        let Some(short) = full.strip_prefix(".linmem.v1.") else { continue };
        let (mut names, mut seen, mut left) = (BTreeSet::new(), BTreeSet::new(), vec![full]);
        while let Some(next) = left.pop() {
            let Some((fields, inner)) = own.get(next).filter(|_| seen.insert(next)) else {
                continue;
            };
            names.extend(fields.iter().cloned());
            left.extend(inner);
        }
        all.insert(&*short.to_owned().leak(), names);
    }
    all
});

fn note(
    own: &mut HashMap<String, (BTreeSet<String>, Vec<String>)>,
    name: String,
    message: &prost_types::DescriptorProto,
) {
    let fields = message.field.iter().map(|field| field.name().to_owned());
    let oneofs = message.oneof_decl.iter().map(|oneof| oneof.name().to_owned());
    let inner = message.field.iter().filter_map(|field| field.type_name.clone()).collect();
    for nested in &message.nested_type {
        note(own, format!("{name}.{}", nested.name()), nested);
    }
    own.insert(name, (fields.chain(oneofs).collect(), inner));
}

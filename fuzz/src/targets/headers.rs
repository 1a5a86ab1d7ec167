//! What is read before a message: path, content type, `grpc-timeout`, `linmem-tenant`, and headers
//! that mean nothing; and questions about health, whose messages are no RPC's of ours.
//!
//! Checked against the grammars of gRPC and of the API's page: what they allow is served, what they do
//! not is refused for just that header, with its value escaped where it is repeated.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use linmemd::proto::v1::GetServerInfoRequest;
use prost::Message;
use tonic::{Code, Status};

use crate::law;
use crate::planted;
use crate::rpcs::rpc;
use crate::talk::Answer;
use crate::targets::framing::framed_well;
use crate::world::{World, framed, is_ok, with};

/// As gRPC's own health.proto has it.
#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, tag = "1")]
    service: String,
}

/// Longest question.
const MAX_QUESTION: usize = 1 << 10;
/// What may be asked about.
const SERVICES: [&str; 5] = [
    "",
    "linmem.v1.MemoryService",
    "linmem.v1.AdminService",
    "linmem.v1.EventService",
    "linmem.v1.HookService",
];

pub(super) fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    with(|world| match kind % 6 {
        0 => timeout(world, bytes),
        1 => tenant(world, bytes),
        2 => content_type(world, bytes),
        3 => path(world, bytes),
        4 => health(world, bytes),
        _ => any(world, bytes),
    });
}

fn ask(world: &mut World, header: HeaderName, value: HeaderValue) -> Answer {
    let rpc = rpc("GetServerInfo");
    let mut request = Request::post(format!("http://localhost{}", rpc.path))
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    if let Some(headers) = request.headers_mut() {
        headers.insert(header, value);
    }
    let message = framed(&GetServerInfoRequest {}.encode_to_vec());
    world.exchange(request.body(()).expect("a request"), vec![message], false)
}

fn refusal(status: Option<&Status>) -> law::Refusal {
    law::refusal(rpc("GetServerInfo"), status.expect("a status"))
}

fn timeout(world: &mut World, bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let answer = ask(world, HeaderName::from_static("grpc-timeout"), value);
    let is_timeout = bytes.split_last().is_some_and(|(unit, digits)| {
        let most = if planted::here(*unit == b'u') { 7 } else { 8 };
        (1..=most).contains(&digits.len())
            && digits.iter().all(u8::is_ascii_digit)
            && b"HMSmun".contains(unit)
    });
    if !is_ok(&answer.status) {
        let refusal = refusal(answer.status.as_ref());
        match refusal.reason.as_str() {
            "DEADLINE_PASSED" | "DEADLINE_EXCEEDED" => assert!(is_timeout),
            _ => {
                assert!(!is_timeout, "{refusal:?}");
                assert_eq!(refusal.fields, ["grpc-timeout"]);
            }
        }
    } else {
        assert!(is_timeout, "{bytes:?} was taken for a timeout");
    }
}

fn tenant(world: &mut World, bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let answer = ask(world, HeaderName::from_static("linmem-tenant"), value);
    let exists = [&b"default"[..], b"other"].contains(&bytes);
    assert_eq!(is_ok(&answer.status), exists);
    if !exists {
        let refusal = refusal(answer.status.as_ref());
        assert_eq!(refusal.reason, "TENANT_MISMATCH");
        let said = &refusal.metadata["tenant"];
        assert!(said.len() <= 64 && said.bytes().all(|byte| matches!(byte, 0x20..0x7F)));
    }
}

fn content_type(world: &mut World, bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let answer = ask(world, http::header::CONTENT_TYPE, value);
    let is_grpc = bytes.strip_prefix(b"application/grpc").is_some_and(|rest| {
        rest.is_empty() || rest.starts_with(b";") || rest.starts_with(b"+proto")
    });
    assert_eq!(answer.http, if is_grpc { 200 } else { 415 });
    assert_eq!(is_ok(&answer.status), is_grpc);
}

fn path(world: &mut World, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(uri) = format!("http://localhost/{text}").parse::<http::Uri>() else { return };
    let path = uri.path().to_owned();
    // A stream of these has no end of its own, or a message of another type.
    if path.starts_with("/grpc.") || path.ends_with("WatchEvents") {
        return;
    }
    let is_one = path == rpc("GetServerInfo").path;
    let is_other = !is_one && path.starts_with("/linmem.v1.");
    if is_other {
        world.distrust();
    }
    let request = Request::post(uri)
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "1m");
    let message = framed(&GetServerInfoRequest {}.encode_to_vec());
    let answer = world.exchange(request.body(()).expect("a request"), vec![message], false);
    let code = answer.status.as_ref().map(Status::code);
    assert_eq!(answer.http, 200);
    if !is_one && !is_other {
        assert_eq!(code, Some(Code::Unimplemented), "{path}");
    }
}

/// A question, and how its body is cut in two.
fn health(world: &mut World, bytes: &[u8]) {
    let Some((cut, body)) = bytes.split_first() else { return };
    let (first, second) = body.split_at(usize::from(*cut).min(body.len()));
    let pieces = [first, second].map(Bytes::copy_from_slice).to_vec();
    let request = Request::post("http://localhost/grpc.health.v1.Health/Check")
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    let answer = world.exchange(request.body(()).expect("a request"), pieces, false);
    assert_eq!(answer.http, 200);
    assert_eq!(is_ok(&answer.status), is_of_a_service(body), "{answer:?}");
}

/// Whether a body is one question, whole and short, about a service that there is.
fn is_of_a_service(body: &[u8]) -> bool {
    let (questions, true) = framed_well(body) else { return false };
    let [question] = questions[..] else { return false };
    question.len() <= MAX_QUESTION
        && Question::decode(question)
            .is_ok_and(|question| SERVICES.contains(&question.service.as_str()))
}

fn any(world: &mut World, bytes: &[u8]) {
    let (name, value) = bytes.split_at(bytes.iter().position(|byte| *byte == b':').unwrap_or(0));
    let Ok(name) = HeaderName::from_bytes(name) else { return };
    let Ok(value) = HeaderValue::from_bytes(value.get(1..).unwrap_or_default()) else { return };
    // HTTP/2 has none of these; the others are above.
    let apart = ["connection", "te", "transfer-encoding", "upgrade", "keep-alive", "host"];
    let ours =
        ["grpc-timeout", "linmem-tenant", "content-type", "content-length", "proxy-connection"];
    if apart.contains(&name.as_str()) || ours.contains(&name.as_str()) || name.as_str().is_empty() {
        return;
    }
    let answer = ask(world, name, value);
    assert!(is_ok(&answer.status), "{answer:?}");
}

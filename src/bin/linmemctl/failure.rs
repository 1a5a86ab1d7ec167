//! What ends a verb, in words: what happened, the limit, what to do next; and its exit code.
//!
//! Its law: every reason of the contract maps to one exit code, and whatever is said to people is
//! said to scripts as JSON with the same numbers. It prints nothing: `output.rs` does.

use std::io;

use linmemd::client::{ClientError, Endpoint, Failure, code_name};
use serde_json::{Value, json};
use tonic::Code;

use crate::advice::{advice, unmapped};
use crate::context::ContextError;
use crate::size::{human, human_pages};

/// What ends a verb.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CtlError {
    #[error("cannot connect to {endpoint}: {source}")]
    Connect { endpoint: String, source: ClientError },
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nothing was shown to a daemon on its Unix socket, which knows its callers by their users.
    #[error(transparent)]
    Unmapped { source: ClientError },
    #[error("{0}")]
    Usage(String),
    #[error("cannot {action} `{path}`: {source}")]
    File { action: &'static str, path: String, source: io::Error },
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error("{0}")]
    Host(String),
    /// Said already, each on its own; what is left is the exit code.
    #[error("")]
    Reported(u8),
}

/// The exit codes, as help shows them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused by the server, or a local failure (a file, standard output)
  2  wrong usage
  3  not found
  4  conflict: exists already, or is not what was expected (uid, etag, size)
  5  exhausted: a quota, the host, a rate
  6  unavailable: cannot connect, draining, overloaded
  7  the deadline passed";

impl CtlError {
    /// The same, of a call over this endpoint.
    pub(crate) fn over(self, endpoint: &Endpoint) -> Self {
        match (self, endpoint) {
            (Self::Client(source), Endpoint::Unix(_))
                if source.reason() == "CREDENTIALS_MISSING" =>
            {
                Self::Unmapped { source }
            }
            (other, _) => other,
        }
    }

    /// The exit code for scripts.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Connect { .. } => 6,
            Self::Client(error) | Self::Unmapped { source: error } => client_code(error),
            Self::Usage(_) => 2,
            Self::Context(error) => error.exit_code(),
            Self::Reported(code) => *code,
            Self::File { .. } | Self::Output(_) | Self::Host(_) => 1,
        }
    }

    /// The text for people, after `error: `.
    pub(crate) fn text(&self) -> String {
        let mut text = self.to_string();
        let failure = self.client().and_then(ClientError::failure);
        if let Some(limit) = failure.and_then(limit) {
            text.push_str(&format!("\n  limit: {limit}"));
        }
        if let Some(written) = self.client().and_then(ClientError::bytes_written) {
            text.push_str(&format!("\n  written before it: {written} bytes, which stand"));
        }
        if let Some(next) = self.next() {
            text.push_str(&format!("\n  next: {next}"));
        }
        if let Some(id) = failure.and_then(|failure| failure.call_id.as_ref()) {
            text.push_str(&format!("\n  call_id: {id}"));
        }
        text
    }

    /// The object for scripts.
    pub(crate) fn json(&self) -> Value {
        let failure = self.client().and_then(ClientError::failure);
        let (code, retry, message) = match (failure, self) {
            (Some(failure), _) => {
                (code_name(failure.code), failure.retry.as_str(), failure.message.clone())
            }
            (None, Self::Connect { .. } | Self::Client(ClientError::Transport { .. })) => {
                ("UNAVAILABLE", "SAME", self.to_string())
            }
            (None, Self::Client(ClientError::DeadlinePassed)) => {
                ("DEADLINE_EXCEEDED", "UNKNOWN", self.to_string())
            }
            (None, Self::Client(ClientError::Checksum { .. })) => {
                ("DATA_LOSS", "UNKNOWN", self.to_string())
            }
            (None, _) => ("", "NEVER", self.to_string()),
        };
        json!({ "error": {
            "reason": self.reason(),
            "code": code,
            "retry": retry,
            "message": message,
            "metadata": failure.map(|failure| failure.metadata.clone()).unwrap_or_default(),
            "call_id": failure.and_then(|failure| failure.call_id.as_ref()),
            "next": self.next(),
            "exit_code": self.exit_code(),
        }})
    }

    fn client(&self) -> Option<&ClientError> {
        match self {
            Self::Client(error)
            | Self::Connect { source: error, .. }
            | Self::Unmapped { source: error } => Some(error),
            _ => None,
        }
    }

    fn reason(&self) -> &str {
        match self {
            Self::Connect { .. } => "CLIENT_CANNOT_CONNECT",
            Self::Client(error) | Self::Unmapped { source: error } => error.reason(),
            Self::Usage(_) => "CLIENT_USAGE",
            Self::File { .. } => "CLIENT_FILE",
            Self::Output(_) => "CLIENT_OUTPUT",
            Self::Context(_) => "CLIENT_CONTEXT",
            Self::Host(_) | Self::Reported(_) => "CLIENT_HOST",
        }
    }

    fn next(&self) -> Option<String> {
        match self {
            Self::Connect { .. } => Some(
                "is the daemon running? start it with `cargo run --release`, or name another with \
                 --endpoint (or `linmemctl context use`)"
                    .to_owned(),
            ),
            Self::Client(ClientError::Transport { .. }) => {
                Some("see whether the daemon still runs: `linmemctl info`".to_owned())
            }
            Self::Client(ClientError::DeadlinePassed) => {
                Some("look before you repeat: `linmemctl show ID`; or raise --timeout".to_owned())
            }
            Self::Client(ClientError::Refused(failure)) => advice(failure),
            Self::Unmapped { .. } => Some(unmapped()),
            _ => None,
        }
    }
}

fn client_code(error: &ClientError) -> u8 {
    match error {
        ClientError::Refused(failure) => refused_code(failure),
        ClientError::Transport { .. } => 6,
        ClientError::DeadlinePassed => 7,
        ClientError::Endpoint(_) => 2,
        ClientError::Checksum { .. }
        | ClientError::Source(_)
        | ClientError::Sink(_)
        | ClientError::Answer(_)
        | ClientError::Random(_) => 1,
    }
}

fn refused_code(failure: &Failure) -> u8 {
    match (failure.reason.as_str(), failure.code) {
        ("UID_MISMATCH" | "COMPARE_FAILED" | "REQUEST_ID_REUSED", _) => 4,
        (_, Code::NotFound) => 3,
        (_, Code::AlreadyExists | Code::Aborted) => 4,
        (_, Code::ResourceExhausted) => 5,
        (_, Code::Unavailable) => 6,
        (_, Code::DeadlineExceeded) => 7,
        _ => 1,
    }
}

/// The limit that a failure names, for people.
fn limit(failure: &Failure) -> Option<String> {
    let name = failure.metadata.get("limit_name");
    let number = |key: &str| {
        let value = failure.metadata.get(key)?;
        let unit = name.map_or("", String::as_str);
        Some(match value.parse() {
            Ok(bytes) if unit.ends_with("_bytes") && bytes >= 1024 => {
                format!("{value} ({})", human(bytes))
            }
            Ok(pages) if unit.ends_with("_pages") => human_pages(pages),
            _ => value.clone(),
        })
    };
    let mut parts = Vec::new();
    if let (Some(name), Some(limit)) = (name, number("limit")) {
        parts.push(format!("{name} is {limit}"));
    }
    let is_cap = name.is_some_and(|name| name == "maximum_pages");
    if let (Some(used), false) = (number("used"), is_cap) {
        parts.push(format!("{used} used"));
    }
    if let Some(size) = failure.number("size_bytes") {
        parts.push(format!("the memory's size is {size} bytes ({})", human(size)));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use linmemd::client::Retry;
    use nix::unistd::geteuid;

    fn refused(reason: &str, code: Code, metadata: &[(&str, &str)]) -> CtlError {
        let pairs = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        CtlError::Client(ClientError::Refused(Box::new(Failure {
            code,
            reason: reason.to_owned(),
            retry: Retry::Never,
            message: "said so".to_owned(),
            metadata: pairs.collect(),
            call_id: Some("c-7".to_owned()),
            retry_after: None,
            field_violations: Vec::new(),
            changed_nothing: true,
        })))
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        for (reason, code, exit) in [
            ("INVALID_FIELD", Code::InvalidArgument, 1),
            ("MAXIMUM_REACHED", Code::FailedPrecondition, 1),
            ("MEMORY_NOT_FOUND", Code::NotFound, 3),
            ("MEMORY_EXISTS", Code::AlreadyExists, 4),
            ("UID_MISMATCH", Code::FailedPrecondition, 4),
            ("ETAG_MISMATCH", Code::Aborted, 4),
            ("QUOTA_EXCEEDED", Code::ResourceExhausted, 5),
            ("DRAINING", Code::Unavailable, 6),
            ("DEADLINE_PASSED", Code::DeadlineExceeded, 7),
        ] {
            assert_eq!(refused(reason, code, &[]).exit_code(), exit, "{reason}");
        }
        assert_eq!(CtlError::Usage(String::new()).exit_code(), 2);
        assert_eq!(CtlError::Client(ClientError::DeadlinePassed).exit_code(), 7);
        for exit in 0..=7 {
            assert!(EXIT_CODES.contains(&format!("\n  {exit}  ")), "{exit}");
        }
    }

    #[test]
    fn a_refusal_says_the_limit_and_what_to_do_next() {
        let metadata = [("limit_name", "committed_bytes"), ("limit", "1048576"), ("used", "65536")];
        let text = refused("QUOTA_EXCEEDED", Code::ResourceExhausted, &metadata).text();
        assert!(text.starts_with("QUOTA_EXCEEDED: said so\n"), "{text}");
        assert!(text.contains("committed_bytes is 1048576 (1 MiB), 65536 (64 KiB) used"), "{text}");
        assert!(text.contains("next: see `linmemctl info`"), "{text}");
        assert!(text.contains("call_id: c-7"), "{text}");
    }

    #[test]
    fn who_lacks_a_role_is_told_which_and_how_to_come_by_it() {
        let lacks =
            |role: &str| refused("ROLE_MISSING", Code::PermissionDenied, &[("role", role)]).text();
        for role in ["reader", "writer", "watcher", "hook_decider"] {
            let text = lacks(role);
            assert!(text.contains(&format!("add \"{role}\" to the roles")), "{text}");
            assert!(!text.contains("operators") && !text.contains("Unix socket"), "{text}");
        }
        for role in ["operator", "operator_read_only"] {
            let text = lacks(role);
            assert!(text.contains(&format!("the role {role})")), "{text}");
            assert!(text.contains("over the Unix socket as the daemon's own user"), "{text}");
        }
    }

    #[test]
    fn who_shows_nothing_is_told_what_this_way_in_takes() {
        let missing = || refused("CREDENTIALS_MISSING", Code::Unauthenticated, &[]);
        let tcp: Endpoint = "http://127.0.0.1:1".parse().unwrap();
        let text = missing().over(&tcp).text();
        assert!(text.contains("next: show a token") && text.contains("--cert"), "{text}");
        let socket: Endpoint = "unix:///run/l.sock".parse().unwrap();
        let error = missing().over(&socket);
        let (text, json) = (error.text(), error.json());
        let next = text.split_once("next: ").unwrap().1;
        assert!(next.contains(&format!("uid = {}", geteuid())), "{text}");
        assert!(next.contains("--token-file") && !next.contains("cert"), "{text}");
        assert_eq!(json["error"]["reason"], "CREDENTIALS_MISSING");
        assert_eq!(json["error"]["code"], "UNAUTHENTICATED");
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn a_cap_is_no_quota_that_deleting_would_free() {
        let metadata = [("limit_name", "maximum_pages"), ("limit", "20"), ("used", "0")];
        let text = refused("QUOTA_EXCEEDED", Code::ResourceExhausted, &metadata).text();
        assert!(text.contains("ask for at most 20 (--max)"), "{text}");
        assert!(!text.contains("0 used") && !text.contains("remove"), "{text}");
    }

    #[test]
    fn an_absent_daemon_is_told_how_to_start() {
        let source = ClientError::Transport { message: "refused".into(), never_sent: true };
        let error = CtlError::Connect { endpoint: "http://h:1".to_owned(), source };
        let text = error.text();
        assert!(text.contains("cannot connect to http://h:1"), "{text}");
        assert!(text.contains("cargo run --release") && text.contains("--endpoint"), "{text}");
        assert_eq!(error.exit_code(), 6);
    }

    #[test]
    fn scripts_get_every_part() {
        let object = refused("MEMORY_NOT_FOUND", Code::NotFound, &[("memory_id", "m")]).json();
        let error = &object["error"];
        assert_eq!(error["reason"], "MEMORY_NOT_FOUND");
        assert_eq!(error["code"], "NOT_FOUND");
        assert_eq!(error["retry"], "NEVER");
        assert_eq!(error["message"], "said so");
        assert_eq!(error["metadata"]["memory_id"], "m");
        assert_eq!(error["call_id"], "c-7");
        assert_eq!(error["exit_code"], 3);
    }

    #[test]
    fn bytes_of_a_failed_upload_that_stand_are_named() {
        let text =
            refused("RATE_LIMITED", Code::ResourceExhausted, &[("bytes_written", "9")]).text();
        assert!(text.contains("written before it: 9 bytes"), "{text}");
    }
}

//! What to do next about a refusal: a sentence for each reason of the contract that has one.
//!
//! Its law: it says what the caller can do, and to whom to turn for what only others can; which verb, flag
//! or key of the config it names exists. It knows the refusal and this process's user, nothing else.

use linmemd::client::Failure;
use nix::unistd::geteuid;

/// What to do about a refusal.
pub(crate) fn advice(failure: &Failure) -> Option<String> {
    let of = |key: &str| failure.metadata.get(key).map_or("", String::as_str);
    Some(match (failure.reason.as_str(), of("limit_name")) {
        ("ROLE_MISSING", _) => role_advice(of("role")),
        // A cap on what one memory asks for: nothing is used up.
        ("QUOTA_EXCEEDED", "maximum_pages") => format!(
            "no memory of this tenant may have more pages: ask for at most {} (--max), or have the \
             operator raise maximum_pages of its [[tenant]]",
            of("limit")
        ),
        (reason, _) => return standing_advice(reason).map(str::to_owned),
    })
}

/// What a caller without a role can do about it.
fn role_advice(role: &str) -> String {
    let show = "show credentials that have it (--token-file, or --cert and --key)";
    match role {
        "" => "ask whoever runs the daemon for the role that is named".to_owned(),
        "operator" | "operator_read_only" => format!(
            "this is for operators (the role {role}): {show}; where no credentials are asked for, call \
             over the Unix socket as the daemon's own user or root"
        ),
        _ => format!(
            "{show}, or have whoever runs the daemon add {role:?} to the roles of your [[identity]] and \
             reload; `linmemctl info` tells which roles you have"
        ),
    }
}

/// What is the same for every failure of a reason.
fn standing_advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "MEMORY_NOT_FOUND" => "see `linmemctl ls`; another tenant's memories need --tenant",
        "MEMORY_EXISTS" => "take another id, or remove it first: `linmemctl rm ID`",
        "PARTITION_NOT_FOUND" => "see `linmemctl partition ls`; some are for other tenants only",
        "GROW_DENIED" => "grow by less, or ask who decides: `linmemctl hook list`",
        "HOOK_NOT_FOUND" => "see `linmemctl hook list`",
        "HOOK_EXISTS" => "take another id, or remove it first: `linmemctl hook remove ID`",
        "PARTITION_EXISTS" => "take another id, or delete it first: `linmemctl partition rm ID`",
        "MAXIMUM_REACHED" => {
            "a maximum is fixed at create: make a larger memory (`linmemctl create NEW --max ...`) \
             and carry the bytes over with download and upload"
        }
        "OUT_OF_BOUNDS" => "grow the memory (`linmemctl grow ID PAGES`) or stay within its size",
        "UID_MISMATCH" => "another memory is behind this id now: see `linmemctl show ID`",
        "SEQUENCE_COMPACTED" => "begin anew: `linmemctl watch --snapshot`",
        "SIZE_MISMATCH" => "somebody else grew it: read the size again and decide anew",
        "ETAG_MISMATCH" => "somebody else changed it: look again (`linmemctl show ID`) and repeat",
        "QUOTA_EXCEEDED" => {
            "see `linmemctl info` for quotas and usage; remove memories or ask the operator"
        }
        "HOST_EXHAUSTED" => "the host has no room: try later, remove memories, ask the operator",
        "RATE_LIMITED" | "OVERLOADED" | "STARTING" => "try again later",
        "DRAINING" => "this daemon is ending: use another, or wait for its successor",
        "DEADLINE_PASSED" => "nothing happened: repeat it, with a longer --timeout",
        "INVALID_SPEC" | "INVALID_FIELD" => "correct what is named; `linmemctl VERB --help` helps",
        "TOO_LARGE" => "see the limits in `linmemctl info`; upload and download have none",
        "CAPABILITY_UNAVAILABLE" => "see what this server can do: `linmemctl info`",
        "QUARANTINED" => "its bytes cannot be trusted: `linmemctl show ID` says why; remove it",
        "CREDENTIALS_MISSING" => {
            "show a token (--token-file FILE) or, over https://, a certificate (--cert and --key)"
        }
        "TENANT_MISMATCH" => "name a tenant that the server knows with --tenant, or none",
        "CHECKSUM_MISMATCH" => "the bytes changed on their way: upload them again",
        "INTERNAL_FAULT" => "this is a defect of the daemon: report it with the call_id",
        "UNIMPLEMENTED" => "this server does not have this call: is it an older linmemd?",
        _ => return None,
    })
}

/// For who showed nothing over a Unix socket, where callers are known by their users.
pub(crate) fn unmapped() -> String {
    format!(
        "over the Unix socket callers are known by their user: have whoever runs the daemon add an \
         [[identity]] with uid = {} and reload, or show a token (--token-file FILE)",
        geteuid()
    )
}

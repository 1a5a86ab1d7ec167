//! A verification's report as JSON.
//!
//! Its law: that of `json/mod.rs`, by destructuring as in `memory.rs`.

use linmemd::client::proto;
use serde_json::{Value, json};

use crate::json::name;

/// What a verification found.
pub(crate) fn verification(report: &proto::VerificationReport) -> Value {
    let proto::VerificationReport {
        verification,
        checks,
        pages,
        pages_checked,
        pages_protected,
        first_bad_page,
    } = report;
    json!({
        "verification": name(*verification, proto::Verification::as_str_name),
        "checks": checks.iter().map(check).collect::<Vec<_>>(),
        "pages": pages,
        "pages_checked": pages_checked,
        "pages_protected": pages_protected,
        "first_bad_page": first_bad_page.as_ref().map(bad_page),
    })
}

fn check(check: &proto::VerificationCheck) -> Value {
    let proto::VerificationCheck { check, outcome, detail } = check;
    let outcome = name(*outcome, proto::CheckOutcome::as_str_name);
    json!({ "check": check, "outcome": outcome, "detail": detail })
}

fn bad_page(page: &proto::BadPage) -> Value {
    let proto::BadPage { host_page, offset, length, in_shadow_copy, expected_crc64, found_crc64 } =
        page;
    json!({
        "host_page": host_page,
        "offset": offset,
        "length": length,
        "in_shadow_copy": in_shadow_copy,
        "expected_crc64": expected_crc64,
        "found_crc64": found_crc64,
    })
}

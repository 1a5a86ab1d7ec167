//! VerifyMemory and ResetMemoryStats: message in, [`Access`](crate::tenancy::Access), report or memory out.
//!
//! Law: `memory_service.rs`'s.

use hyper::body::Incoming as Body;

use crate::memory::{Corruption, Finding, Outcome, Replica};
use crate::proto::v1;
use crate::registry::VerificationReport;
use crate::rpc::call::Call;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{answer, plain};
use crate::rpc::status::Refusal;
use crate::rpc::{convert, form};

pub(crate) async fn verify(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::VerifyMemoryRequest>(call, body).await?.message;
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let report = call.door.access.verify(&call.occasion, target).await?;
    answer(&v1::VerifyMemoryResponse { report: Some(message(report)) })
}

pub(crate) async fn reset_stats(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ResetMemoryStatsRequest>(call, body).await?.message;
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let record = call.door.access.reset_stats(target, call.occasion.now)?;
    answer(&v1::ResetMemoryStatsResponse { memory: Some(convert::memory(&record)) })
}

fn message(report: VerificationReport) -> v1::VerificationReport {
    v1::VerificationReport {
        verification: form::verification_message(report.verification).into(),
        checks: report.findings.into_iter().map(check).collect(),
        pages: report.pages,
        pages_checked: report.pages_checked,
        pages_protected: report.pages_protected,
        first_bad_page: report.first_bad_page.map(bad_page),
    }
}

fn check(Finding { check, outcome }: Finding) -> v1::VerificationCheck {
    let (outcome, detail) = match outcome {
        Outcome::Passed => (v1::CheckOutcome::Passed, String::new()),
        Outcome::PassedBut(what) => (v1::CheckOutcome::Passed, what),
        Outcome::Failed(why) => (v1::CheckOutcome::Failed, why),
        Outcome::Skipped(why) => (v1::CheckOutcome::Skipped, why),
    };
    v1::VerificationCheck { check: check.word().to_owned(), outcome: outcome.into(), detail }
}

const fn bad_page(bad: Corruption) -> v1::BadPage {
    let Corruption { page, range, replica, wanted, found } = bad;
    v1::BadPage {
        host_page: page,
        offset: range.start(),
        length: range.length().get(),
        in_shadow_copy: matches!(replica, Replica::Shadow),
        expected_crc64: wanted,
        found_crc64: found,
    }
}

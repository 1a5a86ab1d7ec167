//! `verify`: whether a memory is what was stored.

use clap::Args;
use linmemd::client::proto::{CheckOutcome, VerificationCheck, VerifyMemoryRequest};

use crate::failure::CtlError;
use crate::json;
use crate::session::{Session, Target};
use crate::table::table;

/// The exit code where a check failed.
const FAILED: u8 = 1;

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
How far it goes was said at create, by --verification. Exits with 1 where a check failed; the memory
is quarantined then, unless only its placement is not as promised.

Examples:
  linmemctl verify demo
  linmemctl verify demo --json")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    target: Target,
}

/// Verifies a memory and prints the report.
pub(crate) async fn run(args: VerifyArgs, session: &Session) -> Result<(), CtlError> {
    let Target { memory_id, uid } = args.target;
    let report = session.client.verify_memory(VerifyMemoryRequest { memory_id, uid }).await?;
    let row = |check: &VerificationCheck| {
        let outcome = match check.outcome() {
            CheckOutcome::Passed => "passed",
            CheckOutcome::Failed => "FAILED",
            CheckOutcome::Skipped | CheckOutcome::Unspecified => "skipped",
        };
        vec![check.check.clone(), outcome.to_owned(), check.detail.clone()]
    };
    let mut text = table(&["CHECK", "OUTCOME", ""], report.checks.iter().map(row).collect());
    if report.pages > 0 {
        let (checked, pages) = (report.pages_checked, report.pages);
        text.push_str(&format!("\n{checked} of {pages} written host pages checked"));
    }
    session.output.either(&json::verification(&report), &text)?;
    let failed = report.checks.iter().any(|check| check.outcome() == CheckOutcome::Failed);
    if failed { Err(CtlError::Reported(FAILED)) } else { Ok(()) }
}

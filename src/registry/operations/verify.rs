//! Verification: lengths and structure while nothing grows, then what is stored, in slices.
//!
//! Law: looks, and changes nothing but the state of a memory that is found corrupted. The ticket is
//! held while the kernel is asked about the memory's fences, the body from the first look to the last.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{Corruption, Finding, Hand, Outcome, Promised, Scan};
use crate::model::{Growth, Verification};
use crate::registry::gate::Gate;
use crate::registry::lifecycle::{self, NotHad, Reading, Why};
use crate::registry::operations::bytes::reading;
use crate::registry::operations::{hand, not_had, undone};
use crate::registry::pool::{in_steps, onto_pool};
use crate::registry::record::Record;
use crate::registry::settings::Registry;
use crate::units::ByteCount;

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct VerificationReport {
    /// How much is kept, and so was checked.
    pub verification: Verification,
    /// Each check and what came of it.
    pub findings: Vec<Finding>,
    /// Host pages that have been written, up to the first that is wrong.
    pub pages: u64,
    /// Those of them that were read and checked.
    pub pages_checked: u64,
    /// Those that the tenant has protected from every access.
    pub pages_protected: u64,
    /// The first that is not what was stored.
    pub first_bad_page: Option<Corruption>,
}

impl Registry {
    /// Verifies a memory as far as its spec says; quarantines it where it is not what it was made.
    ///
    /// # Errors
    /// MEMORY_NOT_FOUND, QUARANTINED, HARDWARE_FAULT, OVERLOADED where too many growths queue, and
    /// what ends any call.
    pub async fn verify(
        &self,
        lane: u32,
        record: Arc<Record>,
        gate: &Arc<Gate>,
    ) -> Result<VerificationReport, Failure> {
        let (room, slice) = (self.settings.queued_grows, self.settings.slice);
        let job_gate = Arc::clone(gate);
        let job = async move {
            let growing = lifecycle::grow(Arc::clone(&record), room, &job_gate).await;
            let growing = growing.map_err(|why| not_had(&record, why))?;
            let mut reading = reading(record, &job_gate).await?;
            onto_pool().await;
            let mut report = inspect(&mut reading)?;
            drop(growing);
            scan(&mut reading, slice, &mut report).await?;
            judge(reading.owner(), &report);
            Ok(report)
        };
        self.pool.run(lane, Arc::clone(gate), job).await?
    }
}

fn inspect(reading: &mut Reading<Record>) -> Result<VerificationReport, Failure> {
    let record = Arc::clone(reading.owner());
    let memory = hand(reading.memory());
    let memory = memory.map_err(|ended| not_had(&record, NotHad::from(ended)))?;
    let (form, shape) = (record.form(), record.shape());
    let most = match shape.growth {
        Growth::Allowed => shape.maximum,
        Growth::Disallowed => shape.initial,
    };
    let charged = record.aside().charge.as_ref().map(|charge| charge.amount().committed_bytes);
    let promised = Promised { size: record.size(), most, charged: charged.map(ByteCount::new) };
    let mut findings = memory.verify_lengths(promised);
    if form.verification != Verification::Basic {
        findings.extend(memory.verify_structure(&form));
    }
    let verification = form.verification;
    Ok(VerificationReport { verification, findings, ..VerificationReport::default() })
}

/// Checks what is stored, where something is kept for it.
async fn scan(
    reading: &mut Reading<Record>,
    slice: ByteCount,
    report: &mut VerificationReport,
) -> Result<(), Failure> {
    let record = Arc::clone(reading.owner());
    // On the heap nothing is kept.
    let Ok(Hand::Mapped(memory)) = hand(reading.memory()) else { return Ok(()) };
    let Some(mut scan) = Scan::begin(memory) else { return Ok(()) };
    in_steps(|| match scan.some(memory, slice) {
        Ok(false) => None,
        Ok(true) => Some(Ok(())),
        Err(why) => Some(Err(undone(&record, why))),
    })
    .await?;
    report.findings.extend(scan.findings(report.verification));
    (report.pages, report.pages_checked) = (scan.pages, scan.checked);
    (report.pages_protected, report.first_bad_page) = (scan.shut, scan.bad);
    Ok(())
}

/// A memory that is not what it was made is nobody's to use.
fn judge(record: &Record, report: &VerificationReport) {
    for Finding { check, outcome } in &report.findings {
        let Outcome::Failed(why) = outcome else { continue };
        tracing::error!(
            memory_id = %record.id, uid = %record.uid, check = check.word(), why, "not as it must be"
        );
        if check.is_of_integrity() {
            record.quarantine(Why::Corrupted);
        }
    }
}

//! Protection of ranges: a pool job that owns the memory, for it may be the kernel's work.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{Hand, MOST_RANGES, Unprotected};
use crate::model::Protection;
use crate::registry::gate::Gate;
use crate::registry::ledger::{Amount, Charge};
use crate::registry::lifecycle::NotHad;
use crate::registry::namespace::Namespace;
use crate::registry::operations::bytes::writing;
use crate::registry::operations::{hand, not_had, priced, refused};
use crate::registry::pool::onto_pool;
use crate::registry::record::Record;
use crate::registry::settings::Registry;
use crate::units::ByteRange;

/// What a range costs the daemon, with the kernel's record of the mappings beside it, rounded up.
const RANGE_BYTES: u64 = 512;

impl Registry {
    /// Sets what may be done with a range, from the next operation on.
    ///
    /// # Errors
    /// QUOTA_EXCEEDED and HOST_EXHAUSTED, MEMORY_NOT_FOUND, QUARANTINED, and what ends any call;
    /// nothing has changed then.
    pub async fn protect(
        &self,
        namespace: &Arc<Namespace>,
        record: Arc<Record>,
        range: ByteRange,
        protection: Protection,
        gate: &Arc<Gate>,
    ) -> Result<(), Failure> {
        let job_gate = Arc::clone(gate);
        let job = async move {
            let mut writing = writing(record, &job_gate).await?;
            onto_pool().await;
            let record = Arc::clone(writing.owner());
            let memory = hand(writing.memory());
            let mut memory = memory.map_err(|ended| not_had(&record, NotHad::from(ended)))?;
            let charge = pay(&record, &memory, range, protection)?;
            job_gate.pass()?;
            memory.protect(range, protection).map_err(failure)?;
            record.pay_more(charge);
            Ok(())
        };
        self.pool.run(namespace.lane, Arc::clone(gate), job).await?
    }
}

/// What it costs more. Given back with the memory: ranges that were there may be there again.
fn pay(
    record: &Record,
    memory: &Hand<'_>,
    range: ByteRange,
    protection: Protection,
) -> Result<Charge, Failure> {
    let mappings = memory.protect_costs(range, protection).map_err(failure)?;
    let amount = Amount {
        mappings: u32::try_from(mappings).unwrap_or(u32::MAX),
        ..Amount::overhead(mappings.saturating_mul(RANGE_BYTES))
    };
    let payer = record.payer().ok_or_else(|| record.not_found())?;
    Charge::pay(&payer, priced(record, amount))
}

fn failure(unprotected: Unprotected) -> Failure {
    match unprotected {
        Unprotected::TooManyRanges => Failure::QuotaExceeded {
            limit_name: "protected_ranges",
            limit: MOST_RANGES as u64,
            used: MOST_RANGES as u64,
            asked: 1,
        },
        Unprotected::Host(error) => refused(&error.into()),
    }
}

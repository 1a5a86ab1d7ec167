//! What people see of a memory: changing it, renewing its lease, looking at what the host gave.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::Failure;
use crate::model::{Now, Presentation};
use crate::registry::aside::Observation;
use crate::registry::gate::Gate;
use crate::registry::lifecycle::{self, NotHad};
use crate::registry::namespace::Namespace;
use crate::registry::operations::create::presentation_bytes;
use crate::registry::operations::{check_etag, hand, not_had, refused};
use crate::registry::pool::onto_pool;
use crate::registry::record::Record;
use crate::registry::settings::Registry;

/// How old an observation of the host may be.
const OBSERVATION_AGE: Duration = Duration::from_secs(1);

/// What UpdateMemory changes: the fields that are `Some`.
#[derive(Clone, Debug, Default)]
pub struct PresentationChange {
    /// Only if the etag is this.
    pub etag: Option<String>,
    /// The new display name.
    pub display_name: Option<String>,
    /// The new labels, all of them.
    pub labels: Option<std::collections::BTreeMap<String, String>>,
    /// The new lease, from now; `Some(None)`: none.
    pub lease_ttl: Option<Option<Duration>>,
}

impl Registry {
    /// Changes what people see of a memory, or its lease.
    ///
    /// # Errors
    /// ETAG_MISMATCH, QUOTA_EXCEEDED where longer labels do not fit, MEMORY_NOT_FOUND where the lease
    /// has run out; nothing is changed.
    pub fn update(
        &self,
        record: &Arc<Record>,
        change: PresentationChange,
        now: Now,
    ) -> Result<(), Failure> {
        record.represent(now, |version, charge| {
            check_etag(change.etag.as_deref(), || version.etag.clone())?;
            let old = &version.presentation;
            let new = Presentation {
                display_name: change.display_name.unwrap_or_else(|| old.display_name.clone()),
                labels: change.labels.unwrap_or_else(|| old.labels.clone()),
                lease_ttl: change.lease_ttl.unwrap_or(old.lease_ttl),
            };
            if let Some(charge) = charge {
                let overhead = charge
                    .amount()
                    .overhead_bytes
                    .saturating_sub(presentation_bytes(old))
                    .saturating_add(presentation_bytes(&new));
                charge.set_overhead(overhead)?;
            }
            Ok((new, change.lease_ttl.is_some()))
        })?;
        if change.lease_ttl.is_some() {
            self.leases.watch(record);
        }
        Ok(())
    }

    /// Starts a lease anew; when it now runs out.
    ///
    /// # Errors
    /// INVALID_FIELD where the memory has no lease; MEMORY_NOT_FOUND where it has run out.
    pub fn keep_alive(&self, record: &Record, now: Now) -> Result<SystemTime, Failure> {
        record.keep_alive(now)?.ok_or_else(|| Failure::InvalidField {
            field: "memory_id",
            why: "the memory has no lease; set lease_ttl with UpdateMemory".to_owned(),
        })
    }

    /// What the host holds of a memory, as seen within the last second. Absent where it is
    /// quarantined.
    ///
    /// # Errors
    /// HOST_EXHAUSTED where the kernel does not say, and what ends any call.
    pub async fn observe(
        &self,
        namespace: &Namespace,
        record: &Arc<Record>,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<Option<Observation>, Failure> {
        if let Some(last) = record.observed()
            && now.steady.saturating_duration_since(last.at.steady) < OBSERVATION_AGE
        {
            return Ok(Some(last));
        }
        let (record, job_gate) = (Arc::clone(record), Arc::clone(gate));
        let lane = record.lane(namespace.lane);
        let job = async move {
            // Its turn comes first: while that is waited for, the memory is everybody's.
            onto_pool().await;
            let mut reading = match lifecycle::read(Arc::clone(&record), &job_gate).await {
                Ok(reading) => reading,
                Err(NotHad::Failed(Failure::Quarantined { .. })) => return Ok(None),
                Err(why) => return Err(not_had(&record, why)),
            };
            let seen = hand(reading.memory()).map(|memory| (memory.held(), memory.placed()));
            let (held, placed) = seen.map_err(|ended| not_had(&record, NotHad::from(ended)))?;
            let held = held.map_err(|error| refused(&error.into()))?;
            let observation = Observation { at: now, held, placed };
            record.observe(observation.clone());
            Ok(Some(observation))
        };
        self.pool.run(lane, Arc::clone(gate), job).await?
    }
}

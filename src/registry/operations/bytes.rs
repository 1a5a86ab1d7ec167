//! Reads, writes and fills. Up to `Settings::inline` bytes on the caller's thread, more on the pool;
//! fills in slices, with the memory's lock kept from the first to the last.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Failure;
use crate::memory::Plan;
use crate::registry::gate::Gate;
use crate::registry::lifecycle::{self, NotHad, Reading, Writing};
use crate::registry::operations::{faulted, not_had};
use crate::registry::record::Record;
use crate::registry::settings::Registry;
use crate::units::{ByteCount, ByteRange};

impl Registry {
    /// Appends the bytes of a range to `out`.
    ///
    /// # Errors
    /// MEMORY_NOT_FOUND, QUARANTINED, HARDWARE_FAULT, and what ends any call.
    pub async fn read(
        &self,
        lane: u32,
        record: Arc<Record>,
        range: ByteRange,
        mut out: Vec<u8>,
        gate: &Arc<Gate>,
    ) -> Result<Vec<u8>, Failure> {
        let reading = match lifecycle::read(Arc::clone(&record), gate).await {
            Ok(reading) => reading,
            Err(why) => return Err(not_had(&record, why)),
        };
        if range.length() <= self.settings.inline {
            read_held(&reading, range, &mut out)?;
            return Ok(out);
        }
        self.pool
            .run_once(lane, Arc::clone(gate), move || {
                read_held(&reading, range, &mut out)?;
                Ok(out)
            })
            .await?
    }

    /// Puts `sources`, one after the other, at `offset`.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, MEMORY_NOT_FOUND, QUARANTINED, HARDWARE_FAULT, and what ends any call.
    pub async fn write(
        &self,
        lane: u32,
        record: Arc<Record>,
        offset: u64,
        sources: impl AsRef<[Bytes]> + Send + 'static,
        gate: &Arc<Gate>,
    ) -> Result<(), Failure> {
        let length = Plan::write(offset, sources.as_ref(), record.size.bytes())?.range().length();
        let writing = match lifecycle::write(Arc::clone(&record), gate).await {
            Ok(writing) => writing,
            Err(why) => return Err(not_had(&record, why)),
        };
        if length <= self.settings.inline {
            return write_held(&writing, offset, sources.as_ref());
        }
        let job_gate = Arc::clone(gate);
        self.pool
            .run_once(lane, Arc::clone(gate), move || {
                job_gate.pass()?;
                write_held(&writing, offset, sources.as_ref())
            })
            .await?
    }

    /// Sets every byte of a range.
    ///
    /// # Errors
    /// MEMORY_NOT_FOUND, QUARANTINED, HARDWARE_FAULT, and what ends any call.
    pub async fn fill(
        &self,
        lane: u32,
        record: Arc<Record>,
        range: ByteRange,
        value: u8,
        gate: &Arc<Gate>,
    ) -> Result<(), Failure> {
        let writing = match lifecycle::write(Arc::clone(&record), gate).await {
            Ok(writing) => writing,
            Err(why) => return Err(not_had(&record, why)),
        };
        if range.length() <= self.settings.inline {
            apply(&writing, &Plan::fill(range, value))?;
            record.note_write(range.length());
            return Ok(());
        }
        let (job_gate, slice) = (Arc::clone(gate), self.settings.slice);
        let mut rest = range;
        self.pool
            .run(lane, Arc::clone(gate), move || {
                fill_slice(&writing, &mut rest, slice, value, &job_gate).inspect(|outcome| {
                    if outcome.is_ok() {
                        record.note_write(range.length());
                    }
                })
            })
            .await?
    }
}

fn read_held(
    reading: &Reading<Record>,
    range: ByteRange,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let record = reading.owner();
    let memory = reading.memory().map_err(|ended| not_had(record, NotHad::from(ended)))?;
    memory.read(range, out).map_err(|fault| faulted(record, fault))?;
    record.note_read(range.length());
    Ok(())
}

fn write_held(writing: &Writing<Record>, offset: u64, sources: &[Bytes]) -> Result<(), Failure> {
    let record = writing.owner();
    let plan = Plan::write(offset, sources, record.size.bytes())?;
    apply(writing, &plan)?;
    record.note_write(plan.range().length());
    Ok(())
}

fn apply(writing: &Writing<Record>, plan: &Plan<'_>) -> Result<(), Failure> {
    let record = writing.owner();
    let memory = writing.memory().map_err(|ended| not_had(record, NotHad::from(ended)))?;
    memory.apply(plan).map_err(|fault| faulted(record, fault))
}

/// One slice of a fill; the outcome with the last.
fn fill_slice(
    writing: &Writing<Record>,
    rest: &mut ByteRange,
    slice: ByteCount,
    value: u8,
    gate: &Gate,
) -> Option<Result<(), Failure>> {
    let (here, after) = rest.split(slice);
    if let Err(failure) = gate.pass().and_then(|()| apply(writing, &Plan::fill(here, value))) {
        return Some(Err(failure));
    }
    match after {
        Some(after) => {
            *rest = after;
            None
        }
        None => Some(Ok(())),
    }
}

//! Reads, writes, fills and discards. Up to `Settings::inline` bytes on the caller's thread, more on
//! the pool, where jobs follow one another on a memory without a serving thread in between; fills and
//! discards in slices, with the memory's lock kept from the first to the last.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{Plan, Sources, Undone, Use};
use crate::registry::gate::Gate;
use crate::registry::lifecycle::{self, Ended, NotHad, Reading, Writing};
use crate::registry::operations::{hand, not_had, undone};
use crate::registry::pool::{in_steps, onto_pool};
use crate::registry::record::Record;
use crate::registry::settings::Registry;
use crate::units::{ByteCount, ByteRange};

/// What is discarded before other tenants have their turn: about 5 ms of the kernel's time.
const DISCARD_SLICE: ByteCount = ByteCount::new(64 << 20);

impl Registry {
    /// Appends the bytes of a range to `out`.
    ///
    /// # Errors
    /// MEMORY_NOT_FOUND, QUARANTINED, HARDWARE_FAULT, CORRUPTED, and what ends any call.
    pub async fn read(
        &self,
        lane: u32,
        record: Arc<Record>,
        range: ByteRange,
        mut out: Vec<u8>,
        gate: &Arc<Gate>,
    ) -> Result<Vec<u8>, Failure> {
        if range.length() <= self.settings.inline {
            read_held(&mut reading(record, gate).await?, range, &mut out)?;
            return Ok(out);
        }
        let job_gate = Arc::clone(gate);
        let lane = record.lane(lane);
        let job = async move {
            let mut reading = reading(record, &job_gate).await?;
            onto_pool().await;
            read_held(&mut reading, range, &mut out)?;
            Ok(out)
        };
        self.pool.run(lane, Arc::clone(gate), job).await?
    }

    /// Puts `sources` at `offset`, gives the memory back, and answers what `then` says of what was
    /// written, where the bytes are in the cache. `then` must not panic: the memory has changed.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, MEMORY_NOT_FOUND, QUARANTINED, HARDWARE_FAULT, CORRUPTED, and what ends any call.
    pub async fn write<T: Send + 'static>(
        &self,
        lane: u32,
        record: Arc<Record>,
        offset: u64,
        sources: Sources,
        gate: &Arc<Gate>,
        then: impl FnOnce(&Sources) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        Plan::write(offset, &sources, record.size.bytes())?;
        if sources.length() <= self.settings.inline {
            let mut writing = writing(record, gate).await?;
            write_held(&mut writing, offset, &sources)?;
            drop(writing);
            return Ok(then(&sources));
        }
        let job_gate = Arc::clone(gate);
        let lane = record.lane(lane);
        let job = async move {
            let mut writing = writing(record, &job_gate).await?;
            onto_pool().await;
            job_gate.pass()?;
            write_held(&mut writing, offset, &sources)?;
            drop(writing);
            // The sources go back to be freed by the thread that allocated them.
            Ok::<_, Failure>((then(&sources), sources))
        };
        let (said, _sources) = self.pool.run(lane, Arc::clone(gate), job).await??;
        Ok(said)
    }

    /// Sets every byte of a range.
    ///
    /// # Errors
    /// MEMORY_NOT_FOUND, QUARANTINED, HARDWARE_FAULT, CORRUPTED, and what ends any call.
    pub async fn fill(
        &self,
        lane: u32,
        record: Arc<Record>,
        range: ByteRange,
        value: u8,
        gate: &Arc<Gate>,
    ) -> Result<(), Failure> {
        if range.length() <= self.settings.inline {
            let mut writing = writing(record, gate).await?;
            apply(&mut writing, &Plan::fill(range, value))?;
            writing.owner().note_write(range);
            return Ok(());
        }
        let (job_gate, slice) = (Arc::clone(gate), self.settings.slice);
        let lane = record.lane(lane);
        let job = async move {
            let mut writing = writing(record, &job_gate).await?;
            admit_whole(&mut writing, range)?;
            let mut rest = range;
            in_steps(|| fill_slice(&mut writing, &mut rest, slice, value, &job_gate)).await?;
            writing.owner().note_write(range);
            Ok(())
        };
        self.pool.run(lane, Arc::clone(gate), job).await?
    }

    /// Sets every byte of a range to zero and gives its RAM back to the host where it can be had again
    /// at once; how much that was. Always on the pool: it is the kernel's work.
    ///
    /// # Errors
    /// MEMORY_NOT_FOUND, QUARANTINED, HARDWARE_FAULT, CORRUPTED, and what ends any call.
    pub async fn discard(
        &self,
        lane: u32,
        record: Arc<Record>,
        range: ByteRange,
        gate: &Arc<Gate>,
    ) -> Result<ByteCount, Failure> {
        let job_gate = Arc::clone(gate);
        let job = async move {
            let mut writing = writing(record, &job_gate).await?;
            onto_pool().await;
            admit_whole(&mut writing, range)?;
            let (mut rest, mut discarded) = (range, ByteCount::ZERO);
            in_steps(|| discard_slice(&mut writing, &mut rest, &mut discarded, &job_gate)).await?;
            writing.owner().note_write(range);
            Ok(discarded)
        };
        self.pool.run(lane, Arc::clone(gate), job).await?
    }
}

pub(super) async fn reading(record: Arc<Record>, gate: &Gate) -> Result<Reading<Record>, Failure> {
    let reading = lifecycle::read(Arc::clone(&record), gate).await;
    reading.map_err(|why| not_had(&record, why))
}

pub(super) async fn writing(record: Arc<Record>, gate: &Gate) -> Result<Writing<Record>, Failure> {
    let writing = lifecycle::write(Arc::clone(&record), gate).await;
    writing.map_err(|why| not_had(&record, why))
}

fn read_held(
    reading: &mut Reading<Record>,
    range: ByteRange,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let read = hand(reading.memory()).map(|mut memory| memory.read(range, out));
    let record = reading.owner();
    settled(record, read)?;
    record.note_read(range);
    Ok(())
}

fn write_held(
    writing: &mut Writing<Record>,
    offset: u64,
    sources: &Sources,
) -> Result<(), Failure> {
    let plan = Plan::write(offset, sources, writing.owner().size.bytes())?;
    apply(writing, &plan)?;
    writing.owner().note_write(plan.range());
    Ok(())
}

/// What an access of what was had came to, for a caller.
pub(super) fn settled<T>(
    record: &Record,
    done: Result<Result<T, Undone>, Ended>,
) -> Result<T, Failure> {
    match done {
        Ok(done) => done.map_err(|why| undone(record, why)),
        Err(ended) => Err(not_had(record, NotHad::from(ended))),
    }
}

/// That none of the slices to come will be refused.
fn admit_whole(writing: &mut Writing<Record>, range: ByteRange) -> Result<(), Failure> {
    let admitted = hand(writing.memory()).map(|memory| memory.admit(range, Use::Write));
    settled(writing.owner(), admitted)
}

fn apply(writing: &mut Writing<Record>, plan: &Plan<'_>) -> Result<(), Failure> {
    let applied = hand(writing.memory()).map(|mut memory| memory.apply(plan));
    settled(writing.owner(), applied)
}

/// One slice of a discard; the outcome with the last.
fn discard_slice(
    writing: &mut Writing<Record>,
    rest: &mut ByteRange,
    discarded: &mut ByteCount,
    gate: &Gate,
) -> Option<Result<(), Failure>> {
    let (here, after) = rest.split_at_multiple(DISCARD_SLICE);
    let done = gate.pass().and_then(|()| {
        let discarded = hand(writing.memory()).map(|mut memory| memory.discard(here));
        settled(writing.owner(), discarded)
    });
    match (done, after) {
        (Err(failure), _) => Some(Err(failure)),
        (Ok(given_back), after) => {
            *discarded = discarded.checked_add(given_back).unwrap_or(*discarded);
            match after {
                Some(after) => {
                    *rest = after;
                    None
                }
                None => Some(Ok(())),
            }
        }
    }
}

/// One slice of a fill; the outcome with the last.
fn fill_slice(
    writing: &mut Writing<Record>,
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

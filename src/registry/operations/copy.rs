//! Copies, within a memory or from one to another.
//!
//! ```text
//! of the caller's own  the one with the smaller uid, in order of arrival ─> the other, in order of arrival
//! of another's too     ┌─> the one, in order of arrival ── the other at once? ──────> both
//!                      └── let go <── no: now in order of arrival the one that was busy
//! ```
//!
//! Law: of two memories of the caller's the one with the smaller uid is locked first, so that copies never
//! wait for each other in a ring; whoever waits for one memory's bytes with another's in hand goes by it.
//! Where one is another tenant's, neither is held while the other is waited for: who it is lent to could
//! keep that one busy, and so the lent one from its owner. Each such wait is for a lock that was found
//! busy, so somebody else goes on meanwhile. Both stay locked from the first slice to the last.
//! Everything that can be refused is asked before the first byte; where the host loses bytes of the source
//! in the middle, what was copied of it is not kept either.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{Plan, Slices, Undone, Use};
use crate::model::{Now, RequestKey};
use crate::registry::gate::Gate;
use crate::registry::lifecycle::{self, Reading, Why, Writing};
use crate::registry::namespace::Namespace;
use crate::registry::operations::bytes::{reading, settled, writing};
use crate::registry::operations::hand;
use crate::registry::pool::{Lane, in_steps};
use crate::registry::record::Record;
use crate::registry::requests::{Begun, Led};
use crate::registry::settings::Registry;
use crate::units::{ByteCount, ByteRange};

/// Copied through a buffer of this size at a time: of the second level's cache.
const BUFFER: ByteCount = ByteCount::new(64 << 10);

/// A range of a memory.
#[derive(Clone, Debug)]
pub struct Part {
    /// The memory.
    pub record: Arc<Record>,
    /// The range, within its size.
    pub range: ByteRange,
}

impl Registry {
    /// Copies a range to one of the same length; they may overlap.
    ///
    /// # Errors
    /// MEMORY_NOT_FOUND, QUARANTINED, PROTECTED, PURGED, HARDWARE_FAULT, CORRUPTED,
    /// REQUEST_ID_REUSED, and what ends any call.
    pub async fn copy(
        &self,
        namespace: &Arc<Namespace>,
        from: Part,
        to: Part,
        request: Option<RequestKey>,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<(), Failure> {
        let home = &namespace.home.payer;
        let payer = to.record.payer_of(namespace).unwrap_or_else(|| Arc::clone(home));
        let running = match namespace.requests.begin(request, now, [home, &payer])? {
            Begun::Run(running) => running,
            Begun::Done(_) => return Ok(()),
        };
        let [lane, other] = [&from, &to].map(|part| part.record.lane(namespace.lane));
        let lane = Lane { is_awaited: lane.is_awaited || other.is_awaited, ..lane };
        if from.range.length() <= self.settings.inline {
            let mut copy = Copy::begin(from, to, lane, gate).await?;
            gate.pass()?;
            while !copy.some()? {}
            copy.end();
            running.led_to(Led::Copied);
            Ok(())
        } else {
            let job_gate = Arc::clone(gate);
            let job = async move {
                let mut copy = Copy::begin(from, to, lane, &job_gate).await?;
                in_steps(|| copy.slice(&job_gate)).await?;
                copy.end();
                // Here, for its caller may have gone since the first slice.
                running.led_to(Led::Copied);
                Ok(())
            };
            self.pool.run(lane, Arc::clone(gate), job).await?
        }
    }
}

/// A copy that goes on, with all that it needs.
struct Copy {
    held: Held,
    slices: Slices,
    buffer: Vec<u8>,
    per_turn: u64,
    /// From where, and to where.
    ranges: [ByteRange; 2],
    begun: bool,
}

enum Held {
    Same(Writing<Record>),
    Apart { from: Reading<Record>, to: Writing<Record> },
}

impl Held {
    /// Both, of which neither is held while the other is waited for. Two copies that go opposite ways each
    /// let go before they wait, so whoever looks next finds what the other had; what is not alive is not
    /// had at once, and is refused by the wait for it.
    async fn of_tenants(
        source: &Arc<Record>,
        target: &Arc<Record>,
        gate: &Gate,
    ) -> Result<Self, Failure> {
        loop {
            let from = reading(Arc::clone(source), gate).await?;
            if let Some(to) = lifecycle::write_now(Arc::clone(target)) {
                return Ok(Self::Apart { from, to });
            }
            drop(from);
            let to = writing(Arc::clone(target), gate).await?;
            if let Some(from) = lifecycle::read_now(Arc::clone(source)) {
                return Ok(Self::Apart { from, to });
            }
            drop(to);
        }
    }
}

impl Copy {
    /// Has both memories, and nothing of it can be refused.
    async fn begin(from: Part, to: Part, lane: Lane, gate: &Gate) -> Result<Self, Failure> {
        let apart = !Arc::ptr_eq(&from.record, &to.record);
        let slices = Slices::new(from.range, to.range, apart);
        let held = if !apart {
            Held::Same(writing(to.record, gate).await?)
        } else if lane.is_awaited {
            Held::of_tenants(&from.record, &to.record, gate).await?
        } else if from.record.uid < to.record.uid {
            let from = reading(from.record, gate).await?;
            Held::Apart { from, to: writing(to.record, gate).await? }
        } else {
            let to = writing(to.record, gate).await?;
            Held::Apart { from: reading(from.record, gate).await?, to }
        };
        let mut copy = Self {
            held,
            slices,
            buffer: Vec::new(),
            per_turn: 64,
            ranges: [from.range, to.range],
            begun: false,
        };
        copy.admit(from.range, to.range)?;
        Ok(copy)
    }

    fn admit(&mut self, from: ByteRange, to: ByteRange) -> Result<(), Failure> {
        match &mut self.held {
            Held::Same(memory) => {
                let admitted = hand(memory.memory()).map(|memory| {
                    memory.admit(from, Use::Read)?;
                    memory.admit(to, Use::Write)
                });
                settled(memory.owner(), admitted)
            }
            Held::Apart { from: source, to: target } => {
                let admitted = hand(source.memory()).map(|memory| memory.admit(from, Use::Read));
                settled(source.owner(), admitted)?;
                let admitted = hand(target.memory()).map(|memory| memory.admit(to, Use::Write));
                settled(target.owner(), admitted)
            }
        }
    }

    /// Copies as much as the buffer takes; whether that was all.
    fn some(&mut self) -> Result<bool, Failure> {
        let Some((from, to)) = self.slices.next(BUFFER) else { return Ok(true) };
        let buffer = &mut self.buffer;
        buffer.clear();
        match &mut self.held {
            Held::Same(memory) => {
                let copied = hand(memory.memory()).map(|mut memory| {
                    memory.read(from, buffer)?;
                    memory.apply(&Plan::put(to, buffer))
                });
                settled(memory.owner(), copied)?;
            }
            Held::Apart { from: source, to: target } => {
                let read = hand(source.memory()).map(|mut memory| memory.read(from, buffer));
                if let Err(failure) = settled(source.owner(), read) {
                    if self.begun {
                        target.owner().quarantine(Why::LostBytes);
                    }
                    return Err(failure);
                }
                let put = hand(target.memory()).map(|mut memory| -> Result<(), Undone> {
                    memory.apply(&Plan::put(to, buffer))
                });
                settled(target.owner(), put)?;
            }
        }
        self.begun = true;
        Ok(false)
    }

    /// One turn's slices; the outcome with the last.
    fn slice(&mut self, gate: &Gate) -> Option<Result<(), Failure>> {
        if let Err(failure) = gate.pass() {
            return Some(Err(failure));
        }
        for _ in 0..self.per_turn {
            match self.some() {
                Ok(false) => {}
                Ok(true) => return Some(Ok(())),
                Err(failure) => return Some(Err(failure)),
            }
        }
        None
    }

    /// Counts it.
    fn end(&self) {
        let [read, written] = self.ranges;
        match &self.held {
            Held::Same(memory) => {
                memory.owner().note_read(read);
                memory.owner().note_write(written);
            }
            Held::Apart { from, to } => {
                from.owner().note_read(read);
                to.owner().note_write(written);
            }
        }
    }
}

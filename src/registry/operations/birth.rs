//! Birth: memories that are paid, mapped on the pool, filled, and last of all named, all of them or none.
//!
//! Law: nobody sees a memory before it is whole, nor one of several before all are named. Whatever fails,
//! everything is given back, each to its own payer, before the answer.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{AnyMemory, Layout, Plan, Refused, Sources, Uncreated, Undone};
use crate::model::{ActiveSegment, MemoryId, Now, Owner, Presentation, Shape, Uuid};
use crate::registry::consent::{Agreement, Deciders, Wish};
use crate::registry::gate::Gate;
use crate::registry::ledger::{Charge, Payer};
use crate::registry::namespace::Namespace;
use crate::registry::operations::refused;
use crate::registry::record::{NewRecord, Record};
use crate::registry::settings::Registry;
use crate::registry::tie::Tie;
use crate::units::{ByteCount, WasmPages};

/// A memory that is paid.
pub(super) struct Newborn {
    pub(super) id: MemoryId,
    pub(super) uid: Uuid,
    pub(super) shape: Shape,
    pub(super) owner: Owner,
    pub(super) presentation: Presentation,
    pub(super) segments: Vec<ActiveSegment>,
    pub(super) bids: Bids,
}

impl Newborn {
    /// Asks those who have a say: nobody where it comes without pages.
    pub(super) async fn consent(
        &self,
        deciders: &dyn Deciders,
        gate: &Gate,
    ) -> Result<Agreement, Failure> {
        if self.shape.initial == WasmPages::ZERO || !deciders.mind() {
            return Ok(Agreement::given());
        }
        let wish = Wish {
            memory_id: self.id.clone(),
            uid: self.uid,
            labels: self.presentation.labels.clone(),
            previous: WasmPages::ZERO,
            current: self.shape.initial,
            maximum: self.shape.maximum,
        };
        gate.guard(deciders.ask(wish)).await?
    }
}

/// A layout that has been paid, and what may be had in its place.
pub(super) struct Bids {
    pub(super) layout: Layout,
    pub(super) charge: Charge,
    pub(super) rest: std::vec::IntoIter<Layout>,
    /// What is charged beside the memory.
    pub(super) beside: u64,
    pub(super) payer: Arc<Payer>,
}

/// What a creation needs on the pool.
pub(super) struct Birth {
    registry: Arc<Registry>,
    pub(super) namespace: Arc<Namespace>,
    tie: Option<Arc<Tie>>,
}

impl Birth {
    pub(super) fn of(
        registry: &Arc<Registry>,
        namespace: &Arc<Namespace>,
        tie: Option<&Arc<Tie>>,
    ) -> Self {
        let (registry, namespace) = (Arc::clone(registry), Arc::clone(namespace));
        Self { registry, namespace, tie: tie.map(Arc::clone) }
    }

    /// Makes them all. `name` gives them their names, in one moment, if what it is handed lets it: that
    /// counts them and passes the gate.
    pub(super) fn make(
        &self,
        all: Vec<Newborn>,
        now: Now,
        gate: &Gate,
        name: impl FnOnce(&[Arc<Record>], &dyn Fn() -> Result<(), Failure>) -> Result<(), Failure>,
    ) -> Result<Vec<Arc<Record>>, Failure> {
        let payers: Vec<Arc<Payer>> = all.iter().map(|new| Arc::clone(&new.bids.payer)).collect();
        let mut records = Vec::with_capacity(all.len());
        let made = all.into_iter().try_for_each(|new| {
            records.push(self.make_one(new, now, gate)?);
            Ok::<(), Failure>(())
        });
        // Counted before anyone can find them: who deletes one at once must not count it out first.
        let count = |record: &Arc<Record>| self.namespace.note_more(record.size().bytes());
        // Tied in the same moment, after all else that could call it off.
        let of_maker = self.of_maker(&records);
        let tied = || self.tie.as_ref().map_or(Ok(()), |tie| tie.bind(&of_maker));
        let counted = || gate.pass().and_then(|()| tied()).map(|()| records.iter().for_each(count));
        let named = made.and_then(|()| name(&records, &counted));
        match named {
            Ok(()) => {
                records.iter().for_each(|record| self.registry.leases.watch(record));
                Ok(records)
            }
            Err(failure) => {
                records.iter().for_each(|record| self.registry.give_back(&self.namespace, record));
                payers.iter().for_each(|payer| payer.take_up());
                Err(failure)
            }
        }
    }

    /// Those that are to go with their maker.
    fn of_maker(&self, records: &[Arc<Record>]) -> Vec<Arc<Record>> {
        let tied =
            |record: &&Arc<Record>| self.tie.is_some() && record.owner() == Owner::Connection;
        records.iter().filter(tied).map(Arc::clone).collect()
    }

    fn make_one(&self, new: Newborn, now: Now, gate: &Gate) -> Result<Arc<Record>, Failure> {
        let (mut memory, layout, charge) = self.pages(new.bids, gate)?;
        if let Err(failure) = fill(&mut memory, layout.initial.bytes(), &new.segments, gate) {
            self.registry.release(&self.namespace, memory.ended(), Some(charge));
            return Err(failure);
        }
        let shown =
            |ActiveSegment { offset, data }: &ActiveSegment| (*offset, ByteCount::of(data).get());
        let new = NewRecord {
            id: new.id,
            uid: new.uid,
            shape: new.shape,
            guard: layout.guard,
            owner: new.owner,
            presentation: new.presentation,
            segments: new.segments.iter().map(shown).collect(),
            charge,
        };
        Ok(Record::new(new, memory, &self.namespace, now))
    }

    /// The first of the layouts that the host gives.
    fn pages(&self, bids: Bids, gate: &Gate) -> Result<(AnyMemory, Layout, Charge), Failure> {
        let Self { registry, namespace, .. } = self;
        let Bids { mut layout, mut charge, mut rest, beside, payer } = bids;
        loop {
            payer.hand_over().map_err(|why| refused(&why))?;
            let going = || !gate.is_closed();
            let refusal = match AnyMemory::create(&*registry.allocator, &layout, &going) {
                Ok(memory) => return Ok((memory, layout, charge)),
                Err(Uncreated { refused, left: None }) => refused,
                Err(Uncreated { refused: refusal, left: Some(left) }) => {
                    registry.quarantine_range(namespace, *left, Some(charge));
                    return Err(refused(&refusal));
                }
            };
            let Some(next) = rest.next().filter(|_| is_of_pages(&refusal)) else {
                return Err(refused(&refusal));
            };
            registry.allocator.fallbacks().note_huge_pages();
            drop(charge);
            charge = registry.pay(namespace, &payer, &next, beside)?;
            layout = next;
        }
    }
}

/// Whether another kind of pages may be had where this one is not.
fn is_of_pages(refused: &Refused) -> bool {
    match refused {
        Refused::HugePages { .. } => true,
        Refused::NotHere { field, .. } => *field == "spec.huge_pages",
        Refused::Host(_)
        | Refused::Heap(_)
        | Refused::FixedSlots
        | Refused::LockLimit { .. }
        | Refused::NotAvailable { .. }
        | Refused::CalledOff => false,
    }
}

/// Puts the active segments in place, the later ones over the earlier. Nobody has the memory yet.
fn fill(
    memory: &mut AnyMemory,
    size: ByteCount,
    segments: &[ActiveSegment],
    gate: &Gate,
) -> Result<(), Failure> {
    for ActiveSegment { offset, data } in segments {
        if gate.is_closed() {
            return Err(Failure::DeadlinePassed);
        }
        let data = Sources::from(data.clone());
        let plan = Plan::write(*offset, &data, size)?;
        memory.hand_alone().apply(&plan).map_err(|undone| match undone {
            Undone::Fault(fault) => {
                Failure::HardwareFault { offset: fault.offset, count: fault.count }
            }
            // Of a memory that is new and has no ranges.
            Undone::Protected(_) | Undone::Purged(_) | Undone::Corrupted(_) | Undone::Moving => {
                Failure::InternalFault
            }
        })?;
    }
    Ok(())
}

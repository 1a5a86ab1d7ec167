//! Growth of a memory that moves: freeze and drain, another block, the copy in slices, the size, and the
//! old block wiped and given back.
//!
//! ```text
//! ticket │ charge: what is more, and all that was once again │ consent │ block │ body │ copy, slice by slice │ gate
//!        └─ nothing has happened                                            └─ nobody reads or writes
//! settle, publish │ both locks │ wipe the old, slice by slice │ free │ the second charge back
//! ```
//!
//! Law: both blocks are paid for as long as there are two, so a growth may be refused whose outcome
//! would fit. Whatever fails before the gate, the memory is where it was, and what was copied is wiped.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{Block, Hand, LinearMemory, Place, Written};
use crate::registry::gate::Gate;
use crate::registry::ledger::{Amount, Charge};
use crate::registry::lifecycle::{self, Growing, NotHad};
use crate::registry::namespace::Namespace;
use crate::registry::operations::delete::WIPE_SLICE;
use crate::registry::operations::grow::{Consent, Grown, led, note};
use crate::registry::operations::{faulted, hand, not_had, refused};
use crate::registry::pool::{in_steps, onto_pool};
use crate::registry::record::Record;
use crate::registry::requests::Running;
use crate::registry::settings::Registry;
use crate::units::ByteCount;

/// Bytes copied before other tenants have their turn: about as much work as a slice of a wipe.
const COPY_SLICE: ByteCount = ByteCount::new(16 << 20);

impl Registry {
    /// Grows a memory that moves.
    ///
    /// # Errors
    /// As [`Registry::grow`]; the memory is where it was.
    pub(super) async fn grow_elsewhere(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        growing: Growing<Record>,
        grown: Grown,
        consent: Consent<'_>,
        running: Running,
        gate: &Arc<Gate>,
    ) -> Result<Grown, Failure> {
        let payer = &namespace.home.payer;
        // There are two blocks until the old one is gone: the new one is paid whole, and what the memory
        // does not keep of that is the second's.
        let whole = Amount { mappings: 1, ..Amount::committed(grown.current.bytes()) };
        let record = Arc::clone(growing.owner());
        self.overload.admit_growth(&record.form(), whole, payer)?;
        let mut second = namespace.pay(payer, whole)?;
        let more = second.split(Amount::committed(grown.more()));
        let agreement = consent.of(&record, grown, gate).await?;
        let (registry, namespace) = (Arc::clone(self), Arc::clone(namespace));
        let (lane, job_gate) = (namespace.lane, Arc::clone(gate));
        let job = async move {
            onto_pool().await;
            let block = registry.block(&record, grown, &job_gate)?;
            let whole = lifecycle::freeze(growing, &job_gate).await;
            let mut whole = whole.map_err(|why| not_had(&record, why))?;
            let memory = hand(whole.memory());
            let memory = memory.map_err(|ended| not_had(&record, NotHad::from(ended)))?;
            let to = To {
                registry: &registry,
                record: &record,
                namespace: &namespace,
                grown,
                gate: &job_gate,
            };
            let moved = match memory {
                Hand::Exclusive(memory) => {
                    let mut removal = Removal::new(to, block, more, second);
                    let outcome = in_steps(|| removal.step(memory.place())).await;
                    removal.over(outcome)
                }
                Hand::Shared(memory) => {
                    let mut removal = Removal::new(to, block, more, second);
                    // The ticket lets one grow at a time, and the body nobody in.
                    let Some(freezing) = memory.freeze() else {
                        return Err(Failure::InternalFault);
                    };
                    let mut moving = freezing.await;
                    let outcome = in_steps(|| moving.with_mut(|place| removal.step(place))).await;
                    removal.over(outcome)
                }
                // Never moves.
                Hand::Mapped(_) => return Err(Failure::InternalFault),
            };
            drop(whole);
            let (old, second) = moved?;
            registry.wipe_away(&namespace, old, second).await;
            running.led_to(led(grown));
            agreement.done();
            Ok(grown)
        };
        self.pool.run(lane, Arc::clone(gate), job).await?
    }

    fn block(&self, record: &Record, grown: Grown, gate: &Gate) -> Result<Block, Failure> {
        let going = || !gate.is_closed();
        let populate = record.form().populate;
        self.allocator
            .block(grown.current.bytes(), populate, &going)
            .map_err(|refusal| refused(&refusal))
    }

    /// Wipes in slices what a memory left behind, and gives it back.
    async fn wipe_away(&self, namespace: &Namespace, left: LinearMemory, charge: Option<Charge>) {
        let mut wiping = left.wiping();
        let wiped = in_steps(|| match wiping.some(WIPE_SLICE) {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        });
        match wiped.await {
            Ok(()) => self.release(namespace, wiping.into_memory(), charge),
            Err(error) => self.quarantine_range(namespace, wiping.stopped(error), charge),
        }
    }
}

/// Where a memory is to grow.
struct To<'a> {
    registry: &'a Arc<Registry>,
    record: &'a Record,
    namespace: &'a Arc<Namespace>,
    grown: Grown,
    gate: &'a Gate,
}

/// A memory on its way from one block to another. Dropped before it is there, for whatever reason and
/// on whatever thread, what was copied is wiped on the pool and paid until then.
struct Removal<'a, W: Written> {
    to: To<'a>,
    /// Until it has moved there.
    there: Option<Place<W>>,
    more: Option<Charge>,
    /// What the memory does not keep of the two.
    second: Option<Charge>,
    /// How far it has been copied.
    copied: ByteCount,
}

impl<'a, W: Written> Removal<'a, W> {
    fn new(to: To<'a>, block: Block, more: Charge, second: Charge) -> Self {
        let there = Some(Place::new(block, to.grown.current));
        Self { to, there, more: Some(more), second: Some(second), copied: ByteCount::ZERO }
    }

    /// One slice; with the last, what is left of the old place.
    fn step(&mut self, here: &mut Place<W>) -> Option<Result<LinearMemory, Failure>> {
        let To { record, namespace, grown, gate, .. } = &self.to;
        if gate.is_closed() {
            return Some(Err(Failure::DeadlinePassed));
        }
        let mut there = self.there.take()?;
        match here.copy_some(&mut there, self.copied, COPY_SLICE) {
            Ok(Some(copied)) => {
                (self.there, self.copied) = (Some(there), copied);
                None
            }
            Ok(None) => {
                if let Err(failure) = gate.pass() {
                    self.there = Some(there);
                    return Some(Err(failure));
                }
                if let Some(more) = self.more.take() {
                    note(record, namespace, *grown, more);
                }
                let mut old = None;
                record.tell(grown.told(), || {
                    old = Some(here.settle(there, &record.size));
                    true
                });
                old.map(Ok)
            }
            Err(fault) => {
                self.there = Some(there);
                Some(Err(faulted(record, fault)))
            }
        }
    }

    /// What is to be wiped of the old place, and what pays for it.
    fn over(
        mut self,
        outcome: Result<LinearMemory, Failure>,
    ) -> Result<(LinearMemory, Option<Charge>), Failure> {
        Ok((outcome?, self.second.take()))
    }
}

impl<W: Written> Drop for Removal<'_, W> {
    fn drop(&mut self) {
        let Some(there) = self.there.take() else { return };
        let mut paid = self.second.take();
        if let (Some(paid), Some(more)) = (&mut paid, self.more.take()) {
            paid.absorb(more);
        }
        let (left, To { registry, namespace, .. }) = (there.into_memory(), &self.to);
        let (home, wiper) = (Arc::clone(namespace), Arc::clone(registry));
        let wipe = async move { wiper.wipe_away(&home, left, paid).await };
        registry.pool.run(namespace.lane, Gate::new(), wipe).detach();
    }
}

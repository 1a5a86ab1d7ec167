//! The end of a memory: drain, take the name away, wipe in slices, give back, uncharge.
//!
//! ```text
//! ticket, then body, in order of arrival │ gate │ name and waits gone │ wipe in slices │ unmap │ charge back
//!           nothing has happened         │      └─ the job does all of this, whoever still waits
//! ```

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{LinearMemory, Unreleased, Wiping};
use crate::registry::events::Happening;
use crate::registry::gate::Gate;
use crate::registry::ledger::Charge;
use crate::registry::lifecycle::{self, NotHad, Whole};
use crate::registry::namespace::Namespace;
use crate::registry::operations::let_go::next_poll;
use crate::registry::operations::{check_etag, not_had};
use crate::registry::partition::Partition;
use crate::registry::pool::in_steps;
use crate::registry::record::Record;
use crate::registry::settings::Registry;
use crate::registry::waiters::Over;
use crate::units::ByteCount;

/// Bytes wiped before other tenants have their turn: about 5 ms of the kernel's time where all of
/// them are resident.
pub(super) const WIPE_SLICE: ByteCount = ByteCount::new(64 << 20);

/// On what condition a memory is to end.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    /// Only if its etag is this.
    pub etag: Option<String>,
}

impl Registry {
    /// Ends a memory. `Ok` when its name is gone and its charge is back, or its range quarantined.
    ///
    /// # Errors
    /// MEMORY_NOT_FOUND, ETAG_MISMATCH, and what ends any call; nothing has happened then.
    pub async fn delete(
        self: &Arc<Self>,
        record: Arc<Record>,
        deletion: Deletion,
        gate: &Arc<Gate>,
    ) -> Result<(), Failure> {
        check_etag(deletion.etag.as_deref(), || record.etag())?;
        let whole = match lifecycle::whole(Arc::clone(&record), gate).await {
            Ok(whole) => whole,
            Err(why) => return Err(not_had(&record, why)),
        };
        let lane = record.namespace().map_or(0, |namespace| namespace.lane);
        let mut death = Death::Waiting { whole, deletion };
        let (registry, job_gate) = (Arc::clone(self), Arc::clone(gate));
        let steps = in_steps(move || death.step(&registry, &job_gate));
        self.pool.run(lane, Arc::clone(gate), steps).await?
    }

    /// Ends a memory whose lease has run out. Where the pool has no room it is tried again when
    /// next polled, for its name is gone already; that someone else has ended it is as good.
    pub(crate) async fn end(self: Arc<Self>, record: Arc<Record>) {
        while let Err(Failure::Overloaded { .. }) =
            self.delete(Arc::clone(&record), Deletion::default(), &Gate::new()).await
        {
            next_poll().await;
        }
    }

    /// Ends a memory, in a job of the pool that ends more than this one. That someone else has ended it
    /// is as good.
    pub(super) async fn end_within(&self, record: Arc<Record>) {
        let gate = Gate::default();
        let Ok(whole) = lifecycle::whole(record, &gate).await else { return };
        let mut death = Death::Waiting { whole, deletion: Deletion::default() };
        let _ended = in_steps(|| death.step(self, &gate)).await;
    }

    /// Gives back what never got a name.
    pub(super) fn give_back(&self, namespace: &Namespace, record: &Arc<Record>) {
        let gate = Gate::default();
        let mut whole = std::pin::pin!(lifecycle::whole(Arc::clone(record), &gate));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // Nobody else has seen it, so its locks are free.
        if let std::task::Poll::Ready(Ok(mut whole)) = whole.as_mut().poll(&mut context)
            && let Some(memory) = whole.end()
        {
            self.release(namespace, memory.ended(), record.take_charge());
        }
    }

    pub(super) fn release(
        &self,
        namespace: &Namespace,
        memory: LinearMemory,
        charge: Option<Charge>,
    ) {
        if let Err(unreleased) = memory.release() {
            self.quarantine_range(namespace, *unreleased, charge);
        }
    }

    pub(super) fn quarantine_range(
        &self,
        namespace: &Namespace,
        unreleased: Unreleased,
        charge: Option<Charge>,
    ) {
        tracing::error!(
            tenant = %namespace.name, step = ?unreleased.step, error = %unreleased.error,
            "a memory could not be given back; it stays charged and will be tried again"
        );
        if let Some(charge) = charge {
            self.quarantine.put(namespace.name.clone(), unreleased, charge);
        }
    }
}

/// The pool's part of an end, step by step.
enum Death {
    Waiting {
        whole: Whole<Record>,
        deletion: Deletion,
    },
    Wiping {
        namespace: Arc<Namespace>,
        memory: Wiping,
        charge: Option<Charge>,
    },
    /// Setting aside again what it was of its partition's minimum.
    TakingUp(Arc<Partition>),
    Over,
}

impl Death {
    fn step(&mut self, registry: &Registry, gate: &Gate) -> Option<Result<(), Failure>> {
        match std::mem::replace(self, Self::Over) {
            Self::Waiting { mut whole, deletion } => {
                let record = Arc::clone(whole.owner());
                let checked = check_etag(deletion.etag.as_deref(), || record.etag());
                if let Err(failure) = checked.and_then(|()| gate.pass()) {
                    return Some(Err(failure));
                }
                let ended = whole.end();
                registry.leases.forget(&record);
                let (Some(memory), Some(namespace)) = (ended, record.namespace()) else {
                    return Some(Err(not_had(&record, NotHad::Ended)));
                };
                namespace.leave(&record, Happening::Deleted);
                namespace.note_less(record.size().bytes());
                let memory = memory.ended();
                registry.ages.forget(memory.ages());
                registry.waiters.end(record.uid, Over::Gone);
                let charge = record.take_charge();
                *self = Self::Wiping { namespace, memory: memory.wiping(), charge };
                None
            }
            Self::Wiping { namespace, mut memory, charge } => match memory.some(WIPE_SLICE) {
                Ok(false) => {
                    *self = Self::Wiping { namespace, memory, charge };
                    None
                }
                Ok(true) => {
                    let payer = charge.as_ref().map(|charge| Arc::clone(charge.payer()));
                    registry.release(&namespace, memory.into_memory(), charge);
                    match payer.and_then(|payer| payer.partition().map(Arc::clone)) {
                        None => Some(Ok(())),
                        Some(partition) => {
                            *self = Self::TakingUp(partition);
                            None
                        }
                    }
                }
                Err(error) => {
                    registry.quarantine_range(&namespace, memory.stopped(error), charge);
                    Some(Ok(()))
                }
            },
            Self::TakingUp(partition) => {
                if partition.take_up_some() {
                    return Some(Ok(()));
                }
                *self = Self::TakingUp(partition);
                None
            }
            Self::Over => Some(Ok(())),
        }
    }
}

//! Growth: ticket, checks, charge, pages on the pool, and last of all the size.
//!
//! Law: one growth of a memory runs and a few queue; reads and writes go on meanwhile, but of a memory
//! that moves (`moves.rs`). Hooks will be asked between the charge and the pages. It is told when the
//! size is published, while the ticket is held, so that growths are told in their order.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::AnyMemory;
use crate::model::{Growth, Now, RequestKey, Uuid};
use crate::registry::events::Happening;
use crate::registry::gate::Gate;
use crate::registry::ledger::{Amount, Charge};
use crate::registry::lifecycle::{self, Growing, NotHad};
use crate::registry::namespace::Namespace;
use crate::registry::operations::{not_had, priced, refused};
use crate::registry::record::Record;
use crate::registry::requests::{Begun, Led, Running};
use crate::registry::settings::Registry;
use crate::units::{ByteCount, WasmPages};

/// A size before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grown {
    /// Before.
    pub previous: WasmPages,
    /// After.
    pub current: WasmPages,
}

impl Grown {
    pub(super) const fn told(self) -> Happening {
        Happening::Grown { previous: self.previous, current: self.current }
    }

    pub(super) fn more(self) -> ByteCount {
        self.current.bytes().checked_sub(self.previous.bytes()).unwrap_or(ByteCount::ZERO)
    }
}

impl Registry {
    /// Adds zeroed pages at the end.
    ///
    /// # Errors
    /// SIZE_MISMATCH, MAXIMUM_REACHED, QUOTA_EXCEEDED, HOST_EXHAUSTED, OVERLOADED where too many
    /// growths queue, REQUEST_ID_REUSED, and what ends any call; the size is unchanged.
    #[expect(clippy::too_many_arguments, reason = "the request's fields and the call's")]
    pub async fn grow(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        record: Arc<Record>,
        delta_pages: u64,
        expected_pages: Option<u64>,
        request: Option<RequestKey>,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<Grown, Failure> {
        let payer = record.payer().ok_or_else(|| record.not_found())?;
        let begun = namespace.requests.begin(request, now, [&namespace.home.payer, &payer])?;
        let running = match begun {
            Begun::Run(running) => running,
            Begun::Done(led) => return repeated(led),
        };
        let room = self.settings.queued_grows;
        let growing = match lifecycle::grow(Arc::clone(&record), room, gate).await {
            Ok(growing) => growing,
            Err(why) => return Err(not_had(&record, why)),
        };
        let outcome =
            self.grow_alone(namespace, growing, delta_pages, expected_pages, running, gate).await;
        if let Err(failure) = &outcome {
            record.note_not_grown();
            record.tell(Happening::not_grown(delta_pages, failure), || true);
        }
        outcome
    }

    async fn grow_alone(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        growing: Growing<Record>,
        delta_pages: u64,
        expected_pages: Option<u64>,
        running: Running,
        gate: &Arc<Gate>,
    ) -> Result<Grown, Failure> {
        let record = growing.owner();
        let previous = record.size();
        if let Some(expected_pages) = expected_pages
            && expected_pages != previous.get()
        {
            return Err(Failure::SizeMismatch { expected_pages, current_pages: previous.get() });
        }
        let current = target(record, previous, delta_pages)?;
        let grown = Grown { previous, current };
        if delta_pages == 0 {
            running.led_to(led(grown));
            return Ok(grown);
        }
        let Some(AnyMemory::Mapped(memory)) = growing.memory() else {
            return self.grow_elsewhere(namespace, growing, grown, running, gate).await;
        };
        let more = |of: &dyn Fn(WasmPages) -> ByteCount| {
            of(current).checked_sub(of(previous)).unwrap_or(ByteCount::ZERO)
        };
        let amount = Amount {
            overhead_bytes: more(&|size| memory.kept_bytes(size)).get(),
            ..Amount::committed(more(&|size| memory.committed(size)))
        };
        let payer = record.payer().ok_or_else(|| record.not_found())?;
        let charge = Charge::pay(&payer, priced(record, amount))?;
        let (namespace, job_gate) = (Arc::clone(namespace), Arc::clone(gate));
        self.pool
            .run_once(namespace.lane, Arc::clone(gate), move || {
                open(&growing, &namespace, grown, charge, &job_gate)
                    .inspect_err(|_refused| payer.take_up())?;
                running.led_to(led(grown));
                Ok(grown)
            })
            .await?
    }
}

fn target(record: &Record, size: WasmPages, delta_pages: u64) -> Result<WasmPages, Failure> {
    let most = match record.shape.growth() {
        Growth::Allowed => record.shape.maximum(),
        Growth::Disallowed => record.shape.initial(),
    };
    size.checked_add(delta_pages).filter(|target| *target <= most).ok_or(Failure::MaximumReached {
        current_pages: size.get(),
        delta_pages,
        maximum_pages: most.get(),
    })
}

fn open(
    growing: &Growing<Record>,
    namespace: &Namespace,
    grown: Grown,
    charge: Charge,
    gate: &Gate,
) -> Result<(), Failure> {
    let record = growing.owner();
    let Some(AnyMemory::Mapped(memory)) = growing.memory() else {
        return Err(not_had(record, NotHad::Ended));
    };
    charge.payer().hand_over().map_err(|why| refused(&why))?;
    let going = || !gate.is_closed();
    memory.open(grown.current, &going).map_err(|refusal| refused(&refusal))?;
    if let Err(failure) = gate.pass() {
        // Called off: the guard takes the place of the pages again.
        if let Err(error) = memory.close(grown.current) {
            tracing::warn!(%error, memory_id = %record.id, "pages of a cancelled growth stay open");
        }
        return Err(failure);
    }
    note(record, namespace, grown, charge);
    record.tell(grown.told(), || {
        memory.publish(grown.current, &record.size);
        true
    });
    Ok(())
}

/// It has grown, but for its size.
pub(super) fn note(record: &Record, namespace: &Namespace, grown: Grown, charge: Charge) {
    record.pay_more(charge);
    namespace.note_more(grown.more());
    record.note_grown();
}

pub(super) const fn led(grown: Grown) -> Led {
    Led::Grown { previous_pages: grown.previous.get(), current_pages: grown.current.get() }
}

fn repeated(led: Led) -> Result<Grown, Failure> {
    let pages = |count| WasmPages::new(count).unwrap_or(WasmPages::MAX);
    match led {
        Led::Grown { previous_pages, current_pages } => {
            Ok(Grown { previous: pages(previous_pages), current: pages(current_pages) })
        }
        // The hash of the body covers the kind of request, so this is another request.
        _ => Err(Failure::RequestIdReused { request_id: Uuid::nil() }),
    }
}

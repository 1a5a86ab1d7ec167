//! Growth: ticket, checks, charge, consent, pages on the pool, and last of all the size.
//!
//! Law: one growth of a memory runs and a few queue; reads and writes go on meanwhile, but of a memory
//! that moves (`moves.rs`), and of that one too while consent is waited for. The ticket keeps size,
//! maximum and what was expected of them as they were when it was asked for; life and lease are looked
//! at again. It is told when the size is published, while the ticket is held, so that growths are told
//! in their order.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::AnyMemory;
use crate::model::{Growth, Now, RequestKey, Uuid};
use crate::registry::consent::{Agreement, Deciders, Wish};
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
    /// SIZE_MISMATCH, MAXIMUM_REACHED, QUOTA_EXCEEDED, HOST_EXHAUSTED, GROW_DENIED, OVERLOADED where
    /// too many growths queue or the host is short of memory, REQUEST_ID_REUSED, and what ends any call; the size is unchanged.
    #[expect(clippy::too_many_arguments, reason = "the request's fields and the call's")]
    pub async fn grow(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        record: Arc<Record>,
        delta_pages: u64,
        expected_pages: Option<u64>,
        request: Option<RequestKey>,
        deciders: &dyn Deciders,
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
        let outcome = async {
            let grown = step(&record, delta_pages, expected_pages)?;
            if delta_pages == 0 {
                running.led_to(led(grown));
                return Ok(grown);
            }
            let consent = Consent { deciders, now };
            self.grow_alone(namespace, growing, grown, consent, running, gate).await
        };
        let outcome = outcome.await;
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
        grown: Grown,
        consent: Consent<'_>,
        running: Running,
        gate: &Arc<Gate>,
    ) -> Result<Grown, Failure> {
        let record = Arc::clone(growing.owner());
        let Some(amount) = price(&growing, grown) else {
            return self.grow_elsewhere(namespace, growing, grown, consent, running, gate).await;
        };
        let payer = record.payer().ok_or_else(|| record.not_found())?;
        self.overload.admit_growth(&record.form(), amount, &payer)?;
        let charge = namespace.pay(&payer, amount)?;
        let agreement = consent.of(&record, grown, gate).await?;
        let (namespace, job_gate) = (Arc::clone(namespace), Arc::clone(gate));
        self.pool
            .run_once(namespace.lane, Arc::clone(gate), move || {
                open(&growing, &namespace, grown, charge, &job_gate)
                    .inspect_err(|_refused| payer.take_up())?;
                running.led_to(led(grown));
                agreement.done();
                Ok(grown)
            })
            .await?
    }
}

/// Who is to be asked, and when the call came.
#[derive(Clone, Copy)]
pub(super) struct Consent<'a> {
    deciders: &'a dyn Deciders,
    now: Now,
}

impl Consent<'_> {
    /// Asks, and looks at what may have changed meanwhile.
    pub(super) async fn of(
        self,
        record: &Record,
        grown: Grown,
        gate: &Gate,
    ) -> Result<Agreement, Failure> {
        let Self { deciders, now } = self;
        if !deciders.mind() {
            return Ok(Agreement::given());
        }
        let asking = deciders.ask(Wish {
            memory_id: record.id.clone(),
            uid: record.uid,
            labels: record.presentation().presentation.labels,
            previous: grown.previous,
            current: grown.current,
            maximum: record.shape.maximum(),
        });
        let agreement = gate.guard(asking).await??;
        lifecycle::alive(record).map_err(|why| not_had(record, why))?;
        if record.has_expired(now.after(agreement.waited())) {
            return Err(record.not_found());
        }
        Ok(agreement)
    }
}

/// What growing costs in place; none of a memory that moves.
fn price(growing: &Growing<Record>, grown: Grown) -> Option<Amount> {
    let AnyMemory::Mapped(memory) = growing.memory()? else { return None };
    let more = |of: &dyn Fn(WasmPages) -> ByteCount| {
        of(grown.current).checked_sub(of(grown.previous)).unwrap_or(ByteCount::ZERO)
    };
    let amount = Amount {
        overhead_bytes: more(&|size| memory.kept_bytes(size)).get(),
        ..Amount::committed(more(&|size| memory.committed(size)))
    };
    Some(priced(growing.owner(), amount))
}

/// What is asked for, by who has the ticket.
fn step(record: &Record, delta_pages: u64, expected_pages: Option<u64>) -> Result<Grown, Failure> {
    let previous = record.size();
    match expected_pages {
        Some(expected_pages) if expected_pages != previous.get() => {
            Err(Failure::SizeMismatch { expected_pages, current_pages: previous.get() })
        }
        _ => Ok(Grown { previous, current: target(record, previous, delta_pages)? }),
    }
}

fn target(record: &Record, size: WasmPages, delta_pages: u64) -> Result<WasmPages, Failure> {
    let most = match record.shape.growth() {
        Growth::Allowed => record.shape.maximum(),
        Growth::Disallowed => record.initial(),
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

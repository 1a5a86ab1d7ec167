//! Creation: check, remember, pay, map on the pool, and last of all give it its name.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{AnyMemory, Layout, LinearMemory, Refused, Uncreated};
use crate::model::{
    AddressSpace, Allocator, Growth, IndexType, MemoryId, MemorySpec, Now, Presentation,
    RequestKey, Shape, Uuid,
};
use crate::registry::gate::Gate;
use crate::registry::ledger::{Amount, Charge, Payer};
use crate::registry::namespace::Namespace;
use crate::registry::operations::refused;
use crate::registry::random::random_bits;
use crate::registry::record::{NewRecord, Record};
use crate::registry::requests::{Begun, Led, Running};
use crate::registry::settings::Registry;
use crate::units::WasmPages;

impl Registry {
    /// Makes a memory. A repeat of a remembered request gets that memory as it is now.
    ///
    /// # Errors
    /// INVALID_SPEC, MEMORY_EXISTS, QUOTA_EXCEEDED, HOST_EXHAUSTED, HUGE_PAGES_EXHAUSTED,
    /// CAPABILITY_UNAVAILABLE, REQUEST_ID_REUSED, and what ends any call; nothing is left behind.
    pub async fn create(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        id: Option<MemoryId>,
        mut spec: MemorySpec,
        request: Option<RequestKey>,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<Arc<Record>, Failure> {
        let payer = self.payer(namespace, &mut spec)?;
        let shape = self.shape(namespace, &spec)?;
        let layouts =
            Layout::candidates(&shape, self.settings.host_page).map_err(|_too_large| {
                let why = "guards and maximum_pages together do not fit 64 bits of address";
                Failure::InvalidSpec { field: "spec.guard", why: why.to_owned() }
            })?;
        let begun = namespace.requests.begin(request, now, [&namespace.home.payer, &payer])?;
        let running = match begun {
            Begun::Run(running) => running,
            Begun::Done(led) => return repeated(namespace, led, now),
        };
        let id = id.unwrap_or_else(|| MemoryId::random(random_bits()));
        if let Some(record) = namespace.directory.find(id.as_str()) {
            if !record.expire(now) {
                return Err(Failure::MemoryExists { memory_id: id });
            }
            self.retire(record);
        }
        let beside = presentation_bytes(&spec.presentation);
        let bids = self.bids(payer, layouts, beside)?;
        let new = Newborn {
            id,
            uid: uuid::Builder::from_random_bytes(random_bits().to_le_bytes()).into_uuid(),
            shape,
            presentation: spec.presentation,
        };
        let birth = Birth { registry: Arc::clone(self), namespace: Arc::clone(namespace), running };
        let job_gate = Arc::clone(gate);
        self.pool
            .run_once(namespace.lane, Arc::clone(gate), move || {
                birth.make(new, bids, now, &job_gate)
            })
            .await?
    }

    /// Who is to pay for a memory of this spec, the form of which becomes the partition's.
    fn payer(&self, namespace: &Namespace, spec: &mut MemorySpec) -> Result<Arc<Payer>, Failure> {
        let home = &namespace.home.payer;
        let Some(id) = &spec.form.partition else { return Ok(Arc::clone(home)) };
        let partition = self.partitions.find_for(id, &namespace.name)?;
        spec.form = partition.form_of(&spec.form)?;
        Ok(home.within(partition))
    }

    /// The first layout that can be paid, and those after it.
    fn bids(&self, payer: Arc<Payer>, layouts: Vec<Layout>, beside: u64) -> Result<Bids, Failure> {
        let mut layouts = layouts.into_iter();
        let mut first = None;
        while let Some(layout) = layouts.next() {
            match self.pay(&payer, &layout, beside) {
                Ok(charge) => return Ok(Bids { layout, charge, rest: layouts, beside, payer }),
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        // A form has one page kind at least.
        Err(first.unwrap_or(Failure::InternalFault))
    }

    fn pay(&self, payer: &Arc<Payer>, layout: &Layout, beside: u64) -> Result<Charge, Failure> {
        let host_page = self.settings.host_page;
        let footprint = LinearMemory::footprint(&*self.allocator, layout, host_page);
        let mut amount = Amount::memory(&footprint);
        amount.overhead_bytes = amount.overhead_bytes.saturating_add(beside);
        Charge::pay(payer, amount)
    }

    /// The most that a memory of such a spec could have by its allocator.
    fn slot(&self, spec: &MemorySpec) -> Result<WasmPages, Failure> {
        if spec.form.allocator != Allocator::Fixed {
            return Ok(WasmPages::MAX);
        }
        self.allocator.slot().ok_or_else(|| refused(&Refused::no_arena()))
    }

    /// The shape that a spec asks for, with defaults spelled out and limits kept.
    fn shape(&self, namespace: &Namespace, spec: &MemorySpec) -> Result<Shape, Failure> {
        let reach = spec.index_type.reach();
        let invalid = |field, why| Err(Failure::InvalidSpec { field, why });
        if spec.initial > reach {
            return invalid(
                "spec.initial_pages",
                format!("{} is more than the {} that the index type reaches", spec.initial, reach),
            );
        }
        if let Some((field, why)) = spec.form.contradiction(spec.guard) {
            return invalid(field, why.to_owned());
        }
        if spec.form.is_shared && spec.maximum.is_none() {
            return invalid(
                "spec.maximum_pages",
                "is absent; a shared memory needs one".to_owned(),
            );
        }
        let cap = namespace.maximum_pages.unwrap_or(reach).min(reach);
        let slot = self.slot(spec)?;
        if spec.initial > slot {
            let why = format!("{} is more than the {slot} of a fixed slot", spec.initial);
            return invalid("spec.initial_pages", why);
        }
        let maximum = match spec.maximum {
            Some(maximum) if maximum > reach => {
                return invalid(
                    "spec.maximum_pages",
                    format!("{maximum} is more than the {reach} that the index type reaches"),
                );
            }
            Some(maximum) if maximum < spec.initial => {
                return invalid(
                    "spec.maximum_pages",
                    format!("{maximum} is less than the initial {}", spec.initial),
                );
            }
            // A slot is as long as it is; the effective spec says so.
            Some(maximum) => maximum.min(slot),
            None if spec.growth == Growth::Disallowed => spec.initial,
            None if spec.form.allocator == Allocator::Fixed => slot.min(cap).max(spec.initial),
            None => self.settings.default_maximum.min(cap).max(spec.initial),
        };
        if maximum > cap {
            return Err(Failure::QuotaExceeded {
                limit_name: "maximum_pages",
                limit: cap.get(),
                used: 0,
                asked: maximum.get(),
            });
        }
        if spec.form.address_space == AddressSpace::Wasm32Full && spec.index_type != IndexType::I32
        {
            let why = "WASM32_FULL is what 32-bit addresses reach; index_type is I64".to_owned();
            return invalid("spec.reservation", why);
        }
        Ok(Shape {
            initial: spec.initial,
            maximum,
            index_type: spec.index_type,
            growth: spec.growth,
            guard: spec.guard,
            form: Arc::clone(&spec.form),
        })
    }
}

/// What labels and a display name cost beside the record itself.
pub(super) fn presentation_bytes(presentation: &Presentation) -> u64 {
    let labels: usize =
        presentation.labels.iter().map(|(k, v)| k.len().saturating_add(v.len())).sum();
    labels.saturating_add(presentation.display_name.len()) as u64
}

fn repeated(namespace: &Namespace, led: Led, now: Now) -> Result<Arc<Record>, Failure> {
    match led {
        Led::Created { id, uid } => namespace
            .find(id.as_str(), Some(uid), now)
            .map_err(|_gone| Failure::MemoryNotFound { memory_id: id }),
        // The hash of the body covers the kind of request, so this is another request.
        _ => Err(Failure::RequestIdReused { request_id: Uuid::nil() }),
    }
}

/// A layout that has been paid, and what may be had in its place.
struct Bids {
    layout: Layout,
    charge: Charge,
    rest: std::vec::IntoIter<Layout>,
    /// What is charged beside the memory.
    beside: u64,
    payer: Arc<Payer>,
}

struct Newborn {
    id: MemoryId,
    uid: Uuid,
    shape: Shape,
    presentation: Presentation,
}

/// What a creation needs on the pool.
struct Birth {
    registry: Arc<Registry>,
    namespace: Arc<Namespace>,
    running: Running,
}

impl Birth {
    fn make(self, new: Newborn, bids: Bids, now: Now, gate: &Gate) -> Result<Arc<Record>, Failure> {
        let payer = Arc::clone(&bids.payer);
        self.make_once_paid(new, bids, now, gate).inspect_err(|_refused| payer.take_up())
    }

    fn make_once_paid(
        self,
        new: Newborn,
        bids: Bids,
        now: Now,
        gate: &Gate,
    ) -> Result<Arc<Record>, Failure> {
        let (memory, layout, charge) = self.pages(bids, gate)?;
        let Self { registry, namespace, running } = self;
        let new = NewRecord {
            id: new.id,
            uid: new.uid,
            shape: new.shape,
            guard: layout.guard,
            presentation: new.presentation,
            charge,
        };
        let record = Record::new(new, memory, &namespace, now);
        // Counted before anyone can find it: who deletes it at once must not count it out first.
        let counted = || gate.pass().map(|()| namespace.note_more(layout.initial.bytes()));
        if let Err(failure) = namespace.directory.insert(&record, counted) {
            registry.give_back(&namespace, &record);
            return Err(failure);
        }
        registry.leases.watch(&record);
        running.led_to(Led::Created { id: record.id.clone(), uid: record.uid });
        Ok(record)
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
            charge = registry.pay(&payer, &next, beside)?;
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

//! Creation: check, remember, pay, ask, and what follows on the pool (`birth.rs`).

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{Layout, LinearMemory, Refused};
use crate::model::{
    ActiveSegment, AddressSpace, Allocator, Growth, IndexType, MAX_ACTIVE_SEGMENTS, MemoryId,
    MemorySpec, Now, Owner, Presentation, RequestKey, Shape, Uuid,
};
use crate::registry::consent::Deciders;
use crate::registry::gate::Gate;
use crate::registry::ledger::{Amount, Charge, Payer};
use crate::registry::namespace::Namespace;
use crate::registry::operations::birth::{Bids, Birth, Newborn};
use crate::registry::operations::refused;
use crate::registry::random::random_bits;
use crate::registry::record::Record;
use crate::registry::requests::{Begun, Led};
use crate::registry::settings::Registry;
use crate::registry::tie::Tie;
use crate::units::{ByteCount, ByteRange, WasmPages};

/// What a place in the list of active segments costs that is shown.
const SHOWN_BYTES: u64 = 16;
/// What being tied to a connection costs beside the record.
const TIED_BYTES: u64 = 32;

/// A memory as it was asked for, checked.
pub(super) struct Wanted {
    pub(super) payer: Arc<Payer>,
    shape: Shape,
    layouts: Vec<Layout>,
    owner: Owner,
    presentation: Presentation,
    segments: Vec<ActiveSegment>,
}

impl Registry {
    /// Makes a memory. A repeat of a remembered request gets that memory as it is now.
    ///
    /// # Errors
    /// INVALID_SPEC, MEMORY_EXISTS, QUOTA_EXCEEDED, HOST_EXHAUSTED, HUGE_PAGES_EXHAUSTED,
    /// CAPABILITY_UNAVAILABLE, OVERLOADED, GROW_DENIED, REQUEST_ID_REUSED, and what ends any call;
    /// nothing is left behind.
    #[expect(clippy::too_many_arguments, reason = "the request's fields and the call's")]
    pub async fn create(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        id: Option<MemoryId>,
        spec: MemorySpec,
        request: Option<RequestKey>,
        deciders: &dyn Deciders,
        tie: Option<&Arc<Tie>>,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<Arc<Record>, Failure> {
        tied(tie, [&spec])?;
        let wanted = self.wanted(namespace, spec)?;
        let payers = [&namespace.home.payer, &wanted.payer];
        let running = match namespace.requests.begin(request, now, payers)? {
            Begun::Run(running) => running,
            Begun::Done(led) => return repeated(namespace, led, now),
        };
        let id = id.unwrap_or_else(|| MemoryId::random(random_bits()));
        self.admit(namespace, &id, now)?;
        let new = self.newborn(namespace, id, wanted)?;
        // Its name is looked up once more when it is given, and its partition lives as long as the charge.
        let agreement = new.consent(deciders, gate).await?;
        let now = now.after(agreement.waited());
        let birth = Birth::of(self, namespace, tie);
        let job_gate = Arc::clone(gate);
        let job = move || {
            let named = |record: &[Arc<Record>], counted: &dyn Fn() -> Result<(), Failure>| {
                birth.namespace.enter(record, counted)
            };
            let record = birth.make(vec![new], now, &job_gate, named)?.pop();
            let record = record.ok_or(Failure::InternalFault)?;
            running.led_to(Led::Created { id: record.id.clone(), uid: record.uid });
            agreement.done();
            Ok(record)
        };
        self.pool.run_once(namespace.lane, Arc::clone(gate), job).await?
    }

    /// That a name is free. One whose memory's lease has run out is.
    pub(super) fn admit(
        self: &Arc<Self>,
        namespace: &Namespace,
        id: &MemoryId,
        now: Now,
    ) -> Result<(), Failure> {
        if let Some(record) = namespace.directory.find(id.as_str()) {
            if !record.expire(now) {
                return Err(Failure::MemoryExists { memory_id: id.clone() });
            }
            self.retire(record);
        }
        if let Some(share) = namespace.mounts.get(id)
            && !self.expire_share(&share, now)
        {
            return Err(Failure::MemoryExists { memory_id: id.clone() });
        }
        Ok(())
    }

    /// What a spec asks for, with everything that can be known of it without paying.
    pub(super) fn wanted(
        &self,
        namespace: &Namespace,
        mut spec: MemorySpec,
    ) -> Result<Wanted, Failure> {
        let payer = self.payer(namespace, &mut spec)?;
        let shape = self.shape(namespace, &spec)?;
        let layouts =
            Layout::candidates(&shape, self.settings.host_page).map_err(|_too_large| {
                let why = "guards and maximum_pages together do not fit 64 bits of address";
                Failure::InvalidSpec { field: "spec.guard", why: why.to_owned() }
            })?;
        within(&spec.segments, shape.initial.bytes())?;
        let MemorySpec { owner, presentation, segments, .. } = spec;
        Ok(Wanted { payer, shape, layouts, owner, presentation, segments })
    }

    /// The same with a name and paid.
    pub(super) fn newborn(
        &self,
        namespace: &Namespace,
        id: MemoryId,
        wanted: Wanted,
    ) -> Result<Newborn, Failure> {
        let Wanted { payer, shape, layouts, owner, presentation, segments } = wanted;
        self.overload.admit_creation(&shape.form, shape.initial, &payer)?;
        let shown = (segments.len() as u64).saturating_mul(SHOWN_BYTES);
        let shown = shown.saturating_add(if owner == Owner::Connection { TIED_BYTES } else { 0 });
        let beside = presentation_bytes(&presentation).saturating_add(shown);
        Ok(Newborn {
            id,
            uid: uuid::Builder::from_random_bytes(random_bits().to_le_bytes()).into_uuid(),
            shape,
            owner,
            presentation,
            segments,
            bids: self.bids(namespace, payer, layouts, beside)?,
        })
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
    fn bids(
        &self,
        namespace: &Namespace,
        payer: Arc<Payer>,
        layouts: Vec<Layout>,
        beside: u64,
    ) -> Result<Bids, Failure> {
        let mut layouts = layouts.into_iter();
        let mut first = None;
        while let Some(layout) = layouts.next() {
            match self.pay(namespace, &payer, &layout, beside) {
                Ok(charge) => return Ok(Bids { layout, charge, rest: layouts, beside, payer }),
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        // A form has one page kind at least.
        Err(first.unwrap_or(Failure::InternalFault))
    }

    pub(super) fn pay(
        &self,
        namespace: &Namespace,
        payer: &Arc<Payer>,
        layout: &Layout,
        beside: u64,
    ) -> Result<Charge, Failure> {
        let host_page = self.settings.host_page;
        let footprint = LinearMemory::footprint(&*self.allocator, layout, host_page);
        let mut amount = Amount::memory(&footprint);
        amount.overhead_bytes = amount.overhead_bytes.saturating_add(beside);
        namespace.pay(payer, amount)
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
        let cap = namespace.maximum_pages().min(reach);
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

/// That what is to go with a connection has one to go with.
pub(super) fn tied<'a>(
    tie: Option<&Arc<Tie>>,
    specs: impl IntoIterator<Item = &'a MemorySpec>,
) -> Result<(), Failure> {
    if tie.is_some() || specs.into_iter().all(|spec| spec.owner == Owner::Tenant) {
        return Ok(());
    }
    let why = "is CONNECTION, and this did not come over one".to_owned();
    Err(Failure::InvalidSpec { field: "spec.owner", why })
}

/// What labels and a display name cost beside the record itself.
pub(super) fn presentation_bytes(presentation: &Presentation) -> u64 {
    let labels: usize =
        presentation.labels.iter().map(|(k, v)| k.len().saturating_add(v.len())).sum();
    labels.saturating_add(presentation.display_name.len()) as u64
}

/// That all of these can be put in place.
fn within(segments: &[ActiveSegment], size: ByteCount) -> Result<(), Failure> {
    let invalid = |why| Err(Failure::InvalidSpec { field: "spec.segments", why });
    if segments.len() > MAX_ACTIVE_SEGMENTS {
        return invalid(format!("are {}; at most {MAX_ACTIVE_SEGMENTS}", segments.len()));
    }
    for (number, ActiveSegment { offset, data }) in segments.iter().enumerate() {
        let length = ByteCount::of(data).get();
        if ByteRange::within(*offset, length, size).is_err() {
            return invalid(format!(
                "segments[{number}] has {length} bytes at offset {offset}, which do not lie within \
                 the initial size of {size}"
            ));
        }
    }
    Ok(())
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

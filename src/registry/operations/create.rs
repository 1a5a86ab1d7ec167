//! Creation: check, remember, pay, map on the pool, and last of all give it its name.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{Layout, LinearMemory, Uncreated};
use crate::model::{Growth, MemoryId, MemorySpec, Now, Presentation, RequestKey, Shape, Uuid};
use crate::registry::gate::Gate;
use crate::registry::ledger::{Amount, Charge};
use crate::registry::namespace::Namespace;
use crate::registry::operations::refused;
use crate::registry::record::{NewRecord, Record, random_bits};
use crate::registry::requests::{Begun, Led, Running};
use crate::registry::settings::Registry;

impl Registry {
    /// Makes a memory. A repeat of a remembered request gets that memory as it is now.
    ///
    /// # Errors
    /// INVALID_SPEC, MEMORY_EXISTS, QUOTA_EXCEEDED, HOST_EXHAUSTED, REQUEST_ID_REUSED, and what
    /// ends any call; nothing is left behind.
    pub async fn create(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        id: Option<MemoryId>,
        spec: MemorySpec,
        request: Option<RequestKey>,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<Arc<Record>, Failure> {
        let shape = self.shape(namespace, &spec)?;
        let layout = Layout::dedicated(&shape, self.settings.host_page).map_err(|_too_large| {
            Failure::InvalidSpec {
                field: "spec.guard",
                why: "guards and maximum_pages together do not fit 64 bits of address".to_owned(),
            }
        })?;
        let begun = namespace.requests.begin(request, now, &namespace.account, &self.host)?;
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
        let mut amount = Amount::memory(&self.allocator.footprint(&layout));
        amount.overhead_bytes =
            amount.overhead_bytes.saturating_add(presentation_bytes(&spec.presentation));
        let charge = Charge::pay(&namespace.account, &self.host, amount)?;
        let new = NewRecord {
            id,
            uid: uuid::Builder::from_random_bytes(random_bits().to_le_bytes()).into_uuid(),
            shape,
            guard: layout.guard,
            presentation: spec.presentation,
            charge,
            epoch: self.epoch,
            quarantined: Arc::clone(&self.quarantined),
        };
        let birth = Birth { registry: Arc::clone(self), namespace: Arc::clone(namespace), running };
        let job_gate = Arc::clone(gate);
        self.pool
            .run_once(namespace.lane, Arc::clone(gate), move || {
                birth.make(new, &layout, now, &job_gate)
            })
            .await?
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
        let cap = namespace.maximum_pages.unwrap_or(reach).min(reach);
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
            Some(maximum) => maximum,
            None if spec.growth == Growth::Disallowed => spec.initial,
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
        Ok(Shape {
            initial: spec.initial,
            maximum,
            index_type: spec.index_type,
            growth: spec.growth,
            guard: spec.guard,
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
        Led::Grown { .. } => Err(Failure::RequestIdReused { request_id: Uuid::nil() }),
    }
}

/// What a creation needs on the pool.
struct Birth {
    registry: Arc<Registry>,
    namespace: Arc<Namespace>,
    running: Running,
}

impl Birth {
    fn make(
        self,
        new: NewRecord,
        layout: &Layout,
        now: Now,
        gate: &Gate,
    ) -> Result<Arc<Record>, Failure> {
        let Self { registry, namespace, running } = self;
        let memory = match LinearMemory::create(&*registry.allocator, layout) {
            Ok(memory) => memory,
            Err(Uncreated { error, left }) => {
                if let Some(left) = left {
                    registry.quarantine_range(&namespace, *left, Some(new.charge));
                }
                return Err(refused(&error));
            }
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
}

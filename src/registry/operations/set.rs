//! Memory sets, made and ended.
//!
//! ```text
//! check all │ remember │ pay all │ pool: map and fill one after the other │ gate │ all names at once
//!                                  └─ a failure gives everything back      └─ here the set exists
//! gate │ the set's name and its members' at once │ each drained, wiped, given back, in order
//! ```

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Failure;
use crate::model::{Id, MemoryId, MemorySpec, Now, RequestKey, SetId, Uuid};
use crate::registry::by_name::not_found;
use crate::registry::consent::{Agreement, Deciders};
use crate::registry::gate::Gate;
use crate::registry::ledger::Amount;
use crate::registry::namespace::Namespace;
use crate::registry::operations::birth::Birth;
use crate::registry::operations::create::tied;
use crate::registry::pool::onto_pool;
use crate::registry::random::random_bits;
use crate::registry::record::Record;
use crate::registry::requests::{Begun, Led};
use crate::registry::sets::{MOST_MEMBERS, Member, MemorySet, set_bytes};
use crate::registry::settings::Registry;
use crate::registry::tie::Tie;

impl Registry {
    /// Makes memories, all of them or none, and a set of them. A repeat of a remembered request gets
    /// that set as it is now. `say` is told which it will be before the first of them is made.
    ///
    /// # Errors
    /// SET_EXISTS, and as [`Self::create`] of each memory; nothing is left behind.
    #[expect(clippy::too_many_arguments, reason = "the request's fields and the call's")]
    pub async fn create_set(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        id: Option<SetId>,
        members: Vec<(Option<MemoryId>, MemorySpec)>,
        request: Option<RequestKey>,
        deciders: &dyn Deciders,
        tie: Option<&Arc<Tie>>,
        now: Now,
        gate: &Arc<Gate>,
        say: impl FnOnce(&MemorySet),
    ) -> Result<Arc<MemorySet>, Failure> {
        let home = &namespace.home.payer;
        tied(tie, members.iter().map(|(_, spec)| spec))?;
        let named = named(members)?;
        let wanted = named.into_iter().enumerate().map(|(number, (id, spec))| {
            let wanted = self.wanted(namespace, spec);
            wanted.map(|wanted| (id, wanted)).map_err(|failure| failure.of_member(number))
        });
        let wanted = wanted.collect::<Result<Vec<_>, Failure>>()?;
        let running = match namespace.requests.begin(request, now, [home; 2])? {
            Begun::Run(running) => running,
            Begun::Done(led) => return repeated(namespace, led),
        };
        let id = id.unwrap_or_else(|| Id::random(random_bits()));
        namespace.sets.admit(&id)?;
        wanted.iter().try_for_each(|(id, _)| self.admit(namespace, id, now))?;
        let charge = namespace.pay(home, Amount::overhead(set_bytes(wanted.len())))?;
        let newborns = wanted.into_iter().map(|(id, wanted)| self.newborn(namespace, id, wanted));
        let newborns = newborns.collect::<Result<Vec<_>, Failure>>()?;
        let mut agreements = Vec::with_capacity(newborns.len());
        for newborn in &newborns {
            agreements.push(newborn.consent(deciders, gate).await?);
        }
        let waited = agreements.iter().map(Agreement::waited).sum();
        let now = now.after(waited);
        let member = |id: &MemoryId, uid| Member { id: id.clone(), uid };
        let set = Arc::new(MemorySet {
            id,
            members: newborns.iter().map(|new| member(&new.id, new.uid)).collect(),
            created: now.wall,
            uid: uuid::Builder::from_random_bytes(random_bits().to_le_bytes()).into_uuid(),
            _charge: charge,
        });
        say(&set);
        let birth = Birth::of(self, namespace, tie);
        let job_gate = Arc::clone(gate);
        let job = move || {
            let namespace = &birth.namespace;
            birth.make(newborns, now, &job_gate, |records, counted| {
                namespace.sets.insert(&set, || namespace.enter(records, counted))
            })?;
            running.led_to(Led::Created { id: set.id.clone(), uid: set.uid });
            agreements.into_iter().for_each(Agreement::done);
            Ok(set)
        };
        self.pool.run_once(namespace.lane, Arc::clone(gate), job).await?
    }

    /// Ends a set and its memories. `Ok` when each of their charges is back, or its range quarantined.
    ///
    /// # Errors
    /// SET_NOT_FOUND, and what ends any call; nothing has happened then.
    pub async fn delete_set(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        id: &SetId,
        gate: &Arc<Gate>,
    ) -> Result<(), Failure> {
        let (registry, namespace) = (Arc::clone(self), Arc::clone(namespace));
        let (id, lane, job_gate) = (id.clone(), namespace.lane, Arc::clone(gate));
        let job = async move {
            onto_pool().await;
            let mut records = Vec::new();
            namespace.sets.remove(&id, |set| {
                job_gate.pass()?;
                records.extend(set.members.iter().filter_map(|one| namespace.member(one)));
                let _gone = namespace.leave_all(&records);
                Ok(())
            })?;
            for record in records {
                registry.end_within(record).await;
            }
            Ok(())
        };
        self.pool.run(lane, Arc::clone(gate), job).await?
    }
}

impl Namespace {
    /// A set.
    ///
    /// # Errors
    /// SET_NOT_FOUND; INVALID_FIELD where that is no name.
    pub fn set(&self, id: &str) -> Result<Arc<MemorySet>, Failure> {
        self.sets.find(id)
    }

    /// Up to `most` of its sets after a name, in order, and whether there are more.
    #[must_use]
    pub fn list_sets(&self, after: Option<&SetId>, most: usize) -> (Vec<Arc<MemorySet>>, bool) {
        self.sets.list(after, most)
    }

    /// The memory that is a set's member, while its name is its own.
    fn member(&self, member: &Member) -> Option<Arc<Record>> {
        let record = self.directory.find(member.id.as_str())?;
        (record.uid == member.uid).then_some(record)
    }
}

/// Each with a name of its own.
fn named(
    members: Vec<(Option<MemoryId>, MemorySpec)>,
) -> Result<Vec<(MemoryId, MemorySpec)>, Failure> {
    let invalid = |field, why| Err(Failure::InvalidField { field, why });
    if !(1..=MOST_MEMBERS).contains(&members.len()) {
        return invalid("members", format!("are {}; 1 to {MOST_MEMBERS}", members.len()));
    }
    let mut names = HashSet::new();
    let mut named = Vec::with_capacity(members.len());
    for (id, spec) in members {
        let id = id.unwrap_or_else(|| MemoryId::random(random_bits()));
        if !names.insert(id.clone()) {
            return invalid("members.memory_id", format!("{id} is there twice"));
        }
        named.push((id, spec));
    }
    Ok(named)
}

fn repeated(namespace: &Namespace, led: Led) -> Result<Arc<MemorySet>, Failure> {
    match led {
        Led::Created { id, uid } => match namespace.sets.find(id.as_str()) {
            Ok(set) if set.uid == uid => Ok(set),
            _ => Err(not_found::<MemorySet>(id)),
        },
        // The hash of the body covers the kind of request, so this is another request.
        _ => Err(Failure::RequestIdReused { request_id: Uuid::nil() }),
    }
}

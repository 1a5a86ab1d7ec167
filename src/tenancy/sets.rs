//! The part of [`Access`] for memory sets.
//!
//! Law: as `access.rs`; apart from it for its length alone.

use std::sync::Arc;

use crate::error::Failure;
use crate::model::{MemoryId, MemorySpec, Now, RequestKey, SetId};
use crate::registry::{Member, MemorySet, Record};
use crate::tenancy::access::{Access, Occasion, Target, bytes_of};

impl Access {
    /// Makes memories, all of them or none, and a set of them; `say` is told which before it does.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::create_set`].
    pub async fn create_set(
        &self,
        occasion: &Occasion,
        id: Option<SetId>,
        members: Vec<(Option<MemoryId>, MemorySpec)>,
        request: Option<RequestKey>,
        say: impl FnOnce(&MemorySet),
    ) -> Result<Arc<MemorySet>, Failure> {
        let Occasion { now, gate } = occasion;
        let bytes = members.iter().map(|(_, spec)| bytes_of(spec)).fold(0, u64::saturating_add);
        self.tenant.rates.take((members.len() as u64).saturating_sub(1), bytes)?;
        let (namespace, hooks) = (&self.tenant.namespace, &self.tenant.hooks);
        let (registry, tie) = (&self.registry, self.tie.as_ref());
        let made =
            registry.create_set(namespace, id, members, request, hooks, tie, *now, gate, say);
        let set = made.await?;
        let there = set.members.iter().filter_map(|member| self.member(member, *now));
        there.for_each(|record| self.each_memory.add(&self.tenant.label, &record));
        Ok(set)
    }

    /// Ends a set and its memories.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::delete_set`].
    pub async fn delete_set(&self, occasion: &Occasion, id: &SetId) -> Result<(), Failure> {
        self.registry.delete_set(&self.tenant.namespace, id, &occasion.gate).await
    }

    /// A set's member, while it is there.
    #[must_use]
    pub fn member(&self, member: &Member, now: Now) -> Option<Arc<Record>> {
        self.find(Target { id: member.id.as_str(), uid: Some(member.uid) }, now).ok()
    }
}

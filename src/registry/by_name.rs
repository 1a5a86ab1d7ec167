//! [`ByName`]: what a tenant has of one kind beside its memories, by name and in order of name.
//!
//! Law: bounded; the last word of a change is said under the lock, so that what else belongs to it happens
//! in the same moment. Nothing slow is done meanwhile. Does not know what it holds.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Failure;
use crate::model::{Id, Resource};

/// What has a name within its tenant.
pub(super) trait Entry {
    /// Which kind it is.
    const RESOURCE: Resource;
    /// How many of them a tenant may have, where nothing else is said.
    const MOST: usize;

    /// Its name.
    fn id(&self) -> &Id;
}

/// All that a tenant has of one kind.
#[derive(Debug)]
pub(super) struct ByName<T> {
    entries: RwLock<BTreeMap<Id, Arc<T>>>,
    /// How many these are: a page asks without the lock.
    count: AtomicUsize,
    most: AtomicUsize,
}

impl<T: Entry> Default for ByName<T> {
    fn default() -> Self {
        let (count, most) = (AtomicUsize::new(0), AtomicUsize::new(T::MOST));
        Self { entries: RwLock::default(), count, most }
    }
}

impl<T: Entry> ByName<T> {
    /// So many from now on; those that are there stay.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// How many there may be.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// # Errors
    /// That there is none of this name, or that this is no name.
    pub(super) fn find(&self, id: &str) -> Result<Arc<T>, Failure> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(id).map(Arc::clone).ok_or_else(|| match Id::new(id) {
            Ok(id) => not_found::<T>(id),
            Err(bad) => Failure::InvalidField { field: T::RESOURCE.field(), why: bad.to_string() },
        })
    }

    /// That there is room for one of this name.
    pub(super) fn admit(&self, id: &Id) -> Result<(), Failure> {
        self.has_room(&self.entries.read().unwrap_or_else(PoisonError::into_inner), id)
    }

    /// Puts one in; `commit` has the last word.
    pub(super) fn insert(
        &self,
        entry: &Arc<T>,
        commit: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        self.has_room(&entries, entry.id())?;
        commit()?;
        entries.insert(entry.id().clone(), Arc::clone(entry));
        self.count.store(entries.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Takes one out; `commit` has the last word.
    pub(super) fn remove(
        &self,
        id: &Id,
        commit: impl FnOnce(&T) -> Result<(), Failure>,
    ) -> Result<Arc<T>, Failure> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        commit(entries.get(id).ok_or_else(|| not_found::<T>(id.clone()))?)?;
        let removed = entries.remove(id).ok_or_else(|| not_found::<T>(id.clone()));
        self.count.store(entries.len(), Ordering::Relaxed);
        removed
    }

    /// Up to `most` after a name, in order, and whether there are more.
    pub(super) fn list(&self, after: Option<&Id>, most: usize) -> (Vec<Arc<T>>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut rest = entries.range::<Id, _>((from, Bound::Unbounded));
        let some = rest.by_ref().take(most).map(|(_, entry)| Arc::clone(entry)).collect();
        (some, rest.next().is_some())
    }

    fn has_room(&self, entries: &BTreeMap<Id, Arc<T>>, id: &Id) -> Result<(), Failure> {
        if entries.contains_key(id) {
            return Err(Failure::Exists { resource: T::RESOURCE, id: id.clone() });
        }
        let most = self.most();
        if entries.len() >= most {
            return Err(Failure::QuotaExceeded {
                limit_name: T::RESOURCE.plural(),
                limit: most as u64,
                used: entries.len() as u64,
                asked: 1,
            });
        }
        Ok(())
    }
}

pub(super) fn not_found<T: Entry>(id: Id) -> Failure {
    Failure::NotFound { resource: T::RESOURCE, id }
}

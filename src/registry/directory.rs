//! [`Directory`]: the memories of one tenant, by name.
//!
//! Law: a look-up holds one shard's read lock and gives back an `Arc`; nothing slow happens under a
//! lock. Memories that come together are named under the locks of all their shards, taken in order. The
//! order of names is kept beside the shards, so that a list need not sort; both hold records and no names
//! of their own. What is told of a coming or going is told under the lock of that order, so that who holds
//! it knows of exactly those that are there. Does not know leases or states: who asks checks.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use crate::error::Failure;
use crate::model::MemoryId;
use crate::registry::looks::{LOOK, Looks};
use crate::registry::record::Record;
use crate::registry::share::Share;

/// Enough that two cores' creates and deletes rarely meet.
const SHARDS: usize = 16;
/// Memories that a list takes under one hold of the lock.
const AT_ONCE: usize = 256;

/// The memories of one tenant.
#[derive(Debug)]
pub(super) struct Directory {
    shards: [RwLock<HashSet<Named>>; SHARDS],
    names: RwLock<BTreeSet<Named>>,
}

/// A record, found and ordered by its name.
#[derive(Clone, Debug)]
struct Named(Arc<Record>);

impl Borrow<[u8]> for Named {
    fn borrow(&self) -> &[u8] {
        self.0.id.as_bytes()
    }
}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.as_bytes().hash(state);
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Named {}

impl PartialOrd for Named {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Named {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

/// A page of a list.
#[derive(Debug, Default)]
pub struct Listing {
    /// In order of name.
    pub records: Vec<Arc<Record>>,
    /// Those of others that have a name among them, in order of that.
    pub mounts: Vec<Arc<Share>>,
    /// The last name looked at, where there are more.
    pub next: Option<MemoryId>,
}

impl Directory {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), names: RwLock::default() }
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Record>> {
        let id = id.as_bytes();
        let shard = self.shard(id)?.read().unwrap_or_else(PoisonError::into_inner);
        shard.get(id).map(|named| Arc::clone(&named.0))
    }

    /// Puts memories of different names in, in one moment, unless a name is taken; `commit` has the
    /// last word, under the locks, and `tell` tells of them there.
    pub(super) fn insert(
        &self,
        records: &[Arc<Record>],
        commit: impl FnOnce() -> Result<(), Failure>,
        tell: impl FnOnce(),
    ) -> Result<(), Failure> {
        let mut shards = self.shards_of(records);
        for record in records {
            let name = record.id.as_bytes();
            if shards.of(name).is_none_or(|shard| shard.contains(name)) {
                return Err(Failure::MemoryExists { memory_id: record.id.clone() });
            }
        }
        commit()?;
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            let named = Named(Arc::clone(record));
            if let Some(shard) = shards.of(record.id.as_bytes()) {
                shard.insert(named.clone());
            }
            names.insert(named);
        }
        tell();
        Ok(())
    }

    /// How many there are. What is let in by a `commit` that began after this is not among them; all
    /// that was let in before is.
    pub(super) fn count(&self) -> usize {
        let count =
            |shard: &RwLock<HashSet<_>>| shard.read().unwrap_or_else(PoisonError::into_inner).len();
        self.shards.iter().map(count).sum()
    }

    /// Carries `commit` out while no memory of this name comes, unless there is one.
    pub(super) fn beside(
        &self,
        id: &MemoryId,
        commit: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let shard = self.shard(id.as_bytes()).ok_or(Failure::InternalFault)?;
        let shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.contains(id.as_bytes()) {
            return Err(Failure::MemoryExists { memory_id: id.clone() });
        }
        commit()
    }

    fn shards_of(&self, records: &[Arc<Record>]) -> Shards<'_> {
        let mut places: Vec<usize> =
            records.iter().map(|record| place(record.id.as_bytes())).collect();
        places.sort_unstable();
        places.dedup();
        let lock = |place| {
            let shard: &RwLock<_> = self.shards.get(place)?;
            Some((place, shard.write().unwrap_or_else(PoisonError::into_inner)))
        };
        Shards(places.into_iter().filter_map(lock).collect())
    }

    /// Takes exactly this memory out, not another of its name, and tells of it if it was there.
    pub(super) fn remove(&self, record: &Record, tell: impl FnOnce()) -> bool {
        let id = record.id.as_bytes();
        let Some(shard) = self.shard(id) else { return false };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.get(id).is_none_or(|found| found.0.uid != record.uid) {
            return false;
        }
        shard.remove(id);
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        names.remove(id);
        tell();
        true
    }

    /// Looks at up to `most` memories after a name while none comes or goes, and at the last name of
    /// them where there are more.
    pub(super) fn page<T>(
        &self,
        after: Option<&MemoryId>,
        most: usize,
        look: impl FnOnce(&[Arc<Record>], Option<MemoryId>) -> T,
    ) -> T {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_bytes()));
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let mut rest = names.range::<[u8], _>((from, Bound::Unbounded));
        let page: Vec<Arc<Record>> =
            rest.by_ref().take(most).map(|named| Arc::clone(&named.0)).collect();
        let last = rest.next().and(page.last()).map(|last| last.id.clone());
        look(&page, last)
    }

    /// Takes exactly these out, in one moment, and tells of those that were there.
    pub(super) fn remove_all(&self, records: &[Arc<Record>], mut tell: impl FnMut(&Arc<Record>)) {
        let mut shards = self.shards_of(records);
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            let id = record.id.as_bytes();
            if let Some(shard) = shards.of(id)
                && shard.get(id).is_some_and(|found| found.0.uid == record.uid)
            {
                shard.remove(id);
                names.remove(id);
                tell(record);
            }
        }
    }

    /// Up to `page_size` memories that `wanted` accepts, after a name, looking at no more than there is
    /// time for.
    pub(super) fn list(
        &self,
        after: Option<&MemoryId>,
        page_size: usize,
        wanted: impl Fn(&Record, &mut Looks) -> bool,
    ) -> Listing {
        let (mut listing, mut last, mut looks) = (Listing::default(), None, Looks::new());
        loop {
            let some = self.some(last.as_ref().or(after));
            for Named(record) in &some {
                if looks.are_over() || listing.records.len() == page_size {
                    listing.next = last;
                    return listing;
                }
                looks.spend(LOOK);
                if wanted(record, &mut looks) {
                    listing.records.push(Arc::clone(record));
                }
                last = Some(record.id.clone());
            }
            if some.len() < AT_ONCE {
                return listing;
            }
        }
    }

    /// Some memories after a name.
    fn some(&self, after: Option<&MemoryId>) -> Vec<Named> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_bytes()));
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.range::<[u8], _>((from, Bound::Unbounded)).take(AT_ONCE).cloned().collect()
    }

    fn shard(&self, name: &[u8]) -> Option<&RwLock<HashSet<Named>>> {
        self.shards.get(place(name))
    }
}

/// Some of the shards, locked in their order.
struct Shards<'a>(Vec<(usize, RwLockWriteGuard<'a, HashSet<Named>>)>);

impl Shards<'_> {
    fn of(&mut self, name: &[u8]) -> Option<&mut HashSet<Named>> {
        let wanted = place(name);
        self.0.iter_mut().find(|(place, _)| *place == wanted).map(|(_, shard)| &mut **shard)
    }
}

/// Names are hashed once, by the map: which shard is no secret, for a tenant that chooses names of one
/// shard slows down nobody but itself.
fn place(name: &[u8]) -> usize {
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let number = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            u64::from_le_bytes(*first).rotate_left(32) ^ u64::from_le_bytes(*last)
        }
        _ => name.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    };
    // Both halves of the product folded, so that every bit of the name counts.
    let product = u128::from(number).wrapping_mul(u128::from(SPREAD));
    let mixed = (product >> 64 ^ product & u128::from(u64::MAX)) >> 8;
    mixed.checked_rem(SHARDS as u128).and_then(|place| usize::try_from(place).ok()).unwrap_or(0)
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_usual_kind_spread_over_the_shards() {
        let directory = Directory::new();
        let kinds: [fn(u32) -> String; 4] = [
            |n| format!("m{n}"),
            |n| format!("memory-{n}"),
            |n| format!("{n:08}-of-the-same-tail"),
            |n| {
                MemoryId::random(
                    u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
                )
                .to_string()
            },
        ];
        for name in kinds {
            let mut counts = [0_u32; SHARDS];
            for n in 0..16_000 {
                let found = directory.shard(name(n).as_bytes()).unwrap();
                let at = directory.shards.iter().position(|shard| std::ptr::eq(shard, found));
                counts[at.unwrap()] += 1;
            }
            assert!(counts.iter().all(|count| (300..3000).contains(count)), "{counts:?}");
        }
    }
}

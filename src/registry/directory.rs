//! [`Directory`]: the memories of one tenant, by name.
//!
//! Law: a look-up holds one shard's read lock and gives back an `Arc`; nothing slow happens under a
//! lock. The order of names is kept beside the shards, so that a list need not sort. Does not know
//! leases or states: who asks checks.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Failure;
use crate::model::MemoryId;
use crate::registry::record::Record;

/// Enough that two cores' creates and deletes rarely meet.
const SHARDS: usize = 16;

/// The memories of one tenant.
#[derive(Debug)]
pub(super) struct Directory {
    shards: [RwLock<HashMap<MemoryId, Arc<Record>>>; SHARDS],
    names: RwLock<BTreeSet<MemoryId>>,
}

/// A page of a list.
#[derive(Debug, Default)]
pub struct Listing {
    /// In order of name.
    pub records: Vec<Arc<Record>>,
    /// The last name looked at, where there are more.
    pub next: Option<MemoryId>,
}

impl Directory {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), names: RwLock::default() }
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Record>> {
        self.shard(id)?.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Puts a memory in unless its name is taken; `commit` has the last word, under the lock.
    pub(super) fn insert(
        &self,
        record: &Arc<Record>,
        commit: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let exists = || Failure::MemoryExists { memory_id: record.id.clone() };
        let shard = self.shard(record.id.as_str()).ok_or_else(exists)?;
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.contains_key(&record.id) {
            return Err(exists());
        }
        commit()?;
        shard.insert(record.id.clone(), Arc::clone(record));
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(record.id.clone());
        Ok(())
    }

    /// Takes exactly this memory out, not another of its name.
    pub(super) fn remove(&self, record: &Record) -> bool {
        let Some(shard) = self.shard(record.id.as_str()) else { return false };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.get(&record.id).is_none_or(|found| found.uid != record.uid) {
            return false;
        }
        shard.remove(&record.id);
        self.names.write().unwrap_or_else(PoisonError::into_inner).remove(&record.id);
        true
    }

    /// Up to `page_size` memories that `wanted` accepts, after a name, looking at no more than
    /// `look_at_most`.
    pub(super) fn list(
        &self,
        after: Option<&MemoryId>,
        page_size: usize,
        look_at_most: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> Listing {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names: Vec<MemoryId> = self
            .names
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .range::<MemoryId, _>((from, Bound::Unbounded))
            .take(look_at_most.saturating_add(1))
            .cloned()
            .collect();
        let mut listing = Listing::default();
        for (looked_at, name) in names.iter().enumerate() {
            if looked_at == look_at_most || listing.records.len() == page_size {
                break;
            }
            if let Some(record) = self.find(name.as_str()).filter(|record| wanted(record)) {
                listing.records.push(record);
            }
            listing.next = Some(name.clone());
        }
        if listing.next.as_ref() == names.last() {
            listing.next = None;
        }
        listing
    }

    /// Names are hashed once, by the map: which shard is no secret, for a tenant that chooses names
    /// of one shard slows down nobody but itself.
    fn shard(&self, id: &str) -> Option<&RwLock<HashMap<MemoryId, Arc<Record>>>> {
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let name = id.as_bytes();
        let number = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(first), Some(last)) => {
                u64::from_le_bytes(*first).rotate_left(32) ^ u64::from_le_bytes(*last)
            }
            _ => name.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        };
        // Both halves of the product folded, so that every bit of the name counts.
        let product = u128::from(number).wrapping_mul(u128::from(SPREAD));
        let mixed = (product >> 64 ^ product & u128::from(u64::MAX)) >> 8;
        self.shards.get(usize::try_from(mixed.checked_rem(SHARDS as u128)?).ok()?)
    }
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
                let found = directory.shard(&name(n)).unwrap();
                let at = directory.shards.iter().position(|shard| std::ptr::eq(shard, found));
                counts[at.unwrap()] += 1;
            }
            assert!(counts.iter().all(|count| (300..3000).contains(count)), "{counts:?}");
        }
    }
}

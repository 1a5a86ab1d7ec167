//! [`EachMemory`]: the `linmemd_each_memory_` families, for operators who switch them on.
//!
//! Law: off by default (they show ids), capped, and a memory's series go with the memory. The
//! exporter cannot forget one series, so these families are written here; a scrape reads this
//! capped list and never the registry.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use crate::metrics::EACH_MEMORY;
use crate::model::{MemoryId, Uuid};
use crate::registry::Record;

/// Memories with series of their own.
#[derive(Debug)]
pub struct EachMemory {
    /// How many there may be; 0: switched off.
    cap: usize,
    dropped: AtomicU64,
    shown: Mutex<BTreeMap<(String, MemoryId, Uuid), Weak<Record>>>,
}

impl EachMemory {
    /// So many at most; 0: none, and none is counted as dropped.
    #[must_use]
    pub const fn new(cap: usize) -> Self {
        Self { cap, dropped: AtomicU64::new(0), shown: Mutex::new(BTreeMap::new()) }
    }

    pub(super) fn add(&self, tenant: &str, record: &std::sync::Arc<Record>) {
        if self.cap == 0 {
            return;
        }
        let key = (tenant.to_owned(), record.id.clone(), record.uid);
        let mut shown = self.shown();
        // A repeat of a remembered create.
        if shown.contains_key(&key) {
            return;
        }
        if shown.len() >= self.cap {
            shown.retain(|_, record| is_there(record));
        }
        if shown.len() >= self.cap {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        shown.insert(key, std::sync::Arc::downgrade(record));
    }

    /// Memories that got no series because the cap was reached.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Appends the families to a page in the text exposition format.
    pub fn render(&self, page: &mut String) {
        if self.cap == 0 {
            return;
        }
        let mut shown = self.shown();
        shown.retain(|_, record| is_there(record));
        for (family, (name, kind, help)) in EACH_MEMORY.iter().enumerate() {
            // Writing to a String cannot fail.
            let _infallible = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for ((tenant, id, _), record) in shown.iter() {
                let Some(record) = record.upgrade() else { continue };
                let value = match family {
                    // A memory never shrinks, so its peak is its size.
                    0 | 1 => record.size().bytes().get(),
                    _ => record.accesses_ever(),
                };
                let _infallible =
                    writeln!(page, "{name}{{tenant=\"{tenant}\",memory_id=\"{id}\"}} {value}");
            }
        }
    }

    fn shown(&self) -> MutexGuard<'_, BTreeMap<(String, MemoryId, Uuid), Weak<Record>>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_there(record: &Weak<Record>) -> bool {
    record.upgrade().is_some_and(|record| !record.has_ended())
}

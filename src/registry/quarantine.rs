//! [`Quarantine`]: memories that could not be wiped or given back to the host.
//!
//! Law: each stays charged to its tenant and the host, is listed, and is tried again by the sweep;
//! it is never forgotten and never handed out. Does not decide when the sweep comes.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::memory::{LinearMemory, ReleaseStep, Unreleased};
use crate::model::TenantName;
use crate::registry::ledger::Charge;

/// One such range, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRange {
    /// Who is charged for it.
    pub tenant: TenantName,
    /// Its committed bytes.
    pub bytes: u64,
    /// The kernel's error number.
    pub errno: i32,
    /// What failed.
    pub step: ReleaseStep,
    /// How often it was tried.
    pub attempts: u64,
}

#[derive(Debug, Default)]
pub(super) struct Quarantine {
    ranges: Mutex<Vec<Entry>>,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    memory: LinearMemory,
    charge: Charge,
    seen: QuarantinedRange,
}

impl Quarantine {
    pub(super) fn put(&self, tenant: TenantName, unreleased: Unreleased, charge: Charge) {
        let bytes = charge.amount().committed_bytes;
        let seen = QuarantinedRange {
            tenant,
            bytes,
            errno: unreleased.error.errno,
            step: unreleased.step,
            attempts: 1,
        };
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.entries().push(Entry { memory: unreleased.memory, charge, seen });
    }

    /// Tries each once more. Slow kernel work.
    pub(super) fn retry(&self) {
        let entries = mem::take(&mut *self.entries());
        for Entry { memory, charge, mut seen } in entries {
            match memory.release() {
                Ok(()) => {
                    self.bytes.fetch_sub(seen.bytes, Ordering::Relaxed);
                    drop(charge);
                }
                Err(unreleased) => {
                    let Unreleased { memory, step, error } = *unreleased;
                    seen.errno = error.errno;
                    seen.step = step;
                    seen.attempts = seen.attempts.saturating_add(1);
                    self.entries().push(Entry { memory, charge, seen });
                }
            }
        }
    }

    pub(super) fn list(&self) -> Vec<QuarantinedRange> {
        self.entries().iter().map(|entry| entry.seen.clone()).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

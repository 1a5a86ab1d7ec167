//! [`Quarantine`]: memories that could not be wiped or given back to the host.
//!
//! Law: each stays charged to its tenant and the host, is listed, and is tried again by the sweep;
//! it is never forgotten and never handed out. Does not decide when the sweep comes.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// Held by the one sweep that tries them, so that places in the list stay.
    trying: Mutex<()>,
}

#[derive(Debug)]
struct Entry {
    seen: QuarantinedRange,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Kept(LinearMemory, Charge),
    /// In the hands of a sweep; found so by the next one, a panic has given it back.
    Tried,
    Gone,
}

impl Quarantine {
    pub(super) fn put(&self, tenant: TenantName, unreleased: Unreleased, charge: Charge) {
        let Unreleased { memory, step, error } = unreleased;
        let bytes = charge.amount().committed_bytes;
        let seen = QuarantinedRange { tenant, bytes, errno: error.errno, step, attempts: 1 };
        self.entries().push(Entry { seen, place: Place::Kept(memory, charge) });
    }

    /// Tries each once more; one that is being tried stays listed. Slow kernel work.
    pub(super) fn retry(&self) {
        let _alone = self.trying.lock().unwrap_or_else(PoisonError::into_inner);
        self.entries().retain(|entry| matches!(entry.place, Place::Kept(..)));
        let count = self.entries().len();
        for number in 0..count {
            let Some((memory, charge)) = self.take(number) else { continue };
            match memory.release() {
                Ok(()) => {
                    drop(charge);
                    self.put_back(number, |entry| entry.place = Place::Gone);
                }
                Err(unreleased) => self.put_back(number, |entry| {
                    let Unreleased { memory, step, error } = *unreleased;
                    entry.seen.errno = error.errno;
                    entry.seen.step = step;
                    entry.seen.attempts = entry.seen.attempts.saturating_add(1);
                    entry.place = Place::Kept(memory, charge);
                }),
            }
        }
        self.entries().retain(|entry| !matches!(entry.place, Place::Gone));
    }

    pub(super) fn list(&self) -> Vec<QuarantinedRange> {
        let entries = self.entries();
        let listed = entries.iter().filter(|entry| !matches!(entry.place, Place::Gone));
        listed.map(|entry| entry.seen.clone()).collect()
    }

    /// The committed bytes of those listed. They are few: each is a call that the kernel refused.
    pub(super) fn bytes(&self) -> u64 {
        let entries = self.entries();
        let listed = entries.iter().filter(|entry| !matches!(entry.place, Place::Gone));
        listed.fold(0, |sum, entry| sum.saturating_add(entry.seen.bytes))
    }

    fn take(&self, number: usize) -> Option<(LinearMemory, Charge)> {
        let mut entries = self.entries();
        let place = &mut entries.get_mut(number)?.place;
        match mem::replace(place, Place::Tried) {
            Place::Kept(memory, charge) => Some((memory, charge)),
            other => {
                *place = other;
                None
            }
        }
    }

    fn put_back(&self, number: usize, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries().get_mut(number) {
            change(entry);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

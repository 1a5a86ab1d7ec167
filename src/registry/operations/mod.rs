//! What can be done to memories. One file a kind: `create` (and `birth`), `grow`, `bytes` (read, write,
//! fill), `reads` (several short ones), `group`, `copy`, `protect`, `verify`, `volatility`, `delete`, `let_go`, `describe` (update, keep alive,
//! observe), `wait` (and notify); and of what there is beside memories `partition`, the pools that they
//! live in, `segment`, `set`, `share` and `view`.
//!
//! Law: check everything, then pay, then act, and publish last. Between an operation's first and
//! last effect there is no await but a sliced one's turns, through which it keeps the lock; what needs
//! the kernel's time is a pool job with everything that it needs.

mod birth;
mod bytes;
mod copy;
mod create;
mod delete;
mod describe;
mod group;
mod grow;
mod let_go;
mod moves;
mod partition;
mod protect;
mod reads;
mod segment;
mod set;
mod share;
mod verify;
mod view;
mod volatility;
mod wait;

pub use copy::Part;
pub use delete::Deletion;
pub use describe::PresentationChange;
pub use group::MAX_REMEMBERED;
pub use grow::Grown;
pub use reads::Reads;
pub use verify::VerificationReport;
pub use volatility::PurgeOutcome;
pub use wait::{Expected, Parked, Waited};

use std::time::Duration;

use crate::error::{Failure, printable};
use crate::memory::{AnyMemory, Corruption, Fault, Hand, Protected, Purged, Refused, Undone};
use crate::registry::ledger::Amount;
use crate::registry::lifecycle::{Ended, Lent, NotHad, Why};
use crate::registry::record::Record;

fn not_had(record: &Record, why: NotHad) -> Failure {
    match why {
        NotHad::Ended => record.not_found(),
        NotHad::Failed(failure) => failure,
    }
}

/// Whether the caller's etag, where it holds one, is the memory's, which is made only then.
///
/// # Errors
/// ETAG_MISMATCH.
fn check_etag(wanted: Option<&str>, found: impl FnOnce() -> String) -> Result<(), Failure> {
    let Some(wanted) = wanted else { return Ok(()) };
    let found = found();
    if wanted == found {
        return Ok(());
    }
    Err(Failure::EtagMismatch { wanted: printable(wanted.as_bytes()), found })
}

/// An amount as it is charged for more of this memory.
fn priced(record: &Record, amount: Amount) -> Amount {
    Amount { traits: record.traits(), ..amount }
}

/// What can be done with what a guard lends.
fn hand(lent: Result<Lent<'_, AnyMemory>, Ended>) -> Result<Hand<'_>, Ended> {
    match lent? {
        Lent::Alone(memory) => Ok(memory.hand_alone()),
        // What can only be had alone is lent alone.
        Lent::Among(memory) => memory.hand().ok_or(Ended),
    }
}

/// An access that did not happen, or not as a whole.
fn undone(record: &Record, undone: Undone) -> Failure {
    match undone {
        Undone::Protected(Protected { offset, length, protection }) => {
            record.note_trap();
            Failure::Protected { offset, length, protection }
        }
        Undone::Purged(Purged { offset, length }) => {
            record.note_trap();
            Failure::Purged { offset, length }
        }
        Undone::Fault(fault) => faulted(record, fault),
        Undone::Corrupted(corruption) => corrupted(record, corruption),
        // Growth holds the lock that this access would have had: never seen, and nothing has happened.
        Undone::Moving => Failure::Overloaded {
            limit_name: "growing",
            limit: 1,
            used: None,
            after: Duration::from_millis(10),
        },
    }
}

/// The host failed under an access: its bytes are lost, so nobody sees them again.
fn faulted(record: &Record, fault: Fault) -> Failure {
    record.quarantine(Why::LostBytes);
    tracing::error!(
        memory_id = %record.id, uid = %record.uid, offset = fault.offset, count = fault.count,
        "host fault inside an access; the memory is quarantined"
    );
    Failure::HardwareFault { offset: fault.offset, count: fault.count }
}

/// A page is not what was stored: nobody sees any of it again.
fn corrupted(record: &Record, corruption: Corruption) -> Failure {
    record.quarantine(Why::Corrupted);
    let Corruption { page, range, replica, wanted, found } = corruption;
    tracing::error!(
        memory_id = %record.id, uid = %record.uid, page, offset = range.start(), ?replica,
        wanted, found, "a host page is not what was stored; the memory is quarantined"
    );
    Failure::Corrupted { offset: range.start(), length: range.length().get() }
}

/// The host gave no pages. Its own words are for the operator.
fn refused(refused: &Refused) -> Failure {
    tracing::warn!(error = %refused, "the host refused pages");
    match refused {
        Refused::Host(error) if error.is_for_want_of_files() => Failure::HostExhausted {
            limit_name: "open files",
            remedy: "an operator raises the daemon's RLIMIT_NOFILE; every memory file takes a \
                     descriptor",
        },
        Refused::Host(_) => Failure::HostExhausted {
            limit_name: "mappings or address space",
            remedy: "an operator finds the kernel's words in the log; the sysctl vm.max_map_count \
                     and the process's address space limit are the usual causes",
        },
        Refused::Heap(_) => Failure::HostExhausted {
            limit_name: "heap",
            remedy: "retry with fewer pages, or when other memories were deleted; an operator finds \
                     the heap's words in the log",
        },
        Refused::FixedSlots => Failure::HostExhausted {
            limit_name: "fixed_slots",
            remedy: "retry when a fixed memory was deleted; an operator raises fixed.slots in the config, \
                     which is read at start",
        },
        Refused::HugePages { page_bytes, .. } => {
            Failure::HugePagesExhausted { page_bytes: page_bytes.get() }
        }
        Refused::LockLimit { .. } => Failure::HostExhausted {
            limit_name: "locked bytes (RLIMIT_MEMLOCK)",
            remedy: "an operator raises the daemon's RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=) or \
                     gives it CAP_IPC_LOCK",
        },
        Refused::NotAvailable { .. } => Failure::HostExhausted {
            limit_name: "available memory",
            remedy: "an operator ends what else uses the host's RAM, or sets less aside",
        },
        Refused::NotHere { field, value, why } => {
            Failure::CapabilityUnavailable { field, value: value.clone(), why: (*why).into() }
        }
        Refused::CalledOff => Failure::DeadlinePassed,
    }
}

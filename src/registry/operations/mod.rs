//! What can be done to memories. One file a kind: `create`, `grow`, `bytes` (read, write, fill),
//! `delete`, `describe` (update, keep alive, observe).
//!
//! Law: check everything, then pay, then act, and publish last. Between an operation's first and
//! last effect there is no await but a sliced one's turns, through which it keeps the lock; what needs
//! the kernel's time is a pool job with everything that it needs.

mod bytes;
mod create;
mod delete;
mod describe;
mod grow;

pub use delete::Deletion;
pub use describe::PresentationChange;
pub use grow::Grown;

use crate::error::Failure;
use crate::memory::Fault;
use crate::os::OsError;
use crate::registry::lifecycle::NotHad;
use crate::registry::record::Record;

fn not_had(record: &Record, why: NotHad) -> Failure {
    match why {
        NotHad::Ended => record.not_found(),
        NotHad::Failed(failure) => failure,
    }
}

/// The host failed under an access: its bytes are lost, so nobody sees them again.
fn faulted(record: &Record, fault: Fault) -> Failure {
    record.quarantine("the host lost bytes of it");
    tracing::error!(
        memory_id = %record.id, uid = %record.uid, offset = fault.offset, count = fault.count,
        "host fault inside an access; the memory is quarantined"
    );
    Failure::HardwareFault { offset: fault.offset, count: fault.count }
}

/// The kernel refused. Its own words are for the operator.
fn refused(error: &OsError) -> Failure {
    tracing::warn!(%error, "the kernel refused pages");
    Failure::HostExhausted {
        limit_name: "mappings or address space",
        remedy: "an operator finds the kernel's words in the log; the sysctl vm.max_map_count and \
                 the process's address space limit are the usual causes",
    }
}

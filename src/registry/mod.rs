//! Floor 2: which memories exist. Owns look-up, locking, lifetime and state, the ledger, the work
//! pool, request ids, the lease sweep, quarantined ranges, shares and what is told of all that (events).
//!
//! Law: time comes in as an argument; slow kernel work runs on the pool; what a memory costs is paid
//! before the system call and given back by `Drop`. Does not know tokio, tonic, credentials.
//!
//! Lock order, outermost first: a memory's growth ticket, its body, then any one of the short
//! mutexes (directory shard, name index, what else has a name, a view's state, the views' ends, what is
//! aside in a record, order of ages, request log, quarantine, pool queue, a job's state, a tenant's
//! events, a shard of waiters, a tie, a session's inbox, what was received, a share's life), none of which is held while another is taken, save the shards, in their
//! order, around the name index, the sets' names around both, a shard around a tenant's mounts, these
//! around a share's life, what a tenant gave around what is aside, all of these around the events, these around a shard of
//! waiters and a tie, and, of partitions, what is set aside around the books, and a partition's books
//! around its parent's.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod ages;
mod amount;
mod aside;
mod attachments;
mod by_name;
mod consent;
mod counter;
mod directory;
mod events;
mod found;
mod gate;
#[cfg(all(test, not(linmemd_loom)))]
mod gone_callers_tests;
mod job;
#[cfg(all(test, linmemd_loom))]
mod job_loom;
mod lease;
#[cfg(all(test, not(linmemd_loom)))]
mod lease_tests;
mod ledger;
#[cfg(all(test, not(linmemd_loom)))]
mod ledger_tests;
#[cfg(all(test, not(linmemd_loom)))]
mod lent_tests;
mod lifecycle;
#[cfg(all(test, linmemd_loom))]
mod lifecycle_loom;
mod looks;
mod namespace;
mod operations;
mod overload;
mod packed;
mod partition;
mod pool;
#[cfg(all(test, not(linmemd_loom)))]
mod pool_tests;
mod presentation;
mod quarantine;
mod quota;
mod random;
mod record;
#[cfg(all(test, not(linmemd_loom)))]
mod registry_tests;
mod requests;
mod room;
mod segments;
mod selector;
mod sets;
mod settings;
mod share;
mod state;
mod tie;
mod unwound;
mod views;
mod waiters;
#[cfg(all(test, linmemd_loom))]
mod waiters_loom;
#[cfg(all(test, not(linmemd_loom)))]
mod waiters_tests;

pub use aside::Observation;
pub use attachments::{Attachment, Attachments, Changed};
pub use consent::{Agreement, Asking, Deciders, Wish};
pub use directory::Listing;
pub use events::{
    AHEAD_BYTES, Beginning, Event, EventKind, EventKinds, EventSettings, Events, Happening,
    Present, Seen, ShareStep, Sharing, Unwatchable, Watch,
};
pub use found::Found;
pub use gate::Gate;
pub use ledger::{Account, Amount, Charge, Holding, KINDS, Limits, Payer, Traits};
pub use namespace::{Namespace, NamespaceLimits};
pub use operations::{
    Deletion, Expected, Grown, MAX_REMEMBERED, Parked, Part, PresentationChange, PurgeOutcome,
    Reads, VerificationReport, Waited,
};
pub use overload::{Overload, Step};
pub use partition::{Partition, PartitionFigures, Partitions};
pub use pool::Pool;
pub use presentation::PresentationVersion;
pub use quarantine::QuarantinedRange;
pub use random::random_id;
pub use record::Record;
pub use segments::{MOST_SEGMENTS, Segment};
pub use selector::LabelSelector;
pub use sets::{MOST_MEMBERS, MOST_SETS, Member, MemorySet};
pub use settings::{Registry, Settings};
pub use share::{MOST_MOUNTS, MOST_SHARES, NewShare, Over, Passage, Share, Through};
pub use tie::Tie;
pub use unwound::{Panicked, catch, drop_as_unwound};
pub use views::{DEFAULT_VIEW_TTL, MAX_VIEW_TTL, MIN_VIEW_TTL, MOST_VIEWS, Shown, View};

//! The core under test, below the wire and over it: against a model (`model/`), on a host that
//! refuses (`failing_host.rs`, `failing_slab.rs`, `failing_daemon.rs`, `partitions.rs`), short of
//! memory (`purges.rs`), under many threads (`concurrency.rs`), its accounts (`ledger.rs`), beside its
//! memories (`segments.rs`,
//! `sets.rs`), and on which processors it runs
//! (`pinning.rs`).
//!
//! One binary, because each links the whole daemon. `floors.rs` stands the floors up without a
//! daemon, `served.rs` with one; both over a kernel that can be made to refuse.

mod canary;
mod concurrency;
mod failing_daemon;
mod failing_forms;
mod failing_host;
mod failing_slab;
mod floors;
mod ledger;
mod model;
mod partitions;
mod pinning;
mod purges;
mod segments;
mod served;
mod sets;

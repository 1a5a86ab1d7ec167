//! Floor 5: composition. Builds everything bottom-up from the config, listens, ticks, drains, ends.
//!
//! ```text
//! main ── signals, drain ──┐
//! acceptor ── connections ─┼─> serving 0, serving 1, …   one current-thread runtime a core
//! http ── /metrics …       │
//! tick ── leases, quarantine, limits of the kernel, upkeep of the metrics, files and reloads
//! audit ── who did what, written
//! log ── what was told, written
//! pressure ── volatile ranges purged while the host is short of memory
//! pool-0, pool-1, …           slow kernel work, niced (registry/pool.rs)
//! ```
//!
//! Each keeps to the system calls of its role (`confinement.rs`, `os/confine/roles.rs`): a new thread
//! enters one first, and what a thread newly does of the kernel's is added there.
//!
//! Law: the only floor that sees config and turns it into the plain settings of those below; no
//! thread here ever touches a memory.

mod accept;
mod arena;
mod arrivals;
mod audit;
mod audit_sink;
mod capabilities;
pub mod check;
mod compose;
pub mod config_file;
pub mod confinement;
mod credentials;
pub mod flags;
mod hooks;
mod host_source;
mod http;
mod json;
mod ladder;
mod listeners;
mod log_queue;
pub mod logging;
mod named_files;
mod page;
mod partitions;
mod pinning;
mod pool;
mod presented;
mod pressure;
mod reach;
mod reload;
mod run;
mod runtime;
mod seats;
mod start;
mod start_error;
mod tick;
mod tls;
mod unix_socket;
pub mod verbs;

pub use credentials::CredentialsError;
pub use reload::Source;
pub use run::{Exit, Signals, run};
pub use start::{Addresses, Daemon};
pub use start_error::StartError;
pub use tls::TlsError;

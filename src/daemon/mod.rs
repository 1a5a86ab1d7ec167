//! Floor 5: composition. Builds everything bottom-up from the config, listens, ticks, drains, ends.
//!
//! ```text
//! main ── signals, drain ──┐
//! acceptor ── connections ─┼─> serving 0, serving 1, …   one current-thread runtime a core
//! http ── /metrics …       │
//! tick ── leases, quarantine, limits of the kernel, upkeep of the metrics
//! pressure ── volatile ranges purged while the host is short of memory
//! pool-0, pool-1, …           slow kernel work, niced (registry/pool.rs)
//! ```
//!
//! Law: the only floor that sees config and turns it into the plain settings of those below; no
//! thread here ever touches a memory.

mod accept;
mod arena;
mod arrivals;
mod capabilities;
mod compose;
mod credentials;
pub mod flags;
mod hooks;
mod host_source;
mod http;
mod listeners;
pub mod logging;
mod page;
mod partitions;
mod pinning;
mod pressure;
mod run;
mod start;
mod start_error;
mod tick;
mod tls;
mod unix_socket;
pub mod verbs;

pub use credentials::CredentialsError;
pub use run::{Exit, Signals, run};
pub use start::{Addresses, Daemon};
pub use start_error::StartError;
pub use tls::TlsError;

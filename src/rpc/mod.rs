//! Floor 4: the wire. Owns every tonic type, the identity of a call, conversion and validation, the
//! one error map, streams, deadlines, admission, and each connection's own limits.
//!
//! ```text
//! connection ──> front: which RPC, whose, until when ──> messages: header first ──> service
//!   (preface,      (drain, tenant, handlers, deadline,     (limit, budgets,           (convert,
//!    header, idle,  panic, metrics)                          then bytes)                Access)
//!    drain)                                        reply: one copy, trailers <────────────┘
//! ```
//!
//! The server's side of gRPC's framing is here and not generated: a message's length is judged
//! before a byte of it is buffered, deadlines cover streams and have a reason, and a reply is copied
//! once. Health and reflection are tonic's own. Law: every failure of a handler becomes a status in
//! `status.rs`; nothing here knows config or the operating system.

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

mod admin_service;
mod admission;
mod allowance;
mod audit;
mod audit_queue;
mod authorization;
mod call;
mod capability;
mod carrier;
mod clock;
mod connection;
mod convert;
mod creation;
mod deadline;
mod deciding;
mod denials;
mod described;
mod details;
mod drip;
mod event_service;
mod foreign;
mod form;
mod front;
mod gathered;
mod hook_service;
mod host;
mod lapse;
mod manners;
mod memory_service;
mod message;
mod method;
mod misshapen;
mod moderation;
mod newcomer;
mod observe;
mod operations;
mod pace;
mod partition_service;
mod party;
mod places;
mod polls;
mod reload;
mod reply;
mod seats;
mod segment_service;
mod server;
mod server_info;
mod session;
mod set_service;
mod share_service;
mod spec;
mod status;
mod task;
mod tenant_service;
mod transfer;
mod turns;
#[cfg(all(test, not(linmemd_loom)))]
mod turns_tests;
mod unfolding;
mod untaken;
mod until;
mod verdicts;
mod verify;
mod view_service;
mod waits;
mod whereabouts;
mod wire;

pub use audit::{AuditEntry, Deed, Subject};
pub use audit_queue::{Audit, AuditLine, AuditQueue};
pub use capability::Capability;
pub use clock::ServingClock;
pub use connection::{ConnectionLimits, serve};
pub use denials::Untold;
pub use host::{
    Fallback, HostLimit, HostSource, HostView, HugePagePool, Listener, Measure, NumaNode,
};
pub use moderation::SetMark;
pub use newcomer::Newcomer;
pub use places::{Crowded, MostConnections, Origin, Place};
pub use reload::{ConfigChange, ReloadWish, Reloaded, Reloads};
pub use server::{Limits, Phase, Server};
pub use status::DOMAIN;
pub use turns::give_turns;
pub use whereabouts::Whereabouts;

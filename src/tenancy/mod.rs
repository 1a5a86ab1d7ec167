//! Floor 3: who may do what. Owns tenants, what each may hold in flight, and [`Access`], the
//! authenticated caller's only door down.
//!
//! Law: whoever has an [`Access`] has been recognised, and can reach one tenant's memories and no
//! other's. Does not know tonic.

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

mod access;
mod budget;
mod bytes;
mod each_memory;
mod events;
mod folded;
mod groups;
mod hooks;
mod identity;
mod partitions;
mod rate;
mod rates;
mod rights;
mod roles;
mod segments;
mod sets;
mod sharing;
mod stats;
mod table;
mod tenant;
mod tenants;
mod verify;
mod views;
mod volatility;
mod waits;

pub use access::{Access, Occasion, Target};
pub use budget::Budget;
pub use each_memory::EachMemory;
pub use hooks::{
    Clock, DEFAULT_ANSWER_TIMEOUT, Decider, FailurePolicy, GrowPolicy, HookSpec, HookView, Hooks,
    MAX_ANSWER_TIMEOUT, MAX_HOOK_STREAMS, MAX_HOOKS, MIN_ANSWER_TIMEOUT, Moment, Saying,
};
pub use identity::{
    Certificate, Credential, Denied, Grant, Identities, Identity, Issuer, IssuerSettings,
    JwtAlgorithm, KeySetError, Mapping, Peer, Standing, TwiceMapped, Unasked, Withdrawal,
};
pub use rate::RateLimit;
pub use rates::{RateLimits, Rates};
pub use roles::{Need, Role, Roles};
pub use segments::SegmentPart;
pub use table::{Misfit, Wanted};
pub use tenant::{Tenant, TenantLimits};
pub use tenants::{Listed, Shown, Tenants};

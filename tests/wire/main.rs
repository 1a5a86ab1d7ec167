//! The daemon over the wire: every failure of the contract, its promises, its limits, the transport
//! and the drain, against daemons in this process and, where a process is the point, beside it.
//!
//! Law: one harness starts and stops every daemon; tests are named as claims and wait for
//! conditions, never for time. What needs no wire is tested beside its code.

mod allocators;
mod audit;
mod authorization;
mod bounds;
mod closed_tenants;
mod contract;
mod copies;
mod deadlines;
mod deciders;
mod discards;
mod events;
mod faults;
mod fields;
mod forms;
mod frames;
mod groups;
mod growth_rules;
mod grpc;
mod harness;
mod hooks;
mod hostile;
mod identities;
mod instructions;
mod kernel;
mod lapses;
mod leases;
mod limits;
mod lists;
mod moderation;
mod numbers;
mod operators;
mod parked;
mod partitions;
mod poison;
mod process;
mod promises;
mod protections;
mod reloads;
mod request_ids;
mod segments;
mod session_ends;
mod session_waits;
mod sessions;
mod sets;
mod share_costs;
mod share_ends;
mod share_holders;
mod shares;
mod sighup;
mod slow_peers;
mod specs;
mod stats;
mod tenants;
mod transport;
mod uploads;
mod verification;
mod views;
mod volatility;
mod waits;
mod watches;

//! Generated code of `proto/`: messages and client stubs. Used by `rpc/` and `client/` only.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

/// Package `linmem.v1`.
pub mod v1 {
    tonic::include_proto!("linmem.v1");
}

/// The descriptors of every file of `proto/` and those it imports, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/linmem.bin"));

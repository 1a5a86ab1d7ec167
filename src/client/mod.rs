//! The typed Rust client of `linmem.v1`, shared by `linmemctl`, the tests and the benches.
//!
//! Its law: a caller sees a resource or a [`ClientError`], never a bare gRPC status; a call is
//! repeated only where the contract says that a repeat is safe. It holds no cache and no state of
//! any memory. One file per concern:
//!
//! ```text
//! endpoint  where the daemon is        calls     one method per RPC (groups, partitions, segments, sets,
//!                                      shares, views, waits: of these)
//! connect   options, channels, Client  upload    a client stream, checked by CRC-32C
//! hooks     who decides about growth
//! error     what can go wrong          download  a server stream, checked and resumed
//! pages     a list, page by page
//! retry     when to try again          service_config  the same, for stock gRPC clients
//! events    a watch that comes back    operators the host, the tenants, drain, reload
//! ```

mod calls;
mod connect;
mod download;
mod endpoint;
mod error;
mod events;
mod groups;
mod hooks;
mod operators;
mod pages;
mod partitions;
mod retry;
mod segments;
mod service_config;
mod session;
mod sets;
mod shares;
mod stats;
mod upload;
mod views;
mod waits;

pub use crate::checksum::{crc32c, crc32c_append};
pub use crate::proto::v1 as proto;
pub use crate::token::{Token, TokenHash};
pub use connect::{BearerToken, Client, ConnectOptions, TENANT_METADATA, TlsOptions};
pub use download::{Download, Downloaded};
pub use endpoint::{DEFAULT_ENDPOINT, DEFAULT_PORT, Endpoint, EndpointError};
pub use error::{ClientError, Failure, FieldViolation, Retry, code_name};
pub use events::{EventItem, EventStream, Watch};
pub use hooks::{Answers, Decider, Heard, Verdict};
pub use retry::RetryPolicy;
pub use service_config::SERVICE_CONFIG;
pub use session::{Attached, Session};
pub use upload::{DEFAULT_CHUNK_BYTES, Upload, Uploaded};

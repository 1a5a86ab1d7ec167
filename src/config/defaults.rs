//! Owns every default of the daemon's configuration as a named constant. A default is written here
//! once; `sections.rs` builds with it and `config/linmemd.toml` is tested against it. It judges
//! nothing: bounds are in `keys.rs`.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use crate::config::LogFormat;

/// 1,024 bytes.
pub const KIB: u64 = 1 << 10;
/// 1,048,576 bytes.
pub const MIB: u64 = 1 << 20;
/// 2^30 bytes.
pub const GIB: u64 = 1 << 30;
/// 2^40 bytes.
pub const TIB: u64 = 1 << 40;
/// One WebAssembly page, 64 KiB, in bytes.
pub const PAGE_BYTES: u64 = 64 * KIB;

/// `grpc.listen`: loopback, so that nobody elsewhere reaches a daemon that asks for no credentials.
pub const GRPC_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7420));
/// `grpc.max_connections`, connections.
pub const MAX_CONNECTIONS: u32 = 10_000;
/// `grpc.max_connections_per_address`, connections: a quarter of all.
pub const MAX_CONNECTIONS_PER_ADDRESS: u32 = 2_500;
/// `grpc.streams_per_connection`, streams.
pub const STREAMS_PER_CONNECTION: u32 = 256;
/// `grpc.tls_timeout`.
pub const TLS_TIMEOUT: Duration = Duration::from_secs(5);
/// `tls.max_connection_age`.
pub const CERTIFICATE_AGE: Duration = Duration::from_secs(60 * 60);
/// `tls.reload_interval`.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(60);
/// `grpc.preface_timeout`.
pub const PREFACE_TIMEOUT: Duration = Duration::from_secs(5);
/// `grpc.header_timeout`.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// `grpc.message_timeout`.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// `grpc.idle_timeout`.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// `grpc.keepalive_interval`.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// `grpc.keepalive_timeout`.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// `grpc.max_deadline`.
pub const MAX_DEADLINE: Duration = Duration::from_secs(60 * 60);
/// `grpc.handlers_per_tenant`, running handlers.
pub const HANDLERS_PER_TENANT: u32 = 1_024;
/// `grpc.waiters_per_tenant`, parked calls.
pub const WAITERS_PER_TENANT: u32 = 65_536;
/// `grpc.sessions_per_tenant`, open sessions.
pub const SESSIONS_PER_TENANT: u32 = 1_024;
/// `grpc.stall_timeout`.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// `grpc.in_flight_bytes`, bytes.
pub const IN_FLIGHT_BYTES: u64 = 256 * MIB;
/// `grpc.in_flight_bytes_per_tenant`, bytes.
pub const IN_FLIGHT_BYTES_PER_TENANT: u64 = 64 * MIB;
/// `grpc.max_read_bytes`, bytes: with its framing it stays below a stock client's 4 MiB limit.
pub const MAX_READ_BYTES: u64 = 63 * PAGE_BYTES;
/// `grpc.max_write_bytes`, bytes: as [`MAX_READ_BYTES`], the other way round.
pub const MAX_WRITE_BYTES: u64 = 63 * PAGE_BYTES;
/// `grpc.max_header_list_bytes`, bytes.
pub const MAX_HEADER_LIST_BYTES: u64 = 16 * KIB;

/// `http.listen`: loopback, as [`GRPC_LISTEN`].
pub const HTTP_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9420));

/// `memory.default_maximum_pages`, pages of 64 KiB.
pub const DEFAULT_MAXIMUM_PAGES: u64 = 4_096;
/// `memory.overcommit`, a factor.
pub const OVERCOMMIT: f64 = 1.0;
/// `memory.reserved_bytes`, bytes of address space.
pub const RESERVED_BYTES: u64 = 64 * TIB;
/// `memory.reserved_bytes_per_tenant`, bytes of address space.
pub const RESERVED_BYTES_PER_TENANT: u64 = 16 * TIB;
/// `memory.mapping_margin`, mappings.
pub const MAPPING_MARGIN: u32 = 4_096;
/// `memory.max_queued_grows`, growths.
pub const MAX_QUEUED_GROWS: u32 = 16;
/// `memory.purge_at`, a share: anonymous memory without swap goes from the limit to the kernel's killer
/// at once, so that a tenth has to do while a purge is under way.
pub const PURGE_AT: f64 = 0.9;
/// `memory.pressure_interval`.
pub const PRESSURE_INTERVAL: Duration = Duration::from_secs(1);

/// `fixed.slot_pages`, pages.
pub const SLOT_PAGES: u64 = 16;

/// `requests.window`.
pub const REQUEST_WINDOW: Duration = Duration::from_secs(10 * 60);
/// `requests.per_tenant`, request ids.
pub const REQUESTS_PER_TENANT: u32 = 65_536;

/// `lease.sweep_interval`.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// `events.ring`, events: about 1 MiB a tenant when full.
pub const EVENT_RING: u32 = 4_096;
/// `events.progress_interval`.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// `pool.nice`, niceness: serving threads, at 0, go first.
pub const POOL_NICE: i32 = 10;
/// `pool.inline_bytes`, bytes.
pub const INLINE_BYTES: u64 = 256 * KIB;
/// `pool.slice_bytes`, bytes: about 0.4 ms of fresh pages, 0.1 ms of resident ones.
pub const SLICE_BYTES: u64 = MIB;

/// `metrics.each_memory_cap`, memories.
pub const EACH_MEMORY_CAP: u32 = 1_000;
/// `metrics.tenants_cap`, tenants.
pub const TENANTS_CAP: u32 = 1_000;

/// `audit.queue`, entries: a few megabytes of them.
pub const AUDIT_QUEUE: u32 = 8_192;

/// `log.format`.
pub const LOG_FORMAT: LogFormat = LogFormat::Text;
/// `log.filter`.
pub const LOG_FILTER: &str = "info";

/// `drain.limit`.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// The one tenant of a configuration that names none.
pub const TENANT_NAME: &str = "default";

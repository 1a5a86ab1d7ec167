//! Owns the result: one plain struct per section of the file, typed, with its defaults. Whoever
//! holds a `Config` that `load` gave may take every value as checked. No parsing and no bounds
//! here (`kinds.rs`, `keys.rs`), and no floor below `daemon/` sees these types.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::confinement::Confinement;
use crate::config::growth::{GrowPolicy, Hook};
use crate::config::identities::{Identity, JwtIssuer, Tls};
use crate::config::logs::{Audit, Log};
use crate::config::partitions::Partition;
use crate::config::quota::Quota;
use crate::config::{TenantState, defaults};

/// The daemon's whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The gRPC listener and what one caller may hold of it.
    pub grpc: Grpc,
    /// The HTTP listener: `/metrics`, `/healthz`, `/readyz`.
    pub http: Http,
    /// Whom the daemon shows itself to.
    pub tls: Tls,
    /// What the host gives to linear memories.
    pub memory: Memory,
    /// The arena of fixed memories.
    pub fixed: Fixed,
    /// How long a `request_id` is remembered.
    pub requests: Requests,
    /// The sweep of leases and quarantine.
    pub lease: Lease,
    /// What is kept and told of what happens to memories.
    pub events: Events,
    /// The threads that do long and slow work.
    pub pool: Pool,
    /// What the metrics page shows.
    pub metrics: Metrics,
    /// Log lines.
    pub log: Log,
    /// Who did what.
    pub audit: Audit,
    /// The way out.
    pub drain: Drain,
    /// What is given up of the host before anything is served.
    pub confinement: Confinement,
    /// Who may own memories. Never empty. Default: one tenant, `default`.
    pub tenants: Vec<Tenant>,
    /// Pools of the host budget, made at start. Default: none.
    pub partitions: Vec<Partition>,
    /// What each tenant may have that does not say otherwise.
    pub quota: Quota,
    /// How tenants' memories may grow.
    pub grow_policy: GrowPolicy,
    /// Who is asked before they do, made at start. Default: none.
    pub hooks: Vec<Hook>,
    /// Who may call. Default: none, and nobody is asked.
    pub identities: Vec<Identity>,
    /// Who signs tokens for callers. Default: none.
    pub jwt_issuers: Vec<JwtIssuer>,
}

/// `[grpc]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Grpc {
    /// Address and port; port 0 lets the kernel pick. Default: `127.0.0.1:7420`.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that is not loopback though no credentials are asked.
    /// Default: false.
    pub allow_anonymous: bool,
    /// Whether `listen` may be an address that is not loopback though no TLS is spoken.
    /// Default: false.
    pub allow_plaintext: bool,
    /// Path of a Unix socket served as well; absolute. Default: none.
    pub unix_socket: Option<PathBuf>,
    /// Connections at a time, in all. Default: 10,000.
    pub max_connections: u32,
    /// Connections at a time from one address; none: no limit. Default: 2,500.
    pub max_connections_per_address: Option<u32>,
    /// Connections at a time that have called for one tenant. Default: none, no limit.
    pub max_connections_per_tenant: Option<u32>,
    /// HTTP/2 streams open at a time on one connection. Default: 256.
    pub streams_per_connection: u32,
    /// From accept to the end of the TLS handshake. Default: 5 s.
    pub tls_timeout: Duration,
    /// From accept to the end of the HTTP/2 preface. Default: 5 s.
    pub preface_timeout: Duration,
    /// From the first byte of a call's headers to their last. Default: 5 s.
    pub header_timeout: Duration,
    /// From a message's first byte to its last, beside a second for 64 KiB. Default: 30 s.
    pub message_timeout: Duration,
    /// A connection without a stream for this long is closed. Default: 5 min.
    pub idle_timeout: Duration,
    /// Between HTTP/2 pings of the daemon's. Default: 30 s.
    pub keepalive_interval: Duration,
    /// A ping unanswered for this long ends the connection. Default: 20 s.
    pub keepalive_timeout: Duration,
    /// The longest deadline of a call; a longer one is cut to it. Default: 1 h.
    pub max_deadline: Duration,
    /// Handlers running at a time for one tenant. Default: 1,024.
    pub handlers_per_tenant: u32,
    /// Calls parked in `WaitOnAddress` at a time for one tenant. Default: 65,536.
    pub waiters_per_tenant: u32,
    /// Sessions open at a time for one tenant. Default: 1,024.
    pub sessions_per_tenant: u32,
    /// A call whose client takes nothing of its reply for this long is ended. Default: 30 s.
    pub stall_timeout: Duration,
    /// Bytes of messages held at a time, in all. Default: 256 MiB.
    pub in_flight_bytes: u64,
    /// Bytes of messages held at a time for one tenant. Default: 64 MiB.
    pub in_flight_bytes_per_tenant: u64,
    /// Longest `ReadMemory`, bytes. Default: 63 pages (4,032 KiB).
    pub max_read_bytes: u64,
    /// Longest `WriteMemory`, bytes. Default: 63 pages (4,032 KiB).
    pub max_write_bytes: u64,
    /// Largest header list of a call, bytes. Default: 16 KiB.
    pub max_header_list_bytes: u64,
    /// Serving runtimes, one thread each. Default: none, which is one a core, each kept on its own.
    pub runtimes: Option<u32>,
    /// NUMA nodes that they run on, in turn. Default: none, which leaves those that are counted to the
    /// kernel.
    pub numa_nodes: Vec<u32>,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// Address and port; port 0 lets the kernel pick. Default: `127.0.0.1:9420`.
    pub listen: SocketAddr,
    /// As `grpc.allow_anonymous`, for this listener. Default: false.
    pub allow_anonymous: bool,
    /// As `grpc.allow_plaintext`, for this listener. Default: false.
    pub allow_plaintext: bool,
    /// Whether TLS is spoken here, with the certificate of `[tls]`. Default: false.
    pub tls: bool,
    /// Names accepted in `Host`, without port. Default: empty, which is loopback names on a
    /// loopback address and any name elsewhere.
    pub allowed_hosts: Vec<String>,
}

/// `[memory]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Maximum of a memory created without one, pages of 64 KiB. Default: 4,096.
    pub default_maximum_pages: u64,
    /// Bytes that all memories may have committed. Default: none, which is 80 % of the smallest
    /// limit found.
    pub host_budget: Option<u64>,
    /// Factor on the host budget. Default: 1.0.
    pub overcommit: f64,
    /// Address space of all memories, bytes. Default: 64 TiB.
    pub reserved_bytes: u64,
    /// Address space of one tenant's memories, bytes. Default: 16 TiB.
    pub reserved_bytes_per_tenant: u64,
    /// Mappings kept free below `vm.max_map_count`. Default: 4,096.
    pub mapping_margin: u32,
    /// Whether small memories share mappings. Default: true.
    pub slabs: bool,
    /// Growths of one memory that may queue behind the pending one. Default: 16.
    pub max_queued_grows: u32,
    /// The share of a limit from which on volatile ranges are purged; none: never. Default: 0.9.
    pub purge_at: Option<f64>,
    /// The longest time between two looks for want of memory. Default: 1 s.
    pub pressure_interval: Duration,
}

/// `[fixed]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixed {
    /// Slots, each for one memory; 0 is no arena. Default: 0.
    pub slots: u32,
    /// Pages of 64 KiB of each. Default: 16.
    pub slot_pages: u64,
}

/// `[requests]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Requests {
    /// How long a success is remembered for its `request_id`. Default: 10 min.
    pub window: Duration,
    /// How many request ids of one tenant are remembered. Default: 65,536.
    pub per_tenant: u32,
}

/// `[lease]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// Between two looks at expired leases and quarantined ranges. Default: 1 s.
    pub sweep_interval: Duration,
}

/// `[events]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// How many of one tenant are kept, at most. Default: 4,096.
    pub ring: u32,
    /// Between two messages of a watch that say how far it is. Default: 10 s.
    pub progress_interval: Duration,
}

/// `[pool]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Threads. Default: none, which is one a core.
    pub threads: Option<u32>,
    /// Niceness of those threads, 0 to 19. Default: 10.
    pub nice: i32,
    /// NUMA nodes that they run on, in turn. Default: none, which is wherever the kernel puts them.
    pub numa_nodes: Vec<u32>,
    /// Largest operation that a serving thread does itself, bytes. Default: 256 KiB.
    pub inline_bytes: u64,
    /// What a pool thread does of a long operation before it serves another tenant, bytes.
    /// Default: 1 MiB.
    pub slice_bytes: u64,
}

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Whether each memory has series of its own. Default: false.
    pub each_memory: bool,
    /// Memories that may have series of their own. Default: 1,000.
    pub each_memory_cap: u32,
    /// Tenants that may have a label of their own; later ones are `_other`. Default: 1,000.
    pub tenants_cap: u32,
}

/// `[drain]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Drain {
    /// From the drain's begin to the exit that cuts off what still runs. Default: 10 s.
    pub limit: Duration,
}

/// One `[[tenant]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its name, `[A-Za-z0-9][A-Za-z0-9._:-]{0,127}`, unique. No default.
    pub name: String,
    /// Bytes that it may be charged. Default: none, which is `quota.bytes`.
    pub quota_bytes: Option<u64>,
    /// Memories at a time. Default: none, which is `quota.memories`.
    pub memories: Option<u32>,
    /// Largest maximum of one memory, pages of 64 KiB. Default: none, which is no cap of its own.
    pub maximum_pages: Option<u64>,
    /// Address space, bytes. Default: none, which is `memory.reserved_bytes_per_tenant`.
    pub reserved_bytes: Option<u64>,
    /// Mappings at a time. Default: none, which is `quota.mappings`.
    pub mappings: Option<u32>,
    /// Whether anybody may call as it. Default: active.
    pub state: TenantState,
    /// What else it may have. Default: as `[quota]` and `[grpc]` say.
    pub quota: Quota,
    /// How its memories may grow. Default: as `[grow_policy]` says.
    pub grow_policy: GrowPolicy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grpc: Grpc {
                listen: defaults::GRPC_LISTEN,
                allow_anonymous: false,
                allow_plaintext: false,
                unix_socket: None,
                max_connections: defaults::MAX_CONNECTIONS,
                max_connections_per_address: Some(defaults::MAX_CONNECTIONS_PER_ADDRESS),
                max_connections_per_tenant: None,
                streams_per_connection: defaults::STREAMS_PER_CONNECTION,
                tls_timeout: defaults::TLS_TIMEOUT,
                preface_timeout: defaults::PREFACE_TIMEOUT,
                header_timeout: defaults::HEADER_TIMEOUT,
                message_timeout: defaults::MESSAGE_TIMEOUT,
                idle_timeout: defaults::IDLE_TIMEOUT,
                keepalive_interval: defaults::KEEPALIVE_INTERVAL,
                keepalive_timeout: defaults::KEEPALIVE_TIMEOUT,
                max_deadline: defaults::MAX_DEADLINE,
                handlers_per_tenant: defaults::HANDLERS_PER_TENANT,
                waiters_per_tenant: defaults::WAITERS_PER_TENANT,
                sessions_per_tenant: defaults::SESSIONS_PER_TENANT,
                stall_timeout: defaults::STALL_TIMEOUT,
                in_flight_bytes: defaults::IN_FLIGHT_BYTES,
                in_flight_bytes_per_tenant: defaults::IN_FLIGHT_BYTES_PER_TENANT,
                max_read_bytes: defaults::MAX_READ_BYTES,
                max_write_bytes: defaults::MAX_WRITE_BYTES,
                max_header_list_bytes: defaults::MAX_HEADER_LIST_BYTES,
                runtimes: None,
                numa_nodes: Vec::new(),
            },
            http: Http {
                listen: defaults::HTTP_LISTEN,
                allow_anonymous: false,
                allow_plaintext: false,
                tls: false,
                allowed_hosts: Vec::new(),
            },
            tls: Tls::default(),
            memory: Memory {
                default_maximum_pages: defaults::DEFAULT_MAXIMUM_PAGES,
                host_budget: None,
                overcommit: defaults::OVERCOMMIT,
                reserved_bytes: defaults::RESERVED_BYTES,
                reserved_bytes_per_tenant: defaults::RESERVED_BYTES_PER_TENANT,
                mapping_margin: defaults::MAPPING_MARGIN,
                slabs: true,
                max_queued_grows: defaults::MAX_QUEUED_GROWS,
                purge_at: Some(defaults::PURGE_AT),
                pressure_interval: defaults::PRESSURE_INTERVAL,
            },
            fixed: Fixed { slots: 0, slot_pages: defaults::SLOT_PAGES },
            requests: Requests {
                window: defaults::REQUEST_WINDOW,
                per_tenant: defaults::REQUESTS_PER_TENANT,
            },
            lease: Lease { sweep_interval: defaults::SWEEP_INTERVAL },
            events: Events {
                ring: defaults::EVENT_RING,
                progress_interval: defaults::PROGRESS_INTERVAL,
            },
            pool: Pool {
                threads: None,
                nice: defaults::POOL_NICE,
                numa_nodes: Vec::new(),
                inline_bytes: defaults::INLINE_BYTES,
                slice_bytes: defaults::SLICE_BYTES,
            },
            metrics: Metrics {
                each_memory: false,
                each_memory_cap: defaults::EACH_MEMORY_CAP,
                tenants_cap: defaults::TENANTS_CAP,
            },
            log: Log::default(),
            drain: Drain { limit: defaults::DRAIN_LIMIT },
            audit: Audit::default(),
            confinement: Confinement::default(),
            tenants: vec![Tenant::named(defaults::TENANT_NAME)],
            partitions: Vec::new(),
            quota: Quota::default(),
            grow_policy: GrowPolicy::default(),
            hooks: Vec::new(),
            identities: Vec::new(),
            jwt_issuers: Vec::new(),
        }
    }
}

impl Tenant {
    /// A tenant without limits of its own. The name is not checked.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            quota_bytes: None,
            memories: None,
            maximum_pages: None,
            reserved_bytes: None,
            mappings: None,
            state: TenantState::Active,
            quota: Quota::default(),
            grow_policy: GrowPolicy::default(),
        }
    }
}

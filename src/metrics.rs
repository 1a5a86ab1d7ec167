//! Every metric family: name, kind, help, labels, buckets. Handles are made once and kept.
//!
//! Law: a family exists only here, and only if something moves it; names and label values are
//! closed lists (gRPC methods and codes, reasons, operations, tenants up to a cap). What is pushed
//! is an atomic add through a kept handle; what can be read elsewhere (occupancy, quotas) is read at
//! the scrape. Does not serve the page (`daemon/http.rs`) and walks no memories.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString,
};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// The label of tenants past the cap.
pub const OTHER_TENANTS: &str = "_other";
/// The label of methods that do not exist.
pub const UNKNOWN_METHOD: &str = "_unknown";
/// The content type of the text exposition format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// 50 µs, where a unary call on loopback begins to be slow, to 10 s, the default drain limit.
const SECONDS: [f64; 14] =
    [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 2.0, 10.0];

/// gRPC's codes in order of number.
pub const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

macro_rules! families {
    ($($constant:ident $kind:ident $name:literal $help:literal)*) => {
        $(const $constant: &str = concat!("linmemd_", $name);)*
        /// Every family that the recorder keeps.
        const FAMILIES: &[(&str, Kind, &str)] = &[$(($constant, Kind::$kind, $help)),*];
    };
}

families! {
    TENANT_MEMORIES Gauge "tenant_memories" "Memories of the tenant."
    TENANT_SIZE_BYTES Gauge "tenant_size_bytes" "Sum of the sizes of the tenant's memories."
    TENANT_PEAK_BYTES Gauge "tenant_peak_bytes" "Largest that sum has been since the start."
    ACCESSES_TOTAL Counter "accesses_total" "Contiguous ranges accessed with success."
    ACCESS_BYTES_TOTAL Counter "access_bytes_total" "Bytes of those ranges."
    TRAPS_TOTAL Counter "traps_total" "Accesses refused for their range, by the failure's reason."
    GROWS_TOTAL Counter "grows_total" "Growths by one page or more, by outcome."
    QUOTA_LIMIT Gauge "quota_limit" "What the tenant may hold; the unit is in the resource's name."
    QUOTA_USED Gauge "quota_used" "What the tenant holds; the unit is in the resource's name."
    RPC_REQUESTS_TOTAL Counter "rpc_requests_total" "Calls answered, by method and gRPC code."
    RPC_DURATION_SECONDS Histogram "rpc_duration_seconds" "Time from a unary call's headers to its answer."
    RPC_IN_FLIGHT Gauge "rpc_in_flight" "Calls being served."
    STREAMS_OPEN Gauge "streams_open" "Streaming calls being served."
    STREAM_MESSAGES_TOTAL Counter "stream_messages_total" "Messages of streaming calls."
    CONNECTIONS Gauge "connections" "gRPC connections."
    IN_FLIGHT_BYTES Gauge "in_flight_bytes" "Request and reply bytes held for calls."
    CALLS_SHED_TOTAL Counter "calls_shed_total" "Calls and connections refused for want of room, by limit."
    QUARANTINED_MEMORIES Gauge "quarantined_memories" "Memories that answer QUARANTINED."
    QUARANTINED_BYTES Gauge "quarantined_bytes" "Committed bytes of ranges that could not be wiped or given back."
    PLACEMENT_FALLBACKS_TOTAL Counter "placement_fallbacks_total" "Lesser forms taken at start or per mapping."
    HUGE_PAGES_FREE Gauge "huge_pages_free" "Free huge pages of the host's pools."
    NUMA_NODE_FREE_BYTES Gauge "numa_node_free_bytes" "Free RAM of the node."
    VMAS Gauge "vmas" "Mappings charged to memories and those of the daemon itself at start."
    VMAS_LIMIT Gauge "vmas_limit" "The kernel's limit on mappings, vm.max_map_count."
    INSECURE_LISTENERS Gauge "insecure_listeners" "Listeners beyond this host that ask for no credentials."
    TENANTS_FOLDED Gauge "tenants_folded" "Tenants past the cap, whose label is _other."
    DRAINING Gauge "draining" "1 once a drain has begun."
    PANICS_TOTAL Counter "panics_total" "Panics caught since the start."
    BUILD_INFO Gauge "build_info" "1; the release is in the label."
    EACH_DROPPED_TOTAL Counter "each_memory_series_dropped_total" "Memories without a series of their own because the cap was reached."
}

/// The process collector's families, under the names that every Prometheus user knows.
const PROCESS: &[(&str, Kind, &str)] = &[
    ("process_cpu_seconds_total", Kind::Counter, "User and system CPU time of the process."),
    ("process_resident_memory_bytes", Kind::Gauge, "Resident memory of the process."),
    ("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory of the process."),
    ("process_open_fds", Kind::Gauge, "Open file descriptors."),
    ("process_max_fds", Kind::Gauge, "The limit on open file descriptors."),
    ("process_start_time_seconds", Kind::Gauge, "Start of the process, since the epoch."),
    ("process_threads", Kind::Gauge, "Threads of the process."),
];

/// Families of each memory; see `tenancy/each_memory.rs`, which keeps them.
pub const EACH_MEMORY: [(&str, &str, &str); 3] = [
    ("linmemd_each_memory_size_bytes", "gauge", "Size of the memory."),
    ("linmemd_each_memory_peak_bytes", "gauge", "Largest size of the memory."),
    (
        "linmemd_each_memory_accesses_total",
        "counter",
        "Ranges of the memory accessed with success.",
    ),
];

/// One daemon's metrics.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics of its own, installed nowhere.
    #[must_use]
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        let buckets = Matcher::Full(RPC_DURATION_SECONDS.to_owned());
        // Refused only for an empty list of buckets, which this is not; then summaries would show.
        let builder = builder
            .set_buckets_for_metric(buckets, &SECONDS)
            .unwrap_or_else(|_empty| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        for (name, kind, help) in FAMILIES.iter().chain(PROCESS) {
            let (name, help) = (KeyName::from(*name), SharedString::const_str(help));
            match kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram => recorder.describe_histogram(name, None, help),
            }
        }
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// The page, in the text exposition format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves what histograms have buffered into their buckets. To be called every few seconds.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The handles of one tenant.
    #[must_use]
    pub fn tenant(&self, label: &str) -> TenantMeters {
        let of = |operation| OperationMeters {
            accesses: self.counter(ACCESSES_TOTAL, &[("tenant", label), ("operation", operation)]),
            bytes: self.counter(ACCESS_BYTES_TOTAL, &[("tenant", label), ("operation", operation)]),
        };
        let gauge = |name| self.gauge(name, &[("tenant", label)]);
        let quota = |resource| {
            let labels = [("tenant", label), ("resource", resource)];
            (self.gauge(QUOTA_LIMIT, &labels), self.gauge(QUOTA_USED, &labels))
        };
        TenantMeters {
            read: of("read"),
            write: of("write"),
            fill: of("fill"),
            upload: of("upload"),
            download: of("download"),
            traps: self.counter(TRAPS_TOTAL, &[("tenant", label), ("reason", "OUT_OF_BOUNDS")]),
            grows: GrowOutcome::ALL.map(|outcome| {
                self.counter(GROWS_TOTAL, &[("tenant", label), ("outcome", outcome.word())])
            }),
            memories: gauge(TENANT_MEMORIES),
            size_bytes: gauge(TENANT_SIZE_BYTES),
            peak_bytes: gauge(TENANT_PEAK_BYTES),
            quotas: QUOTAS.map(quota),
        }
    }

    /// The handles of one gRPC method.
    #[must_use]
    pub fn rpc(self: &Arc<Self>, method: &'static str) -> RpcMeters {
        RpcMeters {
            metrics: Arc::clone(self),
            method,
            codes: std::array::from_fn(|_| OnceLock::new()),
            duration: self.histogram(RPC_DURATION_SECONDS, method),
            received: OnceLock::new(),
            sent: OnceLock::new(),
        }
    }

    /// The handles that are set at each scrape.
    #[must_use]
    pub fn daemon(&self) -> DaemonMeters {
        let gauge = |name| self.gauge(name, &[]);
        DaemonMeters {
            rpc_in_flight: gauge(RPC_IN_FLIGHT),
            connections: gauge(CONNECTIONS),
            in_flight_bytes: gauge(IN_FLIGHT_BYTES),
            quarantined_memories: gauge(QUARANTINED_MEMORIES),
            quarantined_bytes: gauge(QUARANTINED_BYTES),
            vmas: gauge(VMAS),
            vmas_limit: gauge(VMAS_LIMIT),
            insecure_listeners: gauge(INSECURE_LISTENERS),
            tenants_folded: gauge(TENANTS_FOLDED),
            draining: gauge(DRAINING),
            panics: self.counter(PANICS_TOTAL, &[]),
            each_dropped: self.counter(EACH_DROPPED_TOTAL, &[]),
        }
    }

    /// Says which release this is.
    pub fn set_build_info(&self, version: &'static str) {
        self.gauge(BUILD_INFO, &[("version", version)]).set(1.0);
    }

    /// Streaming calls of a method being served.
    pub fn set_streams_open(&self, method: &'static str, open: u64) {
        self.gauge(STREAMS_OPEN, &[("method", method)]).set(float(open));
    }

    /// Calls or connections refused for want of room.
    pub fn calls_shed(&self, limit_name: &'static str) -> Counter {
        self.counter(CALLS_SHED_TOTAL, &[("step", limit_name)])
    }

    /// A lesser form that was taken.
    pub fn set_fallbacks(&self, kind: &'static str, count: u64) {
        self.counter(PLACEMENT_FALLBACKS_TOTAL, &[("kind", kind)]).absolute(count);
    }

    /// Free pages of a pool of huge pages.
    pub fn set_huge_pages_free(&self, page_bytes: u64, free: u64) {
        let page_bytes = page_bytes.to_string();
        self.gauge(HUGE_PAGES_FREE, &[("page_bytes", &page_bytes)]).set(float(free));
    }

    /// Free RAM of a node.
    pub fn set_numa_node_free_bytes(&self, node: u32, free: u64) {
        let node = node.to_string();
        self.gauge(NUMA_NODE_FREE_BYTES, &[("node", &node)]).set(float(free));
    }

    /// What the process collector read.
    pub fn set_process(&self, process: &ProcessFigures) {
        let gauge = |name, value| self.gauge(name, &[]).set(value);
        gauge("process_resident_memory_bytes", float(process.resident_bytes));
        gauge("process_virtual_memory_bytes", float(process.virtual_bytes));
        gauge("process_open_fds", float(process.open_files));
        gauge("process_max_fds", float(process.open_files_limit));
        gauge("process_start_time_seconds", float(process.start_seconds));
        gauge("process_threads", float(process.threads));
        self.counter("process_cpu_seconds_total", &[]).absolute(process.cpu_seconds);
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, method: &str) -> Histogram {
        self.recorder.register_histogram(&key(name, &[("method", method)]), &METADATA)
    }
}

/// The process's own figures.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessFigures {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Virtual memory.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// The limit on them.
    pub open_files_limit: u64,
    /// Start, since the epoch.
    pub start_seconds: u64,
    /// CPU time, whole seconds.
    pub cpu_seconds: u64,
    /// Threads.
    pub threads: u64,
}

const QUOTAS: [&str; 5] =
    ["committed_bytes", "overhead_bytes", "mappings", "reserved_bytes", "memories"];

static METADATA: Metadata<'static> = Metadata::new("linmemd", Level::INFO, None);

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> =
        labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}

/// Prometheus knows only floats; counts up to 2^53 are exact.
#[expect(clippy::cast_precision_loss, reason = "exact to 2^53; the format has no other number")]
fn float(count: u64) -> f64 {
    count as f64
}

/// What became of a growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowOutcome {
    /// The size is larger.
    Grown,
    /// MAXIMUM_REACHED.
    MaximumReached,
    /// SIZE_MISMATCH.
    SizeMismatch,
    /// QUOTA_EXCEEDED.
    QuotaExceeded,
    /// HOST_EXHAUSTED.
    HostExhausted,
    /// Anything else.
    Failed,
}

impl GrowOutcome {
    const ALL: [Self; 6] = [
        Self::Grown,
        Self::MaximumReached,
        Self::SizeMismatch,
        Self::QuotaExceeded,
        Self::HostExhausted,
        Self::Failed,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Grown => "grown",
            Self::MaximumReached => "maximum_reached",
            Self::SizeMismatch => "size_mismatch",
            Self::QuotaExceeded => "quota_exceeded",
            Self::HostExhausted => "host_exhausted",
            Self::Failed => "failed",
        }
    }
}

/// What one operation counts.
#[derive(Debug)]
pub struct OperationMeters {
    accesses: Counter,
    bytes: Counter,
}

impl OperationMeters {
    /// One range accessed with success.
    pub fn count(&self, bytes: u64) {
        self.accesses.increment(1);
        self.bytes.increment(bytes);
    }
}

/// The handles of one tenant.
#[derive(Debug)]
pub struct TenantMeters {
    /// ReadMemory.
    pub read: OperationMeters,
    /// WriteMemory.
    pub write: OperationMeters,
    /// FillMemory.
    pub fill: OperationMeters,
    /// Messages of UploadMemory.
    pub upload: OperationMeters,
    /// Messages of DownloadMemory.
    pub download: OperationMeters,
    traps: Counter,
    grows: [Counter; 6],
    memories: Gauge,
    size_bytes: Gauge,
    peak_bytes: Gauge,
    quotas: [(Gauge, Gauge); 5],
}

/// What a tenant, or all folded tenants together, hold at a scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct Occupancy {
    /// Memories.
    pub memories: u64,
    /// Sum of sizes.
    pub size_bytes: u64,
    /// Largest sum of sizes.
    pub peak_bytes: u64,
    /// Limit and use of each quota, in the ledger's order.
    pub quotas: [(u64, u64); 5],
}

impl TenantMeters {
    /// An access was refused for its range.
    pub fn trap(&self) {
        self.traps.increment(1);
    }

    /// A growth ended.
    pub fn grow(&self, outcome: GrowOutcome) {
        for (counter, this) in self.grows.iter().zip(GrowOutcome::ALL) {
            if this == outcome {
                counter.increment(1);
            }
        }
    }

    /// What it holds now.
    pub fn set(&self, occupancy: &Occupancy) {
        self.memories.set(float(occupancy.memories));
        self.size_bytes.set(float(occupancy.size_bytes));
        self.peak_bytes.set(float(occupancy.peak_bytes));
        for ((limit_gauge, used_gauge), (limit, used)) in self.quotas.iter().zip(occupancy.quotas) {
            limit_gauge.set(float(limit));
            used_gauge.set(float(used));
        }
    }
}

/// The handles of one gRPC method. Codes that never occurred have no series.
pub struct RpcMeters {
    metrics: Arc<Metrics>,
    method: &'static str,
    codes: [OnceLock<Counter>; CODES.len()],
    duration: Histogram,
    received: OnceLock<Counter>,
    sent: OnceLock<Counter>,
}

impl fmt::Debug for RpcMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcMeters").field("method", &self.method).finish_non_exhaustive()
    }
}

impl RpcMeters {
    /// A call was answered with this code.
    pub fn answered(&self, code: usize) {
        if let (Some(slot), Some(name)) = (self.codes.get(code), CODES.get(code)) {
            slot.get_or_init(|| {
                let labels = [("method", self.method), ("code", *name)];
                self.metrics.counter(RPC_REQUESTS_TOTAL, &labels)
            })
            .increment(1);
        }
    }

    /// A unary call took so long.
    pub fn took(&self, duration: Duration) {
        self.duration.record(duration);
    }

    /// A message of a stream came in.
    pub fn received(&self) {
        self.message(&self.received, "received");
    }

    /// A message of a stream went out.
    pub fn sent(&self) {
        self.message(&self.sent, "sent");
    }

    fn message(&self, slot: &OnceLock<Counter>, direction: &str) {
        slot.get_or_init(|| {
            let labels = [("method", self.method), ("direction", direction)];
            self.metrics.counter(STREAM_MESSAGES_TOTAL, &labels)
        })
        .increment(1);
    }
}

/// The handles that are set at each scrape.
#[derive(Debug)]
pub struct DaemonMeters {
    rpc_in_flight: Gauge,
    connections: Gauge,
    in_flight_bytes: Gauge,
    quarantined_memories: Gauge,
    quarantined_bytes: Gauge,
    vmas: Gauge,
    vmas_limit: Gauge,
    insecure_listeners: Gauge,
    tenants_folded: Gauge,
    draining: Gauge,
    panics: Counter,
    each_dropped: Counter,
}

/// What the daemon holds at a scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct DaemonFigures {
    /// Calls being served.
    pub rpc_in_flight: u64,
    /// gRPC connections.
    pub connections: u64,
    /// Request and reply bytes held.
    pub in_flight_bytes: u64,
    /// Memories that answer QUARANTINED.
    pub quarantined_memories: u64,
    /// Bytes of ranges that could not be given back.
    pub quarantined_bytes: u64,
    /// Mappings.
    pub vmas: u64,
    /// The kernel's limit on them.
    pub vmas_limit: u64,
    /// Listeners beyond this host without credentials.
    pub insecure_listeners: u64,
    /// Tenants without a label of their own.
    pub tenants_folded: u64,
    /// Whether a drain has begun.
    pub draining: bool,
    /// Panics caught.
    pub panics: u64,
    /// Memories without series of their own.
    pub each_dropped: u64,
}

impl DaemonMeters {
    /// What the daemon holds now.
    pub fn set(&self, figures: &DaemonFigures) {
        self.rpc_in_flight.set(float(figures.rpc_in_flight));
        self.connections.set(float(figures.connections));
        self.in_flight_bytes.set(float(figures.in_flight_bytes));
        self.quarantined_memories.set(float(figures.quarantined_memories));
        self.quarantined_bytes.set(float(figures.quarantined_bytes));
        self.vmas.set(float(figures.vmas));
        self.vmas_limit.set(float(figures.vmas_limit));
        self.insecure_listeners.set(float(figures.insecure_listeners));
        self.tenants_folded.set(float(figures.tenants_folded));
        self.draining.set(if figures.draining { 1.0 } else { 0.0 });
        self.panics.absolute(figures.panics);
        self.each_dropped.absolute(figures.each_dropped);
    }
}

impl Occupancy {
    /// The sum with another tenant's.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut quotas = self.quotas;
        for (sum, more) in quotas.iter_mut().zip(other.quotas) {
            *sum = (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1));
        }
        Self {
            memories: self.memories.saturating_add(other.memories),
            size_bytes: self.size_bytes.saturating_add(other.size_bytes),
            peak_bytes: self.peak_bytes.saturating_add(other.peak_bytes),
            quotas,
        }
    }
}

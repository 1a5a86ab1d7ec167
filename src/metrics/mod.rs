//! Every metric family: name, kind, help, labels, buckets. Handles are made once and kept.
//!
//! Law: a family exists only here, and only if something moves it; names and label values are
//! closed lists (gRPC methods and codes, reasons, operations, tenants up to a cap). What is pushed
//! is an atomic add through a kept handle; what can be read elsewhere (occupancy, quotas) is read at
//! the scrape. Does not serve the page (`daemon/http.rs`) and walks no memories.
//!
//! ```text
//! tenant   accesses, growths, what a tenant holds      daemon   the process, its host, its limits
//! tenant_page  the families of tenants
//! purge    what volatile ranges lost                  overload want of memory
//! auth     who was refused
//! hooks    what became of the questions to deciders of growth
//! rpc      calls by method and code                    here     the families and the recorder
//! ```

mod auth;
mod daemon;
mod hooks;
mod overload;
mod purge;
mod rpc;
mod tenant;
mod tenant_page;

use std::fmt;

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString,
};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

pub use auth::{AUTH_FAILURES, AuthMeters};
pub use daemon::{DaemonFigures, DaemonMeters, ProcessFigures};
pub use hooks::HookEvent;
pub use overload::OverloadMeters;
pub use purge::PurgeMeters;
pub use rpc::{CODES, RpcMeters};
pub use tenant::{GrowOutcome, OPERATIONS, Occupancy, QUOTAS, TenantMeters, Trap};
pub use tenant_page::{TenantSeries, write_tenants};

/// The label of tenants past the cap.
pub const OTHER_TENANTS: &str = "_other";
/// The label of methods that do not exist.
pub const UNKNOWN_METHOD: &str = "_unknown";
/// The content type of the text exposition format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// 50 µs, where a unary call on loopback begins to be slow, to 10 s, the default drain limit.
const SECONDS: [f64; 14] =
    [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 2.0, 10.0];

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! families {
    ($($constant:ident $kind:ident $name:literal $help:literal)*) => {
        $(const $constant: &str = concat!("linmemd_", $name);)*
        /// Every family that the recorder or `tenant_page.rs` keeps.
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
    CALLS_SHED_TOTAL Counter "calls_shed_total" "Calls and connections refused for want of room, by limit or step."
    OVERLOAD_STEP Gauge "overload_step" "How short of memory the host is: 0 not at all, to 6, where calls are shed."
    AUTH_FAILURES_TOTAL Counter "auth_failures_total" "Callers refused for who they are or what they may do, by reason."
    AUDIT_LOST_TOTAL Counter "audit_lost_total" "Entries of the audit log that found no room or could not be written."
    LOG_LINES_DROPPED_TOTAL Counter "log_lines_dropped_total" "Lines of the log that found no room or could not be written."
    TLS_EXPIRY Gauge "tls_certificate_expiry_timestamp_seconds" "When the daemon's certificate runs out, since the epoch."
    QUARANTINED_MEMORIES Gauge "quarantined_memories" "Memories that answer QUARANTINED."
    QUARANTINED_BYTES Gauge "quarantined_bytes" "Committed bytes of ranges that could not be wiped or given back."
    PLACEMENT_FALLBACKS_TOTAL Counter "placement_fallbacks_total" "Lesser forms taken at start or per mapping."
    TAG_FAULTS_TOTAL Counter "tag_faults_total" "Accesses to tagged memory with a wrong tag, as the processor told of them."
    HUGE_PAGES_FREE Gauge "huge_pages_free" "Free huge pages of the host's pools."
    NUMA_NODE_FREE_BYTES Gauge "numa_node_free_bytes" "Free RAM of the node."
    VMAS Gauge "vmas" "Mappings charged to memories and those of the daemon itself at start."
    VMAS_LIMIT Gauge "vmas_limit" "The kernel's limit on mappings, vm.max_map_count."
    INSECURE_LISTENERS Gauge "insecure_listeners" "Listeners beyond this host that ask for no credentials or speak no TLS."
    TENANTS_FOLDED Gauge "tenants_folded" "Tenants past the cap, whose label is _other."
    CONFIG_RELOAD_SUCCESS Gauge "config_reload_success" "1 where the last reload put its config in force, 0 where it was refused."
    CONFIG_RELOAD_TIMESTAMP Gauge "config_reload_timestamp_seconds" "When a config was last put in force, since the epoch."
    DRAINING Gauge "draining" "1 once a drain has begun."
    PANICS_TOTAL Counter "panics_total" "Panics caught since the start."
    PURGES_TOTAL Counter "purges_total" "Volatile ranges that were purged, as a whole or in part, by what told of pressure."
    PURGED_BYTES_TOTAL Counter "purged_bytes_total" "Bytes that they lost."
    EVENTS_DROPPED_TOTAL Counter "events_dropped_total" "Events that watchers were too slow for, once for each watcher."
    BUILD_INFO Gauge "build_info" "1; the release is in the label."
    WAITERS Gauge "waiters" "Callers of the tenant that wait for an address."
    GROW_HOOK_EVENTS_TOTAL Counter "grow_hook_events_total" "What became of questions to hooks of growth, and of telling them."
    GROW_HOOK_DURATION_SECONDS Histogram "grow_hook_duration_seconds" "Time from a question to a hook to its answer, or to its timeout."
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

/// Families of each partition; see `daemon/page.rs`, which writes them: a partition's series go with it.
pub const PARTITIONS: [(&str, &str); 5] = [
    ("linmemd_partition_used_bytes", "What the partition's memories and children cost."),
    ("linmemd_partition_borrowed_bytes", "What of that is above the partition's minimum."),
    ("linmemd_partition_minimum_bytes", "What the partition is guaranteed."),
    ("linmemd_partition_maximum_bytes", "What the partition may use."),
    ("linmemd_partition_set_aside_bytes", "RAM held for what of the minimum nobody uses."),
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
        // Refused only for an empty list of buckets, which this is not; then summaries would show.
        let builder = builder
            .set_buckets_for_metric(Matcher::Full(RPC_DURATION_SECONDS.to_owned()), &SECONDS)
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

    /// The daemon's families, in the text exposition format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves what histograms have buffered into their buckets. To be called every few seconds.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Says which release this is.
    pub fn set_build_info(&self, version: &'static str) {
        self.gauge(BUILD_INFO, &[("version", version)]).set(1.0);
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        self.recorder.register_histogram(&key(name, labels), &METADATA)
    }
}

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

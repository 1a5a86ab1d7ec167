//! What the daemon, its process and its host are at a scrape.
//!
//! Law: nothing here is pushed; each figure is set by whoever reads it for the page.

use std::time::SystemTime;

use metrics::{Counter, Gauge};

use crate::metrics::{
    CONFIG_RELOAD_SUCCESS, CONFIG_RELOAD_TIMESTAMP, CONNECTIONS, DRAINING, EACH_DROPPED_TOTAL,
    HUGE_PAGES_FREE, IN_FLIGHT_BYTES, INSECURE_LISTENERS, LOG_LINES_DROPPED_TOTAL, Metrics,
    NUMA_NODE_FREE_BYTES, PANICS_TOTAL, PLACEMENT_FALLBACKS_TOTAL, QUARANTINED_BYTES,
    QUARANTINED_MEMORIES, RPC_IN_FLIGHT, TAG_FAULTS_TOTAL, TENANTS_FOLDED, VMAS, VMAS_LIMIT, float,
};

impl Metrics {
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
            log_lines_dropped: self.counter(LOG_LINES_DROPPED_TOTAL, &[]),
        }
    }

    /// Whether the last config that was to be put in force was.
    pub fn set_config_reload(&self, is_success: bool, now: SystemTime) {
        self.gauge(CONFIG_RELOAD_SUCCESS, &[]).set(if is_success { 1.0 } else { 0.0 });
        if is_success {
            let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            self.gauge(CONFIG_RELOAD_TIMESTAMP, &[]).set(since.as_secs_f64());
        }
    }

    /// A lesser form that was taken.
    pub fn set_fallbacks(&self, kind: &'static str, count: u64) {
        self.counter(PLACEMENT_FALLBACKS_TOTAL, &[("kind", kind)]).absolute(count);
    }

    /// Accesses with a wrong tag.
    pub fn set_tag_faults(&self, mode: &'static str, count: u64) {
        self.counter(TAG_FAULTS_TOTAL, &[("mode", mode)]).absolute(count);
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
    log_lines_dropped: Counter,
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
    /// Lines of the log that were lost.
    pub log_lines_dropped: u64,
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
        self.log_lines_dropped.absolute(figures.log_lines_dropped);
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

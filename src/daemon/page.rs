//! The `/metrics` page: gauges brought up to date, then rendered.

use std::fmt::Write;
use std::sync::Arc;

use crate::daemon::logging;
use crate::daemon::reload::Desk;
use crate::metrics::{
    DaemonFigures, DaemonMeters, Metrics, OverloadMeters, PARTITIONS, ProcessFigures,
};
use crate::os::host::{HostFacts, max_map_count};
use crate::os::kernel::Kernel;
use crate::os::process::ProcessUse;
use crate::os::tagging::{TagFaults, tag_faults};
use crate::registry::{Registry, Step};
use crate::rpc::Server;

/// What a scrape reads. Walks tenants, never memories.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) metrics: Arc<Metrics>,
    pub(super) meters: DaemonMeters,
    pub(super) overload: OverloadMeters,
    pub(super) server: Arc<Server>,
    pub(super) registry: Arc<Registry>,
    pub(super) kernel: Arc<dyn Kernel>,
    /// Mappings of the daemon itself, counted at start.
    pub(super) own_mappings: u64,
    pub(super) desk: Arc<Desk>,
    pub(super) fallbacks: u64,
}

impl Page {
    pub(super) fn render(&self) -> String {
        self.server.observe(&self.metrics);
        self.meters.set(&self.figures());
        let overload = &self.registry.overload;
        let refused = Step::REFUSING.map(|step| overload.refused(step));
        self.overload.set(overload.step() as u64, refused);
        self.host();
        let process = ProcessUse::read(&*self.kernel);
        self.metrics.set_process(&ProcessFigures {
            resident_bytes: process.resident_bytes,
            virtual_bytes: process.virtual_bytes,
            open_files: process.open_files,
            open_files_limit: process.open_files_limit,
            start_seconds: process.start_seconds,
            cpu_seconds: process.cpu_seconds,
            threads: process.threads,
        });
        let mut page = self.metrics.render();
        self.server.tenants.render(&mut page);
        self.server.tenants.each_memory().render(&mut page);
        self.partitions(&mut page);
        page
    }

    /// Their number is bounded, and none is walked.
    fn partitions(&self, page: &mut String) {
        let (all, _more) = self.registry.partitions.list(None, usize::MAX);
        if all.is_empty() {
            return;
        }
        for (family, (name, help)) in PARTITIONS.iter().enumerate() {
            // Writing to a String cannot fail.
            let _infallible = writeln!(page, "# HELP {name} {help}\n# TYPE {name} gauge");
            for partition in &all {
                let holds = partition.holds();
                let value = match family {
                    0 => holds.used_bytes,
                    1 => holds.borrowed_bytes,
                    2 => partition.spec.minimum.get(),
                    3 => partition.spec.maximum.get(),
                    _ => holds.set_aside_bytes,
                };
                let id = &partition.id;
                let _infallible = writeln!(page, "{name}{{partition=\"{id}\"}} {value}");
            }
        }
    }

    fn figures(&self) -> DaemonFigures {
        let charged = self
            .registry
            .host
            .holdings()
            .iter()
            .find(|holding| holding.resource == "mappings")
            .map_or(0, |holding| holding.used);
        DaemonFigures {
            rpc_in_flight: self.server.running(),
            connections: self.server.connections(),
            in_flight_bytes: self.server.in_flight_bytes(),
            quarantined_memories: self.registry.quarantined_memories(),
            quarantined_bytes: self.registry.quarantined_bytes(),
            vmas: charged.saturating_add(self.own_mappings),
            vmas_limit: max_map_count(&*self.kernel).unwrap_or(0),
            insecure_listeners: self.desk.in_force().insecure_listeners,
            tenants_folded: self.server.tenants.folded(),
            draining: self.server.is_draining(),
            panics: self.server.panics(),
            each_dropped: self.server.tenants.each_memory().dropped(),
            log_lines_dropped: logging::lost(),
        }
    }

    fn host(&self) {
        let facts = HostFacts::read(&*self.kernel);
        for pool in &facts.huge_page_pools {
            self.metrics.set_huge_pages_free(pool.page_bytes.get(), pool.free);
        }
        for node in &facts.numa_nodes {
            self.metrics.set_numa_node_free_bytes(node.node, node.free.get());
        }
        self.metrics.set_fallbacks("host", self.fallbacks);
        for (kind, count) in self.registry.allocator.fallbacks().counts() {
            self.metrics.set_fallbacks(kind, count);
        }
        let TagFaults { synchronous, asynchronous } = tag_faults();
        self.metrics.set_tag_faults("synchronous", synchronous);
        self.metrics.set_tag_faults("asynchronous", asynchronous);
    }
}

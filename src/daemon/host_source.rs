//! GetHost's answer, put together from the kernel, the ledger and the config.

use std::sync::Arc;

use crate::daemon::confinement::Confinement;
use crate::daemon::reload::Desk;
use crate::os::host::HostFacts;
use crate::os::kernel::Kernel;
use crate::registry::Registry;
use crate::rpc::{
    Capability, Fallback, HostLimit, HostSource, HostView, HugePagePool, Measure, NumaNode, Reloads,
};

/// Where GetHost's answer comes from.
#[derive(Debug)]
pub(super) struct KernelView {
    pub(super) kernel: Arc<dyn Kernel>,
    pub(super) registry: Arc<Registry>,
    pub(super) budget_source: String,
    pub(super) desk: Arc<Desk>,
    /// What this host could not give at start.
    pub(super) fallbacks: Vec<Fallback>,
    pub(super) capabilities: Vec<Capability>,
    pub(super) confinement: Confinement,
}

impl HostSource for KernelView {
    fn reloads(&self) -> &dyn Reloads {
        &*self.desk
    }

    fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    fn view(&self) -> HostView {
        let facts = HostFacts::read(&*self.kernel);
        let in_force = self.desk.in_force();
        HostView {
            host_page_bytes: facts.host_page_bytes.get(),
            kernel_release: facts.kernel_release.unwrap_or_default(),
            huge_page_pools: facts
                .huge_page_pools
                .iter()
                .map(|pool| HugePagePool {
                    page_bytes: pool.page_bytes.get(),
                    total: pool.total,
                    free: pool.free,
                })
                .collect(),
            numa_nodes: facts
                .numa_nodes
                .iter()
                .map(|node| NumaNode {
                    node: node.node,
                    total_bytes: node.total.get(),
                    free_bytes: node.free.get(),
                    distances: node.distances.clone(),
                })
                .collect(),
            guard_kind: self.registry.allocator.guard_kind(),
            limits: self.limits(),
            fallbacks: self.fallbacks(),
            quarantined_ranges: self.registry.quarantined_ranges(),
            config_hash: in_force.config_hash.clone(),
            listeners: in_force.listeners.clone(),
            confinement: self.measures(),
        }
    }
}

/// What the daemon sets the host no limit of.
const UNLIMITED: [&str; 3] = ["memories", "locked_bytes", "huge_page_bytes"];

impl KernelView {
    fn measures(&self) -> Vec<Measure> {
        let told = self.confinement.told().into_iter();
        told.map(|one| Measure {
            measure: one.measure.word(),
            state: one.state.word(),
            reason: one.reason,
        })
        .collect()
    }

    /// Those of the start, and those that memories met since.
    fn fallbacks(&self) -> Vec<Fallback> {
        let met = self.registry.allocator.fallbacks().counts().into_iter();
        let met = met.filter(|(_, count)| *count > 0).map(|(kind, count)| Fallback {
            kind: kind.to_owned(),
            reason: "memories that got a lesser form; each says so in its placement".to_owned(),
            count,
        });
        self.fallbacks.iter().cloned().chain(met).collect()
    }

    fn limits(&self) -> Vec<HostLimit> {
        self.registry
            .host
            .holdings()
            .into_iter()
            .filter(|holding| !UNLIMITED.contains(&holding.resource))
            .map(|holding| HostLimit {
                name: holding.resource.to_owned(),
                limit: holding.limit,
                used: holding.used,
                source: match holding.resource {
                    "mappings" => "sysctl vm.max_map_count less memory.mapping_margin".to_owned(),
                    "reserved_bytes" => "memory.reserved_bytes".to_owned(),
                    _ => self.budget_source.clone(),
                },
            })
            .collect()
    }
}

//! [`HostView`]: what GetHost shows, as plain data; whoever composes the daemon fills it in.

use std::fmt;

use crate::memory::GuardKind;
use crate::registry::QuarantinedRange;
use crate::rpc::capability::Capability;
use crate::rpc::reload::Reloads;

/// Where GetHost's answer comes from.
pub trait HostSource: Send + Sync + fmt::Debug {
    /// The host as it is now. May read a few files of the kernel's.
    fn view(&self) -> HostView;

    /// Who carries reloads out.
    fn reloads(&self) -> &dyn Reloads;

    /// What clients can require by name, as it was at start.
    fn capabilities(&self) -> &[Capability];
}

/// What the host is and gives.
#[derive(Clone, Debug, Default)]
pub struct HostView {
    /// The host's own page, in bytes.
    pub host_page_bytes: u64,
    /// The kernel's release.
    pub kernel_release: String,
    /// Pools of huge pages.
    pub huge_page_pools: Vec<HugePagePool>,
    /// NUMA nodes.
    pub numa_nodes: Vec<NumaNode>,
    /// What the guards of small memories are made of.
    pub guard_kind: GuardKind,
    /// Limits and their sources.
    pub limits: Vec<HostLimit>,
    /// Lesser forms taken.
    pub fallbacks: Vec<Fallback>,
    /// Ranges that could not be given back.
    pub quarantined_ranges: Vec<QuarantinedRange>,
    /// The hash of the config that is in force.
    pub config_hash: String,
    /// Ways in.
    pub listeners: Vec<Listener>,
    /// What the daemon gave up of the host.
    pub confinement: Vec<Measure>,
}

/// A measure of confinement.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Its name.
    pub measure: &'static str,
    /// on, partly, off or switched_off.
    pub state: &'static str,
    /// What is left or missing, or why it is off.
    pub reason: String,
}

/// A pool of huge pages.
#[derive(Clone, Copy, Debug)]
pub struct HugePagePool {
    /// The page's size.
    pub page_bytes: u64,
    /// Pages in all.
    pub total: u64,
    /// Pages nobody uses.
    pub free: u64,
}

/// A NUMA node.
#[derive(Clone, Debug)]
pub struct NumaNode {
    /// Its number.
    pub node: u32,
    /// Its RAM.
    pub total_bytes: u64,
    /// RAM nobody uses.
    pub free_bytes: u64,
    /// The cost of reaching each node.
    pub distances: Vec<u32>,
}

/// A limit and where it came from.
#[derive(Clone, Debug)]
pub struct HostLimit {
    /// Its name, the unit in it.
    pub name: String,
    /// How much there may be.
    pub limit: u64,
    /// How much there is.
    pub used: u64,
    /// A file of the kernel's, a key of the config.
    pub source: String,
}

/// A lesser form taken.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// What.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// A way in.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its address.
    pub address: String,
    /// grpc or http.
    pub protocol: &'static str,
    /// Whether it serves callers without credentials beyond this host.
    pub insecure: bool,
}

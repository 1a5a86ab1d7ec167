//! The machine's NUMA nodes: how much memory each has, and how far it is from the others; and which
//! processors the process has, of each and of all.
//!
//! Law: what is told is what `/sys` says at that moment; a node without memory is a node. A thread's
//! policy is put back by `Drop`; a memory's is set by `reservation/pages.rs`.

use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use crate::model::NumaPolicy;
use crate::os::OsError;
use crate::os::facts::{Facts, number};
use crate::os::kernel::{Kernel, Policy};
use crate::units::ByteCount;

const STATUS: &str = "/proc/self/status";
const NODES: &str = "/sys/devices/system/node";
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumaNode {
    /// Its number. Numbers may have gaps.
    pub node: u32,
    /// The memory it has.
    pub total: ByteCount,
    /// What of that is free.
    pub free: ByteCount,
    /// How far its memory is from each online node, in order; 10 is its own. Empty where the host
    /// does not tell.
    pub distances: Vec<u32>,
}

/// Every node, by number. Empty where the kernel knows none.
pub(super) fn nodes(facts: &mut Facts<'_>) -> Vec<NumaNode> {
    let names = facts.names(NODES);
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| number(name.strip_prefix("node")?)).collect();
    numbers.sort_unstable();
    numbers.into_iter().filter_map(|node| read(facts, node)).collect()
}

fn read(facts: &mut Facts<'_>, node: u32) -> Option<NumaNode> {
    let path = format!("{NODES}/node{node}/meminfo");
    let text = facts.text(&path)?;
    let total = facts.amount(&path, &text, "MemTotal")?;
    let free = facts.amount(&path, &text, "MemFree")?;
    let distances = facts.text(format!("{NODES}/node{node}/distance")).unwrap_or_default();
    let distances = distances.split_whitespace().filter_map(number).collect();
    Some(NumaNode { node, total, free, distances })
}

/// What the kernel is told of a policy; nothing for the one that every page has without a word.
#[must_use]
pub const fn policy(policy: NumaPolicy) -> Option<Policy> {
    match policy {
        NumaPolicy::Local => None,
        NumaPolicy::Preferred => Some(Policy::Preferred),
        NumaPolicy::Bind => Some(Policy::Bind),
        NumaPolicy::Interleave => Some(Policy::Interleave),
    }
}

/// Where the calling thread takes pages that have no policy of their own, until this is dropped.
#[derive(Debug)]
pub struct ThreadPolicy {
    kernel: Arc<dyn Kernel>,
    /// It is one thread's: not to be dropped on another.
    _thread: PhantomData<*const ()>,
}

impl ThreadPolicy {
    /// From these nodes, in this way.
    ///
    /// # Errors
    /// What the kernel said; then it is as it was.
    pub fn set(kernel: Arc<dyn Kernel>, policy: Policy, nodes: &[u32]) -> Result<Self, OsError> {
        match kernel.set_thread_policy(Some(policy), nodes) {
            Ok(()) => Ok(Self { kernel, _thread: PhantomData }),
            Err(errno) => Err(OsError { call: "set_mempolicy", errno, bytes: 0 }),
        }
    }
}

impl Drop for ThreadPolicy {
    fn drop(&mut self) {
        if let Err(errno) = self.kernel.set_thread_policy(None, &[]) {
            let error = OsError { call: "set_mempolicy", errno, bytes: 0 };
            tracing::error!(%error, "a thread goes on taking pages from the nodes of one memory");
        }
    }
}

/// Whether this process may have pages of all these nodes (its cpuset, `Mems_allowed_list`). Where
/// the host does not say, the kernel has the last word.
pub fn are_allowed(kernel: &dyn Kernel, nodes: &[u32]) -> bool {
    let Ok(status) = kernel.read_file(Path::new(STATUS)) else { return true };
    let line = status.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:"));
    line.is_none_or(|list| nodes.iter().all(|node| is_listed(list, *node)))
}

/// The processors of a node that this process may use (its cpuset, `Cpus_allowed_list`); none where
/// the host has no such node, the node no processor, or the process none of them.
#[must_use]
pub fn processors(kernel: &dyn Kernel, node: u32) -> Vec<u32> {
    usable(kernel, &format!("{NODES}/node{node}/cpulist"))
}

/// The processors that this process may use, by number; none where the host does not tell.
#[must_use]
pub fn own_processors(kernel: &dyn Kernel) -> Vec<u32> {
    usable(kernel, ONLINE)
}

/// Those of the list in that file that this process may use.
fn usable(kernel: &dyn Kernel, list: &str) -> Vec<u32> {
    let read = |path: &str| kernel.read_file(Path::new(path)).unwrap_or_default();
    let (there, status) = (read(list), read(STATUS));
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let may_use = |processor: &u32| allowed.is_none_or(|list| is_listed(list, *processor));
    ranges(&there).flatten().filter(may_use).collect()
}

/// Whether a list has that number.
fn is_listed(list: &str, wanted: u32) -> bool {
    ranges(list).any(|range| range.contains(&wanted))
}

/// The ranges of a list such as `0-2,5`.
fn ranges(list: &str) -> impl Iterator<Item = RangeInclusive<u32>> {
    list.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(number(first)?..=number(last)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::failing::FailingKernel;

    #[test]
    fn a_node_is_allowed_where_the_list_has_it_and_where_there_is_none() {
        let kernel = FailingKernel::new();
        kernel.replace_files([(STATUS, "Cpus_allowed_list:\t0-63\nMems_allowed_list:\t0-2,5\n")]);
        assert!(are_allowed(&kernel, &[0, 2, 5]));
        assert!(!are_allowed(&kernel, &[0, 3]));
        assert!(!are_allowed(&kernel, &[6]));
        kernel.replace_files([(STATUS, "Name:\tlinmemd\n")]);
        assert!(are_allowed(&kernel, &[1023]));
    }

    #[test]
    fn a_nodes_processors_are_those_that_the_process_may_use() {
        let kernel = FailingKernel::new();
        let cpulist = |node: u32| format!("{NODES}/node{node}/cpulist");
        kernel.replace_files([
            (cpulist(0), "0-3,8\n"),
            (cpulist(1), "\n"),
            (STATUS.to_owned(), "Cpus_allowed_list:\t1-8\n"),
        ]);
        assert_eq!(processors(&kernel, 0), [1, 2, 3, 8]);
        assert!(processors(&kernel, 1).is_empty(), "it has memory alone");
        assert!(processors(&kernel, 2).is_empty());
    }

    #[test]
    fn the_process_has_the_processors_that_are_there_and_that_it_may_use() {
        let kernel = FailingKernel::new();
        let status = |list: &str| (STATUS, format!("Cpus_allowed_list:\t{list}\n"));
        // A cpuset may name processors that are not there yet.
        kernel.replace_files([(ONLINE, "0-3,6\n".to_owned()), status("2-127")]);
        assert_eq!(own_processors(&kernel), [2, 3, 6]);
        kernel.replace_files([status("0-3")]);
        assert!(own_processors(&kernel).is_empty());
    }

    #[test]
    fn nodes_come_by_number_with_memory_and_distances() {
        let kernel = FailingKernel::new();
        let at = |rest: &str| format!("{NODES}/{rest}");
        kernel.replace_files([
            (at("node10/meminfo"), "Node 10 MemTotal: 4 kB\nNode 10 MemFree: 1 kB\n"),
            (at("node10/distance"), "20 10\n"),
            (at("node2/meminfo"), "Node 2 MemTotal:       0 kB\nNode 2 MemFree:   0 kB\n"),
            (at("node2/distance"), "10 20\n"),
            (at("online"), "2,10\n"),
            (at("node3/meminfo"), "Node 3 MemTotal:       1 kB\n"),
        ]);
        let mut facts = Facts::of(&kernel);
        let found = nodes(&mut facts);
        let numbers: Vec<u32> = found.iter().map(|node| node.node).collect();
        assert_eq!(numbers, [2, 10]);
        assert_eq!(found[1].total, ByteCount::new(4096));
        assert_eq!(found[1].distances, [20, 10]);
        assert_eq!(facts.into_absent().len(), 1, "node 3 does not tell what is free");
    }
}

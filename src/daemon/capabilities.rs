//! What clients can require by name, as this host and this build have it.
//!
//! Law: found out once, at start, by trying or by reading what the kernel says; what is not there
//! says why and what an operator can do. Nothing is promised for good: a pool may be empty later.

use std::sync::Arc;

use crate::memory::NO_ARENA;
use crate::os::host::{self, HostFacts};
use crate::os::kernel::{Kernel, Policy};
use crate::os::pressure::Pressure;
use crate::os::reservation::Reservation;
use crate::os::tagging::MemoryTagging;
use crate::rpc::Capability;
use crate::units::ByteCount;

/// Every capability.
pub(super) fn probe(
    kernel: &Arc<dyn Kernel>,
    facts: &HostFacts,
    pressure: Option<&Pressure>,
    has_arena: bool,
) -> Vec<Capability> {
    let always = [
        "index_type_i64",
        "leases",
        "request_ids",
        "allocator_mmap",
        "allocator_heap",
        "guard_prot_none",
        "backing_memfd",
        "reservation_wasm32_full",
        "populate",
        "partitions",
        "verification",
        "shared",
        "segments",
        "memory_sets",
        "views",
    ];
    let mut all: Vec<Capability> = always.into_iter().map(Capability::available).collect();
    all.push(if has_arena {
        Capability::available("allocator_fixed")
    } else {
        Capability::refused("allocator_fixed", NO_ARENA.to_owned())
    });
    all.push(pool("huge_pages_2m", 2 << 20, facts));
    all.push(pool("huge_pages_1g", 1 << 30, facts));
    all.push(transparent(&**kernel));
    all.push(numa(kernel, facts));
    all.push(locking(&**kernel));
    all.push(tagging(&**kernel));
    all.push(volatility(pressure));
    all
}

fn pool(name: &'static str, page_bytes: u64, facts: &HostFacts) -> Capability {
    let pool = facts.huge_page_pools.iter().find(|pool| pool.page_bytes.get() == page_bytes);
    match pool {
        None => Capability::refused(name, "the kernel has no pages of this size".to_owned()),
        Some(pool) if pool.total == 0 => Capability::degraded(
            name,
            "the host's pool was empty at start; an operator fills it (vm.nr_hugepages)".to_owned(),
        ),
        Some(_) => Capability::available(name),
    }
}

fn transparent(kernel: &dyn Kernel) -> Capability {
    let name = "huge_pages_transparent";
    if host::has_transparent_huge_pages(kernel) {
        return Capability::available(name);
    }
    let why = "the kernel makes none; see /sys/kernel/mm/transparent_hugepage/enabled".to_owned();
    Capability::refused(name, why)
}

fn numa(kernel: &Arc<dyn Kernel>, facts: &HostFacts) -> Capability {
    let (name, none) = ("numa", ByteCount::ZERO);
    let node = facts.numa_nodes.first().map_or(0, |node| node.node);
    let page = facts.host_page_bytes;
    let tried = Reservation::reserve(Arc::clone(kernel), none, page, none)
        .map_err(|refused| refused.error)
        .and_then(|probe| probe.place(Policy::Bind, &[node]));
    match tried {
        Err(error) => Capability::refused(
            name,
            format!("{error}; a seccomp profile may forbid it (containers: CAP_SYS_NICE)"),
        ),
        Ok(()) if facts.numa_nodes.len() < 2 => {
            Capability::degraded(name, "the host has one node".to_owned())
        }
        Ok(()) => Capability::available(name),
    }
}

fn tagging(kernel: &dyn Kernel) -> Capability {
    let name = "memory_tagging";
    match MemoryTagging::probe(kernel) {
        Ok(_tagging) => Capability::available(name),
        Err(why) => Capability::refused(name, why.to_string()),
    }
}

fn locking(kernel: &dyn Kernel) -> Capability {
    let name = "locking";
    match kernel.lock_limit() {
        u64::MAX => Capability::available(name),
        limit => Capability::degraded(
            name,
            format!("at most {limit} bytes (RLIMIT_MEMLOCK), but for a holder of CAP_IPC_LOCK"),
        ),
    }
}

/// Every host can be looked at; some do not tell of all that is looked for.
fn volatility(pressure: Option<&Pressure>) -> Capability {
    let name = "volatility";
    let Some(pressure) = pressure else {
        let why = "nothing is ever purged: memory.purge_at is absent from the config".to_owned();
        return Capability::degraded(name, why);
    };
    let absent: Vec<String> = pressure.absent().iter().map(ToString::to_string).collect();
    if absent.is_empty() {
        Capability::available(name)
    } else {
        Capability::degraded(name, absent.join("; "))
    }
}

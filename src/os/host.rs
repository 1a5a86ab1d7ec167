//! What the machine is: [`HostFacts`], read once at start and whenever someone asks.
//!
//! Law: everything comes through the seam and is parsed from text; what the host does not tell is
//! `None` or empty, and `absent` says why. Decides nothing: budgets and floors are made of these
//! facts elsewhere.

use std::path::Path;

use crate::os::facts::{Absent, Facts, number};
use crate::os::kernel::Kernel;
use crate::os::limits::{self, MemoryLimit};
use crate::os::numa::{self, NumaNode};
use crate::os::{OsError, host_page};
use crate::units::ByteCount;

const MAX_MAP_COUNT: &str = "/proc/sys/vm/max_map_count";
const MEMINFO: &str = "/proc/meminfo";
const TRANSPARENT: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const SWAPS: &str = "/proc/swaps";
const POOLS: &str = "/sys/kernel/mm/hugepages";

/// The machine, as this process may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// The size of a host page.
    pub host_page_bytes: ByteCount,
    /// As `uname -r` says it. To be shown, never to be decided by.
    pub kernel_release: Option<String>,
    /// The machine's memory.
    pub memory_total_bytes: Option<ByteCount>,
    /// The machine's swap space.
    pub swap_total_bytes: Option<ByteCount>,
    /// The smallest limit of memory on this process.
    pub budget: Option<MemoryLimit>,
    /// How many mappings a process may have.
    pub max_map_count: Option<u64>,
    /// The pools of huge pages, smallest pages first.
    pub huge_page_pools: Vec<HugePagePool>,
    /// The NUMA nodes, by number.
    pub numa_nodes: Vec<NumaNode>,
    /// What could not be learned.
    pub absent: Vec<Absent>,
}

/// The machine's pool of huge pages of one size, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePagePool {
    /// The size of one page.
    pub page_bytes: ByteCount,
    /// Pages in the pool.
    pub total: u64,
    /// Pages that nobody has.
    pub free: u64,
    /// Of the free ones, those that are promised.
    pub reserved: u64,
    /// Pages above the pool's own size, made on demand.
    pub surplus: u64,
}

impl HostFacts {
    /// Reads them all. Cannot fail: see `absent`.
    #[must_use]
    pub fn read(kernel: &dyn Kernel) -> Self {
        let mut facts = Facts::of(kernel);
        let release = facts.text("/proc/sys/kernel/osrelease");
        let meminfo = facts.text(MEMINFO).unwrap_or_default();
        let memory_total_bytes = facts.amount(MEMINFO, &meminfo, "MemTotal");
        Self {
            host_page_bytes: host_page(kernel),
            kernel_release: release.map(|release| release.trim().to_owned()),
            memory_total_bytes,
            swap_total_bytes: facts.amount(MEMINFO, &meminfo, "SwapTotal"),
            budget: limits::budget(&mut facts, memory_total_bytes),
            max_map_count: facts.number(MAX_MAP_COUNT),
            huge_page_pools: huge_page_pools(&mut facts),
            numa_nodes: numa::nodes(&mut facts),
            absent: facts.into_absent(),
        }
    }
}

/// How many mappings a process may have.
///
/// # Errors
/// What reading said, or EINVAL where the file is no number.
pub fn max_map_count(kernel: &dyn Kernel) -> Result<u64, OsError> {
    let read = kernel.read_file(Path::new(MAX_MAP_COUNT));
    read.and_then(|text| number(&text).ok_or(libc::EINVAL)).map_err(|errno| OsError {
        call: "read /proc/sys/vm/max_map_count",
        errno,
        bytes: 0,
    })
}

/// What the host can give without taking it from others, as it says (`MemAvailable`).
pub fn available(kernel: &dyn Kernel) -> Option<ByteCount> {
    let mut facts = Facts::of(kernel);
    let meminfo = facts.text(MEMINFO)?;
    facts.amount(MEMINFO, &meminfo, "MemAvailable")
}

/// How many mappings this process has now. Takes time in proportion to them, and the lock that
/// mapping calls wait for: not for every request.
///
/// # Errors
/// What reading said.
pub fn own_mappings(kernel: &dyn Kernel) -> Result<u64, OsError> {
    kernel.count_lines(Path::new("/proc/self/maps")).map_err(|errno| OsError {
        call: "read /proc/self/maps",
        errno,
        bytes: 0,
    })
}

/// Whether the kernel ever joins base pages to huge ones where it is asked to.
pub fn has_transparent_huge_pages(kernel: &dyn Kernel) -> bool {
    kernel.read_file(Path::new(TRANSPARENT)).is_ok_and(|text| !text.contains("[never]"))
}

/// Whether there is any place to swap pages out to; also where the host does not say.
pub fn has_swap(kernel: &dyn Kernel) -> bool {
    match kernel.read_file(Path::new(SWAPS)) {
        // A line of headings, and one for each area.
        Ok(text) => text.lines().count() > 1,
        Err(errno) => errno != libc::ENOENT,
    }
}

fn huge_page_pools(facts: &mut Facts<'_>) -> Vec<HugePagePool> {
    let names = facts.names(POOLS);
    let mut pools: Vec<HugePagePool> =
        names.iter().filter_map(|name| huge_page_pool(facts, name)).collect();
    pools.sort_unstable_by_key(|pool| pool.page_bytes);
    pools
}

/// The pool whose directory is `hugepages-NkB`.
fn huge_page_pool(facts: &mut Facts<'_>, name: &str) -> Option<HugePagePool> {
    let kilobytes: u64 = number(name.strip_prefix("hugepages-")?.strip_suffix("kB")?)?;
    let page_bytes = ByteCount::new(kilobytes.checked_mul(1024)?);
    let mut count = |what: &str| facts.number(format!("{POOLS}/{name}/{what}"));
    Some(HugePagePool {
        page_bytes,
        total: count("nr_hugepages")?,
        free: count("free_hugepages")?,
        reserved: count("resv_hugepages")?,
        surplus: count("surplus_hugepages")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::failing::FailingKernel;
    use crate::os::kernel::{Call, Linux};

    #[test]
    fn this_machine_tells_the_essentials() {
        let facts = HostFacts::read(&Linux);
        assert!(facts.kernel_release.is_some());
        assert!(facts.memory_total_bytes > Some(ByteCount::ZERO));
        assert!(facts.swap_total_bytes.is_some());
        assert_eq!(facts.max_map_count, max_map_count(&Linux).ok());
        let budget = facts.budget.unwrap();
        assert!(Some(budget.bytes) <= facts.memory_total_bytes, "{budget:?}");
    }

    #[test]
    fn swap_and_transparent_pages_are_told_as_the_kernel_tells_them() {
        let kernel = FailingKernel::new();
        let heading = "Filename\tType\tSize\tUsed\tPriority\n";
        kernel.replace_files([(SWAPS, heading), (TRANSPARENT, "always [madvise] never\n")]);
        assert!(!has_swap(&kernel) && has_transparent_huge_pages(&kernel));
        let area = format!("{heading}/swap file 1 0 -2\n");
        kernel.replace_files([(SWAPS, area.as_str()), (TRANSPARENT, "always madvise [never]\n")]);
        assert!(has_swap(&kernel) && !has_transparent_huge_pages(&kernel));
        kernel.replace_files([("/none", "")]);
        assert!(!has_swap(&kernel) && !has_transparent_huge_pages(&kernel));
        kernel.fail_call(Call::ReadFile, libc::EACCES, 1);
        assert!(has_swap(&kernel), "who may not know must take it that there is some");
    }

    #[test]
    fn own_mappings_are_some_and_below_the_limit() {
        let mappings = own_mappings(&Linux).unwrap();
        assert!(mappings > 10);
        assert!(mappings <= max_map_count(&Linux).unwrap());
    }

    #[test]
    fn huge_page_pools_come_smallest_pages_first_and_a_broken_one_is_noted() {
        let kernel = FailingKernel::new();
        let pool = |size: &str, what: &str| format!("{POOLS}/hugepages-{size}kB/{what}");
        kernel.replace_files([
            (pool("1048576", "nr_hugepages"), "0\n"),
            (pool("1048576", "free_hugepages"), "0\n"),
            (pool("1048576", "resv_hugepages"), "0\n"),
            (pool("1048576", "surplus_hugepages"), "0\n"),
            (pool("2048", "nr_hugepages"), "512\n"),
            (pool("2048", "free_hugepages"), "500\n"),
            (pool("2048", "resv_hugepages"), "7\n"),
            (pool("2048", "surplus_hugepages"), "1\n"),
            (pool("64", "nr_hugepages"), "nonsense\n"),
        ]);
        let mut facts = Facts::of(&kernel);
        let pools = huge_page_pools(&mut facts);
        let expected = HugePagePool {
            page_bytes: ByteCount::new(2 << 20),
            total: 512,
            free: 500,
            reserved: 7,
            surplus: 1,
        };
        assert_eq!(pools.first(), Some(&expected));
        assert_eq!(pools.get(1).map(|pool| pool.page_bytes.get()), Some(1 << 30));
        assert_eq!(pools.len(), 2);
        assert_eq!(facts.into_absent().len(), 1);
    }

    #[test]
    fn a_host_that_tells_nothing_is_read_all_the_same() {
        let kernel = FailingKernel::new();
        kernel.replace_files([("/nothing", "")]);
        let facts = HostFacts::read(&kernel);
        assert_eq!(facts.budget, None);
        assert_eq!(facts.max_map_count, None);
        assert!(facts.numa_nodes.is_empty());
        assert!(facts.absent.iter().any(|absent| absent.what == MAX_MAP_COUNT));
        assert_eq!(max_map_count(&kernel).unwrap_err().errno, libc::ENOENT);
    }

    #[test]
    fn any_one_file_that_cannot_be_read_is_told() {
        let kernel = FailingKernel::new();
        let whole = HostFacts::read(&kernel);
        let reads = kernel.calls().len();
        for n in 0..reads {
            kernel.forget();
            kernel.fail_nth(n, libc::EACCES);
            let facts = HostFacts::read(&kernel);
            assert!(facts.absent.len() > whole.absent.len(), "read {n} of {reads}");
        }
        kernel.forget();
        kernel.fail_call(Call::CountLines, libc::EACCES, 1);
        assert_eq!(own_mappings(&kernel).unwrap_err().errno, libc::EACCES);
    }
}

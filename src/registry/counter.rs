//! [`Counter`]: so many of one kind, and [`Refused`]: what an account says of too many.
//!
//! Law: one compare-and-swap each; what is refused is not counted. A limit may be lowered below what is
//! used: nothing is taken back, and no more is given out. Does not know what it counts, nor for whom:
//! whoever asked says who refuses.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Failure;
use crate::model::PartitionId;
use crate::registry::ledger::Holding;

/// So many of one kind.
#[derive(Debug)]
pub(super) struct Counter {
    limit: AtomicU64,
    used: AtomicU64,
}

/// There are not as many left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) limit: u64,
    pub(super) used: u64,
}

/// There are not as many left of one kind of charge in one account.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) resource: &'static str,
    pub(super) full: Full,
    pub(super) asked: u64,
}

impl Counter {
    pub(super) const fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0) }
    }

    pub(super) fn admit(&self, asked: u64) -> Result<(), Full> {
        let limit = self.limit();
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
                used.checked_add(asked).filter(|sum| *sum <= limit)
            })
            .map(|_before| ())
            .map_err(|used| Full { limit, used })
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, amount: u64) {
        if amount > 0 {
            self.used.fetch_sub(amount, Ordering::AcqRel);
        }
    }

    pub(super) fn holding(&self, resource: &'static str) -> Holding {
        Holding { resource, limit: self.limit(), used: self.used() }
    }
}

impl Refused {
    /// By a partition, of what is no bytes.
    pub(super) fn by_partition(self, partition_id: &PartitionId) -> Failure {
        let limit_name = match self.resource {
            "memories" => "partition_memories",
            "mappings" => "partition_mappings",
            _ => "partition_reserved_bytes",
        };
        let (partition_id, limit, asked) = (partition_id.clone(), self.full.limit, self.asked);
        Failure::PartitionFull { partition_id, limit_name, limit, asked }
    }

    pub(super) fn by_tenant(self) -> Failure {
        Failure::QuotaExceeded {
            limit_name: self.resource,
            limit: self.full.limit,
            used: self.full.used,
            asked: self.asked,
        }
    }

    pub(super) fn by_host(self) -> Failure {
        let remedy = match self.resource {
            "mappings" => "an operator can raise the sysctl vm.max_map_count",
            "reserved_bytes" => "an operator can raise memory.reserved_bytes in the config",
            _ => "an operator can raise memory.host_budget in the config or the cgroup's limit",
        };
        Failure::HostExhausted { limit_name: self.resource, remedy }
    }
}

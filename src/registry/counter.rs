//! [`Counter`]: so many of one kind of charge in one account, and [`Refused`]: what it says of too many.
//!
//! Law: one compare-and-swap each; what is refused is not counted. Does not know whose account it is:
//! whoever asked says who refuses.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Failure;
use crate::model::PartitionId;
use crate::registry::ledger::Holding;

/// So many of one kind.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) limit: AtomicU64,
    pub(super) used: AtomicU64,
}

/// There are not as many left.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) resource: &'static str,
    pub(super) limit: u64,
    used: u64,
    asked: u64,
}

impl Counter {
    pub(super) const fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0) }
    }

    pub(super) fn admit(&self, resource: &'static str, asked: u64) -> Result<(), Refused> {
        if asked == 0 {
            return Ok(());
        }
        let limit = self.limit.load(Ordering::Relaxed);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
                used.checked_add(asked).filter(|sum| *sum <= limit)
            })
            .map(|_before| ())
            .map_err(|used| Refused { resource, limit, used, asked })
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
        Holding {
            resource,
            limit: self.limit.load(Ordering::Relaxed),
            used: self.used.load(Ordering::Relaxed),
        }
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
        let (partition_id, limit, asked) = (partition_id.clone(), self.limit, self.asked);
        Failure::PartitionFull { partition_id, limit_name, limit, asked }
    }

    pub(super) fn by_tenant(self) -> Failure {
        Failure::QuotaExceeded {
            limit_name: self.resource,
            limit: self.limit,
            used: self.used,
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

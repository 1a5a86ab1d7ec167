//! The ledger: what memories cost, whose it is, and [`Charge`], which is that cost paid.
//!
//! ```text
//! Charge ──> tenant's Account: used ≤ limit, else QUOTA_EXCEEDED   (checked first)
//!        └─> host's Account:   used ≤ limit, else HOST_EXHAUSTED
//! in a partition
//!        ├─> its bytes: Partition (`partition/`), which pays the host for what it has not set aside
//!        └─> all else:  host's Account
//! ```
//!
//! A tenant whose limit is no tighter than the host's (one without a quota of its own has the host's
//! budget for one) is told of the host: raising its quota would not help it.
//!
//! Law: paid before the system call, given back by `Drop`, exactly once; committed bytes and
//! overhead share one limit. A limit may be lowered below what is used: nothing is taken back, and
//! nothing more is admitted. Does not know what a memory is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Failure;
use crate::memory::Footprint;
pub use crate::registry::amount::{Amount, Traits};
use crate::registry::counter::{Counter, Refused};
use crate::registry::partition::Partition;

/// One kind of what an account holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The kind, its unit in its name.
    pub resource: &'static str,
    /// How much there may be.
    pub limit: u64,
    /// How much there is.
    pub used: u64,
}

/// Kinds of what an account holds.
pub const KINDS: usize = 7;

/// How much an account may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Committed bytes and overhead together.
    pub bytes: u64,
    /// Mappings.
    pub mappings: u64,
    /// Address space.
    pub reserved_bytes: u64,
    /// Memories.
    pub memories: u64,
    /// Committed bytes that are locked in RAM.
    pub locked_bytes: u64,
    /// Committed bytes that are pages of the host's pools.
    pub huge_page_bytes: u64,
}

impl Limits {
    /// None.
    pub const NONE: Self = Self {
        bytes: u64::MAX,
        mappings: u64::MAX,
        reserved_bytes: u64::MAX,
        memories: u64::MAX,
        locked_bytes: u64::MAX,
        huge_page_bytes: u64::MAX,
    };
}

/// What a tenant or the host may hold and holds.
#[derive(Debug)]
pub struct Account {
    bytes: Counter,
    mappings: Counter,
    reserved_bytes: Counter,
    memories: Counter,
    locked_bytes: Counter,
    huge_page_bytes: Counter,
    /// The part of `bytes` that is committed; for reports only.
    committed: AtomicU64,
}

impl Account {
    /// An account that holds nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            bytes: Counter::new(limits.bytes),
            mappings: Counter::new(limits.mappings),
            reserved_bytes: Counter::new(limits.reserved_bytes),
            memories: Counter::new(limits.memories),
            locked_bytes: Counter::new(limits.locked_bytes),
            huge_page_bytes: Counter::new(limits.huge_page_bytes),
            committed: AtomicU64::new(0),
        })
    }

    /// What it may hold from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.bytes.set_limit(limits.bytes);
        self.mappings.set_limit(limits.mappings);
        self.reserved_bytes.set_limit(limits.reserved_bytes);
        self.memories.set_limit(limits.memories);
        self.locked_bytes.set_limit(limits.locked_bytes);
        self.huge_page_bytes.set_limit(limits.huge_page_bytes);
    }

    /// The kernel's limit on mappings has changed.
    pub fn set_mappings_limit(&self, limit: u64) {
        self.mappings.set_limit(limit);
    }

    /// Everything it holds, kind by kind.
    #[must_use]
    pub fn holdings(&self) -> [Holding; KINDS] {
        let Holding { limit, used, .. } = self.bytes();
        let committed = self.committed.load(Ordering::Relaxed).min(used);
        [
            Holding { resource: "committed_bytes", limit, used: committed },
            Holding { resource: "overhead_bytes", limit, used: used.saturating_sub(committed) },
            self.mappings.holding("mappings"),
            self.reserved_bytes.holding("reserved_bytes"),
            self.memories.holding("memories"),
            self.locked_bytes.holding("locked_bytes"),
            self.huge_page_bytes.holding("huge_page_bytes"),
        ]
    }

    /// What it holds of bytes, committed and overhead together, which share one limit.
    #[must_use]
    pub fn bytes(&self) -> Holding {
        self.bytes.holding("bytes")
    }

    fn limit_of(&self, resource: &str) -> u64 {
        let holdings = self.holdings();
        holdings.iter().find(|holding| holding.resource == resource).map_or(0, |found| found.limit)
    }

    /// Whether it holds nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.holdings().iter().all(|holding| holding.used == 0)
    }

    /// Pays for what stays as long as the process: it is never given back.
    ///
    /// # Errors
    /// [`Failure::HostExhausted`]; nothing was paid.
    pub fn pay_for_good(&self, footprint: &Footprint) -> Result<(), Failure> {
        self.pay_as_host(Amount { memories: 0, ..Amount::memory(footprint) })
    }

    /// Pays from it alone.
    pub(super) fn pay_as_host(&self, amount: Amount) -> Result<(), Failure> {
        self.admit(amount).map_err(Refused::by_host)
    }

    /// What is counted of an amount, and where, in the order in which it is refused.
    fn parts(&self, amount: Amount) -> [(&Counter, &'static str, u64); KINDS - 1] {
        [
            (&self.memories, "memories", amount.memories.into()),
            (&self.bytes, "committed_bytes", amount.bytes()),
            (&self.mappings, "mappings", amount.mappings.into()),
            (&self.reserved_bytes, "reserved_bytes", amount.reserved_bytes),
            (&self.locked_bytes, "locked_bytes", amount.locked_bytes()),
            (&self.huge_page_bytes, "huge_page_bytes", amount.huge_page_bytes()),
        ]
    }

    pub(super) fn admit(&self, amount: Amount) -> Result<(), Refused> {
        let parts = self.parts(amount);
        for (number, (counter, resource, asked)) in parts.iter().enumerate() {
            // What is not asked for is not refused, however little there may be of it by now.
            if *asked > 0
                && let Err(full) = counter.admit(*asked)
            {
                let paid = parts.iter().take(number);
                paid.for_each(|(counter, _, amount)| counter.give_back(*amount));
                return Err(Refused { resource, full, asked: *asked });
            }
        }
        self.committed.fetch_add(amount.committed_bytes, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn give_back(&self, amount: Amount) {
        self.committed.fetch_sub(amount.committed_bytes, Ordering::Relaxed);
        let parts = self.parts(amount);
        parts.iter().for_each(|(counter, _, amount)| counter.give_back(*amount));
    }
}

/// Who pays: a tenant, and the host beside it, or a partition for it. One for all charges of a tenant,
/// of which there may be a million; one for each memory in a partition.
#[derive(Debug)]
pub struct Payer {
    tenant: Arc<Account>,
    host: Arc<Account>,
    partition: Option<Arc<Partition>>,
}

impl Payer {
    /// That tenant, on that host.
    #[must_use]
    pub fn new(tenant: &Arc<Account>, host: &Arc<Account>) -> Arc<Self> {
        Arc::new(Self { tenant: Arc::clone(tenant), host: Arc::clone(host), partition: None })
    }

    /// The same tenant, in a partition of that host.
    #[must_use]
    pub fn within(&self, partition: Arc<Partition>) -> Arc<Self> {
        let (tenant, host) = (Arc::clone(&self.tenant), Arc::clone(&self.host));
        Arc::new(Self { tenant, host, partition: Some(partition) })
    }

    /// The host's account.
    pub(super) fn host(&self) -> &Account {
        &self.host
    }

    /// The partition that it pays from.
    #[must_use]
    pub const fn partition(&self) -> Option<&Arc<Partition>> {
        self.partition.as_ref()
    }

    fn pay_host(&self, amount: Amount) -> Result<(), Failure> {
        let Some(partition) = &self.partition else {
            return self.host.pay_as_host(amount.of_host());
        };
        partition.pay(amount)?;
        let rest = self.host.pay_as_host(amount.without_bytes());
        rest.inspect_err(|_refused| partition.give_back(amount))
    }

    fn give_back(&self, amount: Amount) {
        self.tenant.give_back(amount);
        match &self.partition {
            None => self.host.give_back(amount.of_host()),
            Some(partition) => {
                self.host.give_back(amount.without_bytes());
                partition.give_back(amount);
            }
        }
    }
}

/// A cost that has been paid. Dropped, it is given back.
#[must_use = "a charge that is dropped is given back"]
#[derive(Debug)]
pub struct Charge {
    payer: Arc<Payer>,
    amount: Amount,
}

impl Charge {
    /// Pays `amount` from the tenant's account and the host's.
    ///
    /// # Errors
    /// [`Failure::QuotaExceeded`] or [`Failure::HostExhausted`]; in a partition also
    /// [`Failure::PartitionFull`] and [`Failure::PartitionNotFound`]; nothing was paid.
    pub fn pay(payer: &Arc<Payer>, amount: Amount) -> Result<Self, Failure> {
        let Payer { tenant, host, .. } = &**payer;
        tenant.admit(amount).map_err(|refused| {
            if refused.full.limit < host.limit_of(refused.resource) {
                refused.by_tenant()
            } else {
                refused.by_host()
            }
        })?;
        payer.pay_host(amount).inspect_err(|_refused| tenant.give_back(amount))?;
        Ok(Self { payer: Arc::clone(payer), amount })
    }

    /// Makes one charge of two of the same accounts.
    pub fn absorb(&mut self, mut other: Self) {
        self.amount = self.amount.plus(other.amount);
        other.amount = Amount::default();
    }

    /// Takes a part of it as a charge of its own: no more than there is.
    pub fn split(&mut self, part: Amount) -> Self {
        let whole = &mut self.amount;
        let part = Amount {
            committed_bytes: part.committed_bytes.min(whole.committed_bytes),
            overhead_bytes: part.overhead_bytes.min(whole.overhead_bytes),
            mappings: part.mappings.min(whole.mappings),
            reserved_bytes: part.reserved_bytes.min(whole.reserved_bytes),
            memories: part.memories.min(whole.memories),
            traits: whole.traits,
        };
        whole.committed_bytes = whole.committed_bytes.saturating_sub(part.committed_bytes);
        whole.overhead_bytes = whole.overhead_bytes.saturating_sub(part.overhead_bytes);
        whole.mappings = whole.mappings.saturating_sub(part.mappings);
        whole.reserved_bytes = whole.reserved_bytes.saturating_sub(part.reserved_bytes);
        whole.memories = whole.memories.saturating_sub(part.memories);
        Self { payer: Arc::clone(&self.payer), amount: part }
    }

    /// What it costs.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.amount
    }

    /// Who paid.
    #[must_use]
    pub const fn payer(&self) -> &Arc<Payer> {
        &self.payer
    }

    /// Changes its overhead, paying or giving back the difference.
    ///
    /// # Errors
    /// As [`Self::pay`]; the charge is unchanged.
    pub fn set_overhead(&mut self, overhead_bytes: u64) -> Result<(), Failure> {
        let now = self.amount.overhead_bytes;
        if let Some(more) = overhead_bytes.checked_sub(now) {
            let more = Self::pay(&self.payer, Amount::overhead(more))?;
            self.absorb(more);
        } else {
            let less = Amount::overhead(now.saturating_sub(overhead_bytes));
            self.payer.give_back(less);
            self.amount.overhead_bytes = overhead_bytes;
        }
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.payer.give_back(self.amount);
    }
}

//! [`PartitionSpec`]: what is asked of a partition, a pool of budget that memories live in.
//!
//! Law: as asked, or, once it is created, with every default spelled out. Knows no host and no other
//! partition: whether it can be had is found out where it is created.

use crate::model::{Id, PageKind, TenantName};
use crate::units::ByteCount;

/// A partition's name, unique in the daemon.
pub type PartitionId = Id;

/// What is asked of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSpec {
    /// The partition that it is a part of; none: the host.
    pub parent: Option<PartitionId>,
    /// What its memories and children may cost together.
    pub maximum: ByteCount,
    /// What of that is set aside for them.
    pub minimum: ByteCount,
    /// The NUMA nodes that it is isolated to, ascending; none: any.
    pub nodes: Vec<u32>,
    /// The kind of pages that its minimum is set aside in and its memories have; none: its parent's,
    /// or the host's base pages.
    pub pages: Option<PageKind>,
    /// Whether its memories are locked in RAM.
    pub locked: bool,
    /// Whose memories may live in it; none: anybody's.
    pub tenants: Vec<TenantName>,
    /// What else its memories may come to, those of its children among them.
    pub limits: PartitionLimits,
}

impl PartitionSpec {
    /// A part of the host for anybody, with that much set aside of what it may cost.
    #[must_use]
    pub const fn new(minimum: ByteCount, maximum: ByteCount) -> Self {
        Self {
            parent: None,
            maximum,
            minimum,
            nodes: Vec::new(),
            pages: None,
            locked: false,
            tenants: Vec::new(),
            limits: PartitionLimits { memories: None, mappings: None, reserved_bytes: None },
        }
    }
}

/// What a partition's memories may come to beside their bytes; none: what the host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionLimits {
    /// How many there may be.
    pub memories: Option<u64>,
    /// Mappings of theirs.
    pub mappings: Option<u64>,
    /// Address space of theirs.
    pub reserved_bytes: Option<u64>,
}

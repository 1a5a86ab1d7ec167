//! The partition that the model's library has (`tests/core/partitions.rs` makes it for the tests).

use std::sync::Arc;

use linmemd::error::Failure;
use linmemd::model::{Id, PartitionLimits, PartitionSpec};
use linmemd::registry::{Gate, Partition};
use linmemd::units::ByteCount;

use crate::floors::{Floors, block_on, now};

pub(crate) fn asked(minimum: u64, maximum: u64) -> PartitionSpec {
    PartitionSpec {
        parent: None,
        maximum: ByteCount::new(maximum),
        minimum: ByteCount::new(minimum),
        nodes: Vec::new(),
        pages: None,
        locked: false,
        tenants: Vec::new(),
        limits: PartitionLimits::default(),
    }
}

pub(crate) fn make(
    floors: &Floors,
    id: &str,
    spec: PartitionSpec,
) -> Result<Arc<Partition>, Failure> {
    let id = Id::new(id).expect("a name");
    block_on(floors.registry.create_partition(0, Some(id), spec, now(), &Gate::new()))
}

pub(crate) fn unmake(floors: &Floors, id: &str) -> Result<(), Failure> {
    let id = Id::new(id).expect("a name");
    block_on(floors.registry.delete_partition(0, &id, &Gate::new()))
}

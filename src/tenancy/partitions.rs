//! Partitions, which are the operators' to make and to end.
//!
//! Law: `access.rs`'s. A partition may name tenants that are not configured yet: they may come.

use std::sync::Arc;

use crate::error::Failure;
use crate::model::{PartitionId, PartitionSpec};
use crate::registry::Partition;
use crate::tenancy::access::{Access, Occasion};

impl Access {
    /// Makes a partition.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::create_partition`].
    pub async fn create_partition(
        &self,
        occasion: &Occasion,
        id: Option<PartitionId>,
        spec: PartitionSpec,
    ) -> Result<Arc<Partition>, Failure> {
        let (Occasion { now, gate }, lane) = (occasion, self.tenant().namespace.lane());
        self.registry().create_partition(lane, id, spec, *now, gate).await
    }

    /// Ends a partition.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::delete_partition`].
    pub async fn delete_partition(
        &self,
        occasion: &Occasion,
        id: &PartitionId,
    ) -> Result<(), Failure> {
        let lane = self.tenant().namespace.lane();
        self.registry().delete_partition(lane, id, &occasion.gate).await
    }
}

//! Partitions, made and ended: paid, set aside on the pool, and last of all given their names.
//!
//! Law: a partition that can be found is whole; one that could not be made or ended is as if nobody
//! had tried, but for RAM that the sweep sets aside again.

use std::sync::Arc;

use crate::error::Failure;
use crate::model::{MAX_NODES, Now, PageKind, PartitionId, PartitionSpec};
use crate::registry::gate::Gate;
use crate::registry::operations::refused;
use crate::registry::partition::Partition;
use crate::registry::random::random_bits;
use crate::registry::settings::Registry;
use crate::units::{ByteCount, PAGE_BYTES};

impl Registry {
    /// Makes a partition. `lane` is whose turn it is on the pool.
    ///
    /// # Errors
    /// INVALID_SPEC, PARTITION_EXISTS, PARTITION_NOT_FOUND of its parent, QUOTA_EXCEEDED where the
    /// parent has no room, HOST_EXHAUSTED, HUGE_PAGES_EXHAUSTED, CAPABILITY_UNAVAILABLE, and what
    /// ends any call; nothing is left behind.
    pub async fn create_partition(
        self: &Arc<Self>,
        lane: u32,
        id: Option<PartitionId>,
        spec: PartitionSpec,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<Arc<Partition>, Failure> {
        let id = id.unwrap_or_else(|| PartitionId::random(random_bits()));
        let (registry, job_gate) = (Arc::clone(self), Arc::clone(gate));
        let job = move || registry.create_partition_here(id, spec, now, &job_gate);
        self.pool.run_once(lane, Arc::clone(gate), job).await?
    }

    /// The same on this thread, which it keeps: for the start of a daemon.
    ///
    /// # Errors
    /// As [`Self::create_partition`].
    pub fn create_partition_here(
        &self,
        id: PartitionId,
        spec: PartitionSpec,
        now: Now,
        gate: &Gate,
    ) -> Result<Arc<Partition>, Failure> {
        let parent = spec.parent.as_ref().map(|id| self.partitions.find(id)).transpose()?;
        let spec = effective(spec, parent.as_deref())?;
        let partition = self.partitions.found(id, spec, parent.as_ref(), now.wall)?;
        let made = self
            .set_aside(&partition, parent.as_deref(), gate)
            .and_then(|()| self.partitions.insert(&partition, || gate.pass()));
        let Err(failure) = made else {
            self.wake_watcher();
            return Ok(partition);
        };
        // What cannot be unmapped now is unmapped when the partition is dropped, or counted as leaked.
        if let Err(error) = partition.lay_down() {
            tracing::warn!(%error, "address space of a partition that was not made");
        }
        drop(partition);
        if let Some(parent) = parent {
            parent.take_up_much();
        }
        Err(failure)
    }

    fn set_aside(
        &self,
        partition: &Partition,
        parent: Option<&Partition>,
        gate: &Gate,
    ) -> Result<(), Failure> {
        let refused = |why: &_| refused(why);
        partition.prepare(&*self.allocator, refused)?;
        if let Some(parent) = parent {
            parent.hand_over().map_err(|why| refused(&why))?;
        }
        while !partition.take_up_alone().map_err(|why| refused(&why))? {
            if gate.is_closed() {
                return Err(Failure::DeadlinePassed);
            }
        }
        Ok(())
    }

    /// Ends a partition that nothing lives in.
    ///
    /// # Errors
    /// PARTITION_NOT_FOUND, PROTECTED where something lives in it, HOST_EXHAUSTED where the kernel did
    /// not take back what was set aside, and what ends any call; it is as it was.
    pub async fn delete_partition(
        self: &Arc<Self>,
        lane: u32,
        id: &PartitionId,
        gate: &Arc<Gate>,
    ) -> Result<(), Failure> {
        let partition = self.partitions.find(id)?;
        let (registry, job_gate) = (Arc::clone(self), Arc::clone(gate));
        let job = move || registry.delete_partition_here(&partition, &job_gate);
        self.pool.run_once(lane, Arc::clone(gate), job).await?
    }

    fn delete_partition_here(&self, partition: &Partition, gate: &Gate) -> Result<(), Failure> {
        gate.pass()?;
        partition.end()?;
        if let Err(why) = partition.lay_down() {
            // The sweep sets aside again what a refused call gave back.
            partition.go_on();
            return Err(refused(&why));
        }
        self.partitions.remove(partition);
        partition.give_back_minimum();
        if let Some(parent) = partition.parent() {
            parent.take_up_much();
        }
        Ok(())
    }

    /// Whether the host is short of memory. While it is, no partition gets more than was set aside
    /// for it: what it has borrowed comes back as its memories go, and is not lent again.
    pub fn set_pressure(&self, pressure: bool) {
        self.partitions.set_pressure(pressure);
    }
}

/// What was asked, with defaults spelled out and contradictions refused.
fn effective(spec: PartitionSpec, parent: Option<&Partition>) -> Result<PartitionSpec, Failure> {
    let invalid = |field, why| Err(Failure::InvalidSpec { field, why });
    let above = parent.map(|parent| &parent.spec);
    let inherited = above.and_then(|above| above.pages);
    let pages = spec.pages.or(inherited).unwrap_or_default();
    if pages == PageKind::Transparent {
        let why = "transparent pages cannot be set aside: BASE, or a kind of the host's pools";
        return invalid("spec.page_kind", why.to_owned());
    }
    if inherited.is_some_and(|inherited| inherited != pages) {
        let why = "is not its parent's, out of which its minimum comes".to_owned();
        return invalid("spec.page_kind", why);
    }
    if spec.maximum < ByteCount::new(PAGE_BYTES) {
        let why = format!("{} is less than a page of {PAGE_BYTES}", spec.maximum);
        return invalid("spec.maximum_bytes", why);
    }
    if spec.minimum > spec.maximum {
        let why = format!("{} is more than the maximum of {}", spec.minimum, spec.maximum);
        return invalid("spec.minimum_bytes", why);
    }
    let mut nodes = spec.nodes;
    if let Some(node) = nodes.iter().find(|node| **node >= MAX_NODES) {
        let why = format!("has node {node}; the largest that a kernel knows is {}", MAX_NODES - 1);
        return invalid("spec.nodes", why);
    }
    nodes.sort_unstable();
    nodes.dedup();
    if let Some(above) = above.filter(|above| !above.nodes.is_empty()) {
        if nodes.is_empty() {
            nodes.clone_from(&above.nodes);
        } else if nodes.iter().any(|node| !above.nodes.contains(node)) {
            let why = format!("names others than its parent, which has {:?}", above.nodes);
            return invalid("spec.nodes", why);
        }
    }
    Ok(PartitionSpec { nodes, pages: Some(pages), ..spec })
}

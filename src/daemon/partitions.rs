//! The partitions of the config, made before anything is served.
//!
//! Law: all of them or no daemon; a parent before what is in it.

use std::time::{Instant, SystemTime};

use crate::config::{Config, PageKind as ConfigPages};
use crate::daemon::start_error::StartError;
use crate::model::{Id, Now, PageKind, PartitionId, PartitionLimits, PartitionSpec};
use crate::registry::{Gate, Registry};
use crate::units::ByteCount;

/// Makes them.
///
/// # Errors
/// [`StartError::Partition`] with the first that the host has not enough for.
pub(super) fn make(config: &Config, registry: &Registry) -> Result<(), StartError> {
    for (id, spec) in configured(config) {
        let (name, now) = (id.to_string(), Now { steady: Instant::now(), wall: SystemTime::now() });
        registry
            .create_partition_here(id, spec, now, &Gate::default())
            .map_err(|failure| StartError::Partition { id: name, failure })?;
    }
    Ok(())
}

/// The configured partitions, each after its parent.
fn configured(config: &Config) -> Vec<(PartitionId, PartitionSpec)> {
    let mut rest: Vec<_> = config.partitions.iter().collect();
    let mut ordered: Vec<(PartitionId, PartitionSpec)> = Vec::new();
    while !rest.is_empty() {
        let before = rest.len();
        rest.retain(|one| {
            // The config has checked the names, and that parents end at the host.
            let parent = one.parent.as_deref().and_then(|parent| Id::new(parent).ok());
            let there = |parent: &Id| ordered.iter().any(|(id, _)| id == parent);
            let (Ok(id), true) = (Id::new(&one.name), parent.as_ref().is_none_or(there)) else {
                return true;
            };
            let spec = PartitionSpec {
                parent,
                maximum: ByteCount::new(one.maximum_bytes),
                minimum: ByteCount::new(one.minimum_bytes),
                nodes: one.nodes.clone(),
                pages: one.page_kind.map(|kind| match kind {
                    ConfigPages::Base => PageKind::Base,
                    ConfigPages::Huge2M => PageKind::Huge2M,
                    ConfigPages::Huge1G => PageKind::Huge1G,
                }),
                locked: one.locked,
                tenants: one.tenants.iter().filter_map(|name| Id::new(name).ok()).collect(),
                limits: PartitionLimits {
                    memories: one.memories.map(u64::from),
                    mappings: one.mappings.map(u64::from),
                    reserved_bytes: one.reserved_bytes,
                },
            };
            ordered.push((id, spec));
            false
        });
        if rest.len() == before {
            break;
        }
    }
    ordered
}

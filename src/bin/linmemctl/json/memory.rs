//! A memory as JSON.
//!
//! Its law: that of `json/mod.rs`. Destructuring without `..` makes a field that the protos gain
//! fail to compile here until it is shown.

use linmemd::client::proto;
use serde_json::{Value, json};

use crate::json::{name, text};

/// One memory.
pub(crate) fn memory(memory: &proto::Memory) -> Value {
    let proto::Memory {
        memory_id,
        uid,
        etag,
        spec,
        state,
        state_reason,
        size_pages,
        size_bytes,
        peak_bytes,
        stats,
        create_time,
        expire_time,
        shared_from,
        resident_bytes,
        placement,
        placement_observed_time,
    } = memory;
    json!({
        "memory_id": memory_id,
        "uid": uid,
        "etag": etag,
        "spec": spec.as_ref().map(self::spec),
        "state": name(*state, proto::MemoryState::as_str_name),
        "state_reason": state_reason,
        "size_pages": size_pages,
        "size_bytes": size_bytes,
        "peak_bytes": peak_bytes,
        "stats": stats.as_ref().map(self::stats),
        "create_time": text(create_time),
        "expire_time": text(expire_time),
        "shared_from": shared_from,
        "resident_bytes": resident_bytes,
        "placement": placement.as_ref().map(self::placement),
        "placement_observed_time": text(placement_observed_time),
    })
}

fn spec(spec: &proto::MemorySpec) -> Value {
    let proto::MemorySpec {
        initial_pages,
        maximum_pages,
        index_type,
        shared,
        display_name,
        labels,
        lease_ttl,
        owner,
        allocator,
        backing,
        attachable,
        growth,
        guard,
        reservation,
        huge_pages,
        numa,
        populate,
        locking,
        partition,
        verification,
        tagging,
        segments,
    } = spec;
    json!({
        "initial_pages": initial_pages,
        "maximum_pages": maximum_pages,
        "index_type": name(*index_type, proto::IndexType::as_str_name),
        "shared": shared,
        "display_name": display_name,
        "labels": labels,
        "lease_ttl": text(lease_ttl),
        "owner": name(*owner, proto::Owner::as_str_name),
        "allocator": name(*allocator, proto::Allocator::as_str_name),
        "backing": name(*backing, proto::Backing::as_str_name),
        "attachable": attachable,
        "growth": name(*growth, proto::Growth::as_str_name),
        "guard": guard.as_ref().map(self::guard),
        "reservation": name(*reservation, proto::Reservation::as_str_name),
        "huge_pages": pages(huge_pages),
        "numa": numa.as_ref().map(self::numa),
        "populate": name(*populate, proto::Populate::as_str_name),
        "locking": name(*locking, proto::Locking::as_str_name),
        "partition": partition,
        "verification": name(*verification, proto::Verification::as_str_name),
        "tagging": tagging.as_ref().map(self::tagging),
        "segments": segments.iter().map(segment).collect::<Vec<_>>(),
    })
}

/// What has happened to a memory.
pub(crate) fn stats(stats: &proto::MemoryStats) -> Value {
    let proto::MemoryStats {
        read_count,
        write_count,
        access_count,
        read_bytes,
        write_bytes,
        grow_count,
        grow_failure_count,
        trap_count,
        largest_access_bytes,
        last_access_offset,
        last_access_length,
        distinct_regions,
        since,
    } = stats;
    json!({
        "read_count": read_count,
        "write_count": write_count,
        "access_count": access_count,
        "read_bytes": read_bytes,
        "write_bytes": write_bytes,
        "grow_count": grow_count,
        "grow_failure_count": grow_failure_count,
        "trap_count": trap_count,
        "largest_access_bytes": largest_access_bytes,
        "last_access_offset": last_access_offset,
        "last_access_length": last_access_length,
        "distinct_regions": distinct_regions,
        "since": text(since),
    })
}

fn placement(placement: &proto::Placement) -> Value {
    let proto::Placement { pages, nodes, guard, tagging } = placement;
    json!({
        "pages": pages.as_ref().map(|one| json!({
            "asked": self::pages(&one.asked),
            "given": self::pages(&one.given),
            "evidence": evidence(one.evidence),
            "granule_bytes": one.granule_bytes,
        })),
        "nodes": nodes.as_ref().map(|one| json!({
            "asked": one.asked.as_ref().map(numa),
            "given": one.given,
            "evidence": evidence(one.evidence),
            "held": one.held.iter().map(|held| json!({
                "node": held.node,
                "bytes": held.bytes,
            })).collect::<Vec<_>>(),
            "policy_in_force": one.policy_in_force,
        })),
        "guard": guard.as_ref().map(|one| json!({
            "asked": one.asked.as_ref().map(self::guard),
            "given": one.given.as_ref().map(self::guard),
            "kind": name(one.kind, proto::GuardKind::as_str_name),
            "evidence": evidence(one.evidence),
        })),
        "tagging": tagging.as_ref().map(|one| json!({
            "asked": one.asked.as_ref().map(self::tagging),
            "given": one.given.map(|mode| name(mode, proto::TaggingMode::as_str_name)),
        })),
    })
}

fn guard(guard: &proto::Guard) -> Value {
    json!({ "before_bytes": guard.before_bytes, "after_bytes": guard.after_bytes })
}

fn numa(numa: &proto::Numa) -> Value {
    let policy = name(numa.policy, proto::NumaPolicy::as_str_name);
    json!({ "policy": policy, "nodes": numa.nodes, "strict": numa.strict })
}

fn tagging(tagging: &proto::Tagging) -> Value {
    json!({
        "requirement": name(tagging.requirement, proto::TaggingRequirement::as_str_name),
        "mode": name(tagging.mode, proto::TaggingMode::as_str_name),
        "tag_mask": tagging.tag_mask,
    })
}

/// A segment's bytes are not repeated in a description.
fn segment(segment: &proto::ActiveSegment) -> Value {
    let proto::ActiveSegment { offset, data: _never_sent, length } = segment;
    json!({ "offset": offset, "length": length })
}

fn pages(kinds: &[i32]) -> Value {
    kinds.iter().map(|kind| name(*kind, proto::HugePages::as_str_name)).collect()
}

fn evidence(value: i32) -> Value {
    name(value, proto::Evidence::as_str_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_protos_and_absent_fields_are_null() {
        let lease_ttl = Some(prost_types::Duration { seconds: 90, nanos: 0 });
        let spec = proto::MemorySpec { index_type: 1, lease_ttl, ..Default::default() };
        let create_time = Some(prost_types::Timestamp { seconds: 0, nanos: 0 });
        let spec = Some(spec);
        let value = memory(&proto::Memory { spec, create_time, state: 77, ..Default::default() });
        assert_eq!(value["spec"]["index_type"], "INDEX_TYPE_I32");
        assert_eq!(value["spec"]["lease_ttl"], "90s");
        assert_eq!(value["create_time"], "1970-01-01T00:00:00Z");
        assert_eq!(value["state"], 77);
        assert!(value["expire_time"].is_null() && value["resident_bytes"].is_null());
        assert!(value["spec"].get("maximum_pages").is_some_and(Value::is_null));
    }
}

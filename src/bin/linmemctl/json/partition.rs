//! A partition as JSON.
//!
//! Its law: that of `json/mod.rs`, with the same destructuring against forgotten fields.

use linmemd::client::proto;
use serde_json::{Value, json};

use crate::json::{name, text};

/// What it is and holds.
pub(crate) fn partition(partition: &proto::Partition) -> Value {
    let proto::Partition {
        partition_id,
        spec,
        used_bytes,
        borrowed_bytes,
        set_aside_bytes,
        set_aside_failures,
        memories,
        children,
        create_time,
        mappings,
        reserved_bytes,
    } = partition;
    json!({
        "partition_id": partition_id,
        "spec": spec.as_ref().map(self::spec),
        "used_bytes": used_bytes,
        "borrowed_bytes": borrowed_bytes,
        "set_aside_bytes": set_aside_bytes,
        "set_aside_failures": set_aside_failures,
        "memories": memories,
        "mappings": mappings,
        "reserved_bytes": reserved_bytes,
        "children": children,
        "create_time": text(create_time),
    })
}

fn spec(spec: &proto::PartitionSpec) -> Value {
    let proto::PartitionSpec {
        parent,
        maximum_bytes,
        minimum_bytes,
        nodes,
        page_kind,
        locked,
        tenants,
        memories,
        mappings,
        reserved_bytes,
    } = spec;
    json!({
        "parent": parent,
        "maximum_bytes": maximum_bytes,
        "minimum_bytes": minimum_bytes,
        "nodes": nodes,
        "page_kind": name(*page_kind, proto::HugePages::as_str_name),
        "locked": locked,
        "tenants": tenants,
        "memories": memories,
        "mappings": mappings,
        "reserved_bytes": reserved_bytes,
    })
}

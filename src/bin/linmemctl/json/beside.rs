//! What a tenant has beside its memories, as JSON.
//!
//! Its law: that of `json/mod.rs`, with the same destructuring against forgotten fields.

use linmemd::client::proto;
use serde_json::{Value, json};

use crate::json::{memory, name, text};

/// A segment, without its bytes.
pub(crate) fn segment(segment: &proto::Segment) -> Value {
    let proto::Segment { segment_id, size_bytes, crc32c, create_time } = segment;
    json!({
        "segment_id": segment_id,
        "size_bytes": size_bytes,
        "crc32c": crc32c,
        "create_time": text(create_time),
    })
}

/// A share.
pub(crate) fn share(share: &proto::Share) -> Value {
    let proto::Share {
        share_id,
        owner_tenant,
        grantee_tenant,
        access,
        memory_id,
        uid,
        mounted,
        create_time,
        expire_time,
    } = share;
    json!({
        "share_id": share_id,
        "owner_tenant": owner_tenant,
        "grantee_tenant": grantee_tenant,
        "access": name(*access, proto::ShareAccess::as_str_name),
        "memory_id": memory_id,
        "uid": uid,
        "mounted": mounted,
        "create_time": text(create_time),
        "expire_time": text(expire_time),
    })
}

/// A memory set.
pub(crate) fn memory_set(set: &proto::MemorySet) -> Value {
    let proto::MemorySet { set_id, members, create_time } = set;
    json!({
        "set_id": set_id,
        "members": members.iter().map(member).collect::<Vec<_>>(),
        "create_time": text(create_time),
    })
}

fn member(member: &proto::MemorySetMember) -> Value {
    let proto::MemorySetMember { memory_id, uid, exists, memory: described } = member;
    json!({
        "memory_id": memory_id,
        "uid": uid,
        "exists": exists,
        "memory": described.as_ref().map(memory),
    })
}

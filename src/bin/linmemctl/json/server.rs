//! The server and the host as JSON.
//!
//! Its law: that of `json/mod.rs`, with the same destructuring against forgotten fields.

use linmemd::client::proto;
use serde_json::{Value, json};

use crate::json::{name, text};

/// What the server is and allows.
pub(crate) fn server_info(info: &proto::ServerInfo) -> Value {
    let proto::ServerInfo { version, boot_id, capabilities, limits, tenant, roles, quotas } = info;
    json!({
        "version": version,
        "boot_id": boot_id,
        "capabilities": capabilities.iter().map(|one| json!({
            "name": one.name,
            "state": name(one.state, proto::CapabilityState::as_str_name),
            "reason": one.reason,
        })).collect::<Vec<_>>(),
        "limits": limits.as_ref().map(self::limits),
        "tenant": tenant,
        "roles": roles,
        "quotas": self::quotas(quotas),
    })
}

/// Who a tenant is, and what it has.
pub(crate) fn tenant(tenant: &proto::Tenant) -> Value {
    let proto::Tenant { tenant, state, quotas } = tenant;
    json!({
        "tenant": tenant,
        "state": name(*state, proto::TenantState::as_str_name),
        "quotas": self::quotas(quotas),
    })
}

fn quotas(quotas: &[proto::Quota]) -> Value {
    let quota = |one: &proto::Quota| {
        let proto::Quota { resource, limit, used } = one;
        json!({ "resource": resource, "limit": limit, "used": used })
    };
    quotas.iter().map(quota).collect()
}

/// What the host is and gives.
pub(crate) fn host(host: &proto::HostInfo) -> Value {
    let proto::HostInfo {
        host_page_bytes,
        huge_page_pools,
        numa_nodes,
        guard_kind,
        limits,
        fallbacks,
        quarantined_ranges,
        listeners,
        kernel_release,
        draining,
        overload_step,
        confinement,
        config_hash,
    } = host;
    json!({
        "host_page_bytes": host_page_bytes,
        "huge_page_pools": huge_page_pools.iter().map(|one| json!({
            "page_bytes": one.page_bytes,
            "total_pages": one.total_pages,
            "free_pages": one.free_pages,
        })).collect::<Vec<_>>(),
        "numa_nodes": numa_nodes.iter().map(|one| json!({
            "node": one.node,
            "total_bytes": one.total_bytes,
            "free_bytes": one.free_bytes,
            "distances": one.distances,
        })).collect::<Vec<_>>(),
        "guard_kind": name(*guard_kind, proto::GuardKind::as_str_name),
        "limits": limits.iter().map(|one| json!({
            "name": one.name, "limit": one.limit, "used": one.used, "source": one.source,
        })).collect::<Vec<_>>(),
        "fallbacks": fallbacks.iter().map(|one| json!({
            "kind": one.kind, "reason": one.reason, "count": one.count,
        })).collect::<Vec<_>>(),
        "quarantined_ranges": quarantined_ranges.iter().map(|one| json!({
            "tenant": one.tenant,
            "bytes": one.bytes,
            "errno": one.errno,
            "step": one.step,
            "attempts": one.attempts,
        })).collect::<Vec<_>>(),
        "listeners": listeners.iter().map(|one| json!({
            "address": one.address, "protocol": one.protocol, "insecure": one.insecure,
        })).collect::<Vec<_>>(),
        "confinement": confinement.iter().map(|one| json!({
            "measure": one.measure, "state": one.state, "reason": one.reason,
        })).collect::<Vec<_>>(),
        "kernel_release": kernel_release,
        "draining": draining,
        "overload_step": overload_step,
        "config_hash": config_hash,
    })
}

fn limits(limits: &proto::Limits) -> Value {
    let proto::Limits {
        max_read_bytes,
        max_write_bytes,
        min_chunk_bytes,
        max_chunk_bytes,
        default_chunk_bytes,
        request_id_window,
        request_ids,
        max_deadline,
        page_bytes,
        host_page_bytes,
        default_maximum_pages,
        max_list_page_size,
        max_labels,
        max_label_value_bytes,
        max_display_name_bytes,
        max_queued_grows,
        tenant_in_flight_bytes,
        tenant_handlers,
        streams_per_connection,
        min_lease_ttl,
        max_lease_ttl,
        in_flight_bytes,
        tenant_waiters,
        max_operations,
        max_group_bytes,
        max_group_reply_bytes,
        max_group_message_bytes,
        max_remembered_reply_bytes,
        max_segments,
        max_active_segments,
        max_memory_sets,
        max_set_members,
        max_views,
        min_view_ttl,
        max_view_ttl,
        events,
        max_hooks,
        max_hook_streams,
        tenant_sessions,
        stall_timeout,
        message_timeout,
        tenant_connections,
        max_shares,
        max_mounts,
        tenant_operations_per_second,
        tenant_operations_burst,
        tenant_bytes_per_second,
        tenant_bytes_burst,
    } = limits;
    let mut all = json!({
        "max_read_bytes": max_read_bytes,
        "max_write_bytes": max_write_bytes,
        "min_chunk_bytes": min_chunk_bytes,
        "max_chunk_bytes": max_chunk_bytes,
        "default_chunk_bytes": default_chunk_bytes,
        "request_id_window": text(request_id_window),
        "request_ids": request_ids,
        "max_deadline": text(max_deadline),
        "page_bytes": page_bytes,
        "host_page_bytes": host_page_bytes,
        "default_maximum_pages": default_maximum_pages,
        "max_list_page_size": max_list_page_size,
        "max_labels": max_labels,
        "max_label_value_bytes": max_label_value_bytes,
        "max_display_name_bytes": max_display_name_bytes,
        "max_queued_grows": max_queued_grows,
        "tenant_in_flight_bytes": tenant_in_flight_bytes,
        "tenant_handlers": tenant_handlers,
        "streams_per_connection": streams_per_connection,
        "min_lease_ttl": text(min_lease_ttl),
        "max_lease_ttl": text(max_lease_ttl),
        "in_flight_bytes": in_flight_bytes,
        "tenant_waiters": tenant_waiters,
        "max_operations": max_operations,
        "max_group_bytes": max_group_bytes,
        "max_group_reply_bytes": max_group_reply_bytes,
        "max_group_message_bytes": max_group_message_bytes,
        "max_remembered_reply_bytes": max_remembered_reply_bytes,
        "max_segments": max_segments,
        "max_active_segments": max_active_segments,
        "max_memory_sets": max_memory_sets,
        "max_set_members": max_set_members,
        "max_views": max_views,
        "min_view_ttl": text(min_view_ttl),
        "max_view_ttl": text(max_view_ttl),
        "events": events,
        "max_hooks": max_hooks,
        "max_hook_streams": max_hook_streams,
        "tenant_sessions": tenant_sessions,
        "stall_timeout": text(stall_timeout),
    });
    // One macro takes no more.
    let more = [
        ("message_timeout", json!(text(message_timeout))),
        ("tenant_connections", json!(tenant_connections)),
        ("max_shares", json!(max_shares)),
        ("max_mounts", json!(max_mounts)),
        ("tenant_operations_per_second", json!(tenant_operations_per_second)),
        ("tenant_operations_burst", json!(tenant_operations_burst)),
        ("tenant_bytes_per_second", json!(tenant_bytes_per_second)),
        ("tenant_bytes_burst", json!(tenant_bytes_burst)),
    ];
    if let Value::Object(all) = &mut all {
        all.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    all
}

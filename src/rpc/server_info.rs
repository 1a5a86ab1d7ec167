//! GetServerInfo: what this daemon can do, and every limit that it keeps.
//!
//! Law: `memory_service.rs`'s; a limit that a call can meet is here.

use hyper::body::Incoming as Body;

use crate::model::{
    MAX_ACTIVE_SEGMENTS, MAX_DISPLAY_NAME_BYTES, MAX_LABEL_VALUE_BYTES, MAX_LABELS, MAX_LEASE,
    MIN_LEASE,
};
use crate::proto::v1;
use crate::registry::{
    MAX_REMEMBERED, MAX_VIEW_TTL, MIN_VIEW_TTL, MOST_MEMBERS, MOST_MOUNTS, MOST_SETS, MOST_SHARES,
    MOST_VIEWS,
};
use crate::rpc::call::Call;
use crate::rpc::capability::Capability;
use crate::rpc::convert;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{answer, plain};
use crate::rpc::operations;
use crate::rpc::status::Refusal;
use crate::rpc::tenant_service::quotas;
use crate::tenancy::{MAX_HOOK_STREAMS, MAX_HOOKS, Tenant};
use crate::units::PAGE_BYTES;

pub(crate) async fn server_info(call: &Call, body: Body) -> Result<Reply, Refusal> {
    plain::<v1::GetServerInfoRequest>(call, body).await?;
    let tenant = call.door.access.tenant();
    let capabilities = call.door.server.host.capabilities();
    let server_info = v1::ServerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: call.door.server.boot_id.to_string(),
        capabilities: capabilities.iter().map(Capability::message).collect(),
        limits: Some(limits(call)),
        tenant: tenant.namespace.name.to_string(),
        roles: call.door.access.roles().iter().map(|role| role.word().to_owned()).collect(),
        quotas: quotas(tenant),
    };
    answer(&v1::GetServerInfoResponse { server_info: Some(server_info) })
}

fn limits(call: &Call) -> v1::Limits {
    let (limits, settings) = (&call.door.server.limits, &call.door.server.registry.settings);
    let tenant = call.door.access.tenant();
    let rates = tenant.rates.limits();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    v1::Limits {
        max_read_bytes: limits.max_read_bytes,
        max_write_bytes: limits.max_write_bytes,
        min_chunk_bytes: limits.min_chunk_bytes,
        max_chunk_bytes: limits.max_chunk_bytes,
        default_chunk_bytes: limits.default_chunk_bytes,
        request_id_window: settings.request_id_window.try_into().ok(),
        request_ids: settings.request_ids as u64,
        max_deadline: limits.max_deadline.try_into().ok(),
        page_bytes: PAGE_BYTES,
        host_page_bytes: settings.host_page.get(),
        default_maximum_pages: settings.default_maximum.get(),
        max_list_page_size: convert::LONGEST_LIST,
        max_labels: count(MAX_LABELS),
        max_label_value_bytes: count(MAX_LABEL_VALUE_BYTES),
        max_display_name_bytes: count(MAX_DISPLAY_NAME_BYTES),
        max_queued_grows: count(settings.queued_grows),
        tenant_in_flight_bytes: tenant.in_flight_bytes.limit(),
        tenant_handlers: tenant.handlers.limit(),
        streams_per_connection: limits.streams_per_connection,
        min_lease_ttl: MIN_LEASE.try_into().ok(),
        max_lease_ttl: MAX_LEASE.try_into().ok(),
        in_flight_bytes: limits.in_flight_bytes,
        tenant_waiters: tenant.namespace.most_waiters(),
        max_operations: operations::MAX_OPERATIONS,
        max_group_bytes: operations::MAX_GROUP_BYTES,
        max_group_reply_bytes: limits.max_read_bytes,
        max_group_message_bytes: limits
            .max_write_bytes
            .saturating_add(operations::BESIDE_DATA_BYTES),
        max_remembered_reply_bytes: MAX_REMEMBERED.get(),
        max_segments: segments(tenant),
        max_active_segments: count(MAX_ACTIVE_SEGMENTS),
        max_memory_sets: count(MOST_SETS),
        max_set_members: count(MOST_MEMBERS),
        max_views: count(MOST_VIEWS),
        min_view_ttl: MIN_VIEW_TTL.try_into().ok(),
        max_view_ttl: MAX_VIEW_TTL.try_into().ok(),
        events: tenant.namespace.events().most() as u64,
        max_hooks: count(MAX_HOOKS),
        max_hook_streams: count(MAX_HOOK_STREAMS),
        tenant_sessions: tenant.sessions.limit(),
        max_shares: count(MOST_SHARES),
        max_mounts: count(MOST_MOUNTS),
        stall_timeout: limits.stall_timeout.try_into().ok(),
        message_timeout: limits.message_timeout.try_into().ok(),
        tenant_operations_per_second: rates.operations.map(|limit| limit.per_second),
        tenant_operations_burst: rates.operations.map(|limit| limit.burst),
        tenant_bytes_per_second: rates.bytes.map(|limit| limit.per_second),
        tenant_bytes_burst: rates.bytes.map(|limit| limit.burst),
        tenant_connections: Some(tenant.connections.limit()).filter(|limit| *limit < u64::MAX),
    }
}

fn segments(tenant: &Tenant) -> u32 {
    let [segments, ..] = tenant.namespace.holdings();
    u32::try_from(segments.limit).unwrap_or(u32::MAX)
}

//! From the config and the host to the settings of each floor.
//!
//! Law: plain numbers out; where a number came from goes with it, for GetHost and the log.

use std::collections::HashSet;
use std::time::SystemTime;

use crate::config::{Config, GrowPolicy as GrowPolicyConfig, Tenant as TenantConfig, TenantState};
use crate::model::TenantName;
use crate::os::host::HostFacts;
use crate::registry::{
    Account, EventSettings, Limits as AccountLimits, MOST_SEGMENTS, NamespaceLimits, Settings,
};
use crate::rpc::{ConnectionLimits, Limits, MostConnections};
use crate::tenancy::{GrowPolicy, RateLimit, RateLimits, TenantLimits};
use crate::units::{ByteCount, PAGE_BYTES, WasmPages};

/// The kernel's default, where it does not say.
const MAX_MAP_COUNT: u64 = 65_530;
/// The part of the smallest limit found that the host budget takes.
const BUDGET_PERCENT: u64 = 80;

/// What the host gives, and why.
#[derive(Clone, Debug)]
pub(super) struct HostBudget {
    pub(super) bytes: u64,
    pub(super) source: String,
    pub(super) mappings_limit: u64,
}

/// The host's budget, from the config or the smallest limit found.
pub(super) fn host_budget(config: &Config, facts: &HostFacts) -> HostBudget {
    let (bytes, source) = match (config.memory.host_budget, &facts.budget) {
        (Some(bytes), _) => (bytes, "memory.host_budget".to_owned()),
        (None, Some(limit)) => {
            let part = limit.bytes.get() / 100 * BUDGET_PERCENT;
            (part, format!("{BUDGET_PERCENT} % of {}", limit.source))
        }
        (None, None) => (u64::MAX, "no limit could be read".to_owned()),
    };
    HostBudget {
        bytes: scaled(bytes, config.memory.overcommit),
        source: if (config.memory.overcommit - 1.0).abs() < f64::EPSILON {
            source
        } else {
            format!("{source}, times memory.overcommit {}", config.memory.overcommit)
        },
        mappings_limit: facts.max_map_count.unwrap_or(MAX_MAP_COUNT),
    }
}

/// What all memories together may cost.
pub(super) fn host_account(config: &Config, budget: &HostBudget) -> AccountLimits {
    AccountLimits {
        bytes: budget.bytes,
        mappings: admitted_mappings(config, budget.mappings_limit),
        reserved_bytes: config.memory.reserved_bytes,
        ..AccountLimits::NONE
    }
}

/// The host's budget itself, where `memory.overcommit` lets its account be charged more.
pub(super) fn backed(config: &Config, host: &Account) -> Option<u64> {
    let overcommit = config.memory.overcommit;
    (overcommit > 1.0).then(|| scaled(host.bytes().limit, overcommit.recip()))
}

/// The kernel's limit on mappings less what is kept for the daemon itself.
pub(super) fn admitted_mappings(config: &Config, max_map_count: u64) -> u64 {
    max_map_count.saturating_sub(u64::from(config.memory.mapping_margin))
}

pub(super) fn settings(config: &Config, host_page: ByteCount) -> Settings {
    Settings {
        host_page,
        default_maximum: pages(config.memory.default_maximum_pages),
        inline: ByteCount::new(config.pool.inline_bytes),
        slice: ByteCount::new(config.pool.slice_bytes),
        queued_grows: config.memory.max_queued_grows as usize,
        request_id_window: config.requests.window,
        request_ids: config.requests.per_tenant as usize,
        events: EventSettings { ring: config.events.ring as usize, clock: SystemTime::now },
    }
}

pub(super) fn tenants(config: &Config, host: &AccountLimits) -> Vec<(TenantName, TenantLimits)> {
    config
        .tenants
        .iter()
        // The config has checked the names.
        .filter_map(|tenant| {
            Some((TenantName::new(&tenant.name).ok()?, tenant_limits(config, tenant, host)))
        })
        .collect()
}

/// What one tenant may have.
pub(super) fn tenant_limits(
    config: &Config,
    tenant: &TenantConfig,
    host: &AccountLimits,
) -> TenantLimits {
    let (grpc, share) = (&config.grpc, config.quota.with(&tenant.quota));
    let many = |count: Option<u32>| count.map_or(u64::MAX, u64::from);
    let rate = |per_second: Option<u64>, burst: Option<u64>| {
        per_second.map(|per_second| RateLimit { per_second, burst: burst.unwrap_or(per_second) })
    };
    TenantLimits {
        namespace: NamespaceLimits {
            account: AccountLimits {
                bytes: tenant.quota_bytes.or(share.bytes).unwrap_or(host.bytes),
                mappings: many(tenant.mappings.or(share.mappings)),
                reserved_bytes: tenant
                    .reserved_bytes
                    .unwrap_or(config.memory.reserved_bytes_per_tenant),
                memories: many(tenant.memories.or(share.memories)),
                locked_bytes: share.locked_bytes.unwrap_or(u64::MAX),
                huge_page_bytes: share.huge_page_bytes.unwrap_or(u64::MAX),
            },
            maximum_pages: tenant.maximum_pages.map(pages),
            waiters: share.waiters.unwrap_or(grpc.waiters_per_tenant).into(),
            segments: share.segments.map_or(MOST_SEGMENTS as u64, u64::from),
            segment_bytes: share.segment_bytes.unwrap_or(u64::MAX),
        },
        in_flight_bytes: share.in_flight_bytes.unwrap_or(grpc.in_flight_bytes_per_tenant),
        handlers: share.handlers.unwrap_or(grpc.handlers_per_tenant).into(),
        sessions: share.sessions.unwrap_or(grpc.sessions_per_tenant).into(),
        connections: many(grpc.max_connections_per_tenant),
        rates: RateLimits {
            operations: rate(share.operations_per_second, share.operations_burst),
            bytes: rate(share.bytes_per_second, share.bytes_burst),
        },
        growth: growth(&config.grow_policy.with(&tenant.grow_policy)),
    }
}

/// The tenants that nobody may call as.
pub(super) fn closed(config: &Config) -> HashSet<TenantName> {
    let closed = config.tenants.iter().filter(|one| one.state == TenantState::Closed);
    closed.filter_map(|one| TenantName::new(&one.name).ok()).collect()
}

fn growth(policy: &GrowPolicyConfig) -> GrowPolicy {
    GrowPolicy {
        largest_step_pages: policy.largest_step_pages,
        rate_pages_per_second: policy.rate_pages_per_second,
        budget_share_millionths: policy.budget_share.map(millionths),
    }
}

pub(super) fn limits(config: &Config) -> Limits {
    /// Chunks of downloads and uploads: 64 KiB to 63 pages, 1 MiB where a client does not say.
    const DEFAULT_CHUNK: u64 = 1 << 20;
    Limits {
        max_read_bytes: config.grpc.max_read_bytes,
        max_write_bytes: config.grpc.max_write_bytes,
        min_chunk_bytes: PAGE_BYTES,
        max_chunk_bytes: config.grpc.max_write_bytes,
        default_chunk_bytes: DEFAULT_CHUNK.min(config.grpc.max_write_bytes),
        max_deadline: config.grpc.max_deadline,
        streams_per_connection: config.grpc.streams_per_connection,
        drain_limit: config.drain.limit,
        in_flight_bytes: config.grpc.in_flight_bytes,
        stall_timeout: config.grpc.stall_timeout,
        message_timeout: config.grpc.message_timeout,
        progress_interval: config.events.progress_interval,
    }
}

pub(super) fn most_connections(config: &Config) -> MostConnections {
    MostConnections {
        in_all: u64::from(config.grpc.max_connections),
        per_address: config.grpc.max_connections_per_address.map_or(u64::MAX, u64::from),
    }
}

pub(super) fn connection_limits(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        streams: config.grpc.streams_per_connection,
        header_list_bytes: u32::try_from(config.grpc.max_header_list_bytes).unwrap_or(u32::MAX),
        tls_timeout: config.grpc.tls_timeout,
        certificate_age: config.tls.max_connection_age,
        preface_timeout: config.grpc.preface_timeout,
        header_timeout: config.grpc.header_timeout,
        message_timeout: config.grpc.message_timeout,
        idle_timeout: config.grpc.idle_timeout,
        keepalive_interval: config.grpc.keepalive_interval,
        keepalive_timeout: config.grpc.keepalive_timeout,
    }
}

/// A share in thousandths.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the config holds it between 0 and 1; casts saturate"
)]
pub(super) fn per_mille(share: f64) -> u64 {
    (share * 1000.0).round() as u64
}

/// The same in millionths.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the config holds it between 0 and 1; casts saturate"
)]
fn millionths(share: f64) -> u32 {
    (share * 1_000_000.0).round() as u32
}

pub(super) fn pages(count: u64) -> WasmPages {
    WasmPages::new(count).unwrap_or(WasmPages::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a budget times a factor that the config holds between 0 and a few; casts saturate"
)]
fn scaled(bytes: u64, factor: f64) -> u64 {
    if (factor - 1.0).abs() < f64::EPSILON { bytes } else { (bytes as f64 * factor) as u64 }
}

pub(super) fn boot_bits() -> [u8; 16] {
    let mut bits = [0; 16];
    // Fails only on kernels without the call; a boot_id of zero is then the worst of it.
    let _unavailable = getrandom::fill(&mut bits);
    bits
}

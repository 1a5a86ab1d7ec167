//! Owns the table of keys: the one place that says which keys there are, which field each fills,
//! which values it takes and which flag sets it. File, environment, flags, print and tests are
//! driven by it; a key is added by a line here, a field in `sections.rs` and a comment in
//! `config/linmemd.toml`, and the tests say which of them is missing. It holds no values.

use std::time::Duration;

use crate::config::confinement::{Calls, Measures};
use crate::config::credentials::{Claim, Moment, Sha256, Text};
use crate::config::defaults::{GIB, KIB, MIB, PAGE_BYTES, TIB};
use crate::config::growth::{Policy, Selector};
use crate::config::kinds::{
    Address, Bytes, Factor, FilePath, Filter, Format, Hosts, Id, Kind, Optional, SocketPath,
    Switch, Time, Whole,
};
use crate::config::lists::{Ids, Nodes, Pages, Words};
use crate::config::raw::{Raw, Refusal};
use crate::config::tenant_state::State;
use crate::config::{Config, Hook, Identity, JwtIssuer, Partition, Tenant};

/// The section of tenants: an array of tables, in the file only.
pub(super) const TENANT: &str = "tenant";
/// The section of partitions, likewise.
pub(super) const PARTITION: &str = "partition";
/// The section of hooks of growth, likewise.
pub(super) const HOOK: &str = "hook";
/// The section of those who may call, likewise.
pub(super) const IDENTITY: &str = "identity";
/// The section of those who sign for them, likewise.
pub(super) const JWT_ISSUER: &str = "jwt_issuer";
/// The sections that are arrays of tables, in the file only.
pub(super) const TABLES: [&str; 5] = [TENANT, PARTITION, HOOK, IDENTITY, JWT_ISSUER];

/// What an identity may be given.
const ROLES: &[&str] = &["reader", "writer", "hook_decider", "watcher", "operator", "metrics"];
/// How a JSON Web Token may be signed: with no secret that both sides share.
const ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// What one atomic group may touch, bytes; a unary read or write is one.
const GROUP_BYTES: u64 = 16 * MIB;
/// Of the 128 TiB that x86-64 gives a process, 8 TiB stay for everything that is no memory.
const ADDRESS_SPACE: u64 = 120 * TIB;
/// More than any host has committed.
const MOST_BYTES: u64 = 256 * TIB;
/// Pages of the whole index space of an I32 memory; the default serves both index types.
const I32_PAGES: u64 = 1 << 16;
/// Pages of the whole index space of an I64 memory.
const I64_PAGES: u64 = 1 << 48;
/// Segments of a tenant: their names are in memory, and in one list.
const MOST_SEGMENTS: u32 = 1 << 20;
/// Pages, operations or bytes a second: more than any machine does.
const MOST_RATE: u64 = 1 << 40;
/// More than any machine has.
const MOST_CORES: u32 = 1_024;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One key of a table that fills a `T`.
pub(super) struct Key<T> {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// The flag that sets it, with its dashes.
    pub(super) flag: Option<&'static str>,
    /// Whether a table of an array must have it.
    pub(super) is_needed: bool,
    slot: Box<dyn Slot<T>>,
}

/// The keys of all sections but the tenants', in the order of the file.
#[rustfmt::skip]
pub(super) fn keys() -> Vec<Key<Config>> {
    vec![
        key("grpc", "listen", Address, |c: &mut Config| &mut c.grpc.listen).flag("--listen"),
        key("grpc", "allow_anonymous", Switch, |c| &mut c.grpc.allow_anonymous),
        key("grpc", "allow_plaintext", Switch, |c| &mut c.grpc.allow_plaintext),
        key("grpc", "unix_socket", Optional(SocketPath, "no Unix socket"), |c: &mut Config| &mut c.grpc.unix_socket).flag("--unix-socket"),
        key("grpc", "max_connections", Whole(1, 1_000_000), |c| &mut c.grpc.max_connections),
        key("grpc", "max_connections_per_address", Optional(Whole(1, 1_000_000), "no limit"), |c: &mut Config| &mut c.grpc.max_connections_per_address),
        key("grpc", "max_connections_per_tenant", Optional(Whole(1, 1_000_000), "no limit"), |c: &mut Config| &mut c.grpc.max_connections_per_tenant),
        key("grpc", "streams_per_connection", Whole(1, 65_535), |c| &mut c.grpc.streams_per_connection),
        key("grpc", "tls_timeout", Time(10 * MS, 10 * MINUTE), |c| &mut c.grpc.tls_timeout),
        key("grpc", "preface_timeout", Time(10 * MS, 10 * MINUTE), |c| &mut c.grpc.preface_timeout),
        key("grpc", "header_timeout", Time(10 * MS, 10 * MINUTE), |c| &mut c.grpc.header_timeout),
        key("grpc", "message_timeout", Time(10 * MS, HOUR), |c| &mut c.grpc.message_timeout),
        key("grpc", "idle_timeout", Time(100 * MS, DAY), |c| &mut c.grpc.idle_timeout),
        key("grpc", "keepalive_interval", Time(100 * MS, DAY), |c| &mut c.grpc.keepalive_interval),
        key("grpc", "keepalive_timeout", Time(100 * MS, HOUR), |c| &mut c.grpc.keepalive_timeout),
        key("grpc", "max_deadline", Time(SECOND, DAY), |c| &mut c.grpc.max_deadline),
        key("grpc", "handlers_per_tenant", Whole(1, 1_000_000), |c| &mut c.grpc.handlers_per_tenant),
        key("grpc", "waiters_per_tenant", Whole(0, 1 << 24), |c| &mut c.grpc.waiters_per_tenant),
        key("grpc", "sessions_per_tenant", Whole(0, 1_000_000), |c| &mut c.grpc.sessions_per_tenant),
        key("grpc", "stall_timeout", Time(100 * MS, HOUR), |c| &mut c.grpc.stall_timeout),
        key("grpc", "in_flight_bytes", Bytes(MIB, TIB), |c| &mut c.grpc.in_flight_bytes),
        key("grpc", "in_flight_bytes_per_tenant", Bytes(MIB, TIB), |c| &mut c.grpc.in_flight_bytes_per_tenant),
        key("grpc", "max_read_bytes", Bytes(PAGE_BYTES, GROUP_BYTES), |c| &mut c.grpc.max_read_bytes),
        key("grpc", "max_write_bytes", Bytes(PAGE_BYTES, GROUP_BYTES), |c| &mut c.grpc.max_write_bytes),
        key("grpc", "max_header_list_bytes", Bytes(4 * KIB, MIB), |c| &mut c.grpc.max_header_list_bytes),
        key("grpc", "runtimes", Optional(Whole(1, MOST_CORES), "one a core"), |c| &mut c.grpc.runtimes),
        key("grpc", "numa_nodes", Nodes("wherever the kernel puts them"), |c| &mut c.grpc.numa_nodes),

        key("http", "listen", Address, |c: &mut Config| &mut c.http.listen).flag("--metrics-listen"),
        key("http", "allow_anonymous", Switch, |c| &mut c.http.allow_anonymous),
        key("http", "allow_plaintext", Switch, |c| &mut c.http.allow_plaintext),
        key("http", "tls", Switch, |c| &mut c.http.tls),
        key("http", "allowed_hosts", Hosts, |c| &mut c.http.allowed_hosts),

        key("tls", "certificate", Optional(FilePath, "no TLS"), |c| &mut c.tls.certificate),
        key("tls", "key", Optional(FilePath, "no TLS"), |c| &mut c.tls.key),
        key("tls", "client_ca", Optional(FilePath, "nobody is asked for a certificate"), |c| &mut c.tls.client_ca),
        key("tls", "client_crl", Optional(FilePath, "no certificate is revoked"), |c| &mut c.tls.client_crl),
        key("tls", "max_connection_age", Time(SECOND, 30 * DAY), |c| &mut c.tls.max_connection_age),
        key("tls", "reload_interval", Time(100 * MS, DAY), |c| &mut c.tls.reload_interval),

        key("memory", "default_maximum_pages", Whole(1, I32_PAGES), |c| &mut c.memory.default_maximum_pages),
        key("memory", "host_budget", Optional(Bytes(MIB, MOST_BYTES), "80 % of the smallest limit found"), |c| &mut c.memory.host_budget),
        key("memory", "overcommit", Factor(0.1, 64.0), |c| &mut c.memory.overcommit),
        key("memory", "reserved_bytes", Bytes(GIB, ADDRESS_SPACE), |c| &mut c.memory.reserved_bytes),
        key("memory", "reserved_bytes_per_tenant", Bytes(MIB, ADDRESS_SPACE), |c| &mut c.memory.reserved_bytes_per_tenant),
        key("memory", "mapping_margin", Whole(256, 1_000_000), |c| &mut c.memory.mapping_margin),
        key("memory", "slabs", Switch, |c| &mut c.memory.slabs),
        key("memory", "max_queued_grows", Whole(0, 1_024), |c| &mut c.memory.max_queued_grows),
        key("memory", "purge_at", Optional(Factor(0.1, 1.0), "never purged"), |c| &mut c.memory.purge_at),
        key("memory", "pressure_interval", Time(10 * MS, MINUTE), |c| &mut c.memory.pressure_interval),

        key("fixed", "slots", Whole(0, 1 << 20), |c| &mut c.fixed.slots),
        key("fixed", "slot_pages", Whole(1, I32_PAGES), |c| &mut c.fixed.slot_pages),

        key("requests", "window", Time(SECOND, DAY), |c| &mut c.requests.window),
        key("requests", "per_tenant", Whole(1, 1 << 24), |c| &mut c.requests.per_tenant),

        key("lease", "sweep_interval", Time(10 * MS, MINUTE), |c| &mut c.lease.sweep_interval),

        key("events", "ring", Whole(16, 1 << 20), |c| &mut c.events.ring),
        key("events", "progress_interval", Time(10 * MS, HOUR), |c| &mut c.events.progress_interval),

        key("pool", "threads", Optional(Whole(1, MOST_CORES), "one a core"), |c| &mut c.pool.threads),
        key("pool", "nice", Whole(0, 19), |c| &mut c.pool.nice),
        key("pool", "numa_nodes", Nodes("wherever the kernel puts them"), |c| &mut c.pool.numa_nodes),
        key("pool", "inline_bytes", Bytes(0, GROUP_BYTES), |c| &mut c.pool.inline_bytes),
        key("pool", "slice_bytes", Bytes(PAGE_BYTES, 64 * MIB), |c| &mut c.pool.slice_bytes),

        key("metrics", "each_memory", Switch, |c| &mut c.metrics.each_memory),
        key("metrics", "each_memory_cap", Whole(1, 1_000_000), |c| &mut c.metrics.each_memory_cap),
        key("metrics", "tenants_cap", Whole(1, 100_000), |c| &mut c.metrics.tenants_cap),

        key("log", "format", Format, |c| &mut c.log.format),
        key("log", "filter", Filter, |c| &mut c.log.filter),

        key("audit", "file", Optional(FilePath, "no audit log"), |c| &mut c.audit.file),
        key("audit", "queue", Whole(16, 1 << 20), |c| &mut c.audit.queue),

        key("drain", "limit", Time(Duration::ZERO, HOUR), |c| &mut c.drain.limit),

        key("confinement", "landlock", Switch, |c| &mut c.confinement.landlock),
        key("confinement", "seccomp", Calls, |c| &mut c.confinement.seccomp),
        key("confinement", "keep_ipc_lock", Switch, |c| &mut c.confinement.keep_ipc_lock),
        key("confinement", "require", Measures, |c| &mut c.confinement.require),

        key("quota", "bytes", Optional(Bytes(PAGE_BYTES, MOST_BYTES), "the host budget"), |c| &mut c.quota.bytes),
        key("quota", "memories", Optional(Whole(0, u32::MAX), "no limit"), |c| &mut c.quota.memories),
        key("quota", "mappings", Optional(Whole(0, u32::MAX), "what the host has left"), |c| &mut c.quota.mappings),
        key("quota", "locked_bytes", Optional(Bytes(0, MOST_BYTES), "what the host lets lock"), |c| &mut c.quota.locked_bytes),
        key("quota", "huge_page_bytes", Optional(Bytes(0, MOST_BYTES), "what the host's pools have"), |c| &mut c.quota.huge_page_bytes),
        key("quota", "segments", Optional(Whole(0, MOST_SEGMENTS), "16384"), |c| &mut c.quota.segments),
        key("quota", "segment_bytes", Optional(Bytes(0, MOST_BYTES), "the tenant's quota of bytes"), |c| &mut c.quota.segment_bytes),
        key("quota", "operations_per_second", Optional(Whole(1, MOST_RATE), "any number"), |c| &mut c.quota.operations_per_second),
        key("quota", "operations_burst", Optional(Whole(1, MOST_RATE), "those of one second"), |c| &mut c.quota.operations_burst),
        key("quota", "bytes_per_second", Optional(Bytes(1, MOST_RATE), "any number"), |c| &mut c.quota.bytes_per_second),
        key("quota", "bytes_burst", Optional(Bytes(1, MOST_RATE), "those of one second"), |c| &mut c.quota.bytes_burst),

        key("grow_policy", "largest_step_pages", Optional(Whole(1, I64_PAGES), "any number"), |c| &mut c.grow_policy.largest_step_pages),
        key("grow_policy", "rate_pages_per_second", Optional(Whole(1, MOST_RATE), "any number"), |c| &mut c.grow_policy.rate_pages_per_second),
        key("grow_policy", "budget_share", Optional(Factor(0.001, 1.0), "all of its quota"), |c| &mut c.grow_policy.budget_share),
    ]
}

/// The keys of one `[[tenant]]`; its name first.
#[rustfmt::skip]
pub(super) fn tenant_keys() -> Vec<Key<Tenant>> {
    vec![
        key(TENANT, "name", Id, |t: &mut Tenant| &mut t.name).needed(),
        key(TENANT, "quota_bytes", Optional(Bytes(PAGE_BYTES, MOST_BYTES), "quota.bytes"), |t| &mut t.quota_bytes),
        key(TENANT, "memories", Optional(Whole(0, u32::MAX), "quota.memories"), |t| &mut t.memories),
        key(TENANT, "maximum_pages", Optional(Whole(1, I64_PAGES), "no cap of its own"), |t| &mut t.maximum_pages),
        key(TENANT, "reserved_bytes", Optional(Bytes(PAGE_BYTES, ADDRESS_SPACE), "memory.reserved_bytes_per_tenant"), |t| &mut t.reserved_bytes),
        key(TENANT, "mappings", Optional(Whole(0, u32::MAX), "quota.mappings"), |t| &mut t.mappings),
        key(TENANT, "locked_bytes", Optional(Bytes(0, MOST_BYTES), "quota.locked_bytes"), |t| &mut t.quota.locked_bytes),
        key(TENANT, "huge_page_bytes", Optional(Bytes(0, MOST_BYTES), "quota.huge_page_bytes"), |t| &mut t.quota.huge_page_bytes),
        key(TENANT, "segments", Optional(Whole(0, MOST_SEGMENTS), "quota.segments"), |t| &mut t.quota.segments),
        key(TENANT, "segment_bytes", Optional(Bytes(0, MOST_BYTES), "quota.segment_bytes"), |t| &mut t.quota.segment_bytes),
        key(TENANT, "waiters", Optional(Whole(0, 1 << 24), "grpc.waiters_per_tenant"), |t| &mut t.quota.waiters),
        key(TENANT, "sessions", Optional(Whole(0, 1_000_000), "grpc.sessions_per_tenant"), |t| &mut t.quota.sessions),
        key(TENANT, "handlers", Optional(Whole(1, 1_000_000), "grpc.handlers_per_tenant"), |t| &mut t.quota.handlers),
        key(TENANT, "in_flight_bytes", Optional(Bytes(MIB, TIB), "grpc.in_flight_bytes_per_tenant"), |t| &mut t.quota.in_flight_bytes),
        key(TENANT, "operations_per_second", Optional(Whole(1, MOST_RATE), "quota.operations_per_second"), |t| &mut t.quota.operations_per_second),
        key(TENANT, "operations_burst", Optional(Whole(1, MOST_RATE), "quota.operations_burst"), |t| &mut t.quota.operations_burst),
        key(TENANT, "bytes_per_second", Optional(Bytes(1, MOST_RATE), "quota.bytes_per_second"), |t| &mut t.quota.bytes_per_second),
        key(TENANT, "bytes_burst", Optional(Bytes(1, MOST_RATE), "quota.bytes_burst"), |t| &mut t.quota.bytes_burst),
        key(TENANT, "state", State, |t| &mut t.state),
        key(TENANT, "grow_largest_step_pages", Optional(Whole(1, I64_PAGES), "grow_policy.largest_step_pages"), |t| &mut t.grow_policy.largest_step_pages),
        key(TENANT, "grow_rate_pages_per_second", Optional(Whole(1, MOST_RATE), "grow_policy.rate_pages_per_second"), |t| &mut t.grow_policy.rate_pages_per_second),
        key(TENANT, "grow_budget_share", Optional(Factor(0.001, 1.0), "grow_policy.budget_share"), |t| &mut t.grow_policy.budget_share),
    ]
}

/// The keys of one `[[partition]]`; its name first.
#[rustfmt::skip]
pub(super) fn partition_keys() -> Vec<Key<Partition>> {
    vec![
        key(PARTITION, "name", Id, |p: &mut Partition| &mut p.name).needed(),
        key(PARTITION, "maximum_bytes", Bytes(PAGE_BYTES, MOST_BYTES), |p: &mut Partition| &mut p.maximum_bytes).needed(),
        key(PARTITION, "minimum_bytes", Bytes(0, MOST_BYTES), |p| &mut p.minimum_bytes),
        key(PARTITION, "parent", Optional(Id, "the host"), |p| &mut p.parent),
        key(PARTITION, "nodes", Nodes("its parent's, or all"), |p| &mut p.nodes),
        key(PARTITION, "page_kind", Optional(Pages, "its parent's, or base pages"), |p| &mut p.page_kind),
        key(PARTITION, "locked", Switch, |p| &mut p.locked),
        key(PARTITION, "tenants", Ids, |p| &mut p.tenants),
        key(PARTITION, "memories", Optional(Whole(0, u32::MAX), "what tenants may have"), |p| &mut p.memories),
        key(PARTITION, "mappings", Optional(Whole(0, u32::MAX), "what the host has left"), |p| &mut p.mappings),
        key(PARTITION, "reserved_bytes", Optional(Bytes(PAGE_BYTES, ADDRESS_SPACE), "what the host has left"), |p| &mut p.reserved_bytes),
    ]
}

/// The keys of one `[[hook]]`; its name first.
#[rustfmt::skip]
pub(super) fn hook_keys() -> Vec<Key<Hook>> {
    vec![
        key(HOOK, "name", Id, |h: &mut Hook| &mut h.name).needed(),
        key(HOOK, "tenant", Optional(Id, "every tenant"), |h| &mut h.tenant),
        key(HOOK, "label_selector", Selector, |h| &mut h.label_selector),
        key(HOOK, "failure_policy", Policy, |h| &mut h.failure_policy),
        key(HOOK, "answer_timeout", Time(10 * MS, 10 * SECOND), |h| &mut h.answer_timeout),
        key(HOOK, "rank", Whole(i32::MIN, i32::MAX), |h| &mut h.rank),
    ]
}

/// The keys of one `[[identity]]`; its name first.
#[rustfmt::skip]
pub(super) fn identity_keys() -> Vec<Key<Identity>> {
    vec![
        key(IDENTITY, "name", Id, |i: &mut Identity| &mut i.name).needed(),
        key(IDENTITY, "tenant", Id, |i: &mut Identity| &mut i.tenant).needed(),
        key(IDENTITY, "roles", Words(ROLES), |i: &mut Identity| &mut i.roles).needed(),
        key(IDENTITY, "san_uri", Optional(Text, "another credential"), |i| &mut i.san_uri),
        key(IDENTITY, "san_dns", Optional(Text, "another credential"), |i| &mut i.san_dns),
        key(IDENTITY, "token_sha256", Optional(Sha256, "another credential"), |i| &mut i.token_sha256),
        key(IDENTITY, "jwt", Optional(Claim, "another credential"), |i| &mut i.jwt),
        key(IDENTITY, "uid", Optional(Whole(0, u32::MAX), "another credential"), |i| &mut i.uid),
        key(IDENTITY, "expire_time", Optional(Moment, "for good"), |i| &mut i.expire_time),
    ]
}

/// The keys of one `[[jwt_issuer]]`; its name first.
#[rustfmt::skip]
pub(super) fn jwt_issuer_keys() -> Vec<Key<JwtIssuer>> {
    vec![
        key(JWT_ISSUER, "issuer", Text, |i: &mut JwtIssuer| &mut i.issuer).needed(),
        key(JWT_ISSUER, "audience", Text, |i: &mut JwtIssuer| &mut i.audience).needed(),
        key(JWT_ISSUER, "jwks_file", FilePath, |i: &mut JwtIssuer| &mut i.jwks_file).needed(),
        key(JWT_ISSUER, "algorithms", Words(ALGORITHMS), |i: &mut JwtIssuer| &mut i.algorithms).needed(),
    ]
}

impl<T> Key<T> {
    /// `section.name`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// `LINMEMD_<SECTION>__<KEY>`.
    pub(super) fn variable(&self) -> String {
        format!("LINMEMD_{}__{}", self.section, self.name).to_ascii_uppercase()
    }

    /// A table of an array means nothing without it.
    fn needed(self) -> Self {
        Self { is_needed: true, ..self }
    }

    fn flag(self, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..self }
    }

    pub(super) fn read(&self, raw: &Raw, into: &mut T) -> Result<(), Refusal> {
        self.slot.read(raw, into)
    }

    /// The value as TOML; none where it is absent.
    pub(super) fn show(&self, of: &mut T) -> Option<String> {
        self.slot.show(of)
    }

    pub(super) fn accepts(&self) -> String {
        self.slot.accepts()
    }

    /// What of a refused value is to be looked at.
    pub(super) fn found(&self, raw: &Raw) -> String {
        self.slot.found(raw)
    }

    /// What absence means; empty for a key that always has a value.
    pub(super) fn absent(&self) -> &'static str {
        self.slot.absent()
    }
}

/// A kind with the field that it fills, its value's type forgotten.
trait Slot<T> {
    fn read(&self, raw: &Raw, into: &mut T) -> Result<(), Refusal>;
    fn show(&self, of: &mut T) -> Option<String>;
    fn accepts(&self) -> String;
    fn absent(&self) -> &'static str;
    fn found(&self, raw: &Raw) -> String;
}

struct Field<T, K: Kind> {
    kind: K,
    at: fn(&mut T) -> &mut K::Value,
}

impl<T, K: Kind> Slot<T> for Field<T, K> {
    fn read(&self, raw: &Raw, into: &mut T) -> Result<(), Refusal> {
        *(self.at)(into) = self.kind.read(raw)?;
        Ok(())
    }

    fn show(&self, of: &mut T) -> Option<String> {
        self.kind.show((self.at)(of))
    }

    fn accepts(&self) -> String {
        self.kind.accepts()
    }

    fn absent(&self) -> &'static str {
        self.kind.absent()
    }

    fn found(&self, raw: &Raw) -> String {
        self.kind.found(raw)
    }
}

fn key<T: 'static, K: Kind + 'static>(
    section: &'static str,
    name: &'static str,
    kind: K,
    at: fn(&mut T) -> &mut K::Value,
) -> Key<T> {
    Key { section, name, flag: None, is_needed: false, slot: Box::new(Field { kind, at }) }
}

//! Owns the rules between keys: pairs that are fine alone and cannot both stand. Rules only
//! compare values that no layer gave wrongly. What needs the host to be judged (its limits, its
//! addresses) is not here.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::config::defaults::PAGE_BYTES;
use crate::config::draft::Findings;
use crate::config::keys::TENANT;
use crate::config::mistake::{Fault, Origin};
use crate::config::{
    Config, Confinement, Entry, Measure, Seccomp, exposure, growth, identities, partitions, quota,
};

/// Room for what surrounds the bytes of a write in its message: one page is plenty.
pub(super) const MESSAGE_BYTES: u64 = PAGE_BYTES;

/// Notes every contradiction. `entries` are the same values, for the messages.
pub(super) fn note(config: &Config, entries: &[Entry], findings: &mut Findings) {
    let mut rules = Vec::new();
    sizes(config, &mut rules);
    tenants(config, findings, &mut rules);
    confinement(config, &mut rules);
    quota::note(config, &mut rules);
    partitions::note(config, findings, &mut rules);
    growth::note(config, findings);
    identities::note(config, findings, &mut rules);
    exposure::note(config, &mut rules);
    ports(config, &mut rules);
    let shown: BTreeMap<&str, &str> = entries
        .iter()
        .map(|entry| (entry.key.as_str(), entry.value.as_deref().unwrap_or(entry.absent)))
        .collect();
    for rule in rules.into_iter().filter(|rule| !rule.holds) {
        let Rule { mut key, mut other, accepted, .. } = rule;
        if findings.broken.contains(&key) || findings.broken.contains(&other) {
            continue;
        }
        // The line to look at is one that somebody wrote.
        if findings.origin(&key) == Origin::Default {
            std::mem::swap(&mut key, &mut other);
        }
        let value = |key: &str| shown.get(key).copied().unwrap_or_default().to_owned();
        let fault = Fault::Contradiction {
            found: value(&key),
            other_found: value(&other),
            other_origin: findings.origin(&other),
            other,
            accepted,
        };
        findings.note(findings.origin(&key), key, fault);
    }
}

pub(super) struct Rule {
    key: String,
    other: String,
    holds: bool,
    accepted: String,
}

pub(super) fn rule(
    key: impl Into<String>,
    other: &str,
    holds: bool,
    accepted: impl Into<String>,
) -> Rule {
    Rule { key: key.into(), other: other.to_owned(), holds, accepted: accepted.into() }
}

fn ports(config: &Config, rules: &mut Vec<Rule>) {
    let Config { grpc, http, .. } = config;
    rules.push(rule(
        "grpc.listen",
        "http.listen",
        !collide(grpc.listen, http.listen),
        "two different ports, or two addresses of which neither covers the other",
    ));
}

fn sizes(config: &Config, rules: &mut Vec<Rule>) {
    let Config { grpc, memory, fixed, pool, .. } = config;
    let at_most = |key: &str, least: u64, other: &str, most: u64| {
        rule(key, other, least <= most, format!("{key} at most {other}"))
    };
    rules.push(at_most(
        "grpc.in_flight_bytes_per_tenant",
        grpc.in_flight_bytes_per_tenant,
        "grpc.in_flight_bytes",
        grpc.in_flight_bytes,
    ));
    for (key, bytes) in [
        ("grpc.max_read_bytes", grpc.max_read_bytes),
        ("grpc.max_write_bytes", grpc.max_write_bytes),
    ] {
        rules.push(rule(
            key,
            "grpc.in_flight_bytes_per_tenant",
            bytes.saturating_add(MESSAGE_BYTES) <= grpc.in_flight_bytes_per_tenant,
            format!("{key} and 64KiB more at most grpc.in_flight_bytes_per_tenant"),
        ));
    }
    rules.push(at_most(
        "memory.reserved_bytes_per_tenant",
        memory.reserved_bytes_per_tenant,
        "memory.reserved_bytes",
        memory.reserved_bytes,
    ));
    rules.push(rule(
        "memory.default_maximum_pages",
        "memory.reserved_bytes_per_tenant",
        bytes_of(memory.default_maximum_pages) <= memory.reserved_bytes_per_tenant,
        "memory.default_maximum_pages times 64KiB at most memory.reserved_bytes_per_tenant",
    ));
    let arena = bytes_of(u64::from(fixed.slots).saturating_mul(fixed.slot_pages));
    rules.push(rule(
        "fixed.slots",
        "memory.host_budget",
        memory.host_budget.is_none_or(|budget| arena <= budget),
        "fixed.slots times fixed.slot_pages times 64KiB at most memory.host_budget",
    ));
    // A guard of a page beside each slot.
    let arena = u64::from(fixed.slots).saturating_mul(fixed.slot_pages.saturating_add(1));
    rules.push(rule(
        "fixed.slots",
        "memory.reserved_bytes",
        bytes_of(arena.saturating_add(1)) <= memory.reserved_bytes || fixed.slots == 0,
        "fixed.slots times fixed.slot_pages and 1 more, times 64KiB, at most memory.reserved_bytes",
    ));
    rules.push(at_most(
        "pool.inline_bytes",
        pool.inline_bytes,
        "pool.slice_bytes",
        pool.slice_bytes,
    ));
}

fn confinement(config: &Config, rules: &mut Vec<Rule>) {
    let Confinement { landlock, seccomp, require, .. } = &config.confinement;
    for (measure, key, is_on) in [
        (Measure::Landlock, "confinement.landlock", *landlock),
        (Measure::Seccomp, "confinement.seccomp", *seccomp == Seccomp::Enforce),
    ] {
        rules.push(rule(
            "confinement.require",
            key,
            is_on || !require.contains(&measure),
            "a measure that is required switched on",
        ));
    }
}

fn tenants(config: &Config, findings: &mut Findings, rules: &mut Vec<Rule>) {
    let mut first: BTreeMap<&str, String> = BTreeMap::new();
    for (index, tenant) in config.tenants.iter().enumerate() {
        let path = |name: &str| format!("{TENANT}[{index}].{name}");
        if let Some(first) = first.get(tenant.name.as_str()) {
            let (found, first) = (format!("{:?}", tenant.name), findings.origin(first));
            let origin = findings.origin(&path("name"));
            findings.note(origin, path("name"), Fault::Duplicate { found, first });
        } else if !tenant.name.is_empty() {
            first.insert(&tenant.name, path("name"));
        }
        let Some(reserved) = tenant.reserved_bytes else { continue };
        rules.push(rule(
            path("reserved_bytes"),
            "memory.reserved_bytes",
            reserved <= config.memory.reserved_bytes,
            format!("{} at most memory.reserved_bytes", path("reserved_bytes")),
        ));
        let pages = tenant.maximum_pages.unwrap_or(u64::MAX);
        let pages = pages.min(config.memory.default_maximum_pages);
        rules.push(rule(
            path("reserved_bytes"),
            "memory.default_maximum_pages",
            bytes_of(pages) <= reserved,
            format!(
                "room for one memory of the default maximum: {} at least 64KiB times the smaller \
                 of memory.default_maximum_pages and {}",
                path("reserved_bytes"),
                path("maximum_pages"),
            ),
        ));
    }
}

/// Whether one of the two listeners would find its port taken by the other.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (left, right) = (one.ip(), other.ip());
    let covers = left == right || left.is_unspecified() || right.is_unspecified();
    one.port() != 0 && one.port() == other.port() && covers
}

fn bytes_of(pages: u64) -> u64 {
    pages.saturating_mul(PAGE_BYTES)
}

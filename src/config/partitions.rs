//! Owns `[[partition]]`, and the rules between partitions, and between them and the rest: parents that exist and end at the
//! host, minimums that fit. What needs the host to be judged (its RAM, its nodes) is not here.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::config::contradictions::{Rule, rule};
use crate::config::draft::Findings;
use crate::config::keys::PARTITION;
use crate::config::mistake::Fault;

/// One `[[partition]]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partition {
    /// Its name, `[A-Za-z0-9][A-Za-z0-9._:-]{0,127}`, unique. No default.
    pub name: String,
    /// What everything in it may cost, bytes. No default.
    pub maximum_bytes: u64,
    /// What of that is set aside at start, bytes. Default: 0.
    pub minimum_bytes: u64,
    /// The partition that it is a part of. Default: none, which is the host.
    pub parent: Option<String>,
    /// NUMA nodes that it is isolated to. Default: empty, which is its parent's, or all.
    pub nodes: Vec<u32>,
    /// The kind of pages that is set aside. Default: none, which is its parent's, or base pages.
    pub page_kind: Option<PageKind>,
    /// Whether its memories are locked in RAM. Default: false.
    pub locked: bool,
    /// Tenants whose memories may live in it. Default: empty, which is all.
    pub tenants: Vec<String>,
    /// Memories that may be in it. Default: none, which is what tenants may have.
    pub memories: Option<u32>,
    /// Their mappings. Default: none, which is what the host has left.
    pub mappings: Option<u32>,
    /// Their address space, bytes. Default: none, which is what the host has left.
    pub reserved_bytes: Option<u64>,
}

/// A kind of pages that can be set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// The host's base pages.
    Base,
    /// 2 MiB pages of the host's pool.
    Huge2M,
    /// 1 GiB pages of the host's pool.
    Huge1G,
}

/// Notes every contradiction that is about partitions.
pub(super) fn note(config: &Config, findings: &mut Findings, rules: &mut Vec<Rule>) {
    let all = &config.partitions;
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, one) in all.iter().enumerate() {
        if one.name.is_empty() {
            continue;
        }
        if let Some(first) = first.get(one.name.as_str()) {
            let first = findings.origin(&path(*first, "name"));
            let (found, key) = (format!("{:?}", one.name), path(index, "name"));
            findings.note(findings.origin(&key), key, Fault::Duplicate { found, first });
        } else {
            first.insert(&one.name, index);
        }
    }
    let mut whole = true;
    for (index, one) in all.iter().enumerate() {
        whole &= parent(index, one, all, &first, findings);
        tenants(index, one, config, findings);
        rules.push(rule(
            path(index, "minimum_bytes"),
            &path(index, "maximum_bytes"),
            one.minimum_bytes <= one.maximum_bytes,
            "minimum_bytes at most maximum_bytes",
        ));
    }
    let broken = |key: &String| key.starts_with(PARTITION);
    // Sums of what is not known would prove nothing.
    if whole && !findings.broken.iter().any(broken) {
        sums(config, rules);
    }
}

/// Whether its parent is there and is not itself in it.
fn parent(
    index: usize,
    one: &Partition,
    all: &[Partition],
    known: &BTreeMap<&str, usize>,
    findings: &mut Findings,
) -> bool {
    let key = path(index, "parent");
    let Some(parent) = &one.parent else { return !findings.broken.contains(&key) };
    let mut refuse = |accepted: &str| {
        let (found, accepted) = (format!("{parent:?}"), accepted.to_owned());
        findings.note(findings.origin(&key), key.clone(), Fault::Malformed { found, accepted });
        false
    };
    if !known.contains_key(parent.as_str()) {
        return refuse("the name of another [[partition]]");
    }
    let (mut above, mut steps) = (Some(parent), 0);
    while let Some(name) = above {
        if *name == one.name || steps > all.len() {
            return refuse("a partition that is not itself in this one");
        }
        steps += 1;
        let next = known.get(name.as_str()).and_then(|at| all.get(*at));
        above = next.and_then(|next| next.parent.as_ref());
    }
    true
}

fn tenants(index: usize, one: &Partition, config: &Config, findings: &mut Findings) {
    let key = path(index, "tenants");
    for name in &one.tenants {
        if !config.tenants.iter().any(|tenant| tenant.name == *name) {
            let (found, accepted) = (format!("{name:?}"), "names of [[tenant]]s".to_owned());
            findings.note(findings.origin(&key), key.clone(), Fault::Malformed { found, accepted });
        }
    }
}

/// What partitions take at start must fit where they take it from.
fn sums(config: &Config, rules: &mut Vec<Rule>) {
    let all = &config.partitions;
    for (index, one) in all.iter().enumerate() {
        let minimums = children(all, Some(&one.name));
        rules.push(rule(
            path(index, "maximum_bytes"),
            &path(index, "name"),
            minimums <= one.maximum_bytes,
            format!("room for the minimum_bytes of the partitions in it, {minimums} together"),
        ));
    }
    let minimums = children(all, None);
    if let Some(budget) = config.memory.host_budget {
        let last = all.iter().rposition(|one| one.parent.is_none() && one.minimum_bytes > 0);
        rules.push(rule(
            path(last.unwrap_or_default(), "minimum_bytes"),
            "memory.host_budget",
            all.is_empty() || minimums <= scaled(budget, config.memory.overcommit),
            format!(
                "minimum_bytes of all partitions, {minimums} together, at most memory.host_budget \
                 times memory.overcommit"
            ),
        ));
    }
}

/// What those directly in one take of it: the larger of their minimum and what those in them take.
fn children(all: &[Partition], of: Option<&str>) -> u64 {
    let within = all.iter().filter(|one| one.parent.as_deref() == of);
    within
        .map(|one| one.minimum_bytes.max(children(all, Some(&one.name))))
        .fold(0, u64::saturating_add)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a budget times a factor that the config holds between 0 and a few; casts saturate"
)]
fn scaled(bytes: u64, factor: f64) -> u64 {
    (bytes as f64 * factor) as u64
}

fn path(index: usize, name: &str) -> String {
    format!("{PARTITION}[{index}].{name}")
}

//! `info`, `host` and `drain`: the server, its host, and its end.

use clap::Args;
use linmemd::client::proto::{CapabilityState, HostInfo, Quota, ServerInfo};
use serde_json::{Value, json};

use crate::failure::CtlError;
use crate::json;
use crate::session::Session;
use crate::size::human;
use crate::table::{pairs, table};

/// Arguments of `info`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl info
  linmemctl info --json | jq .limits.max_read_bytes
  linmemctl --tenant blue info             that tenant's quotas and usage")]
pub(crate) struct InfoArgs {}

/// Arguments of `host`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl host
  linmemctl host --json | jq '.fallbacks, .quarantined_ranges'")]
pub(crate) struct HostArgs {}

/// Arguments of `drain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl drain
  linmemctl --endpoint unix:///run/linmemd.sock drain

Memories live in RAM and end with the daemon. On a listener without credentials draining works over
the Unix socket only, for the daemon's own user or root.")]
pub(crate) struct DrainArgs {}

/// Shows the server.
pub(crate) async fn info(session: &Session) -> Result<(), CtlError> {
    let info = session.client.server_info().await?;
    let value = json::server_info(&info);
    session.output.either(&value, &info_text(&info, &value))
}

/// Shows the host.
pub(crate) async fn host(session: &Session) -> Result<(), CtlError> {
    let host = session.client.host().await?;
    let value = json::host(&host);
    session.output.either(&value, &host_text(&host, &value))
}

/// Begins the drain.
pub(crate) async fn drain(session: &Session) -> Result<(), CtlError> {
    let limit = session.client.drain().await?.drain_limit.map(|limit| limit.to_string());
    let text = format!("draining; it ends within {}", limit.as_deref().unwrap_or("its limit"));
    session.output.either(&json!({ "drain_limit": limit }), &text)
}

fn info_text(info: &ServerInfo, value: &Value) -> String {
    let own = ["version", "boot_id", "tenant", "roles"];
    let capabilities = info.capabilities.iter().map(|one| {
        let state = CapabilityState::try_from(one.state).unwrap_or_default().as_str_name();
        let state = state.trim_start_matches("CAPABILITY_STATE_").to_owned();
        vec![one.name.clone(), state, one.reason.clone()]
    });
    let quotas = info.quotas.iter().map(quota);
    [
        pairs(&some(value, &own)),
        table(&["QUOTA", "USED", "LIMIT"], quotas.collect()),
        pairs(&json::flat(&value["limits"])),
        table(&["CAPABILITY", "STATE", "REASON"], capabilities.collect()),
    ]
    .join("\n\n")
}

fn host_text(host: &HostInfo, value: &Value) -> String {
    let own = [
        "kernel_release",
        "host_page_bytes",
        "guard_kind",
        "draining",
        "overload_step",
        "config_hash",
        "numa_nodes",
        "huge_page_pools",
        "listeners",
    ];
    let mut parts = vec![pairs(&some(value, &own))];
    let limits = host.limits.iter().map(|one| {
        let (used, limit) = (amount(&one.name, one.used), amount(&one.name, one.limit));
        vec![one.name.clone(), used, limit, one.source.clone()]
    });
    parts.push(table(&["LIMIT", "USED", "OF", "SOURCE"], limits.collect()));
    let confinement = host.confinement.iter();
    let confinement =
        confinement.map(|one| vec![one.measure.clone(), one.state.clone(), one.reason.clone()]);
    parts.push(table(&["CONFINEMENT", "STATE", "REASON"], confinement.collect()));
    for (name, empty) in [
        ("fallbacks", host.fallbacks.is_empty()),
        ("quarantined_ranges", host.quarantined_ranges.is_empty()),
    ] {
        parts.push(match empty {
            true => format!("{name}: none"),
            false => pairs(&some(value, &[name])),
        });
    }
    parts.join("\n\n")
}

fn some(value: &Value, names: &[&str]) -> Vec<(String, String)> {
    let of = |name: &&str| json::flat(&json!({ *name: value[*name] }));
    names.iter().flat_map(of).collect()
}

fn quota(quota: &Quota) -> Vec<String> {
    let Quota { resource, limit, used } = quota;
    vec![resource.clone(), amount(resource, *used), amount(resource, *limit)]
}

/// A number in its unit, which is in its name.
pub(crate) fn amount(name: &str, value: u64) -> String {
    match name.ends_with("_bytes") {
        _ if value == UNLIMITED => "unlimited".to_owned(),
        true => human(value),
        false => value.to_string(),
    }
}

/// How the API says that there is no limit.
const UNLIMITED: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use linmemd::client::proto::Capability;

    #[test]
    fn info_says_quotas_limits_and_capabilities() {
        let info = ServerInfo {
            version: "0.1.0".to_owned(),
            tenant: "default".to_owned(),
            limits: Some(Default::default()),
            quotas: vec![Quota { resource: "reserved_bytes".into(), limit: 1 << 20, used: 65_536 }],
            capabilities: vec![Capability { name: "numa".into(), state: 3, reason: "no".into() }],
            ..Default::default()
        };
        let text = info_text(&info, &json::server_info(&info));
        for line in ["version  0.1.0", "reserved_bytes  64 KiB  1 MiB", "numa        REFUSED  no"] {
            assert!(text.contains(line), "{line}:\n{text}");
        }
    }

    #[test]
    fn the_absence_of_a_limit_is_said_in_a_word() {
        assert_eq!(amount("memories", u64::MAX), "unlimited");
        assert_eq!(amount("committed_bytes", u64::MAX), "unlimited");
        assert_eq!(amount("memories", 7), "7");
    }

    #[test]
    fn an_untroubled_host_says_so() {
        let host = HostInfo { kernel_release: "6.18".to_owned(), ..Default::default() };
        let text = host_text(&host, &json::host(&host));
        assert!(text.contains("fallbacks: none") && text.contains("6.18"), "{text}");
    }
}

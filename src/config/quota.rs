//! Owns what the configuration says of tenants' shares beside their memory: `[quota]` for all, and the
//! same of one tenant, which goes before it, and the rules between them.

use crate::config::Config;
use crate::config::contradictions::{MESSAGE_BYTES, Rule, rule};
use crate::config::keys::TENANT;

/// `[quota]`, and the same of one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes that a tenant may be charged. Default: none, which is the host budget.
    pub bytes: Option<u64>,
    /// Memories at a time. Default: none, which is no limit.
    pub memories: Option<u32>,
    /// Mappings at a time. Default: none, which is what the host has left.
    pub mappings: Option<u32>,
    /// Bytes of its memories that are locked in RAM. Default: none, which is what the host lets lock.
    pub locked_bytes: Option<u64>,
    /// Bytes of the host's pools of huge pages. Default: none, which is what there is.
    pub huge_page_bytes: Option<u64>,
    /// Segments at a time. Default: none, which is 16,384.
    pub segments: Option<u32>,
    /// Bytes of those. Default: none, which is its quota.
    pub segment_bytes: Option<u64>,
    /// Waits at a time. Default: none, which is `grpc.waiters_per_tenant`.
    pub waiters: Option<u32>,
    /// Sessions at a time. Default: none, which is `grpc.sessions_per_tenant`.
    pub sessions: Option<u32>,
    /// Running handlers. Default: none, which is `grpc.handlers_per_tenant`.
    pub handlers: Option<u32>,
    /// Bytes of messages held at a time. Default: none, which is `grpc.in_flight_bytes_per_tenant`.
    pub in_flight_bytes: Option<u64>,
    /// Operations a second. Default: none, which is any number.
    pub operations_per_second: Option<u64>,
    /// Operations at once. Default: none, which is one second's.
    pub operations_burst: Option<u64>,
    /// Bytes a second, in either direction. Default: none, which is any number.
    pub bytes_per_second: Option<u64>,
    /// Bytes at once. Default: none, which is one second's.
    pub bytes_burst: Option<u64>,
}

impl Quota {
    /// This for all, with one tenant's own before it.
    #[must_use]
    pub fn with(&self, own: &Self) -> Self {
        Self {
            bytes: own.bytes.or(self.bytes),
            memories: own.memories.or(self.memories),
            mappings: own.mappings.or(self.mappings),
            locked_bytes: own.locked_bytes.or(self.locked_bytes),
            huge_page_bytes: own.huge_page_bytes.or(self.huge_page_bytes),
            segments: own.segments.or(self.segments),
            segment_bytes: own.segment_bytes.or(self.segment_bytes),
            waiters: own.waiters.or(self.waiters),
            sessions: own.sessions.or(self.sessions),
            handlers: own.handlers.or(self.handlers),
            in_flight_bytes: own.in_flight_bytes.or(self.in_flight_bytes),
            operations_per_second: own.operations_per_second.or(self.operations_per_second),
            operations_burst: own.operations_burst.or(self.operations_burst),
            bytes_per_second: own.bytes_per_second.or(self.bytes_per_second),
            bytes_burst: own.bytes_burst.or(self.bytes_burst),
        }
    }
}

/// Notes every contradiction that is about shares.
pub(super) fn note(config: &Config, rules: &mut Vec<Rule>) {
    let all = &config.quota;
    bursts(all, all, |name| format!("quota.{name}"), rules);
    let most = config.grpc.max_read_bytes.max(config.grpc.max_write_bytes);
    for (index, tenant) in config.tenants.iter().enumerate() {
        let path = |name: &str| format!("{TENANT}[{index}].{name}");
        bursts(&tenant.quota, &all.with(&tenant.quota), path, rules);
        let Some(bytes) = tenant.quota.in_flight_bytes else { continue };
        rules.push(rule(
            path("in_flight_bytes"),
            "grpc.in_flight_bytes",
            bytes <= config.grpc.in_flight_bytes,
            format!("{} at most grpc.in_flight_bytes", path("in_flight_bytes")),
        ));
        rules.push(rule(
            path("in_flight_bytes"),
            "grpc.max_read_bytes",
            most.saturating_add(MESSAGE_BYTES) <= bytes,
            "room for the longest read or write and 64KiB more",
        ));
    }
}

/// What may come at once is of a rate.
fn bursts(own: &Quota, whole: &Quota, path: impl Fn(&str) -> String, rules: &mut Vec<Rule>) {
    for (burst, rate, [burst_name, rate_name]) in [
        (
            own.operations_burst,
            whole.operations_per_second,
            ["operations_burst", "operations_per_second"],
        ),
        (own.bytes_burst, whole.bytes_per_second, ["bytes_burst", "bytes_per_second"]),
    ] {
        rules.push(rule(
            path(burst_name),
            &path(rate_name),
            burst.is_none() || rate.is_some(),
            format!("{rate_name} beside {burst_name}"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_own_share_goes_before_that_of_all() {
        let text = "[quota]\nsegments = 5\nbytes_per_second = \"1MiB\"\n[[tenant]]\nname = \"a\"\n\
                    segments = 7\nbytes_burst = 70000\noperations_per_second = 3\n";
        let config = Config::from_toml(text).unwrap();
        let share = config.quota.with(&config.tenants[0].quota);
        assert_eq!((share.segments, share.bytes_per_second), (Some(7), Some(1 << 20)));
        assert_eq!((share.bytes_burst, share.operations_per_second), (Some(70_000), Some(3)));
        assert_eq!((share.memories, share.operations_burst), (None, None));
    }

    #[test]
    fn a_burst_of_no_rate_and_too_little_in_flight_are_mistakes() {
        for (text, key) in [
            ("[quota]\nbytes_burst = 70000\n", "quota.bytes_burst"),
            ("[[tenant]]\nname = \"a\"\noperations_burst = 2\n", "tenant[0].operations_burst"),
            ("[[tenant]]\nname = \"a\"\nin_flight_bytes = \"1MiB\"\n", "tenant[0].in_flight_bytes"),
            ("[[tenant]]\nname = \"a\"\nin_flight_bytes = \"1GiB\"\n", "tenant[0].in_flight_bytes"),
        ] {
            let mistakes = Config::from_toml(text).unwrap_err().to_string();
            assert!(mistakes.contains(key), "{mistakes}");
        }
    }
}

//! The tenants' part of the page.
//!
//! ```text
//! # HELP linmemd_accesses_total Contiguous ranges accessed with success.
//! # TYPE linmemd_accesses_total counter
//! linmemd_accesses_total{tenant="blue",operation="read"} 5
//! ```
//!
//! Law: written here, from what is counted, for the exporter takes some microseconds for each series and
//! there are tens of thousands; and it forgets none, where a tenant's go with the tenant. A family
//! without series is not there. Labels are names, in which nothing needs an escape.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::hooks::HookEvent;
use crate::metrics::tenant::{GrowOutcome, OPERATIONS, Occupancy, QUOTAS, TenantMeters, Trap};
use crate::metrics::{
    ACCESS_BYTES_TOTAL, ACCESSES_TOTAL, EVENTS_DROPPED_TOTAL, FAMILIES, GROW_HOOK_DURATION_SECONDS,
    GROW_HOOK_EVENTS_TOTAL, GROWS_TOTAL, QUOTA_LIMIT, QUOTA_USED, SECONDS, TENANT_MEMORIES,
    TENANT_PEAK_BYTES, TENANT_SIZE_BYTES, TRAPS_TOTAL, WAITERS,
};

/// Of the quotas so many are shown without a limit, too: pages are long enough without the others.
const ALWAYS_SHOWN: usize = 5;

/// One label's series.
#[derive(Debug)]
pub struct TenantSeries<'a> {
    /// Its label.
    pub label: &'a str,
    /// What was counted.
    pub meters: &'a TenantMeters,
    /// What is held.
    pub occupancy: Occupancy,
}

/// Appends the tenants' families to a page in the text exposition format.
pub fn write_tenants(page: &mut String, tenants: &[TenantSeries<'_>]) {
    let mut held = |name, value: fn(&Occupancy) -> u64| {
        family(page, tenants, name, |tenant, lines| lines.put(&[], value(&tenant.occupancy)));
    };
    held(TENANT_MEMORIES, |held| held.memories);
    held(TENANT_SIZE_BYTES, |held| held.size_bytes);
    held(TENANT_PEAK_BYTES, |held| held.peak_bytes);
    held(WAITERS, |held| held.waiters);
    let mut quota = |name, part: fn((u64, u64)) -> u64| {
        family(page, tenants, name, |tenant, lines| {
            let quotas = QUOTAS.into_iter().zip(tenant.occupancy.quotas).enumerate();
            for (_, (resource, quota)) in quotas
                .filter(|(number, (_, (limit, _)))| *number < ALWAYS_SHOWN || *limit < u64::MAX)
            {
                lines.put(&[("resource", resource)], part(quota));
            }
        });
    };
    quota(QUOTA_LIMIT, |(limit, _used)| limit);
    quota(QUOTA_USED, |(_limit, used)| used);
    family(page, tenants, ACCESSES_TOTAL, |tenant, lines| {
        for (operation, counts) in OPERATIONS.iter().zip(&tenant.meters.accesses) {
            lines.put(&[("operation", operation)], count(&counts.accesses));
        }
    });
    family(page, tenants, ACCESS_BYTES_TOTAL, |tenant, lines| {
        for (operation, counts) in OPERATIONS.iter().zip(&tenant.meters.accesses) {
            lines.put(&[("operation", operation)], count(&counts.bytes));
        }
    });
    family(page, tenants, TRAPS_TOTAL, |tenant, lines| {
        for (trap, counter) in Trap::ALL.iter().zip(&tenant.meters.traps) {
            lines.put(&[("reason", trap.word())], count(counter));
        }
    });
    family(page, tenants, GROWS_TOTAL, |tenant, lines| {
        for (outcome, counter) in GrowOutcome::ALL.iter().zip(&tenant.meters.grows) {
            lines.put(&[("outcome", outcome.word())], count(counter));
        }
    });
    family(page, tenants, EVENTS_DROPPED_TOTAL, |tenant, lines| {
        lines.put(&[], count(&tenant.meters.events_dropped));
    });
    family(page, tenants, GROW_HOOK_EVENTS_TOTAL, |tenant, lines| {
        for (event, counter) in HookEvent::ALL.iter().zip(&tenant.meters.hooks.events) {
            let ([phase, outcome], counted) = (event.words(), count(counter));
            if counted > 0 {
                lines.put(&[("phase", phase), ("outcome", outcome)], counted);
            }
        }
    });
    family(page, tenants, GROW_HOOK_DURATION_SECONDS, durations);
}

/// Cumulative, as the format has them.
fn durations(tenant: &TenantSeries<'_>, lines: &mut Lines<'_>) {
    let hooks = &tenant.meters.hooks;
    let counts = hooks.durations.each_ref().map(count);
    let total = counts.iter().sum::<u64>();
    if total == 0 {
        return;
    }
    let mut sum = 0;
    for (bound, counted) in SECONDS.iter().zip(counts) {
        sum += counted;
        lines.put_part("_bucket", &[("le", &bound.to_string())], sum);
    }
    lines.put_part("_bucket", &[("le", "+Inf")], total);
    let seconds = Duration::from_nanos(count(&hooks.nanoseconds)).as_secs_f64();
    lines.put_part("_sum", &[], seconds);
    lines.put_part("_count", &[], total);
}

fn family(
    page: &mut String,
    tenants: &[TenantSeries<'_>],
    name: &'static str,
    series: impl Fn(&TenantSeries<'_>, &mut Lines<'_>),
) {
    let begin = page.len();
    if let Some((_, kind, help)) = FAMILIES.iter().find(|(family, ..)| *family == name) {
        let kind = kind.word();
        // Writing to a String cannot fail.
        let _infallible = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
    let headed = page.len();
    for tenant in tenants {
        series(tenant, &mut Lines { page, name, tenant: tenant.label });
    }
    if page.len() == headed {
        page.truncate(begin);
    }
}

/// One tenant's lines of one family.
struct Lines<'a> {
    page: &'a mut String,
    name: &'static str,
    tenant: &'a str,
}

impl Lines<'_> {
    fn put(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.put_part("", labels, value);
    }

    fn put_part(&mut self, part: &str, labels: &[(&str, &str)], value: impl Display) {
        let Self { page, name, tenant } = self;
        for text in [*name, part, "{tenant=\"", tenant, "\""] {
            page.push_str(text);
        }
        for (label, value) in labels {
            for text in [",", label, "=\"", value, "\""] {
                page.push_str(text);
            }
        }
        // Writing to a String cannot fail.
        let _infallible = writeln!(page, "}} {value}");
    }
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    fn page(tenants: &[(&str, &TenantMeters, Occupancy)]) -> String {
        let series = tenants.iter().map(|&(label, meters, occupancy)| TenantSeries {
            label,
            meters,
            occupancy,
        });
        let mut page = "before\n".to_owned();
        write_tenants(&mut page, &series.collect::<Vec<_>>());
        page
    }

    #[test]
    fn a_familys_series_stand_together_and_what_never_occurred_is_not_there() {
        let mut held = Occupancy { size_bytes: 7, ..Occupancy::default() };
        held.quotas.iter_mut().for_each(|quota| *quota = (u64::MAX, 0));
        held.quotas[5] = (10, 3);
        let (red, blue) = (TenantMeters::default(), TenantMeters::default());
        red.accessed(0, 2, 9);
        blue.happened(HookEvent::Late);
        let page = page(&[("red", &red, held), ("blue", &blue, Occupancy::default())]);
        let sizes = "# HELP linmemd_tenant_size_bytes Sum of the sizes of the tenant's memories.\n\
                     # TYPE linmemd_tenant_size_bytes gauge\n\
                     linmemd_tenant_size_bytes{tenant=\"red\"} 7\n\
                     linmemd_tenant_size_bytes{tenant=\"blue\"} 0\n# HELP";
        assert!(page.contains(sizes), "{page}");
        for line in [
            "linmemd_accesses_total{tenant=\"red\",operation=\"read\"} 2\n",
            "linmemd_access_bytes_total{tenant=\"red\",operation=\"read\"} 9\n",
            "linmemd_quota_limit{tenant=\"red\",resource=\"locked_bytes\"} 10\n",
            "linmemd_quota_used{tenant=\"red\",resource=\"locked_bytes\"} 3\n",
            "linmemd_quota_used{tenant=\"red\",resource=\"memories\"} 0\n",
            "linmemd_grow_hook_events_total{tenant=\"blue\",phase=\"pre\",outcome=\"late\"} 1\n",
        ] {
            assert_eq!(page.matches(line).count(), 1, "{line} in {page}");
        }
        for absent in ["tenant=\"red\",resource=\"segments\"", "phase=\"post\"", "duration"] {
            assert!(!page.contains(absent), "{absent} in {page}");
        }
    }

    #[test]
    fn durations_are_cumulative_up_to_their_bounds() {
        let meters = TenantMeters::default();
        for micros in [50, 51, 20_000_000] {
            meters.waited(Duration::from_micros(micros));
        }
        let page = page(&[("red", &meters, Occupancy::default())]);
        let lines: Vec<&str> =
            page.lines().filter(|line| line.starts_with("linmemd_grow_hook_duration")).collect();
        assert_eq!(lines.len(), SECONDS.len() + 3);
        for (place, (labels, value)) in [
            (0, ("_bucket{tenant=\"red\",le=\"0.00005\"}", "1")),
            (1, ("_bucket{tenant=\"red\",le=\"0.0001\"}", "2")),
            (SECONDS.len() - 1, ("_bucket{tenant=\"red\",le=\"10\"}", "2")),
            (SECONDS.len(), ("_bucket{tenant=\"red\",le=\"+Inf\"}", "3")),
            (SECONDS.len() + 1, ("_sum{tenant=\"red\"}", "20.000101")),
            (SECONDS.len() + 2, ("_count{tenant=\"red\"}", "3")),
        ] {
            let line = format!("linmemd_grow_hook_duration_seconds{labels} {value}");
            assert_eq!(lines[place], line);
        }
    }
}

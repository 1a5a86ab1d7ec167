//! [`Folded`]: the tenants of a table that share one label, as the one tenant that a page shows of them.
//!
//! ```text
//! limit   of all of them, added up once for a table: no limit changes within one
//! used    of those that anybody has ever come to; the others hold nothing
//! ```
//!
//! Law: a page walks them, and there may be a hundred thousand. One that nobody has come to costs it one
//! look.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};

use crate::metrics::{Occupancy, QUOTAS, TenantSeries};
use crate::tenancy::tenant::Tenant;

/// Tenants that are asked together: more than a processor has misses under way.
const TOGETHER: usize = 64;

/// Those of a table that share a label.
#[derive(Debug)]
pub(super) struct Folded {
    tenants: Vec<Arc<Tenant>>,
    limits: OnceLock<[u64; QUOTAS.len()]>,
}

impl Folded {
    pub(super) const fn new(tenants: Vec<Arc<Tenant>>) -> Self {
        Self { tenants, limits: OnceLock::new() }
    }

    pub(super) fn count(&self) -> u64 {
        self.tenants.len() as u64
    }

    /// What they hold together.
    ///
    /// What one holds lies in several places, behind one another, that are in no cache: asked one after the
    /// other, a hundred thousand of them took 110 ms. So the first place of many is asked for at once,
    /// then the next of each, and the processor waits for all of them together.
    pub(super) fn series(&self) -> Option<TenantSeries<'_>> {
        let Tenant { label, meters, .. } = &**self.tenants.first()?;
        let mut occupancy = Occupancy::default();
        let known: Vec<_> = self.tenants.iter().filter(|tenant| tenant.is_known()).collect();
        for some in known.chunks(TOGETHER) {
            for place in Tenant::PLACES {
                some.iter().for_each(|tenant| _ = black_box(place(tenant)));
            }
            for tenant in some {
                occupancy = occupancy.plus(&tenant.series().occupancy);
            }
        }
        let limits = self.limits.get_or_init(|| self.limits());
        for (quota, limit) in occupancy.quotas.iter_mut().zip(limits) {
            quota.0 = *limit;
        }
        Some(TenantSeries { label, meters, occupancy })
    }

    fn limits(&self) -> [u64; QUOTAS.len()] {
        self.tenants.iter().fold([0; QUOTAS.len()], |mut sum, tenant| {
            for (sum, (limit, _used)) in sum.iter_mut().zip(tenant.quotas()) {
                *sum = sum.saturating_add(limit);
            }
            sum
        })
    }
}

//! [`Seats`]: for which tenants a connection is counted, and what was shown for each.
//!
//! ```text
//! let in ── its tenant's seat, taken or kept ──┐
//! refused ─────────────────────────────────────┼─> who may call has changed, or it has run out:
//! now and then ────────────────────────────────┘     given back unless it would be let in to that tenant
//! ```
//!
//! Law: one for each tenant that the connection calls for, for as long as what was shown for it lets it in
//! to that tenant. Now and then, no signature is verified: who showed one is judged when somebody calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::error::Failure;
use crate::rpc::admission::Door;
use crate::rpc::party::Party;
use crate::tenancy::{Tenant, Tenants};

/// A connection's.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    all: Mutex<Vec<Seat>>,
    /// The address of the door that was called through last: nearly always the next call's too.
    last: AtomicUsize,
}

/// A connection's place among those of one tenant. Given back when dropped.
#[derive(Debug)]
struct Seat {
    tenant: Arc<Tenant>,
    /// What it was called for through last.
    door: Arc<Door>,
    /// By which table that was judged last, and until when it counts.
    generation: u64,
    expires: Option<SystemTime>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tenant.connections.give_back(1);
    }
}

impl Seats {
    /// Counts the connection among those of the door's tenant, at its first call for it.
    ///
    /// # Errors
    /// OVERLOADED naming the limit.
    pub(crate) fn take(
        &self,
        door: &Arc<Door>,
        party: &Party,
        now: SystemTime,
    ) -> Result<(), Failure> {
        // The seat keeps the door, so that its address is nobody else's.
        let address = Arc::as_ptr(door).addr();
        if self.last.load(Ordering::Acquire) == address {
            return Ok(());
        }
        let tenant = door.access.tenant();
        let mut all = self.all();
        let known = all.iter_mut().find(|seat| Arc::ptr_eq(&seat.tenant, tenant));
        let is_known = known.is_some();
        if let Some(seat) = known {
            seat.is_by(door);
        }
        self.judge_all(&mut all, &door.server.tenants, now, true);
        if !is_known {
            tenant.connections.take(1)?;
            let (tenant, door) = (Arc::clone(tenant), Arc::clone(door));
            let (generation, expires) = (door.generation, door.access.grant().expires);
            all.push(Seat { tenant, door, generation, expires });
        }
        self.last.store(address, Ordering::Release);
        party.belongs_to(Arc::as_ptr(tenant).addr());
        Ok(())
    }

    /// Gives back those that what was shown for them no longer gives; those that take a signature to say
    /// only where `verifies`.
    pub(crate) fn judge(&self, tenants: &Tenants, now: SystemTime, verifies: bool) {
        self.judge_all(&mut self.all(), tenants, now, verifies);
    }

    /// Whether there is any.
    pub(crate) fn are_any(&self) -> bool {
        !self.all().is_empty()
    }

    fn judge_all(&self, all: &mut Vec<Seat>, tenants: &Tenants, now: SystemTime, verifies: bool) {
        let (before, generation) = (all.len(), tenants.generation());
        all.retain_mut(|seat| seat.stays(tenants, generation, now, verifies));
        if all.len() != before {
            self.last.store(0, Ordering::Release);
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn is_by(&mut self, door: &Arc<Door>) {
        self.door = Arc::clone(door);
        (self.generation, self.expires) = (door.generation, door.access.grant().expires);
    }

    fn stays(
        &mut self,
        tenants: &Tenants,
        generation: u64,
        now: SystemTime,
        verifies: bool,
    ) -> bool {
        let is_late = self.expires.is_some_and(|expires| expires <= now);
        if self.generation == generation || (self.door.access.grant().is_signed() && !verifies) {
            return !is_late;
        }
        let Ok(access) = tenants.access(self.door.shown.borrow(), now) else { return false };
        (self.generation, self.expires) = (generation, access.grant().expires);
        Arc::ptr_eq(access.tenant(), &self.tenant)
    }
}

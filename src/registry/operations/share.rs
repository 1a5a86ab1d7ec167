//! Shares, given, mounted and ended.
//!
//! Law: paid by who keeps it: the share by its owner, its name by its grantee. That one is over is one
//! step; who revokes it is answered when nothing that came by it is under way any more.

use std::sync::Arc;

use crate::error::Failure;
use crate::model::{MemoryId, Now, ShareAccess, ShareId};
use crate::registry::by_name::not_found;
use crate::registry::events::ShareStep;
use crate::registry::gate::Gate;
use crate::registry::ledger::{Amount, Charge};
use crate::registry::lifecycle;
use crate::registry::namespace::Namespace;
use crate::registry::random::random_bits;
use crate::registry::record::Record;
use crate::registry::settings::Registry;
use crate::registry::share::{End, MOUNT_BYTES, NewShare, SHARE_BYTES, Share};

impl Registry {
    /// Gives another tenant a share of a memory of this namespace.
    ///
    /// # Errors
    /// INVALID_FIELD, QUOTA_EXCEEDED, HOST_EXHAUSTED, MEMORY_NOT_FOUND, and what ends any call.
    pub fn share(
        &self,
        namespace: &Arc<Namespace>,
        record: Arc<Record>,
        new: NewShare,
        now: Now,
        gate: &Gate,
    ) -> Result<Arc<Share>, Failure> {
        if new.grantee == namespace.name {
            let why = "is the memory's own tenant, which needs no share of it".to_owned();
            return Err(Failure::InvalidField { field: "grantee_tenant", why });
        }
        let past = || {
            let why = "is not later than now".to_owned();
            Failure::InvalidField { field: "expire_time", why }
        };
        let left = new.expire_time.map(|end| {
            end.duration_since(now.wall).ok().filter(|left| !left.is_zero()).ok_or_else(past)
        });
        // Past the clock's end is never.
        let expiry = left.transpose()?.and_then(|left| now.steady.checked_add(left));
        let id = ShareId::random(random_bits());
        namespace.shares.admit(&id)?;
        let charge = Charge::pay(&namespace.home.payer, Amount::overhead(SHARE_BYTES))?;
        let owner = namespace.name.clone();
        let share = Share::new(id, owner, Arc::clone(&record), new, expiry, (charge, now));
        namespace.shares.insert(&share, || {
            gate.pass()?;
            let given = share.happening(ShareStep::Given, &share.grantee);
            record.tell(given, || !record.has_ended());
            Ok(())
        })?;
        share.settle();
        // One whose memory goes from here on ends with it; one whose memory went just before does not.
        match namespace.find(record.id.as_str(), Some(record.uid), now) {
            Ok(_there) => Ok(share),
            Err(gone) => {
                share.end(End::Gone);
                Err(gone)
            }
        }
    }

    /// Gives a share that was given to this namespace a name in it.
    ///
    /// # Errors
    /// SHARE_NOT_FOUND, SHARE_EXISTS where it has one, MEMORY_EXISTS, QUOTA_EXCEEDED, HOST_EXHAUSTED,
    /// and what ends any call.
    pub fn mount(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        id: &ShareId,
        name: Option<MemoryId>,
        now: Now,
        gate: &Gate,
    ) -> Result<Arc<Share>, Failure> {
        let share = self.shares.find(&namespace.name, id.as_str());
        let share = share.filter(|share| share.is_there(now));
        let share = share.ok_or_else(|| not_found::<Share>(id.clone()))?;
        if let Some(memory_id) = share.name() {
            let memory_id = memory_id.clone();
            return Err(Failure::ShareMounted { share_id: id.clone(), memory_id });
        }
        let name = name.unwrap_or_else(|| MemoryId::random(random_bits()));
        self.admit(namespace, &name, now)?;
        let charge = Charge::pay(&namespace.home.payer, Amount::overhead(MOUNT_BYTES))?;
        let mounted = share.happening(ShareStep::Mounted, &share.owner);
        namespace.mount(&name, &share, mounted, || {
            gate.pass()?;
            share.mount(&name, namespace, charge)
        })?;
        Ok(share)
    }

    /// Ends a share that this namespace gave, or was given, and waits until nothing that came by it is
    /// under way.
    ///
    /// # Errors
    /// SHARE_NOT_FOUND, and what ends any call.
    pub async fn revoke_share(
        &self,
        namespace: &Namespace,
        id: &ShareId,
        now: Now,
        gate: &Gate,
    ) -> Result<(), Failure> {
        let given = namespace.shares.find(id.as_str()).ok();
        let share = given.or_else(|| self.shares.find(&namespace.name, id.as_str()));
        let share = share.filter(|share| share.is_there(now));
        let share = share.ok_or_else(|| not_found::<Share>(id.clone()))?;
        gate.pass()?;
        share.end(End::Revoked);
        share.drained().await;
        // A job whose caller has gone ends under the memory's lock.
        if share.access == ShareAccess::ReadWrite && share.name().is_some() {
            let _free = lifecycle::write(Arc::clone(share.record()), gate).await;
        }
        Ok(())
    }

    /// Up to `most` shares that this namespace gave, or was given, after an id, in order, and, where
    /// there are more, the last id looked at.
    #[must_use]
    pub fn list_shares(
        &self,
        namespace: &Namespace,
        [given, received]: [bool; 2],
        after: Option<&ShareId>,
        most: usize,
        now: Now,
    ) -> (Vec<Arc<Share>>, Option<ShareId>) {
        let (mut shares, mut more) =
            if given { namespace.shares.list(after, most) } else { (Vec::new(), false) };
        if received {
            shares.extend(self.shares.list(&namespace.name, after, most.saturating_add(1)));
            shares.sort_unstable_by(|one, other| one.id.cmp(&other.id));
            more |= shares.len() > most;
            shares.truncate(most);
        }
        let next = shares.last().filter(|_last| more).map(|last| last.id.clone());
        // What has run out is left out of its page.
        shares.retain(|share| share.is_there(now));
        (shares, next)
    }

    /// Ends a share whose time is over; whether it was.
    pub fn expire_share(&self, share: &Arc<Share>, now: Now) -> bool {
        let is_over = !share.is_there(now);
        if is_over {
            share.end(if share.has_run_out(now) { End::Revoked } else { End::Gone });
        }
        is_over
    }

    /// Ends the shares whose time is over.
    pub(in crate::registry) fn end_shares(&self, now: Now) {
        self.shares.run_out(now).iter().for_each(|share| share.end(End::Revoked));
    }
}

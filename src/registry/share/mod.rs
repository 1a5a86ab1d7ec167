//! [`Share`]: one tenant's memory for another tenant, from its making to its one end.
//!
//! ```text
//! given ── mount, once ──> mounted: a name in the grantee's namespace
//!   └──────────┬──────────────┘
//!              └── revoked by either, run out, its memory or either tenant gone ──> over, for good
//! ```
//!
//! Law: whoever uses the memory by it passes through it (`passage.rs`), so that its end finds all who are
//! under way and none comes after. It is of one memory and not of a name. What it costs is back with its
//! end, whoever still has it. Its lock is held for a look or a change, and no waker is woken or dropped
//! under it. Where shares are found is in `tables.rs`; does not know who may give them.

mod passage;
mod tables;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::{Instant, SystemTime};

use crate::error::Failure;
use crate::model::{Id, MemoryId, Now, Resource, ShareAccess, ShareId, TenantName};
use crate::registry::attachments::{Attached, Attachments, Changed, Place};
use crate::registry::by_name::{Entry, not_found};
use crate::registry::events::{Happening, ShareStep, Sharing};
use crate::registry::gate::Gate;
use crate::registry::ledger::Charge;
use crate::registry::namespace::Namespace;
use crate::registry::record::Record;

pub use passage::{Over, Passage, Through};
pub(super) use tables::{Mounts, Shares};

/// Shares that a tenant may have given and that are not over.
pub const MOST_SHARES: usize = 1_024;
/// Shares that a tenant may have mounted.
pub const MOST_MOUNTS: usize = 1_024;
/// What a share is charged to its owner: itself and its places in the tables.
pub(super) const SHARE_BYTES: u64 = 1_024;
/// What a mount is charged to its grantee: the name, its places, and who watches for its end.
pub(super) const MOUNT_BYTES: u64 = 1_024;

/// What a share is to be.
#[derive(Clone, Debug)]
pub struct NewShare {
    /// For whom.
    pub grantee: TenantName,
    /// For what.
    pub access: ShareAccess,
    /// Until when.
    pub expire_time: Option<SystemTime>,
}

/// One share.
#[derive(Debug)]
pub struct Share {
    /// Its name.
    pub id: ShareId,
    /// Whose memory it is.
    pub owner: TenantName,
    /// For whom it is.
    pub grantee: TenantName,
    /// What the grantee may do.
    pub access: ShareAccess,
    /// When it was given.
    pub created: SystemTime,
    /// When it runs out, for people.
    pub expire_time: Option<SystemTime>,
    record: Arc<Record>,
    expiry: Option<Instant>,
    mount: OnceLock<Mount>,
    life: Mutex<Life>,
}

#[derive(Debug)]
struct Mount {
    name: MemoryId,
    namespace: Weak<Namespace>,
}

/// Why a share is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was revoked, has run out, or one of its two tenants is gone.
    Revoked,
    /// Its memory has ended.
    Gone,
}

#[derive(Debug, Default)]
struct Life {
    end: Option<End>,
    /// The owner's, and the grantee's once it is mounted.
    paid: [Option<Charge>; 2],
    /// Who is under way or waits for the end, by arrival.
    users: BTreeMap<u64, User>,
    arrivals: u64,
    attached: Attached,
    /// Who waits until nobody is under way.
    drained: Vec<Waker>,
}

#[derive(Debug)]
struct User {
    /// Of who is under way.
    gate: Option<Arc<Gate>>,
    waker: Option<Waker>,
}

impl Entry for Share {
    const RESOURCE: Resource = Resource::Share;
    const MOST: usize = MOST_SHARES;

    fn id(&self) -> &Id {
        &self.id
    }
}

impl Share {
    pub(super) fn new(
        id: ShareId,
        owner: TenantName,
        record: Arc<Record>,
        new: NewShare,
        expiry: Option<Instant>,
        (charge, now): (Charge, Now),
    ) -> Arc<Self> {
        let NewShare { grantee, access, expire_time } = new;
        let life = Mutex::new(Life { paid: [Some(charge), None], ..Life::default() });
        let (created, mount) = (now.wall, OnceLock::new());
        Arc::new(Self {
            id,
            owner,
            grantee,
            access,
            created,
            expire_time,
            record,
            expiry,
            mount,
            life,
        })
    }

    /// The memory.
    #[must_use]
    pub const fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Its name in the grantee's namespace, once it is mounted.
    #[must_use]
    pub fn name(&self) -> Option<&MemoryId> {
        self.mount.get().map(|mount| &mount.name)
    }

    /// When it runs out.
    #[must_use]
    pub const fn expiry(&self) -> Option<Instant> {
        self.expiry
    }

    /// Whether it counts: it is not over, its time has not run out, and its memory is there.
    #[must_use]
    pub fn is_there(&self, now: Now) -> bool {
        self.life().end.is_none() && !self.has_run_out(now) && !self.record.has_expired(now)
    }

    pub(super) fn has_run_out(&self, now: Now) -> bool {
        self.expiry.is_some_and(|expiry| now.steady >= expiry)
    }

    /// Gives it its name.
    pub(super) fn mount(
        &self,
        name: &MemoryId,
        namespace: &Arc<Namespace>,
        charge: Charge,
    ) -> Result<(), Failure> {
        let mut life = self.life();
        if life.end.is_some() {
            drop(life);
            return Err(not_found::<Self>(self.id.clone()));
        }
        let mount = Mount { name: name.clone(), namespace: Arc::downgrade(namespace) };
        if self.mount.set(mount).is_err() {
            drop(life);
            let memory_id = self.name().unwrap_or(name).clone();
            return Err(Failure::ShareMounted { share_id: self.id.clone(), memory_id });
        }
        let [_, paid] = &mut life.paid;
        *paid = Some(charge);
        Ok(())
    }

    /// Ends it: who is under way is called off or runs to its end, who waits is told, and its names are
    /// free. The first who asks.
    pub(super) fn end(self: &Arc<Self>, end: End) {
        let (paid, woken, attached) = {
            let mut life = self.life();
            if life.end.is_some() {
                return;
            }
            life.end = Some(end);
            let mut woken = std::mem::take(&mut life.drained);
            for user in life.users.values_mut() {
                // In the same moment: whoever then looks at its gate before it parks sees it.
                if let Some(gate) = &user.gate {
                    gate.close();
                }
                woken.extend(user.waker.take());
            }
            (std::mem::take(&mut life.paid), woken, std::mem::take(&mut life.attached))
        };
        self.forget();
        drop(paid);
        woken.into_iter().for_each(Waker::wake);
        if end == End::Revoked {
            attached.tell(Changed::Revoked);
        }
    }

    /// Puts it where it is found beside its owner's table, which has it. It may end at any moment, and its
    /// end takes it only out of where it is by then: whichever of the two is later takes it out of the rest.
    pub(super) fn settle(self: &Arc<Self>) {
        let shares = self.record.shares();
        self.record.keep_share(self);
        shares.put(self);
        if self.life().end.is_some() {
            let share = self.record.forget_share(&self.id);
            shares.forget(self);
            drop(share);
        }
    }

    /// Takes it out of where it is found, and tells of it.
    fn forget(self: &Arc<Self>) {
        let share = self.record.forget_share(&self.id);
        if let Some(owner) = self.record.namespace() {
            let _gone = owner.shares.remove(&self.id, |_share| Ok(()));
        }
        self.record.shares().forget(self);
        let told = self.happening(ShareStep::Ended, &self.grantee);
        self.record.tell(told, || !self.record.has_ended());
        if let Some((name, namespace)) = self
            .mount
            .get()
            .and_then(|mount| mount.namespace.upgrade().map(|namespace| (&mount.name, namespace)))
        {
            let ended = self.happening(ShareStep::Ended, &self.owner);
            namespace.unmount(name, self, ended);
        }
        drop(share);
    }

    /// What is told of it to one of its two.
    pub(super) fn happening(&self, step: ShareStep, with: &TenantName) -> Happening {
        Happening::Shared(Box::new(Sharing {
            share_id: self.id.clone(),
            tenant: with.clone(),
            access: self.access,
            step,
        }))
    }

    /// Tells a session of its end, if that is to come.
    pub(super) fn attach(&self, place: Place, handle: u32, told: &Arc<Attachments>) {
        let mut life = self.life();
        if life.end.is_none() {
            life.attached.insert(place, handle, Arc::clone(told));
        }
    }

    pub(super) fn detach(&self, place: Place) {
        let told = self.life().attached.remove(place);
        drop(told);
    }

    /// What whoever comes by it is told once it is over.
    #[must_use]
    pub fn gone(&self) -> Failure {
        let end = self.life().end;
        match end {
            None | Some(End::Revoked) => Failure::ShareEnded { share_id: self.id.clone() },
            Some(End::Gone) => self.not_found(),
        }
    }

    /// That there is no such memory, by the name that the grantee has for it.
    fn not_found(&self) -> Failure {
        let memory_id = self.name().unwrap_or(&self.record.id).clone();
        Failure::MemoryNotFound { memory_id }
    }

    /// More than it gives.
    #[must_use]
    pub fn beyond(&self) -> Failure {
        Failure::BeyondShare {
            memory_id: self.name().unwrap_or(&self.record.id).clone(),
            shared_from: self.owner.clone(),
            access: self.access,
        }
    }

    /// A failure as the grantee is told it: by its own names, and that the share is over where that is
    /// why it was called off.
    #[must_use]
    pub fn told(&self, failure: Failure) -> Failure {
        match failure {
            Failure::MemoryNotFound { memory_id }
                if memory_id == self.record.id && self.record.has_ended() =>
            {
                self.not_found()
            }
            Failure::DeadlinePassed if self.life().end.is_some() => self.gone(),
            Failure::InOperation { operation, failure } => {
                Failure::InOperation { operation, failure: Box::new(self.told(*failure)) }
            }
            failure => failure,
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        // Nobody panics in the middle of a change.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_share_and_its_places_fit_what_is_charged_for_it() {
        const COUNTS: usize = 16;
        // By its id at its owner, its grantee, its memory and among the ends, each a name and a pointer;
        // nodes of a tree are half full.
        const PLACES: usize = 2 * 4 * (40 + 16);
        assert!((size_of::<Share>() + COUNTS + PLACES) as u64 <= SHARE_BYTES);
    }
}

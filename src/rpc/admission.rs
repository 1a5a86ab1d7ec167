//! [`Door`]: one connection's door to one tenant, and admission through it: how many calls and how
//! many bytes may be in flight, in all and for each tenant.
//!
//! Law: a call is admitted before its first message is read, bytes before they are buffered, reply
//! bytes before they are copied; each is given back by `Drop`, with the call, the message or the
//! reply. What is held keeps the door and nothing else, for a connection is served by one thread and
//! its door is counted there, where the budgets are everybody's. Quotas on memories are the ledger's
//! business.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use subtle::ConstantTimeEq;

use crate::error::Failure;
use crate::rpc::moderation::Rest;
use crate::rpc::server::Server;
use crate::rpc::untaken::Untaken;
use crate::tenancy::{Access, Budget, Peer, Shown};

/// What a call of one connection goes through.
#[derive(Debug)]
pub(crate) struct Door {
    /// To one tenant's memories.
    pub(crate) access: Access,
    /// Which table of who may call it was opened by.
    pub(crate) generation: u64,
    /// What all calls share.
    pub(crate) server: Arc<Server>,
    /// What was shown for it.
    pub(crate) shown: ShownForIt,
    /// Where from; none for a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// Tells the connection's socket of large messages.
    pub(crate) rest: Arc<Rest>,
    /// The connection's large replies.
    pub(crate) untaken: Arc<Untaken>,
    /// What it came to when it was last judged anew, and by which table of who may call: a signature is not
    /// verified again for each call of many.
    pub(crate) judged: Mutex<Option<(u64, Result<Access, Failure>)>>,
}

/// What a caller showed: kept for as long as something goes by it.
pub(crate) struct ShownForIt {
    peer: Arc<Peer>,
    authorization: Option<Box<[u8]>>,
    tenant: Option<Box<[u8]>>,
}

impl ShownForIt {
    pub(crate) fn new(
        peer: &Arc<Peer>,
        authorization: Option<&[u8]>,
        tenant: Option<&[u8]>,
    ) -> Self {
        let (authorization, tenant) = (authorization.map(Box::from), tenant.map(Box::from));
        Self { peer: Arc::clone(peer), authorization, tenant }
    }

    pub(crate) fn borrow(&self) -> Shown<'_> {
        Shown {
            peer: &self.peer,
            authorization: self.authorization.as_deref(),
            tenant: self.tenant.as_deref(),
        }
    }

    /// Whether another call of the same connection shows the same.
    pub(crate) fn is(&self, authorization: Option<&[u8]>, tenant: Option<&[u8]>) -> bool {
        let same = match (&self.authorization, authorization) {
            (None, None) => true,
            // Several callers may share a connection, behind a proxy.
            (Some(kept), Some(shown)) => bool::from(kept.ct_eq(shown)),
            _ => false,
        };
        same && self.tenant.as_deref() == tenant
    }
}

impl fmt::Debug for ShownForIt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShownForIt").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Bytes in flight. Given back when dropped.
#[must_use = "given back when dropped"]
#[derive(Debug)]
pub(crate) struct InFlight {
    door: Arc<Door>,
    bytes: u64,
}

impl Door {
    /// What the same credentials would be let in to now.
    ///
    /// # Errors
    /// As [`Tenants::access`](crate::tenancy::Tenants::access).
    pub(crate) fn judged_anew(&self, now: SystemTime) -> Result<Access, Failure> {
        let tenants = &self.server.tenants;
        // Read before they are judged, so that what changes meanwhile is noticed by the next.
        let generation = tenants.generation();
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let access = match &*judged {
            Some((by, access)) if *by == generation => access.clone()?,
            _ => {
                let access = tenants.access(self.shown.borrow(), now);
                judged.insert((generation, access)).1.clone()?
            }
        };
        if access.grant().has_expired(now) {
            return Err(Failure::CredentialsExpired);
        }
        Ok(access)
    }

    /// Takes so many bytes in flight.
    ///
    /// # Errors
    /// OVERLOADED naming the limit.
    pub(crate) fn hold(self: &Arc<Self>, bytes: u64) -> Result<InFlight, Failure> {
        self.hold_by(Budget::take, bytes)
    }

    /// Takes bytes for a message that comes before its turn: only while half of each budget stays
    /// free, so that who reads ahead is in nobody's way.
    ///
    /// # Errors
    /// OVERLOADED: it is to be taken in its turn.
    pub(crate) fn hold_ahead(self: &Arc<Self>, bytes: u64) -> Result<InFlight, Failure> {
        self.hold_by(Budget::take_of_half, bytes)
    }

    /// Takes bytes for a reply that says what has been done, whatever the budgets: it is there already,
    /// and must not be refused any more.
    pub(crate) fn hold_anyway(self: &Arc<Self>, bytes: u64) -> InFlight {
        let mut held = InFlight { door: Arc::clone(self), bytes: 0 };
        held.add(bytes);
        held
    }

    /// Takes bytes for a message whose results will need theirs while it is kept: of half of each budget, so
    /// that what waits for results' room never has all of it. One that is more than that is taken as by
    /// [`Self::hold`].
    ///
    /// # Errors
    /// OVERLOADED: it is to be taken later.
    pub(crate) fn hold_in_turn(self: &Arc<Self>, bytes: u64) -> Result<InFlight, Failure> {
        if bytes > self.most() / 2 { self.hold(bytes) } else { self.hold_ahead(bytes) }
    }

    /// The same as [`Self::hold`] for what was let in and cannot be sent back: it waits for its part, for
    /// as long as whoever has it may take to have it gone. Where that could never be, beside the `own` bytes
    /// that are held for it already, it is had at once.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub(crate) async fn hold_in_time(
        self: &Arc<Self>,
        bytes: u64,
        own: u64,
    ) -> Result<InFlight, Failure> {
        if bytes.saturating_add(own) > self.most() {
            return Ok(self.hold_anyway(bytes));
        }
        let late = Instant::now().checked_add(self.server.limits.stall_timeout);
        loop {
            match self.hold(bytes) {
                Err(Failure::Overloaded { after, .. })
                    if late.is_some_and(|late| Instant::now() < late) =>
                {
                    tokio::time::sleep(after).await;
                }
                held => return held,
            }
        }
    }

    /// What may be in flight of its tenant's.
    fn most(&self) -> u64 {
        self.access.tenant().in_flight_bytes.limit().min(self.server.in_flight_bytes.limit())
    }

    /// Whether something may be taken before its turn.
    pub(crate) fn has_room_ahead(&self) -> bool {
        self.take_by(Budget::take_of_half, 0).is_ok()
    }

    /// The tenant's part is looked at first, so that one tenant's excess is never another's refusal.
    fn hold_by(
        self: &Arc<Self>,
        take: fn(&Budget, u64) -> Result<(), Failure>,
        bytes: u64,
    ) -> Result<InFlight, Failure> {
        self.take_by(take, bytes)?;
        Ok(InFlight { door: Arc::clone(self), bytes })
    }

    fn take_by(
        &self,
        take: fn(&Budget, u64) -> Result<(), Failure>,
        bytes: u64,
    ) -> Result<(), Failure> {
        let tenant = &self.access.tenant().in_flight_bytes;
        take(tenant, bytes)?;
        take(&self.server.in_flight_bytes, bytes).inspect_err(|_refusal| tenant.give_back(bytes))
    }

    /// Takes a place among the tenant's sessions.
    ///
    /// # Errors
    /// TOO_MANY_SESSIONS.
    pub(crate) fn enter_session(self: &Arc<Self>) -> Result<Place, Failure> {
        let sessions = &self.access.tenant().sessions;
        let full = |_overloaded| Failure::TooManySessions {
            limit: sessions.limit(),
            used: sessions.used(),
        };
        sessions.take(1).map_err(full)?;
        Ok(Place(Arc::clone(self)))
    }
}

/// A place among the tenant's sessions. Given back when dropped.
#[must_use = "given back when dropped"]
#[derive(Debug)]
pub(crate) struct Place(Arc<Door>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.access.tenant().sessions.give_back(1);
    }
}

impl InFlight {
    /// How many.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes so much more.
    ///
    /// # Errors
    /// OVERLOADED naming the limit.
    pub(crate) fn take(&mut self, more: u64) -> Result<(), Failure> {
        self.door.take_by(Budget::take, more)?;
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }

    /// The same, whatever the budgets.
    pub(crate) fn add(&mut self, more: u64) {
        self.door.access.tenant().in_flight_bytes.take_anyway(more);
        self.door.server.in_flight_bytes.take_anyway(more);
        self.bytes = self.bytes.saturating_add(more);
    }

    /// What another holds is held by this one.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut other.bytes));
    }

    /// So much and no other is held from now on, whatever the budgets.
    pub(crate) fn settle(&mut self, bytes: u64) {
        self.add(bytes.saturating_sub(self.bytes));
        self.give_back(self.bytes.saturating_sub(bytes));
    }

    fn give_back(&mut self, less: u64) {
        self.door.server.in_flight_bytes.give_back(less);
        self.door.access.tenant().in_flight_bytes.give_back(less);
        self.bytes = self.bytes.saturating_sub(less);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

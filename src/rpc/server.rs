//! [`Server`]: what all calls share: tenants, limits, meters, the drain, and what health is told of it.
//!
//! Law: one per daemon, shared by its runtimes; everything that a call changes is an atomic.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tonic_health::ServingStatus;

use crate::error::Failure;
use crate::metrics::{AuthMeters, Metrics};
use crate::model::Uuid;
use crate::registry::{Record, Registry, Tie};
use crate::rpc::audit::{AuditEntry, Deed, Stranger, turned_away};
use crate::rpc::audit_queue::Audit;
use crate::rpc::foreign::Foreign;
use crate::rpc::host::HostSource;
use crate::rpc::method::Method;
use crate::rpc::observe::MethodMeters;
use crate::rpc::places::{Crowded, MostConnections, Origin, Place, Places};
use crate::rpc::status::reason;
use crate::rpc::whereabouts::Whereabouts;
use crate::tenancy::{Budget, Denied, Identities, Misfit, Need, Peer, Shown, Tenants, Wanted};

const ADMIN: &str = "linmem.v1.AdminService";
/// What the audit log and a refusal call a look at the metrics page.
const SCRAPE: &str = "GET /metrics";
/// Calls at a time that are operators' business: a page of tenants may be half a megabyte.
const MAX_OPERATORS_CALLS: u64 = 64;
/// The services whose health is told by name.
const SERVICES: [&str; 5] =
    ["", "linmem.v1.MemoryService", ADMIN, "linmem.v1.EventService", "linmem.v1.HookService"];
/// What one call may do; all of it is shown by GetServerInfo.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest ReadMemory.
    pub max_read_bytes: u64,
    /// Longest WriteMemory.
    pub max_write_bytes: u64,
    /// Shortest download chunk.
    pub min_chunk_bytes: u64,
    /// Longest download chunk and upload message.
    pub max_chunk_bytes: u64,
    /// A download's chunk where it names none.
    pub default_chunk_bytes: u64,
    /// The longest deadline kept.
    pub max_deadline: Duration,
    /// Streams of one connection.
    pub streams_per_connection: u32,
    /// Calls end no later than this after a drain began.
    pub drain_limit: Duration,
    /// Request and reply bytes of all tenants.
    pub in_flight_bytes: u64,
    /// How long a reply's client may take nothing, beside the time that its bytes take.
    pub stall_timeout: Duration,
    /// How long a message may be on its way, beside the time that its bytes take.
    pub message_timeout: Duration,
    /// Between two messages of a watch that say how far it is.
    pub progress_interval: Duration,
}

/// How far the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Calls are served.
    Serving,
    /// New calls answer DRAINING; those that run go on.
    Draining,
}

/// What all calls share.
pub struct Server {
    /// The tenants.
    pub tenants: Tenants,
    /// What they share.
    pub registry: Arc<Registry>,
    pub(crate) limits: Limits,
    pub(crate) boot_id: Uuid,
    /// The host's NUMA nodes, any of which may hold a page under policy LOCAL.
    pub(crate) nodes: Vec<u32>,
    pub(crate) host: Arc<dyn HostSource>,
    /// Where it is told who did what, if it is.
    pub audit: Option<Arc<Audit>>,
    pub(crate) in_flight_bytes: Budget,
    pub(crate) meters: Vec<MethodMeters>,
    auth: AuthMeters,
    pub(crate) running: AtomicU64,
    pub(crate) places: Arc<Places>,
    pub(crate) connections_ever: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) foreign: Foreign,
    /// Operators' calls that run, of all tenants.
    pub(crate) operators: Budget,
    draining: AtomicBool,
    /// Whether calls are shed for want of memory.
    shedding: watch::Sender<bool>,
    phase: watch::Sender<Phase>,
    drain_asked: watch::Sender<bool>,
    identity_changes: watch::Sender<()>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("boot_id", &self.boot_id).finish_non_exhaustive()
    }
}

impl Server {
    /// A server of these tenants.
    ///
    /// # Errors
    /// Where the descriptors that were compiled in cannot be reflected.
    pub fn new(
        tenants: Tenants,
        registry: Arc<Registry>,
        limits: Limits,
        host: Arc<dyn HostSource>,
        boot_id: Uuid,
        audit: Option<Arc<Audit>>,
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<Self>, tonic_reflection::server::Error> {
        Ok(Arc::new(Self {
            in_flight_bytes: Budget::new("in_flight_bytes", limits.in_flight_bytes),
            meters: Method::ALL.iter().map(|method| MethodMeters::new(*method, metrics)).collect(),
            auth: metrics.auth(),
            audit,
            running: AtomicU64::new(0),
            places: Arc::default(),
            connections_ever: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            foreign: Foreign::new()?,
            operators: Budget::new("operators_calls", MAX_OPERATORS_CALLS),
            draining: AtomicBool::new(false),
            shedding: watch::Sender::new(false),
            phase: watch::Sender::new(Phase::Serving),
            drain_asked: watch::Sender::new(false),
            identity_changes: watch::Sender::new(()),
            tenants,
            registry,
            nodes: host.view().numa_nodes.iter().map(|node| node.node).collect(),
            limits,
            boot_id,
            host,
        }))
    }

    /// Says that calls are served from now on.
    pub async fn open(&self) {
        self.tell_health().await;
    }

    /// Tells health whenever calls come to be shed for want of memory, or are no more.
    pub async fn tell_of_shedding(&self) {
        let mut shedding = self.shedding.subscribe();
        loop {
            self.tell_health().await;
            // The sender lives in self.
            if shedding.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether calls are shed for want of memory from now on.
    pub fn set_shedding(&self, sheds: bool) {
        self.shedding.send_if_modified(|shedding| std::mem::replace(shedding, sheds) != sheds);
    }

    /// New calls and those that are parked answer DRAINING from now on, and every connection is told to
    /// go.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.registry.end_waits();
        self.tell_health().await;
        self.phase.send_replace(Phase::Draining);
    }

    /// Whether a drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Waits until someone asks for a drain over the wire.
    pub async fn drain_asked(&self) {
        // The sender lives in self, so the wait ends by the question only.
        let mut asked = self.drain_asked.subscribe();
        let _asked = asked.wait_for(|asked| *asked).await;
    }

    /// Calls being served.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Acquire)
    }

    /// A place for one more connection, from there.
    ///
    /// # Errors
    /// Which limit it is one too many for.
    pub fn place(&self, peer: Origin, most: MostConnections) -> Result<Place, Crowded> {
        self.places.take(peer, most)
    }

    /// gRPC connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.places.taken()
    }

    /// Request and reply bytes held.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes.used()
    }

    /// Panics caught since the start, here and on the pool.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed).saturating_add(self.registry.pool.panics())
    }

    /// Who may call from now on. What lasts and was let in by what counts no more is ended.
    pub fn set_identities(&self, identities: Identities) {
        self.tenants.set_identities(identities);
        self.identity_changes.send_replace(());
    }

    /// What somebody was let in by has been withdrawn: whatever lasts is looked at anew.
    pub fn judge_anew(&self) {
        self.tenants.judge_anew();
        self.identity_changes.send_replace(());
    }

    /// Which tenants there are and who may call, from now on. What lasts is looked at anew.
    ///
    /// # Errors
    /// As [`Tenants::replace`]; nothing has changed.
    pub fn replace_tenants(
        &self,
        wanted: Vec<Wanted>,
        identities: Identities,
    ) -> Result<(), Vec<Misfit>> {
        self.tenants.replace(wanted, identities)?;
        self.identity_changes.send_replace(());
        Ok(())
    }

    /// Is told of each change of who may call.
    pub(crate) fn identity_changes(&self) -> watch::Receiver<()> {
        self.identity_changes.subscribe()
    }

    /// A handshake failed: whoever called is not told why.
    pub(crate) fn note_handshake(&self) {
        self.auth.refused("TLS_HANDSHAKE");
    }

    /// That whoever shows this, from there, may read the metrics page.
    ///
    /// # Errors
    /// As [`Tenants::grant`]; CREDENTIALS_MISSING where nothing is shown; ROLE_MISSING.
    pub fn may_scrape(
        &self,
        authorization: Option<&[u8]>,
        address: Option<IpAddr>,
    ) -> Result<(), Failure> {
        let shown = Shown { authorization, ..Shown::by(&Peer::Anonymous) };
        let judged = match authorization {
            None => Err(Failure::CredentialsMissing.into()),
            Some(_) => self.tenants.grant(shown, SystemTime::now()),
        };
        let judged = judged.and_then(|grant| {
            let may = grant.require(Need::Scrape, SCRAPE);
            may.map_err(|failure| Denied::of(&grant, failure))
        });
        judged.map_err(|Denied { failure, who, .. }| {
            self.note_refused(&failure);
            turned_away(self, SCRAPE, &failure, Stranger { who, address });
            failure
        })
    }

    /// Counts a refusal that is about who calls.
    pub(crate) fn note_refused(&self, failure: &Failure) {
        self.auth.refused(reason(failure));
    }

    /// A memory's lease ran out.
    pub fn tell_expired(&self, record: &Record) {
        if let Some(audit) = &self.audit {
            audit.tell(AuditEntry::ended(record, "lease"));
        }
    }

    /// Ends the memories that went with a connection from there.
    pub(crate) fn let_go(&self, tie: &Tie, peer: Arc<Peer>, address: Option<IpAddr>) {
        let audit = self.audit.clone();
        self.registry.let_go(tie, move |record| {
            if let Some(audit) = &audit {
                let peer = Whereabouts::of(&peer, address);
                audit.tell(AuditEntry { peer, ..AuditEntry::ended(record, "connection") });
            }
        });
    }

    /// A signal has had the daemon do something, which may have failed so.
    pub fn tell_signal(&self, signal: &'static str, failure: Option<&Failure>) {
        if let Some(audit) = &self.audit {
            let outcome = failure.map_or("OK", reason);
            audit.tell(AuditEntry::uncalled(Deed::Admin, signal, outcome));
        }
    }

    /// Brings the gauges of streaming methods up to date.
    pub fn observe(&self, metrics: &Metrics) {
        for meters in &self.meters {
            meters.observe(metrics);
        }
    }

    pub(crate) fn ask_for_drain(&self) {
        self.drain_asked.send_replace(true);
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Tells health what is so, and once more where that has changed meanwhile: another may be telling too.
    async fn tell_health(&self) {
        let state = || (self.is_draining(), *self.shedding.borrow());
        loop {
            let (drains, sheds) = state();
            for service in SERVICES {
                // Operators' calls are never shed.
                let serves = !drains && (!sheds || service == ADMIN);
                let status =
                    if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
                self.foreign.tell(service, status).await;
            }
            if state() == (drains, sheds) {
                return;
            }
        }
    }
}

//! [`Daemon::start`]: everything built bottom-up, and running.
//!
//! Law: it fails before it serves or not at all; dropped, it stops at once (a drain is `run.rs`).

use std::fmt;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::config::Config;
use crate::daemon::accept::{Acceptor, Shed};
use crate::daemon::arena::arena;
use crate::daemon::arrivals::{Seated, serve};
use crate::daemon::audit::{AuditLog, Auditor};
use crate::daemon::confinement::Confinement;
use crate::daemon::credentials::Credentials;
use crate::daemon::host_source::KernelView;
use crate::daemon::http::Http;
use crate::daemon::listeners::warn_of;
use crate::daemon::page::Page;
use crate::daemon::pinning::Pinning;
use crate::daemon::pressure::{self, Bell, Watcher};
use crate::daemon::reload::{Desk, InForce, Reloader, Source};
use crate::daemon::runtime;
use crate::daemon::start_error::StartError;
use crate::daemon::tick::Tick;
use crate::daemon::unix_socket::{self, BoundSocket};
use crate::daemon::{capabilities, compose, hooks, logging, named_files, partitions, pool};
use crate::memory::{Allocators, MmapAllocator};
use crate::metrics::Metrics;
use crate::model::Now;
use crate::os::confine::Role;
use crate::os::fault;
use crate::os::host::{HostFacts, own_mappings};
use crate::os::kernel::Kernel;
use crate::os::pressure::Pressure;
use crate::os::process::{own_user, raise_open_files};
use crate::os::reservation::Absence;
use crate::registry::{Account, Limits, Registry, Step};
use crate::rpc::{Fallback, Server, ServingClock};
use crate::tenancy::{Clock, EachMemory, Tenants};

/// Where a daemon listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// `/metrics`, `/healthz`, `/readyz`.
    pub http: SocketAddr,
    /// gRPC over a Unix socket, where asked for.
    pub unix_socket: Option<PathBuf>,
}

/// A running daemon. Dropped, it stops at once.
pub struct Daemon {
    /// Where it listens.
    pub addresses: Addresses,
    /// What all its calls share.
    pub server: Arc<Server>,
    // Dropped in this order: the threads are told to stop, then waited for.
    stop: watch::Sender<bool>,
    desk: Arc<Desk>,
    bell: Option<Arc<Bell>>,
    threads: Vec<JoinHandle<()>>,
    auditor: Option<Auditor>,
    socket: Option<BoundSocket>,
    confinement: Confinement,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Daemon {
    /// Starts a daemon on this kernel, in a process that others use as well.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(config: &Config, kernel: Arc<dyn Kernel>) -> Result<Self, StartError> {
        Self::start_confined(config, kernel, Confinement::none())
    }

    /// Starts a daemon in a process of its own, which is confined for good; the calling thread, its only
    /// one, is for [`crate::daemon::run()`] from then on.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start_confined(
        config: &Config,
        kernel: Arc<dyn Kernel>,
        confinement: Confinement,
    ) -> Result<Self, StartError> {
        fault::install()?;
        let files = named_files::look(config);
        files.judge()?;
        let open_files = raise_open_files();
        let grpc = listen(config.grpc.listen, "grpc.listen")?;
        let http = listen(config.http.listen, "http.listen")?;
        let unix = config.grpc.unix_socket.as_deref().map(unix_socket::listen).transpose()?;
        let (unix, socket) = unix.unzip();
        let addresses = Addresses {
            grpc: grpc.local_addr()?,
            http: http.local_addr()?,
            unix_socket: socket.as_ref().map(|socket| socket.path().to_owned()),
        };
        warn_of(config, open_files, &files.untrusted);
        let parts = Parts::new(config, &kernel, &addresses, &confinement)?;
        let mut daemon = Self {
            addresses,
            server: Arc::clone(&parts.server),
            stop: watch::Sender::new(false),
            desk: Arc::clone(&parts.desk),
            bell: None,
            threads: Vec::new(),
            auditor: None,
            socket,
            confinement,
        };
        daemon.spawn_all(config, kernel, parts, Sockets { grpc, http, unix })?;
        daemon.confinement.settle().map(|()| daemon)
    }

    /// Reloads read the config from there.
    pub fn reload_from(&self, source: Box<Source>) {
        self.desk.reload_from(source);
    }

    /// Orders a reload, as SIGHUP does: the log tells what came of it.
    pub fn reload(&self) {
        self.desk.reload_by_signal();
    }

    /// Takes the Unix socket's name away, for a process that ends without dropping its daemon.
    pub fn forget_socket(&mut self) {
        self.socket = None;
    }

    /// Waits, for a second at most, until the audit log has what it was told: for such a process too.
    pub fn end_audit(&mut self) {
        self.auditor = None;
    }

    fn spawn_all(
        &mut self,
        config: &Config,
        kernel: Arc<dyn Kernel>,
        mut parts: Parts,
        sockets: Sockets,
    ) -> Result<(), StartError> {
        let mut runtimes = Vec::new();
        for number in 0..parts.serving.threads() {
            let (sender, arrivals) = unbounded_channel();
            runtimes.push(sender);
            let limits = compose::connection_limits(config);
            let server = Arc::clone(&parts.server);
            let kernel = Arc::clone(&kernel);
            let name = format!("serving-{number}");
            let pinning = parts.serving.clone();
            let tls = parts.credentials.tls.clone();
            let prepare = move || pinning.pin(number);
            let work = move || serve(arrivals, server, limits, kernel, tls);
            self.spawn(name, Role::Serving, prepare, work)?;
        }
        self.accept(config, &parts, runtimes, sockets.grpc, sockets.unix)?;
        let answerer = Http {
            address: self.addresses.http,
            allowed_hosts: config.http.allowed_hosts.clone(),
            tls: parts.credentials.tls.clone().filter(|_| config.http.tls),
            page: Page {
                metrics: Arc::clone(&parts.metrics),
                meters: parts.metrics.daemon(),
                overload: parts.metrics.overload(&Step::REFUSING.map(Step::word)),
                server: Arc::clone(&parts.server),
                registry: Arc::clone(&parts.registry),
                kernel: Arc::clone(&kernel),
                own_mappings: own_mappings(&*kernel).unwrap_or(0),
                desk: Arc::clone(&parts.desk),
                fallbacks: parts.fallbacks,
            },
        };
        let listener = sockets.http;
        self.spawn(
            "http".to_owned(),
            Role::Http,
            || {},
            move || async move {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    answerer.serve(listener).await;
                }
            },
        )?;
        if let (Some(audit), Some(log)) = (&parts.server.audit, parts.audit_log.take()) {
            self.auditor = Some(log.start(Arc::clone(audit), &self.confinement)?);
        }
        self.tick(config, kernel, parts)
    }

    fn accept(
        &mut self,
        config: &Config,
        parts: &Parts,
        runtimes: Vec<UnboundedSender<Seated>>,
        tcp: TcpListener,
        unix: Option<std::os::unix::net::UnixListener>,
    ) -> Result<(), StartError> {
        let acceptor = Acceptor {
            server: Arc::clone(&parts.server),
            runtimes,
            most: compose::most_connections(config),
            own_user: own_user(),
            shed: Shed::new(&parts.metrics),
        };
        let server = Arc::clone(&parts.server);
        self.spawn(
            "acceptor".to_owned(),
            Role::Acceptor,
            || {},
            move || async move {
                let tcp = tokio::net::TcpListener::from_std(tcp);
                let unix = unix.map(tokio::net::UnixListener::from_std).transpose();
                if let (Ok(tcp), Ok(unix)) = (tcp, unix) {
                    server.open().await;
                    tokio::join!(server.tell_of_shedding(), acceptor.accept(tcp, unix));
                }
            },
        )
    }

    fn tick(
        &mut self,
        config: &Config,
        kernel: Arc<dyn Kernel>,
        parts: Parts,
    ) -> Result<(), StartError> {
        let (orders, addresses) = (self.desk.open(), self.addresses.clone());
        let Parts { registry, metrics, pressure, server, credentials, account, desk, .. } = parts;
        let (shared, threads) = (Arc::clone(&server), &mut self.threads);
        let confinement = &self.confinement;
        self.bell = Watcher::start(config, shared, &metrics, pressure, threads, confinement)?;
        let reloader = Reloader { config: config.clone(), desk, addresses, host: account };
        let tick = Tick { registry, metrics, kernel, server, credentials, reloader };
        self.threads.push(tick.start(orders, &self.confinement)?);
        Ok(())
    }

    /// A thread with a runtime of its own and a role, until the daemon stops.
    fn spawn<F: Future<Output = ()>>(
        &mut self,
        name: String,
        role: Role,
        prepare: impl FnOnce() + Send + 'static,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(), StartError> {
        let (stop, confinement) = (self.stop.subscribe(), &self.confinement);
        self.threads.push(runtime::spawn(name, role, prepare, work, stop, confinement)?);
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.desk.close();
        self.bell.iter().for_each(|bell| bell.end());
        for thread in self.threads.drain(..) {
            // A thread that panicked has been logged by the hook.
            let _ended = thread.join();
        }
        // After everybody who tells it anything.
        self.auditor = None;
    }
}

struct Sockets {
    grpc: TcpListener,
    http: TcpListener,
    unix: Option<std::os::unix::net::UnixListener>,
}

/// Everything that is built before anything runs.
struct Parts {
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    server: Arc<Server>,
    pressure: Option<Pressure>,
    credentials: Credentials,
    audit_log: Option<AuditLog>,
    fallbacks: u64,
    serving: Pinning,
    account: Limits,
    desk: Arc<Desk>,
}

impl Parts {
    fn new(
        config: &Config,
        kernel: &Arc<dyn Kernel>,
        addresses: &Addresses,
        confinement: &Confinement,
    ) -> Result<Self, StartError> {
        let serving = Pinning::of_serving(kernel, &config.grpc)?;
        let pooled = Pinning::of_pool(kernel, &config.pool)?;
        let credentials = Credentials::load(config)?;
        let facts = HostFacts::read(&**kernel);
        let budget = compose::host_budget(config, &facts);
        tracing::info!(bytes = budget.bytes, source = budget.source, "host budget");
        let metrics = Arc::new(Metrics::new());
        let (audit, audit_log) = AuditLog::open(config, &metrics)?;
        metrics.set_build_info(env!("CARGO_PKG_VERSION"));
        let account = compose::host_account(config, &budget);
        let (allocator, slabless) = if config.memory.slabs {
            MmapAllocator::new(Arc::clone(kernel))
        } else {
            (MmapAllocator::dedicated(Arc::clone(kernel)), None)
        };
        let host = Account::new(account);
        let fixed = arena(config, kernel, &host)?;
        let pressure = pressure::watch(config, kernel);
        let capabilities = capabilities::probe(kernel, &facts, pressure.as_ref(), fixed.is_some());
        confinement.begin(&**kernel, addresses.unix_socket.as_deref())?;
        logging::start(confinement)?;
        let registry = Registry::new(
            compose::settings(config, facts.host_page_bytes),
            host,
            Box::new(Allocators::new(allocator, Arc::clone(kernel), fixed)),
            pool::start(config, kernel, pooled, confinement)?,
            Now { steady: Instant::now(), wall: SystemTime::now() },
        );
        partitions::make(config, &registry)?;
        let each = if config.metrics.each_memory { config.metrics.each_memory_cap } else { 0 };
        let tenants = Tenants::new(
            compose::tenants(config, &account),
            config.metrics.tenants_cap as usize,
            Arc::clone(&registry),
            Arc::new(EachMemory::new(each as usize)),
            &(Arc::new(ServingClock) as Arc<dyn Clock>),
        );
        hooks::make(config, &tenants)?;
        credentials.apply(&tenants, &metrics)?;
        let absent = facts.absent.iter().chain(pressure.iter().flat_map(Pressure::absent));
        let absent = absent.map(|absent| (absent.what.to_string(), absent.reason.to_string()));
        let slabless = slabless.map(|error| ("slabs".to_owned(), error.to_string()));
        let nameless = Absence::on(kernel).into_iter();
        let nameless = nameless.map(|absence| (absence.kind().to_owned(), absence.to_string()));
        let fallbacks: Vec<Fallback> = absent
            .chain(slabless)
            .chain(nameless)
            .map(|(kind, reason)| Fallback { kind, reason, count: 1 })
            .collect();
        let desk = Desk::new(InForce::of(config, addresses));
        let host = KernelView {
            kernel: Arc::clone(kernel),
            registry: Arc::clone(&registry),
            budget_source: budget.source,
            desk: Arc::clone(&desk),
            fallbacks,
            capabilities,
            confinement: confinement.clone(),
        };
        let fallbacks = host.fallbacks.len() as u64;
        let boot_id = uuid::Builder::from_random_bytes(compose::boot_bits()).into_uuid();
        let server = Server::new(
            tenants,
            Arc::clone(&registry),
            compose::limits(config),
            Arc::new(host),
            boot_id,
            audit,
            &metrics,
        )?;
        metrics.set_config_reload(true, SystemTime::now());
        Ok(Self {
            metrics,
            registry,
            server,
            pressure,
            credentials,
            audit_log,
            fallbacks,
            serving,
            account,
            desk,
        })
    }
}

fn listen(address: SocketAddr, key: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|error| StartError::Listen { address: address.to_string(), key, error })
}

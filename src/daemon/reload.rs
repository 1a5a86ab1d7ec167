//! [`Desk`], where reloads are ordered and what is in force is shown, and [`Reloader`], which carries them
//! out: by the signal and by the RPC the same.
//!
//! ```text
//! SIGHUP ────────┐                                                      ┌─> tenants, identities, hooks
//! Reload (RPC) ──┴─> Desk ──orders──> tick: read, judge whole, then ────┼─> credentials' files, log
//!                                                                       └─> what is in force, metrics
//! ```
//!
//! Law: the tick thread alone reads files and changes what is in force, one order after the other. A
//! config with one mistake changes nothing, and all its mistakes are told at once. What needs a restart
//! and differs is a mistake, and so is a door that would stand open.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use tokio::sync::oneshot;

use crate::config::{Change, Config, Loaded};
use crate::daemon::credentials::{Credentials, Fresh};
use crate::daemon::listeners::listeners;
use crate::daemon::start::Addresses;
use crate::daemon::{compose, config_file, hooks, logging};
use crate::error::Failure;
use crate::metrics::Metrics;
use crate::registry::{Gate, Limits as AccountLimits};
use crate::rpc::{ConfigChange, Listener, ReloadWish, Reloaded, Reloads, Server};
use crate::tenancy::Wanted;

/// Who asked, where no call did.
const SIGHUP: &str = "SIGHUP";

/// Where the config comes from, anew each time; where it does not, each mistake is a line.
pub type Source = dyn Fn() -> Result<Loaded, Vec<String>> + Send;

/// What of a config others show or go by while the daemon runs.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) config_hash: String,
    pub(super) listeners: Vec<Listener>,
    pub(super) insecure_listeners: u64,
    /// Whether the metrics page is for everybody.
    pub(super) is_http_anonymous: bool,
}

impl InForce {
    pub(super) fn of(config: &Config, addresses: &Addresses) -> Self {
        Self {
            config_hash: config.hash(),
            listeners: listeners(config, addresses),
            insecure_listeners: config.insecure_listeners().len() as u64,
            is_http_anonymous: config.is_http_anonymous(),
        }
    }
}

/// Where reloads are ordered.
pub(super) struct Desk {
    source: Mutex<Option<Box<Source>>>,
    orders: Mutex<Option<Sender<ReloadWish>>>,
    in_force: RwLock<Arc<InForce>>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("in_force", &self.in_force()).finish_non_exhaustive()
    }
}

impl Desk {
    pub(super) fn new(in_force: InForce) -> Arc<Self> {
        let in_force = RwLock::new(Arc::new(in_force));
        Arc::new(Self { source: Mutex::default(), orders: Mutex::default(), in_force })
    }

    /// What is in force.
    pub(super) fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Configs come from there from now on.
    pub(super) fn reload_from(&self, source: Box<Source>) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Orders come out there from now on.
    pub(super) fn open(&self) -> Receiver<ReloadWish> {
        let (orders, receiver) = channel();
        *self.orders.lock().unwrap_or_else(PoisonError::into_inner) = Some(orders);
        receiver
    }

    /// No order comes any more: whoever takes them ends.
    pub(super) fn close(&self) {
        *self.orders.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Orders a reload for nobody who waits: the log tells what came of it.
    pub(super) fn reload_by_signal(&self) {
        let (outcome, _nobody) = oneshot::channel();
        self.reload(ReloadWish { by: None, validate_only: false, gate: Gate::new(), outcome });
    }

    fn read(&self) -> Result<Loaded, Refused> {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = &*source else {
            return Err(Refused::Otherwise(Failure::CapabilityUnavailable {
                field: "config",
                value: "reload".to_owned(),
                why: "whatever started this daemon gave it a config and no place to read it from"
                    .into(),
            }));
        };
        source().map_err(Refused::ForIt)
    }
}

impl Reloads for Desk {
    fn reload(&self, wish: ReloadWish) {
        if let Some(orders) = &*self.orders.lock().unwrap_or_else(PoisonError::into_inner) {
            // Nobody takes it where the daemon ends, and who waits hears of it by the drop.
            let _ended = orders.send(wish);
        }
    }
}

/// Why a config is not in force.
enum Refused {
    /// For what it says: each mistake is a line.
    ForIt(Vec<String>),
    /// Not for what it says.
    Otherwise(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Otherwise(failure)
    }
}

/// Who carries reloads out.
#[derive(Debug)]
pub(super) struct Reloader {
    /// What is in force.
    pub(super) config: Config,
    pub(super) desk: Arc<Desk>,
    pub(super) addresses: Addresses,
    /// What the host gives, as it was found at start.
    pub(super) host: AccountLimits,
}

impl Reloader {
    /// Carries one out, and tells whoever waits.
    pub(super) fn carry_out(
        &mut self,
        wish: ReloadWish,
        credentials: &mut Credentials,
        server: &Server,
        metrics: &Metrics,
    ) {
        // A mistake of ours must not end the thread that ends leases.
        let done =
            catch_unwind(AssertUnwindSafe(|| self.reload(&wish, credentials, server, metrics)));
        let done = done.unwrap_or_else(|_logged| {
            server.panics.fetch_add(1, Ordering::Relaxed);
            Err(Failure::InternalFault.into())
        });
        let (by, validate_only) = (wish.by.as_deref().unwrap_or(SIGHUP), wish.validate_only);
        let is_judged = !validate_only && !matches!(done, Err(Refused::Otherwise(_)));
        if is_judged {
            metrics.set_config_reload(done.is_ok(), SystemTime::now());
        }
        let outcome = match done {
            Ok(reloaded) => {
                for ConfigChange { key, old, new } in &reloaded.changes {
                    tracing::info!(by, validate_only, key, ?old, ?new, "config change");
                }
                let (changes, hash) = (reloaded.changes.len(), &reloaded.config_hash);
                tracing::info!(by, validate_only, changes, config_hash = hash, "config reloaded");
                Ok(reloaded)
            }
            Err(Refused::ForIt(mistakes)) => {
                for mistake in &mistakes {
                    tracing::error!(by, validate_only, mistake, "config refused");
                }
                Err(Failure::InvalidSpec { field: "config", why: told(&mistakes) })
            }
            Err(Refused::Otherwise(failure)) => {
                tracing::warn!(by, validate_only, %failure, "not reloaded");
                Err(failure)
            }
        };
        if wish.by.is_none() {
            server.tell_signal(SIGHUP, outcome.as_ref().err());
        }
        // Whoever asked may have gone.
        let _gone = wish.outcome.send(outcome);
    }

    fn reload(
        &mut self,
        wish: &ReloadWish,
        credentials: &mut Credentials,
        server: &Server,
        metrics: &Metrics,
    ) -> Result<Reloaded, Refused> {
        if server.is_draining() {
            return Err(Failure::Draining.into());
        }
        let loaded = self.desk.read()?;
        let changes = self.config.changes_to(&loaded.config);
        let mut mistakes: Vec<String> = changes
            .iter()
            .filter(|change| !is_movable(&change.key))
            .map(|change| immovable(change, &loaded))
            .collect();
        let config = loaded.config;
        mistakes.extend(opened(&self.config, &config).map(str::to_owned));
        let wanted = self.wanted(&config, &mut mistakes);
        mistakes.extend(lines(server.tenants.misfits(&wanted)));
        let fresh = credentials.judge(&config);
        let Fresh { identities, files } = match fresh {
            Ok(fresh) if mistakes.is_empty() => fresh,
            fresh => {
                mistakes.extend(lines(fresh.err().unwrap_or_default()));
                return Err(Refused::ForIt(mistakes));
            }
        };
        for issuer in &config.jwt_issuers {
            if let Err(untrusted) = config_file::examine(&issuer.jwks_file) {
                tracing::warn!(%untrusted, "whoever may write a key set decides who calls");
            }
        }
        let in_force = InForce::of(&config, &self.addresses);
        let reloaded = Reloaded {
            changes: changes
                .into_iter()
                .map(|Change { key, old, new }| ConfigChange { key, old, new })
                .collect(),
            config_hash: in_force.config_hash.clone(),
            previous_config_hash: self.desk.in_force().config_hash.clone(),
        };
        if wish.validate_only {
            return Ok(reloaded);
        }
        wish.gate.pass()?;
        let replaced = server.replace_tenants(wanted, identities);
        replaced.map_err(|misfits| Refused::ForIt(lines(misfits)))?;
        credentials.take(files, server, metrics);
        logging::set_filter(&config.log.filter);
        *self.desk.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
        self.config = config;
        Ok(reloaded)
    }

    fn wanted(&self, config: &Config, mistakes: &mut Vec<String>) -> Vec<Wanted> {
        let closed = compose::closed(config);
        let mut wanted = Vec::new();
        for (name, limits) in compose::tenants(config, &self.host) {
            match hooks::of(config, name.as_str()) {
                Ok(hooks) => {
                    let is_closed = closed.contains(&name);
                    wanted.push(Wanted { name, limits, is_closed, hooks });
                }
                Err(error) => mistakes.push(error.to_string()),
            }
        }
        wanted
    }
}

/// Whether a running daemon can go by another value.
fn is_movable(key: &str) -> bool {
    const TABLES: [&str; 5] = ["tenant[", "identity[", "jwt_issuer[", "hook[", "quota."];
    const KEYS: [&str; 12] = [
        "grow_policy.budget_share",
        "grow_policy.largest_step_pages",
        "grow_policy.rate_pages_per_second",
        "grpc.handlers_per_tenant",
        "grpc.in_flight_bytes_per_tenant",
        "grpc.max_connections_per_tenant",
        "grpc.sessions_per_tenant",
        "grpc.waiters_per_tenant",
        "lease.sweep_interval",
        "log.filter",
        "memory.reserved_bytes_per_tenant",
        "tls.reload_interval",
    ];
    KEYS.contains(&key) || TABLES.iter().any(|table| key.starts_with(table))
}

fn immovable(change: &Change, loaded: &Loaded) -> String {
    let Change { key, old, new } = change;
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
    let origin = loaded.origins.of(key);
    format!("{origin}: {key}: is {} and cannot become {} without a restart", value(old), value(new))
}

/// What would stand open that is closed now. A file that is empty for a moment, while it is written, must
/// let nobody in.
fn opened(now: &Config, then: &Config) -> impl Iterator<Item = &'static str> {
    let callers = !now.identities.is_empty() && then.identities.is_empty();
    let page = !now.is_http_anonymous() && then.is_http_anonymous();
    let callers = callers.then_some(
        "identity: the last one cannot go without a restart: anybody could call then; keep one",
    );
    let page = page.then_some(
        "identity: the last one with the role metrics cannot go without a restart: anybody could read \
         /metrics then; keep one",
    );
    callers.into_iter().chain(page)
}

fn lines<T: ToString>(mistakes: impl IntoIterator<Item = T>) -> Vec<String> {
    mistakes.into_iter().map(|mistake| mistake.to_string()).collect()
}

/// All of them, as long as they fit what clients take of a failure; the log has them whole.
fn told(mistakes: &[String]) -> String {
    const MOST: usize = 1_200;
    const LINE: usize = 240;
    let mut text = "was refused, and nothing has changed".to_owned();
    for (place, mistake) in mistakes.iter().enumerate() {
        if text.len() >= MOST {
            let more = mistakes.len().saturating_sub(place);
            text.push_str(&format!("\nand {more} more mistakes, in the daemon's log"));
            break;
        }
        text.push('\n');
        text.extend(mistake.chars().take(LINE));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_by_line_until_they_are_too_many() {
        let few = told(&["one".to_owned(), "two".to_owned()]);
        assert_eq!(few, "was refused, and nothing has changed\none\ntwo");
        let many = told(&vec!["x".repeat(1_000); 100]);
        assert!(
            many.len() < 1_700 && many.ends_with("more mistakes, in the daemon's log"),
            "{many}"
        );
    }

    #[test]
    fn every_movable_key_is_a_key() {
        let mut config = Config::default();
        config.tenants.push(crate::config::Tenant::named("blue"));
        let config = config.changes_to(&Config { tenants: Vec::new(), ..Config::default() });
        assert!(config.iter().all(|change| is_movable(&change.key)), "{config:?}");
        for key in
            ["grpc.listen", "memory.host_budget", "partition[\"p\"].maximum_bytes", "log.format"]
        {
            assert!(!is_movable(key), "{key}");
        }
    }
}

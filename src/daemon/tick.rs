//! The tick: leases, quarantined ranges, files of credentials, reloads of the config, the kernel's limit
//! on mappings, the metrics' upkeep, the heap's.
//!
//! Law: a thread of its own, niced by nothing, that may do slow kernel work; the only reader of the
//! clock for the registry.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::daemon::compose::admitted_mappings;
use crate::daemon::confinement::Confinement;
use crate::daemon::credentials::Credentials;
use crate::daemon::reload::Reloader;
use crate::metrics::Metrics;
use crate::model::Now;
use crate::os::confine::Role;
use crate::os::heap::give_back;
use crate::os::host::max_map_count;
use crate::os::kernel::Kernel;
use crate::registry::Registry;
use crate::rpc::{ReloadWish, Server};

/// How often histograms are moved into their buckets, what the heap has no use for is given back, and
/// the kernel's limit is read.
const UPKEEP: Duration = Duration::from_secs(2);

/// What is done now and then.
pub(super) struct Tick {
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) kernel: Arc<dyn Kernel>,
    pub(super) server: Arc<Server>,
    pub(super) credentials: Credentials,
    pub(super) reloader: Reloader,
}

impl Tick {
    /// A thread that ticks, and reloads at once where that is ordered, until nobody is there to order it.
    pub(super) fn start(
        mut self,
        orders: Receiver<ReloadWish>,
        confinement: &Confinement,
    ) -> io::Result<JoinHandle<()>> {
        confinement.spawn("tick".to_owned(), Role::Tick, || {}, move || self.run(&orders))
    }

    fn run(&mut self, orders: &Receiver<ReloadWish>) {
        let mut kept_up = Instant::now();
        loop {
            let config = &self.reloader.config;
            let pause = config.lease.sweep_interval.min(config.tls.reload_interval);
            match orders.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(wish) => {
                    let Self { server, metrics, credentials, .. } = self;
                    self.reloader.carry_out(wish, credentials, server, metrics);
                }
            }
            let now = Now { steady: Instant::now(), wall: SystemTime::now() };
            self.registry.sweep(now, |record| {
                tracing::info!(memory_id = %record.id, uid = %record.uid, "lease ran out");
                self.server.tell_expired(record);
            });
            self.credentials.refresh(&self.server, &self.metrics);
            if kept_up.elapsed() >= UPKEEP {
                kept_up = Instant::now();
                self.metrics.upkeep();
                give_back();
                if let Ok(limit) = max_map_count(&*self.kernel) {
                    self.registry
                        .host
                        .set_mappings_limit(admitted_mappings(&self.reloader.config, limit));
                }
            }
        }
    }
}

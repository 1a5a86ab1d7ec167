//! A daemon in this process, over a kernel that can be made to refuse, and a client of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use linmemd::client::{Client, ClientError, ConnectOptions, RetryPolicy};
use linmemd::config::{Config, Partition};
use linmemd::daemon::Daemon;
use linmemd::os::failing::FailingKernel;
use linmemd::registry::PurgeOutcome;
use linmemd::units::ByteCount;
use tokio::runtime::Runtime;

use crate::floors::{ARENA, Floors, MEMORIES, QUOTA_BYTES, RESERVED_BYTES};

/// Longer than any test: the tick does not come by itself.
pub(crate) const NO_SWEEP: Duration = Duration::from_secs(3600);

pub(crate) struct Served {
    pub(crate) kernel: Arc<FailingKernel>,
    pub(crate) client: Client,
    pub(crate) runtime: Runtime,
    /// Whether there are fixed memories.
    pub(crate) has_arena: bool,
    daemon: Daemon,
    panics: u64,
}

impl Served {
    pub(crate) fn new(sweep_interval: Duration) -> Self {
        Self::on(Arc::new(FailingKernel::new()), sweep_interval)
    }

    /// With an arena of [`ARENA`], where this host lets one be locked, and partitions of the config.
    pub(crate) fn with_arena(sweep_interval: Duration, partitions: Vec<Partition>) -> Self {
        let has_arena = Floors::with_arena().has_arena();
        Self::changed(Arc::new(FailingKernel::new()), sweep_interval, |config| {
            config.partitions = partitions;
            if has_arena {
                (config.fixed.slots, config.fixed.slot_pages) = ARENA;
            }
        })
    }

    /// On a host that refuses from the daemon's first call on.
    pub(crate) fn on(kernel: Arc<FailingKernel>, sweep_interval: Duration) -> Self {
        Self::watching(kernel, sweep_interval, None)
    }

    /// The same, purging above such a share of a limit.
    pub(crate) fn watching(
        kernel: Arc<FailingKernel>,
        sweep_interval: Duration,
        purge_at: Option<f64>,
    ) -> Self {
        Self::changed(kernel, sweep_interval, |config| config.memory.purge_at = purge_at)
    }

    /// On a config with a change.
    pub(crate) fn changed(
        kernel: Arc<FailingKernel>,
        sweep_interval: Duration,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        config.memory.purge_at = None;
        // What is kept of events is charged; here every charge is accounted for.
        config.events.ring = 0;
        config.grpc.listen = "127.0.0.1:0".parse().unwrap();
        config.http.listen = "127.0.0.1:0".parse().unwrap();
        config.memory.host_budget = Some(1 << 40);
        config.lease.sweep_interval = sweep_interval;
        change(&mut config);
        for tenant in &mut config.tenants {
            tenant.quota_bytes = Some(QUOTA_BYTES);
            tenant.memories = Some(MEMORIES);
            tenant.reserved_bytes = Some(RESERVED_BYTES);
        }
        let daemon = Daemon::start(&config, Arc::<FailingKernel>::clone(&kernel)).unwrap();
        let endpoint = format!("http://{}", daemon.addresses.grpc).parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = ConnectOptions { retry: RetryPolicy::NONE, ..ConnectOptions::new(endpoint) };
        let client = runtime.block_on(Client::connect(&options)).unwrap();
        let has_arena = config.fixed.slots > 0;
        Self { kernel, client, runtime, has_arena, daemon, panics: 0 }
    }

    /// Purges everything that is volatile.
    pub(crate) fn purge_all(&self) -> PurgeOutcome {
        self.daemon.server.registry.purge(ByteCount::new(u64::MAX))
    }

    pub(crate) fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    /// What the tenant is charged, kind by kind, as GetServerInfo says; but what it takes to ask.
    pub(crate) fn charged(&self) -> Vec<u64> {
        let info = self.wait(self.client.server_info()).unwrap();
        let asks = ["handlers", "connections"];
        let others = info.quotas.iter().filter(|quota| !asks.contains(&&*quota.resource));
        others.map(|quota| quota.used).collect()
    }

    /// The sum of a family's samples on `/metrics`.
    pub(crate) fn metric(&self, family: &str) -> u64 {
        let mut stream = TcpStream::connect(self.daemon.addresses.http).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let samples = page.lines().filter(|line| {
            line.strip_prefix(family).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let values = samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        let found: Vec<f64> = values.collect();
        assert!(!found.is_empty(), "no {family} in:\n{page}");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count"
        )]
        let sum = found.iter().sum::<f64>() as u64;
        sum
    }

    /// The test planted so many panics.
    pub(crate) fn expect_panics(&mut self, count: u64) {
        self.panics = count;
    }

    /// That nothing is left of anything, and nothing panicked that was not meant to.
    pub(crate) fn end(self) {
        let charged = self.charged();
        assert!(charged.iter().all(|used| *used == 0), "{charged:?}");
        assert_eq!(self.metric("linmemd_panics_total"), self.panics);
        assert_eq!(self.metric("linmemd_quarantined_bytes"), 0);
        // Slabs stay mapped as long as the daemon.
        drop(self.daemon);
        assert_eq!(self.kernel.mapped_bytes(), ByteCount::ZERO);
    }
}

/// The failure's reason and retry word.
pub(crate) fn refusal<T: std::fmt::Debug>(
    outcome: Result<T, ClientError>,
) -> (String, &'static str) {
    let error = outcome.unwrap_err();
    let failure = error.failure().unwrap_or_else(|| panic!("{error:?}"));
    assert!(failure.call_id.is_some(), "{failure:?}");
    (failure.reason.clone(), failure.retry.as_str())
}

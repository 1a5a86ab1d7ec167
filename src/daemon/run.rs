//! [`run`]: a daemon until its end: signals, the drain, and what the process says at last.
//!
//! ```text
//! serving ── SIGHUP ──> the config anew (reload.rs)
//! serving ── SIGTERM, SIGINT or Drain ──> draining ── no call left ──> exit 0
//!                                             ├── drain limit ───────> exit 0, calls cut
//!                                             └── a second signal ───> exit 1 at once
//! ```

use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::daemon::start::Daemon;

/// How often the drain looks whether all is over.
const LOOK: Duration = Duration::from_millis(20);
/// How long connections may stay once no call runs: for the last bytes and the peers' goodbyes.
const GOODBYE: Duration = Duration::from_millis(500);

/// How the process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Drained, or the limit was reached.
    Drained,
    /// A second signal.
    Forced,
}

/// The signals that end a daemon or have it reload, and what waits for them. Had before anything is served: a signal
/// at the first moment drains too, and a crowd that takes every descriptor comes too late for these.
#[derive(Debug)]
pub struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals from their default, which is to end the process.
    ///
    /// # Errors
    /// Where the host gives no runtime or no signals.
    pub fn take() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt, hangup })
    }
}

/// Runs until a drain is over.
pub fn run(daemon: &Daemon, signals: Signals, drain_limit: Duration) -> Exit {
    let Signals { runtime, mut terminate, mut interrupt, mut hangup } = signals;
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = terminate.recv() => drains(daemon, "SIGTERM"),
                _ = interrupt.recv() => drains(daemon, "SIGINT"),
                () = daemon.server.drain_asked() => tracing::info!("asked over the wire: draining"),
                _ = hangup.recv() => {
                    daemon.reload();
                    continue;
                }
            }
            break;
        }
        let mut drained = pin!(daemon.drain(drain_limit));
        let over = loop {
            tokio::select! {
                over = &mut drained => break over,
                _ = terminate.recv() => return Exit::Forced,
                _ = interrupt.recv() => return Exit::Forced,
                // Refused there, and told.
                _ = hangup.recv() => daemon.reload(),
            }
        };
        match over {
            Ok(()) => tracing::info!("drained"),
            Err(cut) => tracing::warn!(calls = cut, "drain limit reached; calls were cut"),
        }
        Exit::Drained
    })
}

fn drains(daemon: &Daemon, signal: &'static str) {
    tracing::info!("{signal}: draining");
    daemon.server.tell_signal(signal, None);
}

impl Daemon {
    /// Refuses new calls and waits until those that run are over, or the limit.
    ///
    /// # Errors
    /// How many calls still ran at the limit.
    pub async fn drain(&self, limit: Duration) -> Result<(), u64> {
        self.server.drain().await;
        let idle = async {
            let mut quiet_since = None;
            loop {
                if self.server.running() > 0 {
                    quiet_since = None;
                } else if self.server.connections() == 0
                    || quiet_since.get_or_insert_with(Instant::now).elapsed() >= GOODBYE
                {
                    return;
                }
                sleep(LOOK).await;
            }
        };
        timeout(limit, idle).await.map_err(|_limit| self.server.running())
    }
}

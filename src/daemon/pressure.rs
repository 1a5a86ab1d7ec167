//! The watch for pressure: purges volatile ranges while the host is short of memory, and where that
//! gives nothing has partitions lend nothing more.
//!
//! ```text
//! nothing volatile, no partition: waits for the bell     else: look, purge a step, look again … wait
//! ```
//!
//! Law: a thread of its own, for a purge is the kernel's work. No more goes than is needed: a step,
//! and another look. It sleeps no longer than the host could take to fill what room there is, and
//! where nothing could be done about it it does not look at all.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::daemon::compose;
use crate::daemon::confinement::Confinement;
use crate::metrics::{Metrics, PurgeMeters};
use crate::os::confine::Role;
use crate::os::kernel::Kernel;
use crate::os::pressure::{Pressure, Sign};
use crate::registry::{PurgeOutcome, Registry};
use crate::units::ByteCount;

/// Purged before the next look: about 2 ms of the kernel's time.
const STEP: u64 = 16 << 20;
/// The least that is worth a look.
const LEAST: u64 = 1 << 20;
/// No machine fills memory faster, in a millisecond.
const FILLED_IN_A_MILLISECOND: u64 = 8 << 20;
/// Until memories that were in use are tried again.
const BUSY: Duration = Duration::from_millis(2);
/// Until the next look where there is pressure and nothing that could be purged.
const IN_VAIN: Duration = Duration::from_millis(50);
/// Purges of so long are one line of the log.
const SAID: Duration = Duration::from_secs(1);

/// What this host lets be watched, and says so; none where nothing is to be.
pub(super) fn watch(config: &Config, kernel: &Arc<dyn Kernel>) -> Option<Pressure> {
    let purge_at = config.memory.purge_at?;
    let per_mille = compose::per_mille(purge_at);
    let pressure = Pressure::watch(Arc::clone(kernel), per_mille, Instant::now());
    let sources = pressure.sources().join(", ");
    tracing::info!(sources, purge_at, "watches for want of memory");
    Some(pressure)
}

/// Ends the watcher's sleep.
#[derive(Debug)]
pub(super) struct Bell {
    writer: PipeWriter,
    rung: AtomicBool,
    over: AtomicBool,
}

impl Bell {
    /// A bell, and where it is heard.
    fn new() -> io::Result<(Arc<Self>, PipeReader)> {
        let (reader, writer) = io::pipe()?;
        let (rung, over) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok((Arc::new(Self { writer, rung, over }), reader))
    }

    /// The watcher is to end.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.ring();
    }

    fn ring(&self) {
        // At most two bytes are under way, so that this never waits.
        if !self.rung.swap(true, Ordering::AcqRel) {
            // The reader is gone only with the watcher.
            let _gone = (&self.writer).write(&[1]);
        }
    }

    fn heard(&self, mut reader: &PipeReader) {
        // One byte is written each time that it becomes true.
        if self.rung.swap(false, Ordering::AcqRel) {
            let _one = reader.read(&mut [0]);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// Who watches.
pub(super) struct Watcher {
    registry: Arc<Registry>,
    meters: PurgeMeters,
    pressure: Pressure,
    /// The longest time between two looks.
    interval: Duration,
    bell: Arc<Bell>,
    reader: PipeReader,
    unsaid: Option<Unsaid>,
}

/// What is still to be said of purges.
struct Unsaid {
    since: Instant,
    sign: Sign,
    outcome: PurgeOutcome,
}

impl Watcher {
    /// A thread that watches until its bell says that it is over.
    pub(super) fn start(
        config: &Config,
        registry: Arc<Registry>,
        metrics: &Metrics,
        pressure: Option<Pressure>,
        threads: &mut Vec<JoinHandle<()>>,
        confinement: &Confinement,
    ) -> io::Result<Option<Arc<Bell>>> {
        let Some(pressure) = pressure else { return Ok(None) };
        let (bell, reader) = Bell::new()?;
        let meters = metrics.purges(&Sign::ALL.map(Sign::word));
        let interval = config.memory.pressure_interval;
        let ring = Arc::clone(&bell);
        let watcher =
            Self { registry, meters, pressure, interval, bell: ring, reader, unsaid: None };
        let thread = thread::Builder::new().name("pressure".to_owned());
        confinement.expect(1);
        let confinement = confinement.clone();
        threads.push(thread.spawn(move || {
            confinement.enter(Role::Pressure);
            watcher.run();
        })?);
        Ok(Some(bell))
    }

    fn run(mut self) {
        self.registry.watch(Waker::from(Arc::clone(&self.bell)));
        let mut idle = true;
        while !self.bell.over.load(Ordering::Acquire) {
            let wait = if !self.registry.minds_pressure() {
                idle = true;
                self.registry.set_pressure(false);
                self.say(Duration::ZERO);
                None
            } else {
                if std::mem::take(&mut idle) {
                    self.pressure.begin(self.reader.as_fd(), Instant::now());
                }
                let wait = self.round();
                self.say(SAID);
                // So that it is said soon.
                Some(if self.unsaid.is_some() { wait.min(SAID) } else { wait })
            };
            self.pressure.wait(self.reader.as_fd(), wait);
            self.bell.heard(&self.reader);
        }
    }

    /// Purges as long as there is pressure and something goes; how long to wait then.
    fn round(&mut self) -> Duration {
        loop {
            let now = Instant::now();
            let look = self.pressure.look(now);
            let Some(sign) = look.sign else {
                self.registry.set_pressure(false);
                return self.until(look.room);
            };
            let wanted = match sign {
                Sign::Usage => look.over.get().clamp(LEAST, STEP),
                Sign::Events | Sign::Stalls => STEP,
            };
            let outcome = self.registry.purge(ByteCount::new(wanted));
            self.meters.count(sign.word(), outcome.ranges, outcome.purged_bytes);
            self.registry.set_pressure(outcome.given_back_bytes == 0);
            if outcome.purged_bytes > 0 || outcome.refused > 0 {
                let none = PurgeOutcome::default();
                let unsaid = self.unsaid.get_or_insert(Unsaid { since: now, sign, outcome: none });
                unsaid.outcome = unsaid.outcome.plus(outcome);
            }
            if self.bell.over.load(Ordering::Acquire) {
                return Duration::ZERO;
            }
            match sign {
                _ if outcome.busy > 0 && outcome.given_back_bytes < wanted => return BUSY,
                Sign::Usage if outcome.given_back_bytes == 0 => return IN_VAIN,
                Sign::Usage => {}
                // They tell again if that was not enough.
                Sign::Events | Sign::Stalls => return self.until(look.room),
            }
        }
    }

    /// Says what was purged, once that began so long ago.
    fn say(&mut self, after: Duration) {
        let ripe = |unsaid: &mut Unsaid| unsaid.since.elapsed() >= after;
        if let Some(Unsaid { sign, outcome, .. }) = self.unsaid.take_if(ripe) {
            tracing::info!(
                sign = sign.word(),
                purged_bytes = outcome.purged_bytes,
                given_back_bytes = outcome.given_back_bytes,
                ranges = outcome.ranges,
                busy = outcome.busy,
                refused = outcome.refused,
                "the host is short of memory; volatile ranges were purged"
            );
        }
    }

    fn until(&self, room: ByteCount) -> Duration {
        let millis = room.get() / FILLED_IN_A_MILLISECOND;
        Duration::from_millis(millis.max(1)).min(self.interval)
    }
}

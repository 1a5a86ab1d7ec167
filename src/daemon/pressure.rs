//! The watch for pressure: purges volatile ranges while the host is short of memory, and where that
//! gives nothing keeps no slots warm, has partitions lend nothing more, and the daemon refuse what the
//! ladder's step says (`ladder.rs`).
//!
//! ```text
//! look, purge a step, judge, look again … wait: for the time, for what tells, for the bell
//! ```
//!
//! Law: a thread of its own, for a purge is the kernel's work. No more goes than is needed: a step,
//! and another look. It sleeps no longer than the host could take to fill what room there is where
//! something would be given back for it; else it looks a few times a second at most, more often only
//! while use changes.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::daemon::compose;
use crate::daemon::confinement::Confinement;
use crate::daemon::ladder::{Ladder, Reading};
use crate::metrics::{Metrics, PurgeMeters};
use crate::os::confine::Role;
use crate::os::kernel::Kernel;
use crate::os::pressure::{Fullness, Look, Pressure, Sign};
use crate::registry::{PurgeOutcome, Registry, Step};
use crate::rpc::Server;
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
/// Between looks at least where nothing would be given back, while use changes and while it does not.
const CHANGING: Duration = Duration::from_millis(50);
const STEADY: Duration = Duration::from_millis(250);
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
    server: Arc<Server>,
    meters: PurgeMeters,
    pressure: Pressure,
    ladder: Ladder,
    /// The host's budget itself, where more than that may be charged.
    backed: Option<u64>,
    /// How much more could be used at the last look.
    room: ByteCount,
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
        server: Arc<Server>,
        metrics: &Metrics,
        pressure: Option<Pressure>,
        threads: &mut Vec<JoinHandle<()>>,
        confinement: &Confinement,
    ) -> io::Result<Option<Arc<Bell>>> {
        let Some(pressure) = pressure else { return Ok(None) };
        let (bell, reader) = Bell::new()?;
        let meters = metrics.purges(&Sign::ALL.map(Sign::word));
        let interval = config.memory.pressure_interval;
        let watcher = Self {
            backed: compose::backed(config, &server.registry.host),
            server,
            meters,
            ladder: Ladder::new(pressure.per_mille(), interval),
            pressure,
            room: ByteCount::ZERO,
            interval,
            bell: Arc::clone(&bell),
            reader,
            unsaid: None,
        };
        let name = "pressure".to_owned();
        threads.push(confinement.spawn(name, Role::Pressure, || {}, || watcher.run())?);
        Ok(Some(bell))
    }

    fn run(mut self) {
        self.registry().watch(Waker::from(Arc::clone(&self.bell)));
        self.pressure.begin(self.reader.as_fd(), Instant::now());
        while !self.bell.over.load(Ordering::Acquire) {
            let wait = self.round();
            self.say(SAID);
            // So that it is said soon.
            let wait = if self.unsaid.is_some() { wait.min(SAID) } else { wait };
            self.pressure.wait(self.reader.as_fd(), wait);
            self.bell.heard(&self.reader);
        }
    }

    /// Purges as long as there is pressure and something goes; how long to wait then.
    fn round(&mut self) -> Duration {
        loop {
            let now = Instant::now();
            // Without descriptors all stays as it is.
            let Some(look) = self.pressure.look(now) else { return IN_VAIN };
            let wanted = match look.sign {
                None => 0,
                Some(Sign::Usage) => look.over.get().clamp(LEAST, STEP),
                Some(Sign::Events | Sign::Stalls) => STEP,
            };
            let outcome = look.sign.map(|sign| self.purge(sign, wanted, now)).unwrap_or_default();
            let gives = outcome.given_back_bytes > 0;
            let warm = self.climb(&look, gives, now);
            let short = look.sign.is_some() && !gives;
            self.registry().set_pressure(short || self.ladder.step() >= Step::RefuseGrowth);
            if self.bell.over.load(Ordering::Acquire) {
                return Duration::ZERO;
            }
            match look.sign {
                None => return self.until(look.room),
                _ if outcome.busy > 0 && outcome.given_back_bytes < wanted => return BUSY,
                Some(Sign::Usage) if !gives && !warm => return IN_VAIN,
                Some(Sign::Usage) => {}
                // They tell again if that was not enough.
                Some(Sign::Events | Sign::Stalls) => return self.until(look.room),
            }
        }
    }

    fn purge(&mut self, sign: Sign, wanted: u64, now: Instant) -> PurgeOutcome {
        let outcome = self.registry().purge(ByteCount::new(wanted));
        self.meters.count(sign.word(), outcome.ranges, outcome.purged_bytes);
        if outcome.purged_bytes > 0 || outcome.refused > 0 {
            let none = PurgeOutcome::default();
            let unsaid = self.unsaid.get_or_insert(Unsaid { since: now, sign, outcome: none });
            unsaid.outcome = unsaid.outcome.plus(outcome);
        }
        outcome
    }

    /// Goes up or down as the look has it; whether anything that was kept warm went back to the host.
    fn climb(&mut self, look: &Look, gives: bool, now: Instant) -> bool {
        let reading = Reading {
            share: look.fullest.millionths(),
            promised: self.promised(),
            is_told: look.is_told,
            gives,
        };
        let before = self.ladder.step();
        let step = self.ladder.judge(reading, now);
        let keeps = step < Step::DropWarm;
        let is_news = keeps != (before < Step::DropWarm);
        let cooled = match is_news || !keeps {
            true => self.registry().allocator.keep_warm(keeps),
            false => ByteCount::ZERO,
        };
        if step != before {
            self.registry().overload.set(step);
            self.server.set_shedding(step == Step::ShedCalls);
            tell(step, before, look, reading, cooled);
        }
        cooled > ByteCount::ZERO
    }

    /// What is charged, in millionths of the budget itself.
    fn promised(&self) -> u64 {
        let Some(backed) = self.backed else { return 0 };
        let charged = self.registry().host.bytes().used;
        Fullness { used: ByteCount::new(charged), limit: ByteCount::new(backed) }.millionths()
    }

    fn registry(&self) -> &Registry {
        &self.server.registry
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

    fn until(&mut self, room: ByteCount) -> Duration {
        let change = room.get().abs_diff(std::mem::replace(&mut self.room, room).get());
        let least = match change {
            _ if self.registry().minds_pressure() => Duration::from_millis(1),
            0..LEAST => STEADY,
            _ => CHANGING,
        };
        let millis = room.get() / FILLED_IN_A_MILLISECOND;
        Duration::from_millis(millis).max(least).min(self.interval)
    }
}

/// Says that it is another step, and what for.
fn tell(step: Step, before: Step, look: &Look, reading: Reading, cooled: ByteCount) {
    let (step, before, sign) = (step.word(), before.word(), look.sign.map(Sign::word));
    let (used_bytes, limit_bytes) = (look.fullest.used.get(), look.fullest.limit.get());
    let promised_per_mille = reading.promised / 1000;
    tracing::warn!(
        step,
        before,
        used_bytes,
        limit_bytes,
        sign,
        promised_per_mille,
        warm_bytes_given_back = cooled.get(),
        "how short the host is of memory has changed"
    );
}

//! [`Watch`]: when the whole machine stood still, for tests that measure how long a call takes.
//!
//! A virtual machine runs only when its host lets it. One that has used what it may have of a tenth of a
//! second stands still until the next begins, all its processors at once, for tens of milliseconds; a
//! few such stops in some seconds are the whole of a p99. What was due then says nothing of the daemon.
//!
//! Law: on every processor a thread that stands before all others wakes each millisecond, and the machine
//! stood still where all of them woke too late at once. Where threads may not be put before others (not
//! as root), nothing counts as a stop.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use linmemd::os::kernel::Linux;
use linmemd::os::threads::run_on;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::{Pid, gettid};

const INTERVAL: Duration = Duration::from_millis(1);
/// A timer of an idle machine is late by less.
const LATE: Duration = Duration::from_millis(2);
/// A machine is quiet that was so for as long.
const QUIET: Duration = Duration::from_secs(3);

/// From when until when.
type Span = (Instant, Instant);

/// When a call was due, and how long from then it took.
pub(crate) type Timed = (Instant, Duration);

/// While it is watched.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Span>>>,
}

/// What was seen.
pub(crate) struct Stops(Vec<Span>);

/// How long calls took.
pub(crate) struct Latencies {
    /// In nanoseconds, of those that count.
    pub(crate) histogram: Histogram<u64>,
    /// Calls during which the machine stood still.
    pub(crate) left_out: u64,
}

impl Watch {
    pub(crate) fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let allowed = sched_getaffinity(Pid::this()).expect("own processors");
        let threads = (0..CpuSet::count())
            .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
            .map(|cpu| {
                let over = Arc::clone(&over);
                let cpu = u32::try_from(cpu).expect("a processor's number");
                thread::spawn(move || if stand_first(cpu) { lates(&over) } else { Vec::new() })
            })
            .collect();
        Self { over, threads }
    }

    pub(crate) fn end(self) -> Stops {
        self.over.store(true, Ordering::Relaxed);
        let of_each = self.threads.into_iter().map(|thread| thread.join().expect("a watch"));
        Stops(of_each.reduce(|all, one| at_once(&all, &one)).unwrap_or_default())
    }
}

impl Stops {
    /// What is to be said of these calls. A machine that mostly stood still measures nothing.
    pub(crate) fn latencies(&self, calls: &[Timed]) -> Latencies {
        let histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
        let mut told = Latencies { histogram, left_out: 0 };
        for (due, latency) in calls {
            if self.0.iter().any(|span| overlap(*span, (*due, *due + *latency))) {
                told.left_out += 1;
            } else {
                let nanoseconds = u64::try_from(latency.as_nanos()).expect("584 years");
                told.histogram.saturating_record(nanoseconds);
            }
        }
        let Latencies { histogram, left_out } = &told;
        assert!(*left_out < histogram.len(), "{left_out} calls met a machine that stood still");
        told
    }
}

/// Waits until no processor has been late for as long as [`QUIET`], for half a minute at most: memory that
/// was given back to a machine goes on to its host for seconds after.
pub(crate) fn settle() {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let watch = Watch::begin();
        thread::sleep(QUIET);
        let Stops(seen) = watch.end();
        if seen.is_empty() || Instant::now() >= end {
            return;
        }
    }
}

/// Whether the calling thread is now bound to the processor and before all others.
fn stand_first(cpu: u32) -> bool {
    let thread = gettid().to_string();
    let mut first = Command::new("chrt");
    first.args(["--fifo", "--pid", "90", &thread]).stdout(Stdio::null()).stderr(Stdio::null());
    let is_first = first.status().is_ok_and(|status| status.success());
    is_first && run_on(&Linux, &[cpu]).is_ok()
}

/// When this thread was not run though it was due.
fn lates(over: &AtomicBool) -> Vec<Span> {
    let mut lates = Vec::new();
    let mut due = Instant::now() + INTERVAL;
    while !over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let woken = Instant::now();
        if woken.saturating_duration_since(due) > LATE {
            lates.push((due, woken));
            due = woken;
        }
        due += INTERVAL;
    }
    lates
}

/// The spans of one that overlap one of the other, each as long as both together.
fn at_once(all: &[Span], others: &[Span]) -> Vec<Span> {
    let of = |one: &Span| {
        let also = others.iter().find(|other| overlap(*one, **other))?;
        Some((one.0.min(also.0), one.1.max(also.1)))
    };
    all.iter().filter_map(of).collect()
}

fn overlap(one: Span, other: Span) -> bool {
    one.0 < other.1 && other.0 < one.1
}

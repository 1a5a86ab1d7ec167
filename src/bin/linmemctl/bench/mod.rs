//! `bench`: how fast a daemon answers, and how it fails.
//!
//! Its law: each connection has a thread, a runtime and a memory of its own, so that what is
//! measured is the daemon and not this program's locks; failures are counted by reason and never
//! repeated; whatever was made is deleted, on Ctrl-C too. `load` does the calls, `record` counts.

mod load;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use linmemd::client::proto::{DeleteMemoryRequest, MemorySpec};
use linmemd::client::{Client, RetryPolicy};
use tokio::time::Instant;

use crate::bench::load::{Load, Place};
use crate::bench::record::{Record, Report};
use crate::context::Settings;
use crate::failure::CtlError;
use crate::hex;
use crate::output::Output;
use crate::session::{connect, options};
use crate::size::{self, human, pages_for};

/// Arguments of `bench`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl bench                                        64-byte reads, closed loop
  linmemctl bench --op write --size 4KiB --connections 8 --concurrency 16
  linmemctl bench --op download --size 64MiB --memory-size 64MiB --concurrency 1
  linmemctl bench --op read --rate 20000 --duration 30s  open loop
  linmemctl bench --op create --json

Closed loop: every worker makes its next call when the last was answered. Open loop (--rate): calls
are due at fixed times whatever the daemon does, and latency counts from when a call was due, so
that a stall is seen by every call that it held up. `create` measures the create and deletes outside
the measurement; `grow` measures growth by one page. Failures are not retried.")]
pub(crate) struct BenchArgs {
    /// What to measure.
    #[arg(long, value_enum, default_value = "read")]
    pub(crate) op: Op,
    /// Bytes of one operation [default: 64B, and 4MiB for upload and download].
    #[arg(long, value_parser = size::bytes)]
    pub(crate) size: Option<u64>,
    /// Connections, each with a thread and a memory of its own.
    #[arg(long, short = 'c', default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) connections: u16,
    /// Calls in flight on each connection.
    #[arg(long, short = 'n', default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) concurrency: u16,
    /// How long to measure.
    #[arg(long, short = 'd', value_parser = size::duration, default_value = "10s")]
    pub(crate) duration: Duration,
    /// How long to run before measuring.
    #[arg(long, value_parser = size::duration, default_value = "1s")]
    pub(crate) warmup: Duration,
    /// Bytes of each connection's memory [default: 16MiB, or what one operation needs].
    #[arg(long, value_parser = size::bytes)]
    pub(crate) memory_size: Option<u64>,
    /// Open loop: so many operations a second over all connections.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) rate: Option<u64>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Op {
    Read,
    Write,
    Fill,
    Upload,
    Download,
    Grow,
    Create,
}

/// Runs the bench.
pub(crate) async fn run(
    args: BenchArgs,
    settings: &Settings,
    timeout: Option<Duration>,
    output: Output,
) -> Result<(), CtlError> {
    let shape = Shape::of(&args);
    let mut connecting = options(settings, Some(timeout.unwrap_or(CALL_LIMIT)))?;
    connecting.retry = RetryPolicy::NONE;
    // Only what is measured goes without repeats.
    let patient = connect(&connecting).await?.with_retry(RetryPolicy::default());
    let run_id = run_id()?;
    let made = prepare(&patient, &args, &shape, &run_id).await;
    let result = match made {
        Ok(places) => measure(&args, &shape, places, &connecting, output).await,
        Err(error) => Err(error.into()),
    };
    // The daemon may be what failed: the first failure is the one to tell.
    let cleaned = tokio::select! {
        cleaned = clean(&patient, &run_id) => cleaned,
        _ = tokio::signal::ctrl_c() => Err(CtlError::Host(format!(
            "interrupted; memories may be left: \
             linmemctl ls -l {LABEL}={run_id} --quiet | xargs -r linmemctl rm"
        ))),
    };
    let report = result?;
    output.either(&report.json(), &report.text())?;
    cleaned
}

/// What a call may take where --timeout says nothing: a daemon that hangs must not hang the bench.
const CALL_LIMIT: Duration = Duration::from_secs(10);

const LABEL: &str = "linmemctl-bench";

/// Sizes, resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    op: Op,
    size: u64,
    memory_bytes: u64,
}

/// What workers and the live line share.
#[derive(Debug, Default)]
struct Live {
    stop: AtomicBool,
    measuring: AtomicBool,
    operations: AtomicU64,
    failures: AtomicU64,
}

impl Shape {
    fn of(args: &BenchArgs) -> Self {
        let size = match (args.op, args.size) {
            (Op::Grow | Op::Create, _) => 0,
            (_, Some(size)) => size,
            (Op::Upload | Op::Download, None) => 4 << 20,
            (Op::Read | Op::Write | Op::Fill, None) => 64,
        };
        let memory_bytes = args.memory_size.unwrap_or(16 << 20).max(size);
        Self { op: args.op, size, memory_bytes }
    }
}

fn run_id() -> Result<String, CtlError> {
    let mut bytes = [0; 6];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| CtlError::Host(format!("no random bytes from this host: {error}")))?;
    Ok(hex::digits(&bytes))
}

/// One memory a connection; grow and create make theirs as they go.
async fn prepare(
    client: &Client,
    args: &BenchArgs,
    shape: &Shape,
    run_id: &str,
) -> Result<Vec<Place>, linmemd::client::ClientError> {
    let mut places = Vec::new();
    for number in 0..args.connections {
        let place = Place::new(run_id, number, LABEL);
        if !matches!(shape.op, Op::Grow | Op::Create) {
            let initial_pages = pages_for(shape.memory_bytes);
            let spec = MemorySpec { initial_pages, ..place.spec() };
            client.create(Some(&place.memory_id), spec).await?;
        }
        places.push(place);
    }
    Ok(places)
}

async fn clean(client: &Client, run_id: &str) -> Result<(), CtlError> {
    for memory in client.list(&format!("{LABEL}={run_id}")).await? {
        let request = DeleteMemoryRequest {
            memory_id: memory.memory_id,
            allow_missing: true,
            ..Default::default()
        };
        client.delete_memory(request).await?;
    }
    Ok(())
}

async fn measure(
    args: &BenchArgs,
    shape: &Shape,
    places: Vec<Place>,
    connecting: &linmemd::client::ConnectOptions,
    output: Output,
) -> Result<Report, CtlError> {
    let live = Arc::new(Live::default());
    let mut threads = Vec::new();
    for (number, place) in (0u32..).zip(places) {
        let load = Load {
            shape: *shape,
            place,
            concurrency: args.concurrency,
            // Connections begin spread over one interval.
            pace: interval(args).map(|every| (every * number / u32::from(args.connections), every)),
            live: Arc::clone(&live),
        };
        let connecting = connecting.clone();
        let spawned =
            thread::Builder::new().name("bench".to_owned()).spawn(move || load.run(&connecting));
        match spawned {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                live.stop.store(true, Ordering::Relaxed);
                return Err(CtlError::Host(format!("cannot start a thread: {error}")));
            }
        }
    }
    let elapsed = watch(args, &live, output).await;
    live.stop.store(true, Ordering::Relaxed);
    let mut all = Record::new()?;
    for thread in threads {
        // Workers end by themselves; waiting in a pool thread leaves Ctrl-C alive here.
        let joined = tokio::select! {
            joined = tokio::task::spawn_blocking(move || thread.join()) => joined,
            _ = tokio::signal::ctrl_c() => return Err(CtlError::Host("interrupted".to_owned())),
        };
        match joined {
            Ok(Ok(record)) => all.merge(record?),
            _ => return Err(CtlError::Host("a bench thread ended in a panic".to_owned())),
        }
    }
    Ok(Report { args: args.clone(), shape: *shape, elapsed, record: all })
}

/// The time between two calls of one connection, so that all together make the rate.
fn interval(args: &BenchArgs) -> Option<Duration> {
    let nanos = u64::from(args.connections) * 1_000_000_000 / args.rate?;
    Some(Duration::from_nanos(nanos))
}

/// Warms up, measures until the time is over or Ctrl-C, draws the live line; the time measured.
async fn watch(args: &BenchArgs, live: &Live, output: Output) -> Duration {
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    tokio::select! {
        () = tokio::time::sleep(args.warmup) => (),
        _ = &mut interrupted => return Duration::ZERO,
    }
    live.measuring.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    let end = begin + args.duration;
    let line = line(output);
    let mut seen = 0;
    loop {
        let tick = Instant::now();
        tokio::select! {
            () = tokio::time::sleep_until(end.min(tick + Duration::from_secs(1))) => (),
            _ = &mut interrupted => break,
        }
        let total = live.operations.load(Ordering::Relaxed);
        let failures = live.failures.load(Ordering::Relaxed);
        let rate = per_second(total - seen, tick.elapsed());
        seen = total;
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        line.set_message(format!("{rate:.0} ops/s, {failures} failures, {left} s left"));
        if Instant::now() >= end {
            break;
        }
    }
    let elapsed = begin.elapsed();
    live.measuring.store(false, Ordering::Relaxed);
    line.finish_and_clear();
    elapsed
}

fn line(output: Output) -> indicatif::ProgressBar {
    let target = match output.live() {
        true => indicatif::ProgressDrawTarget::stderr(),
        false => indicatif::ProgressDrawTarget::hidden(),
    };
    let line = indicatif::ProgressBar::with_draw_target(None, target);
    if let Ok(style) = indicatif::ProgressStyle::with_template("{msg}") {
        line.set_style(style);
    }
    line
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per_second(count: u64, time: Duration) -> f64 {
    match time.as_secs_f64() {
        seconds if seconds > 0.0 => count as f64 / seconds,
        _ => 0.0,
    }
}

/// The shape in a few words.
fn described(shape: &Shape) -> String {
    let op = shape.op.to_possible_value().map_or(String::new(), |v| v.get_name().to_owned());
    match shape.op {
        Op::Grow | Op::Create => op,
        _ => format!("{op} of {} in {}", human(shape.size), human(shape.memory_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn args(line: &str) -> BenchArgs {
        #[derive(Parser)]
        struct One {
            #[command(flatten)]
            args: BenchArgs,
        }
        One::parse_from(std::iter::once("bench").chain(line.split_whitespace())).args
    }

    #[test]
    fn sizes_follow_the_operation_and_the_memory_holds_one() {
        let shape = Shape::of(&args(""));
        assert_eq!((shape.op, shape.size, shape.memory_bytes), (Op::Read, 64, 16 << 20));
        let shape = Shape::of(&args("--op download --size 64MiB"));
        assert_eq!((shape.size, shape.memory_bytes), (64 << 20, 64 << 20));
    }

    #[test]
    fn connections_together_make_the_rate() {
        let open = args("--rate 1000 --connections 2 --concurrency 5");
        assert_eq!(interval(&open), Some(Duration::from_millis(2)));
        assert_eq!(interval(&args("")), None);
    }
}

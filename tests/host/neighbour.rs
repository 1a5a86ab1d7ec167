//! What a neighbour's heavy work costs a tenant's small reads.
//!
//! Owns: the load generator, four threads with a connection each. Law: open loop; each read is due
//! at a fixed time and its latency counts from then, however late it could begin, so that a stall is
//! seen by every read that it held up. Threads sleep on the kernel's clock, which is finer than the
//! runtime's millisecond.
//!
//! A virtual machine may stop for milliseconds whenever memory is touched that its host has not given
//! it yet, whoever touches it. So each round also reads beside a thread of this program that fills
//! as much at the same niceness: what the machine does to the reads without the daemon's help.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use linmemd::client::proto::MemorySpec;
use linmemd::os::kernel::Linux;
use linmemd::os::threads::set_nice;

use crate::daemon::Daemon;
use crate::{host, say};

const CONNECTIONS: u32 = 4;
/// Of each connection: together 1,000 a second.
const INTERVAL: Duration = Duration::from_millis(4);
const ALONE: Duration = Duration::from_secs(8);
const ROUNDS: usize = 5;
const AT_MOST: f64 = 2.0;
const PAGES_OF_4_GIB: u64 = 65_536;

const CONFIG: &str = "\
[[tenant]]
name = \"reader\"

[[tenant]]
name = \"filler\"
";

#[test]
fn a_tenant_that_fills_8_gib_leaves_anothers_p99_within_twice_of_its_own() {
    let Some(program) = host("p99 beside 8 GiB of fills") else { return };
    let daemon = Daemon::start(&program, CONFIG);
    let runtime = runtime();
    let (reader, filler) = runtime
        .block_on(async { (daemon.client("reader", 1).await, daemon.client("filler", 1).await) });
    let small = MemorySpec { initial_pages: 16, ..Default::default() };
    runtime.block_on(reader.create(Some("small"), small)).expect("the reader's memory");
    runtime.block_on(reader.fill("small", 0, 16 * 65_536, 7)).expect("its bytes");
    // Connections, caches and branch predictors warm up outside the rounds.
    drop(read_until(&daemon, || thread::sleep(Duration::from_secs(1))));

    let (mut ratios, mut ratios_to_machine) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let alone = read_until(&daemon, || thread::sleep(ALONE));
        let machine = read_until(&daemon, fill_outside);
        let begin = Instant::now();
        let beside = read_until(&daemon, || {
            for id in ["one", "two"] {
                let large = MemorySpec {
                    initial_pages: PAGES_OF_4_GIB,
                    maximum_pages: Some(PAGES_OF_4_GIB),
                    ..Default::default()
                };
                runtime.block_on(filler.create(Some(id), large)).expect("4 GiB");
                runtime.block_on(filler.fill(id, 0, PAGES_OF_4_GIB * 65_536, 1)).expect("a fill");
            }
        });
        let filled = begin.elapsed();
        for id in ["one", "two"] {
            runtime.block_on(filler.delete(id)).expect("a delete");
        }
        let [of_alone, of_machine, of_beside] =
            [&alone, &machine, &beside].map(|h| micros(h, 0.99));
        ratios.push(of_beside / of_alone);
        ratios_to_machine.push(of_beside / of_machine);
        say(&format!(
            "round {round}: alone {} · beside a fill outside {} · beside {filled:.1?} of fills {} · \
             ratio {:.2}, to outside {:.2}",
            told(&alone),
            told(&machine),
            told(&beside),
            of_beside / of_alone,
            of_beside / of_machine
        ));
    }
    let [to_alone, to_machine] = [ratios, ratios_to_machine].map(median);
    say(&format!(
        "p99 beside / p99 alone, median of {ROUNDS}: {to_alone:.2}; to that beside a fill outside the \
         daemon: {to_machine:.2}"
    ));
    assert!(
        to_alone <= AT_MOST || to_machine <= AT_MOST,
        "{to_alone:.2} of alone and {to_machine:.2} of the machine's own, at most {AT_MOST}"
    );
    daemon.stop();
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// Fills two times 4 GiB, never touched before, as the daemon's pool would.
fn fill_outside() {
    let filler = thread::spawn(|| {
        set_nice(&Linux, 10).expect("nicer");
        let length = usize::try_from(PAGES_OF_4_GIB * 65_536).expect("64 bits");
        let both = [(); 2].map(|()| {
            let mut bytes = vec![0_u8; length];
            bytes.fill(1);
            bytes
        });
        drop(std::hint::black_box(both));
    });
    filler.join().expect("a filler");
}

/// Reads 1,000 times a second for as long as `meanwhile` lasts; every latency, in nanoseconds.
fn read_until(daemon: &Daemon, meanwhile: impl FnOnce()) -> Histogram<u64> {
    let over = Arc::new(AtomicBool::new(false));
    let begin = Instant::now() + Duration::from_millis(100);
    let mut all = histogram();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let over = Arc::clone(&over);
                scope.spawn(move || reads(daemon, begin, number, &over))
            })
            .collect();
        meanwhile();
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            all.add(thread.join().expect("a reader")).expect("the same bounds");
        }
    });
    all
}

/// One connection's reads.
fn reads(daemon: &Daemon, begin: Instant, number: u32, over: &AtomicBool) -> Histogram<u64> {
    let runtime = runtime();
    let client = runtime.block_on(daemon.client("reader", 1));
    let mut latencies = histogram();
    let mut due = begin + INTERVAL * number / CONNECTIONS;
    let mut offset = u64::from(number) * 64;
    while !over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let read = runtime.block_on(client.read("small", offset, 64)).expect("a read");
        let latency = due.elapsed();
        assert_eq!(read.len(), 64);
        latencies.saturating_record(u64::try_from(latency.as_nanos()).expect("584 years"));
        due += INTERVAL;
        offset = (offset + 4_160) % (16 * 65_536 - 64);
    }
    latencies
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds")
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn micros(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1e3
}

fn told(latencies: &Histogram<u64>) -> String {
    let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|q| micros(latencies, q));
    format!("p50 {p50:.0} p99 {p99:.0} p99.9 {p999:.0} max {max:.0} µs of {}", latencies.len())
}

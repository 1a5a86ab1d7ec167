//! Many tenants, and what one may learn of another: a hundred thousand of them on one metrics page, and the
//! time of an answer about a memory that is another's.
//!
//! Law: times are looked at where nothing else runs; what is compared is taken in turns, in random order.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use linmemd::client::proto::MemorySpec;

use crate::daemon::Daemon;
use crate::{host, say};

const TENANTS: usize = 100_000;
/// More than have a label of their own.
const USED: usize = 1_500;
/// `metrics.tenants_cap`, and `_other`.
const LABELS: usize = 1_000 + 1;
/// Each page may take so many milliseconds, unless `RENDERED` says otherwise of a machine that is busy.
const RENDERED: u64 = 50;
/// Bytes of a page with that many labels.
const PAGE: usize = 4 << 20;

fn pages(initial_pages: u64) -> MemorySpec {
    MemorySpec { initial_pages, ..MemorySpec::default() }
}

fn labels(page: &str) -> usize {
    let names = page.lines().filter_map(|line| {
        let (_, rest) = line.split_once("tenant=\"")?;
        Some(rest.split_once('"')?.0)
    });
    names.collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test]
async fn a_hundred_thousand_tenants_have_a_bounded_page_that_is_rendered_soon() {
    let Some(program) = host("a hundred thousand tenants") else { return };
    let mut config = String::new();
    for number in 0..TENANTS {
        writeln!(config, "[[tenant]]\nname = \"t{number}\"").expect("a String takes it");
    }
    let started = Instant::now();
    let daemon = Daemon::start(&program, &config);
    let started = started.elapsed();
    for number in (0..TENANTS).step_by(TENANTS / USED) {
        let client = daemon.client(&format!("t{number}"), 1).await;
        client.create(Some("m"), pages(1)).await.expect("room");
        client.write("m", 0, vec![1; 64]).await.expect("room");
    }
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..21 {
        let (time, page) = daemon.timed_scrape();
        times.push(time);
        bytes = page.len();
        assert!(labels(&page) <= LABELS, "{} labels", labels(&page));
    }
    times.sort_unstable();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    say(&format!(
        "{TENANTS} tenants, {USED} used: started in {started:?}; a page of {bytes} bytes in \
         {median:?}, {most:?} at most"
    ));
    assert!(bytes <= PAGE, "{bytes} bytes");
    let rendered = std::env::var("RENDERED").map_or(RENDERED, |it| it.parse().expect("a count"));
    assert!(most <= Duration::from_millis(rendered), "{most:?}");
    daemon.stop();
}

/// Welch's t of two samples.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a call")]
fn t(samples: &[Vec<u64>; 2]) -> f64 {
    let of = |values: &[u64]| {
        let count = values.len() as f64;
        let mean = values.iter().map(|value| *value as f64).sum::<f64>() / count;
        let squares = values.iter().map(|value| (*value as f64 - mean).powi(2)).sum::<f64>();
        (mean, squares / (count - 1.0) / count)
    };
    let ((one, one_error), (other, other_error)) = (of(&samples[0]), of(&samples[1]));
    (one - other) / (one_error + other_error).sqrt()
}

/// As "dudect" does it (Reparaz, Balasch, Verbauwhede 2017): what the machine adds is cut off at one
/// percentile of both together, for it hides what the program adds. The limit of 4.5 is theirs.
fn cropped(samples: &[Vec<u64>; 2], percent: usize) -> [Vec<u64>; 2] {
    let mut all = samples.concat();
    all.sort_unstable();
    let most = all[all.len() * percent / 100 - 1];
    let below = |values: &Vec<u64>| values.iter().copied().filter(|v| *v <= most).collect();
    [below(&samples[0]), below(&samples[1])]
}

#[tokio::test]
async fn a_foreign_memory_is_answered_in_the_time_of_one_that_is_not_there() {
    const SAMPLES: usize = 100_000;
    const NAMES: u64 = 64;
    let Some(program) = host("the time of an answer about another's memory") else { return };
    let config = "[[tenant]]\nname = \"blue\"\n[[tenant]]\nname = \"red\"\n";
    let daemon = Daemon::start(&program, config);
    let (owner, stranger) = (daemon.client("blue", 1).await, daemon.client("red", 1).await);
    // Which of the names are the owner's is drawn as well, so that nothing about names tells them apart.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut names: Vec<(usize, String)> =
        (0..NAMES).map(|n| (usize::from(n % 2 == 0), format!("{:016x}", draw()))).collect();
    for (_, name) in names.iter().filter(|(foreign, _)| *foreign == 1) {
        owner.create(Some(name), pages(1)).await.expect("room");
    }
    names.sort_by(|one, other| one.1.cmp(&other.1));
    let mut samples = [Vec::new(), Vec::new()];
    for number in 0..SAMPLES + 2_000 {
        let at = usize::try_from(draw() % NAMES).expect("small");
        let (foreign, name) = &names[at];
        let begun = Instant::now();
        let answer = stranger.read(name, 0, 64).await;
        let time = u64::try_from(begun.elapsed().as_nanos()).expect("short");
        assert!(answer.is_err(), "another's bytes");
        // The first ones warm up.
        if number >= 2_000 {
            samples[*foreign].push(time);
        }
    }
    let found: Vec<f64> = [100, 95, 50].iter().map(|cut| t(&cropped(&samples, *cut))).collect();
    let counts = [samples[0].len(), samples[1].len()];
    say(&format!("absent and foreign: {counts:?} samples, t {found:.2?} (all, 95 %, 50 %)"));
    assert!(found.iter().all(|t| t.abs() < 4.5), "{found:?}");
    daemon.stop();
}

//! Claims about many who wait at once, against a daemon of its own; and about waiting from the shell.

use std::process::{Command, Output, Stdio};

use linmemd::client::proto::{MemorySpec, WaitOutcome};
use linmemd::client::{Client, ConnectOptions, RetryPolicy};
use tokio::task::JoinSet;

use crate::harness::{eventually, http_get, pages, within};
use crate::process::Process;

const WAITERS: u64 = 10_000;
const CONNECTIONS: u64 = 100;
/// That wait for one and the same address.
const TOGETHER: u64 = 250;
/// That are under way at once: fewer than may run.
const BATCH: u64 = 500;

fn shared() -> MemorySpec {
    MemorySpec { shared: true, ..pages(1) }
}

async fn waiters(daemon: &Process) -> u64 {
    let page = http_get(daemon.http, "/metrics").await.1;
    let line =
        page.lines().find_map(|line| line.strip_prefix("linmemd_waiters{tenant=\"default\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

fn threads(daemon: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().count()
}

fn resident_kib(daemon: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn ten_thousand_wait_over_a_hundred_connections_on_no_thread_and_each_is_woken_once() {
    let daemon = Process::start("", &[]);
    let mut options = ConnectOptions::new(format!("http://{}", daemon.grpc).parse().unwrap());
    options.retry = RetryPolicy::NONE;
    options.connections = usize::try_from(CONNECTIONS).unwrap();
    let many = Client::connect(&options).await.unwrap();
    let client = daemon.client().await;
    client.create(Some("m"), shared()).await.unwrap();
    let (before, bytes) = (threads(&daemon), resident_kib(&daemon));
    let mut waits = JoinSet::new();
    for number in 0..WAITERS {
        let (many, address) = (many.clone(), number / TOGETHER * 4);
        waits.spawn(async move { (address, many.wait32("m", address, 0, None).await) });
        if (number + 1) % BATCH == 0 {
            eventually("all are parked", async || waiters(&daemon).await == number + 1).await;
        }
    }
    assert_eq!(threads(&daemon), before, "a wait has no thread");
    let each = (resident_kib(&daemon) - bytes) * 1024 / WAITERS;
    assert!(each < 16 << 10, "{each} bytes for each that waits");
    // Nobody else is in the way, and nobody is woken by anything but a notify.
    client.write("m", 0, "changed").await.unwrap();
    assert!(waits.try_join_next().is_none());
    let mut woken = 0;
    for address in (0..WAITERS / TOGETHER).map(|place| place * 4) {
        assert_eq!(client.notify("m", address, Some(100)).await.unwrap(), 100);
        assert_eq!(client.notify("m", address, None).await.unwrap(), 150);
        assert_eq!(client.notify("m", address, None).await.unwrap(), 0);
        for _ in 0..TOGETHER {
            let (of, outcome) = within("one is woken", waits.join_next()).await.unwrap().unwrap();
            assert_eq!((of, outcome.unwrap()), (address, WaitOutcome::Ok));
            woken += 1;
        }
    }
    assert_eq!((woken, waits.len(), waiters(&daemon).await), (WAITERS, 0, 0));
    assert_eq!(threads(&daemon), before);
}

fn linmemctl(daemon: &Process, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linmemctl"));
    command
        .args(line.split(' '))
        .env("LINMEMCTL_ENDPOINT", format!("http://{}", daemon.grpc))
        .stdout(Stdio::piped());
    command
}

fn said(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap().trim()
}

#[tokio::test]
async fn the_shell_waits_and_wakes() {
    let daemon = Process::start("", &[]);
    let ctl = |line| linmemctl(&daemon, line).output().unwrap();
    said(&ctl("create m 1 --max 1 --shared"));
    assert_eq!(said(&ctl("wait m 0 1")), "not equal");
    assert_eq!(said(&ctl("wait m 8 0 --width 8 --for 1ms")), "timed out");
    assert_eq!(said(&ctl("notify m 0")), "0 woken");
    let waits = ["wait m 4 0", "wait m 4 0 --json"].map(|line| linmemctl(&daemon, line).spawn());
    eventually("both wait", async || waiters(&daemon).await == 2).await;
    let one = said(&ctl("notify m 4 --count 1 --json")).to_owned();
    assert!(one.contains("\"woken_count\": 1"), "{one}");
    assert_eq!(said(&ctl("notify m 4")), "1 woken");
    let outputs = waits.map(|wait| wait.unwrap().wait_with_output().unwrap());
    assert_eq!(said(&outputs[0]), "woken");
    assert!(said(&outputs[1]).contains("\"outcome\": \"WAIT_OUTCOME_OK\""));
    let refused = linmemctl(&daemon, "wait m 2 0").stderr(Stdio::piped()).output().unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty());
}

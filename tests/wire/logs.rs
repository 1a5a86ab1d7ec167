//! Claims about the log of a real process: that nobody waits for who reads it, and that nothing of it is
//! missing without a word.

use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{BOUND, eventually, http_get, pages, within};
use crate::process::Process;

/// Lines that the daemon says it has lost.
async fn lost(daemon: &Process) -> u64 {
    let page = http_get(daemon.http, "/metrics").await.1;
    let line = page.lines().find_map(|line| line.strip_prefix("linmemd_log_lines_dropped_total "));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

/// Makes and deletes memories, each of which is told, until lines are lost.
async fn more_than_is_taken(daemon: &Process) {
    let client = daemon.client().await;
    // A pipe holds 64 KiB, the daemon a mebibyte, and a line is longer than 100 bytes.
    for round in 0..10_000 {
        within("made", client.create(Some("m"), pages(1))).await.unwrap();
        within("deleted", client.delete("m")).await.unwrap();
        if round % 100 == 0 && lost(daemon).await > 0 {
            return;
        }
    }
    panic!("no line is lost");
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_call_and_not_the_end() {
    // With what every frame is told of, it is soon full.
    let (mut daemon, _unread) = Process::unread(&[("LINMEMD_LOG__FILTER", "trace")]);
    more_than_is_taken(&daemon).await;
    let begun = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().await, 0);
    assert!(begun.elapsed() < Duration::from_secs(8), "at idle: {:?}", begun.elapsed());
}

/// Reads it on a thread of its own.
fn read(log: BufReader<ChildStderr>) -> Receiver<Value> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let line =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let _gone = sender.send(line);
        }
    });
    lines
}

#[tokio::test]
async fn once_the_log_is_read_again_it_tells_how_many_lines_are_missing_and_ends_with_the_last() {
    let (mut daemon, log) = Process::unread(&[]);
    more_than_is_taken(&daemon).await;
    let all = lost(&daemon).await;
    let lines = read(log);
    let told = |line: &Value| line["lines"].as_u64().unwrap_or(0);
    let (mut before, mut missing) = (0, 0);
    while missing == 0 {
        missing = told(&lines.recv_timeout(BOUND).expect("what was lost is told"));
        before += 1;
    }
    assert!(before > 1_000, "only {before} lines are there before those that are not");
    assert_eq!(missing, all);
    let client = daemon.client().await;
    client.create(Some("last"), pages(1)).await.unwrap();
    drop(client);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().await, 0);
    let mut rest = Vec::new();
    eventually("the log is over", async || {
        rest.extend(lines.try_iter());
        rest.last().is_some_and(|line| line["message"] == "drained")
    })
    .await;
    assert!(rest.iter().all(|line| told(line) == 0), "{rest:#?}");
    let times: Vec<&str> = rest.iter().map(|line| line["timestamp"].as_str().unwrap()).collect();
    assert!(rest.len() >= 3 && times.is_sorted(), "{rest:#?}");
}

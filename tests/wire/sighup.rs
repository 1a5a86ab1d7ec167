//! Claims about signals: SIGHUP is a reload that the log answers, and those that end the daemon are told.
//!
//! Law: a process, for a signal is a process's.

use linmemd::client::ClientError;
use nix::sys::signal::Signal;

use crate::harness::{eventually, http_get, pages};
use crate::process::Process;

#[tokio::test]
async fn sighup_puts_the_file_in_force_and_tells_the_mistakes_of_one_that_it_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("linmemd.toml");
    let told = folder.path().join("audit.jsonl");
    let audit = format!("[audit]\nfile = \"{}\"\n", told.display());
    let text = |filter: &str| {
        format!("[log]\nfilter = \"{filter}\"\n{audit}[[tenant]]\nname = \"default\"\n")
    };
    std::fs::write(&path, text("info")).unwrap();
    let daemon = Process::start(&format!("set -- \"$@\" --config '{}';", path.display()), &[]);
    let client = daemon.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let page = async || http_get(daemon.http, "/metrics").await.1;
    // The line of help begins alike.
    let success =
        async |value| page().await.contains(&format!("\nlinmemd_config_reload_success {value}\n"));
    assert!(success(1).await);
    std::fs::write(&path, text("loud") + "quota_bytes = 1\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    eventually("it is refused", async || success(0).await).await;
    for words in [["log.filter", "loud"], ["tenant[0].quota_bytes", "out of range"]] {
        eventually("the log tells", async || daemon.has_said(&words)).await;
    }
    std::fs::write(&path, text("info") + "quota_bytes = \"64KiB\"\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    eventually("it is in force", async || success(1).await).await;
    let Err(ClientError::Refused(failure)) = client.grow("m", 1).await else { panic!("grown") };
    assert_eq!(failure.reason, "QUOTA_EXCEEDED");
    let change = ["config change", "SIGHUP", "tenant", "quota_bytes"];
    eventually("the change is told", async || daemon.has_said(&change)).await;
    client.delete("m").await.unwrap();
    eventually("an audit of it", async || {
        let lines = std::fs::read_to_string(&told).unwrap();
        ["INVALID_SPEC", "OK"].iter().all(|outcome| {
            lines.contains(&format!("\"method\":\"SIGHUP\",\"outcome\":\"{outcome}\""))
        })
    })
    .await;
}

#[tokio::test]
async fn a_signal_that_ends_the_daemon_is_in_its_audit_log() {
    for (signal, word) in [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGINT, "SIGINT")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut daemon = Process::start("", &[("LINMEMD_AUDIT__FILE", path.to_str().unwrap())]);
        daemon.signal(signal);
        assert_eq!(daemon.ended().await, 0);
        let told = std::fs::read_to_string(&path).unwrap();
        let line: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        assert_eq!([&line["event"], &line["method"], &line["outcome"]], ["admin", word, "OK"]);
        assert_eq!(told.lines().count(), 1);
    }
}

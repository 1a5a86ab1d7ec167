//! Claims about the audit log: what is told, of whom, and that nobody waits for it.
//!
//! Law: read from the file that the daemon writes, as a collector would.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use linmemd::client::ClientError;
use linmemd::client::proto::{
    CreateMemoryRequest, GrowMemoryRequest, MemorySpec, ShareAccess, ShareMemoryRequest,
};
use linmemd::config::Config;
use linmemd::daemon::Daemon;
use linmemd::os::kernel::Linux;
use linmemd::token::Token;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use tempfile::TempDir;

use crate::authorization::{self, client_of};
use crate::grpc::Wire;
use crate::harness::{House, eventually, pages, tenant, within};

pub(crate) fn house(change: impl FnOnce(&mut Config)) -> (House, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let house = House::with(|config| {
        config.audit.file = Some(folder.path().join("audit.jsonl"));
        change(config);
    });
    (house, folder)
}

pub(crate) fn lines(folder: &TempDir) -> Vec<Value> {
    let text = fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Those once there are so many.
pub(crate) async fn so_many(folder: &TempDir, count: usize) -> Vec<Value> {
    eventually("the entries are written", async || lines(folder).len() >= count).await;
    let lines = lines(folder);
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

/// The reason of what was refused.
pub(crate) fn why<T>(outcome: Result<T, ClientError>) -> String {
    match outcome {
        Err(ClientError::Refused(failure)) => failure.reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("not refused"),
    }
}

pub(crate) fn shown<'a>(line: &'a Value, fields: &[&str]) -> Vec<&'a str> {
    fields.iter().map(|field| line[*field].as_str().unwrap_or("")).collect()
}

#[tokio::test]
async fn who_made_grew_and_ended_what_is_told_whatever_came_of_it_and_nothing_else_is() {
    let (house, folder) = house(|config| config.lease.sweep_interval = Duration::from_millis(10));
    let client = house.client().await;
    let request_id = "7e57c0de-0000-4000-8000-000000000001";
    let request = CreateMemoryRequest {
        memory_id: Some("m".to_owned()),
        spec: Some(MemorySpec { maximum_pages: Some(2), ..pages(1) }),
        request_id: Some(request_id.to_owned()),
        ..CreateMemoryRequest::default()
    };
    let memory = client.create_memory(request).await.unwrap();
    client.write("m", 0, &b"a tenant's bytes"[..]).await.unwrap();
    client.grow("m", 1).await.unwrap();
    let more = GrowMemoryRequest {
        memory_id: "m".to_owned(),
        delta_pages: 1,
        ..GrowMemoryRequest::default()
    };
    assert_eq!(why(client.grow_memory(more).await), "MAXIMUM_REACHED");
    let _bytes = client.read("m", 0, 16).await.unwrap();
    client.delete("m").await.unwrap();
    assert_eq!(why(client.delete("m").await), "MEMORY_NOT_FOUND");
    let lease_ttl = Duration::from_secs(1).try_into().ok();
    client.create(Some("l"), MemorySpec { lease_ttl, ..pages(1) }).await.unwrap();
    let lines = so_many(&folder, 7).await;
    let told: Vec<_> =
        lines.iter().map(|line| shown(line, &["event", "outcome", "id", "tenant"])).collect();
    assert_eq!(
        told,
        [
            ["create", "OK", "m", "default"],
            ["grow", "OK", "m", "default"],
            ["grow", "MAXIMUM_REACHED", "m", "default"],
            ["delete", "OK", "m", "default"],
            ["delete", "MEMORY_NOT_FOUND", "m", "default"],
            ["create", "OK", "l", "default"],
            ["delete", "OK", "l", "default"],
        ]
    );
    assert_eq!(shown(&lines[0], &["uid", "request_id"]), [memory.uid.as_str(), request_id]);
    assert_eq!(shown(&lines[0], &["peer", "method"])[0], "127.0.0.1");
    assert_eq!((lines[0]["pages"].as_u64(), lines[1]["pages"].as_u64()), (Some(1), Some(2)));
    assert!(lines[2]["call_id"].is_string() && lines[2].get("caller").is_none());
    assert_eq!(shown(&lines[6], &["method"]), ["lease"]);
    for line in &lines[1..4] {
        assert_eq!(line["uid"], memory.uid, "which memory of that name: {line}");
    }
    assert!(lines[4].get("uid").is_none() && lines[3]["pages"] == 2);
    let file = folder.path().join("audit.jsonl");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(file).unwrap().contains("bytes"));
    house.stop().await;
}

#[tokio::test]
async fn who_is_refused_for_who_they_are_is_told_and_so_is_an_operator() {
    let (house, folder) = house(authorization::identities);
    let writer = client_of(&house, "writer").await;
    writer.create(Some("m"), pages(1)).await.unwrap();
    let reader = client_of(&house, "reader").await;
    assert_eq!(why(reader.delete("m").await), "ROLE_MISSING");
    let stranger = house.client().await;
    assert_eq!(why(stranger.memory("m").await), "CREDENTIALS_MISSING");
    let operator = client_of(&house, "operator").await;
    let _partition = operator.delete_partition("p", true).await;
    writer.delete("m").await.unwrap();
    let lines = so_many(&folder, 5).await;
    let told: Vec<_> =
        lines.iter().map(|line| shown(line, &["event", "outcome", "caller", "tenant"])).collect();
    assert_eq!(told[0], ["create", "OK", "writer", "blue"]);
    assert_eq!(told[1], ["deny", "ROLE_MISSING", "reader", "blue"]);
    assert_eq!(told[2], ["deny", "CREDENTIALS_MISSING", "", ""]);
    assert_eq!(told[3], ["admin", "OK", "operator", "blue"]);
    assert_eq!(told[4], ["delete", "OK", "writer", "blue"]);
    assert_eq!(shown(&lines[2], &["method"]), ["linmem.v1.MemoryService/GetMemory"]);
    let text = fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert!(!text.contains(Token::new([0; 32]).reveal()), "no credentials");
}

/// What is written to a pipe, which holds 64 KiB.
struct Piped {
    path: PathBuf,
    reader: fs::File,
    text: String,
    _folder: TempDir,
}

impl Piped {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let mut options = OpenOptions::new();
        let reader = options.read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        Self { path, reader, text: String::new(), _folder: folder }
    }

    /// A daemon that writes to it, with so short a queue.
    fn house(&self, queue: u32) -> House {
        House::with(|config| {
            config.audit.file = Some(self.path.clone());
            config.audit.queue = queue;
        })
    }

    /// Reads what there is.
    fn read(&mut self) {
        let mut bytes = vec![0; 1 << 20];
        if let Ok(count) = self.reader.read(&mut bytes) {
            self.text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    }

    /// All whole lines that were read.
    fn lines(&self) -> impl Iterator<Item = Value> {
        let lines = self.text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).unwrap())
    }
}

#[tokio::test]
async fn a_sink_that_takes_nothing_holds_up_no_call_and_what_was_lost_is_told() {
    let mut piped = Piped::new();
    let house = piped.house(16);
    let client = house.client().await;
    for _ in 0..300 {
        client.create(Some("m"), pages(1)).await.unwrap();
        client.delete("m").await.unwrap();
    }
    let lost = house.scrape().await.value("linmemd_audit_lost_total", &[]);
    assert!(lost > 0.0, "{lost}");
    let (mut told, mut others) = (0.0, 0.0);
    eventually("what was lost is told", async || {
        piped.read();
        // One more entry, so that there is a line to tell it before.
        let _refused = client.delete("m").await;
        (told, others) = (0.0, 0.0);
        for line in piped.lines() {
            match line["event"].as_str() {
                Some("lost") => told += line["entries"].as_f64().unwrap(),
                _ => others += 1.0,
            }
        }
        told >= lost
    })
    .await;
    assert!(others > 100.0, "{others}");
    drop(piped);
    within("ended", house.stop()).await;
}

#[tokio::test]
async fn what_was_lost_is_told_in_its_place() {
    const MADE: u64 = 600;
    let mut piped = Piped::new();
    let house = piped.house(16);
    let client = house.client().await;
    let make = async |number: u64| {
        client.create(Some(&format!("m{number}")), pages(1)).await.unwrap();
    };
    for number in 0..MADE {
        make(number).await;
    }
    let mut made = MADE;
    eventually("one made since is told", async || {
        piped.read();
        make(made).await;
        made += 1;
        // Each of them may find the queue full still.
        (MADE..made).any(|number| piped.text.contains(&format!("\"m{number}\"")))
    })
    .await;
    let (mut next, mut gaps) = (0, 0);
    for line in piped.lines() {
        if line["event"] == "lost" {
            next += line["entries"].as_u64().unwrap();
            gaps += 1;
        } else {
            assert_eq!(line["id"], format!("m{next}"));
            next += 1;
        }
    }
    assert!(next > MADE && gaps > 0, "{next} {gaps}");
    drop(piped);
    drop(client);
    within("ended", house.stop()).await;
}

#[tokio::test]
async fn what_is_told_last_is_written_before_the_end_and_a_full_sink_does_not_keep_the_daemon() {
    let (house, folder) = house(|_| {});
    let client = house.client().await;
    for _ in 0..50 {
        client.create(Some("m"), pages(1)).await.unwrap();
        client.delete("m").await.unwrap();
    }
    drop(client);
    house.stop().await;
    assert_eq!(lines(&folder).len(), 100);
    let unread = Piped::new();
    let house = unread.house(Config::default().audit.queue);
    let client = house.client().await;
    for _ in 0..300 {
        client.create(Some("m"), pages(1)).await.unwrap();
        client.delete("m").await.unwrap();
    }
    drop(client);
    within("ended", house.stop()).await;
}

#[test]
fn a_log_that_cannot_be_opened_is_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let unread = folder.path().join("pipe");
    mkfifo(&unread, Mode::S_IRWXU).unwrap();
    for path in [folder.path().join("no/such"), unread] {
        let mut config = Config::default();
        config.grpc.listen = "127.0.0.1:0".parse().unwrap();
        config.http.listen = "127.0.0.1:0".parse().unwrap();
        config.audit.file = Some(path);
        let why = Daemon::start(&config, Arc::new(Linux)).map(drop).unwrap_err().to_string();
        assert!(why.contains("audit.file"), "{why}");
    }
}

#[tokio::test]
async fn with_whom_a_memory_is_shared_is_told_whatever_came_of_it() {
    let (house, folder) = house(|config| {
        config.tenants = ["default", "other"].map(|name| tenant(name, None)).to_vec();
    });
    let (client, other) = (house.client().await, house.client_of("other").await);
    client.create(Some("m"), pages(1)).await.unwrap();
    let with = |grantee: &str| ShareMemoryRequest {
        memory_id: "m".to_owned(),
        grantee_tenant: grantee.to_owned(),
        access: ShareAccess::Read.into(),
        ..ShareMemoryRequest::default()
    };
    let share = client.share_memory(with("other")).await.unwrap();
    assert_eq!(why(client.share_memory(with("default")).await), "INVALID_FIELD");
    other.mount_share(&share.share_id, Some("theirs")).await.unwrap();
    client.revoke_share(&share.share_id, false).await.unwrap();
    let lines = so_many(&folder, 5).await;
    let told: Vec<_> = lines[1..]
        .iter()
        .map(|line| shown(line, &["event", "tenant", "id", "grantee", "outcome"]))
        .collect();
    assert_eq!(
        told,
        [
            ["share", "default", "m", "other", "OK"],
            ["share", "default", "m", "default", "INVALID_FIELD"],
            ["share", "other", "theirs", "", "OK"],
            ["share", "default", &share.share_id, "", "OK"],
        ]
    );
    client.delete("m").await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn what_is_refused_for_want_of_a_place_is_told_as_what_it_would_have_been() {
    let (house, folder) = house(|config| config.grpc.handlers_per_tenant = 1);
    let client = house.client().await;
    let wire = Wire::connect(house.grpc()).await;
    let upload = wire.begin("UploadMemory", &[]).await;
    let own = house.tenant("default");
    eventually("its place is taken", async || own.handlers.used() == 1).await;
    assert_eq!(why(client.create(Some("m"), pages(1)).await), "OVERLOADED");
    assert_eq!(why(client.read("m", 0, 1).await), "OVERLOADED");
    assert_eq!(why(client.delete("m").await), "OVERLOADED");
    let lines = so_many(&folder, 2).await;
    let told: Vec<_> =
        lines.iter().map(|line| shown(line, &["event", "outcome", "tenant"])).collect();
    assert_eq!(told, ["create", "delete"].map(|event| [event, "OVERLOADED", "default"]));
    drop(upload);
    eventually("its place is free", async || own.handlers.used() == 0).await;
    house.stop().await;
}

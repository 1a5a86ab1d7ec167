//! Claims about the daemon as a process: descriptors that run out, signals, the drain under load,
//! and the exit code.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use linmemd::client::proto::{DownloadMemoryRequest, MemorySpec};
use linmemd::client::{Client, ClientError, ConnectOptions, RetryPolicy};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;

use crate::frames::Frames;
use crate::grpc::{Wire, framed};
use crate::harness::{connect, eventually, http_get, pages};

/// A daemon of its own. Dropped, it is gone.
pub(crate) struct Process {
    child: Child,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    /// Its log so far, a line each.
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts the real binary, perhaps with less of something, and waits until it serves.
    pub(crate) fn start(prepare: &str, environment: &[(&str, &str)]) -> Self {
        let mut child = program(prepare, environment);
        let (sender, served) = std::sync::mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        for stream in streams {
            let (sender, log) = (sender.clone(), Arc::clone(&log));
            // Reads to the end, so that the daemon never waits for its log.
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let (Some(grpc), Some(http)) = (field(&line, "grpc"), field(&line, "http")) {
                        let _gone = sender.send((grpc, http));
                    }
                    log.lock().unwrap().push(line);
                }
            });
        }
        let (grpc, http) = served.recv_timeout(crate::harness::BOUND).expect("it serves");
        Self { child, grpc, http, log }
    }

    /// The same, of whose log nobody reads more than that it serves: the rest of it.
    pub(crate) fn unread(environment: &[(&str, &str)]) -> (Self, BufReader<ChildStderr>) {
        let mut child = program("", environment);
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let (grpc, http) = loop {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it serves");
            if let (Some(grpc), Some(http)) = (field(&line, "grpc"), field(&line, "http")) {
                break (grpc, http);
            }
        };
        (Self { child, grpc, http, log: Arc::default() }, log)
    }

    pub(crate) async fn client(&self) -> Client {
        connect(&format!("http://{}", self.grpc), None).await
    }

    /// Whether a line of its log has each of these.
    pub(crate) fn has_said(&self, words: &[&str]) -> bool {
        let log = self.log.lock().unwrap();
        log.iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Waits for its end; the exit code.
    pub(crate) async fn ended(&mut self) -> i32 {
        let mut status = None;
        eventually("the daemon has ended", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code().expect("an exit, not a signal")
    }

    /// Processor time used so far, in clock ticks (a hundredth of a second).
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn program(prepare: &str, environment: &[(&str, &str)]) -> Child {
    Command::new("sh")
        .args(["-c", &format!("{prepare} exec \"$0\" \"$@\"")])
        .args([env!("CARGO_BIN_EXE_linmemd"), "--listen", "127.0.0.1:0"])
        .args(["--metrics-listen", "127.0.0.1:0"])
        .env("LINMEMD_LOG__FORMAT", "json")
        .env("LINMEMD_MEMORY__HOST_BUDGET", "64GiB")
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn field(line: &str, name: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"')?.0.parse().ok()
}

#[tokio::test]
async fn an_idle_daemon_ends_with_0_on_either_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut daemon = Process::start("", &[]);
        let client = daemon.client().await;
        client.create(Some("m"), pages(1)).await.unwrap();
        drop(client);
        let begun = Instant::now();
        daemon.signal(signal);
        assert_eq!(daemon.ended().await, 0);
        assert!(begun.elapsed() < Duration::from_secs(8), "at idle, not at the limit of 10 s");
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_with_1() {
    let mut daemon = Process::start("", &[("LINMEMD_DRAIN__LIMIT", "1h")]);
    let wire = Wire::connect(daemon.grpc).await;
    let held = wire.begin("ReadMemory", &[]).await;
    eventually("the call runs", async || {
        http_get(daemon.http, "/metrics").await.1.contains("linmemd_rpc_in_flight 1")
    })
    .await;
    daemon.signal(Signal::SIGTERM);
    eventually("it drains", async || http_get(daemon.http, "/readyz").await.0 == 503).await;
    assert!(daemon.child.try_wait().unwrap().is_none(), "a call runs");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().await, 1);
    drop(held);
}

#[tokio::test]
async fn a_drain_asked_for_over_the_unix_socket_ends_it_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sock").display().to_string();
    let mut daemon = Process::start("", &[("LINMEMD_GRPC__UNIX_SOCKET", &path)]);
    let client = connect(&format!("unix://{path}"), None).await;
    client.drain().await.unwrap();
    drop(client);
    assert_eq!(daemon.ended().await, 0);
}

#[tokio::test]
async fn a_hundred_readers_that_never_read_are_cut_at_the_drain_limit_and_it_ends_with_0() {
    let mut daemon = Process::start("", &[("LINMEMD_DRAIN__LIMIT", "1s")]);
    let readers = readers_that_never_read(&daemon).await;
    let begun = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().await, 0);
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(6), "{took:?}");
    drop(readers);
}

/// A hundred downloads of which nobody takes a byte after the headers.
async fn readers_that_never_read(daemon: &Process) -> (Wire, Vec<http::Response<h2::RecvStream>>) {
    daemon.client().await.create(Some("read"), pages(512)).await.unwrap();
    let wire = Wire::connect(daemon.grpc).await;
    let request = DownloadMemoryRequest {
        memory_id: "read".to_owned(),
        chunk_bytes: Some(65_536),
        ..Default::default()
    };
    let mut kept = Vec::new();
    for _ in 0..100 {
        let mut started = wire.begin("DownloadMemory", &[]).await;
        started.body.send_data(framed(&request).into(), true).unwrap();
        kept.push(started.response.await.unwrap());
    }
    (wire, kept)
}

#[tokio::test]
async fn running_out_of_descriptors_costs_no_core_and_service_returns() {
    let daemon = Process::start("ulimit -n 48;", &[]);
    let mut held = Vec::new();
    for _ in 0..80 {
        // In the kernel's queue all of them are connected; what is accepted is greeted.
        held.push(Frames::greet(daemon.grpc).await);
    }
    let (begun, before) = (Instant::now(), daemon.ticks());
    let lasts = Duration::from_secs(3);
    eventually("three seconds have passed", async || {
        // Peers go on knocking, as far as the kernel's queue goes.
        if held.len() < 120 {
            held.push(Frames::greet(daemon.grpc).await);
        }
        begun.elapsed() >= lasts
    })
    .await;
    let (used, lasted) = (daemon.ticks() - before, begun.elapsed());
    // A tick is a hundredth of a second: 2 % of a core.
    assert!(u128::from(used) * 1_000 <= lasted.as_millis() * 2, "{used} ticks of {lasted:?}");
    drop(held);
    let begun = Instant::now();
    eventually("service has returned", async || {
        let mut options = ConnectOptions::new(format!("http://{}", daemon.grpc).parse().unwrap());
        options.deadline = Some(Duration::from_secs(1));
        options.retry = RetryPolicy::NONE;
        match Client::connect(&options).await {
            Ok(client) => client.server_info().await.is_ok(),
            Err(_refused) => false,
        }
    })
    .await;
    assert!(begun.elapsed() <= Duration::from_secs(1), "{:?}", begun.elapsed());
    eventually("the page is served too", async || {
        TcpStream::connect(daemon.http).await.is_ok()
            && http_get(daemon.http, "/metrics").await.1.contains("linmemd_panics_total 0")
    })
    .await;
}

/// Calls a second, half of them growths and half writes, whether or not the last ones are back.
const RATE: u64 = 5_000;

/// What became of them.
#[derive(Default)]
struct Outcomes {
    issued: AtomicU64,
    ok: AtomicU64,
    grown_from: Mutex<Vec<u64>>,
    over: AtomicBool,
}

impl Outcomes {
    async fn call(&self, client: &Client, number: u64) {
        let outcome = if number.is_multiple_of(2) {
            let grown = client.grow("m", 1).await;
            grown.map(|grown| self.grown_from.lock().unwrap().push(grown.previous_pages))
        } else {
            client.write("w", number % 1_000, vec![7; 64]).await
        };
        match outcome {
            Ok(()) => {
                self.ok.fetch_add(1, Ordering::Relaxed);
            }
            Err(ClientError::Refused(failure)) => {
                assert_eq!(failure.reason, "DRAINING", "{failure}");
            }
            Err(ClientError::Transport { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Open loop: each call is made when it is due.
    async fn load(self: Arc<Self>, client: Client) {
        let (mut calls, begun) = (tokio::task::JoinSet::new(), Instant::now());
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        for number in 0.. {
            while u128::from(number) * 1_000_000 >= begun.elapsed().as_micros() * u128::from(RATE) {
                tick.tick().await;
            }
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let (this, client) = (Arc::clone(&self), client.clone());
            calls.spawn(async move { this.call(&client, number).await });
            self.issued.store(number + 1, Ordering::Relaxed);
        }
        while let Some(ended) = calls.join_next().await {
            ended.unwrap();
        }
    }
}

/// Drains while the load goes on; how long that took.
async fn drained_under_load(daemon: &mut Process) -> Duration {
    let mut options = ConnectOptions::new(format!("http://{}", daemon.grpc).parse().unwrap());
    options.retry = RetryPolicy::NONE;
    options.connections = 4;
    let client = Client::connect(&options).await.unwrap();
    let spec = MemorySpec { maximum_pages: Some(65_536), ..pages(0) };
    client.create(Some("m"), spec).await.unwrap();
    client.create(Some("w"), pages(1)).await.unwrap();
    let outcomes = Arc::new(Outcomes::default());
    let load = tokio::spawn(Arc::clone(&outcomes).load(client));
    eventually("a second of load is out and answered", async || {
        let [issued, ok] = [&outcomes.issued, &outcomes.ok].map(|n| n.load(Ordering::Relaxed));
        issued >= RATE && ok >= RATE
    })
    .await;
    let begun = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().await, 0);
    let took = begun.elapsed();
    outcomes.over.store(true, Ordering::Relaxed);
    load.await.unwrap();
    let mut grown_from = outcomes.grown_from.lock().unwrap().clone();
    grown_from.sort_unstable();
    let gapless: Vec<u64> = (0..grown_from.len() as u64).collect();
    assert!(grown_from == gapless, "a growth was lost or doubled");
    took
}

/// Room for as many calls as four connections carry: in a stall of this machine they come together.
const WIDE: [(&str, &str); 2] =
    [("LINMEMD_MEMORY__MAX_QUEUED_GROWS", "1024"), ("LINMEMD_GRPC__HANDLERS_PER_TENANT", "4096")];

#[tokio::test]
async fn a_drain_under_load_answers_every_call_and_no_growth_is_lost_or_doubled() {
    let mut daemon = Process::start("", &WIDE);
    let took = drained_under_load(&mut daemon).await;
    assert!(took < Duration::from_secs(11), "within the limit of 10 s: {took:?}");
}

#[tokio::test]
async fn a_drain_under_load_beside_readers_that_never_read_ends_at_the_limit() {
    let mut daemon = Process::start("", &[WIDE[0], WIDE[1], ("LINMEMD_DRAIN__LIMIT", "2s")]);
    let readers = readers_that_never_read(&daemon).await;
    let took = drained_under_load(&mut daemon).await;
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(7), "{took:?}");
    drop(readers);
}

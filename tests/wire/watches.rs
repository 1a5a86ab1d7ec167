//! Claims about how a watch lives and ends: it holds nobody up, is told what it missed, comes back, and
//! ends with a reason. What it tells is in `events.rs`.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use h2::RecvStream;
use linmemd::client::proto::watch_events_response::Message;
use linmemd::client::proto::{EventKind, WatchEventsRequest, WatchEventsResponse};
use linmemd::client::{Client, ClientError, ConnectOptions, EventItem, EventStream, Watch};
use prost::Message as _;

use crate::contract::refused;
use crate::events::{begun, boot_id, event};
use crate::grpc::{Started, Wire, framed};
use crate::harness::{House, eventually, pages, within};

const PATH: &str = "/linmem.v1.EventService/WatchEvents";

/// A watch whose bytes are taken only when asked for.
struct Slow {
    body: RecvStream,
    buffered: Vec<u8>,
    _wire: Wire,
}

impl Slow {
    /// Over a connection that lets no more than so many bytes come unasked.
    async fn begin(address: SocketAddr, window: u32) -> Self {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let wire = Wire::with(address, builder).await;
        let started = open(&wire, &WatchEventsRequest::default(), &[]).await;
        let body = within("a watch begins", started.response).await.unwrap().into_body();
        Self { body, buffered: Vec::new(), _wire: wire }
    }

    async fn next(&mut self) -> Message {
        loop {
            if let Some(header) = self.buffered.first_chunk::<5>() {
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
                let end = 5 + length as usize;
                if self.buffered.len() >= end {
                    let message = WatchEventsResponse::decode(&self.buffered[5..end]).unwrap();
                    self.buffered.drain(..end);
                    return message.message.unwrap();
                }
            }
            let data = within("more comes", self.body.data()).await.unwrap().unwrap();
            self.body.flow_control().release_capacity(data.len()).unwrap();
            self.buffered.extend_from_slice(&data);
        }
    }
}

async fn open(wire: &Wire, request: &WatchEventsRequest, headers: &[(&str, &str)]) -> Started {
    let mut started = wire.begin_path(PATH, headers).await;
    started.body.send_data(framed(request).into(), true).unwrap();
    started
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_told_what_it_lost_and_nobody_waits_for_it() {
    let house = House::with(|config| config.events.ring = 16);
    let client = house.client().await;
    let mut slow = Slow::begin(house.grpc(), 2_000).await;
    let mut quick = begun(&client, Watch::default()).await;
    let name = "n".repeat(128);
    client.create(Some(&name), pages(1)).await.unwrap();
    assert_eq!(event(&mut quick).await.sequence, 1);
    const FAILURES: u64 = 400;
    for number in 0..FAILURES {
        client.grow(&name, 9).await.unwrap_err();
        // One that reads is told all of it meanwhile.
        assert_eq!(event(&mut quick).await.sequence, number + 2);
    }
    assert!(matches!(slow.next().await, Message::Started(started) if started.next_sequence == 1));
    let (mut next, mut lost) = (1, 0);
    while next < FAILURES + 2 {
        match slow.next().await {
            Message::Event(event) => {
                assert_eq!(event.sequence, next);
                next += 1;
            }
            Message::Lost(gone) => {
                assert_eq!(gone.first, next, "what is lost begins where the rest ended");
                assert!(gone.last >= gone.first && gone.last < FAILURES + 2);
                lost += gone.last - gone.first + 1;
                next = gone.last + 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(lost > 100, "{lost} of {FAILURES} were lost");
    client.delete(&name).await.unwrap();
    assert!(matches!(slow.next().await, Message::Event(event) if event.sequence == next));
    let page = house.scrape().await;
    let dropped = page.value("linmemd_events_dropped_total", &[("tenant", "default")]);
    assert_eq!(dropped, lost as f64);
    drop((slow, quick));
    house.stop().await;
}

#[tokio::test]
async fn a_watch_is_counted_by_its_messages_and_not_by_its_time_and_goes_with_its_client() {
    let house = House::start();
    let client = house.client().await;
    let method = "linmem.v1.EventService/WatchEvents";
    let mut stream = begun(&client, Watch::default()).await;
    client.create(Some("m"), pages(1)).await.unwrap();
    event(&mut stream).await;
    let open = async || {
        let page = house.scrape().await;
        page.value("linmemd_streams_open", &[("method", method)])
    };
    assert_eq!(open().await, 1.0);
    assert!(house.daemon.server.in_flight_bytes() > 0, "what may be on its way is held");
    drop(stream);
    eventually("it is over", async || open().await == 0.0).await;
    assert_eq!(house.daemon.server.in_flight_bytes(), 0);
    let page = house.scrape().await;
    let sent = [("method", method), ("direction", "sent")];
    assert_eq!(page.value("linmemd_stream_messages_total", &sent), 2.0);
    assert_eq!(page.value("linmemd_rpc_duration_seconds_count", &[("method", method)]), 0.0);
    let cancelled = [("method", method), ("code", "CANCELLED")];
    assert_eq!(page.value("linmemd_rpc_requests_total", &cancelled), 1.0);
    house.stop().await;
}

#[tokio::test]
async fn progress_says_how_far_a_watch_is_that_nothing_matches() {
    let house = House::with(|config| config.events.progress_interval = Duration::from_millis(10));
    let client = house.client().await;
    let kinds = vec![EventKind::Deleted];
    let mut stream = begun(&client, Watch { kinds, ..Watch::default() }).await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let mut last = 0;
    while last < 2 {
        let item = within("progress is made", stream.next()).await.unwrap();
        let EventItem::Progress(position) = item else { panic!("{item:?}") };
        assert!(position.sequence >= last);
        last = position.sequence;
    }
    assert_eq!(stream.position().unwrap().sequence, 2);
    drop(stream);
    house.stop().await;
}

#[tokio::test]
async fn a_watch_ends_at_its_deadline_whether_or_not_it_is_read() {
    let house = House::start();
    let wire = Wire::connect(house.grpc()).await;
    let soon = [("grpc-timeout", "50m")];
    let answer = open(&wire, &WatchEventsRequest::default(), &soon).await.answer().await;
    refused(answer.outcome(), "DEADLINE_PASSED", &[]);
    // The client keeps the time of a whole watch as well.
    let client = house.client().await.with_deadline(Some(Duration::from_millis(50)));
    let mut stream = client.watch(Watch::default());
    let ended = loop {
        match within("it ends", stream.next()).await {
            Ok(_item) => {}
            Err(error) => break error,
        }
    };
    let passed = ended.failure().is_some_and(|failure| failure.reason == "DEADLINE_PASSED");
    assert!(passed || matches!(ended, ClientError::DeadlinePassed), "{ended:?}");
    house.stop().await;
}

#[tokio::test]
async fn a_drain_tells_what_had_happened_and_waits_for_no_watcher() {
    let house = House::start();
    let client = house.client().await;
    let mut stream = begun(&client, Watch::default()).await;
    let stuck = Slow::begin(house.grpc(), 16).await;
    client.create(Some("m"), pages(1)).await.unwrap();
    client.delete("m").await.unwrap();
    let drained = Instant::now();
    assert_eq!(house.daemon.drain(Duration::from_secs(3600)).await, Ok(()));
    assert!(drained.elapsed() < Duration::from_secs(10));
    assert_eq!(event(&mut stream).await.kind(), EventKind::Created);
    assert_eq!(event(&mut stream).await.kind(), EventKind::Deleted);
    refused(stream.next().await, "DRAINING", &[]);
    drop(stuck);
    house.close().await;
}

/// A client that comes back by itself.
async fn patient(address: SocketAddr, connections: usize) -> Client {
    let endpoint = format!("http://{address}").parse().unwrap();
    let options = ConnectOptions { connections, ..ConnectOptions::new(endpoint) };
    Client::connect(&options).await.unwrap()
}

async fn until_present(stream: &mut EventStream, memory_id: &str) {
    loop {
        match within("a memory is told of", stream.next()).await.unwrap() {
            EventItem::Present(event) if event.memory_id == memory_id => return,
            _other => {}
        }
    }
}

#[tokio::test]
async fn a_watch_outlives_its_daemon_and_says_that_what_was_between_is_gone() {
    let first = House::start();
    let address = first.grpc();
    let client = patient(address, 1).await;
    let mut plain = begun(&client, Watch::default()).await;
    let mut whole = begun(&client, Watch { snapshot: true, ..Watch::default() }).await;
    assert!(matches!(whole.next().await.unwrap(), EventItem::SnapshotEnd(_)));
    client.create(Some("m"), pages(1)).await.unwrap();
    let before = event(&mut plain).await;
    assert_eq!(event(&mut whole).await, before);
    drop(first);
    let second = House::with(|config| config.grpc.listen = address);
    second.client().await.create(Some("n"), pages(1)).await.unwrap();
    let own = boot_id(&second.client().await).await;
    for stream in [&mut plain, &mut whole] {
        let item = within("it is back", stream.next()).await.unwrap();
        let EventItem::Compacted(position) = item else { panic!("{item:?}") };
        assert_eq!((&position.boot_id, position.sequence), (&own, 1));
        assert!(matches!(stream.next().await.unwrap(), EventItem::Started(_)));
    }
    // One goes on with the oldest event that there is, the other with what there is.
    let first = event(&mut plain).await;
    assert_eq!((first.sequence, first.memory_id.as_str()), (1, "n"));
    until_present(&mut whole, "n").await;
    assert!(matches!(whole.next().await.unwrap(), EventItem::SnapshotEnd(_)));
    drop((plain, whole));
    second.stop().await;
}

#[tokio::test]
async fn a_watch_whose_connection_is_lost_goes_on_with_the_next_event() {
    let house = House::start();
    let path = relay(house.grpc()).await;
    let client = patient(path.address, 1).await;
    let mut stream = begun(&client, Watch::default()).await;
    let direct = house.client().await;
    for round in 0..3 {
        direct.create(Some("m"), pages(1)).await.unwrap();
        assert_eq!(event(&mut stream).await.sequence, 2 * round + 1);
        path.cut();
        let connections = || house.daemon.server.connections();
        eventually("the connection is gone", async || connections() == 1).await;
        direct.delete("m").await.unwrap();
        let item = within("it is back", stream.next()).await.unwrap();
        assert!(matches!(item, EventItem::Started(at) if at.sequence == 2 * round + 2));
        assert_eq!(event(&mut stream).await.sequence, 2 * round + 2);
    }
    drop(stream);
    house.stop().await;
}

/// A way to the daemon that can be cut.
struct Path {
    address: SocketAddr,
    cut: tokio::sync::broadcast::Sender<()>,
}

impl Path {
    fn cut(&self) {
        let _nobody = self.cut.send(());
    }
}

async fn relay(to: SocketAddr) -> Path {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cut = tokio::sync::broadcast::Sender::new(1);
    let cuts = cut.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut cut = cuts.subscribe();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _over = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _cut = cut.recv() => {}
                }
            });
        }
    });
    Path { address, cut }
}

#[tokio::test]
async fn linmemctl_watches_from_a_sequence_on_and_from_what_there_is() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    client.grow("m", 1).await.unwrap();
    let endpoint = format!("http://{}", house.grpc());
    let run = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_linmemctl"));
        command.args(["--endpoint", &endpoint, "watch"]).args(arguments).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        std::io::stderr().write_all(&output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    };
    let json = run(&["--since", "1", "--count", "2", "--json"]).await;
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["started"]["sequence"], 1);
    assert_eq!(
        (&lines[1]["kind"], &lines[1]["memory_id"]),
        (&"EVENT_KIND_CREATED".into(), &"m".into())
    );
    assert_eq!(lines[2]["grown"]["current_pages"], 2);
    let text = run(&["--snapshot", "--count", "1"]).await;
    assert!(text.contains("created") && text.contains("2 pages (128 KiB)"), "{text}");
    let kinds = run(&["--since", "1", "--kind", "grown", "--count", "1"]).await;
    assert_eq!(kinds.lines().count(), 1, "{kinds}");
    house.stop().await;
}

#[tokio::test]
async fn a_client_of_several_connections_deals_calls_out_and_outlives_its_daemon() {
    let first = House::start();
    let address = first.grpc();
    let client = patient(address, 3).await;
    eventually("all are open", async || first.daemon.server.connections() == 3).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(begun(&client, Watch::default()).await);
    }
    client.create(Some("m"), pages(1)).await.unwrap();
    for stream in &mut streams {
        assert_eq!(event(stream).await.sequence, 1);
    }
    drop(first);
    let second = House::with(|config| config.grpc.listen = address);
    // Each connection is opened anew by the call that finds it broken.
    for number in 0..6 {
        client.create(Some(&format!("n{number}")), pages(1)).await.unwrap();
    }
    eventually("all are open again", async || second.daemon.server.connections() >= 3).await;
    drop(streams);
    second.stop().await;
}

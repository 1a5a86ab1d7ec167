//! Claims about the HTTP listener under siege: whoever holds its connections, probes are answered.
//!
//! Law: everybody here comes from one address, that of the probe too, which is the worst case.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use linmemd::config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{House, eventually, http_get, within};

/// A probe's patience, as Kubernetes has it where nobody says otherwise.
const PROBE: Duration = Duration::from_secs(1);

/// After so many that fail in a row it gives up, there as well.
const FAILURES: usize = 3;

/// Every page is served, each in the time that a probe gives it; or one of so many times is.
async fn answers_probes(house: &House, times: usize) {
    for path in ["/healthz", "/readyz", "/metrics"] {
        let mut answer = None;
        for _ in 0..times {
            // Who was turned out while its request was on its way gets no answer.
            let asked = tokio::spawn(http_get(house.daemon.addresses.http, path));
            answer = tokio::time::timeout(PROBE, asked).await.ok().and_then(Result::ok);
            if answer.is_some() {
                break;
            }
        }
        assert_eq!(answer.map(|(status, _)| status), Some(200), "{path}");
    }
}

#[tokio::test]
async fn a_probe_is_answered_while_a_hundred_silent_connections_are_open() {
    let house = House::start();
    let mut silent = Vec::new();
    for number in 0..100 {
        let mut stream = TcpStream::connect(house.daemon.addresses.http).await.unwrap();
        if number % 2 == 0 {
            // The beginning of a header.
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: lo").await.unwrap();
        }
        silent.push(stream);
    }
    answers_probes(&house, 1).await;
    drop(silent);
    house.stop().await;
}

#[tokio::test]
async fn probes_are_answered_while_more_and_more_silent_connections_come() {
    let house = House::start();
    let (address, over) = (house.daemon.addresses.http, Arc::new(AtomicBool::new(false)));
    let floods = [(); 2].map(|()| tokio::spawn(flood(address, Arc::clone(&over))));
    let begun = Instant::now();
    while begun.elapsed() < PROBE * 3 {
        answers_probes(&house, FAILURES).await;
    }
    over.store(true, Ordering::Relaxed);
    for flood in floods {
        assert!(flood.await.unwrap() > 64, "no more than there are seats");
    }
    house.stop().await;
}

/// Connections as fast as they come, of which the last hundred are kept; how many.
async fn flood(address: SocketAddr, over: Arc<AtomicBool>) -> usize {
    let (mut kept, mut count) = (std::collections::VecDeque::new(), 0);
    while !over.load(Ordering::Relaxed) {
        kept.push_back(within("connected", TcpStream::connect(address)).await.unwrap());
        count += 1;
        if kept.len() > 100 {
            kept.pop_front();
        }
    }
    count
}

#[tokio::test]
async fn a_header_that_only_drips_in_is_closed_in_time_and_so_is_who_says_nothing_or_no_more() {
    let house = House::start();
    let address = house.daemon.addresses.http;
    let drips = |said: &'static str, drip: &'static [u8]| async move {
        let (mut stream, begun) = (TcpStream::connect(address).await.unwrap(), Instant::now());
        stream.write_all(said.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let (mut answer, mut tick) =
            (Vec::new(), tokio::time::interval(Duration::from_millis(100)));
        let closed = async {
            let ended = reader.read_to_end(&mut answer);
            let drips = async {
                loop {
                    tick.tick().await;
                    // Fails once it is closed, which the other end of this is told.
                    let _closed = writer.write_all(drip).await;
                }
            };
            tokio::select! { _ended = ended => {}, () = drips => {} }
        };
        within("it is closed", closed).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?} of {said:?}", begun.elapsed());
    };
    let whole = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    tokio::join!(drips("GET / HTTP/1.1\r\nA: ", b"a"), drips("", b""), drips(whole, b""));
    house.stop().await;
}

/// Asks for the page and takes next to nothing of it.
async fn takes_nothing(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    stream.readable().await.unwrap();
    stream
}

#[tokio::test]
async fn a_page_that_nobody_takes_is_let_go_and_keeps_no_probe_out() {
    // A page too large for what the kernel keeps of it.
    let house = House::with(|config| {
        config.tenants = (0..1_000).map(|n| config::Tenant::named(format!("t{n}"))).collect();
        config.metrics.tenants_cap = 1_000;
    });
    let address = house.daemon.addresses.http;
    let mut takers = Vec::new();
    for _ in 0..20 {
        takers.push(takes_nothing(address).await);
    }
    answers_probes(&house, 1).await;
    let last = takers.pop().unwrap();
    assert!(is_held(&last), "it is in nobody's way");
    eventually("it is let go", async || !is_held(&last)).await;
    drop(takers);
    house.close().await;
}

/// Whether the other end has not been closed there: of what is on its way its peer would not know.
fn is_held(stream: &TcpStream) -> bool {
    const ESTABLISHED: &str = "01";
    let in_table = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let [from, to] = [stream.peer_addr(), stream.local_addr()].map(|end| in_table(end.unwrap()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().skip(1).take(3).collect();
        fields == [from.as_str(), to.as_str(), ESTABLISHED]
    })
}

//! Claims about connections: what h2, hyper and the kernel leave open is closed.

use std::time::{Duration, Instant};

use linmemd::client::proto::{DownloadMemoryRequest, GetServerInfoRequest, ReadMemoryRequest};
use linmemd::config::Config;
use tokio::io::AsyncReadExt;

use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PREFACE,
    RST_STREAM, SETTINGS, call_headers, frame,
};
use crate::grpc::{Started, Wire, framed};
use crate::harness::{House, Witness, eventually, pages, within};

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(60);

/// Every limit in time long, but those that the test makes short.
fn with_times(change: impl FnOnce(&mut Config)) -> House {
    House::with(|config| {
        config.grpc.preface_timeout = LONG;
        config.grpc.header_timeout = LONG;
        config.grpc.idle_timeout = LONG;
        config.grpc.keepalive_interval = LONG;
        config.grpc.keepalive_timeout = LONG;
        change(config);
    })
}

async fn ends_after(frames: &mut Frames, limit: Duration, begun: Instant) {
    frames.end().await;
    let took = begun.elapsed();
    assert!(took >= limit && took < LONG, "{took:?}");
}

#[tokio::test]
async fn settings_show_the_streams_allowed_and_the_windows_that_never_adapt() {
    let house = House::start();
    let mut frames = Frames::greet(house.grpc()).await;
    let settings = frames.until(SETTINGS).await.unwrap();
    let value = |id: u16| {
        settings
            .payload
            .chunks(6)
            .find(|entry| entry[..2] == id.to_be_bytes())
            .map(|entry| u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]))
    };
    assert_eq!(value(3), Some(256), "max concurrent streams");
    assert_eq!(value(4), Some(1 << 20), "a stream's window holds a message of a stream");
    assert_eq!(value(6), Some(16 << 10), "header list");
    house.stop().await;
}

#[tokio::test]
async fn the_257th_stream_waits_for_one_to_end_or_is_refused_and_harms_none() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let wire = Wire::connect(house.grpc()).await;
    let mut held = Vec::new();
    for _ in 0..256 {
        held.push(wire.begin("ReadMemory", &[]).await);
    }
    eventually("256 run", async || house.daemon.server.running() == 256).await;
    eventually("its limit came", async || wire.max_streams() == 256).await;
    // A peer that does not count gets its stream refused and keeps its connection.
    let mut frames = Frames::greet(house.grpc()).await;
    let block = call_headers("ReadMemory");
    for number in 0..257u32 {
        let headers = frame(HEADERS, END_HEADERS, 2 * number + 1, &block);
        frames.write(&headers).await.unwrap();
    }
    let reset = frames.until(RST_STREAM).await.unwrap();
    assert_eq!(reset.payload, 7u32.to_be_bytes(), "REFUSED_STREAM");
    frames.write(&frame(PING, 0, 0, b"alive???")).await.unwrap();
    loop {
        let pong = frames.next().await.expect("the connection lives");
        if pong.kind == PING && pong.flags & ACK != 0 {
            break;
        }
    }
    drop((held, frames, wire));
    eventually("none runs", async || house.daemon.server.running() == 0).await;
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_peer_without_a_whole_preface_is_closed_in_time() {
    let house = with_times(|config| config.grpc.preface_timeout = SHORT);
    for sent in [&b""[..], b"P", &PREFACE[..23], b"GET / HTTP/1.1\r\n"] {
        let begun = Instant::now();
        let mut frames = Frames::connect(house.grpc()).await;
        frames.write(sent).await.unwrap();
        let limit = if PREFACE.starts_with(sent) { SHORT } else { Duration::ZERO };
        ends_after(&mut frames, limit, begun).await;
    }
    house.stop().await;
}

#[tokio::test]
async fn a_header_block_or_frame_that_never_ends_is_closed_in_time() {
    let house = with_times(|config| config.grpc.header_timeout = SHORT);
    let client = house.client().await;
    let block = call_headers("ReadMemory");
    for sent in [
        frame(HEADERS, 0, 1, &block),
        [frame(HEADERS, 0, 1, &block), frame(CONTINUATION, 0, 1, &[])].concat(),
        frame(HEADERS, END_HEADERS, 1, &block)[..20].to_vec(),
        frame(PING, 0, 0, b"whole???")[..12].to_vec(),
    ] {
        let mut frames = Frames::greet(house.grpc()).await;
        frames.until(SETTINGS).await.unwrap();
        let begun = Instant::now();
        frames.write(&sent).await.unwrap();
        ends_after(&mut frames, SHORT, begun).await;
    }
    client.server_info().await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_connection_without_calls_is_told_to_go_and_one_with_a_call_is_not() {
    let house = with_times(|config| config.grpc.idle_timeout = SHORT);
    let begun = Instant::now();
    let mut idle = Frames::greet(house.grpc()).await;
    let busy = Wire::connect(house.grpc()).await;
    let mut call = busy.begin("ReadMemory", &[]).await;
    assert!(idle.until(GOAWAY).await.is_some());
    assert!(begun.elapsed() >= SHORT);
    drop(idle);
    eventually("twice the limit passed", async || begun.elapsed() > SHORT * 3).await;
    assert!(!busy.connection.is_finished());
    call.body.send_reset(h2::Reason::CANCEL);
    drop(call);
    eventually("the other is idle too", async || house.daemon.server.connections() == 0).await;
    house.stop().await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_dropped_and_one_that_does_is_kept() {
    let house = with_times(|config| {
        config.grpc.keepalive_interval = SHORT;
        config.grpc.keepalive_timeout = SHORT;
    });
    let honest = Wire::connect(house.grpc()).await;
    let begun = Instant::now();
    let mut dead = Frames::greet(house.grpc()).await;
    assert!(dead.until(PING).await.is_some());
    ends_after(&mut dead, SHORT, begun).await;
    assert!(!honest.connection.is_finished());
    eventually("one is left", async || house.daemon.server.connections() == 1).await;
    house.stop().await;
}

#[tokio::test]
async fn connections_past_the_cap_are_ended_at_once_even_in_a_burst() {
    let house = House::with(|config| config.grpc.max_connections = 8);
    let mut arrived = Vec::new();
    for _ in 0..64 {
        arrived.push(Frames::greet(house.grpc()).await);
    }
    let mut served = 0;
    let mut kept = Vec::new();
    for mut frames in arrived {
        if frames.until(SETTINGS).await.is_some() {
            served += 1;
            kept.push(frames);
        }
    }
    assert_eq!(served, 8);
    let shed = [("step", "connections")];
    assert_eq!(house.scrape().await.value("linmemd_calls_shed_total", &shed), 56.0);
    drop(kept);
    eventually("all have gone", async || house.daemon.server.connections() == 0).await;
    house.stop().await;
}

#[tokio::test]
async fn a_storm_of_resets_ends_its_connection_and_nothing_else() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let mut frames = Frames::greet(house.grpc()).await;
    let block = call_headers("ReadMemory");
    let mut storm = Vec::new();
    for number in 0..20_000u32 {
        let stream = 2 * number + 1;
        storm.extend(frame(HEADERS, END_HEADERS, stream, &block));
        storm.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    // The daemon may close before all is written.
    let _cut = frames.write(&storm).await;
    let said = frames.until(GOAWAY).await;
    if let Some(goaway) = said {
        assert_eq!(goaway.payload[4..8], 11u32.to_be_bytes(), "ENHANCE_YOUR_CALM");
    }
    frames.end().await;
    eventually("nothing of it runs", async || house.daemon.server.running() == 0).await;
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn who_goes_on_sending_to_calls_that_were_refused_is_told_to_go_and_who_stops_is_not() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let wire = Wire::connect(house.grpc()).await;
    for _call in 0..500 {
        // As a client does that begins to send before it hears of the refusal.
        let mut started = wire.begin("NoSuchMethod", &[]).await;
        started.body.send_data("some".into(), false).unwrap();
        let Started { response, mut body } = started;
        assert!(within("it is refused", response).await.is_ok());
        // Its stream may be reset already.
        let _late = body.send_data("bytes".into(), false);
    }
    wire.call("GetServerInfo", &[], framed(&GetServerInfoRequest {})).await.outcome().unwrap();
    let mut frames = Frames::greet(house.grpc()).await;
    frames.write(&frame(HEADERS, END_HEADERS, 1, &call_headers("NoSuchMethod"))).await.unwrap();
    assert!(frames.until(HEADERS).await.is_some(), "it is refused");
    // The daemon may close before all is written.
    let _cut = frames.write(&frame(DATA, 0, 1, b"x").repeat(50_000)).await;
    if let Some(goaway) = frames.until(GOAWAY).await {
        assert_eq!(goaway.payload[4..8], 11u32.to_be_bytes(), "ENHANCE_YOUR_CALM");
    }
    frames.end().await;
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn headers_over_their_limit_are_refused_and_the_next_call_is_served() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let wire = Wire::connect(house.grpc()).await;
    let long = "v".repeat(20_000);
    let mut started = wire.begin("ReadMemory", &[("x-long", &long)]).await;
    // The peer may be answered 431 or its stream be reset.
    let _cut = started.body.send_data("".into(), true);
    match started.response.await {
        Ok(response) => assert_eq!(response.status().as_u16(), 431),
        Err(error) => assert!(error.is_reset() || error.is_go_away(), "{error}"),
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn calls_that_come_in_one_write_are_answered_in_one() {
    const CALLS: u32 = 6;
    let house = House::start();
    house.client().await.create(Some("m"), pages(1)).await.unwrap();
    let mut frames = Frames::greet(house.grpc()).await;
    // What else the daemon has to say at the beginning has come with the second answer.
    for _ in 0..2 {
        frames.write(&frame(PING, 0, 0, &[0; 8])).await.unwrap();
        while frames.next().await.unwrap().kind != PING {}
    }
    let read = ReadMemoryRequest { memory_id: "m".to_owned(), length: 3, ..Default::default() };
    let call = |number| {
        let stream = 2 * number + 1;
        let headers = frame(HEADERS, END_HEADERS, stream, &call_headers("ReadMemory"));
        [headers, frame(DATA, END_STREAM, stream, &framed(&read))].concat()
    };
    let calls: Vec<u8> = (0..CALLS).flat_map(call).collect();
    frames.write(&calls).await.unwrap();
    let mut came = vec![0; 64 << 10];
    let length = within("answers", frames.stream.read(&mut came)).await.unwrap();
    let (mut rest, mut ends) = (&came[..length], 0);
    while let [a, b, c, kind, flags, _, _, _, _, after @ ..] = rest {
        ends += u32::from(*kind == HEADERS && flags & END_STREAM != 0);
        rest = &after[u32::from_be_bytes([0, *a, *b, *c]) as usize..];
    }
    assert_eq!(ends, CALLS);
    house.stop().await;
}

#[tokio::test]
async fn a_drain_tells_everyone_and_lets_running_calls_end() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let (running, other) = (Wire::connect(house.grpc()).await, Wire::connect(house.grpc()).await);
    let mut call = running.begin("ReadMemory", &[]).await;
    let mut late = other.begin("ReadMemory", &[]).await;
    let mut idle = Frames::greet(house.grpc()).await;
    eventually("both run", async || house.daemon.server.running() == 2).await;
    house.daemon.server.drain().await;
    assert!(idle.until(GOAWAY).await.is_some());
    let http = house.daemon.addresses.http;
    assert_eq!(crate::harness::http_get(http, "/readyz").await.0, 503);
    assert_eq!(crate::harness::http_get(http, "/healthz").await.0, 200);
    assert_eq!(house.scrape().await.value("linmemd_draining", &[]), 1.0);
    // New calls on a connection that comes anyway.
    let fresh = Wire::connect(house.grpc()).await;
    let refusal = fresh.begin("GetServerInfo", &[]).await.answer_or_lost().await;
    if let Some(answer) = refusal {
        crate::contract::refused(answer.outcome(), "DRAINING", &[]);
    }
    let read = ReadMemoryRequest { memory_id: "m".to_owned(), length: 3, ..Default::default() };
    for started in [&mut call, &mut late] {
        started.body.send_data(framed(&read).into(), true).unwrap();
    }
    call.answer().await.outcome().unwrap();
    late.answer().await.outcome().unwrap();
    assert_eq!(house.daemon.drain(LONG).await, Ok(()));
    house.close().await;
}

#[tokio::test]
async fn a_drain_at_its_limit_says_how_many_calls_it_cuts() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1024)).await.unwrap();
    let wire = Wire::connect(house.grpc()).await;
    let memory_id = "m".to_owned();
    let body = framed(&DownloadMemoryRequest { memory_id, ..Default::default() });
    let mut started = wire.begin("DownloadMemory", &[]).await;
    started.body.send_data(body.into(), true).unwrap();
    let kept = started.response.await.unwrap();
    assert_eq!(house.daemon.drain(SHORT).await, Err(1));
    drop(kept);
    house.close().await;
}

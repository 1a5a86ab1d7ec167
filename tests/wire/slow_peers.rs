//! Claims about peers that are slow, or stand still: what they may hold, and for how long.

use std::fmt::Display;
use std::time::{Duration, Instant};

use bytes::Bytes;
use linmemd::client::proto::open_session_request::Message as Asked;
use linmemd::client::proto::{
    DownloadMemoryRequest, MemorySpec, OpenSessionRequest, ReadMemoryRequest, SessionStart,
    UploadMemoryRequest,
};
use linmemd::config::{Config, Identity};
use linmemd::token::Token;

use crate::contract::refused;
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, SETTINGS, WINDOW_UPDATE, call_headers,
    frame,
};
use crate::grpc::{Started, Wire, framed, header};
use crate::harness::{House, PAGE, Witness, eventually, pages, within};
use crate::sessions::{attach, read as session_read, single};

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(60);

/// Every limit in time long, but those that the test makes short.
fn with_times(change: impl FnOnce(&mut Config)) -> House {
    House::with(|config| {
        config.grpc.preface_timeout = LONG;
        config.grpc.header_timeout = LONG;
        config.grpc.message_timeout = LONG;
        config.grpc.stall_timeout = LONG;
        config.grpc.idle_timeout = LONG;
        change(config);
    })
}

pub(crate) fn read(length: u64) -> Vec<u8> {
    framed(&ReadMemoryRequest { memory_id: "m".to_owned(), length, ..Default::default() })
}

#[tokio::test]
async fn a_message_that_does_not_come_to_its_end_is_stalled_and_gives_everything_back() {
    let house = with_times(|config| config.grpc.message_timeout = SHORT);
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let wire = Wire::connect(house.grpc()).await;
    let half = [&header(0, 1_000)[..], &[7; 400]].concat();
    let whole = read(3);
    for (method, sent) in [
        ("ReadMemory", Vec::new()),
        ("ReadMemory", vec![0, 0]),
        ("WriteMemory", half.clone()),
        // Whole, but the request does not end.
        ("ReadMemory", whole),
    ] {
        let begun = Instant::now();
        let mut started = wire.begin(method, &[]).await;
        started.body.send_data(sent.into(), false).unwrap();
        refused(started.answer().await.outcome(), "STALLED", &[]);
        assert!(begun.elapsed() >= SHORT);
    }
    let first = UploadMemoryRequest {
        memory_id: Some("m".to_owned()),
        data: client.read("m", 0, 1_000).await.unwrap(),
        ..Default::default()
    };
    let mut upload = wire.begin("UploadMemory", &[]).await;
    upload.body.send_data([framed(&first), half].concat().into(), false).unwrap();
    let numbers: [(&str, &dyn Display); 1] = [("bytes_written", &1_000)];
    refused(upload.answer().await.outcome(), "STALLED", &numbers);
    eventually("nothing is held", async || house.daemon.server.in_flight_bytes() == 0).await;
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_stream_may_be_silent_between_two_messages() {
    let house = with_times(|config| config.grpc.message_timeout = SHORT);
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let wire = Wire::connect(house.grpc()).await;
    let mut upload = wire.begin("UploadMemory", &[]).await;
    wire.let_pass(SHORT * 3).await;
    let memory_id = Some("m".to_owned());
    let first = UploadMemoryRequest { memory_id, data: "a".into(), ..Default::default() };
    upload.body.send_data(framed(&first).into(), false).unwrap();
    wire.let_pass(SHORT * 3).await;
    let next = UploadMemoryRequest { data: "b".into(), ..Default::default() };
    upload.body.send_data(framed(&next).into(), true).unwrap();
    upload.answer().await.outcome().unwrap();
    assert_eq!(client.read("m", 0, 2).await.unwrap(), "ab");
    house.stop().await;
}

#[tokio::test]
async fn a_frame_of_data_that_never_ends_is_closed_in_time() {
    let house = with_times(|config| config.grpc.message_timeout = SHORT);
    let mut frames = Frames::greet(house.grpc()).await;
    frames.until(SETTINGS).await.unwrap();
    let begun = Instant::now();
    let headers = frame(HEADERS, END_HEADERS, 1, &call_headers("OpenSession"));
    // Of a session, whose message has not begun.
    let torn = &frame(DATA, 0, 1, &[0; 1_000])[..11];
    frames.write(&[&headers[..], torn].concat()).await.unwrap();
    frames.end().await;
    assert!(begun.elapsed() >= SHORT);
    eventually("it has gone", async || house.daemon.server.connections() == 0).await;
    house.stop().await;
}

/// A connection whose streams take nothing before they are asked to.
async fn without_windows(house: &House) -> Wire {
    with_windows(house, 0).await
}

async fn with_windows(house: &House, bytes: u32) -> Wire {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(bytes);
    Wire::with(house.grpc(), builder).await
}

async fn ask(wire: &Wire, method: &str, body: &[u8]) -> Started {
    let mut started = wire.begin(method, &[]).await;
    started.body.send_data(Bytes::copy_from_slice(body), true).unwrap();
    started
}

#[tokio::test]
async fn a_reply_is_charged_until_its_bytes_are_out_and_not_until_its_call_is_over() {
    // Four replies, and the requests that ask for them.
    let budget = (8 << 20) + 1_000;
    let house = with_times(|config| config.grpc.in_flight_bytes_per_tenant = budget);
    let client = house.client().await;
    client.create(Some("m"), pages(32)).await.unwrap();
    let wire = without_windows(&house).await;
    let two_mib = read(32 * PAGE);
    let mut untaken = Vec::new();
    for _ in 0..4 {
        untaken.push(ask(&wire, "ReadMemory", &two_mib).await.response.await.unwrap());
    }
    // The replies, and the request that asks for one more, without its header.
    let used = (8 << 20) + two_mib.len() - 5;
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &"tenant_in_flight_bytes"), ("limit", &budget), ("used", &used)];
    let fifth = ask(&wire, "ReadMemory", &two_mib).await;
    refused(fifth.answer().await.outcome(), "OVERLOADED", &numbers);
    assert_eq!(house.daemon.server.in_flight_bytes(), 8 << 20);
    drop(untaken.pop());
    eventually("a stream that is reset gives its part back", async || {
        house.daemon.server.in_flight_bytes() == 6 << 20
    })
    .await;
    drop(untaken);
    wire.connection.abort();
    eventually("all came back", async || house.daemon.server.in_flight_bytes() == 0).await;
    house.stop().await;
}

#[tokio::test]
async fn a_reply_that_nobody_takes_ends_its_connection_in_time_and_no_other() {
    let house = with_times(|config| config.grpc.stall_timeout = SHORT);
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    // A window of one byte: all of the reply is handed over, and its call is over.
    let wire = with_windows(&house, 1).await;
    // 63 KiB, for which no second more is allowed.
    let kept = ask(&wire, "ReadMemory", &read(63 << 10)).await.response.await.unwrap();
    eventually("its connection was ended", async || wire.connection.is_finished()).await;
    eventually("all came back", async || house.daemon.server.in_flight_bytes() == 0).await;
    drop(kept);
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_download_is_read_no_further_than_it_is_taken_and_reset_where_it_is_not() {
    let house = with_times(|config| {
        config.grpc.stall_timeout = Duration::from_secs(3);
        config.grpc.in_flight_bytes_per_tenant = 8 << 20;
    });
    let client = house.client().await;
    client.create(Some("m"), MemorySpec { maximum_pages: Some(512), ..pages(512) }).await.unwrap();
    let memory_id = "m".to_owned();
    let request =
        DownloadMemoryRequest { memory_id, chunk_bytes: Some(PAGE), ..Default::default() };
    let wire = with_windows(&house, 1).await;
    let mut untaken = Vec::new();
    for _ in 0..3 {
        untaken.push(ask(&wire, "DownloadMemory", &framed(&request)).await.response.await.unwrap());
    }
    // One message of each is read, and one ahead, for half of the budget is free: of 512 pages.
    eventually("as much is held as may be", async || {
        house.daemon.server.in_flight_bytes() == 3 * 2 * PAGE
    })
    .await;
    eventually("they were reset", async || house.daemon.server.in_flight_bytes() == 0).await;
    let code =
        [("method", "linmem.v1.MemoryService/DownloadMemory"), ("code", "RESOURCE_EXHAUSTED")];
    eventually("and counted", async || {
        house.scrape().await.value("linmemd_rpc_requests_total", &code) == 3.0
    })
    .await;
    assert!(!wire.connection.is_finished(), "the connection is as good as ever");
    drop(untaken);
    wire.call("ReadMemory", &[], read(0)).await.outcome().unwrap();
    // Who takes what comes gets all of it, from a budget of two of its messages.
    let request = DownloadMemoryRequest { chunk_bytes: Some(4_000 << 10), ..request };
    let mut download = client.download(request).await.unwrap();
    let mut length = 0;
    while let Some(bytes) = download.next().await.unwrap() {
        length += bytes.len() as u64;
    }
    assert_eq!(length, 512 * PAGE);
    house.stop().await;
}

#[tokio::test]
async fn a_short_reply_that_nobody_takes_is_reset_in_time() {
    let house = with_times(|config| config.grpc.stall_timeout = SHORT);
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let wire = without_windows(&house).await;
    let kept = ask(&wire, "ReadMemory", &read(8)).await.response.await.unwrap();
    eventually("its call is over", async || house.daemon.server.running() == 0).await;
    assert!(!wire.connection.is_finished());
    drop(kept);
    house.stop().await;
}

#[tokio::test]
async fn an_idle_connection_that_does_not_go_when_told_is_ended() {
    let house = with_times(|config| config.grpc.idle_timeout = SHORT);
    let mut frames = Frames::greet(house.grpc()).await;
    frames.until(SETTINGS).await.unwrap();
    // A stream that h2 has and no call does: its reply has a window of one byte.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]);
    let headers = frame(HEADERS, END_HEADERS, 1, &call_headers("GetServerInfo"));
    let body = frame(DATA, 1, 1, &[0; 5]);
    frames.write(&[settings, headers, body].concat()).await.unwrap();
    frames.end().await;
    eventually("it has gone", async || house.daemon.server.connections() == 0).await;
    house.stop().await;
}

#[tokio::test]
async fn calls_that_are_refused_and_those_that_are_nobodys_keep_no_connection() {
    let token = Token::new([1; 32]);
    let house = with_times(|config| {
        config.grpc.idle_timeout = SHORT;
        config.identities = vec![Identity {
            name: "somebody".to_owned(),
            tenant: "default".to_owned(),
            roles: vec!["reader".to_owned()],
            token_sha256: Some(*token.hash().bytes()),
            ..Identity::default()
        }];
    });
    for method in ["GetMemory", "NoSuchMethod"] {
        let mut frames = Frames::greet(house.grpc()).await;
        let mut calls = 0;
        'calls: loop {
            let headers = frame(HEADERS, END_HEADERS | 1, calls * 2 + 1, &call_headers(method));
            // Whether it has been told to go is said by what it reads.
            let _closed = frames.write(&headers).await;
            calls += 1;
            assert!(calls < 200, "{method} keeps it");
            loop {
                match frames.next().await {
                    None => break 'calls,
                    Some(came) if came.kind == GOAWAY => break 'calls,
                    Some(came) if came.kind == HEADERS => break,
                    Some(_other) => {}
                }
            }
            tokio::time::sleep(SHORT / 10).await;
        }
        assert!(calls > 1, "{method} is answered");
    }
    let wire = Wire::connect(house.grpc()).await;
    let watch = watch_health(&wire).await;
    let _ended = within("nobody's watch ends with its connection", wire.connection).await;
    drop(watch);
    house.close().await;

    let house = with_times(|config| config.grpc.idle_timeout = SHORT);
    let wire = Wire::connect(house.grpc()).await;
    let watch = watch_health(&wire).await;
    let begun = Instant::now();
    eventually("twice the limit passed", async || begun.elapsed() > SHORT * 3).await;
    assert!(!wire.connection.is_finished(), "where nothing is asked, anybody's keeps it");
    drop((watch, wire));
    house.stop().await;
}

async fn watch_health(wire: &Wire) -> Started {
    let mut watch = wire.begin_path("/grpc.health.v1.Health/Watch", &[]).await;
    watch.body.send_data(vec![0; 5].into(), true).unwrap();
    watch
}

#[tokio::test]
async fn short_replies_are_charged_once_the_socket_takes_no_more() {
    let house = with_times(|_config| ());
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let mut frames = Frames::greet(house.grpc()).await;
    frames.until(SETTINGS).await.unwrap();
    // A window that is never used up, and a reader that never reads.
    let widest = (i32::MAX as u32).to_be_bytes();
    let settings = [&[0, 4][..], &widest].concat();
    let more = ((i32::MAX as u32) - 65_535).to_be_bytes();
    let windows = [frame(SETTINGS, 0, 0, &settings), frame(WINDOW_UPDATE, 0, 0, &more)].concat();
    frames.write(&windows).await.unwrap();
    let body = read(4_000);
    let writing = tokio::spawn(async move {
        for number in 0_u32.. {
            let stream = number * 2 + 1;
            let headers = frame(HEADERS, END_HEADERS, stream, &call_headers("ReadMemory"));
            let call = [headers, frame(DATA, END_STREAM, stream, &body)].concat();
            if frames.write(&call).await.is_err() {
                return;
            }
        }
    });
    let held = || house.daemon.server.in_flight_bytes();
    eventually("replies are charged", async || held() >= 8 * 4_000).await;
    writing.abort();
    let _aborted = writing.await;
    eventually("the connection has gone with all of it", async || held() == 0).await;
    house.stop().await;
}

#[tokio::test]
async fn a_session_that_takes_nothing_is_reset_in_time_and_its_connection_goes_on() {
    let house = with_times(|config| config.grpc.stall_timeout = SHORT);
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let wire = with_windows(&house, 5_000).await;
    let said = [
        Asked::Start(SessionStart::default()),
        attach(1, 1, "m"),
        single(2, session_read(0, 8_000)),
    ];
    let said = said.map(|message| framed(&OpenSessionRequest { message: Some(message) })).concat();
    let mut session = wire.begin("OpenSession", &[]).await;
    session.body.send_data(said.into(), false).unwrap();
    let mut answers = session.response.await.unwrap().into_body();
    let own = house.tenant("default");
    eventually("its result is held", async || own.in_flight_bytes.used() > 0).await;
    eventually("the session is gone", async || own.sessions.used() == 0).await;
    eventually("and all of it", async || own.in_flight_bytes.used() == 0).await;
    let reset = async { while answers.data().await.is_some_and(|data| data.is_ok()) {} };
    within("its stream is reset", reset).await;
    let ten = ask(&wire, "ReadMemory", &read(10)).await;
    assert_eq!(ten.answer().await.outcome().unwrap().len(), 5 + 2 + 10);
    assert!(!wire.connection.is_finished());
    house.stop().await;
}

//! Claims about rates: a call past its tenant's is RATE_LIMITED with the time to wait, a stream waits,
//! nobody gets more than the rate and the burst, and other tenants feel nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::{
    AnswerGrowHookRequest, DownloadMemoryRequest, GrowAnswer, GrowVerdict, Operation, ReadOperation,
};
use linmemd::client::{Client, ClientError, ConnectOptions, RetryPolicy, Upload};
use linmemd::config::{Quota, Tenant as Configured};
use tonic::codegen::tokio_stream;

use crate::contract::refused;
use crate::grpc::{Wire, prefixed};
use crate::harness::{House, PAGE, eventually, pages, pattern, tenant};
use crate::hooks::asked;

const RED: &str = "red";

fn house(quota: Quota) -> House {
    let red = Configured { quota, ..tenant(RED, None) };
    House::with(|config| config.tenants = vec![tenant("default", None), red])
}

fn operations(per_second: u64, burst: u64) -> Quota {
    Quota {
        operations_per_second: Some(per_second),
        operations_burst: Some(burst),
        ..Quota::default()
    }
}

fn bytes(per_second: u64, burst: u64) -> Quota {
    Quota { bytes_per_second: Some(per_second), bytes_burst: Some(burst), ..Quota::default() }
}

/// That an outcome is a refusal by this rate; the time to wait.
fn limited<T: std::fmt::Debug>(
    outcome: Result<T, ClientError>,
    limit_name: &str,
    limit: u64,
) -> Duration {
    let failure = match outcome {
        Err(ClientError::Refused(failure)) => *failure,
        other => panic!("RATE_LIMITED was due, not {other:?}"),
    };
    let used = failure.number("used").unwrap();
    let numbers: [(&str, &dyn std::fmt::Display); 3] =
        [("limit_name", &limit_name), ("limit", &limit), ("used", &used)];
    refused(Err::<T, _>(ClientError::Refused(Box::new(failure.clone()))), "RATE_LIMITED", &numbers);
    failure.retry_after.unwrap()
}

/// What is taken of a rate, without a call that takes more.
fn used(house: &House, resource: &str) -> u64 {
    let red = house.tenant(RED);
    red.holdings().iter().find(|holding| holding.resource == resource).unwrap().used
}

#[tokio::test]
async fn calls_past_the_burst_are_refused_with_the_time_until_there_is_one_again() {
    // So slow that none comes back while the test runs.
    let house = house(operations(1, 600));
    let (client, other) = (house.client_of(RED).await, house.client().await);
    client.create(Some("m"), pages(1)).await.unwrap();
    let begin = Instant::now();
    let mut passed = 1;
    let after = loop {
        match client.read("m", 0, 8).await {
            Ok(_bytes) => passed += 1,
            refusal => break limited(refusal, "operations_per_second", 1),
        }
    };
    let came = begin.elapsed().as_secs() + 1;
    assert!((600..=600 + came).contains(&passed), "{passed} calls passed in {came} s");
    assert!(after <= Duration::from_secs(1), "{after:?}");
    // What is asked of nobody's memory counts as well, and is refused as well.
    limited(client.list("").await, "operations_per_second", 1);
    limited(client.server_info().await, "operations_per_second", 1);
    other.create(Some("m"), pages(1)).await.unwrap();
    other.read("m", 0, 8).await.unwrap();
    // What is the host's business is not in it.
    client.host().await.unwrap();
    let page = house.scrape().await;
    let labels = [("tenant", RED), ("resource", "operations_per_second")];
    assert_eq!(page.value("linmemd_quota_limit", &labels), 1.0);
    assert!(page.value("linmemd_quota_used", &labels) > 590.0);
    unlimit(&house);
    house.stop().await;
}

/// No limits from now on, so that the house can be emptied.
fn unlimit(house: &House) {
    for tenant in house.daemon.server.tenants.iter() {
        tenant.set_limits(&linmemd::tenancy::TenantLimits::NONE);
    }
}

#[tokio::test]
async fn after_the_time_that_was_told_a_call_goes_on_and_our_client_waits_for_it() {
    let house = house(operations(20, 1));
    let client = house.client_of(RED).await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let refusal = eventually_limited(&client).await;
    let begin = Instant::now();
    eventually("a token is there", async || client.read("m", 0, 1).await.is_ok()).await;
    assert!(refusal <= Duration::from_millis(50), "{refusal:?}");
    assert!(begin.elapsed() + Duration::from_millis(1) >= refusal / 2);
    let mut options = ConnectOptions::new(format!("http://{}", house.grpc()).parse().unwrap());
    options.retry = RetryPolicy { attempts: 50, ..RetryPolicy::default() };
    options.tenant = Some(RED.to_owned());
    let patient = Client::connect(&options).await.unwrap();
    let begin = Instant::now();
    for _ in 0..8 {
        patient.read("m", 0, 1).await.unwrap();
    }
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
    unlimit(&house);
    house.stop().await;
}

async fn eventually_limited(client: &Client) -> Duration {
    let mut told = Duration::ZERO;
    eventually("a call is refused", async || match client.read("m", 0, 1).await {
        Ok(_bytes) => false,
        refusal => {
            told = limited(refusal, "operations_per_second", 20);
            true
        }
    })
    .await;
    told
}

#[tokio::test]
async fn malformed_and_refused_calls_count_too() {
    let house = house(operations(1, 40));
    let wire = Wire::connect(house.grpc()).await;
    let of_red = [("linmem-tenant", RED)];
    let mut malformed = 0;
    let refusal = loop {
        let body = prefixed(0, &[0xFF, 0xFF, 0xFF]);
        let outcome = wire.call("ReadMemory", &of_red, body).await.outcome();
        match outcome.unwrap_err() {
            ClientError::Refused(failure) if failure.reason == "INVALID_FIELD" => malformed += 1,
            other => break other,
        }
    };
    limited(Err::<(), _>(refusal), "operations_per_second", 1);
    assert!((40..60).contains(&malformed), "{malformed}");
    unlimit(&house);
    house.stop().await;
}

#[tokio::test]
async fn a_gather_counts_each_of_its_ranges_and_a_copy_both_of_its_ends() {
    let house = house(operations(1, 1_000));
    let client = house.client_of(RED).await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let before = used(&house, "operations_per_second");
    client.gather("m", 8, (0..128).map(|at| at * 8).collect()).await.unwrap();
    let after = used(&house, "operations_per_second");
    assert!((126..=128).contains(&(after - before)), "{before} and {after}");
    unlimit(&house);
    house.stop().await;
}

#[tokio::test]
async fn more_bytes_than_the_burst_are_possible_and_paid_off_before_the_next() {
    let house = house(bytes(PAGE / 8, PAGE));
    let client = house.client_of(RED).await;
    client.create(Some("m"), pages(4)).await.unwrap();
    client.write("m", 0, pattern(2 * PAGE, 3)).await.unwrap();
    let after = limited(client.read("m", 0, 1).await, "bytes_per_second", PAGE / 8);
    assert!(after > Duration::from_secs(6) && after <= Duration::from_secs(9), "{after:?}");
    // Nothing of it was done, and what moves no bytes goes on.
    limited(client.fill("m", 0, PAGE, 1).await, "bytes_per_second", PAGE / 8);
    let shown = client.memory("m").await.unwrap().stats.unwrap();
    assert_eq!((shown.read_count, shown.write_count), (0, 1));
    unlimit(&house);
    assert_eq!(client.read("m", 0, 2 * PAGE).await.unwrap(), pattern(2 * PAGE, 3));
    house.stop().await;
}

#[tokio::test]
async fn streams_are_slowed_down_to_the_rate_and_lose_nothing() {
    let rate = 16 * PAGE;
    let house = house(bytes(rate, PAGE));
    let client = house.client_of(RED).await;
    client.create(Some("m"), pages(8)).await.unwrap();
    let data = pattern(8 * PAGE, 9);
    let page = data.len() / 8;
    let chunks: Vec<Bytes> =
        (0..8).map(|part| data.slice(part * page..(part + 1) * page)).collect();
    let begin = Instant::now();
    client.upload_chunks(Upload::to("m"), chunks, |_| ()).await.unwrap();
    let request = DownloadMemoryRequest {
        memory_id: "m".to_owned(),
        chunk_bytes: Some(PAGE),
        ..Default::default()
    };
    let mut download = client.download(request).await.unwrap();
    let mut found = Vec::new();
    while let Some(chunk) = download.next().await.unwrap() {
        found.extend_from_slice(&chunk);
    }
    assert!(found == data, "the bytes there and back");
    // 16 pages at 16 a second, of which one is there at once and one may be owed at the end.
    let least = Duration::from_millis(1_000 * 14 / 16 - 10);
    assert!(begin.elapsed() >= least, "{:?}", begin.elapsed());
    unlimit(&house);
    house.stop().await;
}

#[tokio::test]
async fn a_session_is_slowed_down_to_the_rate_and_refuses_nothing() {
    let house = house(operations(400, 10));
    let client = house.client_of(RED).await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let session = client.session(|_notice| ()).await.unwrap();
    let attached = session.attach("m").await.unwrap();
    let read = || Operation { operation: Some(Kind::Read(ReadOperation { offset: 0, length: 8 })) };
    let begin = Instant::now();
    let asked: Vec<_> = (0..200).map(|_| attached.execute_one(read())).collect();
    for answer in futures_util::future::join_all(asked).await {
        answer.unwrap();
    }
    assert!(begin.elapsed() >= Duration::from_millis(440), "{:?}", begin.elapsed());
    drop(attached);
    drop(session);
    unlimit(&house);
    house.stop().await;
}

#[tokio::test]
async fn a_stream_that_waits_for_its_rate_ends_at_its_deadline() {
    let house = house(bytes(1, PAGE));
    let client = house.client_of(RED).await;
    client.create(Some("m"), pages(8)).await.unwrap();
    let hurried = client.with_deadline(Some(Duration::from_millis(300)));
    let request = DownloadMemoryRequest {
        memory_id: "m".to_owned(),
        chunk_bytes: Some(PAGE),
        ..Default::default()
    };
    let mut download = hurried.download(request).await.unwrap();
    let end = loop {
        match download.next().await {
            Ok(Some(_chunk)) => {}
            Ok(None) => panic!("eight pages came at a byte a second"),
            Err(failure) => break failure,
        }
    };
    assert!(
        matches!(end, ClientError::DeadlinePassed)
            || end.failure().is_some_and(|failure| failure.reason == "DEADLINE_PASSED"),
        "{end:?}"
    );
    let chunks = [pattern(PAGE, 1), pattern(PAGE, 2), pattern(PAGE, 3)];
    hurried.upload_chunks(Upload::to("m"), chunks, |_| ()).await.unwrap_err();
    eventually("no call runs", async || house.daemon.server.running() == 0).await;
    unlimit(&house);
    house.stop().await;
}

#[tokio::test]
async fn limits_that_are_shown_are_the_ones_configured_and_absent_without() {
    let house = house(Quota {
        operations_per_second: Some(1_000),
        bytes_per_second: Some(1 << 30),
        bytes_burst: Some(1 << 20),
        ..Quota::default()
    });
    let limits = house.client_of(RED).await.server_info().await.unwrap().limits.unwrap();
    assert_eq!(limits.tenant_operations_per_second, Some(1_000));
    assert_eq!(limits.tenant_operations_burst, Some(1_000));
    assert_eq!(limits.tenant_bytes_per_second, Some(1 << 30));
    assert_eq!(limits.tenant_bytes_burst, Some(1 << 20));
    let info = house.client().await.server_info().await.unwrap();
    let limits = info.limits.unwrap();
    assert_eq!((limits.tenant_operations_per_second, limits.tenant_bytes_burst), (None, None));
    let unlimited = info.quotas.iter().find(|quota| quota.resource == "bytes_per_second");
    assert_eq!(unlimited.unwrap().limit, u64::MAX);
    house.stop().await;
}

#[tokio::test]
async fn the_answers_of_a_decider_are_in_the_rate() {
    let house = house(operations(400, 10));
    let client = house.client_of(RED).await;
    client.create_grow_hook(asked("h")).await.unwrap();
    let first = AnswerGrowHookRequest { hook_id: Some("h".to_owned()), answer: None };
    let verdict = GrowVerdict::Allow.into();
    let answer = GrowAnswer { question_id: 7, verdict, reason: String::new() };
    let answers =
        (0..200).map(|_| AnswerGrowHookRequest { hook_id: None, answer: Some(answer.clone()) });
    let said = tokio_stream::iter(std::iter::once(first).chain(answers.collect::<Vec<_>>()));
    let begin = Instant::now();
    let heard = client.hook_service().answer_grow_hook(client.request(said)).await.unwrap();
    let mut heard = heard.into_inner();
    while heard.message().await.unwrap().is_some() {}
    assert!(begin.elapsed() >= Duration::from_millis(440), "{:?}", begin.elapsed());
    unlimit(&house);
    house.stop().await;
}

//! Claims about waits in a session: they hold nothing up, and each ends once.

use linmemd::client::proto::open_session_request::Message as Asked;
use linmemd::client::proto::open_session_response::Message as Word;
use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::operation_result::Result as Answer;
use linmemd::client::proto::session_group::Group;
use linmemd::client::proto::session_result::Outcome;
use linmemd::client::proto::{
    MemorySpec, NotifyOperation, Operation, OperationList, SessionCancel, SessionResult,
    SessionWait, WaitOutcome,
};

use crate::contract::refused;
use crate::harness::{House, eventually, pages};
use crate::session_bounds::kept;
use crate::sessions::{Raw, data, error, group, read, reason, single, write};

fn wait(tag: u64, address: u64, expected: u64) -> Asked {
    Asked::Wait(SessionWait { tag, handle: 1, address, width: 4, expected, timeout: None })
}

fn waited(result: &SessionResult) -> WaitOutcome {
    match result.outcome {
        Some(Outcome::Waited(waited)) => waited.outcome(),
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn waits_hold_nothing_up_and_end_by_a_notify_in_a_group_a_timeout_or_a_cancel() {
    let house = House::start();
    let client = house.client().await;
    let shared = MemorySpec { shared: true, ..pages(1) };
    client.create(Some("m"), shared).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    raw.say(wait(2, 8, 1));
    assert_eq!(waited(&raw.result(2).await), WaitOutcome::NotEqual);
    raw.say(wait(3, 8, 0));
    raw.say(wait(4, 8, 0));
    raw.say(wait(5, 16, 0));
    raw.say(single(6, read(0, 1)));
    assert_eq!(data(&raw.result(6).await), [0]);
    raw.say(wait(5, 16, 0));
    assert_eq!(reason(raw.result(5).await), "INVALID_FIELD");
    raw.say(Asked::Cancel(SessionCancel { tag: 7, wait_tag: 5 }));
    assert!(matches!(raw.result(7).await.outcome, Some(Outcome::Done(_))));
    assert_eq!(waited(&raw.result(5).await), WaitOutcome::Cancelled);
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 });
    let late = SessionWait { tag: 8, handle: 1, address: 16, width: 8, expected: 0, timeout };
    raw.say(Asked::Wait(late));
    assert_eq!(waited(&raw.result(8).await), WaitOutcome::TimedOut);
    let notify = NotifyOperation { address: 8, static_offset: 0, count: 1 };
    let operations = [write(8, b"1"), Kind::Notify(notify), Kind::Notify(notify)];
    let list = OperationList { operations: operations.map(Operation::from).to_vec() };
    raw.say(group(9, 1, true, Group::List(list)));
    let Some(Outcome::List(list)) = raw.result(9).await.outcome else { panic!() };
    let woken = |place: usize| list.results[place].result.clone();
    assert_eq!((woken(1), woken(2)), (Some(Answer::WokenCount(1)), Some(Answer::WokenCount(1))));
    for tag in [3, 4] {
        assert_eq!(waited(&raw.result(tag).await), WaitOutcome::Ok);
    }
    raw.say(wait(10, 0, 0));
    client.delete("m").await.unwrap();
    refused(error(raw.result(10).await), "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn ten_thousand_waits_are_parked_in_one_session_and_each_is_woken_once() {
    const WAITS: u64 = 10_000;
    let house = House::start();
    let client = house.client().await;
    let shared = MemorySpec { shared: true, ..pages(1) };
    client.create(Some("m"), shared).await.unwrap();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let mut raw = Raw::attached(&client).await;
    let before = threads();
    for tag in 0..WAITS {
        raw.say(wait(100 + tag, 4 * (tag % 100), 0));
    }
    let waiters = [("tenant", "default")];
    eventually("all wait", async || {
        house.scrape().await.value("linmemd_waiters", &waiters) == WAITS as f64
    })
    .await;
    // Other tests of this process come and go meanwhile, with a few threads each.
    assert!(threads() < before + 1_000);
    let mut woken = 0;
    for address in 0..100 {
        woken += u64::from(client.notify("m", 4 * address, None).await.unwrap());
    }
    assert_eq!(woken, WAITS);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..WAITS {
        let Some(Word::Result(result)) = raw.hear().await else { panic!() };
        assert_eq!(waited(&result), WaitOutcome::Ok);
        assert!(seen.insert(result.tag));
    }
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn a_wait_on_what_is_gone_is_told_that_and_nothing_of_its_address() {
    let house = House::start();
    let client = house.client().await;
    let shared = MemorySpec { shared: true, ..pages(1) };
    client.create(Some("m"), shared).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    client.delete("m").await.unwrap();
    // Beside no boundary, and past the end of what was there.
    for (tag, address) in [(2, 2), (3, 1 << 20), (4, 0)] {
        raw.say(wait(tag, address, 0));
        refused(error(raw.result(tag).await), "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    }
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn a_wait_that_stands_in_line_for_its_memory_has_a_place_among_its_tenants() {
    let house = House::with(|config| config.grpc.waiters_per_tenant = 2);
    let client = house.client().await;
    let shared = MemorySpec { shared: true, ..pages(1) };
    client.create(Some("m"), shared).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    let (pause, discard) = kept(&house, &client).await;
    for tag in 2..5 {
        raw.say(wait(tag, 0, 0));
    }
    let numbers: [(&str, &dyn std::fmt::Display); 3] =
        [("limit_name", &"tenant_waiters"), ("limit", &2), ("used", &2)];
    refused(error(raw.result(4).await), "TOO_MANY_WAITERS", &numbers);
    drop(pause);
    discard.await.unwrap();
    let woken = async || client.notify("m", 0, None).await.unwrap();
    let mut all = 0;
    while all < 2 {
        all += woken().await;
    }
    for tag in 2..4 {
        assert_eq!(waited(&raw.result(tag).await), WaitOutcome::Ok);
    }
    drop(raw);
    house.stop().await;
}

//! Claims about hooks of growth: what a decider's say, its silence and its absence do to a growth, to its
//! charge and to those beside it. The hooks themselves and their streams are in `deciders.rs`.

use std::time::Duration;

use linmemd::client::proto::{
    Allocator, CreateGrowHookRequest, FailurePolicy, GrowMemoryRequest, GrowQuestion, MemorySpec,
};
use linmemd::client::{Answers, Client, ClientError, Failure, Heard, Verdict};
use linmemd::config::{self, Config};

use crate::contract::refused;
use crate::harness::{House, PAGE, Page, eventually, pages, pattern, within};
use crate::reloads::Reloading;

/// A hook of all memories that fails closed, and waits for as long as any may.
pub(crate) fn asked(hook_id: &str) -> CreateGrowHookRequest {
    CreateGrowHookRequest {
        hook_id: Some(hook_id.to_owned()),
        answer_timeout: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
        ..Default::default()
    }
}

/// Long enough for the question to be heard on a busy machine.
fn hurried(hook_id: &str, failure_policy: FailurePolicy) -> CreateGrowHookRequest {
    CreateGrowHookRequest {
        failure_policy: failure_policy.into(),
        answer_timeout: Some(prost_types::Duration { seconds: 0, nanos: 500_000_000 }),
        ..asked(hook_id)
    }
}

/// A hook of all memories and a stream of its own.
pub(crate) async fn hook(client: &Client, hook_id: &str) -> Answers {
    client.create_grow_hook(asked(hook_id)).await.unwrap();
    client.answer_grow_hook(hook_id).await.unwrap()
}

pub(crate) async fn heard(answers: &mut Answers) -> Heard {
    within("a decider hears something", answers.next()).await.unwrap().unwrap()
}

pub(crate) async fn question(answers: &mut Answers) -> GrowQuestion {
    match heard(answers).await {
        Heard::Question(question) => question,
        other => panic!("a question was due, not {other:?}"),
    }
}

async fn told(answers: &mut Answers, question_id: u64, grown: bool) {
    let Heard::Told(news) = heard(answers).await else { panic!("news were due") };
    assert_eq!((news.question_id, news.grown), (question_id, grown));
}

pub(crate) async fn withdrawn(answers: &mut Answers, question_id: u64) {
    let Heard::Withdrawal(gone) = heard(answers).await else { panic!("a withdrawal was due") };
    assert_eq!(gone.question_id, question_id);
}

pub(crate) fn denied<T: std::fmt::Debug>(
    outcome: Result<T, ClientError>,
    cause: &str,
    hook_id: &str,
) -> Failure {
    refused(outcome, "GROW_DENIED", &[("cause", &cause), ("hook_id", &hook_id)])
}

pub(crate) fn growing(
    client: &Client,
    memory_id: &str,
    delta_pages: u64,
) -> tokio::task::JoinHandle<Result<u64, ClientError>> {
    let (client, memory_id) = (client.clone(), memory_id.to_owned());
    tokio::spawn(async move {
        client.grow(&memory_id, delta_pages).await.map(|grown| grown.current_pages)
    })
}

/// Pages that the tenant is charged for.
pub(crate) async fn charged(client: &Client) -> u64 {
    let quotas = client.server_info().await.unwrap().quotas;
    quotas.iter().find(|quota| quota.resource == "committed_bytes").unwrap().used / PAGE
}

pub(crate) fn events(page: &Page, phase: &str, outcome: &str) -> f64 {
    let labels = [("tenant", "default"), ("phase", phase), ("outcome", outcome)];
    page.value("linmemd_grow_hook_events_total", &labels)
}

#[tokio::test]
async fn a_decider_says_how_far_memories_grow_and_hears_what_came_of_it() {
    let house = House::start();
    let client = house.client().await;
    let spec = MemorySpec { labels: [("k".to_owned(), "v".to_owned())].into(), ..pages(2) };
    let memory = client.create(Some("m"), spec).await.unwrap();
    let mut answers = hook(&client, "h").await;
    assert_eq!((answers.hook.streams, answers.hook.open_questions), (1, 0));

    let grow = growing(&client, "m", 1);
    let asked = question(&mut answers).await;
    assert_eq!((asked.question_id, asked.memory_id.as_str()), (1, "m"));
    assert_eq!((asked.uid.as_str(), asked.labels["k"].as_str()), (memory.uid.as_str(), "v"));
    assert_eq!((asked.previous_pages, asked.requested_pages, asked.maximum_pages), (2, 3, 4));
    assert_eq!(asked.answer_within.unwrap().seconds, 10);
    assert!(asked.deadline.is_some());
    assert_eq!(client.grow_hook("h").await.unwrap().open_questions, 1);
    // It is paid before it is asked about, and has not happened.
    assert_eq!((charged(&client).await, client.memory("m").await.unwrap().size_pages), (3, 2));
    answers.answer(1, Verdict::Allow).await;
    assert_eq!(grow.await.unwrap().unwrap(), 3);
    told(&mut answers, 1, true).await;

    let grow = growing(&client, "m", 1);
    let number = question(&mut answers).await.question_id;
    answers.answer(number, Verdict::Deny("too \u{1b}[2J large".to_owned())).await;
    let failure = denied(grow.await.unwrap(), "DENIED", "h");
    assert!(failure.message.contains(r"too \u{1b}[2J large"), "{failure}");
    assert_eq!((charged(&client).await, client.memory("m").await.unwrap().size_pages), (3, 3));
    let stats = client.memory("m").await.unwrap().stats.unwrap();
    assert_eq!((stats.grow_count, stats.grow_failure_count), (1, 1));
    let page = house.scrape().await;
    assert_eq!((events(&page, "pre", "allowed"), events(&page, "pre", "denied")), (1.0, 1.0));
    assert_eq!(events(&page, "post", "told"), 1.0);
    let outcome = [("tenant", "default"), ("outcome", "grow_denied")];
    assert_eq!(page.value("linmemd_grows_total", &outcome), 1.0);
    let counted = ("linmemd_grow_hook_duration_seconds_count", [("tenant", "default")]);
    assert_eq!(page.value(counted.0, &counted.1), 2.0);
    drop(answers);
    house.stop().await;
}

#[tokio::test]
async fn without_an_answer_in_time_the_policy_decides_and_an_answer_after_it_changes_nothing() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    client.create_grow_hook(hurried("h", FailurePolicy::FailClosed)).await.unwrap();
    let mut answers = client.answer_grow_hook("h").await.unwrap();
    denied(client.grow("m", 1).await, "TIMEOUT", "h");
    assert_eq!(question(&mut answers).await.question_id, 1);
    withdrawn(&mut answers, 1).await;
    answers.answer(1, Verdict::Allow).await;
    answers.answer(7, Verdict::Allow).await;
    eventually("late and unknown answers are counted", async || {
        let page = house.scrape().await;
        (events(&page, "pre", "late"), events(&page, "pre", "unknown")) == (1.0, 1.0)
    })
    .await;
    assert_eq!((charged(&client).await, client.memory("m").await.unwrap().size_pages), (2, 2));
    client.delete_grow_hook("h", false).await.unwrap();

    client.create_grow_hook(hurried("h", FailurePolicy::FailOpen)).await.unwrap();
    let _silent = client.answer_grow_hook("h").await.unwrap();
    assert_eq!(client.grow("m", 1).await.unwrap().current_pages, 3);
    assert_eq!(events(&house.scrape().await, "pre", "timeout"), 2.0);
    drop((answers, _silent));
    house.stop().await;
}

#[tokio::test]
async fn an_answer_that_comes_twice_counts_once() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    let mut answers = hook(&client, "h").await;
    let grow = growing(&client, "m", 1);
    question(&mut answers).await;
    answers.answer(1, Verdict::Allow).await;
    answers.answer(1, Verdict::Deny("not after all".to_owned())).await;
    assert_eq!(grow.await.unwrap().unwrap(), 3);
    eventually("the second is counted", async || {
        events(&house.scrape().await, "pre", "duplicate") == 1.0
    })
    .await;
    assert_eq!(events(&house.scrape().await, "pre", "denied"), 0.0);
    drop(answers);
    house.stop().await;
}

#[tokio::test]
async fn where_nobody_answers_for_a_hook_the_policy_decides_at_once() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    client.create_grow_hook(asked("h")).await.unwrap();
    denied(client.grow("m", 1).await, "ABSENT", "h");
    denied(client.create(Some("n"), pages(1)).await.map(drop), "ABSENT", "h");
    assert_eq!(charged(&client).await, 2);
    let open = CreateGrowHookRequest {
        failure_policy: FailurePolicy::FailOpen.into(),
        label_selector: "!free".to_owned(),
        ..asked("o")
    };
    client.delete_grow_hook("h", false).await.unwrap();
    client.create_grow_hook(open).await.unwrap();
    assert_eq!(client.grow("m", 1).await.unwrap().current_pages, 3);
    assert_eq!(events(&house.scrape().await, "pre", "absent"), 3.0);
    house.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_takes_its_question_with_it_and_nothing_grows() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    let mut answers = hook(&client, "h").await;
    let soon = client.with_deadline(Some(Duration::from_millis(500)));
    let late = growing(&soon, "m", 1);
    assert_eq!(question(&mut answers).await.question_id, 1);
    withdrawn(&mut answers, 1).await;
    assert!(late.await.unwrap().is_err());
    let gone = growing(&client, "m", 1);
    assert_eq!(question(&mut answers).await.question_id, 2);
    gone.abort();
    withdrawn(&mut answers, 2).await;
    for number in [1, 2] {
        answers.answer(number, Verdict::Allow).await;
    }
    eventually("late answers are counted", async || {
        events(&house.scrape().await, "pre", "late") == 2.0
    })
    .await;
    assert_eq!((charged(&client).await, client.memory("m").await.unwrap().size_pages), (2, 2));
    let grow = growing(&client, "m", 1);
    question(&mut answers).await;
    answers.answer(3, Verdict::Allow).await;
    assert_eq!(grow.await.unwrap().unwrap(), 3);
    drop(answers);
    house.stop().await;
}

#[tokio::test]
async fn the_first_denial_wins_and_whoever_else_was_asked_is_told() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    let (mut one, mut other) = (hook(&client, "one").await, hook(&client, "other").await);
    let grow = growing(&client, "m", 1);
    // Both are asked before either has answered.
    assert_eq!(
        (question(&mut one).await.question_id, question(&mut other).await.question_id),
        (1, 1)
    );
    one.answer(1, Verdict::Deny("no".to_owned())).await;
    denied(grow.await.unwrap(), "DENIED", "one");
    withdrawn(&mut other, 1).await;

    let grow = growing(&client, "m", 1);
    question(&mut one).await;
    question(&mut other).await;
    one.answer(2, Verdict::Allow).await;
    eventually("that is heard", async || events(&house.scrape().await, "pre", "allowed") == 1.0)
        .await;
    assert!(!grow.is_finished(), "one of two has not answered");
    other.answer(2, Verdict::Deny(String::new())).await;
    denied(grow.await.unwrap(), "DENIED", "other");
    told(&mut one, 2, false).await;
    assert_eq!(charged(&client).await, 2);

    let grow = growing(&client, "m", 1);
    question(&mut one).await;
    question(&mut other).await;
    one.answer(3, Verdict::Allow).await;
    other.answer(3, Verdict::Allow).await;
    assert_eq!(grow.await.unwrap().unwrap(), 3);
    told(&mut one, 3, true).await;
    told(&mut other, 3, true).await;
    drop((one, other));
    house.stop().await;
}

#[tokio::test]
async fn while_a_growth_waits_its_memory_is_read_and_written_and_others_grow() {
    let house = House::start();
    let client = house.client().await;
    let heap = MemorySpec { allocator: Allocator::Heap.into(), ..pages(2) };
    client.create(Some("mapped"), pages(2)).await.unwrap();
    client.create(Some("heap"), heap).await.unwrap();
    client.create(Some("free"), MemorySpec { labels: free(), ..pages(2) }).await.unwrap();
    let request = CreateGrowHookRequest { label_selector: "!free".to_owned(), ..asked("h") };
    client.create_grow_hook(request).await.unwrap();
    let mut answers = client.answer_grow_hook("h").await.unwrap();
    for (name, number) in [("mapped", 1), ("heap", 2)] {
        let grow = growing(&client, name, 2);
        assert_eq!(question(&mut answers).await.memory_id, name);
        let bytes = pattern(2 * PAGE, 3);
        client.write(name, 0, bytes.clone()).await.unwrap();
        assert_eq!(client.read(name, 0, 2 * PAGE).await.unwrap(), bytes);
        assert_eq!(client.grow("free", 1).await.unwrap().current_pages, number + 2);
        assert!(!grow.is_finished());
        answers.answer(number, Verdict::Allow).await;
        assert_eq!(grow.await.unwrap().unwrap(), 4);
        told(&mut answers, number, true).await;
        assert_eq!(client.read(name, 0, 2 * PAGE).await.unwrap(), bytes);
        assert_eq!(client.read(name, 2 * PAGE, PAGE).await.unwrap(), vec![0; 65_536]);
    }
    drop(answers);
    house.stop().await;
}

fn free() -> std::collections::BTreeMap<String, String> {
    [("free".to_owned(), String::new())].into()
}

#[tokio::test]
async fn growths_of_one_memory_queue_behind_the_one_that_is_asked_about_and_see_what_it_did() {
    let house = House::with(|config| config.memory.max_queued_grows = 2);
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    let mut answers = hook(&client, "h").await;
    let first = growing(&client, "m", 1);
    question(&mut answers).await;
    let expecting = {
        let client = client.clone();
        let request = GrowMemoryRequest {
            memory_id: "m".to_owned(),
            delta_pages: 1,
            expected_pages: Some(2),
            ..Default::default()
        };
        tokio::spawn(async move { client.grow_memory(request).await.map(drop) })
    };
    // The stream, the first and this one, whose connection's calls are begun in order.
    eventually("it came", async || house.daemon.server.running() == 3).await;
    // Two more at a time: one of them has no place as soon as the one before them has its own.
    let soon = client.with_deadline(Some(Duration::from_millis(500)));
    let full = within("one is refused", async {
        loop {
            for outcome in <[_; 2]>::from(tokio::join!(soon.grow("m", 1), soon.grow("m", 1))) {
                if outcome.as_ref().is_err_and(|error| error.reason() == "OVERLOADED") {
                    return outcome;
                }
            }
        }
    });
    let limits: [(&str, &dyn std::fmt::Display); 2] =
        [("limit_name", &"max_queued_grows"), ("limit", &2)];
    refused(full.await, "OVERLOADED", &limits);
    answers.answer(1, Verdict::Allow).await;
    assert_eq!(first.await.unwrap().unwrap(), 3);
    let numbers: [(&str, &dyn std::fmt::Display); 2] =
        [("expected_pages", &2), ("current_pages", &3)];
    refused(expecting.await.unwrap(), "SIZE_MISMATCH", &numbers);
    assert_eq!(charged(&client).await, 3);
    drop(answers);
    house.stop().await;
}

#[tokio::test]
async fn the_configs_hooks_go_by_the_last_reload_and_a_tenants_own_stay() {
    let it = Reloading::with(|_| {}).await;
    let own = it.house.client().await;
    let spec = MemorySpec { maximum_pages: Some(9), ..pages(1) };
    own.create(Some("m"), spec).await.unwrap();
    let hook = |config: &mut Config, name: &str, tenant: Option<&str>| {
        config.hooks.push(config::Hook {
            name: name.to_owned(),
            tenant: tenant.map(str::to_owned),
            ..config::Hook::default()
        });
    };
    it.to(|config| hook(config, "h", Some("default"))).await;
    let denied: [(&str, &dyn std::fmt::Display); 2] = [("cause", &"ABSENT"), ("hook_id", &"h")];
    refused(own.grow("m", 1).await, "GROW_DENIED", &denied);
    it.house.client_of("other").await.create(Some("m"), pages(1)).await.unwrap();
    it.to(|_| {}).await;
    own.grow("m", 1).await.unwrap();
    let request = CreateGrowHookRequest {
        hook_id: Some("mine".to_owned()),
        label_selector: "none=none".to_owned(),
        ..Default::default()
    };
    own.create_grow_hook(request.clone()).await.unwrap();
    it.write(|config| hook(config, "mine", None));
    it.is_refused(&[&["[[hook]] of tenant \"default\"", "mine"]]).await;
    // However many a tenant has, there is room for the config's.
    for number in 1..64 {
        let another =
            CreateGrowHookRequest { hook_id: Some(format!("h{number}")), ..request.clone() };
        own.create_grow_hook(another).await.unwrap();
    }
    let one_more = CreateGrowHookRequest { hook_id: Some("h64".to_owned()), ..request };
    let full: [(&str, &dyn std::fmt::Display); 3] =
        [("limit_name", &"hooks"), ("limit", &64), ("used", &64)];
    refused(own.create_grow_hook(one_more).await, "QUOTA_EXCEEDED", &full);
    it.to(|config| hook(config, "h", None)).await;
    let denied: [(&str, &dyn std::fmt::Display); 2] = [("cause", &"ABSENT"), ("hook_id", &"h")];
    refused(own.grow("m", 1).await, "GROW_DENIED", &denied);
    it.house.stop().await;
}

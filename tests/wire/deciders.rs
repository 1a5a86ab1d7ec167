//! Claims about hooks as resources, about the streams that answer for them, and about creations, which are
//! asked about too.

use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use linmemd::client::proto::{
    AnswerGrowHookRequest, CreateGrowHookRequest, FailurePolicy, GrowAnswer, GrowVerdict,
    ListGrowHooksRequest, MemorySpec,
};
use linmemd::client::{Client, ClientError, ConnectOptions, Decider, Verdict};
use linmemd::config;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use crate::contract::{invalid, refused};
use crate::harness::{House, connect, eventually, pages, tenant, within};
use crate::hooks::{asked, charged, denied, growing, hook, question};

fn named<'a>(id: &'a &'a str) -> [(&'static str, &'a dyn Display); 1] {
    [("hook_id", id)]
}

#[tokio::test]
async fn a_tenant_makes_sees_and_ends_its_own_hooks_and_no_others() {
    let house = House::with(|config| {
        config.tenants = ["default", "other"].map(|name| tenant(name, None)).to_vec();
    });
    let (client, other) = (house.client().await, house.client_of("other").await);
    let request = CreateGrowHookRequest {
        label_selector: "a=b".to_owned(),
        failure_policy: FailurePolicy::FailOpen.into(),
        rank: -7,
        ..asked("h")
    };
    let made = client.create_grow_hook(request.clone()).await.unwrap();
    assert_eq!((made.hook_id.as_str(), made.label_selector.as_str()), ("h", "a=b"));
    assert_eq!((made.failure_policy(), made.rank), (FailurePolicy::FailOpen, -7));
    assert_eq!((made.answer_timeout.unwrap().seconds, made.configured), (10, false));
    assert_eq!(client.grow_hook("h").await.unwrap(), made);
    let plain = CreateGrowHookRequest::default();
    let plain = client.create_grow_hook(plain).await.unwrap();
    assert_eq!((plain.hook_id.len(), plain.answer_timeout.unwrap().seconds), (32, 1));
    assert_eq!((plain.failure_policy(), plain.rank), (FailurePolicy::FailClosed, 0));
    refused(client.create_grow_hook(request).await, "HOOK_EXISTS", &named(&"h"));
    refused(other.grow_hook("h").await, "HOOK_NOT_FOUND", &named(&"h"));
    refused(other.delete_grow_hook("h", false).await, "HOOK_NOT_FOUND", &named(&"h"));
    assert!(other.grow_hooks().await.unwrap().is_empty());
    client.delete_grow_hook(&plain.hook_id, false).await.unwrap();

    for number in 1..64 {
        client.create_grow_hook(asked(&format!("h{number:02}"))).await.unwrap();
    }
    let limit: [(&str, &dyn Display); 3] =
        [("limit_name", &"hooks"), ("limit", &64), ("used", &64)];
    refused(client.create_grow_hook(asked("one-more")).await, "QUOTA_EXCEEDED", &limit);
    let page = ListGrowHooksRequest { page_size: 40, page_token: String::new() };
    let first = client.list_grow_hooks(page).await.unwrap();
    let rest = ListGrowHooksRequest { page_size: 40, page_token: first.next_page_token.clone() };
    let rest = client.list_grow_hooks(rest).await.unwrap();
    assert_eq!((first.hooks.len(), rest.hooks.len()), (40, 24));
    assert!(rest.next_page_token.is_empty());
    assert_eq!(
        (first.hooks[0].hook_id.as_str(), client.grow_hooks().await.unwrap().len()),
        ("h", 64)
    );
    let limits = client.server_info().await.unwrap().limits.unwrap();
    assert_eq!((limits.max_hooks, limits.max_hook_streams), (64, 64));
    for made in client.grow_hooks().await.unwrap() {
        client.delete_grow_hook(&made.hook_id, false).await.unwrap();
    }
    client.delete_grow_hook("h", true).await.unwrap();
    refused(client.delete_grow_hook("h", false).await, "HOOK_NOT_FOUND", &named(&"h"));
    house.stop().await;
}

#[tokio::test]
async fn a_hook_that_cannot_be_is_refused_by_field() {
    let house = House::start();
    let client = house.client().await;
    let timeout = |seconds, nanos| CreateGrowHookRequest {
        answer_timeout: Some(prost_types::Duration { seconds, nanos }),
        ..asked("h")
    };
    for bad in [timeout(0, 9_999_999), timeout(10, 1), timeout(-1, 0), timeout(i64::MAX, i32::MIN)]
    {
        invalid(client.create_grow_hook(bad).await, "answer_timeout");
    }
    let bad = CreateGrowHookRequest { label_selector: "=x".to_owned(), ..asked("h") };
    invalid(client.create_grow_hook(bad).await, "label_selector");
    let bad = CreateGrowHookRequest { failure_policy: 9, ..asked("h") };
    invalid(client.create_grow_hook(bad).await, "failure_policy");
    invalid(client.create_grow_hook(asked("no id")).await, "hook_id");
    invalid(client.grow_hook("").await, "hook_id");
    invalid(client.delete_grow_hook("no id", true).await, "hook_id");
    for timeout in [timeout(0, 10_000_000), timeout(10, 0)] {
        client.create_grow_hook(timeout).await.unwrap();
        client.delete_grow_hook("h", false).await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn streams_of_a_hook_share_its_questions_and_inherit_those_of_one_that_ends() {
    let house = House::start();
    let client = house.client().await;
    for name in ["a", "b"] {
        client.create(Some(name), pages(2)).await.unwrap();
    }
    let mut one = hook(&client, "h").await;
    let mut other = client.answer_grow_hook("h").await.unwrap();
    assert_eq!(other.hook.streams, 2);
    let first = growing(&client, "a", 1);
    let asked = question(&mut one).await;
    let second = growing(&client, "b", 1);
    let shared = question(&mut other).await;
    assert_eq!((asked.memory_id.as_str(), shared.memory_id.as_str()), ("a", "b"));
    drop(one);
    let inherited = question(&mut other).await;
    assert_eq!((inherited.memory_id.as_str(), inherited.question_id), ("a", 2));
    other.answer(2, Verdict::Allow).await;
    assert_eq!(first.await.unwrap().unwrap(), 3);
    // The last one goes: nobody is left to answer.
    drop(other);
    denied(second.await.unwrap(), "ABSENT", "h");
    assert_eq!(charged(&client).await, 5);
    house.stop().await;
}

#[tokio::test]
async fn a_creation_is_asked_about_with_nothing_before_it_and_leaves_nothing_when_denied() {
    let house = House::start();
    let client = house.client().await;
    let mut answers = hook(&client, "h").await;
    let create = |pages_wanted| {
        let client = client.clone();
        tokio::spawn(async move { client.create(Some("m"), pages(pages_wanted)).await })
    };
    let denial = create(3);
    let asked = question(&mut answers).await;
    assert_eq!((asked.previous_pages, asked.requested_pages, asked.maximum_pages), (0, 3, 6));
    assert_eq!((asked.memory_id.as_str(), asked.uid.len(), charged(&client).await), ("m", 36, 3));
    answers.answer(1, Verdict::Deny(String::new())).await;
    denied(denial.await.unwrap(), "DENIED", "h");
    refused(client.memory("m").await, "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    assert_eq!(charged(&client).await, 0);
    // Without pages it grows by none.
    client.create(Some("m"), pages(0)).await.unwrap();
    client.delete("m").await.unwrap();
    // The name is taken while an answer is waited for.
    let (one, other) = (create(1), create(2));
    question(&mut answers).await;
    question(&mut answers).await;
    answers.answer(2, Verdict::Allow).await;
    answers.answer(3, Verdict::Allow).await;
    let made = [one.await.unwrap(), other.await.unwrap()];
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "{made:?}");
    let [failed] = made.into_iter().filter(Result::is_err).collect::<Vec<_>>().try_into().unwrap();
    refused(failed, "MEMORY_EXISTS", &[("memory_id", &"m")]);
    assert_eq!(charged(&client).await, client.memory("m").await.unwrap().size_pages);
    drop(answers);
    house.stop().await;
}

#[tokio::test]
async fn a_lease_that_runs_out_while_an_answer_is_waited_for_ends_the_growth() {
    let house = House::start();
    let client = house.client().await;
    let lease_ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    client.create(Some("m"), MemorySpec { lease_ttl, ..pages(2) }).await.unwrap();
    let mut answers = hook(&client, "h").await;
    let grow = growing(&client, "m", 1);
    question(&mut answers).await;
    eventually("the lease ran out", async || client.memory("m").await.is_err()).await;
    answers.answer(1, Verdict::Allow).await;
    refused(grow.await.unwrap(), "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    eventually("it is gone", async || charged(&client).await == 0).await;
    drop(answers);
    house.stop().await;
}

#[tokio::test]
async fn a_hook_that_is_deleted_withdraws_its_questions_and_ends_its_streams() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    let mut answers = hook(&client, "h").await;
    let grow = growing(&client, "m", 1);
    question(&mut answers).await;
    client.delete_grow_hook("h", false).await.unwrap();
    assert_eq!(grow.await.unwrap().unwrap(), 3, "it has no say any more");
    refused(answers.next().await, "HOOK_NOT_FOUND", &named(&"h"));
    let decider = Decider::of(&client, "h");
    let ended = within("a decider ends", decider.run(async |_| Verdict::Allow)).await;
    refused(Err::<(), _>(ended), "HOOK_NOT_FOUND", &named(&"h"));
    house.stop().await;
}

type Sent = mpsc::Sender<AnswerGrowHookRequest>;

/// A stream of the test's own making: how it ends, once everything was said.
async fn stream(client: &Client) -> (Sent, tokio::task::JoinHandle<Result<(), ClientError>>) {
    let (sender, receiver) = mpsc::channel(8);
    let (mut stub, request) =
        (client.hook_service(), client.request(ReceiverStream::new(receiver)));
    let ended = tokio::spawn(async move {
        let mut heard = stub.answer_grow_hook(request).await?.into_inner();
        while heard.message().await?.is_some() {}
        Ok(())
    });
    (sender, ended)
}

#[tokio::test]
async fn a_stream_that_says_what_it_may_not_ends_with_the_field() {
    let house = House::start();
    let client = house.client().await;
    client.create_grow_hook(asked("h")).await.unwrap();
    let first = |id: &str| AnswerGrowHookRequest { hook_id: Some(id.to_owned()), answer: None };
    let answer = |verdict: GrowVerdict| AnswerGrowHookRequest {
        hook_id: None,
        answer: Some(GrowAnswer { question_id: 1, verdict: verdict.into(), reason: String::new() }),
    };
    let nothing = AnswerGrowHookRequest::default();
    let both =
        AnswerGrowHookRequest { hook_id: Some("h".to_owned()), ..answer(GrowVerdict::Allow) };
    for (said, field) in [
        (vec![nothing.clone()], "hook_id"),
        (vec![answer(GrowVerdict::Allow)], "hook_id"),
        (vec![both], "answer"),
        (vec![first("no id")], "hook_id"),
        (vec![first("h"), first("h")], "hook_id"),
        (vec![first("h"), nothing], "answer"),
        (vec![first("h"), answer(GrowVerdict::Unspecified)], "answer.verdict"),
    ] {
        let (sender, ended) = stream(&client).await;
        for message in said {
            sender.send(message).await.unwrap();
        }
        invalid(within("it ends", ended).await.unwrap(), field);
    }
    let (sender, ended) = stream(&client).await;
    sender.send(first("nobody")).await.unwrap();
    refused(within("it ends", ended).await.unwrap(), "HOOK_NOT_FOUND", &named(&"nobody"));
    // A client that has no more to say ends it well, and does not decide any more.
    let (sender, ended) = stream(&client).await;
    sender.send(first("h")).await.unwrap();
    eventually("it decides", async || client.grow_hook("h").await.unwrap().streams == 1).await;
    drop(sender);
    within("it ends", ended).await.unwrap().unwrap();
    assert_eq!(client.grow_hook("h").await.unwrap().streams, 0);
    client.delete_grow_hook("h", false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_deadline_ends_a_stream_of_answers() {
    let house = House::start();
    let client = house.client().await;
    client.create_grow_hook(asked("h")).await.unwrap();
    let wire = crate::grpc::Wire::connect(house.grpc()).await;
    let path = "/linmem.v1.HookService/AnswerGrowHook";
    let mut started = wire.begin_path(path, &[("grpc-timeout", "50m")]).await;
    let first = AnswerGrowHookRequest { hook_id: Some("h".to_owned()), answer: None };
    started.body.send_data(crate::grpc::framed(&first).into(), false).unwrap();
    refused(started.answer().await.outcome(), "DEADLINE_PASSED", &[]);
    client.delete_grow_hook("h", false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn at_a_drain_a_stream_answers_what_it_owes_and_ends() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    let mut answers = hook(&client, "h").await;
    let mut idle = hook(&client, "idle").await;
    let grow = growing(&client, "m", 1);
    question(&mut answers).await;
    question(&mut idle).await;
    idle.answer(1, Verdict::Allow).await;
    eventually("that is heard", async || {
        crate::hooks::events(&house.scrape().await, "pre", "allowed") == 1.0
    })
    .await;
    house.daemon.server.drain().await;
    let ended = within("who owes nothing ends", idle.next()).await;
    refused(ended, "DRAINING", &[]);
    answers.answer(1, Verdict::Allow).await;
    assert_eq!(grow.await.unwrap().unwrap(), 3, "growth in flight is decided");
    let ended = within("it ends", async {
        loop {
            if let Err(ended) = answers.next().await {
                break ended;
            }
        }
    });
    refused(Err::<(), _>(ended.await), "DRAINING", &[]);
    eventually("nothing holds the drain up", async || house.daemon.server.running() == 0).await;
    house.close().await;
}

#[tokio::test]
async fn a_decider_comes_back_until_there_is_a_daemon_and_a_configured_hook_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.sock");
    let endpoint = format!("unix://{}", path.display());
    let mut options = ConnectOptions::new(endpoint.parse().unwrap());
    options.retry.longest_pause = Duration::from_millis(50);
    let client = Client::connect_lazy(&options).unwrap();
    let decider = Decider::of(&client, "cap");
    let deciding = tokio::spawn(async move {
        decider
            .run(async |question| match question.requested_pages {
                0..=2 => Verdict::Allow,
                more => Verdict::Deny(format!("{more} pages")),
            })
            .await
    });
    let house = House::with(|config| {
        config.grpc.unix_socket = Some(path.clone());
        config.hooks = vec![config::Hook { name: "cap".to_owned(), ..Default::default() }];
    });
    let client = connect(&endpoint, None).await;
    eventually("it decides", async || client.grow_hook("cap").await.unwrap().streams == 1).await;
    assert!(client.grow_hook("cap").await.unwrap().configured);
    refused(client.delete_grow_hook("cap", true).await, "PROTECTED", &named(&"cap"));
    client.create(Some("m"), MemorySpec { maximum_pages: Some(9), ..pages(1) }).await.unwrap();
    assert_eq!(client.grow("m", 1).await.unwrap().current_pages, 2);
    denied(client.grow("m", 1).await, "DENIED", "cap");
    deciding.abort();
    eventually("it is gone", async || client.grow_hook("cap").await.unwrap().streams == 0).await;
    denied(client.grow("m", 1).await, "ABSENT", "cap");
    house.stop().await;
}

/// linmemctl, with this house's address.
fn linmemctl(house: &House, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linmemctl"));
    command
        .args(arguments)
        .env("LINMEMCTL_ENDPOINT", format!("http://{}", house.grpc()))
        .env("XDG_CONFIG_HOME", env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test]
async fn a_hook_is_made_listed_answered_and_removed_from_the_command_line() {
    let house = House::start();
    let client = house.client().await;
    let says = |arguments: &[&str]| {
        let output = linmemctl(&house, arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let made = says(&["hook", "create", "cap", "-l", "!free", "--rank", "-2"]);
    assert_eq!(made.trim(), "cap");
    assert!(says(&["hook", "list"]).contains("fail closed"));
    let shown = says(&["hook", "show", "cap", "--json"]);
    assert!(shown.contains("\"rank\": -2") && shown.contains("\"label_selector\": \"!free\""));

    let answering = ["hook", "answer", "cap", "--at-most", "2", "--json"];
    let mut decider = Running(linmemctl(&house, &answering).spawn().unwrap());
    let mut lines = BufReader::new(decider.0.stdout.take().unwrap()).lines();
    eventually("it decides", async || client.grow_hook("cap").await.unwrap().streams == 1).await;
    client.create(Some("m"), MemorySpec { maximum_pages: Some(9), ..pages(2) }).await.unwrap();
    denied(client.grow("m", 1).await, "DENIED", "cap");
    for (verdict, requested) in [("allow", 2), ("deny", 3)] {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(&format!("\"verdict\":\"{verdict}\"")), "{line}");
        assert!(line.contains(&format!("\"requested_pages\":{requested}")), "{line}");
    }
    assert_eq!(says(&["hook", "remove", "cap"]).trim(), "cap");
    let mut code = None;
    eventually("the decider ends with its hook", async || {
        code = decider.0.try_wait().unwrap().and_then(|status| status.code());
        code.is_some()
    })
    .await;
    assert_eq!(code, Some(3), "not found");
    assert_eq!(client.grow("m", 1).await.unwrap().current_pages, 3);
    house.stop().await;
}

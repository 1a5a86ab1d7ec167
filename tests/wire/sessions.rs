//! Claims about OpenSession: groups of a handle happen and answer in order, every tag has one result,
//! what is wrong is said of its tag, and the session ends where its order is not kept.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use linmemd::client::proto::open_session_request::Message as Asked;
use linmemd::client::proto::open_session_response::Message as Word;
use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::operation_result::Result as Answer;
use linmemd::client::proto::session_group::Group;
use linmemd::client::proto::session_result::Outcome;
use linmemd::client::proto::{
    AtomicRmwOperation, CompareOperation, FillOperation, Opcode, OpenSessionRequest,
    OpenSessionResponse, Operation, OperationList, PackedOperations, ReadOperation, SessionAttach,
    SessionDetach, SessionGroup, SessionResult, SessionStart, WriteOperation,
};
use linmemd::client::{Client, ClientError};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;

use crate::contract::refused;
use crate::harness::{House, PAGE, eventually, pages, pattern, within};

/// A session by hand.
pub(crate) struct Raw {
    pub(crate) requests: Option<mpsc::UnboundedSender<OpenSessionRequest>>,
    answers: Streaming<OpenSessionResponse>,
}

impl Raw {
    pub(crate) async fn open(client: &Client) -> Self {
        let (requests, sent) = mpsc::unbounded_channel();
        let request = client.request(UnboundedReceiverStream::new(sent));
        let answers = client.memory_service().open_session(request).await.unwrap().into_inner();
        Self { requests: Some(requests), answers }
    }

    /// Started, with `m` attached as 1.
    pub(crate) async fn attached(client: &Client) -> Self {
        let mut raw = Self::open(client).await;
        raw.say(Asked::Start(SessionStart::default()));
        raw.say(attach(1, 1, "m"));
        assert!(matches!(raw.hear().await, Some(Word::Started(_))));
        let Some(Outcome::Attached(attached)) = raw.result(1).await.outcome else { panic!() };
        assert_eq!(attached.uid, client.memory("m").await.unwrap().uid);
        raw
    }

    pub(crate) fn say(&self, message: Asked) {
        let message = OpenSessionRequest { message: Some(message) };
        self.requests.as_ref().unwrap().send(message).unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Option<Word> {
        let next = within("the session says something", self.answers.message()).await;
        next.unwrap().map(|answer| answer.message.unwrap())
    }

    /// The next result, whatever is noticed meanwhile.
    pub(crate) async fn result(&mut self, tag: u64) -> SessionResult {
        loop {
            match self.hear().await {
                Some(Word::Notice(_)) => {}
                Some(Word::Result(result)) if result.tag == tag => return result,
                other => panic!("the result of {tag} was due, not {other:?}"),
            }
        }
    }

    /// Whether it has something to say at once, which is then lost.
    pub(crate) async fn has_more(&mut self) -> bool {
        let mut next = pin!(self.answers.message());
        poll_fn(|context| Poll::Ready(next.as_mut().poll(context).is_ready())).await
    }

    /// That it ends, and how.
    pub(crate) async fn ended(mut self) -> Result<(), ClientError> {
        loop {
            match within("the session ends", self.answers.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(status) => return Err(status.into()),
            }
        }
    }
}

pub(crate) fn attach(tag: u64, handle: u32, memory_id: &str) -> Asked {
    let memory_id = memory_id.to_owned();
    Asked::Attach(SessionAttach { tag, handle, memory_id, ..Default::default() })
}

pub(crate) fn group(tag: u64, handle: u32, atomic: bool, group: Group) -> Asked {
    Asked::Group(SessionGroup { tag, handle, atomic, group: Some(group), request_id: None })
}

pub(crate) fn single(tag: u64, kind: Kind) -> Asked {
    group(tag, 1, false, Group::Single(Operation { operation: Some(kind) }))
}

pub(crate) fn read(offset: u64, length: u64) -> Kind {
    Kind::Read(ReadOperation { offset, length })
}

pub(crate) fn write(offset: u64, data: &'static [u8]) -> Kind {
    Kind::Write(WriteOperation { offset, data: data.into() })
}

pub(crate) fn data(result: &SessionResult) -> &[u8] {
    match &result.outcome {
        Some(Outcome::Single(single)) => match &single.result {
            Some(Answer::Data(data)) => data,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The failure that a result says.
pub(crate) fn error(result: SessionResult) -> Result<(), ClientError> {
    match result.outcome {
        Some(Outcome::Error(status)) => {
            use prost::Message;
            let details = status.encode_to_vec().into();
            let code = tonic::Code::from_i32(status.code);
            Err(tonic::Status::with_details(code, &status.message, details).into())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn groups_of_a_handle_happen_and_answer_in_order() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(32)).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    let add = AtomicRmwOperation { width: 8, operator: 1, operand: 1, ..Default::default() };
    for tag in 2..2_000 {
        match tag % 100 {
            // Longer than what happens at once: those after it wait.
            0 => raw.say(single(
                tag,
                Kind::Fill(FillOperation { offset: 8, length: 1 << 20, value: 7 }),
            )),
            _ => raw.say(single(tag, Kind::AtomicRmw(add))),
        }
    }
    let mut counted = 0;
    for tag in 2..2_000 {
        let result = raw.result(tag).await;
        if tag % 100 != 0 {
            let Some(Outcome::Single(single)) = result.outcome else { panic!("{result:?}") };
            assert_eq!(single.result, Some(Answer::OldValue(counted)));
            counted += 1;
        }
    }
    raw.say(single(0, read(0, 9)));
    let bytes = raw.result(0).await;
    assert_eq!(data(&bytes), [&counted.to_le_bytes()[..], &[7]].concat());
    raw.requests = None;
    assert!(raw.ended().await.is_ok());
    let page = house.scrape().await;
    let atomics = [("tenant", "default"), ("operation", "atomic")];
    assert_eq!(page.value("linmemd_accesses_total", &atomics), counted as f64);
    house.stop().await;
}

#[tokio::test]
async fn the_forms_of_a_group_answer_as_the_rpc_does_and_alone_each_stands_or_fails() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    client.write("m", 0, pattern(PAGE, 3)).await.unwrap();
    let bytes = client.read("m", 0, PAGE).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    let packed = |address| PackedOperations {
        opcodes: vec![Opcode::Read.into()],
        addresses: vec![8, address, 16],
        lengths: vec![4],
        ..Default::default()
    };
    let list = |second: Kind| {
        let operations = [read(0, 2), second, read(2, 2)].map(Operation::from).to_vec();
        Group::List(OperationList { operations })
    };
    raw.say(group(2, 1, true, Group::Packed(packed(64))));
    let Some(Outcome::Packed(all)) = raw.result(2).await.outcome else { panic!() };
    assert_eq!(all.data, [&bytes[8..12], &bytes[64..68], &bytes[16..20]].concat());
    raw.say(group(3, 1, true, Group::Packed(packed(PAGE))));
    let numbers: &[(&str, &dyn std::fmt::Display)] =
        &[("offset", &PAGE), ("length", &4), ("size_bytes", &PAGE), ("operation_index", &1)];
    refused(error(raw.result(3).await), "OUT_OF_BOUNDS", numbers);
    raw.say(group(4, 1, false, Group::Packed(packed(PAGE))));
    let result = raw.result(4).await;
    let Some(Outcome::Packed(all)) = result.outcome else { panic!("{result:?}") };
    assert_eq!(
        all.data,
        [&bytes[8..12], &[0; 4], &bytes[16..20]].concat(),
        "zeros for what failed"
    );
    assert_eq!(result.failures.len(), 1);
    assert_eq!(
        (result.failures[0].index, result.failures[0].status.as_ref().unwrap().code),
        (1, 11)
    );
    let compare = Kind::Compare(CompareOperation { offset: 0, expected: "no".into() });
    raw.say(group(5, 1, true, list(compare.clone())));
    let numbers: &[(&str, &dyn std::fmt::Display)] =
        &[("offset", &0), ("length", &2), ("operation_index", &1)];
    refused(error(raw.result(5).await), "COMPARE_FAILED", numbers);
    for (tag, second) in [(6, compare), (7, write(PAGE - 1, b"xy"))] {
        raw.say(group(tag, 1, false, list(second)));
        let result = raw.result(tag).await;
        let Some(Outcome::List(list)) = result.outcome else { panic!("{result:?}") };
        let answers: Vec<_> = list.results.into_iter().map(|one| one.result).collect();
        let some = |from: usize| Some(Answer::Data(bytes.slice(from..from + 2)));
        assert_eq!(answers, [some(0), None, some(2)]);
        assert_eq!(result.failures.iter().map(|one| one.index).collect::<Vec<_>>(), [1]);
    }
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_message_is_said_of_its_tag_and_the_session_goes_on() {
    let house = House::start();
    let client = house.client().await;
    for id in ["m", "other"] {
        client.create(Some(id), pages(1)).await.unwrap();
    }
    let mut raw = Raw::attached(&client).await;
    raw.say(attach(2, 1, "other"));
    assert_eq!(reason(raw.result(2).await), "INVALID_FIELD");
    raw.say(attach(3, 2, "nobody"));
    refused(error(raw.result(3).await), "MEMORY_NOT_FOUND", &[("memory_id", &"nobody")]);
    raw.say(group(4, 9, true, Group::Packed(PackedOperations::default())));
    assert_eq!(reason(raw.result(4).await), "INVALID_FIELD");
    let nothing = SessionGroup { tag: 5, handle: 1, ..Default::default() };
    raw.say(Asked::Group(nothing));
    assert_eq!(reason(raw.result(5).await), "INVALID_FIELD");
    let read_only = SessionAttach {
        tag: 6,
        handle: 2,
        memory_id: "other".to_owned(),
        read_only: true,
        ..Default::default()
    };
    raw.say(Asked::Attach(read_only));
    raw.result(6).await;
    let one = |kind: Kind| Group::Single(Operation::from(kind));
    raw.say(group(7, 2, false, one(write(0, b"x"))));
    refused(error(raw.result(7).await), "GRANT_READ_ONLY", &[]);
    raw.say(group(8, 2, false, one(read(0, 1))));
    assert_eq!(data(&raw.result(8).await), [0]);
    raw.say(Asked::Detach(SessionDetach { tag: 9, handle: 2 }));
    assert!(matches!(raw.result(9).await.outcome, Some(Outcome::Done(_))));
    raw.say(Asked::Detach(SessionDetach { tag: 10, handle: 2 }));
    assert_eq!(reason(raw.result(10).await), "INVALID_FIELD");
    // Bound to the memory, not to its name.
    client.delete("m").await.unwrap();
    client.create(Some("m"), pages(1)).await.unwrap();
    raw.say(single(11, read(0, 1)));
    refused(error(raw.result(11).await), "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    // Whatever is asked of it: it has no size any more.
    raw.say(single(14, read(PAGE, 1)));
    refused(error(raw.result(14).await), "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    raw.say(attach(12, 2, "m"));
    raw.say(group(13, 2, false, one(read(0, 1))));
    raw.result(12).await;
    assert_eq!(data(&raw.result(13).await), [0]);
    drop(raw);
    house.stop().await;
}

pub(crate) fn reason(result: SessionResult) -> String {
    match error(result) {
        Err(ClientError::Refused(failure)) => failure.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_out_of_order_end_the_session() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let start = || Asked::Start(SessionStart::default());
    for messages in [vec![attach(1, 1, "m")], vec![start(), start()]] {
        let raw = Raw::open(&client).await;
        messages.into_iter().for_each(|message| raw.say(message));
        assert_eq!(broken(raw.ended().await), "SESSION_PROTOCOL");
    }
    let raw = Raw::open(&client).await;
    raw.requests.as_ref().unwrap().send(OpenSessionRequest::default()).unwrap();
    assert_eq!(broken(raw.ended().await), "SESSION_PROTOCOL");
    let raw = Raw::open(&client).await;
    raw.say(Asked::Start(SessionStart {
        required_capabilities: vec!["flying".to_owned()],
        ..Default::default()
    }));
    assert_eq!(broken(raw.ended().await), "CAPABILITY_UNAVAILABLE");
    house.stop().await;
}

fn broken(outcome: Result<(), ClientError>) -> String {
    match outcome {
        Err(ClientError::Refused(failure)) => failure.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn results_past_the_limit_hold_reading_up_and_all_come_in_the_end() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(64)).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    // 600 MiB of results in all, of 2 MiB each: far past every window and limit.
    let length = 2 << 20;
    for tag in 2..302 {
        raw.say(single(tag, read(0, length)));
    }
    for tag in 2..302 {
        assert_eq!(data(&raw.result(tag).await).len() as u64, length);
    }
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn a_session_that_is_dropped_calls_its_groups_off_and_gives_everything_back() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(64)).await.unwrap();
    let raw = Raw::attached(&client).await;
    for tag in 2..500 {
        raw.say(single(tag, Kind::Fill(FillOperation { offset: 0, length: 4 << 20, value: 1 })));
    }
    drop(raw);
    eventually("no call runs", async || house.daemon.server.running() == 0).await;
    client.write("m", 0, "free").await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_drain_tells_the_session_what_was_accepted_and_answers_it() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    raw.say(single(77, read(0, 1)));
    raw.result(77).await;
    house.daemon.server.drain().await;
    let Some(Word::GoAway(go_away)) = raw.hear().await else { panic!() };
    assert_eq!((go_away.last_accepted_tag, go_away.drain), (Some(77), true));
    assert!(raw.ended().await.is_ok());
}

#[tokio::test]
async fn the_typed_session_is_shared_by_many_and_each_gets_its_own() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(4)).await.unwrap();
    client.write("m", 0, pattern(4 * PAGE, 9)).await.unwrap();
    let bytes = client.read("m", 0, 4 * PAGE).await.unwrap();
    let session = client.session(|_| {}).await.unwrap();
    let memory = session.attach("m").await.unwrap();
    assert_eq!(memory.size_pages, 4);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32_usize {
        let (memory, bytes) = (memory.clone(), bytes.clone());
        tasks.spawn(async move {
            for turn in 0..50_usize {
                let at = (task * 7919 + turn * 613) % 200_000;
                let operation = Operation::from(read(at as u64, 64));
                let result = memory.execute_one(operation).await.unwrap().result;
                assert_eq!(result, Some(Answer::Data(bytes.slice(at..at + 64))));
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let past = memory.execute_one(Operation::from(read(4 * PAGE, 1))).await;
    let numbers: &[(&str, &dyn std::fmt::Display)] =
        &[("offset", &(4 * PAGE)), ("length", &1), ("size_bytes", &(4 * PAGE))];
    refused(past, "OUT_OF_BOUNDS", numbers);
    memory.detach().await.unwrap();
    drop(session);
    house.stop().await;
}

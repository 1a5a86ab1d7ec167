//! Claims about deadlines: DEADLINE_PASSED means that nothing happened, plain DEADLINE_EXCEEDED that
//! the work runs to its end, and a deadline ends a stream whatever its peer does.

use std::time::{Duration, Instant};

use linmemd::client::proto::{
    DownloadMemoryRequest, FillMemoryRequest, GetMemoryRequest, MemoryView, ReloadRequest,
    UploadMemoryRequest,
};
use linmemd::client::{Client, ClientError};
use linmemd::config::{self, FlagLayer};
use linmemd::os::kernel::{Advice, Call};
use linmemd::token::Token;
use tokio::sync::mpsc;
use tonic::Code;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use crate::authorization::{client_of, identities};
use crate::contract::refused;
use crate::grpc::{Wire, framed};
use crate::harness::{House, PAGE, Witness, eventually, pages};
use crate::reloads::Reloading;

const SOON: (&str, &str) = ("grpc-timeout", "50m");

/// Describes in full, which reads while it looks at the host's pages.
async fn observe(client: Client) -> Result<(), ClientError> {
    let view = MemoryView::Full.into();
    let get = GetMemoryRequest { memory_id: "m".to_owned(), view, ..Default::default() };
    client.get_memory(get).await.map(drop)
}

fn fill(value: u32) -> Vec<u8> {
    let memory_id = "m".to_owned();
    framed(&FillMemoryRequest { memory_id, length: 2 * PAGE, value, ..Default::default() })
}

#[tokio::test]
async fn a_call_that_still_queues_at_its_deadline_has_done_nothing_and_never_will() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let wire = Wire::connect(house.grpc()).await;
    let pause = house.kernel.pause_at(Call::Residency);
    let reader = tokio::spawn(observe(client.clone()));
    pause.reached(1).await;
    // A long fill queues behind the reader, and everything else behind the fill.
    let behind = |method, body| wire.call(method, &[SOON], body);
    refused(behind("FillMemory", fill(1)).await.outcome(), "DEADLINE_PASSED", &[]);
    let delete = linmemd::client::proto::DeleteMemoryRequest {
        memory_id: "m".to_owned(),
        ..Default::default()
    };
    refused(behind("DeleteMemory", framed(&delete)).await.outcome(), "DEADLINE_PASSED", &[]);
    drop(pause);
    reader.await.unwrap().unwrap();
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_write_behind_a_long_fill_passes_its_deadline_and_the_fill_goes_on() {
    let house = House::with(|config| config.pool.slice_bytes = 64 << 10);
    let client = house.client().await;
    client.create(Some("m"), pages(1024)).await.unwrap();
    let wire = Wire::connect(house.grpc()).await;
    let memory_id = "m".to_owned();
    let write = framed(&linmemd::client::proto::WriteMemoryRequest {
        memory_id,
        data: "late".into(),
        ..Default::default()
    });
    let filling = {
        let client = client.clone();
        tokio::spawn(async move { client.fill("m", 0, 1024 * PAGE, 1).await })
    };
    eventually("a write had to queue for too long", async || {
        assert!(!filling.is_finished(), "the fill was over before any write queued");
        let answer = wire.call("WriteMemory", &[("grpc-timeout", "2m")], write.clone()).await;
        match answer.outcome() {
            Ok(_) => false,
            late => {
                refused(late, "DEADLINE_PASSED", &[]);
                true
            }
        }
    })
    .await;
    filling.await.unwrap().unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_growth_or_create_cut_before_its_size_is_published_gives_everything_back() {
    let house = House::dedicated();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let hurried = client.with_deadline(Some(Duration::from_millis(50)));
    let wire = Wire::connect(house.grpc()).await;
    for (call, method) in [(Call::Protect, "GrowMemory"), (Call::MapReserved, "CreateMemory")] {
        let pause = house.kernel.pause_at(call);
        let body = match method {
            "GrowMemory" => framed(&linmemd::client::proto::GrowMemoryRequest {
                memory_id: "m".to_owned(),
                delta_pages: 1,
                ..Default::default()
            }),
            _ => framed(&linmemd::client::proto::CreateMemoryRequest {
                memory_id: Some("n".to_owned()),
                spec: Some(pages(1)),
                ..Default::default()
            }),
        };
        let mut started = wire.begin(method, &[SOON]).await;
        started.body.send_data(body.into(), true).unwrap();
        let answer = tokio::spawn(started.answer());
        pause.reached(1).await;
        wire.let_pass(Duration::from_millis(60)).await;
        // The answer comes when everything was given back, not before.
        assert!(!answer.is_finished());
        drop(pause);
        refused(answer.await.unwrap().outcome(), "DEADLINE_PASSED", &[]);
        assert_eq!(hurried.memory("m").await.unwrap().size_pages, 1);
        refused(client.memory("n").await, "MEMORY_NOT_FOUND", &[("memory_id", &"n")]);
        eventually("the charge is back", async || {
            let quotas = client.server_info().await.unwrap().quotas;
            quotas.iter().any(|one| one.resource == "committed_bytes" && one.used == PAGE)
        })
        .await;
    }
    assert_eq!(client.grow("m", 1).await.unwrap().previous_pages, 1);
    house.stop().await;
}

#[tokio::test]
async fn a_deadline_after_the_first_effect_is_plain_and_the_work_runs_to_its_end() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    client.fill("m", 0, 2 * PAGE, 1).await.unwrap();
    let wire = Wire::connect(house.grpc()).await;
    let pause = house.kernel.pause_at(Call::Advise(Advice::DontNeed));
    let delete = linmemd::client::proto::DeleteMemoryRequest {
        memory_id: "m".to_owned(),
        ..Default::default()
    };
    let started = Instant::now();
    let answer = wire.call("DeleteMemory", &[SOON], framed(&delete)).await;
    assert!(started.elapsed() < Duration::from_secs(5), "answered at the deadline");
    let status = answer.status.unwrap();
    assert_eq!((status.code(), status.details().len()), (Code::DeadlineExceeded, 0));
    refused(client.memory("m").await, "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    drop(pause);
    house.stop().await;
}

#[tokio::test]
async fn a_reload_that_waits_keeps_its_deadline_and_has_changed_nothing() {
    let it = Reloading::with(identities).await;
    let operator = client_of(&it.house, "operator").await;
    let hash = async || operator.host().await.unwrap().config_hash;
    let before = hash().await;
    // Whoever carries reloads out has not read the file yet.
    let (free, is_held) = std::sync::mpsc::channel::<()>();
    let path = it.path();
    it.house.daemon.reload_from(Box::new(move || {
        let _free = is_held.recv();
        let loaded = config::load(Some(&path), [], &FlagLayer::default());
        loaded.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }));
    it.write(|config| config.log.filter = "warn".to_owned());
    let wire = Wire::connect(it.house.grpc()).await;
    let bearer = format!("Bearer {}", Token::new([6; 32]).reveal());
    for validate_only in [true, false] {
        let headers = [SOON, ("authorization", bearer.as_str())];
        let mut started = wire.begin_path("/linmem.v1.AdminService/Reload", &headers).await;
        let request = ReloadRequest { validate_only };
        started.body.send_data(framed(&request).into(), true).unwrap();
        refused(started.answer().await.outcome(), "DEADLINE_PASSED", &[]);
    }
    drop(free);
    // It comes after those before it.
    let answer = operator.reload(true).await.unwrap();
    assert_eq!(answer.changes.len(), 1, "{answer:?}");
    assert_eq!(hash().await, before);
}

#[tokio::test]
async fn an_upload_ends_at_its_deadline_between_messages_and_says_what_stands() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let hurried = client.with_deadline(Some(Duration::from_millis(300)));
    let (messages, receiver) = mpsc::channel(4);
    let memory_id = Some("m".to_owned());
    let first = UploadMemoryRequest { memory_id, data: "stands".into(), ..Default::default() };
    messages.send(first.clone()).await.unwrap();
    // Over a wire whose client keeps no time of its own: the server's answer is the claim.
    let wire = Wire::connect(house.grpc()).await;
    let mut started = wire.begin("UploadMemory", &[SOON]).await;
    started.body.send_data(framed(&first).into(), false).unwrap();
    refused(started.answer().await.outcome(), "DEADLINE_PASSED", &[("bytes_written", &6)]);
    assert_eq!(client.read("m", 0, 6).await.unwrap(), "stands");
    let request = hurried.request(ReceiverStream::new(receiver));
    let late = hurried.memory_service().upload_memory(request).await;
    assert!(late.is_err());
    house.stop().await;
}

#[tokio::test]
async fn a_download_ends_at_its_deadline_between_messages() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1024)).await.unwrap();
    let wire = Wire::connect(house.grpc()).await;
    let memory_id = "m".to_owned();
    let body = framed(&DownloadMemoryRequest { memory_id, ..Default::default() });
    // Read, but slowly: a window at a time, the next one only past the deadline.
    let mut started = wire.begin("DownloadMemory", &[("grpc-timeout", "30m")]).await;
    started.body.send_data(body.into(), true).unwrap();
    let begun = Instant::now();
    let mut stream = started.response.await.unwrap().into_body();
    let mut received = 0;
    let status = loop {
        match stream.data().await {
            Some(Ok(data)) => {
                received += data.len();
                eventually("the deadline is near", async || {
                    begun.elapsed() > Duration::from_millis(35)
                })
                .await;
                stream.flow_control().release_capacity(data.len()).unwrap();
            }
            Some(Err(reset)) => panic!("{reset}"),
            None => {
                break tonic::Status::from_header_map(&stream.trailers().await.unwrap().unwrap());
            }
        }
    };
    refused(Err::<(), _>(status.unwrap()), "DEADLINE_PASSED", &[]);
    assert!(received < 1024 * 65_536, "it ended before its end");
    house.stop().await;
}

#[tokio::test]
async fn a_deadline_ends_a_download_whose_reader_takes_nothing() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1024)).await.unwrap();
    let wire = Wire::connect(house.grpc()).await;
    let memory_id = "m".to_owned();
    let body = framed(&DownloadMemoryRequest { memory_id, ..Default::default() });
    let mut started = wire.begin("DownloadMemory", &[("grpc-timeout", "100m")]).await;
    started.body.send_data(body.clone().into(), true).unwrap();
    let kept = started.response.await.unwrap().into_body();
    // Without a deadline it stays: nothing but the deadline ends such a stream.
    let mut patient = wire.begin("DownloadMemory", &[]).await;
    patient.body.send_data(body.into(), true).unwrap();
    let patient = patient.response.await.unwrap().into_body();
    eventually("the stream with the deadline ended", async || house.daemon.server.running() == 1)
        .await;
    let calls = house.scrape().await;
    let open = [("method", "linmem.v1.MemoryService/DownloadMemory")];
    assert_eq!(calls.value("linmemd_streams_open", &open), 1.0);
    client.read("m", 0, 1).await.unwrap();
    drop((kept, patient));
    wire.connection.abort();
    house.stop().await;
}

#[tokio::test]
async fn a_deadline_ends_a_unary_reply_that_nobody_takes() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(63)).await.unwrap();
    let wire = Wire::connect(house.grpc()).await;
    let body = framed(&linmemd::client::proto::ReadMemoryRequest {
        memory_id: "m".to_owned(),
        length: 63 * PAGE,
        ..Default::default()
    });
    let mut started = wire.begin("ReadMemory", &[("grpc-timeout", "500m")]).await;
    started.body.send_data(body.into(), true).unwrap();
    let kept = started.response.await.unwrap().into_body();
    eventually("the reply was given up", async || house.daemon.server.running() == 0).await;
    eventually("its bytes are back", async || house.daemon.server.in_flight_bytes() == 0).await;
    drop(kept);
    house.stop().await;
}

//! Claims about what one call, one tenant and all together may hold: refused from the header, before
//! a byte is kept; OVERLOADED with a time to come back; and given back afterwards.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use linmemd::client::ClientError;
use linmemd::client::proto::execute_operations_request::Group;
use linmemd::client::proto::{
    CreateMemorySetRequest, ExecuteOperationsRequest, GetMemoryRequest, MemoryView, NewMember,
    Operation, OperationList, ReadMemoryRequest, UploadMemoryRequest, WriteMemoryRequest,
};
use linmemd::os::kernel::Call;

use crate::contract::refused;
use crate::grpc::{Wire, framed, header};
use crate::harness::{House, PAGE, Witness, eventually, pages, tenant};

#[tokio::test]
async fn a_message_of_two_bytes_for_each_of_millions_is_refused_before_it_unfolds() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let wire = Wire::connect(house.grpc()).await;
    let limit = 8 << 20;
    let numbers: [(&str, &dyn Display); 3] =
        [("field", &"message"), ("limit_name", &"max_unfolded_bytes"), ("limit", &limit)];
    let operations = vec![Operation::default(); 2_000_000];
    let group = Some(Group::List(OperationList { operations }));
    let group = ExecuteOperationsRequest { memory_id: "m".to_owned(), group, ..Default::default() };
    let members = vec![NewMember::default(); 2_000_000];
    let set = CreateMemorySetRequest { members, ..Default::default() };
    for (method, body) in [("ExecuteOperations", framed(&group)), ("CreateMemorySet", framed(&set))]
    {
        let refusal = match wire.call(method, &[], body).await.outcome() {
            Err(ClientError::Refused(mut failure)) => {
                let length: u64 = failure.metadata.remove("length").unwrap().parse().unwrap();
                assert!(length > limit && length < limit * 2, "{method} counted {length}");
                Err::<(), _>(ClientError::Refused(failure))
            }
            other => panic!("{method}: {other:?}"),
        };
        refused(refusal, "TOO_LARGE", &numbers);
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_unary_write_of_100_mb_is_refused_from_its_header_without_a_byte_of_it() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let wire = Wire::connect(house.grpc()).await;
    let length = 100_000_000;
    let limit = 63 * PAGE + 65_536;
    let numbers: [(&str, &dyn Display); 4] = [
        ("field", &"message"),
        ("length", &length),
        ("limit_name", &"max_write_bytes"),
        ("limit", &limit),
    ];
    // Five bytes of header are all that is ever sent.
    let mut started = wire.begin("WriteMemory", &[]).await;
    let bytes = Bytes::copy_from_slice(&header(0, length));
    started.body.send_data(bytes, false).unwrap();
    refused(started.answer().await.outcome(), "TOO_LARGE", &numbers);
    // A stock client that sends all of it gets the same answer.
    let whole = client.write("m", 0, vec![1; 100_000_000]).await;
    let failure = whole.unwrap_err().failure().cloned().expect("an answer, not a broken stream");
    assert_eq!(failure.reason, "TOO_LARGE");
    assert!(failure.message.contains("UploadMemory"), "{failure}");
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn reads_writes_chunks_and_plain_messages_over_their_limit_are_too_large() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let limit = 63 * PAGE;
    let too_large = |field: &'static str, name: &'static str, length: u64| {
        move |more: Option<(&'static str, u64)>| {
            let mut numbers: Vec<(&str, Box<dyn Display>)> = vec![
                ("field", Box::new(field)),
                ("length", Box::new(length)),
                ("limit_name", Box::new(name)),
                ("limit", Box::new(limit)),
            ];
            numbers.extend(more.map(|(key, value)| (key, Box::new(value) as Box<dyn Display>)));
            numbers
        }
    };
    let check = |outcome, numbers: Vec<(&str, Box<dyn Display>)>| {
        let numbers: Vec<(&str, &dyn Display)> =
            numbers.iter().map(|(key, value)| (*key, &**value)).collect();
        refused(outcome, "TOO_LARGE", &numbers);
    };
    for length in [limit + 1, u64::MAX] {
        let outcome = client.read("m", 0, length).await.map(drop);
        check(outcome, too_large("length", "max_read_bytes", length)(None));
    }
    let data = Bytes::from(vec![0; usize::try_from(limit + 1).unwrap()]);
    let outcome = client.write("m", 0, data.clone()).await;
    check(outcome, too_large("data", "max_write_bytes", limit + 1)(None));
    let memory_id = Some("m".to_owned());
    let first = UploadMemoryRequest { memory_id, data, ..Default::default() };
    let request = client.request(tonic::codegen::tokio_stream::iter([first]));
    let outcome = client.memory_service().upload_memory(request).await;
    let outcome = outcome.map(drop).map_err(Into::into);
    check(outcome, too_large("data", "max_chunk_bytes", limit + 1)(Some(("bytes_written", 0))));
    let long = "x".repeat(300_000);
    let failure = client.memory(&long).await.unwrap_err().failure().cloned().unwrap();
    assert_eq!((failure.reason.as_str(), failure.number("limit")), ("TOO_LARGE", Some(262_144)));
    witness.is_unharmed().await;
    client.create(Some("long"), pages(63)).await.unwrap();
    client.write("long", 0, vec![1; 63 * 65_536]).await.unwrap();
    assert_eq!(client.read("long", 0, limit).await.unwrap().len(), 63 * 65_536);
    house.stop().await;
}

#[tokio::test]
async fn bytes_in_flight_are_charged_from_the_header_refused_over_the_limit_and_given_back() {
    for (all, of_tenant, named) in
        [(64 << 20, 4 << 20, "tenant_in_flight_bytes"), (4 << 20, 64 << 20, "in_flight_bytes")]
    {
        let house = House::with(|config| {
            config.grpc.in_flight_bytes = all;
            config.grpc.in_flight_bytes_per_tenant = of_tenant;
            config.tenants = vec![tenant("default", None), tenant("red", None)];
        });
        let client = house.client().await;
        let witness = Witness::of(&client, "m").await;
        let wire = Wire::connect(house.grpc()).await;
        let mut announced = wire.begin("WriteMemory", &[]).await;
        let bytes = Bytes::copy_from_slice(&header(0, 3 << 20));
        announced.body.send_data(bytes.clone(), false).unwrap();
        eventually("the header was charged", async || {
            house.daemon.server.in_flight_bytes() == 3 << 20
        })
        .await;
        let mut numbers: Vec<(&str, &dyn Display)> =
            vec![("limit_name", &named), ("limit", &(4 << 20))];
        // What others use of what all have is not told.
        if named == "tenant_in_flight_bytes" {
            numbers.push(("used", &(3 << 20)));
        }
        let mut second = wire.begin("WriteMemory", &[]).await;
        second.body.send_data(bytes.clone(), false).unwrap();
        refused(second.answer().await.outcome(), "OVERLOADED", &numbers);
        // Reply bytes count against the same budgets.
        let read = client.read("m", 0, 2 * PAGE).await;
        assert!(read.is_ok());
        client.create(Some("long"), pages(32)).await.unwrap();
        let read = client.read("long", 0, 32 * PAGE).await;
        let failure = read.unwrap_err().failure().cloned().unwrap();
        assert_eq!(failure.reason, "OVERLOADED");
        assert_eq!(failure.metadata.get("limit_name").map(String::as_str), Some(named));
        // Another tenant has its own part, of what all have.
        let mut of_red = wire.begin("WriteMemory", &[("linmem-tenant", "red")]).await;
        of_red.body.send_data(bytes, false).unwrap();
        if named == "in_flight_bytes" {
            refused(of_red.answer().await.outcome(), "OVERLOADED", &numbers);
        } else {
            eventually("another tenant's header was charged", async || {
                house.daemon.server.in_flight_bytes() == 6 << 20
            })
            .await;
            of_red.body.send_reset(h2::Reason::CANCEL);
        }
        announced.body.send_reset(h2::Reason::CANCEL);
        eventually("all came back", async || house.daemon.server.in_flight_bytes() == 0).await;
        client.read("long", 0, 32 * PAGE).await.unwrap();
        witness.is_unharmed().await;
        house.stop().await;
    }
}

#[tokio::test]
async fn a_tenants_running_calls_are_capped_and_anothers_are_not_in_the_way() {
    let house = House::with(|config| {
        config.grpc.handlers_per_tenant = 2;
        config.tenants = vec![tenant("default", None), tenant("red", None)];
    });
    let (client, red) = (house.client().await, house.client_of("red").await);
    let witness = Witness::of(&client, "m").await;
    let wire = Wire::connect(house.grpc()).await;
    // Two calls that never send their message.
    let held = [wire.begin("ReadMemory", &[]).await, wire.begin("UploadMemory", &[]).await];
    eventually("both run", async || house.daemon.server.running() == 2).await;
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &"tenant_handlers"), ("limit", &2), ("used", &2)];
    refused(client.read("m", 0, 1).await, "OVERLOADED", &numbers);
    red.create(Some("m"), pages(1)).await.unwrap();
    for mut call in held {
        call.body.send_reset(h2::Reason::CANCEL);
    }
    eventually("their places are free", async || house.daemon.server.running() == 0).await;
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn growths_queue_up_to_the_limit_and_no_further_and_each_happens_once() {
    let house = House::with(|config| {
        config.memory.slabs = false;
        config.memory.max_queued_grows = 3;
    });
    let client = house.client().await;
    client.create(Some("m"), pages(8)).await.unwrap();
    let pause = house.kernel.pause_at(Call::Protect);
    let grow = || {
        let client = client.clone();
        tokio::spawn(async move { client.grow("m", 1).await })
    };
    let mut growths = vec![grow()];
    pause.reached(1).await;
    growths.extend([grow(), grow(), grow()]);
    eventually("all run", async || house.daemon.server.running() == 4).await;
    let numbers: [(&str, &dyn Display); 2] = [("limit_name", &"max_queued_grows"), ("limit", &3)];
    eventually("the queue is full", async || {
        let hurried = client.with_deadline(Some(Duration::from_millis(100)));
        match hurried.grow("m", 1).await {
            Err(error) if error.failure().is_some_and(|one| one.reason == "OVERLOADED") => true,
            other => panic!("{other:?}"),
        }
    })
    .await;
    refused(client.grow("m", 1).await, "OVERLOADED", &numbers);
    client.read("m", 0, 1).await.unwrap();
    drop(pause);
    let mut previous = Vec::new();
    for growth in growths {
        previous.push(growth.await.unwrap().unwrap().previous_pages);
    }
    previous.sort_unstable();
    assert_eq!(previous, [8, 9, 10, 11]);
    house.stop().await;
}

#[tokio::test]
async fn many_small_frames_make_one_message_and_cut_nobody_off() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    let wire = Wire::connect(house.grpc()).await;
    // Fewer than h2 lets wait unread (25,600): none of it depends on how fast they are read.
    let data = Bytes::from(vec![9; 20_000]);
    let memory_id = "m".to_owned();
    let body = framed(&WriteMemoryRequest { memory_id, data, ..Default::default() });
    let mut started = wire.begin("WriteMemory", &[]).await;
    for byte in body {
        started.body.send_data(Bytes::copy_from_slice(&[byte]), false).unwrap();
    }
    started.body.send_data(Bytes::new(), true).unwrap();
    started.answer().await.outcome().unwrap();
    assert!(client.read("m", 0, 20_000).await.unwrap().iter().all(|byte| *byte == 9));
    house.stop().await;
}

#[tokio::test]
async fn replies_that_nobody_takes_stay_within_the_budget_and_come_back_with_the_connection() {
    let house = House::with(|config| config.grpc.in_flight_bytes_per_tenant = 8 << 20);
    let client = house.client().await;
    client.create(Some("m"), pages(32)).await.unwrap();
    let wire = Wire::connect(house.grpc()).await;
    let memory_id = "m".to_owned();
    let read = framed(&ReadMemoryRequest { memory_id, length: 32 * PAGE, ..Default::default() });
    let mut kept = Vec::new();
    for _ in 0..8 {
        let mut started = wire.begin("ReadMemory", &[]).await;
        started.body.send_data(read.clone().into(), true).unwrap();
        kept.push(started.response.await.unwrap());
    }
    assert!(house.daemon.server.in_flight_bytes() <= 8 << 20);
    let full = GetMemoryRequest {
        memory_id: "m".to_owned(),
        view: MemoryView::Full.into(),
        ..Default::default()
    };
    client.get_memory(full).await.unwrap();
    drop(kept);
    wire.connection.abort();
    eventually("all came back", async || house.daemon.server.in_flight_bytes() == 0).await;
    house.stop().await;
}

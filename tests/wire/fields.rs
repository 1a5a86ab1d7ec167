//! Claims about requests that are wrong by themselves: names, uids, enums, messages and headers.

use linmemd::client::proto::{
    CreateGrowHookRequest, CreateMemoryRequest, DownloadMemoryRequest, GetMemoryRequest,
    MemorySpec, OpenViewRequest, ReadMemoryRequest, ReadMemoryResponse, UploadMemoryRequest,
    WaitOnAddressRequest, WriteMemoryRequest,
};
use linmemd::client::{Client, ClientError, Upload};
use prost::Message;
use tonic::Code;
use tonic::codegen::tokio_stream;

use crate::contract::{invalid, refused};
use crate::grpc::{Wire, framed, header, prefixed};
use crate::harness::{House, PAGE, Witness, pages};

#[tokio::test]
async fn a_name_that_is_none_is_an_invalid_field_everywhere() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let long = "a".repeat(129);
    for id in ["", "-a", ".a", "a b", "a/b", "ä", "a\n", "a\0", long.as_str()] {
        invalid(client.create(Some(id), pages(1)).await, "memory_id");
        invalid(client.memory(id).await, "memory_id");
        invalid(client.read(id, 0, 1).await, "memory_id");
        invalid(client.write(id, 0, "x").await, "memory_id");
        invalid(client.fill(id, 0, 1, 1).await, "memory_id");
        invalid(client.discard(id, 0, 1).await, "memory_id");
        invalid(client.grow(id, 1).await, "memory_id");
        invalid(client.delete(id).await, "memory_id");
    }
    for id in ["a", "0", "A.b_c:d-e", &"a".repeat(128)] {
        client.create(Some(id), pages(1)).await.unwrap();
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_uid_that_is_no_uuid_and_a_view_that_is_none_are_invalid_fields() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    for uid in ["", "x", "00000000-0000-0000-0000-00000000000g"] {
        let uid = Some(uid.to_owned());
        let get = GetMemoryRequest { memory_id: "m".to_owned(), uid: uid.clone(), view: 0 };
        invalid(client.get_memory(get).await, "uid");
        let read = ReadMemoryRequest { memory_id: "m".to_owned(), uid, ..Default::default() };
        invalid(client.read_memory(read).await, "uid");
    }
    let get = GetMemoryRequest { memory_id: "m".to_owned(), uid: None, view: 3 };
    invalid(client.get_memory(get).await, "view");
    let fill = linmemd::client::proto::FillMemoryRequest {
        memory_id: "m".to_owned(),
        length: 1,
        value: 256,
        ..Default::default()
    };
    invalid(client.fill_memory(fill).await, "value");
    for chunk_bytes in [0, PAGE - 1, 63 * PAGE + 1, u64::MAX] {
        let request = DownloadMemoryRequest {
            memory_id: "m".to_owned(),
            chunk_bytes: Some(chunk_bytes),
            ..Default::default()
        };
        invalid(client.download(request).await.map(drop), "chunk_bytes");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_message_that_is_not_whole_or_not_protobuf_or_not_alone_is_an_invalid_field() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let wire = Wire::connect(house.grpc()).await;
    let read = ReadMemoryRequest { memory_id: "m".to_owned(), length: 4, ..Default::default() };
    let whole = framed(&read);
    let torn = &whole[..whole.len() - 1];
    for body in [
        Vec::new(),
        vec![0, 0, 0],
        torn.to_vec(),
        header(0, 100).to_vec(),
        prefixed(0, &[0xFF; 20]),
        prefixed(0, &[0x0A, 0x05, b'm']),
        prefixed(0, &[0x0A, 0x01, 0xFF]),
        [whole.clone(), whole.clone()].concat(),
        [whole.as_slice(), &[0]].concat(),
    ] {
        invalid(wire.call("ReadMemory", &[], body).await.outcome(), "message");
    }
    for padding in [0, 1, 7] {
        let mut started = wire.begin("ReadMemory", &[]).await;
        for byte in &whole {
            let piece = bytes::Bytes::copy_from_slice(&[*byte]);
            started.body.send_data(piece, false).unwrap();
            if padding > 0 {
                started.body.send_data(bytes::Bytes::new(), false).unwrap();
            }
        }
        started.body.send_data(bytes::Bytes::new(), true).unwrap();
        let body = started.answer().await.outcome().unwrap();
        assert_eq!(ReadMemoryResponse::decode(&body[5..]).unwrap().data.len(), 4);
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_compressed_message_is_refused_as_a_capability() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let wire = Wire::connect(house.grpc()).await;
    let write = WriteMemoryRequest { memory_id: "m".to_owned(), ..Default::default() };
    let body = prefixed(1, &write.encode_to_vec());
    let outcome = wire.call("WriteMemory", &[("grpc-encoding", "gzip")], body.clone()).await;
    let numbers: [(&str, &dyn std::fmt::Display); 2] =
        [("field", &"grpc-encoding"), ("value", &"compressed")];
    refused(outcome.outcome(), "CAPABILITY_UNAVAILABLE", &numbers);
    let upload = wire.call("UploadMemory", &[], body).await;
    let numbers = [numbers[0], numbers[1], ("bytes_written", &0)];
    refused(upload.outcome(), "CAPABILITY_UNAVAILABLE", &numbers);
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_timeout_that_is_not_grpcs_is_an_invalid_field() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let wire = Wire::connect(house.grpc()).await;
    let body =
        framed(&ReadMemoryRequest { memory_id: "m".into(), length: 1, ..Default::default() });
    for timeout in ["", "1", "S", "-1S", "1.5S", "1s", "123456789S"] {
        let outcome = wire.call("ReadMemory", &[("grpc-timeout", timeout)], body.clone()).await;
        invalid(outcome.outcome(), "grpc-timeout");
    }
    for timeout in ["99999999H", "1M", "10S", "60000m"] {
        let outcome = wire.call("ReadMemory", &[("grpc-timeout", timeout)], body.clone()).await;
        outcome.outcome().unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn an_rpc_that_is_none_is_unimplemented_and_what_is_no_grpc_is_415() {
    let house = House::start();
    let wire = Wire::connect(house.grpc()).await;
    for path in ["/linmem.v1.MemoryService/MoveMemory", "/", "/x", "/a.B/C/D"] {
        let mut started = wire.begin_path(path, &[]).await;
        started.body.send_data(bytes::Bytes::new(), true).unwrap();
        let status = started.answer().await.status.unwrap();
        assert_eq!((status.code(), status.details().len()), (Code::Unimplemented, 0), "{path}");
    }
    for content_type in ["text/plain", "application/json", "application/grpc-web"] {
        let answer = wire.call("GetMemory", &[("content-type", content_type)], "").await;
        assert_eq!(answer.http, 415, "{content_type}");
    }
    let unknown = [("method", "_unknown"), ("code", "UNIMPLEMENTED")];
    let page = house.scrape().await;
    assert_eq!(page.value("linmemd_rpc_requests_total", &unknown), 4.0);
    house.stop().await;
}

async fn upload(client: &Client, messages: Vec<UploadMemoryRequest>) -> Result<u64, ClientError> {
    let request = client.request(tokio_stream::iter(messages));
    Ok(client.memory_service().upload_memory(request).await?.into_inner().bytes_written)
}

#[tokio::test]
async fn an_upload_whose_messages_contradict_each_other_is_refused_and_what_was_written_stands() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let data = |text: &'static str| UploadMemoryRequest {
        data: text.as_bytes().into(),
        ..Default::default()
    };
    let first = |text| UploadMemoryRequest { memory_id: Some("m".to_owned()), ..data(text) };
    let checked = |text| UploadMemoryRequest { crc32c: Some(1), ..data(text) };
    let cases: Vec<(&str, u64, Vec<UploadMemoryRequest>)> = vec![
        ("message", 0, vec![]),
        ("memory_id", 0, vec![data("abc")]),
        ("memory_id", 3, vec![first("abc"), first("def")]),
        ("offset", 3, vec![first("abc"), UploadMemoryRequest { offset: Some(3), ..data("d") }]),
        ("length", 3, vec![first("abc"), UploadMemoryRequest { length: Some(9), ..data("d") }]),
        ("uid", 3, vec![first("abc"), UploadMemoryRequest { uid: Some("u".into()), ..data("d") }]),
        ("crc32c", 4, vec![first("abc"), checked("d"), data("e")]),
        ("length", 3, vec![UploadMemoryRequest { length: Some(9), ..first("abc") }]),
        ("data", 3, vec![UploadMemoryRequest { length: Some(4), ..first("abc") }, data("de")]),
    ];
    for (field, written, messages) in cases {
        let numbers: [(&str, &dyn std::fmt::Display); 2] =
            [("field", &field), ("bytes_written", &written)];
        let what = format!("{messages:?}");
        let outcome = upload(&client, messages).await;
        assert!(outcome.is_err(), "{what}");
        refused(outcome, "INVALID_FIELD", &numbers);
    }
    assert_eq!(client.read("m", 0, 5).await.unwrap(), "abcd\0");
    house.stop().await;
}

#[tokio::test]
async fn a_checksum_that_differs_is_told_and_the_bytes_stand() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let wrong = UploadMemoryRequest {
        memory_id: Some("m".to_owned()),
        data: "stands".into(),
        crc32c: Some(1),
        ..Default::default()
    };
    let found = crc32c::crc32c(b"stands");
    let numbers: [(&str, &dyn std::fmt::Display); 2] = [("crc32c", &found), ("bytes_written", &6)];
    refused(upload(&client, vec![wrong]).await, "CHECKSUM_MISMATCH", &numbers);
    assert_eq!(client.read("m", 0, 6).await.unwrap(), "stands");
    let uploaded = client.upload_chunks(Upload::to("m"), ["right".into()], |_| ()).await.unwrap();
    assert_eq!(uploaded.crc32c, crc32c::crc32c(b"right"));
    house.stop().await;
}

#[tokio::test]
async fn fields_that_this_server_does_not_know_are_passed_over() {
    let house = House::start();
    let wire = Wire::connect(house.grpc()).await;
    let create = CreateMemoryRequest {
        memory_id: Some("m".to_owned()),
        spec: Some(pages(1)),
        ..Default::default()
    };
    let newer = [create.encode_to_vec(), vec![0xF8, 0x3F, 0x01]].concat();
    wire.call("CreateMemory", &[], prefixed(0, &newer)).await.outcome().unwrap();
    house.stop().await;
}

#[tokio::test]
async fn the_least_duration_that_there_is_is_refused_and_no_panic() {
    let house = House::start();
    let client = house.client().await;
    let least = || Some(prost_types::Duration { seconds: i64::MIN, nanos: i32::MIN });
    let spec = MemorySpec { lease_ttl: least(), shared: true, ..pages(1) };
    invalid(client.create(Some("m"), spec).await, "spec.lease_ttl");
    client.create(Some("m"), MemorySpec { shared: true, ..pages(1) }).await.unwrap();
    let wait = WaitOnAddressRequest {
        memory_id: "m".to_owned(),
        width: 4,
        timeout: least(),
        ..Default::default()
    };
    invalid(client.memory_service().wait_on_address(client.request(wait)).await, "timeout");
    let view = OpenViewRequest {
        memory_id: "m".to_owned(),
        length: 1,
        ttl: least(),
        ..Default::default()
    };
    invalid(client.memory_service().open_view(client.request(view)).await, "ttl");
    let hook = CreateGrowHookRequest {
        hook_id: Some("h".to_owned()),
        answer_timeout: least(),
        ..Default::default()
    };
    invalid(client.hook_service().create_grow_hook(client.request(hook)).await, "answer_timeout");
    house.stop().await;
}

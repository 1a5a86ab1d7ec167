//! Claims about what clients rely on: zeros, names that never reach the wrong memory, etags, and
//! what a description holds.

use bytes::Bytes;
use linmemd::client::proto::{
    self, DeleteMemoryRequest, GetMemoryRequest, GrowMemoryRequest, MemoryView, ReadMemoryRequest,
    UpdateMemoryRequest, UploadMemoryRequest, WriteMemoryRequest,
};
use linmemd::client::{Client, Upload};
use linmemd::memory::GuardKind;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use crate::contract::{invalid, refused};
use crate::harness::{House, PAGE, Witness, eventually, pages, pattern};

const OTHER: &str = "6a04f3d2-0f0e-4e0a-9d5c-000000000000";

async fn is_zero(client: &Client, offset: u64, length: u64) {
    let bytes = client.read("m", offset, length).await.unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0), "bytes that nobody wrote");
}

#[tokio::test]
async fn what_was_never_written_is_zero_at_create_after_growth_and_under_a_name_used_before() {
    let house = House::start();
    let client = house.client().await;
    for _ in 0..3 {
        client.create(Some("m"), pages(2)).await.unwrap();
        is_zero(&client, 0, 2 * PAGE).await;
        client.fill("m", 0, 2 * PAGE, 0xAA).await.unwrap();
        assert_eq!(client.grow("m", 2).await.unwrap().previous_pages, 2);
        is_zero(&client, 2 * PAGE, 2 * PAGE).await;
        client.fill("m", 0, 4 * PAGE, 0xBB).await.unwrap();
        client.delete("m").await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn every_request_that_bears_another_uid_is_a_mismatch_and_does_nothing() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let uid = client.memory("m").await.unwrap().uid;
    let found: [(&str, &dyn std::fmt::Display); 1] = [("uid", &uid)];
    let other = || Some(OTHER.to_owned());
    let id = || "m".to_owned();
    let get = GetMemoryRequest { memory_id: id(), uid: other(), view: 0 };
    refused(client.get_memory(get).await, "UID_MISMATCH", &found);
    let read = ReadMemoryRequest { memory_id: id(), uid: other(), offset: 0, length: 1 };
    refused(client.read_memory(read).await, "UID_MISMATCH", &found);
    let data = Bytes::from_static(b"x");
    let write = WriteMemoryRequest { memory_id: id(), uid: other(), offset: 0, data };
    refused(client.write_memory(write).await, "UID_MISMATCH", &found);
    let fill =
        proto::FillMemoryRequest { memory_id: id(), uid: other(), length: 9, ..Default::default() };
    refused(client.fill_memory(fill).await, "UID_MISMATCH", &found);
    let grow =
        GrowMemoryRequest { memory_id: id(), uid: other(), delta_pages: 1, ..Default::default() };
    refused(client.grow_memory(grow).await, "UID_MISMATCH", &found);
    let update = UpdateMemoryRequest {
        memory_id: id(),
        uid: other(),
        display_name: "n".to_owned(),
        ..Default::default()
    };
    refused(client.update_memory(update).await, "UID_MISMATCH", &found);
    let keep = proto::KeepAliveMemoryRequest { memory_id: id(), uid: other() };
    refused(client.keep_alive_memory(keep).await, "UID_MISMATCH", &found);
    let download =
        proto::DownloadMemoryRequest { memory_id: id(), uid: other(), ..Default::default() };
    refused(client.download(download).await.map(drop), "UID_MISMATCH", &found);
    let delete = DeleteMemoryRequest {
        memory_id: id(),
        uid: other(),
        allow_missing: true,
        ..Default::default()
    };
    refused(client.delete_memory(delete).await, "UID_MISMATCH", &found);
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn an_upload_stays_bound_to_its_memory_when_the_name_passes_to_another() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let (messages, receiver) = mpsc::channel(4);
    let memory_id = Some("m".to_owned());
    let data = Bytes::from_static(b"first");
    let first = UploadMemoryRequest { memory_id, data, ..Default::default() };
    messages.send(first).await.unwrap();
    let request = client.request(ReceiverStream::new(receiver));
    let mut stub = client.memory_service();
    let upload = tokio::spawn(async move { stub.upload_memory(request).await });
    eventually("the first message was written", async || {
        client.read("m", 0, 5).await.unwrap() == "first"
    })
    .await;
    client.delete("m").await.unwrap();
    client.create(Some("m"), pages(1)).await.unwrap();
    let data = Bytes::from_static(b"second");
    messages.send(UploadMemoryRequest { data, ..Default::default() }).await.unwrap();
    let outcome = upload.await.unwrap();
    let numbers: [(&str, &dyn std::fmt::Display); 2] = [("memory_id", &"m"), ("bytes_written", &5)];
    refused(outcome, "MEMORY_NOT_FOUND", &numbers);
    is_zero(&client, 0, PAGE).await;
    house.stop().await;
}

#[tokio::test]
async fn uploads_and_downloads_in_messages_of_any_size_are_whole_without_a_repeat() {
    let house = House::start();
    let client = house.client().await;
    let size = 8 << 20;
    client.create(Some("m"), pages(size / PAGE)).await.unwrap();
    for chunk_bytes in [PAGE, 256 << 10, 1 << 20, 63 * PAGE] {
        let bytes = pattern(size, u8::try_from(chunk_bytes % 251).unwrap());
        let chunk = usize::try_from(chunk_bytes).unwrap();
        let upload = Upload { chunk_bytes: chunk, ..Upload::to("m") };
        let uploaded = client.upload_chunks(upload, [bytes.clone()], |_| ()).await.unwrap();
        assert_eq!(uploaded.bytes_written, size);
        let request = proto::DownloadMemoryRequest {
            memory_id: "m".to_owned(),
            chunk_bytes: Some(chunk_bytes),
            checksum: true,
            ..Default::default()
        };
        let mut download = client.download(request).await.unwrap();
        let mut found = Vec::new();
        while let Some(data) = download.next().await.unwrap() {
            found.extend_from_slice(&data);
        }
        assert!(found == bytes, "in messages of {chunk_bytes} bytes");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_and_free_again_after_the_delete() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let taken: [(&str, &dyn std::fmt::Display); 1] = [("memory_id", &"m")];
    refused(client.create(Some("m"), pages(1)).await, "MEMORY_EXISTS", &taken);
    witness.is_unharmed().await;
    client.delete("m").await.unwrap();
    refused(client.delete("m").await, "MEMORY_NOT_FOUND", &taken);
    let missing =
        DeleteMemoryRequest { memory_id: "m".into(), allow_missing: true, ..Default::default() };
    client.delete_memory(missing).await.unwrap();
    client.create(Some("m"), pages(1)).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn the_etag_changes_with_name_labels_and_lease_and_with_nothing_else() {
    let house = House::start();
    let client = house.client().await;
    let mut etag = client.create(Some("m"), pages(1)).await.unwrap().etag;
    client.write("m", 0, "x").await.unwrap();
    client.fill("m", 0, 9, 1).await.unwrap();
    client.grow("m", 1).await.unwrap();
    client.read("m", 0, 1).await.unwrap();
    assert_eq!(client.memory("m").await.unwrap().etag, etag);
    let base = || UpdateMemoryRequest { memory_id: "m".to_owned(), ..Default::default() };
    let lease_ttl = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    for change in [
        UpdateMemoryRequest { display_name: "name".to_owned(), ..base() },
        UpdateMemoryRequest { labels: [("k".to_owned(), "v".to_owned())].into(), ..base() },
        UpdateMemoryRequest { lease_ttl, ..base() },
    ] {
        let changed = client.update_memory(change.clone()).await.unwrap().etag;
        assert_ne!(changed, etag, "{change:?}");
        etag = changed;
        let again = client.update_memory(change).await.unwrap().etag;
        assert_eq!(again, etag, "the same values are no change");
    }
    let keep = proto::KeepAliveMemoryRequest { memory_id: "m".to_owned(), uid: None };
    client.keep_alive_memory(keep).await.unwrap();
    let memory = client.memory("m").await.unwrap();
    assert_eq!(memory.etag, etag);
    let spec = memory.spec.unwrap();
    assert_eq!((spec.display_name.as_str(), spec.labels["k"].as_str()), ("name", "v"));
    house.stop().await;
}

#[tokio::test]
async fn an_update_or_delete_with_an_old_etag_is_refused_with_the_one_there_is() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let etag = client.memory("m").await.unwrap().etag;
    let stale = || Some("stale".to_owned());
    let update = UpdateMemoryRequest {
        memory_id: "m".to_owned(),
        etag: stale(),
        display_name: "n".to_owned(),
        ..Default::default()
    };
    refused(client.update_memory(update.clone()).await, "ETAG_MISMATCH", &[("etag", &etag)]);
    let delete = |etag| DeleteMemoryRequest { memory_id: "m".into(), etag, ..Default::default() };
    refused(client.delete_memory(delete(stale())).await, "ETAG_MISMATCH", &[("etag", &etag)]);
    let odd = format!("a\0\n{}", "e".repeat(100_000));
    let said = client.delete_memory(delete(Some(odd.clone()))).await.unwrap_err();
    let update = UpdateMemoryRequest { etag: Some(odd), ..update };
    for said in [said, client.update_memory(update).await.unwrap_err()] {
        let said = said.to_string();
        assert!(said.contains(r"a\x00\neee") && said.len() < 400, "escaped and cut: {said}");
    }
    witness.is_unharmed().await;
    client.delete_memory(delete(Some(etag))).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn an_update_mask_says_what_changes_and_may_name_nothing_else() {
    let house = House::start();
    let client = house.client().await;
    let labels = [("k".to_owned(), "v".to_owned())].into();
    let spec = proto::MemorySpec { display_name: "old".to_owned(), labels, ..pages(1) };
    client.create(Some("m"), spec).await.unwrap();
    let update = |paths: &[&str]| UpdateMemoryRequest {
        memory_id: "m".to_owned(),
        display_name: "new".to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..Default::default()
    };
    invalid(client.update_memory(update(&["labels", "spec.growth"])).await, "update_mask");
    invalid(client.update_memory(update(&["memory_id"])).await, "update_mask");
    let spec = client.update_memory(update(&["labels"])).await.unwrap().spec.unwrap();
    assert_eq!((spec.display_name.as_str(), spec.labels.len()), ("old", 0));
    let spec = client.update_memory(update(&["display_name"])).await.unwrap().spec.unwrap();
    assert_eq!(spec.display_name, "new");
    house.stop().await;
}

#[tokio::test]
async fn the_full_view_shows_what_the_host_gave_with_its_evidence() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(4)).await.unwrap();
    client.write("m", 0, vec![1; 10_000]).await.unwrap();
    let full = GetMemoryRequest {
        memory_id: "m".to_owned(),
        view: MemoryView::Full.into(),
        ..Default::default()
    };
    let memory = client.get_memory(full).await.unwrap();
    let resident = memory.resident_bytes.unwrap();
    assert!((10_000..=4 * PAGE).contains(&resident), "{resident}");
    assert!(memory.placement_observed_time.is_some());
    let placement = memory.placement.unwrap();
    let guard = placement.guard.unwrap();
    let slabs = house.daemon.server.registry.allocator.guard_kind() == GuardKind::GuardInstall;
    let small = if slabs { proto::GuardKind::GuardInstall } else { proto::GuardKind::ProtNone };
    assert_eq!(guard.kind(), small);
    assert_ne!(guard.evidence, 0);
    assert_ne!(placement.pages.unwrap().evidence, 0);
    assert_ne!(placement.nodes.unwrap().evidence, 0);
    client.create(Some("large"), pages(17)).await.unwrap();
    let full = GetMemoryRequest {
        memory_id: "large".to_owned(),
        view: MemoryView::Full.into(),
        ..Default::default()
    };
    let large = client.get_memory(full).await.unwrap().placement.unwrap();
    assert_eq!(large.guard.unwrap().kind(), proto::GuardKind::ProtNone);
    let basic = client.memory("m").await.unwrap();
    assert_eq!((basic.resident_bytes, basic.placement), (None, None));
    house.stop().await;
}

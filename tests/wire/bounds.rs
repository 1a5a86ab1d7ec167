//! Claims about accesses outside a memory, growth past its maximum and its quotas: each is refused
//! by name with its numbers, and not a byte of any memory changes.

use bytes::Bytes;
use linmemd::client::proto::{
    DownloadMemoryRequest, GrowMemoryRequest, IndexType, MemorySpec, UploadMemoryRequest,
};
use linmemd::client::{Client, ClientError, Upload};
use tonic::codegen::tokio_stream;

use crate::contract::refused;
use crate::harness::{House, PAGE, Witness, pages, pattern, tenant};

#[tokio::test]
async fn an_access_outside_the_size_is_refused_with_its_numbers_and_touches_nothing() {
    let house = House::start();
    let client = house.client().await;
    let (before, target) = (Witness::of(&client, "a").await, Witness::of(&client, "m").await);
    let after = Witness::of(&client, "z").await;
    let size = 2 * PAGE;
    let mut traps = 0;
    for (offset, length) in [
        (size, 1),
        (size - 1, 2),
        (0, size + 1),
        (u64::MAX, 1),
        (u64::MAX - 1, 2),
        (u64::MAX - size, size),
        (1 << 63, 1),
    ] {
        let numbers: [(&str, &dyn std::fmt::Display); 3] =
            [("offset", &offset), ("length", &length), ("size_bytes", &size)];
        let data = Bytes::from(vec![0xEE; usize::try_from(length).unwrap()]);
        refused(client.read("m", offset, length).await, "OUT_OF_BOUNDS", &numbers);
        refused(client.write("m", offset, data.clone()).await, "OUT_OF_BOUNDS", &numbers);
        refused(client.fill("m", offset, length, 0xEE).await, "OUT_OF_BOUNDS", &numbers);
        refused(client.discard("m", offset, length).await, "OUT_OF_BOUNDS", &numbers);
        refused(download(&client, offset, Some(length)).await, "OUT_OF_BOUNDS", &numbers);
        let written = [numbers[0], numbers[1], numbers[2], ("bytes_written", &0)];
        for announced in [None, Some(length)] {
            let outcome = upload(&client, offset, announced, &data).await;
            refused(outcome, "OUT_OF_BOUNDS", &written);
        }
        traps += 7;
        for witness in [&before, &target, &after] {
            witness.is_unharmed().await;
        }
    }
    let stats = client.memory("m").await.unwrap().stats.unwrap();
    assert_eq!(stats.trap_count, traps);
    let labels = [("tenant", "default"), ("reason", "OUT_OF_BOUNDS")];
    assert_eq!(house.scrape().await.value("linmemd_traps_total", &labels), traps as f64);
    house.stop().await;
}

#[tokio::test]
async fn lengths_that_no_memory_has_are_out_of_bounds_for_fill_and_download() {
    let house = House::start();
    let client = house.client().await;
    let target = Witness::of(&client, "m").await;
    let size = 2 * PAGE;
    for (offset, length) in [(0, u64::MAX), (1, u64::MAX), (u64::MAX, u64::MAX)] {
        let numbers: [(&str, &dyn std::fmt::Display); 3] =
            [("offset", &offset), ("length", &length), ("size_bytes", &size)];
        refused(client.fill("m", offset, length, 1).await, "OUT_OF_BOUNDS", &numbers);
        refused(download(&client, offset, Some(length)).await, "OUT_OF_BOUNDS", &numbers);
    }
    let numbers: [(&str, &dyn std::fmt::Display); 3] =
        [("offset", &(size + 1)), ("length", &0), ("size_bytes", &size)];
    refused(download(&client, size + 1, None).await, "OUT_OF_BOUNDS", &numbers);
    refused(client.read("m", size + 1, 0).await, "OUT_OF_BOUNDS", &numbers);
    refused(client.write("m", size + 1, Bytes::new()).await, "OUT_OF_BOUNDS", &numbers);
    target.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn length_zero_is_legal_at_every_offset_up_to_and_including_the_size() {
    let house = House::start();
    let client = house.client().await;
    let target = Witness::of(&client, "m").await;
    client.create(Some("empty"), pages(0)).await.unwrap();
    for (id, offset) in [("m", 0), ("m", PAGE), ("m", 2 * PAGE), ("empty", 0)] {
        assert!(client.read(id, offset, 0).await.unwrap().is_empty());
        client.write(id, offset, Bytes::new()).await.unwrap();
        client.fill(id, offset, 0, 9).await.unwrap();
        let upload = Upload { offset, length: Some(0), ..Upload::to(id) };
        assert_eq!(client.upload_chunks(upload, [], |_| ()).await.unwrap().bytes_written, 0);
        let request = DownloadMemoryRequest {
            memory_id: id.to_owned(),
            offset,
            length: Some(0),
            ..Default::default()
        };
        let mut sink = Vec::new();
        assert_eq!(client.download_to(request, &mut sink, |_| ()).await.unwrap().bytes, 0);
    }
    target.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn an_upload_that_leaves_the_memory_says_how_many_bytes_stand() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let data = pattern(PAGE + 10, 3);
    let upload = Upload { chunk_bytes: 40_000, ..Upload::to("m") };
    let outcome = client.upload_chunks(upload, [data.clone()], |_| ()).await;
    let numbers: [(&str, &dyn std::fmt::Display); 4] = [
        ("offset", &40_000),
        ("length", &(PAGE + 10 - 40_000)),
        ("size_bytes", &PAGE),
        ("bytes_written", &40_000),
    ];
    refused(outcome, "OUT_OF_BOUNDS", &numbers);
    let bytes = client.read("m", 0, PAGE).await.unwrap();
    assert!(bytes[..40_000] == data[..40_000]);
    assert!(bytes[40_000..].iter().all(|byte| *byte == 0));
    house.stop().await;
}

#[tokio::test]
async fn growth_past_the_maximum_is_refused_with_its_numbers_and_changes_nothing() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "m").await;
    let fixed = MemorySpec { growth: 2, maximum_pages: Some(9), ..pages(2) };
    client.create(Some("fixed"), fixed).await.unwrap();
    for (id, delta, maximum) in
        [("m", 3, 4), ("m", u64::MAX, 4), ("m", 65_536, 4), ("m", 1 << 48, 4), ("fixed", 1, 2)]
    {
        let numbers: [(&str, &dyn std::fmt::Display); 4] = [
            ("current_pages", &2),
            ("delta_pages", &delta),
            ("limit_name", &"maximum_pages"),
            ("limit", &maximum),
        ];
        refused(client.grow(id, delta).await, "MAXIMUM_REACHED", &numbers);
        witness.is_unharmed().await;
    }
    assert_eq!(client.memory("m").await.unwrap().stats.unwrap().grow_failure_count, 4);
    let labels = [("tenant", "default"), ("outcome", "maximum_reached")];
    assert_eq!(house.scrape().await.value("linmemd_grows_total", &labels), 5.0);
    assert_eq!(client.grow("m", 2).await.unwrap().current_pages, 4);
    house.stop().await;
}

#[tokio::test]
async fn a_growth_that_expects_another_size_is_refused_with_both() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    let grow = |expected_pages| GrowMemoryRequest {
        memory_id: "m".to_owned(),
        delta_pages: 1,
        expected_pages: Some(expected_pages),
        ..Default::default()
    };
    let numbers: [(&str, &dyn std::fmt::Display); 2] =
        [("expected_pages", &1), ("current_pages", &2)];
    refused(client.grow_memory(grow(1)).await, "SIZE_MISMATCH", &numbers);
    let grown = client.grow_memory(grow(2)).await.unwrap();
    assert_eq!((grown.previous_pages, grown.current_pages), (2, 3));
    house.stop().await;
}

#[tokio::test]
async fn three_gib_under_a_quota_of_one_are_refused_with_the_quota_and_charge_nothing() {
    let house = House::with(|config| config.tenants = vec![tenant("default", Some(1 << 30))]);
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let used =
        quota_used(&client, "committed_bytes").await + quota_used(&client, "overhead_bytes").await;
    let three = MemorySpec { maximum_pages: None, ..pages(3 << 14) };
    let outcome = client.create_memory(create_without_request_id("big", three)).await;
    let failure = refused(
        outcome.map(drop),
        "QUOTA_EXCEEDED",
        &[
            ("limit_name", &"committed_bytes"),
            ("limit", &(1u64 << 30)),
            ("used", &used_with_request_id(used)),
        ],
    );
    assert!(failure.message.contains("quota"), "{failure}");
    let now =
        quota_used(&client, "committed_bytes").await + quota_used(&client, "overhead_bytes").await;
    assert_eq!(now, used);
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn three_gib_under_a_host_budget_of_one_are_refused_without_a_figure_of_the_host() {
    let house = House::with(|config| config.memory.host_budget = Some(1 << 30));
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    for index_type in [IndexType::I32, IndexType::I64] {
        let three =
            MemorySpec { maximum_pages: None, index_type: index_type.into(), ..pages(3 << 14) };
        let numbers: [(&str, &dyn std::fmt::Display); 1] = [("limit_name", &"committed_bytes")];
        let failure = refused(client.create(Some("big"), three).await, "HOST_EXHAUSTED", &numbers);
        assert!(!failure.message.contains(|letter: char| letter.is_ascii_digit()), "{failure}");
        witness.is_unharmed().await;
    }
    let growing = MemorySpec { maximum_pages: Some(65_536), ..pages(1) };
    client.create(Some("g"), growing).await.unwrap();
    let numbers: [(&str, &dyn std::fmt::Display); 1] = [("limit_name", &"committed_bytes")];
    refused(client.grow("g", 3 << 14).await, "HOST_EXHAUSTED", &numbers);
    house.stop().await;
}

#[tokio::test]
async fn a_quota_of_memories_and_a_cap_of_pages_are_named_when_they_refuse() {
    let house = House::with(|config| {
        let mut tenant = tenant("default", None);
        tenant.memories = Some(1);
        tenant.maximum_pages = Some(100);
        config.tenants = vec![tenant];
    });
    let client = house.client().await;
    let defaulted = MemorySpec { initial_pages: 1, ..Default::default() };
    let memory = client.create(Some("m"), defaulted).await.unwrap();
    assert_eq!(memory.spec.unwrap().maximum_pages, Some(100), "the smaller of cap and default");
    let numbers: [(&str, &dyn std::fmt::Display); 3] =
        [("limit_name", &"memories"), ("limit", &1), ("used", &1)];
    refused(client.create(Some("n"), pages(1)).await, "QUOTA_EXCEEDED", &numbers);
    client.delete("m").await.unwrap();
    let numbers: [(&str, &dyn std::fmt::Display); 3] =
        [("limit_name", &"maximum_pages"), ("limit", &100), ("used", &0)];
    refused(client.create(Some("n"), pages(51)).await, "QUOTA_EXCEEDED", &numbers);
    house.stop().await;
}

fn create_without_request_id(
    memory_id: &str,
    spec: MemorySpec,
) -> linmemd::client::proto::CreateMemoryRequest {
    linmemd::client::proto::CreateMemoryRequest {
        memory_id: Some(memory_id.to_owned()),
        spec: Some(spec),
        ..Default::default()
    }
}

/// The typed client gives every create a request_id, which is charged while the create runs.
const fn used_with_request_id(used: u64) -> u64 {
    used + 384
}

async fn quota_used(client: &Client, resource: &str) -> u64 {
    let quotas = client.server_info().await.unwrap().quotas;
    quotas.iter().find(|quota| quota.resource == resource).unwrap().used
}

async fn download(client: &Client, offset: u64, length: Option<u64>) -> Result<(), ClientError> {
    let memory_id = "m".to_owned();
    let request = DownloadMemoryRequest { memory_id, offset, length, ..Default::default() };
    client.download(request).await?.next().await.map(drop)
}

async fn upload(
    client: &Client,
    offset: u64,
    length: Option<u64>,
    data: &Bytes,
) -> Result<(), ClientError> {
    let first = UploadMemoryRequest {
        memory_id: Some("m".to_owned()),
        offset: Some(offset),
        length,
        data: data.clone(),
        ..Default::default()
    };
    let request = client.request(tokio_stream::iter([first]));
    client.memory_service().upload_memory(request).await?;
    Ok(())
}

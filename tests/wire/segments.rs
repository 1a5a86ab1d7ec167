//! Claims about segments: kept as they were put, put into memories as memory.init does, charged and given
//! back exactly; and about the active ones, which are in place before anyone sees their memory.

use std::fmt::Display;

use bytes::Bytes;
use linmemd::client::proto::{
    ActiveSegment, Allocator, CreateMemoryRequest, GetSegmentRequest, ListSegmentsRequest,
    MemorySpec, ProtectMemoryRequest, Protection, PutSegmentRequest, Verification,
};
use linmemd::client::{Client, ClientError, crc32c};
use linmemd::config;

use crate::contract::{invalid, refused};
use crate::harness::{House, PAGE, Witness, pages, pattern, tenant};

const FIRST: &str = "11111111-1111-4111-8111-111111111111";
/// Beside a segment's bytes.
const SEGMENT_BYTES: u64 = 256;

async fn used(client: &Client, resource: &str) -> u64 {
    let quotas = client.server_info().await.unwrap().quotas;
    quotas.iter().find(|quota| quota.resource == resource).unwrap().used
}

/// Without a request_id, which would be charged.
async fn put(client: &Client, id: &str, data: impl Into<Bytes>) -> Result<(), ClientError> {
    let message =
        PutSegmentRequest { segment_id: Some(id.to_owned()), data: data.into(), request_id: None };
    let request = client.request(message);
    client.memory_service().put_segment(request).await?;
    Ok(())
}

async fn get(client: &Client, id: &str) -> Result<Bytes, ClientError> {
    let message = GetSegmentRequest { segment_id: id.to_owned(), with_data: true };
    client.get_segment(message).await.map(|answer| answer.data)
}

fn named<'a>(id: &'a &'a str) -> [(&'static str, &'a dyn Display); 1] {
    [("segment_id", id)]
}

#[tokio::test]
async fn a_segment_is_kept_as_it_was_put_until_it_is_dropped_and_charged_as_long() {
    let house = House::start();
    let client = house.client().await;
    let before = used(&client, "overhead_bytes").await;
    let mut charged = before;
    // None, few, and more than a serving thread copies.
    for (id, length) in [("none", 0), ("few", 100), ("many", 63 * PAGE)] {
        let data = pattern(length, 3);
        put(&client, id, data.clone()).await.unwrap();
        charged += length + SEGMENT_BYTES;
        assert_eq!(used(&client, "overhead_bytes").await, charged);
        assert_eq!(get(&client, id).await.unwrap(), data);
        let message = GetSegmentRequest { segment_id: id.to_owned(), with_data: false };
        let answer = client.get_segment(message).await.unwrap();
        assert!(answer.data.is_empty());
        let segment = answer.segment.unwrap();
        assert_eq!((segment.size_bytes, segment.crc32c), (length, crc32c(&data)));
        assert!(segment.segment_id == id && segment.create_time.is_some());
        // The same bytes or others: a put is a create.
        refused(put(&client, id, data).await, "SEGMENT_EXISTS", &named(&id));
        refused(put(&client, id, "other").await, "SEGMENT_EXISTS", &named(&id));
    }
    assert_eq!(used(&client, "committed_bytes").await, 0);
    for id in ["none", "few", "many"] {
        client.drop_segment(id, false).await.unwrap();
        refused(get(&client, id).await, "SEGMENT_NOT_FOUND", &named(&id));
        refused(client.drop_segment(id, false).await, "SEGMENT_NOT_FOUND", &named(&id));
        client.drop_segment(id, true).await.unwrap();
    }
    assert_eq!(used(&client, "overhead_bytes").await, before);
    invalid(put(&client, "no name", "").await, "segment_id");
    invalid(get(&client, "no name").await, "segment_id");
    house.stop().await;
}

#[tokio::test]
async fn segments_are_listed_in_order_a_page_at_a_time() {
    let house = House::start();
    let client = house.client().await;
    let mut wanted = Vec::new();
    for number in [4, 0, 3, 1, 2, 5, 6] {
        put(&client, &format!("s{number}"), vec![1; number]).await.unwrap();
        wanted.push(format!("s{number}"));
    }
    wanted.sort();
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = ListSegmentsRequest { page_size: 3, page_token };
        let page = client.list_segments(message).await.unwrap();
        assert!(page.segments.len() <= 3);
        seen.extend(page.segments.into_iter().map(|one| one.segment_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, wanted);
    let message = ListSegmentsRequest { page_size: 0, page_token: "x".to_owned() };
    refused(client.list_segments(message).await, "PAGE_TOKEN_INVALID", &[]);
    for segment in client.segments().await.unwrap() {
        client.drop_segment(&segment.segment_id, false).await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_part_of_a_segment_goes_where_it_is_told_and_what_lies_outside_changes_nothing() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let length = 5 * PAGE;
    let data = pattern(length, 9);
    put(&client, "s", data.clone()).await.unwrap();
    client.create(Some("m"), pages(8)).await.unwrap();
    let size = 8 * PAGE;
    client.init("m", PAGE - 7, "s", 11, 100).await.unwrap();
    assert_eq!(client.read("m", PAGE - 7, 100).await.unwrap(), data.slice(11..111));
    assert_eq!(client.read("m", PAGE - 8, 1).await.unwrap(), vec![0]);
    assert_eq!(client.read("m", PAGE + 93, 1).await.unwrap(), vec![0]);
    // More than a serving thread moves.
    client.init("m", size - length, "s", 0, length).await.unwrap();
    assert_eq!(client.read("m", size - length, length).await.unwrap(), data);
    // Nothing, at both ends of both.
    for (offset, source) in [(0, 0), (size, length), (size, 0), (0, length)] {
        client.init("m", offset, "s", source, 0).await.unwrap();
    }
    let bytes = client.read("m", 0, size).await.unwrap();
    for (source, part) in
        [(length, 1), (length - 1, 2), (length + 1, 0), (u64::MAX, 2), (0, length + 1)]
    {
        let numbers: [(&str, &dyn Display); 4] = [
            ("segment_id", &"s"),
            ("source_offset", &source),
            ("length", &part),
            ("size_bytes", &length),
        ];
        refused(client.init("m", 0, "s", source, part).await, "OUT_OF_BOUNDS", &numbers);
    }
    for (offset, part) in [(size, 1), (size - 1, 2), (size + 1, 0), (u64::MAX, 2)] {
        let numbers: [(&str, &dyn Display); 3] =
            [("offset", &offset), ("length", &part), ("size_bytes", &size)];
        refused(client.init("m", offset, "s", 0, part).await, "OUT_OF_BOUNDS", &numbers);
    }
    refused(client.init("m", 0, "t", 0, 0).await, "SEGMENT_NOT_FOUND", &named(&"t"));
    refused(client.init("n", 0, "s", 0, 0).await, "MEMORY_NOT_FOUND", &[("memory_id", &"n")]);
    assert_eq!(client.read("m", 0, size).await.unwrap(), bytes);
    let stats = client.memory("m").await.unwrap().stats.unwrap();
    assert_eq!((stats.write_count, stats.write_bytes), (6, 100 + length));
    assert_eq!(stats.trap_count, 9);
    let (page, of) = (house.scrape().await, [("tenant", "default"), ("operation", "init")]);
    assert_eq!(page.value("linmemd_accesses_total", &of), 6.0);
    assert_eq!(page.value("linmemd_access_bytes_total", &of), (100 + length) as f64);
    let traps = [("tenant", "default"), ("reason", "OUT_OF_BOUNDS")];
    assert_eq!(page.value("linmemd_traps_total", &traps), 9.0);
    witness.is_unharmed().await;
    client.drop_segment("s", false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_protected_range_takes_nothing_from_a_segment() {
    let house = House::start();
    let client = house.client().await;
    put(&client, "s", "0123456789").await.unwrap();
    client.create(Some("m"), pages(1)).await.unwrap();
    let request = ProtectMemoryRequest {
        memory_id: "m".to_owned(),
        uid: None,
        offset: 5,
        length: 1,
        protection: Protection::Read.into(),
    };
    client.protect_memory(request).await.unwrap();
    let numbers: [(&str, &dyn Display); 3] =
        [("offset", &5), ("length", &1), ("protection", &"PROTECTION_READ")];
    refused(client.init("m", 0, "s", 0, 10).await, "PROTECTED", &numbers);
    assert_eq!(client.read("m", 0, 10).await.unwrap(), vec![0; 10]);
    client.init("m", 0, "s", 0, 5).await.unwrap();
    client.drop_segment("s", false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_repeated_put_gets_the_first_segment_and_other_bytes_are_another_request() {
    let house = House::start();
    let client = house.client().await;
    for (number, data) in [pattern(300, 1), pattern(5 * PAGE, 1)].into_iter().enumerate() {
        let request_id = format!("{number}1111111-1111-4111-8111-111111111111");
        let reused: [(&str, &dyn Display); 1] = [("request_id", &request_id)];
        let put_once = async |segment_id: Option<&str>, data: Bytes| {
            let (segment_id, request_id) =
                (segment_id.map(str::to_owned), Some(request_id.clone()));
            client.put_segment(PutSegmentRequest { segment_id, data, request_id }).await
        };
        let first = put_once(None, data.clone()).await.unwrap();
        assert_eq!(put_once(None, data.clone()).await.unwrap(), first);
        let mut other = data.to_vec();
        other[17] ^= 1;
        refused(put_once(None, other.into()).await, "REQUEST_ID_REUSED", &reused);
        let longer = [&data[..], b"\0"].concat();
        refused(put_once(None, longer.into()).await, "REQUEST_ID_REUSED", &reused);
        refused(put_once(Some("s"), data.clone()).await, "REQUEST_ID_REUSED", &reused);
        // Whoever has the name now, it is not what was put then.
        let id = first.segment_id.as_str();
        client.drop_segment(id, false).await.unwrap();
        put(&client, id, "another").await.unwrap();
        refused(put_once(None, data).await, "SEGMENT_NOT_FOUND", &named(&id));
        client.drop_segment(id, false).await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn what_is_too_long_or_past_the_quota_is_refused_and_costs_nothing() {
    let quota = 1 << 20;
    let house = House::with(|config: &mut config::Config| {
        config.tenants = vec![tenant("default", Some(quota)), tenant("other", None)];
    });
    let (client, other) = (house.client().await, house.client_of("other").await);
    let limit = 63 * PAGE;
    let numbers: [(&str, &dyn Display); 4] = [
        ("field", &"data"),
        ("length", &(limit + 1)),
        ("limit_name", &"max_write_bytes"),
        ("limit", &limit),
    ];
    refused(put(&client, "s", pattern(limit + 1, 0)).await, "TOO_LARGE", &numbers);
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &"committed_bytes"), ("limit", &quota), ("used", &0)];
    let past = put(&client, "s", pattern(quota - SEGMENT_BYTES + 1, 0)).await;
    refused(past, "QUOTA_EXCEEDED", &numbers);
    assert_eq!(used(&client, "overhead_bytes").await, 0);
    put(&client, "s", pattern(quota - SEGMENT_BYTES, 0)).await.unwrap();
    // To another tenant it does not exist, and neither does its charge.
    refused(get(&other, "s").await, "SEGMENT_NOT_FOUND", &named(&"s"));
    assert_eq!(used(&other, "overhead_bytes").await, 0);
    put(&other, "s", "its own").await.unwrap();
    for client in [client, other] {
        client.drop_segment("s", false).await.unwrap();
        assert_eq!(used(&client, "overhead_bytes").await, 0);
    }
    house.stop().await;
}

fn active(offset: u64, data: impl Into<Bytes>) -> ActiveSegment {
    ActiveSegment { offset, data: data.into(), length: None }
}

#[tokio::test]
async fn active_segments_are_in_place_when_a_memory_of_any_kind_is_first_seen() {
    let house = House::start();
    let client = house.client().await;
    let heap = MemorySpec { allocator: Allocator::Heap.into(), ..pages(4) };
    for spec in [
        pages(4),
        MemorySpec { maximum_pages: Some(64), ..pages(4) },
        MemorySpec { shared: true, ..heap.clone() },
        heap,
        MemorySpec { verification: Verification::Full.into(), ..pages(4) },
        MemorySpec { verification: Verification::Redundant.into(), ..pages(4) },
    ] {
        let (size, data) = (4 * PAGE, pattern(PAGE + 5, 5));
        let segments = vec![
            active(100, "overwritten in part"),
            active(PAGE - 9, data.clone()),
            active(size, ""),
            active(105, "OVER"),
            active(size - 3, "end"),
        ];
        let spec = MemorySpec { segments, ..spec };
        let memory = client.create(Some("m"), spec).await.unwrap();
        let shown = memory.spec.unwrap().segments;
        let shown: Vec<_> = shown.iter().map(|one| (one.offset, one.length)).collect();
        let wanted = [(100, 19), (PAGE - 9, PAGE + 5), (size, 0), (105, 4), (size - 3, 3)];
        assert_eq!(shown, wanted.map(|(offset, length)| (offset, Some(length))));
        let mut wanted = vec![0; usize::try_from(size).unwrap()];
        wanted[100..119].copy_from_slice(b"overwritten in part");
        wanted[105..109].copy_from_slice(b"OVER");
        wanted[65_527..65_527 + data.len()].copy_from_slice(&data);
        wanted[4 * 65_536 - 3..].copy_from_slice(b"end");
        let stats = memory.stats.unwrap();
        assert_eq!((stats.write_count, stats.write_bytes), (0, 0), "nobody accessed it");
        assert!(client.read("m", 0, size).await.unwrap() == wanted);
        client.grow("m", 1).await.unwrap();
        client.delete("m").await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn active_segments_that_do_not_fit_create_nothing() {
    let house = House::start();
    let client = house.client().await;
    let create = async |segments| {
        let spec = MemorySpec { segments, ..pages(1) };
        client.create(Some("m"), spec).await
    };
    let field: [(&str, &dyn Display); 1] = [("field", &"spec.segments")];
    for outside in [active(PAGE, "x"), active(PAGE + 1, ""), active(u64::MAX, "xy")] {
        refused(create(vec![active(0, "good"), outside]).await, "INVALID_SPEC", &field);
    }
    refused(create(vec![active(0, ""); 257]).await, "INVALID_SPEC", &field);
    let told = ActiveSegment { length: Some(1), ..active(0, "x") };
    invalid(create(vec![told]).await, "spec.segments.length");
    let limit = 63 * PAGE;
    let numbers: [(&str, &dyn Display); 4] = [
        ("field", &"spec.segments"),
        ("length", &(limit + 1)),
        ("limit_name", &"max_write_bytes"),
        ("limit", &limit),
    ];
    let halves = vec![active(0, pattern(limit, 0)), active(0, "x")];
    refused(create(halves).await, "TOO_LARGE", &numbers);
    refused(client.memory("m").await, "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    for resource in ["committed_bytes", "memories", "reserved_bytes"] {
        assert_eq!(used(&client, resource).await, 0);
    }
    // As many and as much as there may be, which are charged with the memory.
    let segments = vec![active(0, ""); 255].into_iter().chain([active(0, pattern(limit, 0))]);
    let spec = MemorySpec { segments: segments.collect(), ..pages(63) };
    client.create(Some("m"), spec).await.unwrap();
    assert!(client.read("m", 0, limit).await.unwrap() == pattern(limit, 0));
    house.stop().await;
}

#[tokio::test]
async fn a_repeated_create_with_other_active_bytes_is_another_request() {
    let house = House::start();
    let client = house.client().await;
    let create = async |data: Bytes| {
        let spec = Some(MemorySpec { segments: vec![active(0, data)], ..pages(1) });
        let (memory_id, request_id) = (Some("m".to_owned()), Some(FIRST.to_owned()));
        let message = CreateMemoryRequest { memory_id, spec, request_id, ..Default::default() };
        client.create_memory(message).await
    };
    let first = create("same".into()).await.unwrap();
    assert_eq!(create("same".into()).await.unwrap().uid, first.uid);
    refused(create("Same".into()).await, "REQUEST_ID_REUSED", &[("request_id", &FIRST)]);
    house.stop().await;
}

//! Claims about views: what they show, that every change is told, whose lease they have, and what they are
//! bound to.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use linmemd::client::proto::{
    OpenViewRequest, OpenViewResponse, ProtectMemoryRequest, Protection, RefreshViewRequest,
    RefreshViewResponse,
};
use linmemd::client::{Client, ClientError, crc32c};

use crate::contract::{invalid, refused};
use crate::harness::{House, PAGE, eventually, pages, pattern, tenant};

/// What a view is charged beside its bytes.
const VIEW_BYTES: u64 = 512;

async fn open(
    client: &Client,
    memory_id: &str,
    offset: u64,
    length: u64,
) -> Result<OpenViewResponse, ClientError> {
    let memory_id = memory_id.to_owned();
    client.open_view(OpenViewRequest { memory_id, offset, length, ..Default::default() }).await
}

async fn refresh(client: &Client, view_id: &str) -> Result<RefreshViewResponse, ClientError> {
    let view_id = view_id.to_owned();
    client.refresh_view(RefreshViewRequest { view_id, ..Default::default() }).await
}

async fn overhead(client: &Client) -> u64 {
    let quotas = client.server_info().await.unwrap().quotas;
    quotas.iter().find(|quota| quota.resource == "overhead_bytes").unwrap().used
}

fn named<'a>(id: &'a &'a str) -> [(&'static str, &'a dyn Display); 1] {
    [("view_id", id)]
}

fn id(opened: &OpenViewResponse) -> &str {
    &opened.view.as_ref().unwrap().view_id
}

#[tokio::test]
async fn a_view_shows_its_range_and_tells_every_change_of_it_and_no_other() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(8)).await.unwrap();
    let bytes = pattern(8 * PAGE, 1);
    client.write("m", 0, bytes.clone()).await.unwrap();
    let memory = client.memory("m").await.unwrap();
    let before = overhead(&client).await;
    // Nothing, few, and more than a serving thread compares.
    for (offset, length) in [(8 * PAGE, 0), (77, 100), (PAGE - 1, 5 * PAGE)] {
        let opened = open(&client, "m", offset, length).await.unwrap();
        let view = opened.view.clone().unwrap();
        assert_eq!((&view.memory_id, &view.uid), (&memory.memory_id, &memory.uid));
        assert_eq!((view.offset, view.length), (offset, length));
        assert!(view.expire_time.is_some());
        let slice = |bytes: &Bytes| {
            let start = usize::try_from(offset).unwrap();
            bytes.slice(start..start + usize::try_from(length).unwrap())
        };
        assert_eq!((&opened.data, opened.crc32c), (&slice(&bytes), crc32c(&slice(&bytes))));
        assert_eq!((opened.changed, opened.version), (false, 1));
        assert_eq!(overhead(&client).await, before + length + VIEW_BYTES);
        let same = refresh(&client, id(&opened)).await.unwrap();
        assert_eq!((&same.data, same.changed, same.version), (&opened.data, false, 1));
        if length > 0 {
            // Just before it and just after it.
            client.write("m", offset - 1, "x").await.unwrap();
            client.write("m", offset + length, "x").await.unwrap();
            assert!(!refresh(&client, id(&opened)).await.unwrap().changed);
            // The same bytes again are no change.
            client.write("m", offset, opened.data.slice(..10)).await.unwrap();
            assert!(!refresh(&client, id(&opened)).await.unwrap().changed);
            let last = offset + length - 1;
            client.write("m", last, vec![!opened.data.last().unwrap()]).await.unwrap();
            let changed = refresh(&client, id(&opened)).await.unwrap();
            assert_eq!((changed.changed, changed.version), (true, 2));
            assert_eq!(changed.crc32c, crc32c(&changed.data));
            assert_ne!(changed.data, opened.data);
            assert!(!refresh(&client, id(&opened)).await.unwrap().changed, "told once");
            client.write("m", 0, bytes.clone()).await.unwrap();
        }
        client.close_view(id(&opened), false).await.unwrap();
        refused(refresh(&client, id(&opened)).await, "VIEW_NOT_FOUND", &named(&id(&opened)));
        let again = client.close_view(id(&opened), false).await;
        refused(again, "VIEW_NOT_FOUND", &named(&id(&opened)));
        client.close_view(id(&opened), true).await.unwrap();
        assert_eq!(overhead(&client).await, before);
    }
    house.stop().await;
}

/// Two contents of 8 bytes with one CRC-32C: it is linear, so that bytes of CRC 0 over zeros can be added.
fn same_crc32c() -> (Vec<u8>, Vec<u8>) {
    let zero = vec![0_u8; 8];
    for first in 1..=u32::MAX {
        // The last four bytes can make up for whatever the first four do.
        let mut other = [first.to_le_bytes().to_vec(), vec![0; 4]].concat();
        let wanted = crc32c(&zero);
        // One bit of the tail at a time: the difference is linear in each of 32 bits.
        let columns: Vec<u32> = (0..32)
            .map(|bit| {
                let mut one = zero.clone();
                one[4 + bit / 8] = 1 << (bit % 8);
                crc32c(&one) ^ wanted
            })
            .collect();
        let (mut rest, mut tail) = (crc32c(&other) ^ wanted, 0_u32);
        let mut basis: Vec<(u32, u32)> = Vec::new();
        for (bit, column) in columns.iter().enumerate() {
            let (mut value, mut made_of) = (*column, 1_u32 << bit);
            for (kept, of) in &basis {
                if value ^ kept < value {
                    value ^= kept;
                    made_of ^= of;
                }
            }
            if value > 0 {
                basis.push((value, made_of));
                basis.sort_unstable_by(|a, b| b.cmp(a));
            }
        }
        for (kept, of) in &basis {
            if rest ^ kept < rest {
                rest ^= kept;
                tail ^= of;
            }
        }
        if rest == 0 {
            other[4..].copy_from_slice(&tail.to_le_bytes());
            return (zero, other);
        }
    }
    unreachable!("the tail's bits reach every CRC")
}

#[tokio::test]
async fn a_change_that_leaves_the_checksum_as_it_was_is_told() {
    let (one, other) = same_crc32c();
    assert_eq!(crc32c(&one), crc32c(&other));
    assert_ne!(one, other);
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    client.write("m", 0, one).await.unwrap();
    let opened = open(&client, "m", 0, 8).await.unwrap();
    client.write("m", 0, other.clone()).await.unwrap();
    let seen = refresh(&client, id(&opened)).await.unwrap();
    assert_eq!((seen.changed, seen.crc32c, &*seen.data), (true, opened.crc32c, &*other));
    client.close_view(id(&opened), false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_caller_that_missed_an_answer_is_told_of_the_change_all_the_same() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let opened = open(&client, "m", 0, 4).await.unwrap();
    let look = async |version: Option<u64>| {
        let (view_id, only_if_changed) = (id(&opened).to_owned(), true);
        client.refresh_view(RefreshViewRequest { view_id, only_if_changed, version }).await.unwrap()
    };
    let seen = look(Some(1)).await;
    assert_eq!((seen.changed, seen.data.len(), seen.version), (false, 0, 1));
    client.write("m", 0, "abcd").await.unwrap();
    for _lost in 0..2 {
        let seen = look(Some(1)).await;
        assert_eq!((seen.changed, &*seen.data, seen.version), (true, &b"abcd"[..], 2));
    }
    for version in [Some(2), None] {
        let seen = look(version).await;
        assert_eq!((seen.changed, seen.data.len()), (false, 0));
        assert_eq!(seen.crc32c, crc32c(b"abcd"));
    }
    client.close_view(id(&opened), false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_view_is_bound_to_its_memory_and_ends_with_its_lease() {
    let house = House::with(|config| {
        config.lease.sweep_interval = Duration::from_millis(10);
        config.tenants = vec![tenant("default", None), tenant("other", None)];
    });
    let (client, other) = (house.client().await, house.client_of("other").await);
    client.create(Some("m"), pages(1)).await.unwrap();
    let opened = open(&client, "m", 0, 100).await.unwrap();
    let view_id = id(&opened);
    refused(refresh(&other, view_id).await, "VIEW_NOT_FOUND", &named(&view_id));
    client.delete("m").await.unwrap();
    let gone: [(&str, &dyn Display); 1] = [("memory_id", &"m")];
    refused(refresh(&client, view_id).await, "MEMORY_NOT_FOUND", &gone);
    client.create(Some("m"), pages(1)).await.unwrap();
    refused(refresh(&client, view_id).await, "MEMORY_NOT_FOUND", &gone);
    client.close_view(view_id, false).await.unwrap();

    let before = overhead(&client).await;
    let request = OpenViewRequest {
        memory_id: "m".to_owned(),
        length: 100,
        ttl: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..Default::default()
    };
    let opened = client.open_view(request.clone()).await.unwrap();
    let view_id = id(&opened);
    eventually("the lease has run out and its charge is back", async || {
        overhead(&client).await == before
    })
    .await;
    refused(refresh(&client, view_id).await, "VIEW_NOT_FOUND", &named(&view_id));
    for seconds in [0, 3601, -1] {
        let ttl = Some(prost_types::Duration { seconds, nanos: 0 });
        invalid(client.open_view(OpenViewRequest { ttl, ..request.clone() }).await, "ttl");
    }
    house.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_cannot_be_viewed_and_costs_nothing() {
    let quota = 30 * PAGE;
    let house = House::with(|config| config.tenants = vec![tenant("default", Some(quota))]);
    let client = house.client().await;
    client.create(Some("m"), pages(16)).await.unwrap();
    let before = overhead(&client).await;
    let (size, limit) = (16 * PAGE, 63 * PAGE);
    let numbers: [(&str, &dyn Display); 3] =
        [("offset", &size), ("length", &1), ("size_bytes", &size)];
    refused(open(&client, "m", size, 1).await, "OUT_OF_BOUNDS", &numbers);
    let numbers: [(&str, &dyn Display); 4] = [
        ("field", &"length"),
        ("length", &(limit + 1)),
        ("limit_name", &"max_read_bytes"),
        ("limit", &limit),
    ];
    refused(open(&client, "m", 0, limit + 1).await, "TOO_LARGE", &numbers);
    refused(open(&client, "n", 0, 1).await, "MEMORY_NOT_FOUND", &[("memory_id", &"n")]);
    let past = open(&client, "m", 0, 16 * PAGE).await.unwrap_err();
    assert_eq!(past.failure().unwrap().reason, "QUOTA_EXCEEDED");
    let request = ProtectMemoryRequest {
        memory_id: "m".to_owned(),
        uid: None,
        offset: 5,
        length: 1,
        protection: Protection::None.into(),
    };
    let opened = open(&client, "m", 0, 10).await.unwrap();
    client.protect_memory(request.clone()).await.unwrap();
    let numbers: [(&str, &dyn Display); 3] =
        [("offset", &5), ("length", &1), ("protection", &"PROTECTION_NONE")];
    refused(open(&client, "m", 0, 10).await, "PROTECTED", &numbers);
    refused(refresh(&client, id(&opened)).await, "PROTECTED", &numbers);
    let protection = Protection::ReadWrite.into();
    client.protect_memory(ProtectMemoryRequest { protection, ..request }).await.unwrap();
    assert!(!refresh(&client, id(&opened)).await.unwrap().changed);
    client.close_view(id(&opened), false).await.unwrap();
    let ranges = overhead(&client).await - before;
    assert!(ranges <= 4 * 512, "{ranges} beside what ranges cost");
    let mut views = Vec::new();
    loop {
        match open(&client, "m", 0, 0).await {
            Ok(opened) => views.push(opened),
            Err(full) => {
                let numbers: [(&str, &dyn Display); 3] =
                    [("limit_name", &"views"), ("limit", &1024), ("used", &1024)];
                refused(Err::<(), _>(full), "QUOTA_EXCEEDED", &numbers);
                break;
            }
        }
    }
    assert_eq!(views.len(), 1024);
    for opened in views {
        client.close_view(id(&opened), false).await.unwrap();
    }
    house.stop().await;
}

//! Claims about what WatchEvents tells: of which memory, in which order, with what in it, from where
//! on. How a watch lives and ends is in `watches.rs`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use linmemd::client::proto::event::Detail;
use linmemd::client::proto::{
    Event, EventKind, EventPosition, GrowFailed, MemoryCreated, MemoryGrown, MemoryPurged,
    MemoryQuarantined, MemorySpec, UpdateMemoryRequest, WatchEventsRequest,
};
use linmemd::client::{Client, ClientError, EventItem, EventStream, Watch};
use linmemd::units::ByteCount;

use crate::contract::{invalid, refused};
use crate::harness::{House, PAGE, pages, tenant, within};
use crate::volatility::volatile;

/// A watch that has begun.
pub(crate) async fn begun(client: &Client, watch: Watch) -> EventStream {
    let mut stream = client.watch(watch);
    let first = within("a watch begins", stream.next()).await.unwrap();
    assert!(matches!(first, EventItem::Started(_)), "{first:?}");
    stream
}

/// The next event.
pub(crate) async fn event(stream: &mut EventStream) -> Event {
    loop {
        match within("an event comes", stream.next()).await.unwrap() {
            EventItem::Event(event) => return event,
            EventItem::Progress(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn at(boot_id: &str, sequence: u64) -> Watch {
    let resume = Some(EventPosition { boot_id: boot_id.to_owned(), sequence });
    Watch { resume, ..Watch::default() }
}

pub(crate) async fn boot_id(client: &Client) -> String {
    client.server_info().await.unwrap().boot_id
}

/// Sequence, kind and name.
fn told(event: &Event) -> (u64, EventKind, &str) {
    (event.sequence, event.kind(), &event.memory_id)
}

#[tokio::test]
async fn what_happens_to_a_memory_is_told_in_order_with_its_numbers_and_no_other_tenants() {
    let house = House::with(|config| {
        config.tenants = vec![tenant("default", None), tenant("red", None)];
    });
    let (client, red) = (house.client().await, house.client_of("red").await);
    let before = SystemTime::now();
    let mut stream = begun(&client, Watch::default()).await;
    red.create(Some("m"), pages(1)).await.unwrap();
    let memory = client.create(Some("m"), pages(1)).await.unwrap();
    client.grow("m", 1).await.unwrap();
    client.grow("m", 0).await.unwrap();
    client.grow("m", 5).await.unwrap_err();
    client.write("m", 0, "no event").await.unwrap();
    client.delete("m").await.unwrap();
    let wanted = [
        (
            EventKind::Created,
            Some(Detail::Created(MemoryCreated { size_pages: 1, ..Default::default() })),
        ),
        (
            EventKind::Grown,
            Some(Detail::Grown(MemoryGrown { previous_pages: 1, current_pages: 2 })),
        ),
        (
            EventKind::GrowFailed,
            Some(Detail::GrowFailed(GrowFailed {
                delta_pages: 5,
                reason: "MAXIMUM_REACHED".to_owned(),
            })),
        ),
        (EventKind::Deleted, None),
    ];
    let mut last = before;
    for (number, (kind, detail)) in wanted.into_iter().enumerate() {
        let event = event(&mut stream).await;
        assert_eq!(told(&event), (number as u64 + 1, kind, "m"));
        assert_eq!((&event.uid, event.detail), (&memory.uid, detail));
        let time = SystemTime::try_from(event.time.unwrap()).unwrap();
        assert!(time >= last && time <= SystemTime::now());
        last = time;
    }
    drop(stream);
    house.stop().await;
}

#[tokio::test]
async fn growths_of_a_memory_that_moves_are_told_like_any_others() {
    let house = House::start();
    let client = house.client().await;
    let allocator = linmemd::client::proto::Allocator::Heap.into();
    for shared in [false, true] {
        let mut stream = begun(&client, Watch::default()).await;
        client.create(Some("m"), MemorySpec { allocator, shared, ..pages(1) }).await.unwrap();
        client.grow("m", 1).await.unwrap();
        client.delete("m").await.unwrap();
        for kind in [EventKind::Created, EventKind::Grown, EventKind::Deleted] {
            assert_eq!(event(&mut stream).await.kind(), kind);
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn a_lease_that_runs_out_is_told_once_and_its_successor_after_it() {
    let house = House::with(|config| config.lease.sweep_interval = Duration::from_millis(20));
    let client = house.client().await;
    let mut stream = begun(&client, Watch::default()).await;
    let lease_ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let memory = client.create(Some("m"), MemorySpec { lease_ttl, ..pages(1) }).await.unwrap();
    assert_eq!(told(&event(&mut stream).await), (1, EventKind::Created, "m"));
    let expired = event(&mut stream).await;
    assert_eq!(told(&expired), (2, EventKind::Expired, "m"));
    assert_eq!(expired.uid, memory.uid);
    client.create(Some("m"), pages(1)).await.unwrap();
    client.delete("m").await.unwrap();
    assert_eq!(told(&event(&mut stream).await), (3, EventKind::Created, "m"));
    assert_eq!(told(&event(&mut stream).await), (4, EventKind::Deleted, "m"));
    drop(stream);
    house.stop().await;
}

#[tokio::test]
async fn a_quarantine_is_told_once_with_its_reason_and_a_snapshot_shows_it() {
    let house = House::dedicated();
    let client = house.client().await;
    client.create(Some("m"), pages(2)).await.unwrap();
    client.fill("m", 0, 2 * PAGE, 5).await.unwrap();
    let mut stream = begun(&client, Watch::default()).await;
    // Behind the guard before the memory, and its first page.
    house.kernel.break_last_mapping(2 * 65_536, 4_096);
    client.read("m", PAGE - 8, 16).await.unwrap_err();
    client.read("m", PAGE - 8, 16).await.unwrap_err();
    let reason = "the host lost bytes of it".to_owned();
    let quarantined = event(&mut stream).await;
    assert_eq!(told(&quarantined), (2, EventKind::Quarantined, "m"));
    let detail = Detail::Quarantined(MemoryQuarantined { reason: reason.clone() });
    assert_eq!(quarantined.detail, Some(detail));
    let mut snapshot = begun(&client, Watch { snapshot: true, ..Watch::default() }).await;
    let EventItem::Present(present) = snapshot.next().await.unwrap() else { panic!() };
    let created = MemoryCreated { size_pages: 2, state_reason: reason };
    assert_eq!((present.sequence, present.detail), (0, Some(Detail::Created(created))));
    client.delete("m").await.unwrap();
    assert_eq!(told(&event(&mut stream).await), (3, EventKind::Deleted, "m"));
    drop((stream, snapshot));
    house.stop().await;
}

#[tokio::test]
async fn what_a_purge_took_is_told_with_its_range() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(4)).await.unwrap();
    client.fill("m", 0, 4 * PAGE, 5).await.unwrap();
    volatile(&client, "m", PAGE + 1, PAGE).await;
    let kinds = vec![EventKind::Purged];
    let mut stream = begun(&client, Watch { kinds, ..Watch::default() }).await;
    house.daemon.server.registry.purge(ByteCount::new(u64::MAX));
    let purged = event(&mut stream).await;
    assert_eq!(told(&purged), (2, EventKind::Purged, "m"));
    // Whole host pages of it.
    let range = MemoryPurged { offset: PAGE + 4096, length: PAGE - 4096 };
    assert_eq!(purged.detail, Some(Detail::Purged(range)));
    drop(stream);
    house.stop().await;
}

#[tokio::test]
async fn a_selector_sees_the_labels_of_the_moment_and_kinds_are_as_asked() {
    let house = House::start();
    let client = house.client().await;
    let selected = |selector: &str, kinds: &[EventKind]| Watch {
        label_selector: selector.to_owned(),
        kinds: kinds.to_vec(),
        ..Watch::default()
    };
    let mut red = begun(&client, selected("team=red", &[])).await;
    let mut ends = begun(&client, selected("", &[EventKind::Deleted, EventKind::Shared])).await;
    let labelled = |team: &str| BTreeMap::from([("team".to_owned(), team.to_owned())]);
    let spec = |team: &str| MemorySpec { labels: labelled(team), ..pages(1) };
    client.create(Some("a"), spec("red")).await.unwrap();
    client.create(Some("b"), spec("blue")).await.unwrap();
    let relabel = |memory_id: &str, team: &str| UpdateMemoryRequest {
        memory_id: memory_id.to_owned(),
        labels: labelled(team),
        ..Default::default()
    };
    client.update_memory(relabel("b", "red")).await.unwrap();
    client.grow("b", 1).await.unwrap();
    client.update_memory(relabel("a", "blue")).await.unwrap();
    client.delete("a").await.unwrap();
    client.delete("b").await.unwrap();
    for wanted in
        [(1, EventKind::Created, "a"), (3, EventKind::Grown, "b"), (5, EventKind::Deleted, "b")]
    {
        assert_eq!(told(&event(&mut red).await), wanted);
    }
    for wanted in [(4, EventKind::Deleted, "a"), (5, EventKind::Deleted, "b")] {
        assert_eq!(told(&event(&mut ends).await), wanted);
    }
    drop((red, ends));
    house.stop().await;
}

#[tokio::test]
async fn events_before_the_first_watch_are_told_to_who_resumes_at_them() {
    let house = House::start();
    let client = house.client().await;
    for name in ["a", "b", "c"] {
        client.create(Some(name), pages(1)).await.unwrap();
    }
    let boot_id = boot_id(&client).await;
    for first in 1..=3 {
        let mut stream = begun(&client, at(&boot_id, first)).await;
        for sequence in first..=3 {
            assert_eq!(event(&mut stream).await.sequence, sequence);
        }
    }
    // With what comes next it begins as any.
    let mut stream = client.watch(at(&boot_id, 4));
    let position = EventPosition { boot_id, sequence: 4 };
    assert_eq!(stream.next().await.unwrap(), EventItem::Started(position));
    client.delete("a").await.unwrap();
    assert_eq!(told(&event(&mut stream).await), (4, EventKind::Deleted, "a"));
    drop(stream);
    house.stop().await;
}

#[tokio::test]
async fn what_is_too_old_or_of_another_run_is_compacted_with_the_oldest_that_there_is() {
    let house = House::with(|config| config.events.ring = 16);
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    for _ in 0..20 {
        client.grow("m", 9).await.unwrap_err();
    }
    let own = boot_id(&client).await;
    let numbers: [(&str, &dyn Display); 2] = [("sequence", &6), ("boot_id", &own)];
    let other = "01234567-89ab-4cde-8f01-23456789abcd";
    for (boot_id, sequence) in
        [(own.as_str(), 1), (own.as_str(), 5), (other, 1), (other, 6), (other, 99)]
    {
        let request =
            WatchEventsRequest { resume: at(boot_id, sequence).resume, ..Default::default() };
        refused(raw(&client, request).await, "SEQUENCE_COMPACTED", &numbers);
        // Of the client's own stream it is an item, and it goes on there.
        let mut stream = client.watch(at(boot_id, sequence));
        let position = EventPosition { boot_id: own.clone(), sequence: 6 };
        assert_eq!(stream.next().await.unwrap(), EventItem::Compacted(position.clone()));
        assert_eq!(stream.next().await.unwrap(), EventItem::Started(position));
        assert_eq!(event(&mut stream).await.sequence, 6);
    }
    let mut stream = begun(&client, at(&own, 6)).await;
    assert_eq!(event(&mut stream).await.sequence, 6);
    drop(stream);
    house.stop().await;
}

/// The outcome of a watch's beginning.
async fn raw(client: &Client, request: WatchEventsRequest) -> Result<(), ClientError> {
    let opened = client.event_service().watch_events(client.request(request)).await;
    opened.map(drop).map_err(ClientError::from)
}

#[tokio::test]
async fn a_watch_that_asks_for_what_cannot_be_is_refused_by_its_field() {
    let house = House::start();
    let client = house.client().await;
    let boot_id = boot_id(&client).await;
    let asked = WatchEventsRequest::default;
    let of = |boot_id: &str, sequence| WatchEventsRequest {
        resume: at(boot_id, sequence).resume,
        ..asked()
    };
    let selector = WatchEventsRequest { label_selector: "a,,b".to_owned(), ..asked() };
    invalid(raw(&client, selector).await, "label_selector");
    for kind in [0, 77] {
        invalid(raw(&client, WatchEventsRequest { kinds: vec![kind], ..asked() }).await, "kinds");
    }
    invalid(raw(&client, of("no uuid", 1)).await, "resume.boot_id");
    invalid(raw(&client, of(&boot_id, 0)).await, "resume.sequence");
    invalid(raw(&client, of(&boot_id, 2)).await, "resume.sequence");
    let both = WatchEventsRequest { snapshot: true, ..of(&boot_id, 1) };
    invalid(raw(&client, both).await, "snapshot");
    raw(&client, of(&boot_id, 1)).await.unwrap();
    house.stop().await;
}

/// What there is, by uid, as a watch has told of it.
#[derive(Default)]
struct Folded {
    sizes: BTreeMap<String, u64>,
    next: u64,
}

impl Folded {
    /// Takes one item in, which must fit what came before.
    fn take(&mut self, item: EventItem) {
        let (event, fresh) = match item {
            EventItem::Present(event) => (event, false),
            EventItem::Event(event) => (event, true),
            EventItem::Started(at) | EventItem::SnapshotEnd(at) => {
                assert!(at.sequence >= self.next);
                self.next = at.sequence;
                return;
            }
            EventItem::Progress(_) => return,
            other => panic!("{other:?}"),
        };
        if fresh {
            assert!(event.sequence >= self.next, "{event:?} comes after {}", self.next);
            self.next = event.sequence + 1;
        }
        match event.detail {
            Some(Detail::Created(created)) => {
                let before = self.sizes.insert(event.uid, created.size_pages);
                assert_eq!(before, None, "{} comes twice", event.memory_id);
            }
            Some(Detail::Grown(grown)) => {
                let before = self.sizes.insert(event.uid, grown.current_pages);
                assert_eq!(before, Some(grown.previous_pages), "{}", event.memory_id);
            }
            Some(Detail::GrowFailed(_)) => {}
            None => assert!(self.sizes.remove(&event.uid).is_some(), "{}", event.memory_id),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_snapshot_and_its_tail_hold_every_change_once_while_memories_come_and_go() {
    let house = House::start();
    let client = house.client().await;
    // More than a page, so that names come and go in those that were read and those that were not.
    for number in 0..600 {
        client.create(Some(&format!("m{number:03}")), pages(1)).await.unwrap();
    }
    let over = Arc::new(AtomicBool::new(false));
    let mut churns = tokio::task::JoinSet::new();
    for worker in 0..4_u64 {
        let (client, over) = (house.client().await, Arc::clone(&over));
        churns.spawn(async move {
            let mut random = worker * 977 + 1;
            while !over.load(Ordering::Relaxed) {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(worker);
                let name = format!("m{:03}", (random >> 33) % 700);
                // Each may fail: another was faster.
                let _raced = match (random >> 20) % 3 {
                    0 => client.delete(&name).await,
                    1 => client.grow(&name, 1).await.map(drop),
                    _ => client.create(Some(&name), pages(1)).await.map(drop),
                };
            }
        });
    }
    for round in 0..6 {
        let mut stream = client.watch(Watch { snapshot: true, ..Watch::default() });
        let mut folded = Folded::default();
        let mut after_end = 0;
        while after_end < 50 {
            let item = within("the watch goes on", stream.next()).await.unwrap();
            after_end += u32::from(after_end > 0 || matches!(item, EventItem::SnapshotEnd(_)));
            folded.take(item);
        }
        if round < 5 {
            continue;
        }
        over.store(true, Ordering::Relaxed);
        while let Some(churn) = churns.join_next().await {
            churn.unwrap();
        }
        let there = client.list("").await.unwrap();
        let there: BTreeMap<String, u64> =
            there.into_iter().map(|memory| (memory.uid, memory.size_pages)).collect();
        let EventItem::Started(last) = client.watch(Watch::default()).next().await.unwrap() else {
            panic!("a watch begins otherwise");
        };
        while folded.next < last.sequence {
            folded.take(within("all of it is told", stream.next()).await.unwrap());
        }
        assert_eq!(folded.sizes, there);
    }
    house.stop().await;
}

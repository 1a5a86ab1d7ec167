//! Claims about SetVolatility: what is volatile works as ever until it is purged, is refused by every
//! way in then, and is told on return. What watches for pressure is in `pressure.rs`.

use std::fmt::Display;

use linmemd::client::proto::{
    DownloadMemoryRequest, MemorySpec, ProtectMemoryRequest, Protection, SetVolatilityRequest,
    Volatility,
};
use linmemd::client::{Client, ClientError, Upload};
use linmemd::os::kernel::{Advice, Call};
use linmemd::registry::PurgeOutcome;
use linmemd::units::ByteCount;

use crate::contract::{invalid, refused};
use crate::harness::{House, PAGE, Witness, pages, pattern};

const HOST_PAGE: u64 = 4096;
/// More than any test has.
const ALL: ByteCount = ByteCount::new(u64::MAX);

pub(crate) async fn set(
    client: &Client,
    memory_id: &str,
    offset: u64,
    length: u64,
    volatility: Volatility,
) -> Result<bool, ClientError> {
    let (memory_id, volatility) = (memory_id.to_owned(), volatility.into());
    let request = SetVolatilityRequest { memory_id, uid: None, offset, length, volatility };
    client.set_volatility(request).await
}

pub(crate) async fn volatile(client: &Client, memory_id: &str, offset: u64, length: u64) -> bool {
    set(client, memory_id, offset, length, Volatility::Volatile).await.unwrap()
}

pub(crate) async fn returns(client: &Client, memory_id: &str, offset: u64, length: u64) -> bool {
    set(client, memory_id, offset, length, Volatility::Nonvolatile).await.unwrap()
}

/// PURGED, with what was met first.
fn is_purged<T: std::fmt::Debug>(outcome: Result<T, ClientError>, offset: u64, length: u64) {
    let numbers: [(&str, &dyn Display); 2] = [("offset", &offset), ("length", &length)];
    refused(outcome, "PURGED", &numbers);
}

fn purge(house: &House, wanted: ByteCount) -> PurgeOutcome {
    house.daemon.server.registry.purge(wanted)
}

#[tokio::test]
async fn what_was_purged_is_refused_by_every_way_in_and_told_on_return_and_the_rest_stands() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    // In a slab, and with mappings of its own.
    for maximum in [8, 64] {
        let spec = MemorySpec { initial_pages: 8, maximum_pages: Some(maximum), ..pages(8) };
        client.create(Some("m"), spec).await.unwrap();
        let bytes = pattern(8 * PAGE, 9);
        client.write("m", 0, bytes.clone()).await.unwrap();
        // Parts of host pages at both ends, which never go.
        assert!(!volatile(&client, "m", PAGE - 1, 2 * PAGE + 2).await);
        client.write("m", PAGE, "works").await.unwrap();
        assert_eq!(client.read("m", PAGE, 5).await.unwrap(), "works");

        let outcome = purge(&house, ALL);
        assert_eq!((outcome.given_back_bytes, outcome.ranges), (2 * PAGE, 1), "{outcome:?}");
        assert_eq!(purge(&house, ALL), PurgeOutcome::default(), "what went is gone");
        is_purged(client.read("m", 0, 8 * PAGE).await, PAGE, 2 * PAGE);
        is_purged(client.read("m", 3 * PAGE - 1, 2).await, 3 * PAGE - 1, 1);
        let download = DownloadMemoryRequest { memory_id: "m".to_owned(), ..Default::default() };
        let mut into = Vec::new();
        is_purged(client.download_to(download, &mut into, |_| ()).await, PAGE, 2 * PAGE);
        is_purged(client.write("m", 2 * PAGE, "xy").await, 2 * PAGE, 2);
        is_purged(client.fill("m", 0, 8 * PAGE, 1).await, PAGE, 2 * PAGE);
        is_purged(client.discard("m", 2 * PAGE, 6 * PAGE).await, 2 * PAGE, PAGE);
        let upload = Upload { offset: PAGE, ..Upload::to("m") };
        let sent = client.upload_chunks(upload, [vec![1; 2].into()], |_| ()).await;
        assert_eq!(sent.unwrap_err().failure().unwrap().reason, "PURGED");
        // Beside it all is as it was.
        let before = client.read("m", 0, PAGE).await.unwrap();
        assert!(before == bytes.slice(..65_536) && !before.is_empty());
        assert!(client.read("m", 3 * PAGE, 5 * PAGE).await.unwrap() == bytes.slice(3 * 65_536..));
        // Volatile again it stays what it is.
        assert!(volatile(&client, "m", PAGE, PAGE).await);
        is_purged(client.read("m", PAGE, 1).await, PAGE, 1);

        assert!(returns(&client, "m", PAGE, PAGE).await);
        assert!(!returns(&client, "m", PAGE, PAGE).await, "told once");
        assert!(returns(&client, "m", 0, 8 * PAGE).await);
        let mut wanted = bytes.to_vec();
        wanted[65_536..3 * 65_536].fill(0);
        assert!(client.read("m", 0, 8 * PAGE).await.unwrap() == wanted, "zero, and the rest stood");
        client.write("m", PAGE, "anew").await.unwrap();
        assert_eq!(purge(&house, ALL), PurgeOutcome::default(), "what is not volatile stays");
        assert_eq!(client.read("m", PAGE, 4).await.unwrap(), "anew");
        let stats = client.memory("m").await.unwrap().stats.unwrap();
        assert_eq!(stats.trap_count, 8);
        client.delete("m").await.unwrap();
    }
    let page = house.scrape().await;
    let labels = [("tenant", "default"), ("reason", "PURGED")];
    assert_eq!(page.value("linmemd_traps_total", &labels), 16.0);
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn the_oldest_go_first_and_no_more_than_is_wanted() {
    let house = House::start();
    let client = house.client().await;
    for (number, id) in ["a", "b", "c", "d"].into_iter().enumerate() {
        // Slabs and reservations in turn.
        let maximum_pages = Some(if number % 2 == 0 { 4 } else { 64 });
        let spec = MemorySpec { initial_pages: 4, maximum_pages, ..pages(4) };
        client.create(Some(id), spec).await.unwrap();
        let seed = u8::try_from(number).unwrap();
        client.write(id, 0, pattern(4 * PAGE, seed)).await.unwrap();
    }
    for id in ["b", "a", "d", "c"] {
        volatile(&client, id, 0, 4 * PAGE).await;
    }
    // Young again: now d, a, c, b.
    volatile(&client, "a", 0, 4 * PAGE).await;
    volatile(&client, "c", 0, 4 * PAGE).await;
    assert!(!volatile(&client, "b", 0, 4 * PAGE).await);
    let outcome = purge(&house, ByteCount::new(5 * PAGE));
    assert_eq!((outcome.given_back_bytes, outcome.ranges), (5 * PAGE, 2), "{outcome:?}");
    is_purged(client.read("d", 0, 4 * PAGE).await, 0, 4 * PAGE);
    is_purged(client.read("a", 0, 4 * PAGE).await, 0, PAGE);
    let rest = client.read("a", PAGE, 3 * PAGE).await.unwrap();
    assert!(rest == pattern(4 * PAGE, 0).slice(65_536..), "the rest of the second stood");
    for (id, seed) in [("b", 1), ("c", 2)] {
        assert!(client.read(id, 0, 4 * PAGE).await.unwrap() == pattern(4 * PAGE, seed));
    }
    // A host page at least, and what was never touched gives nothing back and so is not counted.
    assert_eq!(purge(&house, ByteCount::new(1)).given_back_bytes, HOST_PAGE);
    client.create(Some("e"), pages(4)).await.unwrap();
    volatile(&client, "e", 0, 4 * PAGE).await;
    for id in ["a", "c", "b"] {
        returns(&client, id, 0, 4 * PAGE).await;
    }
    let outcome = purge(&house, ALL);
    assert_eq!((outcome.given_back_bytes, outcome.purged_bytes), (0, 4 * PAGE), "{outcome:?}");
    assert!(returns(&client, "e", 0, 4 * PAGE).await);
    house.stop().await;
}

#[tokio::test]
async fn a_protected_range_is_purged_and_told_as_any_other_and_grown_pages_stay() {
    let house = House::start();
    let client = house.client().await;
    for maximum in [8, 64] {
        let spec = MemorySpec { initial_pages: 2, maximum_pages: Some(maximum), ..pages(2) };
        client.create(Some("m"), spec).await.unwrap();
        client.fill("m", 0, 2 * PAGE, 7).await.unwrap();
        for (offset, protection) in [(0, Protection::None), (PAGE, Protection::Read)] {
            let (memory_id, protection) = ("m".to_owned(), protection.into());
            let length = PAGE;
            let request = ProtectMemoryRequest { memory_id, uid: None, offset, length, protection };
            client.protect_memory(request).await.unwrap();
        }
        volatile(&client, "m", 0, 2 * PAGE).await;
        client.grow("m", 1).await.unwrap();
        client.write("m", 2 * PAGE, "grown").await.unwrap();
        assert_eq!(purge(&house, ALL).purged_bytes, 2 * PAGE);
        is_purged(client.read("m", PAGE, PAGE).await, PAGE, PAGE);
        let numbers: [(&str, &dyn Display); 3] =
            [("offset", &0), ("length", &1), ("protection", &"PROTECTION_NONE")];
        refused(client.read("m", 0, 1).await, "PROTECTED", &numbers);
        assert_eq!(client.read("m", 2 * PAGE, 5).await.unwrap(), "grown");
        assert!(returns(&client, "m", 0, 2 * PAGE).await);
        let zero = client.read("m", PAGE, PAGE).await.unwrap();
        assert!(zero.iter().all(|byte| *byte == 0));
        let numbers: [(&str, &dyn Display); 3] =
            [("offset", &PAGE), ("length", &1), ("protection", &"PROTECTION_READ")];
        refused(client.write("m", PAGE, "x").await, "PROTECTED", &numbers);
        client.delete("m").await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_memory_that_is_in_use_is_passed_over_and_the_next_one_goes() {
    let house = House::dedicated();
    let client = house.client().await;
    for id in ["used", "idle"] {
        client.create(Some(id), pages(1)).await.unwrap();
        client.fill(id, 0, PAGE, 7).await.unwrap();
        volatile(&client, id, 0, PAGE).await;
    }
    let pause = house.kernel.pause_at(Call::Advise(Advice::DontNeed));
    let discarding = tokio::spawn({
        let client = client.clone();
        async move { client.discard("used", 0, HOST_PAGE).await }
    });
    pause.reached(1).await;
    let registry = std::sync::Arc::clone(&house.daemon.server.registry);
    let purging = tokio::task::spawn_blocking(move || registry.purge(ALL));
    // The purge of the idle one meets the same pause; the used one it has passed by then.
    pause.reached(2).await;
    drop(pause);
    let outcome = purging.await.unwrap();
    assert_eq!((outcome.purged_bytes, outcome.busy), (PAGE, 1), "{outcome:?}");
    discarding.await.unwrap().unwrap();
    is_purged(client.read("idle", 0, 1).await, 0, 1);
    assert_eq!(client.read("used", HOST_PAGE, 1).await.unwrap(), [7_u8][..]);
    assert_eq!(purge(&house, ALL).purged_bytes, PAGE, "it is there for the next round");
    house.stop().await;
}

#[tokio::test]
async fn ranges_are_charged_once_bounded_and_given_back_with_the_memory() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(32)).await.unwrap();
    let used = async || {
        let quotas = client.server_info().await.unwrap().quotas;
        quotas.iter().find(|quota| quota.resource == "overhead_bytes").unwrap().used
    };
    let before = used().await;
    for _again in 0..3 {
        for number in 0..64 {
            volatile(&client, "m", number * 2 * HOST_PAGE, HOST_PAGE).await;
        }
        assert_eq!(used().await, before + 64 * 512, "what was paid for is not paid for again");
        let numbers: [(&str, &dyn Display); 3] =
            [("limit_name", &"volatile_ranges"), ("limit", &64), ("used", &64)];
        let more = set(&client, "m", 200 * HOST_PAGE, 1, Volatility::Volatile).await;
        refused(more, "QUOTA_EXCEEDED", &numbers);
        assert!(!returns(&client, "m", 0, 32 * PAGE).await);
        assert_eq!(house.daemon.server.registry.volatile_ranges(), 0);
    }
    volatile(&client, "m", 0, 32 * PAGE).await;
    client.create(Some("other"), pages(1)).await.unwrap();
    volatile(&client, "other", 0, PAGE).await;
    assert_eq!(house.daemon.server.registry.volatile_ranges(), 2);
    client.delete("m").await.unwrap();
    assert_eq!(house.daemon.server.registry.volatile_ranges(), 1, "gone with the memory");
    // The successor of a purged memory is as new as any.
    purge(&house, ALL);
    client.delete("other").await.unwrap();
    client.create(Some("other"), pages(1)).await.unwrap();
    client.write("other", 0, "new").await.unwrap();
    assert_eq!(purge(&house, ALL), PurgeOutcome::default());
    house.stop().await;
}

#[tokio::test]
async fn a_volatility_that_says_nothing_or_a_range_outside_is_refused() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    invalid(set(&client, "m", 0, 1, Volatility::Unspecified).await, "volatility");
    let memory_id = "m".to_owned();
    let request = SetVolatilityRequest { memory_id, volatility: 77, ..Default::default() };
    invalid(client.set_volatility(request).await, "volatility");
    let size = PAGE;
    let numbers: [(&str, &dyn Display); 3] =
        [("offset", &size), ("length", &1), ("size_bytes", &size)];
    refused(set(&client, "m", size, 1, Volatility::Volatile).await, "OUT_OF_BOUNDS", &numbers);
    assert!(!volatile(&client, "m", size, 0).await);
    assert_eq!(house.daemon.server.registry.volatile_ranges(), 0, "no byte, no range");
    house.stop().await;
}

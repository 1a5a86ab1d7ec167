//! Claims about ProtectMemory: each byte allows what it was last set to, whoever asks and however; a
//! refused access changes nothing, the kernel keeps to it where it can, and the end is as ever.

use std::fmt::Display;

use linmemd::client::proto::{
    CheckOutcome, DownloadMemoryRequest, MemorySpec, ProtectMemoryRequest, Protection,
    VerificationCheck,
};
use linmemd::client::{Client, ClientError, Upload};
use linmemd::os::kernel::Call;

use crate::contract::{invalid, refused};
use crate::harness::{House, PAGE, Witness, pages, pattern};

async fn protect(
    client: &Client,
    memory_id: &str,
    offset: u64,
    length: u64,
    protection: Protection,
) -> Result<(), ClientError> {
    let memory_id = memory_id.to_owned();
    let protection = protection.into();
    let request = ProtectMemoryRequest { memory_id, uid: None, offset, length, protection };
    client.protect_memory(request).await
}

/// PROTECTED, with what was met first.
fn is_protected<T: std::fmt::Debug>(
    outcome: Result<T, ClientError>,
    offset: u64,
    length: u64,
    protection: Protection,
) {
    let word = protection.as_str_name();
    let numbers: [(&str, &dyn Display); 3] =
        [("offset", &offset), ("length", &length), ("protection", &word)];
    refused(outcome, "PROTECTED", &numbers);
}

#[tokio::test]
async fn a_range_allows_what_it_was_set_to_by_every_way_in_and_the_rest_stands() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    // In a slab, and with mappings of its own.
    for maximum in [8, 64] {
        let spec = MemorySpec { initial_pages: 8, maximum_pages: Some(maximum), ..pages(8) };
        client.create(Some("m"), spec).await.unwrap();
        let bytes = pattern(8 * PAGE, 9);
        client.write("m", 0, bytes.clone()).await.unwrap();
        protect(&client, "m", PAGE + 1, 2 * PAGE, Protection::Read).await.unwrap();
        protect(&client, "m", 2 * PAGE, 10, Protection::None).await.unwrap();

        let (read, none) = (Protection::Read, Protection::None);
        let whole = client.read("m", 0, 8 * PAGE).await;
        is_protected(whole, 2 * PAGE, 10, none);
        is_protected(client.read("m", 2 * PAGE + 9, 2).await, 2 * PAGE + 9, 1, none);
        let download = DownloadMemoryRequest { memory_id: "m".to_owned(), ..Default::default() };
        let mut into = Vec::new();
        is_protected(client.download_to(download, &mut into, |_| ()).await, 2 * PAGE, 10, none);
        is_protected(client.write("m", PAGE, "xy").await, PAGE + 1, 1, read);
        is_protected(client.fill("m", 0, 8 * PAGE, 1).await, PAGE + 1, PAGE - 1, read);
        is_protected(client.discard("m", 0, 8 * PAGE).await, PAGE + 1, PAGE - 1, read);
        let upload = Upload { offset: PAGE, ..Upload::to("m") };
        let sent = client.upload_chunks(upload, [vec![1; 2].into()], |_| ()).await;
        assert_eq!(sent.unwrap_err().failure().unwrap().reason, "PROTECTED");
        assert_eq!(client.read("m", PAGE, 100).await.unwrap(), bytes.slice(65_536..65_636));
        client.write("m", 3 * PAGE + 1, "after").await.unwrap();
        // Grown pages are nobody's to refuse.
        if maximum > 8 {
            client.grow("m", 1).await.unwrap();
            client.write("m", 8 * PAGE, "new").await.unwrap();
        }
        protect(&client, "m", 0, 8 * PAGE, Protection::ReadWrite).await.unwrap();
        let mut wanted = bytes.to_vec();
        wanted[3 * 65_536 + 1..][..5].copy_from_slice(b"after");
        assert!(client.read("m", 0, 8 * PAGE).await.unwrap() == wanted, "nothing else changed");
        let stats = client.memory("m").await.unwrap().stats.unwrap();
        assert_eq!(stats.trap_count, 7);
        client.delete("m").await.unwrap();
    }
    let page = house.scrape().await;
    let labels = [("tenant", "default"), ("reason", "PROTECTED")];
    assert_eq!(page.value("linmemd_traps_total", &labels), 14.0);
    witness.is_unharmed().await;
    house.stop().await;
}

fn nines(length: u64) -> Vec<u8> {
    vec![9; usize::try_from(length).unwrap()]
}

#[tokio::test]
async fn a_host_page_that_is_opened_again_in_part_can_be_used_there_and_nowhere_else() {
    let house = House::start();
    let client = house.client().await;
    for maximum in [8, 64] {
        let spec = MemorySpec { initial_pages: 4, maximum_pages: Some(maximum), ..pages(4) };
        client.create(Some("m"), spec).await.unwrap();
        client.fill("m", 0, 4 * PAGE, 7).await.unwrap();
        protect(&client, "m", 0, PAGE, Protection::None).await.unwrap();
        // The head of one page, the end of one and the head of the next, the middle of one.
        for (offset, length) in [(0, 100), (3 * 4096 - 9, 18), (5 * 4096 + 7, 1)] {
            protect(&client, "m", offset, length, Protection::ReadWrite).await.unwrap();
            client.write("m", offset, nines(length)).await.unwrap();
            assert_eq!(client.read("m", offset, length).await.unwrap(), nines(length));
            let none = Protection::None;
            is_protected(client.read("m", offset + length, 1).await, offset + length, 1, none);
        }
        // Ragged at both ends, over pages that were shut.
        protect(&client, "m", 8 * 4096 + 5, 3 * 4096, Protection::Read).await.unwrap();
        assert_eq!(client.read("m", 8 * 4096 + 5, 3 * 4096).await.unwrap(), vec![7; 3 * 4096]);
        let report = client.verify("m").await.unwrap();
        let failed = |check: &&VerificationCheck| check.outcome() == CheckOutcome::Failed;
        assert_eq!(report.checks.iter().find(failed), None);
        protect(&client, "m", 0, 4 * PAGE, Protection::ReadWrite).await.unwrap();
        client.fill("m", 0, 4 * PAGE, 1).await.unwrap();
        client.delete("m").await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_protected_memory_ends_as_any_other_and_its_successor_is_zero_and_open() {
    let house = House::start();
    let client = house.client().await;
    for maximum in [8, 64] {
        let spec = MemorySpec { initial_pages: 4, maximum_pages: Some(maximum), ..pages(4) };
        for _round in 0..3 {
            client.create(Some("m"), spec.clone()).await.unwrap();
            let zero = client.read("m", 0, 4 * PAGE).await.unwrap();
            assert!(zero.iter().all(|byte| *byte == 0));
            client.fill("m", 0, 4 * PAGE, 0x5E).await.unwrap();
            protect(&client, "m", 0, 3 * PAGE, Protection::None).await.unwrap();
            protect(&client, "m", 3 * PAGE, PAGE, Protection::Read).await.unwrap();
            client.delete("m").await.unwrap();
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn ranges_and_their_mappings_are_charged_bounded_and_given_back_with_the_memory() {
    let house = House::start();
    let client = house.client().await;
    let spec = MemorySpec { initial_pages: 32, maximum_pages: Some(64), ..pages(32) };
    client.create(Some("m"), spec).await.unwrap();
    let used = async |resource: &str| {
        let quotas = client.server_info().await.unwrap().quotas;
        quotas.iter().find(|quota| quota.resource == resource).unwrap().used
    };
    let before = used("mappings").await;
    for number in 0..64 {
        protect(&client, "m", number * 2 * 4096, 4096, Protection::Read).await.unwrap();
    }
    assert_eq!(used("mappings").await, before + 2 * 64);
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &"protected_ranges"), ("limit", &64), ("used", &64)];
    let more = protect(&client, "m", 200 * 4096, 4096, Protection::Read).await;
    refused(more, "QUOTA_EXCEEDED", &numbers);
    client.write("m", 200 * 4096, "open").await.unwrap();
    // Set again it costs nothing.
    protect(&client, "m", 0, 4096, Protection::None).await.unwrap();
    assert_eq!(used("mappings").await, before + 2 * 64);
    client.delete("m").await.unwrap();
    assert_eq!(used("mappings").await, 0);
    house.stop().await;
}

#[tokio::test]
async fn what_the_kernel_refuses_changes_nothing() {
    let house = House::dedicated();
    let client = house.client().await;
    client.create(Some("m"), pages(4)).await.unwrap();
    client.fill("m", 0, 4 * PAGE, 7).await.unwrap();
    house.kernel.plan.fail_call(Call::Protect, libc::ENOMEM, 1);
    let outcome = protect(&client, "m", 0, 2 * PAGE, Protection::None).await;
    refused(outcome, "HOST_EXHAUSTED", &[("limit_name", &"mappings or address space")]);
    client.write("m", 0, "still open").await.unwrap();
    assert_eq!(client.read("m", 0, 10).await.unwrap(), "still open");
    house.stop().await;
}

#[tokio::test]
async fn a_protection_that_says_nothing_or_a_range_outside_is_refused() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    invalid(protect(&client, "m", 0, 1, Protection::Unspecified).await, "protection");
    let request = ProtectMemoryRequest {
        memory_id: "m".to_owned(),
        length: 1,
        protection: 77,
        ..Default::default()
    };
    invalid(client.protect_memory(request).await, "protection");
    let size = PAGE;
    let numbers: [(&str, &dyn Display); 3] =
        [("offset", &size), ("length", &1), ("size_bytes", &size)];
    let outside = protect(&client, "m", size, 1, Protection::Read).await;
    refused(outside, "OUT_OF_BOUNDS", &numbers);
    protect(&client, "m", size, 0, Protection::None).await.unwrap();
    house.stop().await;
}

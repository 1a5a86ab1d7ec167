//! Claims about verification: each level finds what it promises, what was found is never returned, and
//! the report says what was checked.

use std::fmt::Display;
use std::time::Duration;

use linmemd::client::proto::{
    Allocator, CheckOutcome, CreateMemoryRequest, DownloadMemoryRequest, GrowMemoryRequest,
    MemorySpec, MemoryState, ProtectMemoryRequest, Protection, Verification, VerificationCheck,
    VerificationReport, VerifyMemoryRequest,
};
use linmemd::client::{Client, ClientError, Upload};
use linmemd::os::kernel::{Advice, Call};

use crate::contract::refused;
use crate::grpc::{Wire, framed};
use crate::harness::{House, PAGE, Witness, pages, pattern};

const HOST_PAGE: u64 = 4096;
/// Of the memories made here, before byte 0.
const GUARD: usize = 65_536;
const LENGTHS: [&str; 2] = ["lengths", "mapping"];
const STRUCTURE: [&str; 5] = ["lengths", "mapping", "guards", "published_pages", "placement"];

/// A memory of 4 pages, full of known bytes.
async fn filled(client: &Client, verification: Verification) -> bytes::Bytes {
    let spec = MemorySpec { verification: verification.into(), ..pages(4) };
    let memory = client.create(Some("m"), spec).await.unwrap();
    assert_eq!(memory.spec.unwrap().verification(), verification);
    let bytes = pattern(4 * PAGE, 9);
    client.write("m", 0, bytes.clone()).await.unwrap();
    bytes
}

fn is_corrupted<T: std::fmt::Debug>(outcome: Result<T, ClientError>, offset: u64) {
    let numbers: [(&str, &dyn Display); 2] = [("offset", &offset), ("length", &HOST_PAGE)];
    refused(outcome, "CORRUPTED", &numbers);
}

/// It can be looked at and deleted, and its successor is zero.
async fn is_quarantined(client: &Client) {
    let why = "it was found corrupted";
    refused(client.read("m", 0, 1).await, "QUARANTINED", &[("state_reason", &why)]);
    refused(client.verify("m").await, "QUARANTINED", &[("state_reason", &why)]);
    let memory = client.memory("m").await.unwrap();
    assert_eq!((memory.state(), memory.state_reason.as_str()), (MemoryState::Quarantined, why));
    client.delete("m").await.unwrap();
}

fn failed(report: &VerificationReport) -> Vec<&str> {
    let failed = report.checks.iter().filter(|check| check.outcome() == CheckOutcome::Failed);
    failed.map(|check| check.check.as_str()).collect()
}

#[tokio::test]
async fn every_level_says_what_it_checked_of_an_intact_memory() {
    use Verification::{Basic, Full, Off, Redundant, Sampling, Standard};
    for house in [House::start(), House::dedicated()] {
        let client = house.client().await;
        let kept = [&STRUCTURE[..], &["page_map", "checksums"]].concat();
        let redundant = [&kept[..], &["shadow_copy"]].concat();
        let levels = [
            (Off, STRUCTURE.to_vec(), 0),
            (Basic, LENGTHS.to_vec(), 0),
            (Standard, STRUCTURE.to_vec(), 0),
            (Sampling, kept.clone(), 64),
            (Full, kept, 64),
            (Redundant, redundant, 64),
        ];
        for (verification, checks, written) in levels {
            let bytes = filled(&client, verification).await;
            let report = client.verify("m").await.unwrap();
            assert_eq!(report.verification(), verification);
            let names: Vec<&str> = report.checks.iter().map(|check| check.check.as_str()).collect();
            assert_eq!(names, checks, "{verification:?}");
            for check in &report.checks {
                assert_eq!(check.outcome(), CheckOutcome::Passed, "{verification:?} {check:?}");
                assert_eq!(check.detail, "");
            }
            let checked = if verification == Sampling { 1..=8 } else { written..=written };
            assert!(checked.contains(&report.pages_checked), "{report:?}");
            assert_eq!((report.pages, report.pages_protected), (written, 0));
            assert_eq!(report.first_bad_page, None);
            assert!(client.read("m", 0, 4 * PAGE).await.unwrap() == bytes);
            client.delete("m").await.unwrap();
        }
        house.stop().await;
    }
}

#[tokio::test]
async fn memories_of_a_heap_and_of_an_arena_say_what_of_them_can_be_verified() {
    use Verification::{Basic, Full, Off, Standard};
    let arena = House::with_arena(2, 4);
    let has_arena = arena.is_some();
    let house = arena.unwrap_or_else(House::start);
    let client = house.client().await;
    let mut homes = vec![(Allocator::Heap, false), (Allocator::Heap, true)];
    homes.extend(has_arena.then_some((Allocator::Fixed, false)));
    for (allocator, shared) in homes {
        let heap = allocator == Allocator::Heap;
        let highest = if heap { None } else { Some(Full) };
        for verification in [Off, Basic, Standard].into_iter().chain(highest) {
            let spec = MemorySpec {
                allocator: allocator.into(),
                shared,
                maximum_pages: Some(4),
                verification: verification.into(),
                ..pages(2)
            };
            client.create(Some("m"), spec).await.unwrap();
            client.write("m", 0, pattern(2 * PAGE, 9)).await.unwrap();
            client.grow("m", 1).await.unwrap();
            let report = client.verify("m").await.unwrap();
            for VerificationCheck { check, outcome, detail } in &report.checks {
                let (wanted, said) = match (heap, check.as_str()) {
                    (true, "mapping" | "published_pages") => (CheckOutcome::Skipped, "no mapping"),
                    (true, "guards") => (CheckOutcome::Skipped, "no guards"),
                    (false, "guards") => (CheckOutcome::Passed, "65536 bytes of its slot"),
                    _ => (CheckOutcome::Passed, ""),
                };
                assert_eq!(*outcome, i32::from(wanted), "{verification:?} {check} {detail}");
                assert!(detail.contains(said) && detail.is_empty() == said.is_empty(), "{detail}");
            }
            let checks = match verification {
                Basic => 2,
                Full => 7,
                _ => 5,
            };
            assert_eq!(report.checks.len(), checks, "{report:?}");
            client.delete("m").await.unwrap();
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn off_basic_and_standard_return_a_flipped_byte() {
    let house = House::dedicated();
    let client = house.client().await;
    for verification in [Verification::Off, Verification::Basic, Verification::Standard] {
        let bytes = filled(&client, verification).await;
        house.kernel.flip(0, GUARD + 9000);
        let found = client.read("m", 9000, 1).await.unwrap();
        assert_eq!(found[0], bytes[9000] ^ 0x10);
        assert_eq!(failed(&client.verify("m").await.unwrap()), [""; 0]);
        client.delete("m").await.unwrap();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_flipped_byte_is_corrupted_under_full_and_never_returned() {
    let house = House::dedicated();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let download = || DownloadMemoryRequest { memory_id: "m".to_owned(), ..Default::default() };
    for way in 0..5 {
        let bytes = filled(&client, Verification::Full).await;
        house.kernel.flip(0, GUARD + 9000);
        // What is beside it stands.
        assert!(client.read("m", 0, 8192).await.unwrap() == bytes.slice(..8192));
        match way {
            0 => is_corrupted(client.read("m", 9000, 1).await, 8192),
            1 => is_corrupted(client.read("m", 0, 4 * PAGE).await, 8192),
            2 => {
                let mut into = Vec::new();
                is_corrupted(client.download_to(download(), &mut into, |_| ()).await, 8192);
                assert!(into.is_empty(), "nothing of that message was sent");
            }
            3 => is_corrupted(client.write("m", 8190, "four").await, 8192),
            _ => {
                let upload = Upload { offset: 12_287, ..Upload::to("m") };
                let sent = client.upload_chunks(upload, [vec![1; 9].into()], |_| ()).await;
                assert_eq!(sent.unwrap_err().failure().unwrap().reason, "CORRUPTED");
            }
        }
        is_quarantined(&client).await;
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn a_flipped_byte_of_either_copy_is_corrupted_under_redundant() {
    let house = House::dedicated();
    let client = house.client().await;
    // The shadow copy is mapped after the memory.
    for (later, in_shadow_copy) in [(1, false), (0, true)] {
        for verifies in [false, true] {
            filled(&client, Verification::Redundant).await;
            house.kernel.flip(later, GUARD + 9000);
            if verifies {
                let report = client.verify("m").await.unwrap();
                let check = if in_shadow_copy { "shadow_copy" } else { "checksums" };
                assert_eq!(failed(&report), [check]);
                assert_eq!(report.first_bad_page.unwrap().in_shadow_copy, in_shadow_copy);
            } else {
                is_corrupted(client.read("m", 8999, 3).await, 8192);
            }
            is_quarantined(&client).await;
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn verify_finds_a_flipped_byte_under_full_and_names_the_first_bad_page() {
    let house = House::with(|config| {
        config.memory.slabs = false;
        config.pool.slice_bytes = 64 << 10;
    });
    let client = house.client().await;
    let bytes = filled(&client, Verification::Full).await;
    house.kernel.flip(0, GUARD + 150_000);
    house.kernel.flip(0, GUARD + 200_000);
    let report = client.verify("m").await.unwrap();
    assert_eq!(failed(&report), ["checksums"]);
    let bad = report.first_bad_page.unwrap();
    let offset = 150_000 / HOST_PAGE * HOST_PAGE;
    assert_eq!((bad.host_page, bad.offset, bad.length), (36, offset, HOST_PAGE));
    let at = usize::try_from(offset).unwrap();
    let mut page = bytes[at..at + 4096].to_vec();
    assert_eq!(bad.expected_crc64, linmemd::checksum::crc64(&page));
    page[150_000 - at] ^= 0x10;
    assert_eq!(bad.found_crc64, linmemd::checksum::crc64(&page));
    assert_eq!((report.pages, report.pages_checked), (37, 37), "it ends there");
    let page = house.scrape().await;
    assert_eq!(page.value("linmemd_quarantined_memories", &[]), 1.0);
    is_quarantined(&client).await;
    house.stop().await;
}

#[tokio::test]
async fn sampling_finds_a_flipped_byte_within_sixteen_verifications() {
    let house = House::dedicated();
    let client = house.client().await;
    let bytes = filled(&client, Verification::Sampling).await;
    let mut checked = 0;
    for _ in 0..16 {
        checked += client.verify("m").await.unwrap().pages_checked;
    }
    assert_eq!(checked, 64, "each page once");
    house.kernel.flip(0, GUARD + 9000);
    assert_eq!(client.read("m", 9000, 1).await.unwrap()[0], bytes[9000] ^ 0x10, "unchecked");
    let mut calls = 0;
    let bad = loop {
        calls += 1;
        if let Some(bad) = client.verify("m").await.unwrap().first_bad_page {
            break bad;
        }
    };
    assert!(calls <= 16, "{calls}");
    assert_eq!(bad.host_page, 2);
    is_quarantined(&client).await;
    house.stop().await;
}

#[tokio::test]
async fn a_guard_taken_away_is_found_by_standard_and_not_by_basic() {
    let house = House::dedicated();
    let client = house.client().await;
    let room = 8 * 65_536;
    for at in [0, GUARD - 4096, GUARD + 4 * 65_536, GUARD + room, 2 * GUARD + room - 4096] {
        filled(&client, Verification::Basic).await;
        house.kernel.open_last_mapping(at, 4096);
        assert_eq!(failed(&client.verify("m").await.unwrap()), [""; 0]);
        client.delete("m").await.unwrap();
        filled(&client, Verification::Standard).await;
        house.kernel.open_last_mapping(at, 4096);
        let report = client.verify("m").await.unwrap();
        assert_eq!(failed(&report), ["guards"], "{report:?}");
        is_quarantined(&client).await;
    }
    house.stop().await;
}

#[tokio::test]
async fn a_page_that_may_not_be_read_is_left_out_and_counted_unless_the_host_lost_it() {
    let house = House::dedicated();
    let client = house.client().await;
    filled(&client, Verification::Full).await;
    let request = ProtectMemoryRequest {
        memory_id: "m".to_owned(),
        offset: 100,
        length: 3 * HOST_PAGE,
        protection: Protection::None.into(),
        ..Default::default()
    };
    client.protect_memory(request).await.unwrap();
    let report = client.verify("m").await.unwrap();
    assert_eq!(failed(&report), [""; 0], "{report:?}");
    assert_eq!((report.pages, report.pages_checked, report.pages_protected), (64, 62, 2));
    house.kernel.break_last_mapping(GUARD + 40_960, 4096);
    let numbers: [(&str, &dyn Display); 2] = [("offset", &40_960), ("length", &HOST_PAGE)];
    refused(client.verify("m").await, "HARDWARE_FAULT", &numbers);
    assert_eq!(client.memory("m").await.unwrap().state(), MemoryState::Quarantined);
    house.stop().await;
}

#[tokio::test]
async fn what_is_kept_is_paid_before_grows_with_the_memory_and_is_given_back() {
    // Without events, which would be charged as well.
    let house = House::with(|config| config.events.ring = 0);
    let client = house.client().await;
    let used = async || {
        let quotas = client.server_info().await.unwrap().quotas;
        let used = |name: &str| quotas.iter().find(|quota| quota.resource == name).unwrap().used;
        [used("committed_bytes"), used("overhead_bytes"), used("reserved_bytes")]
    };
    let nothing = used().await;
    let mut figures = Vec::new();
    for verification in [Verification::Off, Verification::Full, Verification::Redundant] {
        let spec = MemorySpec {
            maximum_pages: Some(4096),
            verification: verification.into(),
            ..pages(16)
        };
        // Without request ids, which would be charged as well.
        let (memory_id, spec) = (Some("m".to_owned()), Some(spec));
        let request = CreateMemoryRequest { memory_id, spec, ..Default::default() };
        client.memory_service().create_memory(client.request(request)).await.unwrap();
        let before = used().await;
        let request = GrowMemoryRequest {
            memory_id: "m".to_owned(),
            delta_pages: 1024,
            ..Default::default()
        };
        client.memory_service().grow_memory(client.request(request)).await.unwrap();
        let after = used().await;
        figures.push([after[0] - before[0], after[1] - before[1], before[2] - nothing[2]]);
        let report = client.verify("m").await.unwrap();
        assert_eq!(failed(&report), [""; 0], "{report:?}");
        client.delete("m").await.unwrap();
        assert_eq!(used().await, nothing);
    }
    let [off, full, redundant] = figures[..] else { panic!() };
    let more = 1024 * PAGE;
    assert_eq!((off[0], off[1]), (more, 0));
    let kept = more / HOST_PAGE * 8;
    assert_eq!(full[0], more);
    assert!((kept..kept * 5 / 4).contains(&full[1]), "{full:?}");
    assert_eq!((redundant[0], redundant[1]), (2 * more, full[1]));
    assert_eq!((full[2], redundant[2]), (off[2], 2 * off[2]));
    house.stop().await;
}

#[tokio::test]
async fn a_verification_whose_deadline_passes_ends_and_the_memory_is_as_it_was() {
    let house = House::with(|config| {
        config.memory.slabs = false;
        config.pool.slice_bytes = 64 << 10;
    });
    let client = house.client().await;
    let bytes = filled(&client, Verification::Sampling).await;
    let wire = Wire::connect(house.grpc()).await;
    let pause = house.kernel.pause_at(Call::Advise(Advice::PopulateRead));
    let verify = framed(&VerifyMemoryRequest { memory_id: "m".to_owned(), uid: None });
    let mut started = wire.begin("VerifyMemory", &[("grpc-timeout", "50m")]).await;
    started.body.send_data(verify.into(), true).unwrap();
    let answer = tokio::spawn(started.answer());
    pause.reached(1).await;
    wire.let_pass(Duration::from_millis(60)).await;
    drop(pause);
    refused(answer.await.unwrap().outcome(), "DEADLINE_PASSED", &[]);
    let mut checked = 0;
    for _ in 0..16 {
        checked += client.verify("m").await.unwrap().pages_checked;
    }
    assert_eq!(checked, 64, "no part was passed over");
    client.grow("m", 1).await.unwrap();
    assert!(client.read("m", 0, 4 * PAGE).await.unwrap() == bytes);
    house.stop().await;
}

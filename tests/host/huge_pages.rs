//! A real pool of 32 huge pages: given when asked for and seen so by the kernel, told when it is
//! empty, zero for whoever gets one next, and nothing of it felt by a neighbour.
//!
//! Owns: the pool's size while the test runs. Law: it is put back by `Drop`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use linmemd::client::proto::{GetMemoryRequest, HugePages, MemorySpec, MemoryView};
use linmemd::client::{Client, ClientError};

use crate::daemon::Daemon;
use crate::{host, say};

const POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
/// WebAssembly pages in a huge page of 2 MiB.
const EACH: u64 = 32;
const HUGE: u64 = 2 << 20;

pub(crate) struct Pool(String);

impl Pool {
    pub(crate) fn of(pages: u32) -> Self {
        let before = fs::read_to_string(POOL).expect("a pool of 2 MiB pages");
        fs::write(POOL, pages.to_string()).expect("root may write it");
        let pool = Self(before.trim().to_owned());
        let now = fs::read_to_string(POOL).expect("a pool of 2 MiB pages");
        assert_eq!(now.trim(), pages.to_string(), "the machine has no room for the pool");
        pool
    }
}

impl Pool {
    /// Pages that nobody has.
    pub(crate) fn free() -> u32 {
        let free = fs::read_to_string(POOL.replace("nr_hugepages", "free_hugepages"));
        free.expect("a pool of 2 MiB pages").trim().parse().expect("a number")
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Err(error) = fs::write(POOL, &self.0) {
            say(&format!("the pool of huge pages could not be put back to {}: {error}", self.0));
        }
    }
}

fn spec(initial_pages: u64, kinds: &[HugePages]) -> MemorySpec {
    let huge_pages = kinds.iter().map(|kind| i32::from(*kind)).collect();
    MemorySpec { initial_pages, maximum_pages: Some(4096), huge_pages, ..Default::default() }
}

fn reason<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> String {
    let error = outcome.expect_err("a refusal");
    error.failure().map_or_else(|| error.to_string(), |failure| failure.reason.clone())
}

async fn given(client: &Client, id: &str) -> Vec<i32> {
    let view = MemoryView::Full.into();
    let get = GetMemoryRequest { memory_id: id.to_owned(), view, ..Default::default() };
    let memory = client.get_memory(get).await.expect("a memory");
    memory.placement.expect("in full").pages.expect("pages").given
}

#[tokio::test]
async fn a_pool_of_32_huge_pages_is_given_told_empty_and_recycled_zero_beside_a_neighbour() {
    let Some(program) = host("a pool of 32 huge pages") else { return };
    let pool = Pool::of(32);
    let daemon = Daemon::start(&program, "");
    let client = daemon.client("default", 2).await;

    client.create(Some("neighbour"), spec(4, &[])).await.expect("a neighbour");
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let hammer = tokio::spawn({
        let (client, stop, rounds) = (client.clone(), Arc::clone(&stop), Arc::clone(&rounds));
        async move {
            let mut round = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let bytes = round.to_le_bytes().repeat(512);
                client.write("neighbour", round % 128, bytes.clone()).await.expect("a write");
                let read = client.read("neighbour", round % 128, 4096).await.expect("a read");
                assert_eq!(read, bytes);
                round += 1;
                rounds.store(round, Ordering::Relaxed);
            }
        }
    });

    client.create(Some("h"), spec(8 * EACH, &[HugePages::HugePages2m])).await.expect("8 pages");
    assert_eq!(given(&client, "h").await, [i32::from(HugePages::HugePages2m)]);
    let seen = || daemon.smaps_kib(&["Private_Hugetlb", "Shared_Hugetlb"]) * 1024;
    client.fill("h", 0, 8 * HUGE, 0x5E).await.expect("a fill");
    assert_eq!(seen(), 8 * HUGE, "in smaps");
    // Past a granule's end, by one page: another huge page is taken and charged.
    client.grow("h", 1).await.expect("the ninth");
    client.fill("h", 8 * HUGE, 65_536, 0x5E).await.expect("a fill");
    assert_eq!(seen(), 9 * HUGE, "in smaps");
    client.grow("h", 24 * EACH - 1).await.expect("all 32");
    client.fill("h", 0, 32 * HUGE, 0x5E).await.expect("a fill");
    assert_eq!(seen(), 32 * HUGE, "in smaps");

    assert_eq!(reason(client.grow("h", 1).await), "HUGE_PAGES_EXHAUSTED");
    let only = client.create(Some("n"), spec(1, &[HugePages::HugePages2m])).await;
    assert_eq!(reason(only), "HUGE_PAGES_EXHAUSTED");
    let gibibyte = client.create(Some("n"), spec(1, &[HugePages::HugePages1g])).await;
    assert_eq!(reason(gibibyte), "HUGE_PAGES_EXHAUSTED");
    let rather = spec(1, &[HugePages::HugePages2m, HugePages::Base]);
    client.create(Some("n"), rather).await.expect("base pages");
    assert_eq!(given(&client, "n").await, [i32::from(HugePages::Base)]);
    let counted = daemon.metric("linmemd_placement_fallbacks_total{kind=\"huge_pages\"}");
    assert_eq!(counted, 1.0, "reported");
    let last = client.read("h", 32 * HUGE - 3, 3).await.expect("a read");
    assert_eq!(last, vec![0x5E; 3], "the memory is as it was");

    for _recycle in 0..20 {
        client.delete("h").await.expect("a delete");
        let whole = spec(32 * EACH, &[HugePages::HugePages2m]);
        client.create(Some("h"), whole).await.expect("all 32 again");
        for at in (0..32 * HUGE).step_by(1 << 20) {
            let bytes = client.read("h", at, 1 << 20).await.expect("a read");
            assert!(bytes.iter().all(|byte| *byte == 0), "a recycled huge page is zero");
        }
        client.fill("h", 0, 32 * HUGE, 0x5E).await.expect("a fill");
    }
    stop.store(true, Ordering::Relaxed);
    hammer.await.expect("the neighbour's bytes");
    let rounds = rounds.load(Ordering::Relaxed);
    assert!(rounds > 100, "{rounds}");
    say(&format!(
        "huge pages: 32 of 32 given and seen in smaps, the next one HUGE_PAGES_EXHAUSTED or base \
         pages, 20 recycles zero; a neighbour wrote and read {rounds} times meanwhile, unharmed"
    ));
    daemon.stop();
    drop(pool);
}

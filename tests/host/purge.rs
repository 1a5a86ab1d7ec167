//! Volatile ranges under a real limit of a real control group: the oldest go, the daemon lives, and
//! without them it would not.

use bytes::Bytes;
use linmemd::client::proto::{MemorySpec, SetVolatilityRequest, Volatility};
use linmemd::client::{Client, ClientError};

use crate::group::{LIMIT, MIB, group};
use crate::{host, say};

const PAGE: u64 = 65_536;
/// Pages of each memory that may go: 24 MiB.
const EACH: u64 = 384;
/// In which order they become volatile.
const ORDER: [u8; 8] = [3, 0, 6, 1, 7, 2, 5, 4];
/// Memories of as many pages that come later and stay. With all others 304 MiB, and the daemon's own.
const LATER: u8 = 4;

async fn create(client: &Client, id: &str, pages: u64) {
    let spec =
        MemorySpec { initial_pages: pages, maximum_pages: Some(pages), ..Default::default() };
    client.create(Some(id), spec).await.expect("a memory");
}

async fn set(client: &Client, id: &str, volatility: Volatility) -> bool {
    let request = SetVolatilityRequest {
        memory_id: id.to_owned(),
        length: EACH * PAGE,
        volatility: volatility.into(),
        ..Default::default()
    };
    client.set_volatility(request).await.expect("a volatility")
}

fn pattern(seed: u8) -> Bytes {
    (0..32 * PAGE).map(|at| (at % 251) as u8 ^ seed).collect::<Vec<u8>>().into()
}

/// Bytes that stay, memories that may go, and then more than the limit has room for.
async fn fill(client: &Client) -> Result<(), ClientError> {
    create(client, "keeper", 256).await;
    for piece in 0..8 {
        client.write("keeper", u64::from(piece) * 32 * PAGE, pattern(piece)).await?;
    }
    for number in 0..8 {
        let id = format!("volatile-{number}");
        create(client, &id, EACH).await;
        client.fill(&id, 0, EACH * PAGE, number + 1).await?;
    }
    for number in ORDER {
        set(client, &format!("volatile-{number}"), Volatility::Volatile).await;
    }
    for number in 0..LATER {
        let id = format!("later-{number}");
        create(client, &id, EACH).await;
        client.fill(&id, 0, EACH * PAGE, 100 + number).await?;
    }
    Ok(())
}

/// Whether every byte is there; none where it is told that they went.
async fn holds(client: &Client, id: &str, value: u8) -> Option<bool> {
    for piece in 0..EACH / 32 {
        match client.read(id, piece * 32 * PAGE, 32 * PAGE).await {
            Ok(bytes) if bytes.iter().all(|byte| *byte == value) => {}
            Ok(_others) => return Some(false),
            Err(error) => {
                assert_eq!(error.failure().expect("ours").reason, "PURGED", "{error:?}");
                return None;
            }
        }
    }
    Some(true)
}

#[tokio::test]
async fn under_a_real_memory_limit_the_oldest_are_purged_and_the_daemon_lives() {
    const TEST: &str = "a purge under a real memory limit";
    let Some(program) = host(TEST) else { return };
    let Some(group) = group(TEST, "linmemd-purge") else { return };
    let daemon = group.daemon(&program, "[memory]\nhost_budget = \"4GiB\"\npurge_at = 0.9\n");
    let client = daemon.client("default", 1).await;
    fill(&client).await.expect("the daemon lives");
    assert_eq!(group.killed(), 0);

    for piece in 0..8 {
        let offset = u64::from(piece) * 32 * PAGE;
        let bytes = client.read("keeper", offset, 32 * PAGE).await.expect("a read");
        assert!(bytes == pattern(piece), "bytes that stay changed");
    }
    for number in 0..LATER {
        assert_eq!(holds(&client, &format!("later-{number}"), 100 + number).await, Some(true));
    }
    let mut went = Vec::new();
    for number in ORDER {
        let held = holds(&client, &format!("volatile-{number}"), number + 1).await;
        assert_ne!(held, Some(false), "volatile-{number} changed and nobody was told");
        went.push(held.is_none());
    }
    let oldest = went.iter().take_while(|went| **went).count();
    assert!(went.iter().skip(oldest).all(|went| !went), "{went:?} is not the oldest first");
    assert!(oldest >= 2, "{went:?}");
    assert!(oldest <= 6, "more went than was needed: {went:?}");
    for (number, went) in ORDER.into_iter().zip(&went) {
        let id = format!("volatile-{number}");
        // One that was there may have gone since.
        let told = set(&client, &id, Volatility::Nonvolatile).await;
        assert!(told || !went, "{id}: told on return as it was on a read");
        let first = client.read(&id, 0, 1).await.expect("readable again");
        assert_eq!(first, [if told { 0 } else { number + 1 }][..], "{id}");
    }
    let purged = daemon.metric("linmemd_purged_bytes_total{reason=\"usage\"}");
    assert!(purged > 0.0);
    say(&format!(
        "{TEST}: {} MiB allowed, {} MiB written: the {oldest} oldest of 8 went, {:.0} MiB in all, no kill",
        LIMIT / MIB,
        16 + 8 * 24 + u64::from(LATER) * 24,
        purged / (1 << 20) as f64,
    ));
    daemon.stop();
}

#[tokio::test]
async fn under_the_same_limit_a_daemon_that_never_purges_is_killed() {
    const TEST: &str = "the same limit without a purge";
    let Some(program) = host(TEST) else { return };
    let Some(group) = group(TEST, "linmemd-no-purge") else { return };
    let daemon = group.daemon(&program, "[memory]\nhost_budget = \"4GiB\"\npurge_at = \"\"\n");
    let client = daemon.client("default", 1).await;
    let ended = fill(&client).await.expect_err("there is no room for all of it");
    assert!(ended.failure().is_none(), "a lost connection, not {ended:?}");
    assert_eq!(group.killed(), 1);
    drop(daemon);
}

//! `RLIMIT_MEMLOCK` as a daemon without CAP_IPC_LOCK meets it: what fits is locked and seen so by the
//! kernel, what does not is refused by the limit's name and changes nothing.

use std::process::Command;

use linmemd::client::proto::{Allocator, Locking, MemorySpec};

use crate::daemon::Daemon;
use crate::{host, say};

fn locked(initial_pages: u64) -> MemorySpec {
    let locking = Locking::Locked.into();
    MemorySpec { initial_pages, maximum_pages: Some(64), locking, ..Default::default() }
}

/// A daemon without CAP_IPC_LOCK that may lock 1 MiB.
const WRAPPER: [&str; 5] =
    ["prlimit", "--memlock=1048576:1048576", "setpriv", "--bounding-set=-ipc_lock", "--"];

#[tokio::test]
async fn an_arena_is_locked_from_the_start_and_one_past_the_limit_ends_it_by_name() {
    let Some(program) = host("the fixed arena") else { return };
    let daemon = Daemon::start_under(&WRAPPER, &program, "[fixed]\nslots = 3\nslot_pages = 5\n");
    assert_eq!(daemon.smaps_kib(&["Locked"]), 3 * 5 * 64, "before anyone asked");
    let client = daemon.client("default", 1).await;
    let allocator = Allocator::Fixed.into();
    let spec = MemorySpec { initial_pages: 1, allocator, ..Default::default() };
    client.create(Some("m"), spec).await.expect("a slot");
    client.grow("m", 4).await.expect("within the slot");
    client.fill("m", 0, 5 << 16, 1).await.expect("a fill");
    client.delete("m").await.expect("a delete");
    assert_eq!(daemon.smaps_kib(&["Locked"]), 3 * 5 * 64, "wiped where it is");
    daemon.stop();

    let wrapped = WRAPPER.split_first().expect("a program");
    let refused = Command::new(wrapped.0)
        .args(wrapped.1)
        .args([&program, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
        .env("LINMEMD_FIXED__SLOTS", "3")
        .env("LINMEMD_FIXED__SLOT_PAGES", "6")
        .output()
        .expect("a daemon that ends");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for word in ["RLIMIT_MEMLOCK", "1048576", "1179648", "ulimit -l", "fixed.slots"] {
        assert!(said.contains(word), "{said:?} lacks {word}");
    }
    say("the fixed arena: 960 KiB of 1 MiB locked from start to end, 1152 KiB refused by name");
}

#[tokio::test]
async fn past_the_limit_of_locked_bytes_a_create_and_a_growth_name_the_limit() {
    let Some(program) = host("RLIMIT_MEMLOCK") else { return };
    let daemon = Daemon::start_under(&WRAPPER, &program, "");
    let client = daemon.client("default", 1).await;
    let before = daemon.smaps_kib(&["Locked"]);
    client.create(Some("m"), locked(8)).await.expect("512 KiB");
    assert_eq!(daemon.smaps_kib(&["Locked"]) - before, 512, "in smaps, untouched as it is");
    for refused in
        [client.create(Some("n"), locked(16)).await.map(drop), client.grow("m", 16).await.map(drop)]
    {
        let error = refused.expect_err("a refusal");
        let failure = error.failure().expect("ours");
        assert_eq!(failure.reason, "HOST_EXHAUSTED", "{failure:?}");
        assert!(failure.message.contains("RLIMIT_MEMLOCK"), "{failure:?}");
        assert!(failure.changed_nothing);
    }
    assert_eq!(daemon.smaps_kib(&["Locked"]) - before, 512, "nothing is left of them");
    client.grow("m", 4).await.expect("256 KiB more");
    assert_eq!(daemon.smaps_kib(&["Locked"]) - before, 768);
    client.delete("m").await.expect("a delete");
    say("RLIMIT_MEMLOCK 1 MiB: 512 KiB locked and seen so, then HOST_EXHAUSTED by its name");
    daemon.stop();
}

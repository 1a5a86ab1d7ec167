//! `RLIMIT_MEMLOCK` as a daemon without CAP_IPC_LOCK meets it: what fits is locked and seen so by the
//! kernel, what does not is refused by the limit's name and changes nothing.

use linmemd::client::proto::{Locking, MemorySpec};

use crate::daemon::Daemon;
use crate::{host, say};

fn locked(initial_pages: u64) -> MemorySpec {
    let locking = Locking::Locked.into();
    MemorySpec { initial_pages, maximum_pages: Some(64), locking, ..Default::default() }
}

#[tokio::test]
async fn past_the_limit_of_locked_bytes_a_create_and_a_growth_name_the_limit() {
    let Some(program) = host("RLIMIT_MEMLOCK") else { return };
    let wrapper =
        ["prlimit", "--memlock=1048576:1048576", "setpriv", "--bounding-set=-ipc_lock", "--"];
    let daemon = Daemon::start_under(&wrapper, &program, "");
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

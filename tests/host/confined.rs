//! What the confined daemon reads of `/proc` and `/sys` it still reads once the kernel forgot those
//! files: it makes them anew, and Landlock knows a file by what the kernel made of it.

use std::fs;

use crate::daemon::Daemon;
use crate::{host, say};

#[tokio::test]
async fn facts_are_read_after_the_kernel_forgot_their_files() {
    let Some(program) = host("what the kernel forgets") else { return };
    let daemon = Daemon::start(&program, "");
    let client = daemon.client("default", 1).await;
    let before = client.host().await.expect("a host");
    let landlock = before.confinement.iter().find(|one| one.measure == "landlock");
    assert_ne!(landlock.expect("told").state, "off", "{before:?}");
    // Names and inodes that nobody uses; no bytes of files.
    fs::write("/proc/sys/vm/drop_caches", "2").expect("root may");
    let after = client.host().await.expect("a host");
    assert!(!after.kernel_release.is_empty() && after.kernel_release == before.kernel_release);
    assert_eq!(after.numa_nodes.len(), before.numa_nodes.len());
    assert_eq!(after.huge_page_pools.len(), before.huge_page_pools.len());
    for series in ["process_open_fds ", "process_resident_memory_bytes ", "linmemd_vmas_limit "] {
        assert!(daemon.metric(series) > 0.0, "{series}");
    }
    daemon.stop();
    say("what the kernel forgets: /proc and /sys are read after it as before");
}

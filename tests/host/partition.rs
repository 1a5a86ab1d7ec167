//! Partitions on a real host: the minimum is locked in RAM as the kernel counts it, whoever holds it;
//! past RLIMIT_MEMLOCK it is refused by that name; pages of a pool are taken out of it at creation.

use linmemd::client::proto::{HugePages, MemorySpec};

use crate::daemon::Daemon;
use crate::huge_pages::Pool;
use crate::{host, say};

const MIB_KIB: u64 = 1024;

fn within(partition: &str, initial_pages: u64) -> MemorySpec {
    let partition = partition.to_owned();
    MemorySpec { initial_pages, maximum_pages: Some(4096), partition, ..Default::default() }
}

#[tokio::test]
async fn a_partitions_minimum_is_locked_whether_a_memory_has_it_or_nobody() {
    let Some(program) = host("a partition's locked bytes") else { return };
    let config = "[[partition]]\nname = \"held\"\nmaximum_bytes = \"128MiB\"\n\
        minimum_bytes = \"64MiB\"\nlocked = true\n";
    let daemon = Daemon::start(&program, config);
    let client = daemon.client("default", 1).await;
    let begun = daemon.locked_kib();
    assert!((64 * MIB_KIB..65 * MIB_KIB).contains(&begun), "{begun} KiB");
    for round in 0..3 {
        client.create(Some("m"), within("held", 512)).await.expect("32 MiB of the minimum");
        let held = daemon.locked_kib();
        assert!(held.abs_diff(begun) <= 16, "round {round}: {held} of {begun} KiB");
        client.grow("m", 511).await.expect("the rest but a page");
        let held = daemon.locked_kib();
        assert!(held.abs_diff(begun) <= 16, "round {round}: {held} of {begun} KiB");
        client.grow("m", 513).await.expect("32 MiB borrowed");
        assert_eq!(daemon.locked_kib(), 96 * MIB_KIB, "the borrowed part is locked as well");
        client.delete("m").await.expect("a delete");
        assert_eq!(daemon.locked_kib(), begun, "round {round}");
    }
    say("64 MiB set aside: VmLck the same before, during and after three memories of it");
    daemon.stop();
}

#[tokio::test]
async fn a_minimum_past_the_limit_of_locked_bytes_is_refused_by_its_name() {
    let Some(program) = host("a partition past RLIMIT_MEMLOCK") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("l.sock").display().to_string();
    let wrapper =
        ["prlimit", "--memlock=1048576:1048576", "setpriv", "--bounding-set=-ipc_lock", "--"];
    let config = format!("[grpc]\nunix_socket = \"{socket}\"\n");
    let daemon = Daemon::start_under(&wrapper, &program, &config);
    let endpoint = format!("unix://{socket}").parse().expect("an endpoint");
    let options = linmemd::client::ConnectOptions::new(endpoint);
    let operator = linmemd::client::Client::connect(&options).await.expect("a connection");
    let asked = |minimum_bytes| linmemd::client::proto::PartitionSpec {
        minimum_bytes,
        maximum_bytes: 64 << 20,
        ..Default::default()
    };
    let before = daemon.locked_kib();
    let error = operator.create_partition(Some("p"), asked(2 << 20)).await.expect_err("2 MiB");
    let failure = error.failure().expect("ours");
    assert_eq!(failure.reason, "HOST_EXHAUSTED", "{failure:?}");
    assert!(failure.message.contains("RLIMIT_MEMLOCK"), "{failure:?}");
    assert_eq!(daemon.locked_kib(), before, "nothing is left of it");
    operator.create_partition(Some("p"), asked(512 << 10)).await.expect("512 KiB");
    assert_eq!(daemon.locked_kib(), before + 512);
    operator.delete_partition("p", false).await.expect("a delete");
    assert_eq!(daemon.locked_kib(), before);
    say(
        "RLIMIT_MEMLOCK 1 MiB: a minimum of 2 MiB is HOST_EXHAUSTED by its name, 512 KiB are locked",
    );
    daemon.stop();
}

#[tokio::test]
async fn huge_pages_of_a_minimum_leave_the_pool_at_creation_and_are_handed_to_memories() {
    let Some(program) = host("a partition's huge pages") else { return };
    let pool = Pool::of(16);
    // 8 pages, and a little for what memories cost beside them.
    let config = "[[partition]]\nname = \"held\"\nmaximum_bytes = \"32MiB\"\n\
        minimum_bytes = \"16448KiB\"\npage_kind = \"2m\"\n";
    let daemon = Daemon::start(&program, config);
    let client = daemon.client("default", 1).await;
    assert_eq!(Pool::free(), 8, "taken at start");
    let huge = |partition: &str, initial_pages| MemorySpec {
        huge_pages: vec![HugePages::HugePages2m.into()],
        ..within(partition, initial_pages)
    };
    client.create(Some("all"), huge("", 8 * 32)).await.expect("the pages of nobody");
    let refused = client.create(Some("more"), huge("", 32)).await.expect_err("none is left");
    assert_eq!(refused.failure().expect("ours").reason, "HUGE_PAGES_EXHAUSTED");
    for round in 0..3 {
        client.create(Some("m"), huge("held", 4 * 32)).await.expect("four of the minimum");
        client.grow("m", 4 * 32).await.expect("the other four");
        client.fill("m", 0, 16 << 20, 7).await.expect("all of them are there");
        assert_eq!(client.partition("held").await.expect("it").set_aside_bytes, 0, "round {round}");
        client.delete("m").await.expect("a delete");
        assert_eq!(Pool::free(), 0, "round {round}: set aside again");
    }
    client.delete("all").await.expect("a delete");
    assert_eq!(Pool::free(), 8);
    daemon.stop();
    assert_eq!(Pool::free(), 16);
    say("8 of 16 huge pages set aside: had three times while the other 8 were in use");
    drop(pool);
}

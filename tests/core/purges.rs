//! Purges on a host that refuses, and the watch for pressure on a host whose files a test writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use linmemd::client::ClientError;
use linmemd::client::proto::{
    CreateMemoryRequest, MemorySpec, SetVolatilityRequest, Volatility as Asked,
};
use linmemd::config::Partition;
use linmemd::error::Failure;
use linmemd::model::{Backing, Form, Locking, Volatility};
use linmemd::os::failing::FailingKernel;
use linmemd::os::kernel::{Advice, Call};
use linmemd::registry::PurgeOutcome;
use linmemd::units::{ByteCount, PAGE_BYTES};

use crate::floors::{Floors, PAGE, block_on, occasion, target};
use crate::served::{NO_SWEEP, Served, refusal};

const SECRET: u8 = 0x5E;
const ALL: ByteCount = ByteCount::new(u64::MAX);
const CURRENT: &str = "/sys/fs/cgroup/memory.current";
const EVENTS: &str = "/sys/fs/cgroup/memory.events";

fn set(floors: &Floors, id: &str, volatility: Volatility) -> Result<bool, Failure> {
    let size = PAGE_BYTES;
    block_on(floors.access.set_volatility(&occasion(), target(id), 0, size, volatility))
}

fn with_two(floors: Floors, form: &Form) -> Floors {
    for id in ["old", "young"] {
        floors.create_in(id, 1, form.clone()).unwrap();
        floors.write(id, 0, vec![SECRET; PAGE]).unwrap();
        assert_eq!(set(&floors, id, Volatility::Volatile), Ok(false));
    }
    floors
}

#[test]
fn what_the_host_refuses_to_take_is_whole_and_the_next_one_goes() {
    let memfd = Form { backing: Backing::Memfd, ..Form::default() };
    let usual = Form::default();
    for (floors, form, call) in [
        (Floors::new(), &usual, Call::Advise(Advice::DontNeed)),
        (Floors::dedicated(), &usual, Call::Advise(Advice::DontNeed)),
        (Floors::dedicated(), &memfd, Call::Punch),
    ] {
        let floors = with_two(floors, form);
        floors.kernel.fail_call(call, libc::EAGAIN, 1);
        let one_page = ByteCount::new(PAGE_BYTES);
        let outcome = floors.registry.purge(one_page);
        let wanted = PurgeOutcome {
            given_back_bytes: PAGE_BYTES,
            purged_bytes: PAGE_BYTES,
            ranges: 1,
            busy: 0,
            refused: 1,
        };
        assert_eq!(outcome, wanted);
        assert_eq!(floors.read("old", 0, PAGE_BYTES).unwrap(), [SECRET; PAGE]);
        let purged = Err(Failure::Purged { offset: 0, length: PAGE_BYTES });
        assert_eq!(floors.read("young", 0, PAGE_BYTES), purged);
        assert_eq!(floors.registry.purge(one_page), PurgeOutcome { refused: 0, ..wanted });
        assert_eq!(floors.read("old", 0, PAGE_BYTES), purged, "there for the next round");
        for id in ["old", "young"] {
            assert_eq!(set(&floors, id, Volatility::Nonvolatile), Ok(true));
            assert_eq!(floors.read(id, 0, PAGE_BYTES).unwrap(), [0; PAGE]);
            floors.delete(id).unwrap();
        }
        floors.assert_empty();
    }
}

#[test]
fn a_purge_goes_on_where_the_host_does_not_say_what_is_in_ram() {
    let floors = with_two(Floors::dedicated(), &Form::default());
    floors.kernel.fail_call(Call::Residency, libc::EAGAIN, 1);
    let outcome = floors.registry.purge(ByteCount::new(PAGE_BYTES));
    assert_eq!((outcome.given_back_bytes, outcome.ranges), (PAGE_BYTES, 1), "{outcome:?}");
    for id in ["old", "young"] {
        floors.delete(id).unwrap();
    }
    assert_eq!(floors.registry.volatile_ranges(), 0);
    floors.assert_empty();
}

#[test]
fn what_would_give_no_ram_back_is_never_purged() {
    let locked = Form { locking: Locking::Locked, ..Form::default() };
    let floors = with_two(Floors::new(), &locked);
    assert_eq!(floors.registry.purge(ALL), PurgeOutcome::default());
    assert_eq!(floors.registry.volatile_ranges(), 0, "nor looked at again");
    for id in ["old", "young"] {
        assert_eq!(floors.read(id, 0, PAGE_BYTES).unwrap(), [SECRET; PAGE]);
        assert_eq!(set(&floors, id, Volatility::Nonvolatile), Ok(false));
        floors.delete(id).unwrap();
    }
    floors.assert_empty();
}

/// A host of version 2 with 1000 MiB for this process.
fn host(current_mib: u64, max_events: u64) -> Vec<(&'static str, String)> {
    vec![
        ("/proc/self/cgroup", "0::/\n".to_owned()),
        (
            "/proc/self/mountinfo",
            "31 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n".to_owned(),
        ),
        ("/sys/fs/cgroup/memory.max", (1000_u64 << 20).to_string()),
        (CURRENT, (current_mib << 20).to_string()),
        (EVENTS, format!("low 0\nhigh 0\nmax {max_events}\noom 0\noom_kill 0\n")),
    ]
}

// No request_id, which the daemon would remember and charge for.
fn create(served: &Served, id: &str, spec: MemorySpec) -> Result<(), ClientError> {
    let request = CreateMemoryRequest {
        memory_id: Some(id.to_owned()),
        spec: Some(spec),
        ..Default::default()
    };
    let request = served.client.request(request);
    served.wait(served.client.memory_service().create_memory(request))?;
    Ok(())
}

fn watched() -> Served {
    let kernel = Arc::new(FailingKernel::new());
    kernel.replace_files(host(100, 0));
    let served = Served::watching(kernel, NO_SWEEP, Some(0.5));
    for id in ["may-go", "stays"] {
        let spec = MemorySpec { initial_pages: 480, ..Default::default() };
        create(&served, id, spec).unwrap();
        served.wait(served.client.fill(id, 0, 480 * PAGE_BYTES, SECRET)).unwrap();
    }
    served.kernel.forget();
    assert!(!volatility(&served, Asked::Volatile));
    // What it has looked at since is nothing new.
    let reads = || served.kernel.calls().iter().filter(|call| **call == Call::ReadFile).count();
    eventually("it looks", || reads() >= 2);
    served
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::yield_now();
    }
}

fn volatility(served: &Served, asked: Asked) -> bool {
    let request = SetVolatilityRequest {
        memory_id: "may-go".to_owned(),
        length: 480 * PAGE_BYTES,
        volatility: asked.into(),
        ..Default::default()
    };
    served.wait(served.client.set_volatility(request)).unwrap()
}

/// Waits until so many bytes have been purged.
fn purged(served: &Served, bytes: u64) {
    eventually("it is purged", || served.metric("linmemd_purged_bytes_total") >= bytes);
    assert_eq!(served.metric("linmemd_purged_bytes_total"), bytes);
}

fn end(served: Served) {
    let first = served.wait(served.client.read("may-go", 0, 1));
    assert_eq!(refusal(first), ("PURGED".to_owned(), "AFTER_CHANGE"));
    for at in [0, 479 * PAGE_BYTES] {
        let bytes = served.wait(served.client.read("stays", at, PAGE_BYTES)).unwrap();
        assert!(bytes.iter().all(|byte| *byte == SECRET));
    }
    assert!(volatility(&served, Asked::Nonvolatile));
    for id in ["may-go", "stays"] {
        served.wait(served.client.delete(id)).unwrap();
    }
    served.end();
}

#[test]
fn use_above_the_share_of_a_limit_purges_what_may_go_and_nothing_else() {
    let served = watched();
    served.kernel.replace_files(host(501, 0));
    // It never gets less here, so that all of it goes.
    purged(&served, 480 * PAGE_BYTES);
    end(served);
}

#[test]
fn a_limit_that_was_reached_purges_one_step() {
    let served = watched();
    let step = 16 << 20;
    served.kernel.replace_files(host(100, 1));
    purged(&served, step);
    let rest = served.wait(served.client.read("may-go", step, PAGE_BYTES)).unwrap();
    assert!(rest.iter().all(|byte| *byte == SECRET), "no more than a step");
    end(served);
}

#[test]
fn a_partition_is_lent_nothing_while_the_host_is_short_and_its_minimum_is_there_all_the_same() {
    let kernel = Arc::new(FailingKernel::new());
    kernel.replace_files(host(501, 0));
    let minimum_bytes = 4 * PAGE_BYTES;
    let pool = Partition {
        name: "pool".to_owned(),
        minimum_bytes,
        maximum_bytes: 1 << 30,
        ..Partition::default()
    };
    let served = Served::changed(kernel, NO_SWEEP, |config| {
        config.memory.purge_at = Some(0.5);
        config.partitions = vec![pool];
    });
    let borrow = |id: &str, initial_pages| {
        let spec = MemorySpec {
            initial_pages,
            maximum_pages: Some(16),
            partition: "pool".to_owned(),
            ..Default::default()
        };
        create(&served, id, spec)
    };
    let is_refused = || {
        let outcome = borrow("borrows", 5);
        let lent = outcome.is_ok();
        if lent {
            served.wait(served.client.delete("borrows")).unwrap();
        } else {
            assert_eq!(refusal(outcome).0, "HOST_EXHAUSTED");
        }
        !lent
    };
    eventually("it is lent nothing", is_refused);
    borrow("keeps", 2).unwrap();
    served.wait(served.client.delete("keeps")).unwrap();
    served.kernel.replace_files(host(100, 0));
    eventually("it is lent again", || !is_refused());
    served.end();
}

#[test]
fn what_is_watched_is_told_and_what_is_not() {
    let kernel = Arc::new(FailingKernel::new());
    kernel.replace_files(host(100, 0));
    for (purge_at, words) in [
        (Some(0.9), ["memory.events: does not tell by itself", "/proc/pressure/memory"]),
        (None, ["nothing is ever purged", "memory.purge_at"]),
    ] {
        let served = Served::watching(Arc::clone(&kernel), NO_SWEEP, purge_at);
        let info = served.wait(served.client.server_info()).unwrap();
        let told = info.capabilities.iter().find(|found| found.name == "volatility").unwrap();
        assert!(words.iter().all(|word| told.reason.contains(word)), "{told:?}");
        served.end();
    }
}

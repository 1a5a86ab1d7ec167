//! A host that refuses, seen over the wire: the reason and retry word of each failure, what GetHost
//! and the metrics say of it, and planted panics on the pool and on a serving thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use linmemd::client::ClientError;
use linmemd::client::proto::{
    CreateMemoryRequest, GetMemoryRequest, GrowMemoryRequest, MemorySpec, MemoryState, MemoryView,
};
use linmemd::os::failing::FailingKernel;
use linmemd::os::kernel::{Advice, Call};
use linmemd::units::PAGE_BYTES;

use crate::served::{NO_SWEEP, Served, refusal};

const SECRET: u8 = 0x5E;
const EXHAUSTED: (&str, &str) = ("HOST_EXHAUSTED", "AFTER_CHANGE");

// No request_id, which the daemon would remember and charge for.
fn create(served: &Served, id: &str, initial_pages: u64) -> Result<(), ClientError> {
    let spec = Some(MemorySpec { initial_pages, ..Default::default() });
    let message = CreateMemoryRequest { memory_id: Some(id.into()), spec, ..Default::default() };
    let request = served.client.request(message);
    served.wait(served.client.memory_service().create_memory(request))?;
    Ok(())
}

fn grow(served: &Served, id: &str, delta_pages: u64) -> Result<(), ClientError> {
    let message = GrowMemoryRequest { memory_id: id.into(), delta_pages, ..Default::default() };
    let request = served.client.request(message);
    served.wait(served.client.memory_service().grow_memory(request))?;
    Ok(())
}

fn look(served: &Served, id: &str) -> Result<(), ClientError> {
    let message = GetMemoryRequest {
        memory_id: id.into(),
        view: MemoryView::Full.into(),
        ..Default::default()
    };
    served.wait(served.client.get_memory(message)).map(drop)
}

fn read(served: &Served, id: &str, length: u64) -> Result<Vec<u8>, ClientError> {
    served.wait(served.client.read(id, 0, length)).map(Vec::from)
}

fn write(served: &Served, id: &str, data: Vec<u8>) -> Result<(), ClientError> {
    served.wait(served.client.write(id, 0, data))
}

fn delete(served: &Served, id: &str) -> Result<(), ClientError> {
    served.wait(served.client.delete(id))
}

fn words<'a>((reason, retry): &'a (String, &'static str)) -> (&'a str, &'static str) {
    (reason, retry)
}

/// Every call of the act made to fail; each failure is HOST_EXHAUSTED and changes nothing.
fn each_call_is_told(
    served: &Served,
    act: impl Fn(&Served) -> Result<(), ClientError>,
    undo: impl Fn(&Served),
) -> usize {
    for n in 0.. {
        let before = served.charged();
        served.kernel.forget();
        served.kernel.fail_nth(n, libc::ENOMEM);
        let outcome = act(served);
        let reached = served.kernel.calls().len() > n;
        served.kernel.forget();
        if !reached {
            outcome.unwrap();
            undo(served);
            return n;
        }
        assert_eq!(words(&refusal(outcome)), EXHAUSTED, "call {n}");
        assert_eq!(served.charged(), before, "call {n}");
    }
    unreachable!("an act makes finitely many calls")
}

#[test]
fn every_call_of_a_create_a_grow_and_a_look_is_host_exhausted_when_it_fails() {
    let served = Served::new(NO_SWEEP);
    create(&served, "m", 1).unwrap();
    write(&served, "m", vec![SECRET; 100]).unwrap();
    let creates = |served: &Served| create(served, "other", 2);
    let calls = each_call_is_told(&served, creates, |served| delete(served, "other").unwrap());
    assert_eq!(calls, 6);
    assert_eq!(each_call_is_told(&served, |served| grow(served, "m", 1), |_served| ()), 1);
    assert_eq!(each_call_is_told(&served, |served| look(served, "m"), |_served| ()), 1);
    assert_eq!(read(&served, "m", 100).unwrap(), [SECRET; 100]);
    delete(&served, "m").unwrap();
    served.end();
}

#[test]
fn what_a_delete_cannot_give_back_is_ok_charged_listed_and_counted() {
    for (call, step) in [(Call::Advise(Advice::DontNeed), "wipe"), (Call::Unmap, "release")] {
        let served = Served::new(NO_SWEEP);
        create(&served, "m", 2).unwrap();
        write(&served, "m", vec![SECRET; 100]).unwrap();
        let charged = served.charged();
        served.kernel.fail_call(call, libc::ENOMEM, 1);
        delete(&served, "m").unwrap();
        assert_eq!(refusal(read(&served, "m", 1)).0, "MEMORY_NOT_FOUND");
        assert_eq!(served.charged(), charged);
        assert_eq!(served.metric("linmemd_quarantined_bytes"), 2 * PAGE_BYTES);
        let host = served.wait(served.client.host()).unwrap();
        let [range] = &host.quarantined_ranges[..] else { panic!("{host:?}") };
        assert_eq!(range.tenant, "default");
        assert_eq!((range.bytes, range.errno), (2 * PAGE_BYTES, libc::ENOMEM));
        assert_eq!((range.step.as_str(), range.attempts), (step, 1));
        let committed = host.limits.iter().find(|limit| limit.name == "committed_bytes").unwrap();
        assert_eq!(committed.used, 2 * PAGE_BYTES);
        create(&served, "m", 2).unwrap();
        assert_eq!(read(&served, "m", 100).unwrap(), [0; 100], "its successor sees nothing of it");
        delete(&served, "m").unwrap();
    }
}

#[test]
fn the_daemons_own_sweep_frees_a_quarantined_range() {
    let served = Served::new(Duration::from_millis(10));
    create(&served, "m", 2).unwrap();
    write(&served, "m", vec![SECRET; 100]).unwrap();
    served.kernel.fail_call(Call::Unmap, libc::ENOMEM, 3);
    delete(&served, "m").unwrap();
    let begun = Instant::now();
    while served.charged().iter().any(|used| *used > 0) {
        assert!(begun.elapsed() < Duration::from_secs(20), "the sweep did not free it");
    }
    let host = served.wait(served.client.host()).unwrap();
    assert!(host.quarantined_ranges.is_empty());
    served.end();
}

#[test]
fn what_mappings_go_without_on_this_host_is_told() {
    let kernel = Arc::new(FailingKernel::new());
    kernel.fail_call(Call::Name, libc::EINVAL, u64::MAX);
    let served = Served::on(kernel, NO_SWEEP);
    let host = served.wait(served.client.host()).unwrap();
    let kinds: Vec<&str> = host.fallbacks.iter().map(|fallback| &*fallback.kind).collect();
    assert!(kinds.contains(&"mapping_names"), "{kinds:?}");
    assert_eq!(served.metric("linmemd_placement_fallbacks_total"), kinds.len() as u64);
    served.end();
}

#[test]
fn a_panic_on_the_pool_is_answered_counted_and_harms_one_memory() {
    let mut served = Served::new(NO_SWEEP);
    for id in ["m", "other"] {
        create(&served, id, 1).unwrap();
        write(&served, id, vec![SECRET; 100]).unwrap();
    }
    served.kernel.panic_at(Call::Protect);
    let told = refusal(grow(&served, "m", 1));
    assert_eq!(words(&told), ("INTERNAL_FAULT", "UNKNOWN"));
    assert_eq!(served.metric("linmemd_panics_total"), 1);
    assert_eq!(served.metric("linmemd_quarantined_memories"), 1);
    for refused in [
        read(&served, "m", 1).map(drop),
        write(&served, "m", vec![1]),
        grow(&served, "m", 1),
        served.wait(served.client.fill("m", 0, 1, 1)),
    ] {
        let told = refusal(refused);
        assert_eq!(words(&told), ("QUARANTINED", "AFTER_CHANGE"));
    }
    let memory = served.wait(served.client.memory("m")).unwrap();
    assert_eq!(memory.state(), MemoryState::Quarantined);
    assert!(!memory.state_reason.is_empty());
    look(&served, "m").unwrap();
    let other = served.wait(served.client.memory("other")).unwrap();
    assert_eq!((other.state(), other.state_reason.as_str()), (MemoryState::Ready, ""));
    assert_eq!(read(&served, "other", 100).unwrap(), [SECRET; 100]);
    grow(&served, "other", 1).unwrap();
    delete(&served, "m").unwrap();
    delete(&served, "other").unwrap();
    assert_eq!(served.metric("linmemd_quarantined_memories"), 0);
    served.expect_panics(1);
    served.end();
}

#[test]
fn a_panic_on_a_serving_thread_is_answered_and_counted_and_the_connection_lives() {
    let mut served = Served::new(NO_SWEEP);
    create(&served, "m", 1).unwrap();
    served.kernel.panic_at(Call::ReadFile);
    let told = refusal(served.wait(served.client.host()));
    assert_eq!(words(&told), ("INTERNAL_FAULT", "UNKNOWN"));
    assert_eq!(served.metric("linmemd_panics_total"), 1);
    served.wait(served.client.host()).unwrap();
    write(&served, "m", vec![SECRET; 100]).unwrap();
    assert_eq!(read(&served, "m", 100).unwrap(), [SECRET; 100]);
    assert_eq!(served.metric("linmemd_quarantined_memories"), 0);
    delete(&served, "m").unwrap();
    served.expect_panics(1);
    served.end();
}

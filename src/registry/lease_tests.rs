//! Claims about leases: when a memory is over, when it is given back, and that no lease outlives its memory.

use std::sync::mpsc::channel;
use std::time::Duration;

use crate::error::Failure;
use crate::registry::registry_tests::Floor;
use crate::registry::{Gate, LabelSelector, PresentationChange};

const LEASE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_memory_is_gone_the_moment_its_lease_runs_out_and_given_back_by_the_sweep() {
    let floor = Floor::new();
    floor.create("m", Some(LEASE), floor.start).await.unwrap();
    assert!(floor.find("m", floor.after(9)));
    assert!(!floor.find("m", floor.after(10)));
    assert!(
        floor
            .namespace
            .list(&LabelSelector::default(), None, 9, floor.after(10))
            .records
            .is_empty()
    );
    floor.sweep_until_empty(floor.after(10));
}

#[tokio::test]
async fn a_lease_that_is_kept_alive_is_not_swept() {
    let floor = Floor::new();
    let record = floor.create("m", Some(LEASE), floor.start).await.unwrap();
    floor.registry.keep_alive(&record, floor.after(9)).unwrap();
    floor.registry.sweep(floor.after(15), |_record| panic!("swept"));
    assert!(floor.find("m", floor.after(18)));
    assert!(!floor.find("m", floor.after(19)));
    floor.sweep_until_empty(floor.after(19));
}

#[tokio::test]
async fn a_shorter_lease_ends_sooner_and_none_never() {
    let floor = Floor::new();
    let short = floor.create("short", Some(LEASE), floor.start).await.unwrap();
    let never = floor.create("never", Some(LEASE), floor.start).await.unwrap();
    let change =
        |lease_ttl| PresentationChange { lease_ttl: Some(lease_ttl), ..Default::default() };
    floor.registry.update(&short, change(Some(Duration::from_secs(2))), floor.start).unwrap();
    floor.registry.update(&never, change(None), floor.start).unwrap();
    floor.registry.sweep(floor.after(3), |record| assert_eq!(record.id.as_str(), "short"));
    assert!(!floor.find("short", floor.after(3)));
    assert!(floor.find("never", floor.after(1_000_000)));
    floor.delete(&never).await.unwrap();
    floor.sweep_until_empty(floor.after(3));
}

#[tokio::test]
async fn a_lease_is_filed_once_however_often_it_is_changed_and_goes_with_its_memory() {
    let floor = Floor::new();
    let record = floor.create("m", Some(LEASE), floor.start).await.unwrap();
    for second in 1..100 {
        let lease_ttl = Some(Some(Duration::from_secs(1_000 + second)));
        let change = PresentationChange { lease_ttl, ..Default::default() };
        floor.registry.update(&record, change, floor.start).unwrap();
        floor.registry.keep_alive(&record, floor.after(1)).unwrap();
        assert_eq!(floor.registry.leases.count(), 1);
    }
    // Looked at early, it is put back.
    floor.registry.sweep(floor.after(1_099), |_record| panic!("swept"));
    assert_eq!(floor.registry.leases.count(), 1);
    let none = PresentationChange { lease_ttl: Some(None), ..Default::default() };
    floor.registry.update(&record, none, floor.after(2)).unwrap();
    assert_eq!(floor.registry.leases.count(), 0);
    floor.delete(&record).await.unwrap();
    for _again in 0..9 {
        let record = floor.create("m", Some(LEASE), floor.start).await.unwrap();
        assert_eq!(floor.registry.leases.count(), 1);
        floor.delete(&record).await.unwrap();
        assert_eq!(floor.registry.leases.count(), 0);
        // A change that was made before the end and is filed after it.
        floor.registry.leases.watch(&record);
        assert_eq!(floor.registry.leases.count(), 0);
    }
    floor.sweep_until_empty(floor.start);
}

#[tokio::test]
async fn a_lease_that_the_sweep_has_ended_cannot_be_renewed() {
    let floor = Floor::new();
    let record = floor.create("m", Some(LEASE), floor.start).await.unwrap();
    floor.registry.sweep(floor.after(10), |_record| ());
    // Calls that came before the end and were overtaken by it.
    let gone = Failure::MemoryNotFound { memory_id: record.id.clone() };
    assert_eq!(floor.registry.keep_alive(&record, floor.after(9)), Err(gone.clone()));
    let longer = PresentationChange { lease_ttl: Some(None), ..Default::default() };
    assert_eq!(floor.registry.update(&record, longer, floor.after(9)), Err(gone));
    floor.sweep_until_empty(floor.after(10));
}

#[tokio::test]
async fn a_name_whose_lease_has_run_out_is_free_at_once() {
    let floor = Floor::new();
    let old = floor.create("m", Some(LEASE), floor.start).await.unwrap();
    let taken = floor.create("m", None, floor.after(9)).await.unwrap_err();
    assert_eq!(taken, Failure::MemoryExists { memory_id: old.id.clone() });
    let new = floor.create("m", None, floor.after(10)).await.unwrap();
    assert_ne!(old.uid, new.uid);
    while !old.has_ended() {
        floor.registry.sweep(floor.after(10), |_record| ());
    }
    assert!(floor.find("m", floor.after(10)), "the sweep ends the old one, not its successor");
    floor.delete(&new).await.unwrap();
    floor.sweep_until_empty(floor.after(10));
}

#[tokio::test]
async fn an_expired_memory_is_given_back_even_if_the_pool_had_no_room_for_its_end() {
    let floor = Floor::new();
    floor.create("m", Some(LEASE), floor.start).await.unwrap();
    let (go, wait) = channel::<()>();
    let held = floor.registry.pool.run_once(9, Gate::new(), move || wait.recv().is_err());
    let mut waiting = Vec::new();
    for _ in 0..20_000 {
        let lane = floor.namespace.lane();
        waiting.push(floor.registry.pool.run_once(lane, Gate::new(), || ()));
    }
    floor.registry.sweep(floor.after(10), |_record| ());
    assert!(!floor.namespace.account.is_empty());
    drop(go);
    assert_eq!(held.await, Ok(true));
    drop(waiting);
    floor.sweep_until_empty(floor.after(10));
}

//! Claims about what a tenant does with another's memory: while anything else is waited for, it is not held.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::model::{Id, MemorySpec, TenantName};
use crate::registry::lifecycle::write_now;
use crate::registry::registry_tests::{Floor, one_page};
use crate::registry::{Gate, Namespace, NamespaceLimits, Part, Record};
use crate::units::WasmPages;

/// A memory of the grantee's, with a larger uid than another or a smaller one.
async fn own(
    floor: &Floor,
    grantee: &Arc<Namespace>,
    spec: &MemorySpec,
    other: &Record,
    is_larger: bool,
) -> Arc<Record> {
    loop {
        let (id, spec, gate) = (Id::new("n").ok(), spec.clone(), Gate::new());
        let made = floor.registry.create(grantee, id, spec, None, &(), None, floor.start, &gate);
        let made = made.await.unwrap();
        if (made.uid > other.uid) == is_larger {
            return made;
        }
        floor.delete(&made).await.unwrap();
    }
}

async fn between(length: u64, is_larger: bool, is_lent_out_of: bool) {
    let floor = Floor::new();
    let pages = WasmPages::new(16);
    let spec = MemorySpec { initial: pages.unwrap(), maximum: pages, ..one_page() };
    let lent = floor.make("m", spec.clone(), floor.start).await.unwrap();
    let name = TenantName::new("g").unwrap();
    let grantee = Namespace::new(name, 5, NamespaceLimits::NONE, &floor.registry);
    let own = own(&floor, &grantee, &spec, &lent, is_larger).await;
    let part = |record: &Arc<Record>| Part {
        record: Arc::clone(record),
        range: record.within(0, length).unwrap(),
    };
    let (from, to) = match is_lent_out_of {
        true => (part(&lent), part(&own)),
        false => (part(&own), part(&lent)),
    };
    let gate = Gate::new();
    let busy = write_now(Arc::clone(&own)).unwrap();
    let mut copy = pin!(floor.registry.copy(&grantee, from, to, None, floor.start, &gate));
    let mut context = Context::from_waker(Waker::noop());
    assert!(copy.as_mut().poll(&mut context).is_pending());
    let owner = write_now(Arc::clone(&lent));
    assert!(owner.is_some(), "the owner is kept out by a copy that waits for the grantee's");
    // The other way round too, and a job takes its turn on the pool.
    drop(busy);
    assert!(copy.as_mut().poll(&mut context).is_pending());
    floor.registry.pool.run_once(grantee.lane, Gate::new(), || ()).await.unwrap();
    assert!(write_now(Arc::clone(&own)).is_some(), "held while it waits for the lent one");
    drop(owner);
    let copied = tokio::time::timeout(Duration::from_secs(30), copy).await;
    assert_eq!(copied, Ok(Ok(())));
    for record in [&lent, &own] {
        assert!(write_now(Arc::clone(record)).is_some(), "nothing is held after it");
        floor.delete(record).await.unwrap();
    }
    floor.sweep_until_empty(floor.start);
}

#[tokio::test]
async fn a_copy_that_waits_for_one_tenants_memory_keeps_the_others_from_nobody() {
    for length in [8, 512 << 10] {
        for is_larger in [true, false] {
            for is_lent_out_of in [true, false] {
                between(length, is_larger, is_lent_out_of).await;
            }
        }
    }
}

#[tokio::test]
async fn a_look_at_anothers_memory_keeps_it_from_nobody_while_the_lookers_jobs_run() {
    let floor = Floor::new();
    let record = floor.make("m", one_page(), floor.start).await.unwrap();
    let name = TenantName::new("g").unwrap();
    let grantee = Namespace::new(name, 5, NamespaceLimits::NONE, &floor.registry);
    let pool = &floor.registry.pool;
    let (free, is_held) = channel::<()>();
    let held = pool.run_once(9, Gate::new(), move || is_held.recv().is_err());
    let (done, is_done) = channel::<()>();
    let slow = pool.run_once(grantee.lane, Gate::new(), move || is_done.recv().is_err());
    let gate = Gate::new();
    let mut look = pin!(floor.registry.observe(&grantee, &record, floor.start, &gate));
    assert!(look.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(write_now(Arc::clone(&record)).is_some(), "its owner may write");
    drop(free);
    assert_eq!(held.await, Ok(true));
    let seen = tokio::time::timeout(Duration::from_secs(30), look).await;
    assert!(seen.expect("it comes before what nobody else waits for").unwrap().is_some());
    drop(done);
    assert_eq!(slow.await, Ok(true));
    floor.delete(&record).await.unwrap();
    floor.sweep_until_empty(floor.start);
}

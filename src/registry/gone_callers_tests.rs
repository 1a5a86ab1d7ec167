//! Claims about calls whose caller has gone when their job on the pool is over: what they did is done
//! whole, with all that follows from it.
//!
//! Law: the pool has one thread, so that a job behind another in its lane is over after it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};

use crate::memory::{Address, Draft, GroupLimits};
use crate::model::{Form, MemorySpec, RequestKey, Uuid};
use crate::registry::registry_tests::{Floor, one_page};
use crate::registry::requests::{Begun, Led};
use crate::registry::{Expected, Gate, Part, Record, Waited};
use crate::units::{ByteCount, ByteRange, WasmPages};

/// More than is done at once.
const LONG: u64 = 512 << 10;
const KEY: Option<RequestKey> = Some(RequestKey { id: Uuid::from_u128(1), body: [1; 16] });

/// A shared memory that is long enough.
async fn shared(floor: &Floor) -> Arc<Record> {
    let pages = WasmPages::new(16);
    let form = Arc::new(Form { is_shared: true, ..(*Form::usual()).clone() });
    let spec = MemorySpec { initial: pages.unwrap(), maximum: pages, form, ..one_page() };
    floor.make("m", spec, floor.start).await.unwrap()
}

/// Begins a call, waits until its job is over, and goes without having heard of it.
async fn gone<T>(floor: &Floor, gate: &Gate, call: impl Future<Output = T>) {
    let pool = &floor.registry.pool;
    let (free, is_held) = channel::<()>();
    let held = pool.run_once(9, Gate::new(), move || is_held.recv().is_err());
    let mut call = pin!(call);
    let begun = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.is_pending(), "it goes to the pool");
    drop(free);
    assert_eq!(held.await, Ok(true));
    pool.run_once(floor.namespace.lane(), Gate::new(), || ()).await.unwrap();
    assert!(!gate.close(), "it has had an effect");
}

fn remembered(floor: &Floor) -> Option<Led> {
    let payer = &floor.namespace.home.payer;
    match floor.namespace.requests.begin(KEY, floor.start, [payer; 2]) {
        Ok(Begun::Done(led)) => Some(led),
        _ => None,
    }
}

#[tokio::test]
async fn a_copy_is_remembered_though_its_caller_went_before_it_ended() {
    let floor = Floor::new();
    let record = shared(&floor).await;
    let part = |from| {
        let range = ByteRange::within(from, LONG / 2 + 1, ByteCount::new(2 * LONG)).unwrap();
        Part { record: Arc::clone(&record), range }
    };
    let gate = Gate::new();
    let (from, to) = (part(0), part(LONG));
    let copy = floor.registry.copy(&floor.namespace, from, to, KEY, floor.start, &gate);
    gone(&floor, &gate, copy).await;
    assert_eq!(remembered(&floor), Some(Led::Copied));
    floor.delete(&record).await.unwrap();
    floor.namespace.forget();
    floor.sweep_until_empty(floor.start);
}

#[tokio::test]
async fn a_group_is_remembered_and_wakes_its_waiters_though_its_caller_went_before_it_ended() {
    for stores in [true, false] {
        let floor = Floor::new();
        let record = shared(&floor).await;
        let limits =
            GroupLimits { operations: 9, bytes: ByteCount::new(LONG), reply: ByteCount::new(LONG) };
        let mut draft = Draft::new(record.size().bytes(), record.maximum(), limits);
        if stores {
            draft.fill(8, LONG - 8, 7).unwrap();
        } else {
            draft.compare(8, vec![0; 300 << 10].into()).unwrap();
        }
        draft.notify(Address::at(0), 1).unwrap();
        let wait = {
            let (namespace, record) = (&floor.namespace, Arc::clone(&record));
            floor.registry.wait(namespace, record, 0, Expected::Bits32(0), Gate::new()).await
        };
        let Ok(Waited::Parked(parked)) = wait else { panic!("it waits, not {wait:?}") };
        let mut parked = pin!(parked);
        let mut context = Context::from_waker(Waker::noop());
        assert!(parked.as_mut().poll(&mut context).is_pending());
        let gate = Gate::new();
        let (group, own) = (draft.finish(), Arc::clone(&record));
        let execute = floor.registry.execute(
            &floor.namespace,
            own,
            group,
            Vec::new(),
            KEY,
            floor.start,
            &gate,
        );
        gone(&floor, &gate, execute).await;
        assert_eq!(parked.as_mut().poll(&mut context), Poll::Ready(Ok(())), "{stores}");
        // The number of those who were woken.
        let results = Box::from(1_u32.to_le_bytes());
        assert_eq!(remembered(&floor), Some(Led::Executed { results }), "{stores}");
        floor.delete(&record).await.unwrap();
        floor.namespace.forget();
        floor.sweep_until_empty(floor.start);
    }
}

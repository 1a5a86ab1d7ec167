//! Waits under loom: compares, writes, notifies, ends and waiters that go away, racing one another. A
//! wake that is lost hangs the test, which loom tells. See `memory/lock_loom.rs` for how to run it.

#![expect(unsafe_code, reason = "loom's cell hands out pointers, as std's does")]

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::memory::lock::Locked;
use crate::model::Uuid;
use crate::registry::waiters::{Over, Waiters, Waiting};

const MEMORY: Uuid = Uuid::from_u128(7);
const ADDRESS: u64 = 16;

/// Four bytes of a memory under its lock.
struct Word(Locked<UnsafeCell<u32>>);

// SAFETY: Locked keeps a writer away from everyone else; loom's cell notices if it does not.
unsafe impl Sync for Word {}
// SAFETY: as for Sync.
unsafe impl Send for Word {}

fn inside(word: &Word) -> &Locked<UnsafeCell<u32>> {
    &word.0
}

fn explore(test: impl Fn(Arc<Waiters>) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let waiters = Arc::new(Waiters::default());
        test(Arc::clone(&waiters));
        assert!(waiters.is_empty(), "a trace was left behind");
    });
}

fn park(waiters: &Arc<Waiters>) -> Waiting {
    waiters.park(MEMORY, ADDRESS, || None).unwrap()
}

/// Whether it was woken: none where another value was there.
fn wait_for(word: Arc<Word>, waiters: &Arc<Waiters>, expected: u32) -> Option<Result<(), Over>> {
    let waiting = {
        let guard = block_on(Locked::read(word, inside));
        // SAFETY: the guard shares the value; loom checks that.
        let found = guard.with(|value| unsafe { *value });
        (found == expected).then(|| park(waiters))
    };
    waiting.map(block_on)
}

fn write(word: Arc<Word>, new: u32) {
    let guard = block_on(Locked::write(word, inside, 8)).expect("room for eight");
    // SAFETY: the guard has the value alone; loom checks that.
    guard.with_mut(|value| unsafe { *value = new });
}

#[test]
fn loom_who_found_the_old_value_is_woken_by_the_notify_after_the_write() {
    explore(|waiters| {
        let word = Arc::new(Word(Locked::new(UnsafeCell::new(0))));
        let (waits, on) = (Arc::clone(&waiters), Arc::clone(&word));
        let waiter = thread::spawn(move || wait_for(on, &waits, 0));
        write(word, 1);
        let woken = waiters.notify(MEMORY, ADDRESS, usize::MAX);
        let outcome = waiter.join().unwrap();
        assert_eq!(outcome, (woken == 1).then_some(Ok(())));
    });
}

#[test]
fn loom_two_notifies_of_one_wake_two_waiters_once_each() {
    explore(|waiters| {
        let (first, second) = (park(&waiters), park(&waiters));
        let notifies = Arc::clone(&waiters);
        let other = thread::spawn(move || notifies.notify(MEMORY, ADDRESS, 1));
        let waiter = thread::spawn(move || block_on(first));
        assert_eq!(waiters.notify(MEMORY, ADDRESS, 1), 1);
        assert_eq!(block_on(second), Ok(()));
        assert_eq!((other.join().unwrap(), waiter.join().unwrap()), (1, Ok(())));
        assert_eq!(waiters.notify(MEMORY, ADDRESS, 1), 0);
    });
}

#[test]
fn loom_a_wake_of_who_goes_away_is_not_lost_to_who_waited_beside_it() {
    explore(|waiters| {
        let (goes, stays) = (park(&waiters), park(&waiters));
        let gone = thread::spawn(move || drop(goes));
        let waiter = thread::spawn(move || block_on(stays));
        assert_eq!(waiters.notify(MEMORY, ADDRESS, 1), 1);
        gone.join().unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
}

#[test]
fn loom_who_gives_up_was_woken_exactly_where_it_was_counted() {
    explore(|waiters| {
        let mut waiting = park(&waiters);
        let late = thread::spawn(move || waiting.give_up());
        let woken = waiters.notify(MEMORY, ADDRESS, 1);
        assert_eq!(late.join().unwrap(), (woken == 1).then_some(Ok(())));
    });
}

#[test]
fn loom_nobody_waits_on_what_has_ended() {
    explore(|waiters| {
        let ended = Arc::new(AtomicBool::new(false));
        let (waits, looks) = (Arc::clone(&waiters), Arc::clone(&ended));
        let waiter = thread::spawn(move || {
            let is_over = || looks.load(Ordering::Acquire).then_some(Over::Gone);
            waits.park(MEMORY, ADDRESS, is_over).and_then(block_on)
        });
        ended.store(true, Ordering::Release);
        waiters.end(MEMORY, Over::Gone);
        assert_eq!(waiter.join().unwrap(), Err(Over::Gone));
    });
}

#[test]
fn loom_an_end_and_a_notify_tell_each_waiter_one_thing() {
    explore(|waiters| {
        let waiting = park(&waiters);
        let ends = Arc::clone(&waiters);
        let end = thread::spawn(move || ends.close());
        let waiter = thread::spawn(move || block_on(waiting));
        let woken = waiters.notify(MEMORY, ADDRESS, 1);
        end.join().unwrap();
        let wanted = if woken == 1 { Ok(()) } else { Err(Over::Draining) };
        assert_eq!(waiter.join().unwrap(), wanted);
    });
}

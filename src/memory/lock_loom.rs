//! The lock under loom: every interleaving of a few threads, up to a bound of preemptions.
//!
//! Run by `RUSTFLAGS="--cfg linmemd_loom" cargo test --lib loom --target-dir target/loom`. The
//! value is loom's own cell, which fails a test when a writer overlaps anyone.

#![expect(unsafe_code, reason = "loom's cell hands out pointers, as std's does")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::thread;

use crate::memory::guard::{ReadGuard, WriteGuard};
use crate::memory::lock::{Locked, QueueFull};

struct Owner(Locked<UnsafeCell<u64>>);

// SAFETY: Locked keeps a writer away from everyone else; that is what is tested here, and loom's
// cell notices if it does not.
unsafe impl Sync for Owner {}
// SAFETY: as for Sync.
unsafe impl Send for Owner {}

const ROOM: usize = 8;

fn inside(owner: &Owner) -> &Locked<UnsafeCell<u64>> {
    &owner.0
}

fn explore(test: impl Fn(Arc<Owner>) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let owner = Arc::new(Owner(Locked::new(UnsafeCell::new(0))));
        test(Arc::clone(&owner));
        // Whatever happened: nobody holds it, nobody waits, and it can be had.
        assert!(Locked::try_write(owner, inside).is_ok(), "a trace was left behind");
    });
}

fn see(guard: &ReadGuard<Owner, UnsafeCell<u64>>) -> u64 {
    // SAFETY: the guard shares the value; loom checks that.
    guard.with(|value| unsafe { *value })
}

fn add(guard: &WriteGuard<Owner, UnsafeCell<u64>>) {
    // SAFETY: the guard has the value alone; loom checks that.
    guard.with_mut(|value| unsafe { *value += 1 });
}

fn read(owner: &Arc<Owner>) -> u64 {
    match Locked::try_read(Arc::clone(owner), inside) {
        Ok(guard) => see(&guard),
        Err(owner) => see(&block_on(Locked::read(owner, inside))),
    }
}

fn write(owner: &Arc<Owner>) {
    match Locked::try_write(Arc::clone(owner), inside) {
        Ok(guard) => add(&guard),
        Err(owner) => match block_on(Locked::write(owner, inside, ROOM)) {
            Ok(guard) => add(&guard),
            Err(QueueFull) => panic!("room for {ROOM}, and as many never come"),
        },
    }
}

/// Comes, polls once, and goes, whatever it got.
fn come_and_go(wait: impl Future + Unpin) {
    let mut wait = wait;
    let _maybe = Pin::new(&mut wait).poll(&mut Context::from_waker(Waker::noop()));
}

#[test]
fn loom_two_writers_never_overlap_and_neither_is_forgotten() {
    explore(|owner| {
        let other = Arc::clone(&owner);
        let thread = thread::spawn(move || write(&other));
        write(&owner);
        thread.join().unwrap();
        assert_eq!(read(&owner), 2);
    });
}

#[test]
fn loom_a_writer_never_overlaps_readers_and_all_are_served() {
    explore(|owner| {
        let (first, second) = (Arc::clone(&owner), Arc::clone(&owner));
        let reader = thread::spawn(move || read(&first));
        let writer = thread::spawn(move || write(&second));
        assert!(read(&owner) <= 1);
        assert!(reader.join().unwrap() <= 1);
        writer.join().unwrap();
        assert_eq!(read(&owner), 1);
    });
}

#[test]
fn loom_a_writer_that_goes_away_loses_nobodys_wake_up() {
    explore(|owner| {
        let (first, second) = (Arc::clone(&owner), Arc::clone(&owner));
        let goes = thread::spawn(move || come_and_go(Locked::write(first, inside, ROOM)));
        let writer = thread::spawn(move || write(&second));
        assert!(read(&owner) <= 1);
        goes.join().unwrap();
        writer.join().unwrap();
        assert_eq!(read(&owner), 1);
    });
}

#[test]
fn loom_a_writer_that_gives_up_at_the_front_lets_the_reader_behind_it_in() {
    explore(|owner| {
        let Ok(held) = Locked::try_read(Arc::clone(&owner), inside) else { panic!("it is free") };
        let mut front = Locked::write(Arc::clone(&owner), inside, ROOM);
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut front).poll(&mut context), Poll::Pending));
        let behind = Arc::clone(&owner);
        // It must be let in while `held` is still there.
        let reader = thread::spawn(move || read(&behind));
        drop(front);
        assert_eq!(reader.join().unwrap(), 0);
        assert_eq!(see(&held), 0);
        drop(held);
    });
}

#[test]
fn loom_a_grant_passes_on_when_its_waiter_goes_as_it_is_granted() {
    explore(|owner| {
        let Ok(held) = Locked::try_write(Arc::clone(&owner), inside) else { panic!("it is free") };
        let mut waits = Locked::write(Arc::clone(&owner), inside, ROOM);
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut waits).poll(&mut context), Poll::Pending));
        let next = Arc::clone(&owner);
        let writer = thread::spawn(move || write(&next));
        let releases = thread::spawn(move || drop(held));
        drop(waits);
        releases.join().unwrap();
        writer.join().unwrap();
        assert_eq!(read(&owner), 1);
    });
}

#[test]
fn loom_who_came_first_is_served_first() {
    explore(|owner| {
        let Ok(held) = Locked::try_write(Arc::clone(&owner), inside) else { panic!("it is free") };
        let mut first = Locked::write(Arc::clone(&owner), inside, ROOM);
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut first).poll(&mut context), Poll::Pending));
        // Comes after `first`, so must see what it wrote.
        let after = Arc::clone(&owner);
        let second = thread::spawn(move || read(&after));
        drop(held);
        match block_on(first) {
            Ok(guard) => add(&guard),
            Err(QueueFull) => panic!("it queued already"),
        }
        assert_eq!(second.join().unwrap(), 1);
    });
}

#[test]
fn loom_a_full_queue_refuses_or_serves_and_never_hangs() {
    explore(|owner| {
        let bounded = |owner: Arc<Owner>| match block_on(Locked::write(owner, inside, 1)) {
            Ok(guard) => {
                add(&guard);
                1
            }
            Err(QueueFull) => 0,
        };
        let other = Arc::clone(&owner);
        let thread = thread::spawn(move || bounded(other));
        let mine = bounded(Arc::clone(&owner));
        let theirs = thread.join().unwrap();
        assert_eq!(read(&owner), mine + theirs);
    });
}

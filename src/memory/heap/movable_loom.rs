//! A movable value under loom: users and a mover, every interleaving up to a bound of preemptions.
//!
//! What is moved is a place, a loom cell by its number: a user writes to the place that it finds, the
//! mover copies it to another and makes the old one unusable. Loom's cells fail a test in which anyone
//! is in a place that is being changed, and the numbers tell where a write was lost. See
//! `memory/lock_loom.rs` for how to run it.

#![expect(unsafe_code, reason = "loom's cell hands out pointers, as std's does")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::memory::heap::movable::Movable;

/// What a place holds once its bytes are elsewhere.
const WIPED: u64 = u64::MAX;

struct Place {
    /// Many use it at a time: as bytes are, behind routines that race with nobody's references.
    bytes: AtomicU64,
    /// Moved by one who has it alone, looked at by all others.
    number: UnsafeCell<u64>,
}

// SAFETY: who moves has it alone; that is what is tested here, and loom's cell notices if not.
unsafe impl Sync for Place {}
// SAFETY: as for Sync.
unsafe impl Send for Place {}

type Moved = Arc<Movable<Arc<Place>>>;

fn place(number: u64, bytes: u64) -> Arc<Place> {
    Arc::new(Place { bytes: AtomicU64::new(bytes), number: UnsafeCell::new(number) })
}

fn explore(test: impl Fn(Moved) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let movable = Arc::new(Movable::new(place(0, 0)));
        test(Arc::clone(&movable));
        assert!(movable.enter().is_some(), "a trace was left behind");
        assert!(movable.freeze().is_some(), "a trace was left behind");
    });
}

/// Adds one where the bytes are; which place that was, or none where it was moving.
fn write(movable: &Moved) -> Option<u64> {
    movable.enter().map(|inside| {
        inside.with(|place| {
            // SAFETY: inside, nobody moves it; loom checks that.
            let number = place.number.with(|number| unsafe { *number });
            assert_ne!(number, WIPED, "a place that is no more");
            let before = place.bytes.fetch_add(1, Ordering::Relaxed);
            assert_ne!(before, WIPED, "bytes that are no more");
            number
        })
    })
}

/// Whether it was moved: another may be at it.
fn move_it(movable: &Moved) -> bool {
    let Some(freezing) = movable.freeze() else { return false };
    let mut moving = block_on(freezing);
    moving.with_mut(|here| {
        let old = here.number.with_mut(|number| {
            // SAFETY: nobody is inside; loom checks that.
            std::mem::replace(unsafe { &mut *number }, WIPED)
        });
        let there = place(old + 1, here.bytes.load(Ordering::Relaxed));
        here.bytes.store(WIPED, Ordering::Relaxed);
        *here = there;
    });
    true
}

fn bytes(movable: &Moved) -> u64 {
    let inside = movable.enter();
    inside.map(|inside| inside.with(|place| place.bytes.load(Ordering::Relaxed))).unwrap()
}

#[test]
fn loom_no_write_is_lost_and_none_reaches_a_place_that_is_no_more() {
    explore(|movable| {
        let (one, other) = (Arc::clone(&movable), Arc::clone(&movable));
        let writer = thread::spawn(move || write(&one));
        let mover = thread::spawn(move || move_it(&other));
        let written = u64::from(write(&movable).is_some());
        let written = written + u64::from(writer.join().unwrap().is_some());
        assert!(mover.join().unwrap());
        assert_eq!(bytes(&movable), written);
        assert_eq!(write(&movable), Some(1), "after the move, there");
    });
}

#[test]
fn loom_of_two_movers_one_moves_at_a_time() {
    explore(|movable| {
        let (one, other) = (Arc::clone(&movable), Arc::clone(&movable));
        let writer = thread::spawn(move || write(&one));
        let mover = thread::spawn(move || move_it(&other));
        let moves = u64::from(move_it(&movable)) + u64::from(mover.join().unwrap());
        assert!(moves > 0);
        let written = u64::from(writer.join().unwrap().is_some());
        assert_eq!(bytes(&movable), written);
        assert_eq!(write(&movable), Some(moves));
    });
}

#[test]
fn loom_a_mover_that_goes_away_lets_everybody_in_again() {
    explore(|movable| {
        let (one, other) = (Arc::clone(&movable), Arc::clone(&movable));
        let writer = thread::spawn(move || write(&one));
        let goes = thread::spawn(move || {
            let mut freezing = other.freeze().unwrap();
            let polled = Pin::new(&mut freezing).poll(&mut Context::from_waker(Waker::noop()));
            matches!(polled, Poll::Ready(_))
        });
        goes.join().unwrap();
        assert_eq!(write(&movable), Some(0));
        writer.join().unwrap();
    });
}

//! A life under loom: reads, a growth, a quarantine and an end racing one another.
//!
//! What lives is a loom cell that the end takes away and writes to, so that loom fails a test in
//! which anyone still looks at it then. See `memory/lock_loom.rs` for how to run it.

#![expect(unsafe_code, reason = "loom's cell hands out pointers, as std's does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::thread;

use crate::error::Failure;
use crate::registry::gate::Gate;
use crate::registry::lifecycle::{self, Lent, Lifecycle, Lives, NotHad, Why};

struct Cell(UnsafeCell<u64>);

// SAFETY: what is tested here is that nobody looks at it while or after the end writes to it; loom's
// cell notices if someone does.
unsafe impl Sync for Cell {}
// SAFETY: as for Sync.
unsafe impl Send for Cell {}

const ENDED: u64 = 99;
const LOST: &str = "the host lost bytes of it";

struct Owner(Lifecycle<Cell>, Arc<AtomicU64>);

impl Lives for Owner {
    type Memory = Cell;

    fn life(&self) -> &Lifecycle<Cell> {
        &self.0
    }

    fn quarantined_count(&self) -> &AtomicU64 {
        &self.1
    }
}

fn explore(test: impl Fn(Arc<Owner>) + Send + Sync + 'static) {
    explore_of(false, test);
}

fn explore_alone(test: impl Fn(Arc<Owner>) + Send + Sync + 'static) {
    explore_of(true, test);
}

fn explore_of(is_alone: bool, test: impl Fn(Arc<Owner>) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let quarantined = Arc::new(AtomicU64::new(0));
        let life = Lifecycle::new(is_alone, Cell(UnsafeCell::new(1)));
        test(Arc::new(Owner(life, Arc::clone(&quarantined))));
        assert_eq!(quarantined.load(Ordering::Relaxed), 0, "who is over is not quarantined");
    });
}

fn look(cell: &Cell) -> u64 {
    // SAFETY: a guard shares it; loom checks that.
    cell.0.with(|value| unsafe { *value })
}

/// What a read sees: the value, or that it is over or quarantined.
fn read(owner: &Arc<Owner>) -> Result<u64, NotHad> {
    let mut reading =
        block_on(async { lifecycle::read(Arc::clone(owner), &Gate::default()).await })?;
    let seen = match reading.memory()? {
        Lent::Among(cell) => look(cell),
        Lent::Alone(cell) => change(cell, |_value| ()),
    };
    assert_eq!(seen, 1, "nobody sees it after the end");
    Ok(seen)
}

/// What it is, for who says that nobody else looks; loom checks that.
fn change(cell: &Cell, change: impl FnOnce(&mut u64)) -> u64 {
    cell.0.with_mut(|value| {
        // SAFETY: the guard has it alone; loom checks that.
        let value = unsafe { &mut *value };
        change(value);
        *value
    })
}

/// A growth that freezes; it moves what lives, and must have it alone.
fn move_it(owner: &Arc<Owner>) -> Result<u64, NotHad> {
    block_on(async {
        let growing = lifecycle::grow(Arc::clone(owner), 16, &Gate::default()).await?;
        let mut whole = lifecycle::freeze(growing, &Gate::default()).await?;
        let seen = match whole.memory()? {
            Lent::Among(cell) => change(cell, |_value| ()),
            Lent::Alone(cell) => change(cell, |_value| ()),
        };
        Ok(seen)
    })
}

fn grow(owner: &Arc<Owner>) -> Result<u64, NotHad> {
    let growing =
        block_on(async { lifecycle::grow(Arc::clone(owner), 16, &Gate::default()).await })?;
    let seen = growing.memory().map_or(1, look);
    assert_eq!(seen, 1, "nobody grows it after the end");
    Ok(seen)
}

/// Whether this call was the one that got it whole.
fn end(owner: &Arc<Owner>) -> bool {
    let whole = block_on(async { lifecycle::whole(Arc::clone(owner), &Gate::default()).await });
    let Ok(mut whole) = whole else { return false };
    let Some(cell) = whole.end() else { return false };
    // SAFETY: it was taken out whole; loom checks that nobody else looks.
    cell.0.with_mut(|value| unsafe { *value = ENDED });
    assert!(whole.end().is_none(), "once");
    true
}

#[test]
fn loom_nobody_sees_a_memory_after_its_end() {
    explore(|owner| {
        let (reads, grows) = (Arc::clone(&owner), Arc::clone(&owner));
        let reader = thread::spawn(move || read(&reads));
        let grower = thread::spawn(move || grow(&grows));
        assert!(end(&owner), "the only end there is gets it");
        for outcome in [reader.join().unwrap(), grower.join().unwrap()] {
            assert!(matches!(outcome, Ok(1) | Err(NotHad::Ended)), "{outcome:?}");
        }
        assert_eq!(read(&owner), Err(NotHad::Ended));
    });
}

#[test]
fn loom_what_can_be_had_alone_only_is_read_and_grown_by_one_at_a_time_and_seen_by_nobody_after() {
    explore_alone(|owner| {
        let (reads, grows) = (Arc::clone(&owner), Arc::clone(&owner));
        let reader = thread::spawn(move || read(&reads));
        let grower = thread::spawn(move || move_it(&grows));
        assert!(end(&owner), "the only end there is gets it");
        for outcome in [reader.join().unwrap(), grower.join().unwrap()] {
            assert!(matches!(outcome, Ok(1) | Err(NotHad::Ended)), "{outcome:?}");
        }
        assert_eq!(move_it(&owner), Err(NotHad::Ended));
    });
}

#[test]
fn loom_a_growth_that_freezes_has_what_many_read_alone() {
    explore(|owner| {
        let (reads, grows) = (Arc::clone(&owner), Arc::clone(&owner));
        let reader = thread::spawn(move || read(&reads));
        let grower = thread::spawn(move || move_it(&grows));
        assert_eq!(read(&owner), Ok(1));
        assert_eq!((reader.join().unwrap(), grower.join().unwrap()), (Ok(1), Ok(1)));
        assert!(end(&owner));
    });
}

#[test]
fn loom_of_two_ends_exactly_one_gets_the_memory() {
    explore(|owner| {
        let other = Arc::clone(&owner);
        let thread = thread::spawn(move || end(&other));
        let mine = end(&owner);
        let theirs = thread.join().unwrap();
        assert!(mine != theirs);
        assert!(owner.0.has_ended());
    });
}

#[test]
fn loom_a_quarantine_beside_reads_is_seen_whole_and_ends_with_the_memory() {
    explore(|owner| {
        let (faults, reads) = (Arc::clone(&owner), Arc::clone(&owner));
        let fault = thread::spawn(move || {
            let reading = block_on(async { lifecycle::read(faults, &Gate::default()).await });
            if let Ok(reading) = reading {
                lifecycle::quarantine(&**reading.owner(), Why::LostBytes);
            }
        });
        let reader = thread::spawn(move || read(&reads));
        if let Some(why) = owner.0.quarantined() {
            assert_eq!(why, LOST, "a state is never seen without its reason");
        }
        fault.join().unwrap();
        let outcome = reader.join().unwrap();
        let refused = NotHad::Failed(Failure::Quarantined { why: LOST });
        assert!(outcome == Ok(1) || outcome == Err(refused.clone()), "{outcome:?}");
        assert_eq!(read(&owner), Err(refused), "from then on");
        assert!(end(&owner), "what is quarantined can be ended");
    });
}

#[test]
fn loom_a_quarantine_racing_the_end_leaves_the_count_at_zero() {
    explore(|owner| {
        let faults = Arc::clone(&owner);
        let fault = thread::spawn(move || {
            let growing = block_on(async { lifecycle::grow(faults, 16, &Gate::default()).await });
            if let Ok(growing) = growing {
                lifecycle::quarantine(&**growing.owner(), Why::Broken);
            }
        });
        assert!(end(&owner));
        fault.join().unwrap();
        assert_eq!(owner.0.quarantined(), None);
    });
}

//! The lock's promises one by one, and all at once under many tasks. `lock_loom.rs` explores the
//! interleavings of a few.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::memory::guard::{ReadGuard, WriteGuard};
use crate::memory::lock::{Locked, QueueFull};

struct Owner(Locked<u64>);

type Reading = ReadGuard<Owner, u64>;
type Writing = WriteGuard<Owner, u64>;

const ROOM: usize = 8;

fn inside(owner: &Owner) -> &Locked<u64> {
    &owner.0
}

fn owner() -> Arc<Owner> {
    Arc::new(Owner(Locked::new(0)))
}

fn try_read(owner: &Arc<Owner>) -> Option<Reading> {
    Locked::try_read(Arc::clone(owner), inside).ok()
}

fn try_write(owner: &Arc<Owner>) -> Option<Writing> {
    Locked::try_write(Arc::clone(owner), inside).ok()
}

fn read(owner: &Arc<Owner>) -> impl Future<Output = Reading> + Unpin + use<> {
    Locked::read(Arc::clone(owner), inside)
}

fn write(owner: &Arc<Owner>) -> impl Future<Output = Result<Writing, QueueFull>> + Unpin + use<> {
    Locked::write(Arc::clone(owner), inside, ROOM)
}

#[derive(Default)]
struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls once, expecting to wait; who is woken is counted.
fn queue<F: Future + Unpin>(future: &mut F) -> Arc<Woken> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(Pin::new(future).poll(&mut Context::from_waker(&waker)).is_pending());
    woken
}

fn have<F: Future + Unpin>(mut future: F) -> F::Output {
    match poll(&mut future) {
        Poll::Ready(guard) => guard,
        Poll::Pending => panic!("still waits"),
    }
}

#[test]
fn readers_share_and_a_writer_is_alone() {
    let owner = owner();
    let (first, second) = (try_read(&owner).unwrap(), try_read(&owner).unwrap());
    assert!(try_write(&owner).is_none());
    drop(first);
    assert!(try_write(&owner).is_none());
    drop(second);
    let mut alone = try_write(&owner).unwrap();
    *alone = 5;
    assert!(try_read(&owner).is_none());
    assert!(try_write(&owner).is_none());
    drop(alone);
    assert_eq!(*try_read(&owner).unwrap(), 5);
}

#[test]
fn nobody_overtakes_who_came_before() {
    let owner = owner();
    let now = try_write(&owner).unwrap();
    let (mut r1, mut w1, mut r2) = (read(&owner), write(&owner), read(&owner));
    let woken = [queue(&mut r1), queue(&mut w1), queue(&mut r2)];
    let count = || woken.each_ref().map(|woken| woken.0.load(Ordering::Relaxed));
    drop(now);
    assert_eq!(count(), [1, 0, 0]);
    let r1 = have(r1);
    assert!(try_read(&owner).is_none(), "a reader does not pass a waiting writer");
    assert!(poll(&mut w1).is_pending());
    assert!(poll(&mut r2).is_pending());
    drop(r1);
    let w1 = have(w1).unwrap();
    assert!(poll(&mut r2).is_pending());
    drop(w1);
    drop(have(r2));
    assert!(try_write(&owner).is_some(), "nothing is left behind");
}

#[test]
fn readers_next_to_one_another_in_the_queue_come_in_together() {
    let owner = owner();
    let now = try_write(&owner).unwrap();
    let (mut r1, mut r2, mut w1) = (read(&owner), read(&owner), write(&owner));
    queue(&mut r1);
    queue(&mut r2);
    queue(&mut w1);
    drop(now);
    let (r1, r2) = (have(r1), have(r2));
    drop(r1);
    assert!(poll(&mut w1).is_pending());
    drop(r2);
    assert!(have(w1).is_ok());
}

#[test]
fn a_writer_that_goes_lets_the_readers_behind_it_in() {
    let owner = owner();
    let now = try_read(&owner).unwrap();
    let (mut w1, mut r1) = (write(&owner), read(&owner));
    queue(&mut w1);
    let woken = queue(&mut r1);
    drop(w1);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    drop(have(r1));
    drop(now);
    assert!(try_write(&owner).is_some());
}

#[test]
fn a_grant_that_nobody_takes_passes_on() {
    let owner = owner();
    let now = try_write(&owner).unwrap();
    let (mut w1, mut w2) = (write(&owner), write(&owner));
    queue(&mut w1);
    let woken = queue(&mut w2);
    drop(now);
    drop(w1);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(have(w2).is_ok());
    assert!(try_write(&owner).is_some());
}

#[test]
fn a_wait_that_was_never_polled_leaves_no_trace() {
    let owner = owner();
    let now = try_write(&owner).unwrap();
    drop((read(&owner), write(&owner)));
    drop(now);
    assert!(try_write(&owner).is_some());
}

#[test]
fn a_full_queue_refuses_and_has_room_again_when_one_goes() {
    let owner = owner();
    let now = try_write(&owner).unwrap();
    let bounded = || Locked::write(Arc::clone(&owner), inside, 1);
    let mut first = bounded();
    queue(&mut first);
    assert!(matches!(poll(&mut bounded()), Poll::Ready(Err(QueueFull))));
    drop(first);
    let mut next = bounded();
    queue(&mut next);
    drop(now);
    assert!(have(next).is_ok());
}

#[test]
fn a_guard_keeps_its_owner_alive() {
    let owner = owner();
    let gone = Arc::downgrade(&owner);
    let guard = Locked::try_read(owner, inside).ok().unwrap();
    assert!(gone.upgrade().is_some());
    assert_eq!(*guard, 0);
    drop(guard);
    assert!(gone.upgrade().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_that_come_wait_and_go_keep_the_value_whole() {
    const TASKS: u64 = 64;
    const ROUNDS: u64 = 200;
    let owner = owner();
    let written = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (owner, written) = (Arc::clone(&owner), Arc::clone(&written));
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    match (task * 7 + round * 3) % 5 {
                        0 | 1 => {
                            let Ok(mut guard) =
                                Locked::write(Arc::clone(&owner), inside, 4096).await
                            else {
                                continue;
                            };
                            // Two steps: another writer between them would lose one.
                            let before = *guard;
                            tokio::task::yield_now().await;
                            *guard = before + 1;
                            written.fetch_add(1, Ordering::Relaxed);
                        }
                        2 => {
                            let guard = read(&owner).await;
                            let before = *guard;
                            tokio::task::yield_now().await;
                            assert_eq!(*guard, before);
                        }
                        3 => {
                            // Comes, waits for a moment, goes.
                            let mut wait = write(&owner);
                            let _maybe = poll(&mut wait);
                            tokio::task::yield_now().await;
                        }
                        _ => {
                            let mut wait = read(&owner);
                            let _maybe = poll(&mut wait);
                            tokio::task::yield_now().await;
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*try_write(&owner).unwrap(), written.load(Ordering::Relaxed));
}

#[test]
fn of_a_long_line_those_who_stay_are_served_in_order_wherever_the_others_stood() {
    let owner = owner();
    let held = try_write(&owner).unwrap();
    let mut line: Vec<_> = (0..1_000)
        .map(|_| {
            let mut wait = Locked::write(Arc::clone(&owner), inside, 1_000);
            queue(&mut wait);
            Some(wait)
        })
        .collect();
    let mut full = Locked::write(Arc::clone(&owner), inside, 1_000);
    assert!(matches!(poll(&mut full), Poll::Ready(Err(QueueFull))));
    // From the middle outwards, but for every hundredth.
    for step in 0..500 {
        for place in [499 - step, 500 + step] {
            if place % 100 != 0 {
                line[place] = None;
            }
        }
    }
    let mut stay: Vec<_> = line.into_iter().flatten().collect();
    let mut tenth = Locked::write(Arc::clone(&owner), inside, 10);
    assert!(matches!(poll(&mut tenth), Poll::Ready(Err(QueueFull))), "so many are left");
    let mut last = Locked::write(Arc::clone(&owner), inside, 11);
    queue(&mut last);
    drop(held);
    stay.push(last);
    for place in 0..stay.len() {
        let (first, rest) = stay[place..].split_first_mut().unwrap();
        let guard = have(first).unwrap();
        assert!(rest.iter_mut().all(|wait| poll(wait).is_pending()), "{place} is alone");
        drop(guard);
    }
    assert!(try_write(&owner).is_some());
}

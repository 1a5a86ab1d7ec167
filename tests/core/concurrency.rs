//! Many threads on the same names at once, for a bounded number of operations: uids are never
//! reused, nobody sees another memory's bytes, growths are gapless, and nothing is left.

use std::collections::HashSet;
use std::sync::Mutex;
use std::thread;

use linmemd::error::Failure;
use linmemd::model::Uuid;
use linmemd::tenancy::Target;
use linmemd::units::PAGE_BYTES;

use crate::floors::{Floors, MEMORIES, PAGE, block_on, now, occasion};

const THREADS: u64 = 4;
const ROUNDS: u64 = 400;
/// Fewer than memories may exist, so that every refusal is about the name.
const NAMES: u64 = MEMORIES as u64;

/// The byte that fills the memory with this uid, and no other one's of the moment; never 0.
fn own_byte(uid: Uuid) -> u8 {
    (uid.as_u128() % 255) as u8 + 1
}

/// A small generator of its own: the order of operations differs by thread, and is the same in
/// every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[derive(Default)]
struct Seen {
    uids: HashSet<Uuid>,
    /// Of every growth: whose, from, to.
    grown: HashSet<(Uuid, u64, u64)>,
}

fn may_be_gone(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::MemoryNotFound { .. }
            | Failure::UidMismatch { .. }
            | Failure::MaximumReached { .. }
            | Failure::Overloaded { .. }
            // A memory that is being given back is charged until it is.
            | Failure::QuotaExceeded { limit_name: "memories", .. }
    )
}

fn step(floors: &Floors, seen: &Mutex<Seen>, dice: &mut Dice) {
    let id = format!("m{}", dice.roll(NAMES));
    let access = &floors.access;
    let Ok(record) = access.find(Target { id: &id, uid: None }, now()) else {
        match floors.create(&id, 1) {
            Ok(record) => {
                assert!(seen.lock().unwrap().uids.insert(record.uid), "a uid twice");
            }
            Err(Failure::MemoryExists { .. }) => {}
            Err(failure) => assert!(may_be_gone(&failure), "{failure:?}"),
        }
        return;
    };
    let target = Target { id: &id, uid: Some(record.uid) };
    let (occasion, own) = (occasion(), own_byte(record.uid));
    let size = record.size().bytes().get();
    let outcome = match dice.roll(10) {
        0..=2 => block_on(access.fill(&occasion, target, 0, size, own)),
        3..=6 => {
            let read = access.read(&occasion, target, 0, size, |_| Ok(Vec::new()));
            block_on(read).map(|bytes| {
                let strange = bytes.iter().find(|byte| **byte != 0 && **byte != own);
                assert_eq!(strange, None, "another memory's byte");
            })
        }
        7..=8 => block_on(access.grow(&occasion, target, 1, None, None, |_| ())).map(|grown| {
            let from_to = (record.uid, grown.previous.get(), grown.current.get());
            assert!(seen.lock().unwrap().grown.insert(from_to), "{from_to:?} twice");
        }),
        _ => block_on(access.delete(&occasion, target, Default::default(), |_| ())),
    };
    if let Err(failure) = outcome {
        assert!(may_be_gone(&failure), "{failure:?}");
    }
}

#[test]
fn threads_on_the_same_names_never_see_one_anothers_bytes_and_leave_nothing() {
    let floors = Floors::new();
    let seen = Mutex::new(Seen::default());
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (floors, seen) = (&floors, &seen);
            scope.spawn(move || {
                let mut dice = Dice(number);
                for _ in 0..ROUNDS {
                    step(floors, seen, &mut dice);
                }
            });
        }
    });
    let Seen { uids, grown } = seen.into_inner().unwrap();
    assert!(uids.len() > 20 && grown.len() > 20, "{} uids, {} growths", uids.len(), grown.len());
    for uid in &uids {
        let mut ends: Vec<u64> =
            grown.iter().filter(|(whose, ..)| whose == uid).map(|(_, _, to)| *to).collect();
        ends.sort_unstable();
        let gapless: Vec<u64> = (2..).take(ends.len()).collect();
        assert_eq!(ends, gapless, "each page was added once");
    }
    for number in 0..NAMES {
        let _gone = floors.delete(&format!("m{number}"));
    }
    floors.assert_empty();
}

#[test]
fn growths_of_one_memory_at_once_are_gapless_and_stop_at_the_maximum() {
    let floors = Floors::new();
    floors.create("m", 0).unwrap();
    let mut previous: Vec<u64> = thread::scope(|scope| {
        let grow = || {
            let mut previous = Vec::new();
            loop {
                match floors.grow("m", 1) {
                    Ok((before, after)) => {
                        assert_eq!(after, before + 1);
                        previous.push(before);
                    }
                    Err(Failure::MaximumReached { .. }) => return previous,
                    Err(failure) => panic!("{failure:?}"),
                }
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(grow)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    previous.sort_unstable();
    assert_eq!(previous, (0..16).collect::<Vec<u64>>());
    assert_eq!(floors.read("m", 0, 16 * PAGE_BYTES).unwrap(), vec![0; 16 * PAGE]);
    floors.delete("m").unwrap();
    floors.assert_empty();
}

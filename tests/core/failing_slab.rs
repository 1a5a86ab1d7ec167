//! Every system call of every operation on a memory in a slab made to fail in turn: the failure, the
//! ledger after it, and what whoever gets the slot next sees.

use linmemd::error::Failure;
use linmemd::memory::ReleaseStep;
use linmemd::os::kernel::{Advice, Call};
use linmemd::units::PAGE_BYTES;

use crate::floors::{Floors, PAGE, now, target};

const ERRNOS: [i32; 4] = [libc::ENOMEM, libc::EINVAL, libc::EAGAIN, libc::EPERM];
const SECRET: u8 = 0x5E;

/// Floors that have prepared; none where this kernel has no slabs, said in a line.
fn prepared(prepare: impl FnOnce(&Floors)) -> Option<Floors> {
    let floors = Floors::new();
    if !floors.has_slabs() {
        #[expect(clippy::print_stderr, reason = "what is left out is said")]
        {
            eprintln!("left out: this kernel has no MADV_GUARD_INSTALL");
        }
        return None;
    }
    prepare(&floors);
    floors.kernel.forget();
    Some(floors)
}

fn is_exhausted(outcome: &Result<(), Failure>) -> bool {
    matches!(outcome, Err(Failure::HostExhausted { .. }))
}

fn assert_zero(floors: &Floors, id: &str) {
    let size = floors.access.find(target(id), now()).unwrap().size();
    let bytes = floors.read(id, 0, size.bytes().get()).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0), "someone's bytes in {id}");
}

/// Makes call `n` of the act fail, for every `n` there is and every error number; how many there are.
fn each_call(
    prepare: impl Fn(&Floors),
    act: impl Fn(&Floors) -> Result<(), Failure>,
    judge: impl Fn(&Floors, Call, i32, Result<(), Failure>),
) -> usize {
    for n in 0.. {
        for errno in ERRNOS {
            let Some(floors) = prepared(&prepare) else { return 0 };
            floors.kernel.fail_nth(n, errno);
            let outcome = act(&floors);
            let calls = floors.kernel.calls();
            floors.kernel.forget();
            let Some(failed) = calls.get(n) else {
                assert_eq!(outcome, Ok(()), "no call failed");
                return n;
            };
            judge(&floors, *failed, errno, outcome);
            floors.assert_empty();
        }
    }
    unreachable!("an act makes finitely many calls")
}

#[test]
fn the_first_create_of_a_slab_that_any_call_fails_leaves_nothing() {
    let calls = each_call(
        |_floors| (),
        |floors| floors.create("m", 2).map(drop),
        |floors, call, errno, outcome| {
            let absent = matches!(call, Call::Advise(Advice::NoHugePage) | Call::Name);
            if errno == libc::EINVAL && absent {
                assert_eq!(outcome, Ok(()), "{call:?}");
            } else {
                assert!(is_exhausted(&outcome), "{call:?} {errno}: {outcome:?}");
                floors.create("m", 2).unwrap();
            }
            assert_zero(floors, "m");
            floors.write("m", 0, vec![SECRET; 2 * PAGE]).unwrap();
            floors.delete("m").unwrap();
            floors.create("m", 2).unwrap();
            assert_zero(floors, "m");
            floors.delete("m").unwrap();
        },
    );
    assert!([0, 8].contains(&calls), "map, three advices, name, protect, install, remove: {calls}");
}

#[test]
fn a_grow_in_a_slab_that_any_call_fails_changes_nothing() {
    let calls = each_call(
        |floors| {
            floors.create("m", 1).unwrap();
            floors.write("m", 0, vec![SECRET; 100]).unwrap();
        },
        |floors| floors.grow("m", 3).map(drop),
        |floors, call, errno, outcome| {
            assert!(is_exhausted(&outcome), "{call:?} {errno}: {outcome:?}");
            assert_eq!(floors.charged()[0], PAGE_BYTES);
            assert!(matches!(floors.read("m", PAGE_BYTES, 1), Err(Failure::OutOfBounds(_))));
            assert_eq!(floors.grow("m", 3), Ok((1, 4)));
            assert_eq!(floors.read("m", 0, 100).unwrap(), [SECRET; 100]);
            let new = floors.read("m", PAGE_BYTES, 3 * PAGE_BYTES).unwrap();
            assert!(new.iter().all(|byte| *byte == 0));
            floors.delete("m").unwrap();
            floors.create("m", 4).unwrap();
            assert_zero(floors, "m");
            floors.delete("m").unwrap();
        },
    );
    assert!([0, 1].contains(&calls), "guards removed: {calls}");
}

#[test]
fn a_slot_that_cannot_be_wiped_stays_charged_and_nobodys_until_the_sweep_wipes_it() {
    let calls = each_call(
        |floors| {
            floors.create("m", 2).unwrap();
            floors.write("m", 0, vec![SECRET; 2 * PAGE]).unwrap();
        },
        |floors| floors.delete("m"),
        |floors, _call, errno, outcome| {
            assert_eq!(outcome, Ok(()), "the name is gone");
            let listed = floors.registry.quarantined_ranges();
            assert_eq!((listed[0].step, listed[0].errno), (ReleaseStep::Wipe, errno));
            assert_eq!(floors.charged()[0], 2 * PAGE_BYTES, "still charged");
            for id in ["m", "other"] {
                floors.create(id, 2).unwrap();
                assert_zero(floors, id);
                floors.delete(id).unwrap();
            }
            floors.sweep();
            assert_eq!(floors.charged()[0], 0, "the sweep gave it back");
        },
    );
    assert!([0, 1].contains(&calls), "wiped by the kernel, released by nobody: {calls}");
}

#[test]
fn a_slot_whose_guards_cannot_be_put_back_stays_charged_until_the_sweep_can() {
    let Some(floors) = prepared(|floors| floors.create("neighbour", 1).map(drop).unwrap()) else {
        return;
    };
    let before = floors.charged();
    floors.kernel.fail_call(Call::Advise(Advice::GuardRemove), libc::ENOMEM, 1);
    floors.kernel.fail_call(Call::Advise(Advice::GuardInstall), libc::ENOMEM, 2);
    let refused = floors.create("m", 2).map(drop);
    assert!(is_exhausted(&refused), "{refused:?}");
    let listed = floors.registry.quarantined_ranges();
    assert_eq!((listed[0].step, listed[0].bytes), (ReleaseStep::Release, 2 * PAGE_BYTES));
    assert_ne!(floors.charged(), before, "and charged");
    floors.sweep();
    assert_ne!(floors.charged(), before, "refused once more");
    floors.sweep();
    assert_eq!(floors.charged(), before);
    floors.delete("neighbour").unwrap();
    floors.assert_empty();
}

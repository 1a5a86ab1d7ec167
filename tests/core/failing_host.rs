//! Every system call of every operation made to fail in turn, through the library: the failure, the
//! ledger after it, the mappings left, other memories' bytes, and what a successor sees.

use linmemd::error::Failure;
use linmemd::memory::ReleaseStep;
use linmemd::os::kernel::{Advice, Call};
use linmemd::registry::QuarantinedRange;
use linmemd::units::PAGE_BYTES;

use crate::floors::{Floors, PAGE, block_on, occasion};

const ERRNOS: [i32; 4] = [libc::ENOMEM, libc::EINVAL, libc::EAGAIN, libc::EPERM];
const CANARY: u8 = 0xA5;
const SECRET: u8 = 0x5E;

/// Floors with a neighbour whose bytes nobody may touch or see.
fn with_neighbour() -> Floors {
    let floors = Floors::dedicated();
    floors.create("neighbour", 1).unwrap();
    floors.write("neighbour", 0, vec![CANARY; PAGE]).unwrap();
    floors
}

fn assert_neighbour_is_whole(floors: &Floors) {
    let bytes = floors.read("neighbour", 0, PAGE_BYTES).unwrap();
    assert!(bytes.iter().all(|byte| *byte == CANARY), "the neighbour's bytes");
}

fn assert_zero(floors: &Floors, id: &str) {
    let size = floors.access.find(crate::floors::target(id), crate::floors::now()).unwrap().size();
    let bytes = floors.read(id, 0, size.bytes().get()).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0), "someone's bytes in {id}");
}

/// Prepares, makes call `n` fail, acts and judges, for every `n` that the act reaches and every
/// error number. Returns how many calls there are.
fn each_call(
    prepare: impl Fn(&Floors),
    act: impl Fn(&Floors) -> Result<(), Failure>,
    judge: impl Fn(&Floors, Call, i32, Result<(), Failure>),
) -> usize {
    for n in 0.. {
        for errno in ERRNOS {
            let floors = with_neighbour();
            prepare(&floors);
            floors.kernel.forget();
            floors.kernel.fail_nth(n, errno);
            let outcome = act(&floors);
            let calls = floors.kernel.calls();
            floors.kernel.forget();
            let Some(failed) = calls.get(n) else {
                assert_eq!(outcome, Ok(()), "no call failed");
                assert!(n > 0, "the act makes no call");
                return n;
            };
            judge(&floors, *failed, errno, outcome);
            assert_neighbour_is_whole(&floors);
            floors.delete("neighbour").unwrap();
            floors.assert_empty();
        }
    }
    unreachable!("an act makes finitely many calls")
}

fn is_exhausted(outcome: &Result<(), Failure>) -> bool {
    matches!(outcome, Err(Failure::HostExhausted { .. }))
}

/// What a host may lack: EINVAL means absence, and the reservation does without.
fn can_be_absent(call: Call, errno: i32) -> bool {
    errno == libc::EINVAL && matches!(call, Call::Advise(Advice::NoHugePage) | Call::Name)
}

#[test]
fn a_create_that_any_call_fails_leaves_nothing() {
    let calls = each_call(
        |_floors| (),
        |floors| floors.create("m", 2).map(drop),
        |floors, call, errno, outcome| {
            if can_be_absent(call, errno) {
                assert_eq!(outcome, Ok(()), "{call:?}");
            } else {
                assert!(is_exhausted(&outcome), "{call:?} {errno}: {outcome:?}");
                let gone = floors.delete("m");
                assert!(matches!(gone, Err(Failure::MemoryNotFound { .. })), "{gone:?}");
                floors.create("m", 2).unwrap();
            }
            assert_zero(floors, "m");
            floors.delete("m").unwrap();
        },
    );
    assert_eq!(calls, 6, "map, three advices, name, protect");
}

#[test]
fn a_grow_that_any_call_fails_changes_nothing() {
    let calls = each_call(
        |floors| {
            floors.create("m", 1).unwrap();
            floors.write("m", 0, vec![SECRET; 100]).unwrap();
        },
        |floors| floors.grow("m", 3).map(drop),
        |floors, call, errno, outcome| {
            assert!(is_exhausted(&outcome), "{call:?} {errno}: {outcome:?}");
            let (charged, old) = (floors.charged(), PAGE_BYTES);
            assert_eq!(charged[0], 2 * old, "the neighbour's page and one");
            assert!(matches!(floors.read("m", old, 1), Err(Failure::OutOfBounds(_))));
            assert_eq!(floors.grow("m", 3), Ok((1, 4)));
            assert_eq!(floors.read("m", 0, 100).unwrap(), [SECRET; 100]);
            let new = floors.read("m", old, 3 * old).unwrap();
            assert!(new.iter().all(|byte| *byte == 0));
            floors.delete("m").unwrap();
        },
    );
    assert_eq!(calls, 1, "protect");
}

#[test]
fn reads_writes_and_fills_make_no_call_that_could_fail() {
    let floors = with_neighbour();
    floors.create("m", 8).unwrap();
    floors.kernel.forget();
    floors.write("m", 0, vec![SECRET; 8 * PAGE]).unwrap();
    let id = crate::floors::target("m");
    block_on(floors.access.fill(&occasion(), id, 0, 8 * PAGE_BYTES, 1)).unwrap();
    floors.read("m", 0, 8 * PAGE_BYTES).unwrap();
    assert_eq!(floors.kernel.calls(), []);
    assert_neighbour_is_whole(&floors);
}

#[test]
fn a_look_at_the_host_that_fails_changes_nothing_and_the_next_one_succeeds() {
    let observe = |floors: &Floors| {
        let record = floors.access.find(crate::floors::target("m"), crate::floors::now())?;
        block_on(floors.access.observe(&occasion(), &record.into())).map(|seen| {
            assert_eq!(seen.unwrap().held.resident.get(), PAGE_BYTES);
        })
    };
    let calls = each_call(
        |floors| {
            floors.create("m", 2).unwrap();
            floors.write("m", 0, vec![SECRET; PAGE]).unwrap();
        },
        observe,
        |floors, call, errno, outcome| {
            assert!(is_exhausted(&outcome), "{call:?} {errno}: {outcome:?}");
            observe(floors).unwrap();
            assert_eq!(floors.read("m", 0, 1).unwrap(), [SECRET]);
            floors.delete("m").unwrap();
        },
    );
    assert_eq!(calls, 1, "mincore");
}

#[test]
fn a_delete_that_any_call_fails_is_ok_and_the_range_stays_charged_until_the_sweep_frees_it() {
    let calls = each_call(
        |floors| {
            floors.create("m", 2).unwrap();
            floors.write("m", 0, vec![SECRET; 2 * PAGE]).unwrap();
        },
        |floors| floors.delete("m"),
        |floors, call, errno, outcome| {
            assert_eq!(outcome, Ok(()), "the name is gone");
            assert!(matches!(floors.read("m", 0, 1), Err(Failure::MemoryNotFound { .. })));
            let step = match call {
                Call::Advise(Advice::DontNeed) => ReleaseStep::Wipe,
                Call::Unmap => ReleaseStep::Release,
                other => panic!("a delete makes no {other:?}"),
            };
            let tenant = floors.access.tenant().namespace.name.clone();
            let bytes = 2 * PAGE_BYTES;
            let listed = QuarantinedRange { tenant, bytes, errno, step, attempts: 1 };
            assert_eq!(floors.registry.quarantined_ranges(), [listed]);
            assert_eq!(floors.registry.quarantined_bytes(), bytes);
            let charged = floors.charged();
            assert_eq!((charged[0], charged[4]), (3 * PAGE_BYTES, 2), "still charged");
            // A successor of the name gets pages of its own.
            floors.create("m", 2).unwrap();
            assert_zero(floors, "m");
            floors.delete("m").unwrap();
            floors.sweep();
            assert_eq!(floors.charged()[0], PAGE_BYTES, "the sweep gave it back");
        },
    );
    assert_eq!(calls, 2, "wipe and release");
}

#[test]
fn a_sweep_that_any_call_fails_keeps_the_range_and_the_next_one_frees_it() {
    let calls = each_call(
        |floors| {
            floors.create("m", 1).unwrap();
            floors.write("m", 0, vec![SECRET; 10]).unwrap();
            floors.kernel.fail_call(Call::Advise(Advice::DontNeed), libc::ENOMEM, 1);
            floors.delete("m").unwrap();
        },
        |floors| {
            floors.sweep();
            Ok(())
        },
        |floors, _call, errno, _outcome| {
            let listed = floors.registry.quarantined_ranges();
            assert_eq!((listed[0].attempts, listed[0].errno), (2, errno));
            assert_eq!(floors.charged()[0], 2 * PAGE_BYTES);
            floors.sweep();
        },
    );
    assert_eq!(calls, 2, "wipe and release");
}

#[test]
fn a_create_whose_undoing_fails_too_keeps_the_range_charged_until_the_sweep_frees_it() {
    for fails in [
        Call::Advise(Advice::DontFork),
        Call::Advise(Advice::DontDump),
        Call::Advise(Advice::NoHugePage),
        Call::Name,
        Call::Protect,
    ] {
        let floors = with_neighbour();
        let before = floors.charged();
        floors.kernel.fail_call(fails, libc::ENOMEM, 1);
        floors.kernel.fail_call(Call::Unmap, libc::ENOMEM, 1);
        let refused = floors.create("m", 2).map(drop);
        assert!(is_exhausted(&refused), "{refused:?}");
        let listed = floors.registry.quarantined_ranges();
        assert_eq!(listed.len(), 1, "{fails:?}: what the kernel did not take back is listed");
        assert_eq!((listed[0].step, listed[0].bytes), (ReleaseStep::Release, 2 * PAGE_BYTES));
        assert_ne!(floors.charged(), before, "and charged");
        floors.create("m", 2).unwrap();
        floors.delete("m").unwrap();
        floors.sweep();
        assert_eq!(floors.charged(), before);
        assert_neighbour_is_whole(&floors);
        floors.delete("neighbour").unwrap();
        floors.assert_empty();
    }
}

#[test]
fn a_panic_in_a_growth_quarantines_that_memory_alone() {
    let floors = with_neighbour();
    floors.create("m", 1).unwrap();
    floors.kernel.panic_at(Call::Protect);
    assert_eq!(floors.grow("m", 1), Err(Failure::InternalFault));
    assert_eq!(floors.registry.pool.panics(), 1);
    assert_eq!(floors.registry.quarantined_memories(), 1);
    for refused in [
        floors.read("m", 0, 1).map(drop),
        floors.write("m", 0, vec![1]),
        floors.grow("m", 1).map(drop),
    ] {
        assert!(matches!(refused, Err(Failure::Quarantined { .. })), "{refused:?}");
    }
    let record = floors.access.find(crate::floors::target("m"), crate::floors::now()).unwrap();
    assert!(record.quarantined().is_some());
    assert_eq!(floors.charged()[0], 2 * PAGE_BYTES, "the growth's charge is back");
    assert_neighbour_is_whole(&floors);
    assert_eq!(floors.grow("neighbour", 1), Ok((1, 2)));
    floors.delete("m").unwrap();
    floors.delete("neighbour").unwrap();
    floors.assert_empty();
}

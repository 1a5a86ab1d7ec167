//! Memory sets through the library: on a host that refuses at every call, and beside those who look.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use linmemd::error::Failure;
use linmemd::model::{ActiveSegment, Id, MemorySpec, SetId};
use linmemd::os::kernel::Call;
use linmemd::registry::{KINDS, LabelSelector};

use crate::floors::{Floors, MEMORIES, block_on, now, occasion, spec};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn create(floors: &Floors) -> Result<(), Failure> {
    let data = bytes::Bytes::from_static(b"active");
    let member = |id: &&str| {
        let segments = vec![ActiveSegment { offset: 7, data: data.clone() }];
        (Some(Id::new(id).unwrap()), MemorySpec { segments, ..spec(2) })
    };
    let members = NAMES.iter().map(member).collect();
    let id = Some(SetId::new("s").unwrap());
    block_on(floors.access.create_set(&occasion(), id, members, None, |_set| ())).map(drop)
}

fn delete(floors: &Floors) -> Result<(), Failure> {
    block_on(floors.access.delete_set(&occasion(), &SetId::new("s").unwrap()))
}

fn seen(floors: &Floors) -> usize {
    floors.access.list(&LabelSelector::default(), None, 100, now()).records.len()
}

#[test]
fn a_set_that_any_call_fails_leaves_nothing_of_any_of_its_memories() {
    for n in 0.. {
        let floors = Floors::dedicated();
        floors.kernel.forget();
        floors.kernel.fail_nth(n, libc::ENOMEM);
        let made = create(&floors);
        let reached = floors.kernel.calls().len() > n;
        floors.kernel.forget();
        if !reached {
            made.unwrap();
            assert_eq!(n, 6 * NAMES.len(), "as for each by itself");
            delete(&floors).unwrap();
            floors.assert_empty();
            return;
        }
        assert!(matches!(made, Err(Failure::HostExhausted { .. })), "call {n}: {made:?}");
        assert_eq!(seen(&floors), 0, "call {n}");
        assert!(matches!(delete(&floors), Err(Failure::NotFound { .. })));
        floors.assert_empty();
        create(&floors).unwrap();
        assert_eq!(floors.read("c", 7, 6).unwrap(), b"active");
        delete(&floors).unwrap();
        floors.assert_empty();
    }
}

#[test]
fn what_cannot_be_given_back_of_a_set_stays_charged_until_the_sweep_frees_it() {
    let floors = Floors::dedicated();
    // The third memory's pages are refused, and so is the end of the first.
    floors.kernel.forget();
    floors.kernel.fail_nth(6 * 2, libc::ENOMEM);
    floors.kernel.fail_call(Call::Unmap, libc::ENOMEM, 1);
    assert!(create(&floors).is_err());
    assert_eq!(seen(&floors), 0);
    assert_eq!(floors.registry.quarantined_ranges().len(), 1);
    assert_ne!(floors.charged(), [0; KINDS]);
    floors.sweep();
    floors.assert_empty();
    create(&floors).unwrap();
    floors.kernel.fail_call(Call::Unmap, libc::ENOMEM, 1);
    delete(&floors).unwrap();
    assert_eq!(seen(&floors), 0);
    assert_eq!(floors.registry.quarantined_ranges().len(), 1);
    floors.sweep();
    floors.assert_empty();
}

#[test]
fn nobody_sees_half_of_a_set_while_it_comes_and_goes() {
    assert_eq!(MEMORIES as usize, NAMES.len());
    let (floors, over) = (Floors::new(), AtomicBool::new(false));
    thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let (mut none, mut all) = (0_u32, 0_u32);
            while !over.load(Ordering::Acquire) || none == 0 || all == 0 {
                match seen(&floors) {
                    0 => none += 1,
                    3 => all += 1,
                    half => panic!("{half} of 3 memories"),
                }
            }
        });
        let mut rounds = 0;
        while rounds < 300 || !looks.is_finished() {
            create(&floors).unwrap();
            delete(&floors).unwrap();
            rounds += 1;
            if rounds == 300 {
                over.store(true, Ordering::Release);
            }
        }
        looks.join().unwrap();
    });
    floors.assert_empty();
}

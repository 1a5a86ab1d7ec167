//! Partitions through the library: what is set aside and handed over, every system call of that made to
//! fail in turn, and the minimum that is held while another partition is at its maximum.

use std::sync::Arc;

use linmemd::error::Failure;
use linmemd::model::{
    Form, Id, Locking, Numa, NumaPolicy, PageKind, PartitionSpec, Populate, TenantName,
};
use linmemd::os::kernel::{Advice, Call};
use linmemd::registry::Record;
use linmemd::units::PAGE_BYTES;

use crate::failing_forms::{can_be_absent, each_call, left_out};
use crate::floors::{Floors, partition_of};

/// What a memory costs beside its bytes, and more.
const BESIDE: u64 = 8 << 10;
const SMALL: u64 = 4 * PAGE_BYTES + BESIDE;

fn name(id: &str) -> Id {
    Id::new(id).unwrap()
}

fn within(partition: &str) -> Form {
    Form { partition: Some(name(partition)), ..Form::default() }
}

fn create(floors: &Floors, id: &str, pages: u64, of: &str) -> Result<Arc<Record>, Failure> {
    floors.create_in(id, pages, within(of))
}

/// Bytes charged to the host.
fn host_bytes(floors: &Floors) -> u64 {
    let holdings = floors.registry.host.holdings();
    holdings[0].used + holdings[1].used
}

fn set_aside(floors: &Floors, id: &str) -> u64 {
    floors.registry.partitions.find(&name(id)).unwrap().holds().set_aside_bytes
}

/// Whether this process may lock what the tests here have locked; said where it may not.
fn can_lock() -> bool {
    let floors = Floors::dedicated();
    let can = floors.create_partition("p", partition_of(SMALL, SMALL)).is_ok();
    if !can {
        left_out("partitions with a minimum: RLIMIT_MEMLOCK is too small");
    }
    can
}

#[test]
fn a_minimum_is_set_aside_handed_over_and_set_aside_again() {
    if !can_lock() {
        return;
    }
    let floors = Floors::dedicated();
    let partition = floors.create_partition("p", partition_of(SMALL, 4 * SMALL)).unwrap();
    assert_eq!(set_aside(&floors, "p"), SMALL);
    let locks = floors.kernel.calls().iter().filter(|call| **call == Call::Lock).count();
    assert!(locks > 0, "{:?}", floors.kernel.calls());

    floors.kernel.forget();
    let record = create(&floors, "m", 2, "p").unwrap();
    let form = record.form();
    assert_eq!((form.populate, form.partition.as_ref()), (Populate::OnGrow, Some(&name("p"))));
    let calls = floors.kernel.calls();
    let at = |wanted: Call| calls.iter().position(|call| *call == wanted).unwrap();
    assert!(at(Call::Unlock) < at(Call::Advise(Advice::PopulateWrite)), "given, then taken");
    let left = SMALL - partition.holds().used_bytes;
    assert_eq!(set_aside(&floors, "p"), left - left % 4096);

    floors.grow("m", 2).unwrap();
    assert!(set_aside(&floors, "p") < BESIDE);
    floors.grow("m", 4).unwrap();
    let holds = partition.holds();
    assert_eq!((holds.set_aside_bytes, holds.memories), (0, 1));
    assert_eq!(holds.borrowed_bytes, holds.used_bytes - SMALL);
    floors.delete("m").unwrap();
    assert_eq!((set_aside(&floors, "p"), partition.holds().used_bytes), (SMALL, 0));
    drop(partition);
    floors.delete_partition("p").unwrap();
    assert_eq!(
        floors.delete_partition("p"),
        Err(Failure::PartitionNotFound { partition_id: name("p") })
    );
    floors.assert_empty();
}

#[test]
fn a_guaranteed_minimum_is_held_a_thousand_times_while_another_partition_is_at_its_maximum() {
    const ROUNDS: usize = 1_000;
    if !can_lock() {
        return;
    }
    // What both take, and what the places of their minimums cost.
    let floors = Floors::on(3 * SMALL + 4096);
    floors.create_partition("greedy", partition_of(0, 2 * SMALL)).unwrap();
    floors.create_partition("held", partition_of(SMALL, SMALL)).unwrap();
    for _round in 0..ROUNDS {
        create(&floors, "a", 8, "greedy").unwrap();
        let full = create(&floors, "b", 1, "greedy").unwrap_err();
        assert!(matches!(full, Failure::PartitionFull { .. }), "{full:?}");
        let outside = floors.create("b", 1).unwrap_err();
        assert!(matches!(outside, Failure::HostExhausted { .. }), "{outside:?}");
        create(&floors, "h", 4, "held").expect("the whole minimum");
        floors.delete("h").unwrap();
        floors.delete("a").unwrap();
    }
    assert_eq!(set_aside(&floors, "held"), SMALL);
    floors.delete_partition("held").unwrap();
    floors.delete_partition("greedy").unwrap();
    floors.assert_empty();
}

#[test]
fn a_childs_minimum_comes_out_of_its_parents_and_goes_back() {
    if !can_lock() {
        return;
    }
    let floors = Floors::dedicated();
    floors.create_partition("p", partition_of(2 * SMALL, 4 * SMALL)).unwrap();
    let before = host_bytes(&floors);
    let child = PartitionSpec { parent: Some(name("p")), ..partition_of(SMALL, SMALL) };
    floors.create_partition("c", child).unwrap();
    assert_eq!((set_aside(&floors, "p"), set_aside(&floors, "c")), (SMALL, SMALL));
    assert!(host_bytes(&floors) < before + BESIDE, "but for the place of it nothing more");
    assert_eq!(floors.registry.partitions.children()[&name("p")], [name("c")]);
    let in_use = Failure::PartitionInUse { partition_id: name("p"), memories: 0, children: 1 };
    assert_eq!(floors.delete_partition("p"), Err(in_use));
    create(&floors, "m", 4, "c").unwrap();
    assert_eq!(set_aside(&floors, "p"), SMALL, "the child's own makes room");
    let in_use = Failure::PartitionInUse { partition_id: name("c"), memories: 1, children: 0 };
    assert_eq!(floors.delete_partition("c"), Err(in_use));
    floors.delete("m").unwrap();
    floors.delete_partition("c").unwrap();
    assert_eq!(set_aside(&floors, "p"), 2 * SMALL);
    floors.delete_partition("p").unwrap();
    floors.assert_empty();
}

#[test]
fn under_pressure_a_growth_above_the_minimum_is_refused_and_one_below_is_not() {
    if !can_lock() {
        return;
    }
    let floors = Floors::dedicated();
    floors.create_partition("p", partition_of(SMALL, 4 * SMALL)).unwrap();
    create(&floors, "m", 2, "p").unwrap();
    floors.registry.set_pressure(true);
    assert_eq!(floors.grow("m", 2), Ok((2, 4)));
    let refused = floors.grow("m", 1).unwrap_err();
    let borrowing = "partition_borrowing";
    assert!(
        matches!(refused, Failure::HostExhausted { limit_name, .. } if limit_name == borrowing)
    );
    create(&floors, "n", 1, "p").unwrap_err();
    floors.registry.set_pressure(false);
    assert_eq!(floors.grow("m", 1), Ok((4, 5)));
    floors.delete("m").unwrap();
    floors.delete_partition("p").unwrap();
    floors.assert_empty();
}

#[test]
fn memories_get_the_partitions_nodes_pages_and_locks_and_nothing_else() {
    let floors = Floors::dedicated();
    let spec = PartitionSpec { nodes: vec![0], ..partition_of(0, 4 * SMALL) };
    floors.create_partition("p", spec).unwrap();
    let record = create(&floors, "m", 1, "p").unwrap();
    let bound = Numa { policy: NumaPolicy::Bind, nodes: vec![0], strict: true };
    assert_eq!(record.form().numa, bound);
    let elsewhere = Numa { policy: NumaPolicy::Bind, nodes: vec![1], strict: false };
    let anywhere = Numa { policy: NumaPolicy::Preferred, nodes: vec![0], strict: false };
    for (form, wanted) in [
        (Form { numa: elsewhere, ..within("p") }, "spec.numa.nodes"),
        (Form { numa: anywhere, ..within("p") }, "spec.numa.policy"),
        (Form { page_kinds: vec![PageKind::Huge2M], ..within("p") }, "spec.huge_pages"),
    ] {
        match floors.create_in("n", 1, form).unwrap_err() {
            Failure::InvalidSpec { field, .. } => assert_eq!(field, wanted),
            other => panic!("{other:?}"),
        }
    }
    let child = |nodes: &[u32]| PartitionSpec {
        parent: Some(name("p")),
        nodes: nodes.to_vec(),
        locked: true,
        ..partition_of(0, SMALL)
    };
    let wider = floors.create_partition("c", child(&[0, 1])).unwrap_err();
    assert!(matches!(wider, Failure::InvalidSpec { field: "spec.nodes", .. }), "{wider:?}");
    assert_eq!(floors.create_partition("c", child(&[])).unwrap().spec.nodes, [0], "its parent's");
    match create(&floors, "l", 1, "c") {
        Ok(record) => assert_eq!(record.form().locking, Locking::Locked),
        Err(_refused) => left_out("a locked partition: RLIMIT_MEMLOCK is too small"),
    }
    for id in ["m", "l"] {
        let _may_be_left_out = floors.delete(id);
    }
    floors.delete_partition("c").unwrap();
    floors.delete_partition("p").unwrap();
    floors.assert_empty();
}

#[test]
fn a_partition_of_others_looks_like_none_at_all() {
    let floors = Floors::dedicated();
    let spec =
        PartitionSpec { tenants: vec![TenantName::new("red").unwrap()], ..partition_of(0, SMALL) };
    floors.create_partition("p", spec).unwrap();
    for id in ["p", "nobodys"] {
        let refused = create(&floors, "m", 1, id).map(drop);
        assert_eq!(refused, Err(Failure::PartitionNotFound { partition_id: name(id) }));
    }
    let exists = floors.create_partition("p", partition_of(0, SMALL)).map(drop);
    assert_eq!(exists, Err(Failure::PartitionExists { partition_id: name("p") }));
    floors.delete_partition("p").unwrap();
    floors.assert_empty();
}

#[test]
fn partitions_are_nested_eight_deep_and_no_deeper() {
    let floors = Floors::dedicated();
    let mut parent = None;
    for depth in 0..8 {
        let id = format!("p{depth}");
        floors.create_partition(&id, PartitionSpec { parent, ..partition_of(0, SMALL) }).unwrap();
        parent = Some(name(&id));
    }
    let deeper = floors
        .create_partition("p8", PartitionSpec { parent, ..partition_of(0, SMALL) })
        .unwrap_err();
    assert!(matches!(deeper, Failure::InvalidSpec { field: "spec.parent", .. }), "{deeper:?}");
    create(&floors, "m", 1, "p7").unwrap();
    assert_eq!(floors.registry.partitions.find(&name("p0")).unwrap().holds().memories, 0);
    assert!(floors.registry.partitions.find(&name("p0")).unwrap().holds().used_bytes > PAGE_BYTES);
    floors.delete("m").unwrap();
    for depth in (0..8).rev() {
        floors.delete_partition(&format!("p{depth}")).unwrap();
    }
    floors.assert_empty();
}

fn is_refused(outcome: &Result<(), Failure>) -> bool {
    matches!(outcome, Err(Failure::HostExhausted { .. } | Failure::CapabilityUnavailable { .. }))
}

#[test]
fn a_partition_that_any_call_fails_is_not_made_and_nothing_is_left_of_it() {
    if !can_lock() {
        return;
    }
    let bound = || PartitionSpec { nodes: vec![0], ..partition_of(SMALL, 2 * SMALL) };
    let calls = each_call(
        "create",
        |_floors| (),
        |floors| floors.create_partition("p", bound()).map(drop),
        |floors, call, errno, outcome| {
            if outcome.is_err() {
                assert!(is_refused(&outcome), "{call:?} {errno}: {outcome:?}");
                floors.assert_empty();
                floors.create_partition("p", bound()).unwrap();
            } else {
                assert!(can_be_absent(call, errno), "{call:?} {errno}");
            }
            floors.delete_partition("p").unwrap();
        },
    );
    assert!(calls.contains(&Call::Lock) && calls.contains(&Call::SetPolicy), "{calls:?}");
}

#[test]
fn a_partition_whose_end_any_call_fails_stays_and_is_whole_after_the_sweep() {
    if !can_lock() {
        return;
    }
    let calls = each_call(
        "delete",
        |floors| drop(floors.create_partition("p", partition_of(SMALL, SMALL)).unwrap()),
        |floors| floors.delete_partition("p"),
        |floors, call, errno, outcome| {
            assert!(is_refused(&outcome), "{call:?} {errno}: {outcome:?}");
            floors.sweep();
            assert_eq!(set_aside(floors, "p"), SMALL, "{call:?} {errno}");
            create(floors, "m", 4, "p").unwrap();
            floors.delete("m").unwrap();
            floors.delete_partition("p").unwrap();
        },
    );
    assert!(calls.contains(&Call::Unmap) && calls.contains(&Call::Unlock), "{calls:?}");
}

#[test]
fn a_create_and_a_growth_that_any_call_fails_leave_the_minimum_whole() {
    if !can_lock() {
        return;
    }
    let calls = each_call(
        "memory",
        |floors| {
            floors.create_partition("p", partition_of(SMALL, 2 * SMALL)).unwrap();
        },
        |floors| create(floors, "m", 1, "p").and_then(|_made| floors.grow("m", 2)).map(drop),
        |floors, call, errno, outcome| {
            let used = floors.registry.partitions.find(&name("p")).unwrap().holds().used_bytes;
            if outcome.is_ok() {
                assert!(can_be_absent(call, errno), "{call:?} {errno}");
            } else {
                assert!(is_refused(&outcome), "{call:?} {errno}: {outcome:?}");
                floors.sweep();
                let left = SMALL - used;
                assert_eq!(set_aside(floors, "p"), left - left % 4096, "{call:?} {errno}");
            }
            let there = used > 0;
            let bytes = floors.registry.host.holdings()[0].used;
            assert_eq!(bytes, SMALL, "the host is charged the minimum and no more");
            if there {
                let _may_be_whole = floors.grow("m", 1).unwrap();
                floors.delete("m").unwrap();
            }
            assert_eq!(set_aside(floors, "p"), SMALL, "{call:?} {errno}");
            floors.delete_partition("p").unwrap();
        },
    );
    assert!(calls.contains(&Call::Unlock) && calls.contains(&Call::Advise(Advice::DontNeed)));
}

#[test]
fn what_the_host_refuses_to_set_aside_again_is_counted_and_the_sweep_tries_again() {
    if !can_lock() {
        return;
    }
    let floors = Floors::dedicated();
    let partition = floors.create_partition("p", partition_of(SMALL, SMALL)).unwrap();
    create(&floors, "m", 4, "p").unwrap();
    floors.kernel.fail_call(Call::Lock, libc::ENOMEM, 2);
    floors.delete("m").unwrap();
    let holds = partition.holds();
    assert_eq!((holds.used_bytes, holds.set_aside_failures), (0, 1));
    assert!(holds.set_aside_bytes < BESIDE, "{holds:?}");
    floors.sweep();
    assert_eq!(partition.holds().set_aside_failures, 2);
    floors.sweep();
    assert_eq!(
        (partition.holds().set_aside_bytes, partition.holds().set_aside_failures),
        (SMALL, 2)
    );
    drop(partition);
    floors.delete_partition("p").unwrap();
    floors.assert_empty();
}

#[test]
fn an_end_that_any_call_fails_gives_the_minimum_back_by_the_sweep() {
    if !can_lock() {
        return;
    }
    each_call(
        "end",
        |floors| {
            floors.create_partition("p", partition_of(SMALL, SMALL)).unwrap();
            create(floors, "m", 2, "p").unwrap();
            floors.write("m", 0, vec![0x5E; 2 * 65_536]).unwrap();
        },
        |floors| floors.delete("m"),
        |floors, call, errno, outcome| {
            assert_eq!(outcome, Ok(()), "{call:?} {errno}: the name is gone");
            // A range that could not be given back is of the partition still.
            let in_use = floors.registry.partitions.find(&name("p")).unwrap().holds().memories;
            assert_eq!(floors.delete_partition("p").is_err(), in_use > 0, "{call:?} {errno}");
            if in_use > 0 {
                floors.sweep();
                assert_eq!(set_aside(floors, "p"), SMALL, "{call:?} {errno}");
                floors.delete_partition("p").unwrap();
            }
        },
    );
}

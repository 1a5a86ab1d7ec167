//! Every system call of every operation made to fail in turn, for memories of every form that a host
//! can be asked for: the failure, the ledger after it, the mappings left, and a successor's bytes.

use linmemd::error::Failure;
use linmemd::model::{
    AddressSpace, Allocator, Backing, Form, Locking, Numa, NumaPolicy, PageKind, Populate,
    Verification,
};
use linmemd::os::kernel::{Advice, Call, Kernel, Linux};
use linmemd::registry::KINDS;
use linmemd::units::PAGE_BYTES;

use crate::floors::{Floors, PAGE};

const ERRNOS: [i32; 3] = [libc::ENOMEM, libc::EINVAL, libc::EPERM];
const SECRET: u8 = 0x5E;

/// The forms that this host can give, each with its name; the others are said in a line.
pub(crate) fn forms() -> Vec<(&'static str, Form)> {
    let usual = Form::default();
    let node = |policy, strict| Numa { policy, nodes: vec![0], strict };
    let mut forms = vec![
        ("memfd", Form { backing: Backing::Memfd, ..usual.clone() }),
        ("shared", Form { is_shared: true, ..usual.clone() }),
        ("wasm32_full", Form { address_space: AddressSpace::Wasm32Full, ..usual.clone() }),
        ("initial", Form { populate: Populate::Initial, ..usual.clone() }),
        ("on_grow", Form { populate: Populate::OnGrow, ..usual.clone() }),
        ("maximum", Form { populate: Populate::Maximum, ..usual.clone() }),
        (
            "memfd maximum",
            Form { backing: Backing::Memfd, populate: Populate::Maximum, ..usual.clone() },
        ),
        ("bind", Form { numa: node(NumaPolicy::Bind, true), ..usual.clone() }),
        ("interleave", Form { numa: node(NumaPolicy::Interleave, true), ..usual.clone() }),
        (
            "memfd bind",
            Form { backing: Backing::Memfd, numa: node(NumaPolicy::Bind, true), ..usual.clone() },
        ),
    ];
    let heap = Form { allocator: Allocator::Heap, ..usual.clone() };
    forms.extend([
        ("heap", heap.clone()),
        ("heap on_grow", Form { populate: Populate::OnGrow, ..heap.clone() }),
        ("heap shared", Form { is_shared: true, ..heap }),
    ]);
    for (name, verification, backing) in [
        ("sampling", Verification::Sampling, Backing::Anonymous),
        ("full", Verification::Full, Backing::Anonymous),
        ("redundant", Verification::Redundant, Backing::Anonymous),
        ("memfd redundant", Verification::Redundant, Backing::Memfd),
    ] {
        forms.push((name, Form { verification, backing, ..Form::default() }));
    }
    if Floors::new().create_in("m", 1, locked()).is_ok() {
        forms.push(("locked", locked()));
        let both = Form { populate: Populate::Maximum, ..locked() };
        forms.push(("locked maximum", both));
        forms.push(("memfd locked", Form { backing: Backing::Memfd, ..locked() }));
    } else {
        left_out(&format!("locked forms: RLIMIT_MEMLOCK is {}", Linux.lock_limit()));
    }
    let transparent = Form { page_kinds: vec![PageKind::Transparent], ..usual };
    if Floors::new().create_in("m", 1, transparent.clone()).is_ok() {
        forms.push(("transparent", transparent));
    } else {
        left_out("transparent huge pages: this kernel makes none");
    }
    forms
}

fn locked() -> Form {
    Form { locking: Locking::Locked, ..Form::default() }
}

#[expect(clippy::print_stderr, reason = "what is left out is said")]
pub(crate) fn left_out(what: &str) {
    eprintln!("left out: {what}");
}

/// Prepares, makes call `n` fail, acts and judges, for every `n` that the act reaches and every
/// error number. Returns the calls of an act that nothing failed.
pub(crate) fn each_call(
    name: &str,
    prepare: impl Fn(&Floors),
    act: impl Fn(&Floors) -> Result<(), Failure>,
    judge: impl Fn(&Floors, Call, i32, Result<(), Failure>),
) -> Vec<Call> {
    for n in 0.. {
        for errno in ERRNOS {
            let floors = Floors::dedicated();
            prepare(&floors);
            floors.kernel.forget();
            floors.kernel.fail_nth(n, errno);
            let outcome = act(&floors);
            let calls = floors.kernel.calls();
            floors.kernel.forget();
            let Some(failed) = calls.get(n) else {
                assert_eq!(outcome, Ok(()), "{name}: no call failed");
                return calls;
            };
            judge(&floors, *failed, errno, outcome);
            floors.assert_empty();
        }
    }
    unreachable!("an act makes finitely many calls")
}

fn is_refused(outcome: &Result<(), Failure>) -> bool {
    matches!(outcome, Err(Failure::HostExhausted { .. } | Failure::CapabilityUnavailable { .. }))
}

/// What a host may lack, so that a memory does without.
pub(crate) fn can_be_absent(call: Call, errno: i32) -> bool {
    match call {
        Call::Advise(Advice::NoHugePage) | Call::Name => errno == libc::EINVAL,
        // Where the host does not say what nodes there are, the kernel has the last word.
        Call::ReadFile => true,
        _ => false,
    }
}

fn assert_zero(name: &str, floors: &Floors, id: &str, from: u64) {
    let target = crate::floors::target(id);
    let size = floors.access.find(target, crate::floors::now()).unwrap().size().bytes().get();
    let bytes = floors.read(id, from, size - from).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0), "{name}: someone's bytes in {id}");
}

#[test]
fn a_create_that_any_call_fails_leaves_nothing_whatever_the_form() {
    for (name, form) in forms() {
        let create = |floors: &Floors| floors.create_in("m", 2, form.clone()).map(drop);
        let calls = each_call(
            name,
            |_floors| (),
            create,
            |floors, call, errno, outcome| {
                if outcome.is_ok() {
                    assert!(can_be_absent(call, errno), "{name}: {call:?} {errno}");
                } else {
                    assert!(is_refused(&outcome), "{name}: {call:?} {errno}: {outcome:?}");
                    create(floors).unwrap();
                }
                assert_zero(name, floors, "m", 0);
                floors.delete("m").unwrap();
            },
        );
        // A heap is asked for a block and nothing else.
        let least = if name.starts_with("heap") { 1 } else { 6 };
        assert!(calls.len() >= least, "{name}: {calls:?}");
    }
}

#[test]
fn a_grow_that_any_call_fails_changes_nothing_whatever_the_form() {
    for (name, form) in forms() {
        let calls = each_call(
            name,
            |floors| {
                floors.create_in("m", 1, form.clone()).unwrap();
                floors.write("m", 0, vec![SECRET; 100]).unwrap();
            },
            |floors| floors.grow("m", 3).map(drop),
            |floors, call, errno, outcome| {
                assert!(is_refused(&outcome), "{name}: {call:?} {errno}: {outcome:?}");
                assert!(matches!(floors.read("m", PAGE_BYTES, 1), Err(Failure::OutOfBounds(_))));
                assert_eq!(floors.grow("m", 3), Ok((1, 4)), "{name}");
                assert_eq!(floors.read("m", 0, 100).unwrap(), [SECRET; 100]);
                assert_zero(name, floors, "m", PAGE_BYTES);
                floors.delete("m").unwrap();
            },
        );
        assert!(!calls.is_empty(), "{name}");
    }
}

#[test]
fn a_delete_that_any_call_fails_keeps_the_range_charged_until_the_sweep_whatever_the_form() {
    for (name, form) in forms() {
        each_call(
            name,
            |floors| {
                floors.create_in("m", 2, form.clone()).unwrap();
                floors.write("m", 0, vec![SECRET; 2 * PAGE]).unwrap();
            },
            |floors| floors.delete("m"),
            |floors, _call, _errno, outcome| {
                assert_eq!(outcome, Ok(()), "{name}: the name is gone");
                assert_eq!(floors.registry.quarantined_ranges().len(), 1, "{name}");
                assert_ne!(floors.charged(), [0; KINDS], "{name}: still charged");
                floors.create_in("m", 2, form.clone()).unwrap();
                assert_zero(name, floors, "m", 0);
                floors.delete("m").unwrap();
                floors.sweep();
            },
        );
    }
}

#[test]
fn a_growth_of_a_locked_memory_that_is_refused_leaves_nothing_of_it_locked() {
    let floors = Floors::dedicated();
    if floors.create_in("m", 1, locked()).is_err() {
        left_out(&format!("locked memories: RLIMIT_MEMLOCK is {}", Linux.lock_limit()));
        return;
    }
    floors.kernel.forget();
    // The pages were locked and then, for another reason, not wanted.
    floors.kernel.fail_call(Call::Advise(Advice::PopulateWrite), libc::EFAULT, 1);
    floors.kernel.fail_call(Call::Lock, libc::EAGAIN, 1);
    assert!(is_refused(&floors.grow("m", 3).map(drop)));
    let calls = floors.kernel.calls();
    let unlocked = calls.iter().position(|call| *call == Call::Unlock);
    let wiped = calls.iter().rposition(|call| *call == Call::Advise(Advice::DontNeed));
    assert!(unlocked.is_some() && unlocked < wiped, "{calls:?}");
    floors.kernel.forget();
    assert_eq!(floors.grow("m", 3), Ok((1, 4)));
    floors.delete("m").unwrap();
    floors.assert_empty();
}

#[test]
fn an_exhausted_pool_is_told_or_another_kind_of_page_is_had_and_counted() {
    let huge = |kinds: &[PageKind]| Form { page_kinds: kinds.to_vec(), ..Form::default() };
    let only = huge(&[PageKind::Huge2M]);
    let rather = huge(&[PageKind::Huge1G, PageKind::Huge2M, PageKind::Base]);
    for (call, errno) in [(Call::MemoryFile, libc::ENOENT), (Call::Allocate, libc::ENOSPC)] {
        let floors = Floors::dedicated();
        floors.kernel.fail_call(call, errno, 9);
        let refused = floors.create_in("m", 1, only.clone()).map(drop);
        let page_bytes = 2 << 20;
        assert_eq!(refused, Err(Failure::HugePagesExhausted { page_bytes }), "{call:?}");
        assert_eq!(floors.charged(), [0; KINDS]);
        floors.create_in("m", 1, rather.clone()).unwrap();
        // A gibibyte passes the quota, 2 MiB are not there.
        assert_eq!(floors.charged()[0], PAGE_BYTES, "base pages are charged as such");
        let fallbacks = floors.registry.allocator.fallbacks().counts();
        assert_eq!(fallbacks[0], ("huge_pages", 1), "{fallbacks:?}");
        assert_zero("base", &floors, "m", 0);
        floors.delete("m").unwrap();
        floors.assert_empty();
    }
}

#[test]
fn a_policy_that_the_host_refuses_is_an_error_where_strict_and_else_counted() {
    let form = |nodes: &[u32], strict| Form {
        numa: Numa { policy: NumaPolicy::Bind, nodes: nodes.to_vec(), strict },
        ..Form::default()
    };
    for (nodes, fails) in [(&[0][..], true), (&[0, 1023][..], false)] {
        let floors = Floors::new();
        let plan = || {
            if fails {
                floors.kernel.fail_call(Call::SetPolicy, libc::EPERM, 1);
            }
        };
        plan();
        match floors.create_in("m", 1, form(nodes, true)) {
            Err(Failure::CapabilityUnavailable { field, why, .. }) => {
                assert_eq!(field, "spec.numa.nodes");
                assert!(why.contains(if fails { "seccomp" } else { "GetHost" }), "{why}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(floors.charged(), [0; KINDS]);
        plan();
        floors.create_in("m", 1, form(nodes, false)).unwrap();
        assert_eq!(floors.registry.allocator.fallbacks().counts()[1], ("numa", 1));
        floors.delete("m").unwrap();
        floors.assert_empty();
    }
}

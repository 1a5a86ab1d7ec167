//! Remanence: whoever gets what another gave back finds zeros, over as many recycles of every form as
//! `RECYCLES` says (200 where it does not), also where calls of a wipe fail.

use std::time::Instant;

use linmemd::model::{Allocator, Form, PageKind};

use crate::failing_forms::{forms, left_out};
use crate::floors::{Floors, PAGE};

const CANARY: u8 = 0xC5;
static ZEROS: [u8; 2 * PAGE] = [0; 2 * PAGE];
/// Of these deletes a call fails.
const FAILS_EVERY: usize = 3;

#[expect(clippy::print_stderr, reason = "what was shown is said")]
fn say(name: &str, what: &str, begun: Instant) {
    let each = begun.elapsed().as_secs_f64() * 1e6 / recycles() as f64;
    eprintln!("{name}: {} lives, {what}, no canary; {each:.0} µs each", recycles());
}

fn recycles() -> usize {
    std::env::var("RECYCLES").map_or(200, |count| count.parse().expect("RECYCLES is a count"))
}

/// Floors with a name and the form of their memories: in slabs, where those go there, and out of them.
fn layouts() -> Vec<(String, Floors, Form)> {
    let mut forms = forms();
    forms.push(("usual", Form::default()));
    for (name, kind) in [("huge 2 MiB", PageKind::Huge2M), ("huge 1 GiB", PageKind::Huge1G)] {
        let form = Form { page_kinds: vec![kind], ..Form::default() };
        match Floors::new().create_in("m", 1, form.clone()) {
            Ok(_memory) => forms.push((name, form)),
            Err(failure) => left_out(&format!("{name}: {failure}")),
        }
    }
    let mut layouts = Vec::new();
    for (name, form) in forms {
        let slabs = Floors::new();
        if slabs.has_slabs() && slabs.lives_in_a_slab(&form) {
            layouts.push((format!("{name}, in a slab"), slabs, form.clone()));
        }
        layouts.push((name.to_owned(), Floors::dedicated(), form));
    }
    let arena = Floors::with_arena();
    if arena.has_arena() {
        let fixed = Form { allocator: Allocator::Fixed, ..Form::default() };
        layouts.push(("fixed".to_owned(), arena, fixed));
    } else {
        left_out("fixed: this process may not lock an arena");
    }
    layouts
}

/// Where the canaries are put in the life of this number, and how many: all over, at both ends, or
/// somewhere.
fn places(life: usize, size: usize) -> [(usize, usize); 2] {
    let somewhere = (life * 7_919) % (size - 100);
    match life % 4 {
        0 => [(0, size), (0, 0)],
        1 => [(0, 1), (size - 1, 1)],
        2 => [(somewhere, 100), (0, 0)],
        _ => [(size / 2 - 1, 2), (size - PAGE, PAGE / 2)],
    }
}

fn assert_zero(name: &str, floors: &Floors, life: usize, from: usize, to: usize) {
    let bytes = floors.read("m", from as u64, (to - from) as u64).unwrap();
    assert!(bytes == ZEROS[..to - from], "{name}: the canary, in life {life}");
}

/// One life of the memory: zero at its birth and where it grows, and full of canaries at its end.
fn live(name: &str, floors: &Floors, life: usize, form: &Form) {
    let pages = 1 + life % 2;
    floors.create_in("m", pages as u64, form.clone()).unwrap();
    assert_zero(name, floors, life, 0, pages * PAGE);
    let mut size = pages * PAGE;
    if life.is_multiple_of(5) {
        floors.write("m", 0, vec![CANARY; PAGE]).unwrap();
        floors.grow("m", 1).unwrap();
        assert_zero(name, floors, life, size, size + PAGE);
        size += PAGE;
    }
    for (place, length) in places(life, size) {
        floors.write("m", place as u64, vec![CANARY; length]).unwrap();
    }
}

#[test]
fn a_canary_is_never_seen_over_recycles_of_every_form() {
    for (name, floors, form) in layouts() {
        let begun = Instant::now();
        for life in 0..recycles() {
            floors.kernel.forget();
            live(&name, &floors, life, &form);
            floors.delete("m").unwrap();
        }
        floors.assert_empty();
        say(&name, "nothing failing", begun);
    }
}

#[test]
fn a_canary_is_never_seen_where_calls_of_a_wipe_fail() {
    for (name, floors, form) in layouts() {
        let (mut failed, begun) = (0_usize, Instant::now());
        for life in 0..recycles() {
            live(&name, &floors, life, &form);
            floors.kernel.forget();
            if life.is_multiple_of(FAILS_EVERY) {
                // Each of the calls that such an end makes, in turn.
                floors.kernel.fail_nth(life / FAILS_EVERY % 3, libc::ENOMEM);
            }
            floors.delete("m").unwrap();
            let kept = floors.registry.quarantined_ranges().len();
            failed += kept;
            assert!(kept <= 1, "{name}: {kept} ranges");
            floors.kernel.forget();
            // What could not be wiped is wiped before the next life, or after it.
            if life.is_multiple_of(2) {
                floors.sweep();
            }
        }
        floors.sweep();
        floors.assert_empty();
        // Of a heap's block and of a fixed slot the end is stores, and no call.
        let stores = form.allocator != Allocator::Mmap;
        assert!(stores || failed > 0, "{name}: no call of any end failed");
        say(&name, &format!("{failed} ends failing"), begun);
    }
}

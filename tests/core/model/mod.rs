//! Random sequences of operations, carried out on a plain `Vec<u8>` model and on the real thing,
//! through the library and over the wire; every result and every failure is compared.

mod deeds;
mod library;
mod modelled;
mod plain;
mod waits;
mod wire;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use deeds::{Answer, Deed, Wish, wish};
use library::Library;
use plain::Model;
use wire::Wire;

/// A way to the real thing.
trait Door {
    fn carry_out(&mut self, deed: &Deed) -> Answer;

    /// What the tenant is charged, kind by kind.
    fn charged(&self) -> Vec<u64>;

    /// Whether there are fixed memories.
    fn has_arena(&self) -> bool;
}

fn compare(door: &mut impl Door, wishes: &[Wish]) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    // What a failed case left behind, so that a shorter one starts from nothing, too.
    for deed in Deed::delete_every_name() {
        door.carry_out(&deed);
    }
    for wish in wishes {
        let deed = model.resolve(wish);
        let deed = if door.has_arena() { deed } else { deed.without_arena() };
        let (wanted, found) = (model.carry_out(&deed), door.carry_out(&deed));
        prop_assert_eq!(&found, &wanted, "{:?}", deed);
    }
    let mut last = model.look_at_all();
    last.extend(model.delete_all());
    for deed in last {
        let (wanted, found) = (model.carry_out(&deed), door.carry_out(&deed));
        prop_assert_eq!(&found, &wanted, "at the end: {:?}", deed);
    }
    let charged = door.charged();
    prop_assert!(charged.iter().all(|used| *used == 0), "{charged:?} is still charged");
    Ok(())
}

fn run(cases: u32, door: &mut impl Door) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let door = std::cell::RefCell::new(door);
    TestRunner::new(config)
        .run(&prop::collection::vec(wish(), 1..60), |wishes| {
            compare(&mut **door.borrow_mut(), &wishes)
        })
        .unwrap_or_else(|failed| panic!("{failed}"));
}

#[test]
fn every_sequence_does_through_the_library_what_it_does_to_a_vector() {
    run(600, &mut Library::new(false));
}

#[test]
fn every_sequence_does_by_a_share_what_it_does_to_a_vector() {
    run(300, &mut Library::new(true));
}

#[test]
fn every_sequence_does_over_the_wire_what_it_does_to_a_vector() {
    let mut wire = Wire::new();
    run(250, &mut wire);
    wire.end();
}

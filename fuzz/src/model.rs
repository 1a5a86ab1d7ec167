//! The model of `tests/core`, driven by an input instead of chance: the same files, the same wishes.
//!
//! Law: a few bytes are the dice that are thrown for one wish, so that whatever a test could come upon
//! is an input, and a mutated input is another program like it.

#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../../tests/core/model/deeds.rs"]
mod deeds;
#[path = "../../tests/core/model/library.rs"]
mod library;
#[path = "../../tests/core/model/modelled.rs"]
mod modelled;
#[path = "../../tests/core/model/plain.rs"]
mod plain;
#[path = "../../tests/core/model/waits.rs"]
mod waits;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::planted;
use deeds::{Answer, Deed, Wish, wish};
use library::Library;
use plain::Model;

/// Operations of one program; the model's own tests have up to 60.
const AT_MOST: usize = 24;
/// Bytes of an input that one of them is made of.
const DICE: usize = 3;

/// A way to the real thing.
trait Door {
    fn carry_out(&mut self, deed: &Deed) -> Answer;
    fn charged(&self) -> Vec<u64>;
    fn has_arena(&self) -> bool;
}

/// The real thing, for one program after the other.
pub(crate) struct Bench {
    library: Library,
    /// What there is to wish for: made once, for it is large.
    wishes: BoxedStrategy<Wish>,
}

impl Bench {
    /// Of a memory's owner, or of whom each memory is shared with.
    pub(crate) fn new(lends: bool) -> Self {
        Self { library: Library::new(lends), wishes: wish().boxed() }
    }

    pub(crate) fn run(&mut self, input: &[u8]) {
        let wish = |dice: &[u8]| {
            let mut seed = [0; 32];
            seed[..dice.len()].copy_from_slice(dice);
            let dice = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
            let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), dice);
            self.wishes.new_tree(&mut runner).expect("a wish").current()
        };
        let wishes: Vec<Wish> = input.chunks(DICE).take(AT_MOST).map(wish).collect();
        self.compare(&wishes);
    }

    fn compare(&mut self, wishes: &[Wish]) {
        let mut model = Model::default();
        for wish in wishes {
            let deed = model.resolve(wish);
            let deed = if self.library.has_arena() { deed } else { deed.without_arena() };
            self.step(&mut model, &deed);
        }
        let mut last = model.look_at_all();
        last.extend(model.delete_all());
        for deed in last {
            self.step(&mut model, &deed);
        }
        let charged = self.library.charged();
        assert!(charged.iter().all(|used| *used == 0), "{charged:?} is still charged");
    }

    fn step(&mut self, model: &mut Model, deed: &Deed) {
        let wanted = model.carry_out(deed);
        let mut found = self.library.carry_out(deed);
        if let (Deed::Discard { length, .. }, Answer::Done) = (deed, &found)
            && planted::here(*length > 65_536)
        {
            found = Answer::Refused("OUT_OF_BOUNDS".to_owned(), None);
        }
        assert_eq!(found, wanted, "{deed:?}");
    }
}

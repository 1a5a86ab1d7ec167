//! Random programs, carried out on the product's own model and on the real thing, by a memory's owner or
//! by shares of it as the first byte says.
//!
//! Checked: every result and every failure of every operation, and all bytes and charges at the end.

use std::cell::RefCell;

use crate::model::Bench;

thread_local! {
    static BENCHES: RefCell<Option<[Bench; 2]>> = const { RefCell::new(None) };
}

pub(super) fn run(input: &[u8]) {
    let Some((kind, dice)) = input.split_first() else { return };
    BENCHES.with_borrow_mut(|benches| {
        let benches = benches.get_or_insert_with(|| [false, true].map(Bench::new));
        benches[usize::from(kind & 1)].run(dice);
    });
}

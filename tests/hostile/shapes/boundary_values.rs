//! Boundary values: every field of every RPC at its limits and past them, one after the other.

use std::rc::Rc;

use tokio::task::{JoinSet, LocalSet};

use crate::attacker::{Order, Tally};
use crate::boundary::{self, Request};
use crate::calls::Caller;
use crate::wire::message;

/// Calls under way at a time.
const AT_A_TIME: u64 = 32;
const CONNECTIONS: usize = 4;

pub(crate) async fn attack(order: Order) -> Tally {
    thread_local! {
        static ALL: Rc<Vec<Request>> = Rc::new(boundary::all());
    }
    let all = ALL.with(Rc::clone);
    let count = all.len() as u64;
    calls(order, move |number| {
        let Request { path, body } = &all[usize::try_from(number % count).expect("an index")];
        (path.clone(), message(body))
    })
    .await
}

/// Makes the inputs that `input` says, some at a time, and judges the answers.
pub(crate) async fn calls(
    order: Order,
    input: impl Fn(u64) -> (String, Vec<u8>) + 'static,
) -> Tally {
    let input = Rc::new(input);
    let each = order.inputs.div_ceil(AT_A_TIME).max(1);
    let local = LocalSet::new();
    let mut lanes = JoinSet::new();
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        callers.extend(Caller::connect(order.target).await.map(Rc::new));
    }
    let mut all = Tally::default();
    let Some(first) = callers.first() else {
        all.ended += 1;
        return all;
    };
    first.tend().await;
    for (lane, from) in order.numbers().step_by(usize::try_from(each).expect("few")).enumerate() {
        let caller = Rc::clone(&callers[lane % callers.len()]);
        let input = Rc::clone(&input);
        let end = (from + each).min(order.from + order.inputs);
        lanes.spawn_local_on(async move { run(caller, from..end, &*input).await }, &local);
    }
    local
        .run_until(async {
            while let Some(lane) = lanes.join_next().await {
                all.add(lane.expect("a lane"));
            }
        })
        .await;
    all
}

async fn run(
    mut caller: Rc<Caller>,
    numbers: std::ops::Range<u64>,
    input: &impl Fn(u64) -> (String, Vec<u8>),
) -> Tally {
    let mut tally = Tally::default();
    for number in numbers {
        if number.is_multiple_of(64) {
            caller.tend().await;
        }
        let (path, body) = input(number);
        if let Some(next) = caller.counted(&path, body, number, &mut tally).await {
            caller = Rc::new(next);
        }
    }
    tally
}

//! Promises broken on purpose, between the clients and a daemon that keeps them.
//!
//! Law: each fault breaks one promise, now and then and only by what a faulty server could do: it answers
//! nothing that is wrong in itself. The daemon, the recorder and the checker are those of an honest run.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::door::Door;
use crate::history::{Answer, CELLS, Call, Deed, MEMORIES, Outcome, PAGE, Span, Step, Wanted, Way};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The write of a range is two writes.
    TornWrite,
    /// The read of a range is two reads.
    TornRead,
    /// A fill is one of each half.
    TornFill,
    /// An add is a read and a write.
    LostAdd,
    /// A cmpxchg compares first and stores afterwards.
    StaleCompare,
    /// A write is answered before it is done.
    EarlyReply,
    /// A write is answered and never done.
    LostWrite,
    /// A write comes a second time, late.
    LateDuplicate,
    /// A read is answered as the same read was before.
    StaleRead,
    /// The size is answered as it was before.
    StaleSize,
    /// A group is two groups.
    HalfGroup,
    /// A group whose compare fails stores all the same.
    StoringCompare,
    /// A write past the end stores what is before it.
    PartialTrap,
    /// A growth counts twice.
    DoubleGrowth,
    /// A growth that was refused happens.
    RefusedGrowth,
    /// A new memory has bytes of the one before it.
    DirtyCreate,
    /// New pages have bytes of somebody's.
    DirtyGrowth,
    /// A delete is answered before it is done.
    EarlyDelete,
    /// What is attached is whatever has the name now.
    AttachedByName,
}

impl Fault {
    pub(crate) const ALL: [Self; 19] = [
        Self::TornWrite,
        Self::TornRead,
        Self::TornFill,
        Self::LostAdd,
        Self::StaleCompare,
        Self::EarlyReply,
        Self::LostWrite,
        Self::LateDuplicate,
        Self::StaleRead,
        Self::StaleSize,
        Self::HalfGroup,
        Self::StoringCompare,
        Self::PartialTrap,
        Self::DoubleGrowth,
        Self::RefusedGrowth,
        Self::DirtyCreate,
        Self::DirtyGrowth,
        Self::EarlyDelete,
        Self::AttachedByName,
    ];
}

/// A fault and what it remembers, for all clients.
#[derive(Debug)]
pub(crate) struct Faulty {
    fault: Fault,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// What a read answered.
    reads: HashMap<(usize, Span), Outcome>,
    /// What GetMemory answered.
    sizes: HashMap<usize, Outcome>,
    /// What was in the places of the last memory.
    before: [Vec<u64>; MEMORIES],
    /// Calls that could go wrong.
    chances: u64,
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every so many chances.
    fn is_time(&self, each: u64) -> bool {
        let mut kept = self.kept();
        kept.chances += 1;
        kept.chances.is_multiple_of(each)
    }

    /// The call, as the fault has it.
    pub(crate) async fn perform(&self, door: &mut Door, call: &Call) -> Outcome {
        let again = |step: Step| call.with(vec![step]);
        match (self.fault, &call.deed, call.steps()) {
            (Fault::TornWrite, _, [Step::Write(span, values)]) if span.count() > 1 => {
                let (first, second) = halves(*span);
                let (one, other) = values.split_at(first.count());
                let second = Step::Write(second, other.to_vec());
                twice(door, [again(Step::Write(first, one.to_vec())), again(second)], joined).await
            }
            (Fault::TornRead, _, [Step::Read(span)]) if span.count() > 1 => {
                let (first, second) = halves(*span);
                twice(door, [again(Step::Read(first)), again(Step::Read(second))], joined).await
            }
            (Fault::TornFill, _, [Step::Fill(span, byte)]) if span.count() > 1 => {
                let (first, second) = halves(*span);
                let calls = [again(Step::Fill(first, *byte)), again(Step::Fill(second, *byte))];
                twice(door, calls, joined).await
            }
            (Fault::HalfGroup, Deed::Steps(..), steps) if steps.len() > 1 => {
                let (one, other) = steps.split_at(steps.len() / 2);
                twice(door, [call.with(one.to_vec()), call.with(other.to_vec())], |all| all).await
            }
            (Fault::LostAdd, _, [Step::Add(cell, by)]) => {
                let old = match word(door, call, *cell).await {
                    Ok(old) => old,
                    Err(failure) => return failure,
                };
                let new = Step::Write(Span::one(*cell), vec![old.wrapping_add(*by)]);
                replaced(door.perform(&again(new)).await, Answer::Old(old))
            }
            (Fault::StaleCompare, _, [Step::CompareExchange { cell, expected, replacement }]) => {
                let old = match word(door, call, *cell).await {
                    Ok(old) if old == *expected => old,
                    Ok(other) => return Outcome::Answers(vec![Answer::Old(other)]),
                    Err(failure) => return failure,
                };
                let new = Step::Write(Span::one(*cell), vec![*replacement]);
                replaced(door.perform(&again(new)).await, Answer::Old(old))
            }
            (fault, _, [Step::Write(..)]) => self.written(fault, door, call).await,
            (Fault::StaleRead, _, [Step::Read(span)]) => {
                let place = (call.memory, *span);
                if let Some(old) = self.kept().reads.remove(&place) {
                    return old;
                }
                let outcome = door.perform(call).await;
                if matches!(outcome, Outcome::Answers(_)) {
                    self.kept().reads.insert(place, outcome.clone());
                }
                outcome
            }
            (Fault::StoringCompare, _, steps) => {
                let outcome = door.perform(call).await;
                if outcome == Outcome::CompareFailed {
                    let stores = |step: &&Step| !matches!(step, Step::Compare(..));
                    let rest = steps.iter().filter(stores).cloned().collect();
                    door.perform(&call.with(rest)).await;
                }
                outcome
            }
            (Fault::AttachedByName, Deed::Steps(..), _) => {
                let outcome = door.perform(call).await;
                match call.wanted {
                    Wanted::Attached(_) if outcome == Outcome::NotFound => {
                        let deed = Deed::Steps(Way::List, call.steps().to_vec());
                        let call = Call { memory: call.memory, wanted: Wanted::Any, deed };
                        door.perform(&call).await
                    }
                    _ => outcome,
                }
            }
            (_, deed, []) => self.of_the_whole(door, call, deed).await,
            _ => door.perform(call).await,
        }
    }

    /// Of one write.
    async fn written(&self, fault: Fault, door: &mut Door, call: &Call) -> Outcome {
        let [Step::Write(span, values)] = call.steps() else { panic!("a write") };
        match fault {
            Fault::EarlyReply | Fault::LostWrite if self.is_time(8) => {
                // It would be answered so.
                let read = door.perform(&call.with(vec![Step::Read(*span)])).await;
                if !matches!(read, Outcome::Answers(_)) {
                    return read;
                }
                if fault == Fault::EarlyReply {
                    let (wire, call) = (door.wire.clone(), unattached(call));
                    tokio::spawn(async move { wire.perform(&call).await });
                }
                Outcome::Answers(vec![Answer::Nothing])
            }
            Fault::LateDuplicate if self.is_time(8) => {
                let outcome = door.perform(call).await;
                let (wire, call) = (door.wire.clone(), unattached(call));
                tokio::spawn(async move {
                    wire.perform(&Call { deed: Deed::Describe, ..call }).await;
                    wire.perform(&call).await;
                });
                outcome
            }
            Fault::PartialTrap => {
                let outcome = door.perform(call).await;
                if let Outcome::OutOfBounds { size_bytes } = outcome {
                    let fits = |cell: &usize| Span::one(*cell).end() <= size_bytes;
                    if let Some(last) = span.cells().filter(fits).max() {
                        let part = Span { last, ..*span };
                        let values = values[..part.count()].to_vec();
                        door.perform(&call.with(vec![Step::Write(part, values)])).await;
                    }
                }
                outcome
            }
            _ => door.perform(call).await,
        }
    }

    /// Of growth, of life, and of what is said of a memory.
    async fn of_the_whole(&self, door: &mut Door, call: &Call, deed: &Deed) -> Outcome {
        let plain = |deed: Deed| Call { memory: call.memory, wanted: Wanted::Any, deed };
        let store = |cell: usize, value: u64| {
            plain(Deed::Steps(Way::Own, vec![Step::Write(Span::one(cell), vec![value])]))
        };
        match (self.fault, deed) {
            (Fault::StaleSize, Deed::Describe) => {
                if let Some(old) = self.kept().sizes.remove(&call.memory) {
                    return old;
                }
                let outcome = door.perform(call).await;
                if matches!(outcome, Outcome::Shown { .. }) {
                    self.kept().sizes.insert(call.memory, outcome.clone());
                }
                outcome
            }
            (Fault::DoubleGrowth, Deed::Grow { delta: delta @ 1.., .. }) => {
                let outcome = door.perform(call).await;
                if matches!(outcome, Outcome::Grown { .. }) && self.is_time(4) {
                    door.perform(&plain(Deed::Grow { delta: *delta, expected: None })).await;
                }
                outcome
            }
            (Fault::RefusedGrowth, Deed::Grow { .. }) => {
                let outcome = door.perform(call).await;
                if matches!(outcome, Outcome::SizeMismatch { .. } | Outcome::MaximumReached { .. })
                {
                    door.perform(&plain(Deed::Grow { delta: 1, expected: None })).await;
                }
                outcome
            }
            (Fault::DirtyGrowth, Deed::Grow { .. }) => {
                let outcome = door.perform(call).await;
                if let Outcome::Grown { previous, current } = outcome {
                    let is_new = |cell: &usize| {
                        let end = Span::one(*cell).end();
                        end > previous * PAGE && end <= current * PAGE
                    };
                    for cell in (0..CELLS).filter(is_new) {
                        door.perform(&store(cell, 0xD127)).await;
                    }
                }
                outcome
            }
            (Fault::DirtyCreate, Deed::Delete) => {
                let read = Step::Read(crate::history::FIRST_PAGE);
                let read = plain(Deed::Steps(Way::List, vec![read]));
                if let Outcome::Answers(read) = door.perform(&read).await
                    && let [Answer::Values(values)] = &read[..]
                {
                    self.kept().before[call.memory].clone_from(values);
                }
                door.perform(call).await
            }
            (Fault::DirtyCreate, Deed::Create { .. }) => {
                let outcome = door.perform(call).await;
                let values = self.kept().before[call.memory].clone();
                if matches!(outcome, Outcome::Created(_)) && values.len() > 2 {
                    door.perform(&store(2, values[2])).await;
                }
                outcome
            }
            (Fault::EarlyDelete, Deed::Delete) => {
                let shown = door.perform(&Call { deed: Deed::Describe, ..*call }).await;
                if !matches!(shown, Outcome::Shown { .. }) {
                    return shown;
                }
                let (wire, call) = (door.wire.clone(), call.clone());
                tokio::spawn(async move { wire.perform(&call).await });
                Outcome::Deleted
            }
            _ => door.perform(call).await,
        }
    }
}

fn halves(span: Span) -> (Span, Span) {
    let middle = span.first + span.count() / 2;
    (Span { last: middle - 1, ..span }, Span { first: middle, ..span })
}

/// One call after the other, answered as one; the first failure is that of both.
async fn twice(
    door: &mut Door,
    calls: [Call; 2],
    answer: impl FnOnce(Vec<Answer>) -> Vec<Answer>,
) -> Outcome {
    let mut all = Vec::new();
    for call in calls {
        match door.perform(&call).await {
            Outcome::Answers(answers) => all.extend(answers),
            failure => return failure,
        }
    }
    Outcome::Answers(answer(all))
}

/// Two answers as that of one step.
fn joined(all: Vec<Answer>) -> Vec<Answer> {
    match &all[..] {
        [Answer::Values(one), Answer::Values(other)] => {
            vec![Answer::Values([&one[..], &other[..]].concat())]
        }
        _ => all.into_iter().take(1).collect(),
    }
}

/// A word as it is now; the failure where there is none.
async fn word(door: &mut Door, call: &Call, cell: usize) -> Result<u64, Outcome> {
    let read = door.perform(&call.with(vec![Step::Read(Span::one(cell))])).await;
    match &read {
        Outcome::Answers(answers) => match &answers[..] {
            [Answer::Values(values)] => Ok(values[0]),
            other => panic!("a word is {other:?}"),
        },
        _ => Err(read),
    }
}

/// This answer where there was one.
fn replaced(outcome: Outcome, answer: Answer) -> Outcome {
    match outcome {
        Outcome::Answers(_) => Outcome::Answers(vec![answer]),
        failure => failure,
    }
}

/// The same by a call that no session carries, to what has the name then.
fn unattached(call: &Call) -> Call {
    let deed = Deed::Steps(Way::Own, call.steps().to_vec());
    Call { memory: call.memory, wanted: Wanted::Any, deed }
}

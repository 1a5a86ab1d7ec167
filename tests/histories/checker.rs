//! Decides whether a history of one memory is linearizable: just-in-time linearization (Wing and Gong,
//! Lowe) with every configuration kept once.
//!
//! A configuration is a state of the memory and the set of calls that are under way and have taken effect
//! already. The history is walked through in order of time with all configurations that are still
//! possible. When a call is back it must have taken effect in every configuration that is kept: so from
//! each, calls under way are let take effect, in every order, until this one has; what cannot is dropped.
//! None left: no order explains the history.
//!
//! Memories are checked apart, for no call is about two (linearizability is local). A history may come in
//! pieces: what is possible at the end of one is where the next begins.
//!
//! Soundness: a configuration is only ever made of a possible one by a call that was sent, is not back,
//! has not taken effect yet, and by the model answers here what was recorded. So whatever is still
//! possible at the end stands for an order of all calls that keeps to time and to the specification, and
//! a history without one is never accepted. Both ways to look at fewer configurations drop some and add
//! none, so that they could only refuse too much; they do not, for:
//!
//! 1. A call that changes nothing takes effect as soon as its outcome fits. An order that has it later is
//!    as good without it there: the state is the same.
//! 2. Before a call that is back only those under way are tried which are linked to it by conflicts (of
//!    `Footprint`), through others that have not taken effect either. In any order that explains the
//!    history, the rest of those before it can be put right after it: nothing between them conflicts, and
//!    none of them is back yet.
//!
//! `checker_tests.rs` compares the verdicts with those of trying every order. Steps (calls tried in a
//! state) are counted and bounded; a history past the bound is a failure of the test, never accepted.

use std::collections::HashSet;
use std::fmt;

use crate::history::{CLIENTS, Outcome, Record};
use crate::model::{Footprint, State};

/// Steps that one piece may take.
const BUDGET: u64 = 5_000_000;

/// Which clients' calls, a bit for each.
type Clients = u16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Configuration {
    state: State,
    /// Whose calls under way have taken effect.
    done: Clients,
}

/// A call under way.
#[derive(Clone, Copy)]
struct Open<'a> {
    place: usize,
    record: &'a Record,
    footprint: Footprint,
    /// With whose calls under way it conflicts.
    conflicts: Clients,
}

/// The checker of one memory.
#[derive(Debug)]
pub(crate) struct Checker {
    possible: HashSet<Configuration>,
    uids: HashSet<u128>,
    budget: u64,
    pub(crate) figures: Figures,
}

/// What it took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) pieces: u64,
    pub(crate) records: u64,
    /// Records that overlapped one in time with which they conflict.
    pub(crate) contended: u64,
    pub(crate) steps: u64,
    /// Of one piece.
    pub(crate) most_steps: u64,
    /// At once.
    pub(crate) most_configurations: u64,
}

impl Figures {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.pieces += other.pieces;
        self.records += other.records;
        self.contended += other.contended;
        self.steps += other.steps;
        self.most_steps = self.most_steps.max(other.most_steps);
        self.most_configurations = self.most_configurations.max(other.most_configurations);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pieces, records, contended, steps, most_steps, most_configurations } = self;
        let share = 100.0 * *contended as f64 / (*records).max(1) as f64;
        write!(
            f,
            "{records} operations, {share:.1} % of them overlapping one in time that they conflict \
             with; {pieces} pieces, {steps} steps of the checker, at most {most_steps} in a piece and \
             {most_configurations} configurations at once"
        )
    }
}

/// Why a history is not accepted.
#[derive(Debug)]
pub(crate) enum Refused {
    /// No order explains what this call answered.
    NotLinearizable {
        /// When it was back.
        at: u64,
        report: String,
    },
    /// Two memories had one uid.
    UidAgain(u128),
    /// It was not decided.
    Budget,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLinearizable { report, .. } => f.write_str(report),
            Self::UidAgain(uid) => write!(f, "a second memory has the uid {uid:x}"),
            Self::Budget => f.write_str("the checker's steps are used up: undecided"),
        }
    }
}

impl Checker {
    /// Of a history that begins in this state.
    pub(crate) fn new(state: State) -> Self {
        Self {
            possible: HashSet::from([Configuration { state, done: 0 }]),
            uids: HashSet::new(),
            budget: BUDGET,
            figures: Figures::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn with_budget(self, budget: u64) -> Self {
        Self { budget, ..self }
    }

    /// Goes on with a piece: records of calls that were all sent after those of the last piece were back.
    pub(crate) fn take(&mut self, piece: &[Record]) -> Result<(), Refused> {
        let mut moments: Vec<(u64, bool, usize)> = Vec::with_capacity(piece.len() * 2);
        for (place, record) in piece.iter().enumerate() {
            assert!(record.sent <= record.back && record.client < CLIENTS);
            // At one time: sent before back, so that the two overlap.
            moments.extend([(record.sent, false, place), (record.back, true, place)]);
        }
        moments.sort_unstable();
        let (mut open, mut steps) = ([None; CLIENTS], 0);
        let mut contended = vec![false; piece.len()];
        for (_, is_back, place) in moments {
            let record = &piece[place];
            if is_back {
                self.returned(&open, record.client, &mut steps);
                if steps > self.budget {
                    return Err(Refused::Budget);
                }
                if self.possible.is_empty() {
                    let report = report(piece, record, &open);
                    return Err(Refused::NotLinearizable { at: record.back, report });
                }
                forget(&mut open, record.client);
                continue;
            }
            if let Outcome::Created(uid) = record.outcome
                && !self.uids.insert(uid)
            {
                return Err(Refused::UidAgain(uid));
            }
            for other in begin(&mut open, place, record) {
                contended[place] = true;
                contended[other] = true;
            }
            let settled = self.possible.drain().map(|one| settle(one, &open, &mut steps)).collect();
            self.possible = settled;
        }
        let figures = &mut self.figures;
        figures.pieces += 1;
        figures.records += piece.len() as u64;
        figures.contended += contended.iter().filter(|one| **one).count() as u64;
        figures.steps += steps;
        figures.most_steps = figures.most_steps.max(steps);
        Ok(())
    }

    /// Lets the client's call take effect in every possible configuration.
    fn returned(&mut self, open: &[Option<Open<'_>>], client: usize, steps: &mut u64) {
        let own: Clients = 1 << client;
        let (mut next, mut seen) = (HashSet::new(), HashSet::new());
        let mut left: Vec<Configuration> = self.possible.drain().collect();
        while let Some(one) = left.pop() {
            if one.done & own != 0 {
                next.insert(Configuration { done: one.done & !own, ..one });
                continue;
            }
            let linked = linked(open, client, one.done);
            for call in members(open, linked) {
                *steps += 1;
                if *steps > self.budget {
                    return;
                }
                let Some(state) = one.state.after(&call.record.call, &call.record.outcome) else {
                    continue;
                };
                let done = one.done | 1 << call.record.client;
                let later = settle(Configuration { state, done }, open, steps);
                if seen.insert(later) {
                    left.push(later);
                }
            }
        }
        self.possible = next;
        let most = &mut self.figures.most_configurations;
        *most = (*most).max(self.possible.len() as u64);
    }
}

/// Puts a call among those under way; the places of those with which it conflicts.
fn begin<'a>(
    open: &mut [Option<Open<'a>>; CLIENTS],
    place: usize,
    record: &'a Record,
) -> Vec<usize> {
    assert!(open[record.client].is_none(), "a client has one call under way");
    let footprint = Footprint::of(record);
    let (mut conflicts, mut places) = (0, Vec::new());
    for other in open.iter_mut().flatten() {
        if footprint.conflicts(other.footprint) {
            other.conflicts |= 1 << record.client;
            conflicts |= 1 << other.record.client;
            places.push(other.place);
        }
    }
    open[record.client] = Some(Open { place, record, footprint, conflicts });
    places
}

fn forget(open: &mut [Option<Open<'_>>; CLIENTS], client: usize) {
    open[client] = None;
    for other in open.iter_mut().flatten() {
        other.conflicts &= !(1 << client);
    }
}

/// Those calls under way.
fn members<'a, 'b>(
    open: &'b [Option<Open<'a>>],
    clients: Clients,
) -> impl Iterator<Item = &'b Open<'a>> {
    open.iter().flatten().filter(move |call| clients & 1 << call.record.client != 0)
}

/// The calls that are linked to this client's by conflicts among what has not taken effect, itself too.
fn linked(open: &[Option<Open<'_>>], client: usize, done: Clients) -> Clients {
    let mut linked: Clients = 1 << client;
    loop {
        let more = members(open, linked).fold(linked, |sum, call| sum | call.conflicts) & !done;
        if more == linked {
            return linked;
        }
        linked = more;
    }
}

/// Lets everything take effect that changes nothing and fits.
fn settle(mut one: Configuration, open: &[Option<Open<'_>>], steps: &mut u64) -> Configuration {
    for call in members(open, !one.done) {
        if call.footprint.is_harmless() {
            *steps += 1;
            if one.state.after(&call.record.call, &call.record.outcome).is_some() {
                one.done |= 1 << call.record.client;
            }
        }
    }
    one
}

/// What stood around a call that cannot be explained.
fn report(piece: &[Record], record: &Record, open: &[Option<Open<'_>>]) -> String {
    let mut around: Vec<&Record> = piece
        .iter()
        .filter(|other| other.back < record.back && other.client != record.client)
        .collect();
    around.sort_unstable_by_key(|other| other.back);
    let before = around.iter().rev().take(24).rev().copied();
    let line = |other: &Record| {
        let (client, from) = (other.client, other.sent);
        format!(
            "  client {client} {from}..{} ns {:?}: {:?}\n",
            other.back, other.call, other.outcome
        )
    };
    let mut text = format!("no order explains\n{}before it were back\n", line(record));
    before.for_each(|other| text.push_str(&line(other)));
    text.push_str("and under way were\n");
    let open = open.iter().flatten().map(|call| call.record);
    open.filter(|other| other.client != record.client)
        .for_each(|other| text.push_str(&line(other)));
    text
}

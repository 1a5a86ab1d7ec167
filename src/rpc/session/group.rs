//! One group of a session: made of its message, carried out at once or in its turn, and answered.
//!
//! Law: an atomic group, and one operation, is one group of the memory's; of others each operation is
//! one by itself, which stands or fails alone. What stores is refused before the memory is looked at: to
//! a read-only handle, and where the host is too short of memory (OVERLOADED).

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::Failure;
use crate::memory::{Draft, Group, Sum};
use crate::model::RequestKey;
use crate::proto::v1::session_group::Group as Form;
use crate::proto::v1::session_result::Outcome;
use crate::proto::v1::{self, SessionFailure, SessionGroup, SessionResult};
use crate::registry::{Found, Step};
use crate::rpc::admission::{Door, InFlight};
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::operations::packed::Rows;
use crate::rpc::operations::results::{Shape, list_length, put_list};
use crate::rpc::operations::{self, in_operation, invalid, list, packed};
use crate::rpc::pace::Pace;
use crate::rpc::session::alone::alone;
use crate::rpc::session::outbound::{Outbound, message};
use crate::rpc::session::room;
use crate::rpc::untaken::SHORT;
use crate::tenancy::Occasion;

/// A group that can be carried out.
pub(super) struct Work {
    pub(super) tag: u64,
    pub(super) found: Found,
    pub(super) kind: Kind,
    /// Bytes that its results may come to.
    pub(super) reply: u64,
    /// Its part of the in-flight budgets, once it waits: that of its message, and what it keeps besides.
    held: Option<InFlight>,
}

#[expect(clippy::large_enum_variant, reason = "the largest is the usual one")]
pub(super) enum Kind {
    /// Whole or not at all.
    Whole { group: Group, form: Whole, key: Option<RequestKey> },
    /// Each operation by itself.
    List { operations: Vec<v1::Operation>, read_only: bool },
    /// The same in columns.
    Packed { rows: Rows, read_only: bool },
}

/// How results are told.
pub(super) enum Whole {
    Single(Shape),
    List(Vec<Shape>),
    Packed,
}

/// A group that has been carried out.
pub(super) struct Done {
    pub(super) tag: u64,
    pub(super) made: Made,
    /// Bytes that its results might have come to, and their part of the in-flight budgets where they are not
    /// few.
    pub(super) reply: u64,
    pub(super) held: Option<InFlight>,
}

/// What became of a group.
pub(super) enum Made {
    Whole(Whole, Result<Vec<u8>, Failure>),
    Each(Outcome, Vec<(u32, Failure)>),
    Failed(Failure),
}

impl Work {
    /// What a message asks for.
    ///
    /// # Errors
    /// What is wrong with the whole of it.
    pub(super) fn new(
        call: &Call,
        mut asked: SessionGroup,
        found: Found,
        read_only: bool,
    ) -> Result<Self, Failure> {
        let (tag, access) = (asked.tag, &call.door.access);
        let request_id = asked.request_id.take();
        if request_id.is_some() && !asked.atomic {
            return Err(invalid("request_id", "is for atomic groups"));
        }
        // Tags and handles are of the session, which a repeat may not be in.
        let key = match request_id {
            None => None,
            some => {
                let body = SessionGroup { tag: 0, handle: 0, ..asked.clone() };
                convert::request_key(call.method, some, &body)?
            }
        };
        let is_whole = asked.atomic;
        let segments = |id: &str, from, length| access.segment_part(id, from, length);
        let mut draft = operations::draft(call, found.record());
        let made = match asked.group {
            None => Err(invalid("group", "says nothing: single, list or packed")),
            Some(Form::Single(operation)) => {
                list::one(&mut draft, operation, &segments).map(Whole::Single)
            }
            Some(Form::List(list)) if is_whole => {
                list::draft(&mut draft, list, &segments).map(Whole::List)
            }
            Some(Form::Packed(columns)) if is_whole => {
                packed::draft(&mut draft, columns, &segments).map(|()| Whole::Packed)
            }
            Some(Form::List(v1::OperationList { operations })) => {
                if operations.len() > operations::MAX_OPERATIONS as usize {
                    return Err(operations::too_many(operations.len()));
                }
                let answers = operations.iter().map(list::answers).fold(0, u64::saturating_add);
                let reply = answers.min(call.door.server.limits.max_read_bytes);
                let kind = Kind::List { operations, read_only };
                return Ok(Self { tag, found, kind, reply, held: None });
            }
            Some(Form::Packed(columns)) => {
                if columns.addresses.len() > operations::MAX_OPERATIONS as usize {
                    return Err(operations::too_many(columns.addresses.len()));
                }
                let rows = Rows::new(columns)?;
                let reply = rows.check()?.min(call.door.server.limits.max_read_bytes);
                let kind = Kind::Packed { rows, read_only };
                return Ok(Self { tag, found, kind, reply, held: None });
            }
        };
        let form = made.inspect_err(|failure| access.trapped(found.record(), failure))?;
        let group = draft.finish();
        refuse_stores(call, &group, read_only)?;
        let reply = group.reply().get();
        let kind = Kind::Whole { group, form, key };
        Ok(Self { tag, found, kind, reply, held: None })
    }

    /// It waits for its turn, with the part of the budgets that its message had. So is in flight what its
    /// operations are kept in, for in a message they may be of two bytes each.
    pub(super) fn keep(&mut self, door: &Arc<Door>, message: Option<InFlight>) {
        let operations = match &self.kind {
            Kind::Whole { group, .. } => group.kept_bytes(),
            Kind::List { operations, .. } => {
                operations.len().saturating_mul(size_of::<v1::Operation>())
            }
            Kind::Packed { rows, .. } => rows.count().saturating_mul(packed::ROW_BYTES),
        };
        let kept = operations.saturating_add(size_of::<Self>());
        let mut held = message.unwrap_or_else(|| door.hold_anyway(0));
        held.add(kept as u64);
        self.held = Some(held);
    }

    /// What it accesses, as far as that is known before it is carried out.
    pub(super) fn accesses(&self) -> Sum {
        let many = |accesses: usize| Sum { accesses: accesses as u64, bytes: 0 };
        match &self.kind {
            Kind::Whole { group, .. } => group.tally().whole(),
            Kind::List { operations, .. } => many(operations.len()),
            Kind::Packed { rows, .. } => many(rows.count()),
        }
    }

    /// Carries it out, waiting where that is needed: for its turn, its results' part of the budgets, and
    /// the memory.
    pub(super) async fn run(
        self,
        call: &Call,
        occasion: &Occasion,
        pace: &Pace,
        line: &Semaphore,
    ) -> Done {
        let Self { tag, found, kind, reply, held: message } = self;
        let own = message.as_ref().map_or(0, InFlight::bytes);
        let held = match reply < SHORT as u64 {
            true => None,
            false => match room::room(&call.door, reply, own, line).await {
                Ok(held) => Some(held),
                Err(failure) => {
                    return Done { tag, reply, made: Made::Failed(failure), held: None };
                }
            },
        };
        let made = match kind {
            Kind::Whole { group, form, key } => {
                pace.turn().await;
                pace.accessed(group.tally().whole());
                Made::Whole(form, executed(call, occasion, found, group, key).await)
            }
            Kind::List { operations, read_only } => {
                let mut each = Each::new(call, occasion, pace, found, read_only);
                each.list(operations).await
            }
            Kind::Packed { rows, read_only } => {
                let mut each = Each::new(call, occasion, pace, found, read_only);
                each.packed(rows).await
            }
        };
        Done { tag, reply, made, held }
    }
}

/// Tells what became of a group.
pub(super) fn put(out: &mut Outbound, call: &Call, tag: u64, made: Made) {
    match made {
        Made::Whole(form, Ok(raw)) => put_whole(out, tag, &form, &raw),
        Made::Whole(_, Err(failure)) | Made::Failed(failure) => {
            out.put_error(tag, &call.refuse(&failure.into()));
        }
        Made::Each(outcome, failures) => {
            let failures = failures.into_iter().map(|(index, failure)| SessionFailure {
                index,
                status: Some(message(&call.refuse(&failure.into()))),
            });
            let failures = failures.collect();
            let result = SessionResult { tag, outcome: Some(outcome), failures };
            out.put(v1::open_session_response::Message::Result(result));
        }
    }
}

/// Tells the results of a group that happened as a whole.
pub(super) fn put_whole(out: &mut Outbound, tag: u64, form: &Whole, raw: &[u8]) {
    match form {
        Whole::Single(shape) => out.put_single(tag, *shape, raw),
        Whole::List(shapes) => out.put_list(tag, shapes, raw),
        Whole::Packed => out.put_packed(tag, raw),
    }
}

/// Carries a group out, once it has the memory.
async fn executed(
    call: &Call,
    occasion: &Occasion,
    found: Found,
    group: Group,
    key: Option<RequestKey>,
) -> Result<Vec<u8>, Failure> {
    let (door, occasion) = (Arc::clone(&call.door), occasion.clone());
    let out = Vec::with_capacity(group.reply().as_usize());
    alone(async move { door.access.execute(&occasion, found, group, out, key).await }).await
}

fn refuse_stores(call: &Call, group: &Group, read_only: bool) -> Result<(), Failure> {
    if !group.is_a_writers() {
        return Ok(());
    }
    if read_only {
        return Err(Failure::GrantReadOnly);
    }
    call.door.server.registry.overload.admit(Step::ShedCalls)
}

/// Operations that each stand or fail alone.
struct Each<'a> {
    call: &'a Call,
    occasion: &'a Occasion,
    pace: &'a Pace,
    found: Found,
    read_only: bool,
    /// Results so far, one after the other.
    raw: Vec<u8>,
    failures: Vec<(u32, Failure)>,
}

impl<'a> Each<'a> {
    fn new(
        call: &'a Call,
        occasion: &'a Occasion,
        pace: &'a Pace,
        found: Found,
        read_only: bool,
    ) -> Self {
        let (raw, failures) = (Vec::new(), Vec::new());
        Self { call, occasion, pace, found, read_only, raw, failures }
    }

    async fn list(&mut self, operations: Vec<v1::Operation>) -> Made {
        let mut shapes = Vec::with_capacity(operations.len());
        for (place, operation) in operations.into_iter().enumerate() {
            let shape =
                self.one(place, 0, move |draft, segments| list::one(draft, operation, segments));
            match shape.await {
                Ok(shape) => shapes.push(shape.unwrap_or(Shape::Nothing)),
                Err(failure) => return Made::Failed(failure),
            }
        }
        let mut encoded = Vec::with_capacity(list_length(&shapes, &self.raw));
        put_list(&mut encoded, &shapes, &self.raw);
        // What was put is a list, so that it is read as one.
        match prost::Message::decode(encoded.as_slice()) {
            Ok(list) => Made::Each(Outcome::List(list), std::mem::take(&mut self.failures)),
            Err(_not_a_list) => Made::Failed(Failure::InternalFault),
        }
    }

    async fn packed(&mut self, mut rows: Rows) -> Made {
        let mut place = 0usize;
        while let Some(row) = rows.next() {
            let row = match row {
                Ok(row) => row,
                Err(failure) => return Made::Failed(in_operation(place, failure)),
            };
            let answers = row.answers();
            let done = self.one(place, answers, move |draft, segments| {
                row.add(draft, segments).map(|()| Shape::Nothing)
            });
            if let Err(failure) = done.await {
                return Made::Failed(failure);
            }
            place = place.saturating_add(1);
        }
        let data = std::mem::take(&mut self.raw).into();
        let packed = v1::PackedResults { data };
        Made::Each(Outcome::Packed(packed), std::mem::take(&mut self.failures))
    }

    /// Carries one out; where it fails, as many zeros as it would have answered.
    async fn one(
        &mut self,
        place: usize,
        answers: u64,
        add: impl FnOnce(&mut Draft, operations::Segments<'_>) -> Result<Shape, Failure>,
    ) -> Result<Option<Shape>, Failure> {
        self.pace.turn().await;
        let access = &self.call.door.access;
        let made = {
            let segments = |id: &str, from, length| access.segment_part(id, from, length);
            let mut draft = operations::draft(self.call, self.found.record());
            add(&mut draft, &segments).and_then(|shape| {
                let group = draft.finish();
                refuse_stores(self.call, &group, self.read_only).map(|()| (group, shape))
            })
        };
        let before = self.raw.len();
        let done = match made {
            Ok((group, shape)) => {
                self.fits(group.reply().get())?;
                let sum = group.tally().whole();
                self.pace.accessed(sum);
                access.tenant().rates.owe_group(|| sum);
                let done = match access.execute_now(&self.found, &group, &mut self.raw) {
                    Some(done) => done.inspect(|()| access.count(group.tally())),
                    None => {
                        let found = self.found.clone();
                        let executed = executed(self.call, self.occasion, found, group, None).await;
                        executed.map(|results| self.raw.extend_from_slice(&results))
                    }
                };
                done.map(|()| shape)
            }
            Err(failure) => {
                self.pace.accessed(Sum { accesses: 1, bytes: 0 });
                access.trapped(self.found.record(), &failure);
                Err(access.unless_gone(&self.found, failure, self.occasion.now))
            }
        };
        match done {
            Ok(shape) => Ok(Some(shape)),
            Err(failure) => {
                self.raw.truncate(before);
                self.fits(answers)?;
                let zeros = usize::try_from(answers).unwrap_or(usize::MAX);
                self.raw.resize(before.saturating_add(zeros), 0);
                let failure = match failure {
                    Failure::InOperation { failure, .. } => *failure,
                    failure => failure,
                };
                self.failures.push((u32::try_from(place).unwrap_or(u32::MAX), failure));
                Ok(None)
            }
        }
    }

    fn fits(&self, more: u64) -> Result<(), Failure> {
        let limit = self.call.door.server.limits.max_read_bytes;
        let reply = (self.raw.len() as u64).saturating_add(more);
        if reply <= limit {
            return Ok(());
        }
        Err(Failure::TooLarge {
            field: "group",
            length: reply,
            limit_name: "max_group_reply_bytes",
            limit,
            instead: "read less at once",
        })
    }
}

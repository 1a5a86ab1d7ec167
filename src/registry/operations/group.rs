//! Groups of operations: one lock, shared where nothing is stored, and everything under it.
//!
//! Law: up to `Settings::inline` bytes touched on the caller's thread, more in one turn of a pool
//! thread, which then does all that follows: a group that has had an effect wakes who it notifies and is
//! remembered, by its results where it has a request id, whether its caller is still there or not.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::{Group, Notice, Stopped, Unfit};
use crate::model::{Now, RequestKey, Uuid};
use crate::registry::gate::Gate;
use crate::registry::lifecycle::{self, Ended, NotHad};
use crate::registry::namespace::Namespace;
use crate::registry::operations::bytes::{reading, writing};
use crate::registry::operations::wait::notify;
use crate::registry::operations::{hand, not_had, undone};
use crate::registry::pool::onto_pool;
use crate::registry::record::Record;
use crate::registry::requests::{Begun, Led, Running};
use crate::registry::settings::Registry;
use crate::registry::waiters::Waiters;
use crate::units::ByteCount;

/// Bytes of results that are remembered for a request id.
pub const MAX_REMEMBERED: ByteCount = ByteCount::new(1024);

impl Registry {
    /// Carries a group out and appends its results to `out`.
    ///
    /// # Errors
    /// COMPARE_FAILED, PROTECTED, PURGED, MEMORY_NOT_FOUND, QUARANTINED, HARDWARE_FAULT, CORRUPTED,
    /// TOO_LARGE where so many results are not remembered, REQUEST_ID_REUSED, and what ends any call.
    #[expect(clippy::too_many_arguments, reason = "the request's fields and the call's")]
    pub async fn execute(
        &self,
        namespace: &Arc<Namespace>,
        record: Arc<Record>,
        group: Group,
        mut out: Vec<u8>,
        request: Option<RequestKey>,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<Vec<u8>, Failure> {
        let home = &namespace.home.payer;
        // Another's memory pays for nothing that is remembered here.
        let payer = request.and_then(|_key| record.payer_of(namespace));
        let payer = payer.unwrap_or_else(|| Arc::clone(home));
        if request.is_some() && group.reply() > MAX_REMEMBERED {
            return Err(Failure::TooLarge {
                field: "group",
                length: group.reply().get(),
                limit_name: "max_remembered_reply_bytes",
                limit: MAX_REMEMBERED.get(),
                instead: "read less at once, or leave request_id out where nothing is stored",
            });
        }
        let running =
            match namespace.requests.begin_with(request, group.reply(), now, [home, &payer])? {
                Begun::Run(running) => running,
                Begun::Done(Led::Executed { results }) => {
                    out.extend_from_slice(&results);
                    return Ok(out);
                }
                // The hash of the body covers the kind of request, so this is another request.
                Begun::Done(_) => return Err(Failure::RequestIdReused { request_id: Uuid::nil() }),
            };
        let notified = || (Arc::clone(&self.waiters), Arc::clone(&record));
        let after = After {
            notified: group.notifies().then(notified),
            running: request.is_some().then_some(running),
            before: out.len(),
        };
        if group.is_short(self.settings.inline) {
            return run(record, &group, out, gate, after, async {}).await;
        }
        let (job_gate, lane) = (Arc::clone(gate), record.lane(namespace.lane));
        let job = async move {
            let ran = run(record, &group, out, &job_gate, after, onto_pool()).await;
            // What it was made of goes back to be freed by the thread that allocated it.
            (ran, group)
        };
        self.pool.run(lane, Arc::clone(gate), job).await?.0
    }
}

impl Registry {
    /// The same at once, on the calling thread; none, and nothing has happened, where it would have to
    /// wait, is too long for that, or the memory is not alive.
    pub fn execute_now(
        &self,
        record: &Arc<Record>,
        group: &Group,
        out: &mut Vec<u8>,
    ) -> Option<Result<(), Failure>> {
        if !group.is_short(self.settings.inline) {
            return None;
        }
        // The size is looked at under the lock: a growth needs none, and what was written after one must
        // not be seen with the size before it.
        let ran = if group.writes() {
            let mut writing = lifecycle::write_now(Arc::clone(record))?;
            let size = record.size();
            let ran = hand(writing.memory()).map(|mut memory| group.run(&mut memory, size, out));
            ended(writing.owner(), group, ran)
        } else {
            let mut reading = lifecycle::read_now(Arc::clone(record))?;
            let size = record.size();
            let ran = hand(reading.memory()).map(|mut memory| group.run(&mut memory, size, out));
            ended(reading.owner(), group, ran)
        };
        Some(ran.map(|notices| tell(&self.waiters, record, &notices, out)))
    }
}

/// What is to be done once a group has had its effects.
struct After {
    /// Where it notifies: among whom, and of what.
    notified: Option<(Arc<Waiters>, Arc<Record>)>,
    /// Where it has a request id.
    running: Option<Running>,
    /// How much was answered before it.
    before: usize,
}

impl After {
    /// Whether it is an effect itself, also of a group that only reads.
    const fn is_effect(&self) -> bool {
        self.notified.is_some() || self.running.is_some()
    }

    fn done(self, notices: &[Notice], out: &mut [u8]) {
        if let Some((waiters, record)) = &self.notified {
            tell(waiters, record, notices, out);
        }
        if let Some(running) = self.running {
            let results = out.get(self.before..).unwrap_or_default().into();
            running.led_to(Led::Executed { results });
        }
    }
}

/// Wakes waiters, and puts their number where it belongs.
fn tell(waiters: &Waiters, record: &Record, notices: &[Notice], out: &mut [u8]) {
    for Notice { place, address, count } in notices {
        let woken = notify(waiters, record, *address, *count).to_le_bytes();
        let slots = out.get_mut(*place..).unwrap_or_default();
        for (slot, byte) in slots.iter_mut().zip(woken) {
            *slot = byte;
        }
    }
}

/// Takes the memory as the group needs it, goes to where it is to happen, and does it and what comes
/// after it.
async fn run(
    record: Arc<Record>,
    group: &Group,
    mut out: Vec<u8>,
    gate: &Arc<Gate>,
    after: After,
    place: impl Future<Output = ()>,
) -> Result<Vec<u8>, Failure> {
    let notices = if group.writes() {
        let mut writing = writing(record, gate).await?;
        place.await;
        gate.pass()?;
        let size = writing.owner().size();
        let ran = hand(writing.memory()).map(|mut memory| group.run(&mut memory, size, &mut out));
        ended(writing.owner(), group, ran)?
    } else {
        let mut reading = reading(record, gate).await?;
        place.await;
        if after.is_effect() {
            gate.pass()?;
        }
        let size = reading.owner().size();
        let ran = hand(reading.memory()).map(|mut memory| group.run(&mut memory, size, &mut out));
        ended(reading.owner(), group, ran)?
    };
    after.done(&notices, &mut out);
    Ok(out)
}

fn ended(
    record: &Record,
    group: &Group,
    ran: Result<Result<Vec<Notice>, Stopped>, Ended>,
) -> Result<Vec<Notice>, Failure> {
    match ran {
        Ok(Ok(notices)) => {
            record.note_group(group.tally());
            Ok(notices)
        }
        Ok(Err(stopped)) => Err(failure(record, stopped)),
        Err(ended) => Err(not_had(record, NotHad::from(ended))),
    }
}

fn failure(record: &Record, stopped: Stopped) -> Failure {
    let failure = match stopped.why {
        Unfit::Compare(range) => {
            Failure::CompareFailed { offset: range.start(), length: range.length().get() }
        }
        Unfit::Undone(why) => undone(record, why),
    };
    Failure::InOperation { operation: stopped.operation, failure: Box::new(failure) }
}

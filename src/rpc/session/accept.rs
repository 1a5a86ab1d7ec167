//! What a session does with a message of the client's.
//!
//! Law: the start comes first and once; what is wrong with the order of messages, or with a message as
//! such, ends the session, and what is wrong with what it asks is said of its tag.

use std::sync::Arc;

use crate::error::Failure;
use crate::model::{Now, ShareAccess};
use crate::proto::v1::open_session_request::Message as Asked;
use crate::proto::v1::open_session_response::Message as Word;
use crate::proto::v1::operation::Operation as Deed;
use crate::proto::v1::session_group::Group;
use crate::proto::v1::session_notice::Notice;
use crate::proto::v1::session_result::Outcome;
use crate::proto::v1::{self, SessionDone, SessionNotice};
use crate::registry::{Changed, Found, Reads};
use crate::rpc::admission::InFlight;
use crate::rpc::message::Came;
use crate::rpc::operations::invalid;
use crate::rpc::operations::results::Shape;
use crate::rpc::session::group::{self, Kind, Work};
use crate::rpc::session::outbound::message;
use crate::rpc::session::{Session, Stage, Turn};
use crate::rpc::untaken::SHORT;
use crate::rpc::{capability, convert};
use crate::tenancy::{Need, Target};

/// Bytes of a read that is made at once.
const SHORT_READ: u64 = 4_096;

impl Session {
    pub(super) fn accept(&mut self, came: Came<v1::OpenSessionRequest>, turn: &mut Turn, now: Now) {
        self.received = self.received.saturating_add(1);
        let (asked, held) = match came {
            Ok(Some((request, held))) => (request.message, held),
            Ok(None) => {
                self.stage = Stage::Closing;
                return;
            }
            Err(failure) => return self.fail(&failure),
        };
        match (asked, &self.stage) {
            (None, _) => self.fail(&protocol("a message says nothing")),
            (Some(Asked::Start(start)), Stage::New) => self.start(start),
            (Some(Asked::Start(_)), _) => self.fail(&protocol("start comes first, and once")),
            (Some(_), Stage::New) => self.fail(&protocol("start comes first")),
            (Some(Asked::Group(asked)), _) => {
                self.last_tag = Some(asked.tag);
                if !self.read_at_once(&asked, turn, now) {
                    self.end_turn(turn);
                    self.group(asked, held, now);
                }
            }
            (Some(Asked::Attach(attach)), _) => {
                self.pace.took(true);
                self.last_tag = Some(attach.tag);
                let tag = attach.tag;
                match self.attach(attach, now) {
                    Ok(attached) => self.out.put_outcome(tag, Outcome::Attached(attached)),
                    Err(failure) => self.refuse(tag, failure),
                }
            }
            (Some(Asked::Detach(detach)), _) => {
                self.pace.took(true);
                self.last_tag = Some(detach.tag);
                if self.handles.detach(detach.handle) {
                    self.out.put_outcome(detach.tag, Outcome::Done(SessionDone {}));
                } else {
                    self.refuse(detach.tag, unknown_handle());
                }
            }
            (Some(Asked::Wait(wait)), _) => {
                self.pace.took(true);
                self.last_tag = Some(wait.tag);
                let Some(attached) = self.handles.get(wait.handle) else {
                    return self.refuse(wait.tag, unknown_handle());
                };
                let (tag, found) = (wait.tag, attached.found());
                if let Err(failure) = self.waits.begin(&self.call, found, wait) {
                    self.refuse(tag, failure);
                }
            }
            (Some(Asked::Cancel(cancel)), _) => {
                self.pace.took(true);
                self.last_tag = Some(cancel.tag);
                match self.waits.cancel(cancel.wait_tag) {
                    Ok(()) => self.out.put_outcome(cancel.tag, Outcome::Done(SessionDone {})),
                    Err(failure) => self.refuse(cancel.tag, failure),
                }
            }
        }
    }

    fn start(&mut self, start: v1::SessionStart) {
        let capabilities = self.call.door.server.host.capabilities();
        if let Err(failure) = capability::require(capabilities, &start.required_capabilities) {
            return self.fail(&failure);
        }
        if let Some(wanted) = start.max_reply_bytes_in_flight {
            let most = self.limits.max_reply_bytes_in_flight;
            self.limits.max_reply_bytes_in_flight = wanted.clamp(1, most);
        }
        self.out.put(Word::Started(self.limits));
        self.stage = Stage::Open;
    }

    fn attach(
        &mut self,
        attach: v1::SessionAttach,
        now: Now,
    ) -> Result<v1::SessionAttached, Failure> {
        if !attach.read_only {
            self.call.door.access.require(Need::Write, "SessionAttach without read_only")?;
        }
        let uid = convert::target(&attach.memory_id, attach.uid.as_deref())?.uid;
        let target = Target { id: &attach.memory_id, uid };
        let (access, inbox) = (&self.call.door.access, &self.inbox);
        let attachment = || {
            let found = access.reach(target, now)?;
            if let Some(share) = found.share().filter(|_share| !attach.read_only) {
                share.permit(ShareAccess::ReadWrite)?;
            }
            let attachment = inbox.attach(found, attach.handle);
            // What goes from here on is told; what went just before was not.
            access.reach(target, now).map(|_same| attachment)
        };
        let attached = self.handles.attach(attach.handle, attachment, attach.read_only)?;
        let (uid, size_pages) = (attached.record().uid.to_string(), attached.told.get());
        Ok(v1::SessionAttached { uid, size_pages })
    }

    /// Makes one short read without waiting and without a group of its own; whether it could. If not,
    /// nothing was done, and a group says why.
    fn read_at_once(&mut self, asked: &v1::SessionGroup, turn: &mut Turn, now: Now) -> bool {
        let v1::SessionGroup { tag, handle, group: Some(Group::Single(single)), .. } = asked else {
            return false;
        };
        let (Some(Deed::Read(read)), None) = (&single.operation, &asked.request_id) else {
            return false;
        };
        let Some(attached) = self.handles.get(*handle).filter(|attached| attached.is_free()) else {
            return false;
        };
        // What goes by a share asks it for each.
        let Found::Own(record) = attached.found() else { return false };
        if read.length > SHORT_READ || record.has_expired(now) {
            return false;
        }
        // Not by the handle, which may be another memory's by now.
        if turn.as_ref().is_none_or(|reads| !Arc::ptr_eq(reads.record(), record)) {
            let next = Reads::begin(record);
            self.end_turn(turn);
            *turn = next;
        }
        let Some(reads) = turn else { return false };
        self.scratch.clear();
        if !reads.read(read.offset, read.length, &mut self.scratch) {
            return false;
        }
        self.out.put_single(*tag, Shape::Data(read.length), &self.scratch);
        self.call.door.access.tenant().rates.owe(0, read.length);
        true
    }

    /// Owes what a group accesses, beside its message; of one whose bytes are not known yet, those later.
    fn owe(&self, work: &Work) {
        self.call.door.access.tenant().rates.owe_group(|| work.accesses());
    }

    fn group(&mut self, asked: v1::SessionGroup, held: Option<InFlight>, now: Now) {
        let (tag, handle) = (asked.tag, asked.handle);
        let Some(attached) = self.handles.get(handle) else {
            return self.refuse(tag, unknown_handle());
        };
        let (found, read_only) = (attached.found().clone(), attached.read_only);
        let is_free = attached.is_free();
        let work = match found.has_expired(now) {
            true => Err(found.gone(now)),
            false => Work::new(&self.call, asked, found.clone(), read_only),
        };
        let mut work = match work {
            Ok(work) => work,
            // In its turn: those before it answer first.
            Err(failure) => {
                let failure = self.call.door.access.unless_gone(&found, failure, now);
                if is_free {
                    return self.refuse(tag, failure);
                }
                self.groups = self.groups.saturating_add(1);
                return self.handles.queue_failure(handle, tag, failure);
            }
        };
        self.owe(&work);
        let is_short = work.reply < SHORT as u64 || self.call.door.has_room_ahead();
        if is_free && is_short && self.at_once(&work) {
            return;
        }
        work.keep(&self.call.door, held);
        self.groups = self.groups.saturating_add(1);
        self.reply_bytes = self.reply_bytes.saturating_add(work.reply);
        self.handles.queue(handle, Box::new(work));
        self.begin(handle, now);
    }

    /// Tells what became of an attached memory.
    pub(super) fn noticed(&mut self, handle: u32, changed: Changed, now: Now) {
        let notice = match changed {
            Changed::Grown => match self.handles.grown(handle) {
                Some(size) => Notice::GrownToPages(size.get()),
                None => return,
            },
            Changed::Gone | Changed::Revoked => {
                let Some(found) = self.handles.gone(handle) else { return };
                let failure = match changed {
                    Changed::Gone => Failure::MemoryNotFound { memory_id: found.name().clone() },
                    _ => found.gone(now),
                };
                Notice::Detached(message(&self.call.refuse(&failure.into())))
            }
        };
        self.out.put(Word::Notice(SessionNotice { handle, notice: Some(notice) }));
    }

    /// Carries a group out without waiting; whether it could.
    fn at_once(&mut self, work: &Work) -> bool {
        let Kind::Whole { group, form, key: None } = &work.kind else { return false };
        self.scratch.clear();
        let access = &self.call.door.access;
        match access.execute_now(&work.found, group, &mut self.scratch) {
            None => return false,
            Some(Ok(())) => {
                self.pace.accessed(work.accesses());
                self.tally.merge(group.tally());
                group::put_whole(&mut self.out, work.tag, form, &self.scratch);
            }
            Some(Err(failure)) => self.refuse(work.tag, failure),
        }
        true
    }
}

fn protocol(why: &'static str) -> Failure {
    Failure::SessionProtocol { why }
}

fn unknown_handle() -> Failure {
    invalid("handle", "is not attached")
}

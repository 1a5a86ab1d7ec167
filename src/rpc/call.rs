//! [`Call`]: one call's identity, tenant and deadline; [`Served`]: that it is still being served.
//!
//! Law: every call has an id, in every log line and every failure; it is put into words only where
//! it is needed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::{Code, Status};

use crate::error::Failure;
use crate::rpc::admission::{Door, InFlight};
use crate::rpc::audit::{self, Audited, Subject};
use crate::rpc::connection::Connection;
use crate::rpc::method::Method;
use crate::rpc::observe::MethodMeters;
use crate::rpc::server::Server;
use crate::rpc::status::{Refusal, status};
use crate::rpc::task;
use crate::rpc::untaken::Departure;
use crate::tenancy::Occasion;

/// Which call of which connection of which run of the daemon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallId {
    boot: u32,
    connection: u64,
    number: u64,
}

impl CallId {
    pub(crate) fn new(server: &Server, connection: u64, number: u64) -> Self {
        let (boot, _, _, _) = server.boot_id.as_fields();
        Self { boot, connection, number }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}-{:x}", self.boot, self.connection, self.number)
    }
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) method: Method,
    pub(crate) door: Arc<Door>,
    pub(crate) occasion: Occasion,
    /// Where the audit log is told of it.
    pub(crate) audited: Option<Arc<Audited>>,
}

impl Call {
    /// Holds reply bytes.
    pub(crate) fn hold(&self, bytes: u64) -> Result<InFlight, Failure> {
        self.door.hold(bytes)
    }

    /// The status of a refusal of this call, logged.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> Status {
        tracing::debug!(
            call_id = %self.id, method = self.method.name(),
            tenant = %self.door.access.tenant().namespace.name, failure = %refusal.failure, "refused"
        );
        self.door.server.note_refused(&refusal.failure);
        audit::refused(self, &refusal.failure);
        status(refusal, &self.id.to_string())
    }

    /// Says whom the call is about, for the audit log.
    pub(crate) fn is_about(&self, say: impl FnOnce(&mut Subject)) {
        if let Some(audited) = &self.audited {
            audited.is_about(say);
        }
    }

    /// Says which memories it makes or ends together.
    pub(crate) fn is_about_all(&self, members: impl FnOnce() -> Vec<Subject>) {
        if let Some(audited) = &self.audited {
            audited.is_about_all(members());
        }
    }

    /// The status of a call whose handler panicked, counted and logged.
    pub(crate) fn broken(&self) -> Status {
        self.door.server.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(call_id = %self.id, method = self.method.name(), "a handler panicked");
        self.refuse(&Refusal::from(Failure::InternalFault))
    }

    /// What is counted of its method.
    pub(crate) fn meters(&self) -> Option<&MethodMeters> {
        self.door.server.meters.get(self.method.index())
    }
}

/// That a call is being served: from its headers until its last byte is handed over or it is
/// dropped.
pub(crate) struct Served {
    connection: Arc<Connection>,
    method: Method,
    started: Instant,
    /// Absent once counted.
    code: Option<Code>,
    /// What it came through, where it is a tenant's.
    door: Option<Arc<Door>>,
    /// It has a place among the tenant's running calls.
    runs: bool,
    /// It has one among operators' calls.
    operates: bool,
    /// It keeps its connection from being idle.
    counts: bool,
    /// It has a place among the streams of tonic's own crates.
    foreign: bool,
}

impl Served {
    pub(crate) fn begin(connection: &Arc<Connection>, method: Method, started: Instant) -> Self {
        if method.is_waited_for() {
            connection.server.running.fetch_add(1, Ordering::AcqRel);
        }
        let served = Self {
            connection: Arc::clone(connection),
            method,
            started,
            code: Some(Code::Cancelled),
            door: None,
            runs: false,
            operates: false,
            counts: false,
            foreign: false,
        };
        if let Some(meters) = served.meters() {
            meters.begun();
        }
        served
    }

    /// It is of somebody who may call: its connection is not idle. Said once.
    pub(crate) fn counts(&mut self) {
        self.counts = true;
        self.connection.call_begun();
    }

    /// It came through this door.
    pub(crate) fn is_by(&mut self, door: &Arc<Door>) {
        self.door = Some(Arc::clone(door));
    }

    /// Takes a place among the running calls of the tenant that it is by.
    ///
    /// # Errors
    /// OVERLOADED naming the limit.
    pub(crate) fn enter(&mut self) -> Result<(), Failure> {
        if let Some(door) = &self.door {
            door.access.tenant().handlers.take(1)?;
            self.runs = true;
        }
        Ok(())
    }

    /// Takes a place among the streams of tonic's own crates, which are of no tenant.
    ///
    /// # Errors
    /// OVERLOADED naming the limit.
    pub(crate) fn enter_foreign(&mut self) -> Result<(), Failure> {
        if let Some(room) = self.connection.server.foreign.room(self.method) {
            room.take(1)?;
            self.foreign = true;
        }
        Ok(())
    }

    /// Takes a place among operators' calls.
    ///
    /// # Errors
    /// OVERLOADED naming the limit.
    pub(crate) fn enter_operators(&mut self) -> Result<(), Failure> {
        self.connection.server.operators.take(1)?;
        self.operates = true;
        Ok(())
    }

    /// The call is parked: it is not among the tenant's running ones any more.
    pub(crate) fn leave(&mut self) {
        if let Some(door) = self.door.as_ref().filter(|_| std::mem::take(&mut self.runs)) {
            door.access.tenant().handlers.give_back(1);
        }
    }

    /// Whether a reply of so many bytes is charged until it is out.
    pub(crate) fn minds(&self, bytes: usize) -> bool {
        self.connection.untaken.minds(bytes)
    }

    /// The bytes of a reply, which keep what they are charged until they are out.
    pub(crate) fn charge(&self, bytes: Bytes, held: Option<InFlight>) -> (Bytes, Departure) {
        let length = bytes.len() as u64;
        let held = held.or_else(|| self.door.as_ref().map(|door| door.hold_anyway(length)));
        self.connection.untaken.charge(bytes, held, self.stall_timeout())
    }

    /// The same of a message of a stream that goes on.
    pub(crate) fn charge_of_stream(&self, bytes: Bytes) -> Bytes {
        let length = bytes.len() as u64;
        let held = self.door.as_ref().map(|door| door.hold_anyway(length));
        self.connection.untaken.charge_of_stream(bytes, held, self.stall_timeout()).0
    }

    /// How long the peer may take nothing.
    pub(crate) fn stall_timeout(&self) -> Duration {
        self.connection.server.limits.stall_timeout
    }

    /// The call ended so. Counted once.
    pub(crate) fn ended(&mut self, code: Code) {
        if self.code.take().is_some()
            && let Some(meters) = self.meters()
        {
            meters.ended(code, self.started);
        }
    }

    fn meters(&self) -> Option<&MethodMeters> {
        self.connection.server.meters.get(self.method.index())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.leave();
        if let Some(code) = self.code {
            self.ended(if task::is_stalled() { Code::ResourceExhausted } else { code });
        }
        let server = &self.connection.server;
        if self.operates {
            server.operators.give_back(1);
        }
        if let Some(room) = server.foreign.room(self.method).filter(|_| self.foreign) {
            room.give_back(1);
        }
        if self.method.is_waited_for() {
            self.connection.server.running.fetch_sub(1, Ordering::AcqRel);
        }
        if self.counts {
            self.connection.call_ended();
        }
    }
}

//! The handles of one gRPC method, and of what was refused for want of room.
//!
//! Law: what is pushed by a call costs it a look at a slot and an atomic add; a code that never
//! occurred has no series.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Histogram};

use crate::metrics::{
    CALLS_SHED_TOTAL, Metrics, RPC_DURATION_SECONDS, RPC_REQUESTS_TOTAL, STREAM_MESSAGES_TOTAL,
    STREAMS_OPEN, float,
};

/// gRPC's codes in order of number.
pub const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Metrics {
    /// The handles of one gRPC method.
    #[must_use]
    pub fn rpc(self: &Arc<Self>, method: &'static str) -> RpcMeters {
        RpcMeters {
            metrics: Arc::clone(self),
            method,
            codes: std::array::from_fn(|_| OnceLock::new()),
            duration: self.histogram(RPC_DURATION_SECONDS, &[("method", method)]),
            received: OnceLock::new(),
            sent: OnceLock::new(),
        }
    }

    /// Streaming calls of a method being served.
    pub fn set_streams_open(&self, method: &'static str, open: u64) {
        self.gauge(STREAMS_OPEN, &[("method", method)]).set(float(open));
    }

    /// Calls or connections refused for want of room.
    pub fn calls_shed(&self, limit_name: &'static str) -> Counter {
        self.counter(CALLS_SHED_TOTAL, &[("step", limit_name)])
    }
}

/// The handles of one gRPC method. Codes that never occurred have no series.
pub struct RpcMeters {
    metrics: Arc<Metrics>,
    method: &'static str,
    codes: [OnceLock<Counter>; CODES.len()],
    duration: Histogram,
    received: OnceLock<Counter>,
    sent: OnceLock<Counter>,
}

impl fmt::Debug for RpcMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcMeters").field("method", &self.method).finish_non_exhaustive()
    }
}

impl RpcMeters {
    /// A call was answered with this code.
    pub fn answered(&self, code: usize) {
        if let (Some(slot), Some(name)) = (self.codes.get(code), CODES.get(code)) {
            slot.get_or_init(|| {
                let labels = [("method", self.method), ("code", *name)];
                self.metrics.counter(RPC_REQUESTS_TOTAL, &labels)
            })
            .increment(1);
        }
    }

    /// A unary call took so long.
    pub fn took(&self, duration: Duration) {
        self.duration.record(duration);
    }

    /// A message of a stream came in.
    pub fn received(&self, messages: u64) {
        self.message(&self.received, "received", messages);
    }

    /// Messages of a stream went out.
    pub fn sent(&self, messages: u64) {
        self.message(&self.sent, "sent", messages);
    }

    fn message(&self, slot: &OnceLock<Counter>, direction: &str, messages: u64) {
        slot.get_or_init(|| {
            let labels = [("method", self.method), ("direction", direction)];
            self.metrics.counter(STREAM_MESSAGES_TOTAL, &labels)
        })
        .increment(messages);
    }
}

//! What is counted of calls: how many, how they ended, how long they took, how many run.
//!
//! Law: handles are kept, one set a method; a unary call is counted when it is answered, a stream
//! when it ends. Does not know what calls are about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tonic::Code;

use crate::metrics::{Metrics, RpcMeters};
use crate::rpc::method::{Kind, Method};

/// One method's counts.
#[derive(Debug)]
pub(crate) struct MethodMeters {
    method: Method,
    meters: RpcMeters,
    open: AtomicU64,
}

impl MethodMeters {
    pub(crate) fn new(method: Method, metrics: &Arc<Metrics>) -> Self {
        Self { method, meters: metrics.rpc(method.name()), open: AtomicU64::new(0) }
    }

    pub(crate) fn begun(&self) {
        if self.method.kind() == Kind::Stream {
            self.open.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn ended(&self, code: Code, started: Instant) {
        self.meters.answered(usize::try_from(i32::from(code)).unwrap_or(usize::MAX));
        match self.method.kind() {
            Kind::Stream => {
                self.open.fetch_sub(1, Ordering::Relaxed);
            }
            Kind::Unary if self.method.parks() => {}
            Kind::Unary => self.meters.took(started.elapsed()),
        }
    }

    pub(crate) fn received(&self) {
        self.meters.received(1);
    }

    pub(crate) fn received_many(&self, messages: u64) {
        self.meters.received(messages);
    }

    pub(crate) fn sent(&self) {
        self.meters.sent(1);
    }

    pub(crate) fn sent_many(&self, messages: u64) {
        self.meters.sent(messages);
    }

    pub(crate) fn observe(&self, metrics: &Metrics) {
        if self.method.kind() == Kind::Stream {
            metrics.set_streams_open(self.method.name(), self.open.load(Ordering::Relaxed));
        }
    }
}

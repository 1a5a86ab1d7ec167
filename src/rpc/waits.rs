//! WaitOnAddress and NotifyAddress: message in, [`Access`](crate::tenancy::Access), message out; and
//! [`Park`], a wait that goes on with a timer.
//!
//! Law: `memory_service.rs`'s. The timer is here, for the floors below know no clock. Of a wake and an
//! end that come together the wake wins: whoever notified has counted it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming as Body;
use tokio::time::Sleep;

use crate::error::Failure;
use crate::proto::v1::{self, WaitOutcome};
use crate::registry::{Expected, Gate, Parked, Waited};
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::deadline::timer;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{answer, plain};
use crate::rpc::reply::frame;
use crate::rpc::status::Refusal;

pub(crate) async fn wait(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::WaitOnAddressRequest>(call, body).await?.message;
    let v1::WaitOnAddressRequest { memory_id, uid, address, width, expected, timeout } = request;
    let (expected, timeout) = (wanted(width, expected)?, timeout.map(allowed).transpose()?);
    let target = convert::target(&memory_id, uid.as_deref())?;
    match call.door.access.wait(&call.occasion, target, address, expected).await? {
        Waited::NotEqual => Ok(Reply::Message(told(WaitOutcome::NotEqual), None)),
        Waited::Parked(parked) => {
            let gate = Arc::clone(&call.occasion.gate);
            Ok(Reply::Parked(Box::new(Park::new(parked, timeout, gate))))
        }
    }
}

pub(crate) async fn notify(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::NotifyAddressRequest>(call, body).await?.message;
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let count = request.count.unwrap_or(u32::MAX);
    let now = call.occasion.now;
    let woken_count = call.door.access.notify(target, request.address, count, now)?;
    answer(&v1::NotifyAddressResponse { woken_count })
}

/// The answer to a wait.
pub(crate) fn told(outcome: WaitOutcome) -> Bytes {
    frame(&v1::WaitOnAddressResponse { outcome: outcome.into() })
}

/// What a client expects to find.
///
/// # Errors
/// INVALID_FIELD.
pub(crate) fn wanted(width: u32, expected: u64) -> Result<Expected, Failure> {
    match width {
        4 => u32::try_from(expected).map(Expected::Bits32).map_err(|_too_large| {
            let why = format!("is {expected:#x}, which 4 bytes do not hold");
            Failure::InvalidField { field: "expected", why }
        }),
        8 => Ok(Expected::Bits64(expected)),
        _ => {
            let why = format!("is {width}; 4 or 8 bytes can be waited for");
            Err(Failure::InvalidField { field: "width", why })
        }
    }
}

/// How long a client would wait.
///
/// # Errors
/// INVALID_FIELD.
pub(crate) fn allowed(timeout: prost_types::Duration) -> Result<Duration, Failure> {
    convert::duration(&timeout).ok_or_else(|| {
        let why = "is negative; leave it out to wait without one".to_owned();
        Failure::InvalidField { field: "timeout", why }
    })
}

/// A wait until it is woken, its time is over, its gate closes or its memory ends. Dropped, it is over.
#[must_use = "nobody waits where it is dropped"]
pub(crate) struct Park {
    parked: Parked,
    /// Absent where it may wait for ever.
    timer: Option<Pin<Box<Sleep>>>,
    gate: Arc<Gate>,
}

impl Park {
    /// From now on for so long at most.
    pub(crate) fn new(parked: Parked, timeout: Option<Duration>, gate: Arc<Gate>) -> Self {
        // A time past the clock's end is none.
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { parked, timer: timer(end), gate }
    }
}

impl Future for Park {
    type Output = Result<WaitOutcome, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(told) = Pin::new(&mut this.parked).poll(context) {
            return Poll::Ready(told.map(|()| WaitOutcome::Ok));
        }
        let is_late =
            this.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready());
        let end = if this.gate.is_closed() {
            Err(Failure::DeadlinePassed)
        } else if is_late {
            Ok(WaitOutcome::TimedOut)
        } else {
            return Poll::Pending;
        };
        // It may have been told since the look above.
        Poll::Ready(match this.parked.give_up() {
            Some(told) => told.map(|()| WaitOutcome::Ok),
            None => end,
        })
    }
}

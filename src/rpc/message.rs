//! [`Messages`]: a request's messages, one at a time, as they come from the wire.
//!
//! ```text
//! | compressed? 1 | length 4, big-endian | message … |      any of it split over any DATA frames
//! ```
//!
//! Law: the five bytes of a header are judged (length against the RPC's limit, then the in-flight
//! budgets) before a byte of the message is kept; what was budgeted is given back when the
//! [`Incoming`] message is dropped. A message that came in one frame is not copied. Compressed
//! messages are refused. Does not decode.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use prost::Message;

use crate::error::Failure;
use crate::registry::Gate;
use crate::rpc::admission::{InFlight, InFlightBytes};

/// Bytes of a gRPC message's header.
pub(crate) const HEADER: usize = 5;

/// How large a message may be and what to say if it is larger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageLimit {
    /// At most so many bytes.
    pub(crate) bytes: u64,
    /// The limit's name.
    pub(crate) name: &'static str,
    /// What to use instead.
    pub(crate) instead: &'static str,
}

/// A request's messages.
pub(crate) struct Messages<B> {
    body: B,
    buffered: Bytes,
    limit: MessageLimit,
    in_flight: InFlightBytes,
}

/// One message and its part of the in-flight budgets.
#[derive(Debug)]
pub(crate) struct Incoming<M> {
    /// The message.
    pub(crate) message: M,
    /// Given back when dropped.
    pub(crate) held: InFlight,
}

impl<B: Body<Data = Bytes> + Unpin> Messages<B> {
    pub(crate) fn new(body: B, limit: MessageLimit, in_flight: InFlightBytes) -> Self {
        Self { body, buffered: Bytes::new(), limit, in_flight }
    }

    /// The next message; none at the request's end. Given up when the gate closes.
    ///
    /// # Errors
    /// TOO_LARGE, OVERLOADED, CAPABILITY_UNAVAILABLE (compressed), INVALID_FIELD (no such message),
    /// DEADLINE_PASSED. After one of these there is no next message.
    pub(crate) async fn next<M: Message + Default>(
        &mut self,
        gate: &Gate,
    ) -> Result<Option<Incoming<M>>, Failure> {
        while self.buffered.len() < HEADER {
            if !self.more(gate).await? {
                if self.buffered.is_empty() {
                    return Ok(None);
                }
                return Err(torn());
            }
        }
        let compressed = self.buffered.get_u8();
        let length = self.buffered.get_u32();
        let held = self.admit(compressed, length)?;
        let message = self.collect(length as usize, gate).await?;
        match M::decode(message) {
            Ok(message) => Ok(Some(Incoming { message, held })),
            Err(_malformed) => Err(Failure::InvalidField {
                field: "message",
                why: "is not the protobuf message that this RPC takes".to_owned(),
            }),
        }
    }

    /// The only message of the request.
    ///
    /// # Errors
    /// As [`Self::next`], and INVALID_FIELD where there is none or another.
    pub(crate) async fn only<M: Message + Default>(
        mut self,
        gate: &Gate,
    ) -> Result<Incoming<M>, Failure> {
        let one = self.next(gate).await?;
        let one = one.ok_or_else(|| Failure::InvalidField {
            field: "message",
            why: "is missing: this RPC takes exactly one".to_owned(),
        })?;
        if !self.buffered.is_empty() || (!self.body.is_end_stream() && self.more(gate).await?) {
            return Err(Failure::InvalidField {
                field: "message",
                why: "comes more than once: this RPC takes exactly one".to_owned(),
            });
        }
        Ok(one)
    }

    fn admit(&self, compressed: u8, length: u32) -> Result<InFlight, Failure> {
        if compressed != 0 {
            return Err(Failure::CapabilityUnavailable {
                field: "grpc-encoding",
                value: "compressed".to_owned(),
                why: "compressed messages are refused; send identity",
            });
        }
        let length = u64::from(length);
        if length > self.limit.bytes {
            return Err(Failure::TooLarge {
                field: "message",
                length,
                limit_name: self.limit.name,
                limit: self.limit.bytes,
                instead: self.limit.instead,
            });
        }
        self.in_flight.hold(length)
    }

    async fn collect(&mut self, length: usize, gate: &Gate) -> Result<Bytes, Failure> {
        if self.buffered.len() < length {
            let mut whole = BytesMut::with_capacity(length);
            loop {
                let here = self.buffered.len().min(length.saturating_sub(whole.len()));
                whole.extend_from_slice(&self.buffered.split_to(here));
                if whole.len() == length {
                    return Ok(whole.freeze());
                }
                if !self.more(gate).await? {
                    return Err(torn());
                }
            }
        }
        Ok(self.buffered.split_to(length))
    }

    /// Waits for more bytes; whether there were any. Only ever called when all that is buffered is
    /// less than is wanted, so joining is for headers and never for more than a few bytes.
    async fn more(&mut self, gate: &Gate) -> Result<bool, Failure> {
        loop {
            let frame = poll_fn(|context| self.poll_frame(gate, context)).await?;
            let Some(data) = frame else { return Ok(false) };
            if data.is_empty() {
                continue;
            }
            if self.buffered.is_empty() {
                self.buffered = data;
            } else {
                let mut joined =
                    BytesMut::with_capacity(self.buffered.len().saturating_add(data.len()));
                joined.extend_from_slice(&self.buffered);
                joined.extend_from_slice(&data);
                self.buffered = joined.freeze();
            }
            return Ok(true);
        }
    }

    fn poll_frame(
        &mut self,
        gate: &Gate,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Failure>> {
        if gate.is_closed() {
            return Poll::Ready(Err(Failure::DeadlinePassed));
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            // The stream was reset or the connection lost: nobody will see an answer.
            Poll::Ready(Some(Err(_lost))) => Poll::Ready(Err(torn())),
            // Trailers end a request as its end does.
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(frame.into_data().ok())),
        }
    }
}

fn torn() -> Failure {
    Failure::InvalidField {
        field: "message",
        why: "ends before the length in its header".to_owned(),
    }
}

//! [`Messages`]: a request's messages, one at a time, as they come from the wire.
//!
//! ```text
//! | compressed? 1 | length 4, big-endian | message … |      any of it split over any DATA frames
//! ```
//!
//! Law: the five bytes of a header are judged (length against the RPC's limit, then the in-flight
//! budgets) before a byte of the message is kept; what was budgeted is given back when the
//! [`Incoming`] message is dropped. The frames of a message are not copied: tenant bytes go from
//! them straight into the memory ([`Messages::next_with_data`]). Compressed messages are refused, and
//! those that drip for too long given up (`drip.rs`).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use prost::Message;

use crate::error::Failure;
use crate::registry::Gate;
use crate::rpc::admission::{Door, InFlight};
use crate::rpc::carrier::{Carrier, WithData, split};
use crate::rpc::drip::Drip;
use crate::rpc::gathered::Gathered;
use crate::rpc::misshapen::{MALFORMED, MISSING, REPEATED, TORN, wrong};
use crate::rpc::unfolding::{self, Parts};

/// Bytes of a gRPC message's header.
pub(crate) const HEADER: usize = 5;
/// A message that is read out of its frame as it lies there: what data it has is copied, which is less
/// than sharing the frame costs.
const SHORT: usize = 256;
/// From here on the data of a message that is decoded is left where it lies.
const SHARED: usize = 16 << 10;

/// How large a message may be and what to say if it is larger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageLimit {
    /// At most so many bytes.
    pub(crate) bytes: u64,
    /// The limit's name.
    pub(crate) name: &'static str,
    /// What to use instead.
    pub(crate) instead: &'static str,
    /// What can be many in it.
    pub(crate) parts: Parts,
}

/// A request's messages.
pub(crate) struct Messages<B> {
    body: B,
    buffered: Bytes,
    /// The header of the message that comes next, read but not admitted.
    header: Option<Header>,
    /// The message that is coming.
    collecting: Option<Collecting>,
    /// What is to come of the message being collected, until its connection is told.
    untold: Option<usize>,
    drip: Drip,
    limit: MessageLimit,
    door: Arc<Door>,
}

/// The five bytes before a message, which is not compressed and within its limit.
#[derive(Clone, Copy, Debug)]
struct Header {
    length: u32,
}

/// A message of which a part is here.
struct Collecting {
    gathered: Gathered,
    length: usize,
    held: InFlight,
}

/// How a message's part of the in-flight budgets is taken.
pub(crate) type Hold = fn(&Arc<Door>, u64) -> Result<InFlight, Failure>;

/// One message and its part of the in-flight budgets.
#[derive(Debug)]
pub(crate) struct Incoming<M> {
    /// The message.
    pub(crate) message: M,
    /// Given back when dropped.
    pub(crate) held: InFlight,
}

/// What [`Messages::poll_next`] says: a message and its part of the in-flight budgets, if it had one.
pub(crate) type Came<M> = Result<Option<(M, Option<InFlight>)>, Failure>;

impl<B: Body<Data = Bytes> + Unpin> Messages<B> {
    pub(crate) fn new(body: B, limit: MessageLimit, door: Arc<Door>) -> Self {
        let (buffered, header, collecting) = (Bytes::new(), None, None);
        let drip = Drip::new(door.server.limits.message_timeout);
        Self { body, buffered, header, collecting, untold: None, drip, limit, door }
    }

    /// Whether a part of a message is here, of which the rest is due.
    pub(crate) const fn is_coming(&self) -> bool {
        self.drip.is_running()
    }

    /// The next message; none at the request's end. Given up when the gate closes.
    ///
    /// # Errors
    /// TOO_LARGE, OVERLOADED, CAPABILITY_UNAVAILABLE (compressed), INVALID_FIELD (no such message),
    /// DEADLINE_PASSED, STALLED. After one of these there is no next message.
    pub(crate) async fn next<M: Message + Default>(
        &mut self,
        gate: &Gate,
    ) -> Result<Option<Incoming<M>>, Failure> {
        let Some((bytes, held)) = self.bytes(gate, Door::hold).await? else { return Ok(None) };
        self.unfold(bytes, held).map(Some)
    }

    /// [`Self::next`], for who does other things as well meanwhile; after OVERLOADED it may be asked for
    /// again. One that is there whole and short is held by nobody between its first byte and its last, so
    /// that it is in nobody's budget yet.
    pub(crate) fn poll_next<M: Message + Default>(
        &mut self,
        gate: &Gate,
        hold: Hold,
        context: &mut Context<'_>,
    ) -> Poll<Came<M>> {
        if self.collecting.is_none() {
            let Some(Header { length }) = ready!(self.poll_header(gate, context))? else {
                return Poll::Ready(Ok(None));
            };
            let length = length as usize;
            if let Some(message) = self.buffered.get(..length).filter(|_| length <= SHORT) {
                let message = M::decode(message).map_err(|_malformed| wrong(MALFORMED));
                self.header = None;
                self.drip.over();
                self.buffered.advance(length);
                return Poll::Ready(message.map(|message| Some((message, None))));
            }
        }
        let came = ready!(self.poll_bytes(gate, hold, context))?;
        let Some((bytes, held)) = came else { return Poll::Ready(Ok(None)) };
        // What waits is held by who has it wait.
        unfolding::unfolded(&bytes, self.limit.parts)?;
        Poll::Ready(decoded(bytes).map(|message| Some((message, Some(held)))))
    }

    /// The same for a message with tenant bytes, which are left in the frames that they came in.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(crate) async fn next_with_data<M: Carrier>(
        &mut self,
        gate: &Gate,
    ) -> Result<Option<Incoming<WithData<M>>>, Failure> {
        self.with_data(gate, Door::hold).await
    }

    /// The same for a message that comes before its turn, which must not be in others' way.
    ///
    /// # Errors
    /// As [`Self::next`]; after OVERLOADED the message is to be asked for in its turn.
    pub(crate) async fn ahead_with_data<M: Carrier>(
        &mut self,
        gate: &Gate,
    ) -> Result<Option<Incoming<WithData<M>>>, Failure> {
        self.with_data(gate, Door::hold_ahead).await
    }

    async fn with_data<M: Carrier>(
        &mut self,
        gate: &Gate,
        hold: Hold,
    ) -> Result<Option<Incoming<WithData<M>>>, Failure> {
        let Some((bytes, held)) = self.bytes(gate, hold).await? else { return Ok(None) };
        let message = split(bytes)?;
        Ok(Some(Incoming { message, held }))
    }

    async fn bytes(
        &mut self,
        gate: &Gate,
        hold: Hold,
    ) -> Result<Option<(Gathered, InFlight)>, Failure> {
        poll_fn(|context| self.poll_bytes(gate, hold, context)).await
    }

    /// The next message's bytes; what came of it is kept from one poll to the next.
    fn poll_bytes(
        &mut self,
        gate: &Gate,
        hold: Hold,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<(Gathered, InFlight)>, Failure>> {
        if self.collecting.is_none() {
            let Some(Header { length }) = ready!(self.poll_header(gate, context))? else {
                return Poll::Ready(Ok(None));
            };
            let held = hold(&self.door, length.into())?;
            self.header = None;
            let length = length as usize;
            if self.buffered.len() >= length {
                self.drip.over();
                let whole = Gathered::whole(self.buffered.split_to(length));
                return Poll::Ready(Ok(Some((whole, held))));
            }
            self.untold = Some(length);
            self.collecting = Some(Collecting { gathered: Gathered::default(), length, held });
        }
        ready!(self.poll_collected(gate, context))?;
        self.drip.over();
        Poll::Ready(Ok(self.collecting.take().map(|Collecting { mut gathered, held, .. }| {
            gathered.settle();
            (gathered, held)
        })))
    }

    fn poll_header(
        &mut self,
        gate: &Gate,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Header>, Failure>> {
        if self.header.is_none() {
            while self.buffered.len() < HEADER {
                if !ready!(self.poll_more(gate, context))? {
                    let ended = if self.buffered.is_empty() { Ok(None) } else { Err(wrong(TORN)) };
                    return Poll::Ready(ended);
                }
            }
            let (compressed, length) = (self.buffered.get_u8(), self.buffered.get_u32());
            self.header = Some(self.judged(compressed, length)?);
        }
        Poll::Ready(Ok(self.header))
    }

    /// The only message of the request.
    ///
    /// # Errors
    /// As [`Self::next`], and INVALID_FIELD where there is none or another.
    pub(crate) async fn only<M: Message + Default>(
        &mut self,
        gate: &Gate,
    ) -> Result<Incoming<M>, Failure> {
        self.drip.expect();
        let one = self.bytes(gate, Door::hold).await?;
        // It unfolds once nothing more is to be waited for.
        self.end(gate).await?;
        let (bytes, held) = one.ok_or_else(|| wrong(MISSING))?;
        self.unfold(bytes, held)
    }

    /// A message that has come, with what it unfolds to.
    fn unfold<M: Message + Default>(
        &self,
        bytes: Gathered,
        mut held: InFlight,
    ) -> Result<Incoming<M>, Failure> {
        held.take(unfolding::unfolded(&bytes, self.limit.parts)?)?;
        Ok(Incoming { message: decoded(bytes)?, held })
    }

    /// The same for a message with tenant bytes.
    ///
    /// # Errors
    /// As [`Self::only`].
    pub(crate) async fn only_with_data<M: Carrier>(
        &mut self,
        gate: &Gate,
    ) -> Result<Incoming<WithData<M>>, Failure> {
        self.drip.expect();
        let one = self.next_with_data(gate).await?;
        self.end(gate).await?;
        one.ok_or_else(|| wrong(MISSING))
    }

    /// That there is no further message.
    async fn end(&mut self, gate: &Gate) -> Result<(), Failure> {
        let more = !self.buffered.is_empty()
            || (!self.body.is_end_stream()
                && poll_fn(|context| self.poll_more(gate, context)).await?);
        if more {
            return Err(wrong(REPEATED));
        }
        Ok(())
    }

    fn judged(&self, compressed: u8, length: u32) -> Result<Header, Failure> {
        if compressed != 0 {
            return Err(Failure::CapabilityUnavailable {
                field: "grpc-encoding",
                value: "compressed".to_owned(),
                why: "compressed messages are refused; send identity".into(),
            });
        }
        if u64::from(length) > self.limit.bytes {
            return Err(Failure::TooLarge {
                field: "message",
                length: length.into(),
                limit_name: self.limit.name,
                limit: self.limit.bytes,
                instead: self.limit.instead,
            });
        }
        Ok(Header { length })
    }

    /// The message that is coming, whole.
    fn poll_collected(
        &mut self,
        gate: &Gate,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        while let Some(Collecting { gathered, length, .. }) = &mut self.collecting {
            let wanted = length.saturating_sub(gathered.len());
            gathered.push(self.buffered.split_to(wanted.min(self.buffered.len())));
            let rest = length.saturating_sub(gathered.len());
            if rest == 0 {
                self.untold = None;
                break;
            }
            if let Some(untold) = &mut self.untold {
                *untold = rest;
            }
            if !ready!(self.poll_more(gate, context))? {
                return Poll::Ready(Err(wrong(TORN)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// More bytes; whether there were any. Only ever called when all that is buffered is less than is
    /// wanted, so joining is for headers and never for more than a few bytes.
    fn poll_more(&mut self, gate: &Gate, context: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        loop {
            let Some(data) = ready!(self.poll_frame(gate, context))? else {
                return Poll::Ready(Ok(false));
            };
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
            return Poll::Ready(Ok(true));
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
            Poll::Pending => {
                if let Some(rest) = self.untold.take() {
                    self.door.rest.tell(rest);
                }
                let begun = match &self.collecting {
                    Some(Collecting { length, .. }) => Some(*length),
                    None => (!self.buffered.is_empty()).then_some(0),
                };
                self.drip.poll_late(begun, context).map(Err)
            }
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            // The stream was reset or the connection lost: nobody will see an answer.
            Poll::Ready(Some(Err(_lost))) => Poll::Ready(Err(wrong(TORN))),
            // Trailers end a request as its end does.
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(frame.into_data().ok())),
        }
    }
}

fn decoded<M: Message + Default>(bytes: Gathered) -> Result<M, Failure> {
    // Columns of numbers are read much faster from one piece. What is kept of a small message is not to keep
    // all that was read with it.
    let message = match bytes.into_whole() {
        Ok(whole) if whole.len() < SHARED => M::decode(whole.as_ref()),
        Ok(whole) => M::decode(whole),
        Err(frames) => M::decode(frames),
    };
    message.map_err(|_malformed| wrong(MALFORMED))
}

//! [`ReplyBody`]: what goes back on the wire, and how a message gets there with one copy.
//!
//! ```text
//! one message   | header 5 | protobuf tag and length | bytes copied out of the memory | + trailers
//! ```
//!
//! Law: a bytes field is announced first ([`framed`]) and then copied straight behind its
//! announcement; nothing is encoded twice. Whatever a reply holds (its call, its bytes in flight) is
//! given back when the body is dropped, sent or not; but for large messages' bytes in flight, which
//! are out only when they are out (`untaken.rs`). What the peer does not take ends its call.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;

use crate::rpc::admission::InFlight;
use crate::rpc::call::Served;
use crate::rpc::message::HEADER;
use crate::rpc::task;
use crate::rpc::untaken::{Departure, SHORT, patience};

/// A message from here on is out before its trailers follow, at the price of a write of their own.
const LONG: usize = 64 << 10;

/// What goes back.
pub(crate) struct ReplyBody {
    content: Content,
    /// The call, until its last byte is handed over or the client has gone.
    served: Option<Served>,
    _held: Option<InFlight>,
}

enum Content {
    Unary(Option<Bytes>, Option<Departure>),
    /// Once a long message is out: until then its deadline can still end it.
    Trailers(Option<Departure>),
    Stream(Pin<Box<dyn ReplyStream>>),
    Tonic(tonic::body::Body),
    End,
}

/// A reply of many messages.
pub(crate) trait ReplyStream: Send {
    /// The next message, framed; or the status that ends it.
    fn poll_message(self: Pin<&mut Self>, context: &mut Context<'_>)
    -> Poll<Result<Bytes, Status>>;

    /// Whether it has its large messages charged itself.
    fn charges(&self) -> bool {
        false
    }
}

impl<S: ReplyStream + Unpin> ReplyStream for Box<S> {
    fn poll_message(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Status>> {
        Pin::new(&mut **self).poll_message(context)
    }

    fn charges(&self) -> bool {
        (**self).charges()
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyBody").finish_non_exhaustive()
    }
}

/// One message and OK.
pub(crate) fn message(
    mut frame: Bytes,
    mut held: Option<InFlight>,
    served: Served,
) -> Response<ReplyBody> {
    let mut departure = None;
    if served.minds(frame.len()) {
        let departs;
        (frame, departs) = served.charge(frame, held.take());
        departure = Some(departs).filter(|_| frame.len() >= LONG);
    }
    let content = Content::Unary(Some(frame), departure);
    respond(ReplyBody { content, served: Some(served), _held: held })
}

/// Messages as they come, and the status that ends them.
pub(crate) fn stream(messages: impl ReplyStream + 'static, served: Served) -> Response<ReplyBody> {
    respond(ReplyBody {
        content: Content::Stream(Box::pin(messages)),
        served: Some(served),
        _held: None,
    })
}

/// A failure and nothing else.
pub(crate) fn refusal(status: &Status, served: Option<Served>) -> Response<ReplyBody> {
    let body = ReplyBody { content: Content::End, served, _held: None };
    let mut response = respond(body);
    put_status(status, response.headers_mut());
    // So that a client that compresses learns what is accepted.
    response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
    response
}

/// Nothing at all.
pub(crate) fn empty() -> Response<ReplyBody> {
    Response::new(ReplyBody { content: Content::End, served: None, _held: None })
}

/// What a service of tonic's own crates answered.
pub(crate) fn of_tonic(
    response: Response<tonic::body::Body>,
    served: Served,
) -> Response<ReplyBody> {
    response.map(|body| ReplyBody {
        content: Content::Tonic(body),
        served: Some(served),
        _held: None,
    })
}

fn respond(body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn put_status(status: &Status, headers: &mut HeaderMap) {
    if status.add_header(headers).is_err() {
        // Only where a message does not fit a header value even escaped: the code alone then.
        headers.insert("grpc-status", HeaderValue::from(i32::from(status.code())));
    }
}

/// The message in one buffer, header first.
pub(crate) fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = Vec::with_capacity(HEADER.saturating_add(length));
    put_header(&mut out, length);
    // Fails only for want of room, of which a Vec makes more.
    let _cannot_fail = message.encode(&mut out);
    Bytes::from(out)
}

/// The header and the first fields of a message that ends with a bytes field of number `field` and
/// `length` bytes, with room for exactly those. What comes before it is `before`, encoded.
pub(crate) fn framed(before: &[u8], field: u32, length: usize, after: usize) -> Vec<u8> {
    let announced = if length == 0 {
        0
    } else {
        key_len(field).saturating_add(encoded_len_varint(length as u64)).saturating_add(length)
    };
    let whole = before.len().saturating_add(announced).saturating_add(after);
    let mut out = Vec::with_capacity(HEADER.saturating_add(whole));
    put_header(&mut out, whole);
    out.extend_from_slice(before);
    if length > 0 {
        encode_key(field, WireType::LengthDelimited, &mut out);
        encode_varint(length as u64, &mut out);
    }
    out
}

pub(crate) fn put_header(out: &mut Vec<u8>, length: usize) {
    out.push(0);
    // Every limit on messages is far below 4 GiB.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

impl ReplyBody {
    /// What was handed over is to be taken within the limit.
    fn handed_over(&self, bytes: usize) {
        if let Some(served) = &self.served {
            task::handed_over(patience(served.stall_timeout(), bytes));
        }
    }

    /// A message of a stream, charged until it is out where it is to be and whoever made it has not seen to
    /// that.
    fn charged(&self, message: Bytes, charges: bool) -> Bytes {
        match &self.served {
            Some(served) if served.minds(message.len()) && !(charges && message.len() >= SHORT) => {
                served.charge_of_stream(message)
            }
            _ => message,
        }
    }

    fn end(&mut self, status: &Status) -> HeaderMap {
        self.content = Content::End;
        if let Some(served) = &mut self.served {
            served.ended(status.code());
        }
        let mut trailers = HeaderMap::new();
        put_status(status, &mut trailers);
        trailers
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.content {
            Content::Unary(frame, departure) => {
                let (frame, departure) = (frame.take(), departure.take());
                self.content = Content::Trailers(departure);
                self.handed_over(frame.as_ref().map_or(0, Bytes::len));
                Poll::Ready(frame.map(|frame| Ok(Frame::data(frame))))
            }
            Content::Trailers(departure) => {
                task::taken();
                if let Some(departure) = departure {
                    std::task::ready!(Pin::new(departure).poll(context));
                }
                self.content = Content::End;
                Poll::Ready(Some(Ok(Frame::trailers(ok_trailers()))))
            }
            Content::Stream(messages) => {
                task::taken();
                let message = std::task::ready!(messages.as_mut().poll_message(context));
                let charges = messages.charges();
                Poll::Ready(Some(Ok(match message {
                    Ok(message) => {
                        self.handed_over(message.len());
                        Frame::data(self.charged(message, charges))
                    }
                    Err(status) => Frame::trailers(self.end(&status)),
                })))
            }
            Content::Tonic(body) => {
                task::taken();
                match std::task::ready!(Pin::new(body).poll_frame(context)) {
                    Some(Ok(frame)) => {
                        self.handed_over(frame.data_ref().map_or(0, Bytes::len));
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => Poll::Ready(None),
                    Some(Err(status)) => Poll::Ready(Some(Ok(Frame::trailers(self.end(&status))))),
                }
            }
            Content::End => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::End => true,
            Content::Tonic(body) => body.is_end_stream(),
            Content::Unary(..) | Content::Trailers(_) | Content::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// A reply of many messages, made by one future after the other.
pub(crate) struct Unfold<S, F, N> {
    next: N,
    state: Option<S>,
    running: Option<Pin<Box<F>>>,
}

impl<S, F, N> Unfold<S, F, N> {
    /// `next` takes the state and gives back the state and a message, or the status of the end.
    pub(crate) fn new(state: S, next: N) -> Self {
        Self { next, state: Some(state), running: None }
    }
}

impl<S, F, N> Unpin for Unfold<S, F, N> {}

impl<S, F, N> ReplyStream for Unfold<S, F, N>
where
    S: Send,
    F: Future<Output = Result<(S, Bytes), Status>> + Send,
    N: FnMut(S) -> F + Send,
{
    // Only downloads are made so.
    fn charges(&self) -> bool {
        true
    }

    fn poll_message(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Status>> {
        if let Some(state) = self.state.take() {
            let running = (self.next)(state);
            self.running = Some(Box::pin(running));
        }
        let Some(running) = &mut self.running else { return Poll::Pending };
        let outcome = std::task::ready!(running.as_mut().poll(context));
        self.running = None;
        Poll::Ready(outcome.map(|(state, message)| {
            self.state = Some(state);
            message
        }))
    }
}

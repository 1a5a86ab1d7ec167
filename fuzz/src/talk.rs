//! [`Talk`]: a call whose client says some of it, hears what there is to hear, and says more.
//!
//! ```text
//! begin ── say ── hear ── other calls ── say ── … ── the last word ── it is over, or called off
//! ```
//!
//! Law: what came is kept in order, whenever it was listened to; who says more to a call that is over is
//! not heard and fails at nothing. A talk that is dropped is called off, as its client would by going.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use tonic::Status;

/// Turns of this thread's tasks after which a call that still says nothing is parked: what it waits for
/// would have to come from somewhere else.
const IDLE: usize = 32;

/// How a call ended for its client.
type Ended = Result<(), h2::Error>;

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) http: u16,
    /// All DATA, in order.
    pub(crate) body: Vec<u8>,
    /// None where HTTP says that it is no gRPC.
    pub(crate) status: Option<Status>,
    /// Whether it was called off when it waited for others.
    pub(crate) parked: bool,
}

/// A call that goes on.
pub(crate) struct Talk {
    body: SendStream<Bytes>,
    /// Whether its client has said its last word.
    is_said: bool,
    coming: Pin<Box<dyn Future<Output = Ended>>>,
    /// What came, as of a call that is parked until it is over.
    heard: Rc<RefCell<Answer>>,
    is_over: bool,
}

impl Talk {
    /// A call with this head; one that `says_nothing` has no body.
    pub(crate) async fn begin(
        client: SendRequest<Bytes>,
        request: Request<()>,
        says_nothing: bool,
    ) -> Result<Self, h2::Error> {
        let mut client = client.ready().await?;
        let (response, body) = client.send_request(request, says_nothing)?;
        let answer = Answer { http: 0, body: Vec::new(), status: None, parked: true };
        let heard = Rc::new(RefCell::new(answer));
        let coming = Box::pin(collect(response, Rc::clone(&heard)));
        Ok(Self { body, is_said: says_nothing, coming, heard, is_over: false })
    }

    /// Says more, or the last of it; whether that was sent.
    pub(crate) fn say(&mut self, piece: Bytes, is_last: bool) -> bool {
        // Who refuses early does not wait for the rest.
        let is_sent = !self.is_said && self.body.send_data(piece, is_last).is_ok();
        self.is_said |= is_last || !is_sent;
        is_sent
    }

    /// Its client has nothing more to say.
    pub(crate) fn finish(&mut self) {
        self.say(Bytes::new(), true);
    }

    /// What has come so far.
    pub(crate) fn heard(&self) -> Answer {
        self.heard.borrow().clone()
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Listens until it is over.
    pub(crate) async fn until_over(&mut self) -> Ended {
        if !self.is_over {
            (&mut self.coming).await?;
            self.is_over = true;
        }
        Ok(())
    }

    /// Listens until it is over or nothing on this thread goes on.
    pub(crate) async fn until_idle(&mut self) -> Ended {
        let (mut turn, mut length) = (0, self.length());
        while !self.is_over && turn < IDLE {
            let coming = &mut self.coming;
            let now = poll_fn(|context| Poll::Ready(coming.as_mut().poll(context))).await;
            if let Poll::Ready(ended) = now {
                self.is_over = true;
                return ended;
            }
            turn = if self.length() > length { 0 } else { turn + 1 };
            length = self.length();
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Grows with whatever comes.
    fn length(&self) -> usize {
        let heard = self.heard.borrow();
        usize::from(heard.http) + heard.body.len()
    }
}

/// A call that says all at once, and what comes of it; one that `may_park` is called off when it waits
/// for others.
pub(crate) async fn exchange(
    client: SendRequest<Bytes>,
    request: Request<()>,
    pieces: Vec<Bytes>,
    may_park: bool,
) -> Result<Answer, h2::Error> {
    let mut talk = Talk::begin(client, request, pieces.is_empty()).await?;
    let count = pieces.len();
    for (number, piece) in pieces.into_iter().enumerate() {
        if !talk.say(piece, number + 1 == count) {
            break;
        }
    }
    if may_park {
        talk.until_idle().await?
    } else {
        talk.until_over().await?
    }
    Ok(talk.heard())
}

async fn collect(response: ResponseFuture, heard: Rc<RefCell<Answer>>) -> Ended {
    let (head, mut stream) = response.await?.into_parts();
    heard.borrow_mut().http = head.status.as_u16();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        heard.borrow_mut().body.extend_from_slice(&data);
    }
    let trailers: Option<HeaderMap> = stream.trailers().await?;
    let mut heard = heard.borrow_mut();
    heard.parked = false;
    heard.status = match &trailers {
        Some(trailers) => Status::from_header_map(trailers),
        None => Status::from_header_map(&head.headers),
    };
    Ok(())
}

//! The load of sessions: single reads in a window, each its own message and tag, and every byte of
//! their answers compared.
//!
//! Owns: a client of OpenSession that does nothing but that. Law: requests and the answers that must
//! come are encoded before the clock starts, so that the client costs next to nothing beside the server;
//! answers of one handle come in order, so the stream must be those bytes and no others. Does not: know
//! whose server it is.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::client::{self, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Method, Request, Version};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;
use crate::check::frame;
use crate::groups::{offset, session_answer, session_read, session_start};
use crate::shape::{FRAME_BYTES, Operation, READ_BYTES, WINDOW, pattern};

/// Tags of two bytes each, so that all requests have one length, and all answers.
const FIRST_TAG: u64 = 128;
const RECEIVE_WINDOW: u32 = (1 << 31) - 1;

/// So many messages again and again, encoded.
struct Ring {
    /// Twice over, so that any run of them is one piece.
    bytes: Bytes,
    each: usize,
}

impl Ring {
    fn new(message: impl Fn(usize) -> Result<Vec<u8>, Failure>) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        let each = message(0)?.len();
        for number in (0..WINDOW).chain(0..WINDOW) {
            let message = message(number)?;
            if message.len() != each {
                return Err("messages of a ring are of different lengths".into());
            }
            bytes.extend_from_slice(&message);
        }
        Ok(Self { bytes: bytes.into(), each })
    }

    /// So many of them, from that one on.
    fn some(&self, from: usize, count: usize) -> Bytes {
        let from = from % WINDOW;
        self.bytes.slice(from * self.each..(from + count) * self.each)
    }
}

/// Makes so many reads in all; answers reads a second.
pub(crate) async fn run(url: &str, reads: u64) -> Result<f64, Failure> {
    let (connections, _) = Operation::Session.concurrency();
    let address = url.strip_prefix("http://").ok_or("no http:// URL")?;
    let mut sessions = JoinSet::new();
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Session::open(address).await?);
    }
    let reads = usize::try_from(reads / connections)?;
    let began = Instant::now();
    for session in open {
        sessions.spawn_local(session.read(reads));
    }
    while let Some(ended) = sessions.join_next().await {
        ended??;
    }
    Ok((reads as u64 * connections) as f64 / began.elapsed().as_secs_f64())
}

struct Session {
    /// Keeps the connection.
    _requests: SendRequest<Bytes>,
    out: SendStream<Bytes>,
    answers: RecvStream,
    requests: Ring,
    expected: Ring,
}

impl Session {
    async fn open(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = client::Builder::new()
            .initial_window_size(RECEIVE_WINDOW)
            .initial_connection_window_size(RECEIVE_WINDOW)
            .max_frame_size(FRAME_BYTES)
            .handshake(stream)
            .await?;
        tokio::task::spawn_local(async move {
            // Its end is seen by the session.
            let _ended = connection.await;
        });
        let mut requests = requests.ready().await?;
        let request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("http://{address}{}", Operation::Session.path()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let (response, mut out) = requests.send_request(request, false)?;
        let mut first = Vec::new();
        for message in session_start() {
            frame(&message, &mut first)?;
        }
        out.send_data(first.into(), false)?;
        let mut answers = response.await?.into_body();
        // Started, and attached: of which the lengths are each server's own.
        let mut begun = BytesMut::new();
        while messages(&begun) < 2 {
            begun.extend_from_slice(&next(&mut answers).await?);
        }
        let read = |number| framed(&session_read(FIRST_TAG + number as u64, number));
        let answer = |number| {
            let data = pattern(offset(number), READ_BYTES).into();
            framed(&session_answer(FIRST_TAG + number as u64, data))
        };
        let (reads, expected) = (Ring::new(read)?, Ring::new(answer)?);
        Ok(Self { _requests: requests, out, answers, requests: reads, expected })
    }

    async fn read(mut self, reads: usize) -> Result<(), Failure> {
        let (mut sent, mut came) = (0, 0);
        let each = self.expected.each;
        while came < reads * each {
            let room = (WINDOW - (sent - came / each)).min(reads - sent);
            if room > 0 {
                self.out.send_data(self.requests.some(sent, room), false)?;
                sent += room;
            }
            let data = next(&mut self.answers).await?;
            let mut rest = &data[..];
            while !rest.is_empty() {
                let from = came % (WINDOW * each);
                let length = rest.len().min(WINDOW * each);
                let (now, later) = rest.split_at(length);
                if self.expected.bytes[from..].get(..length) != Some(now) {
                    return Err(format!("other bytes after {} answers", came / each).into());
                }
                came += length;
                rest = later;
            }
        }
        self.out.send_data(Bytes::new(), true)?;
        if self.answers.data().await.is_some() {
            return Err("more than was asked for".into());
        }
        let trailers = self.answers.trailers().await?.ok_or("no trailers")?;
        match trailers.get("grpc-status").map(|status| status.as_bytes()) {
            Some(b"0") => Ok(()),
            _ => Err(format!("the session ended with {trailers:?}").into()),
        }
    }
}

async fn next(answers: &mut RecvStream) -> Result<Bytes, Failure> {
    let Some(data) = answers.data().await else {
        return Err(format!("the session ended: {:?}", answers.trailers().await).into());
    };
    let data = data?;
    answers.flow_control().release_capacity(data.len())?;
    Ok(data)
}

fn framed(message: &impl prost::Message) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    frame(message, &mut bytes)?;
    Ok(bytes)
}

/// How many whole messages there are.
fn messages(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(([_, length @ ..], rest)) = bytes.split_first_chunk::<5>() {
        let Some(after) = rest.get(u32::from_be_bytes(*length) as usize..) else { break };
        bytes = after;
        count += 1;
    }
    count
}

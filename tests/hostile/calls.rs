//! Calls whose frames are right and whose messages are anything, and the judgement of their answers.
//!
//! Owns: [`Caller`], one connection. Law: an answer is OK, or a failure that bears our ErrorInfo, or the
//! plain DEADLINE_EXCEEDED of a call that had begun; INTERNAL is never right, nor is no status at all.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request};
use linmemd::client::ClientError;
use linmemd::client::proto::{CreateMemoryRequest, MemorySpec};
use prost::Message;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::attacker::Tally;
use crate::wire::{message, socket};

/// Whatever parks or watches ends then.
const DEADLINE: &str = "150m";
/// No answer comes later on any machine that is alive.
const BOUND: Duration = Duration::from_secs(20);

/// The memory that calls are about, unless they say otherwise.
pub(crate) const MEMORY: &str = "m";

pub(crate) struct Caller {
    target: SocketAddr,
    send: SendRequest<Bytes>,
}

/// What became of a call.
pub(crate) enum Outcome {
    Answered,
    Refused,
    Reset,
    Lost,
    Bad(String),
}

impl Caller {
    pub(crate) async fn connect(target: SocketAddr) -> Option<Self> {
        let socket = socket().ok()?;
        let stream: TcpStream = socket.connect(target).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (send, connection) = h2::client::handshake(stream).await.ok()?;
        tokio::spawn(async move {
            // Its end is seen by the calls.
            let _ended = connection.await;
        });
        Some(Self { target, send })
    }

    /// A call with this body, which may be no message at all.
    pub(crate) async fn call(&self, path: &str, body: Vec<u8>) -> Outcome {
        match timeout(BOUND, self.answer(path, body)).await {
            Ok(outcome) => outcome,
            Err(_late) => Outcome::Bad("no answer".to_owned()),
        }
    }

    async fn answer(&self, path: &str, body: Vec<u8>) -> Outcome {
        let request = Request::post(format!("http://localhost{path}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", DEADLINE)
            .body(())
            .expect("a request");
        let Ok(mut send) = self.send.clone().ready().await else { return Outcome::Lost };
        let Ok((response, mut stream)) = send.send_request(request, false) else {
            return Outcome::Lost;
        };
        // A call that is refused from its header is not there for the rest.
        let _refused = stream.send_data(body.into(), true);
        let response = match response.await {
            Ok(response) => response,
            Err(error) => return lost(&error),
        };
        let (head, mut stream) = response.into_parts();
        loop {
            match stream.data().await {
                Some(Ok(data)) => {
                    let _ended = stream.flow_control().release_capacity(data.len());
                }
                Some(Err(error)) => return lost(&error),
                None => break,
            }
        }
        judged(status(&mut stream, &head.headers).await)
    }

    /// Makes the memory anew, which some input may have ended or grown.
    pub(crate) async fn tend(&self) {
        let spec = MemorySpec { initial_pages: 2, maximum_pages: Some(4), ..Default::default() };
        let create = CreateMemoryRequest {
            memory_id: Some(MEMORY.to_owned()),
            spec: Some(spec),
            ..Default::default()
        };
        let body = message(&create.encode_to_vec());
        // It is there already, nearly always.
        let _there = self.call("/linmem.v1.MemoryService/CreateMemory", body).await;
    }

    /// Adds a call to the tally; a caller that can go on, where this one cannot.
    pub(crate) async fn counted(
        &self,
        path: &str,
        body: Vec<u8>,
        number: u64,
        tally: &mut Tally,
    ) -> Option<Self> {
        tally.inputs += 1;
        match self.call(path, body).await {
            Outcome::Answered => tally.answered += 1,
            Outcome::Refused => tally.refused += 1,
            Outcome::Reset => tally.reset += 1,
            Outcome::Lost => {
                tally.ended += 1;
                return Self::connect(self.target).await;
            }
            Outcome::Bad(why) => tally.bad.push(format!("number {number} {path}: {why}")),
        }
        None
    }
}

async fn status(stream: &mut RecvStream, headers: &HeaderMap) -> Result<Option<Status>, h2::Error> {
    Ok(match stream.trailers().await? {
        Some(trailers) => Status::from_header_map(&trailers),
        None => Status::from_header_map(headers),
    })
}

fn lost(error: &h2::Error) -> Outcome {
    match error.reason() {
        // The peer's own fault, which some inputs are; or the end of a stream past its deadline.
        Some(Reason::INTERNAL_ERROR) | None if error.is_reset() => Outcome::Bad(format!("{error}")),
        _ if error.is_reset() => Outcome::Reset,
        _ => Outcome::Lost,
    }
}

fn judged(status: Result<Option<Status>, h2::Error>) -> Outcome {
    let status = match status {
        Ok(Some(status)) => status,
        Ok(None) => return Outcome::Bad("no status".to_owned()),
        Err(error) => return lost(&error),
    };
    match (status.code(), ClientError::from(status.clone())) {
        (Code::Ok, _) => Outcome::Answered,
        (Code::Internal | Code::Unknown, _) => Outcome::Bad(format!("{status:?}")),
        (_, ClientError::Refused(_)) => Outcome::Refused,
        (Code::DeadlineExceeded, _) => Outcome::Refused,
        _ => Outcome::Bad(format!("{status:?}")),
    }
}

//! Owns [`Wire`]: gRPC spoken by hand over HTTP/2, for requests that no generated client makes.
//!
//! Law: sends exactly the headers and DATA that it is given, and gives back what came, status and
//! all. Judges nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use linmemd::client::ClientError;
use linmemd::client::proto::GetServerInfoRequest;
use prost::Message;
use tokio::net::TcpStream;
use tonic::Status;

use crate::harness::{eventually, within};

/// One HTTP/2 connection.
pub(crate) struct Wire {
    send: SendRequest<Bytes>,
    /// Ends when the connection does, by whomever.
    pub(crate) connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) status: Option<Status>,
}

/// A call that is under way.
pub(crate) struct Started {
    pub(crate) response: ResponseFuture,
    pub(crate) body: SendStream<Bytes>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with(address, h2::client::Builder::new()).await
    }

    pub(crate) async fn with(address: SocketAddr, builder: h2::client::Builder) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (send, connection) = builder.handshake(stream).await.unwrap();
        Self { send, connection: tokio::spawn(connection) }
    }

    /// Begins a call of a MemoryService method.
    pub(crate) async fn begin(&self, method: &str, headers: &[(&str, &str)]) -> Started {
        self.begin_path(&format!("/linmem.v1.MemoryService/{method}"), headers).await
    }

    pub(crate) async fn begin_path(&self, path: &str, headers: &[(&str, &str)]) -> Started {
        let mut request = Request::post(format!("http://localhost{path}")).header("te", "trailers");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut send = within("a stream is free", self.send.clone().ready()).await.unwrap();
        let (response, body) = send.send_request(request.body(()).unwrap(), false).unwrap();
        Started { response, body }
    }

    /// A whole call whose request body is these bytes.
    pub(crate) async fn call(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut started = self.begin(method, headers).await;
        started.body.send_data(body.into(), true).unwrap();
        started.answer().await
    }

    /// Waits until so much time has gone and the connection's thread has seen to what fell due in it:
    /// on a busy machine the one does not say the other.
    pub(crate) async fn let_pass(&self, time: Duration) {
        let begin = Instant::now();
        eventually("time passes", async || begin.elapsed() > time).await;
        self.call("GetServerInfo", &[], framed(&GetServerInfoRequest {})).await.outcome().unwrap();
    }

    /// Streams that the server allows.
    pub(crate) fn max_streams(&self) -> usize {
        self.send.current_max_send_streams()
    }
}

impl Started {
    pub(crate) async fn answer(self) -> Answer {
        within("an answer is whole", self.whole()).await
    }

    /// The answer, or none where the connection is told to go before there is one.
    pub(crate) async fn answer_or_lost(mut self) -> Option<Answer> {
        let _lost = self.body.send_data(Bytes::new(), true);
        match within("an answer comes", self.response).await {
            Ok(response) => Some(read(response).await),
            Err(_lost) => None,
        }
    }

    async fn whole(self) -> Answer {
        let Self { response, body: _open } = self;
        read(response.await.unwrap()).await
    }
}

async fn read(response: http::Response<RecvStream>) -> Answer {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    let status = match trailers(&mut stream).await {
        Some(trailers) => Status::from_header_map(&trailers),
        None => Status::from_header_map(&head.headers),
    };
    Answer { http: head.status.as_u16(), body, status }
}

async fn trailers(stream: &mut RecvStream) -> Option<HeaderMap> {
    stream.trailers().await.unwrap()
}

impl Answer {
    /// The outcome as a client of ours would see it.
    pub(crate) fn outcome(self) -> Result<Vec<u8>, ClientError> {
        match self.status {
            Some(status) if status.code() == tonic::Code::Ok => Ok(self.body),
            Some(status) => Err(status.into()),
            None => panic!("no status in {self:?}"),
        }
    }
}

/// A message with its header.
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    prefixed(0, &message.encode_to_vec())
}

/// Bytes with a message's header.
pub(crate) fn prefixed(compressed: u8, bytes: &[u8]) -> Vec<u8> {
    [&header(compressed, u32::try_from(bytes.len()).unwrap()), bytes].concat()
}

/// The five bytes before a message.
pub(crate) fn header(compressed: u8, length: u32) -> [u8; 5] {
    let [a, b, c, d] = length.to_be_bytes();
    [compressed, a, b, c, d]
}

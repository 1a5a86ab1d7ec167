//! Owns [`Frames`]: HTTP/2 frames by hand over TCP, for peers that no library would be.
//!
//! Law: writes exactly what it is told. Knows frame headers and nothing of what is in them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::within;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 1;
/// Of HEADERS and DATA.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
}

/// A connection on which nothing happens by itself.
pub(crate) struct Frames {
    pub(crate) stream: TcpStream,
}

impl Frames {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Connects and says the preface and empty settings, to whoever listens still.
    pub(crate) async fn greet(address: SocketAddr) -> Self {
        let mut frames = Self::connect(address).await;
        let greeting = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        // A connection that is not wanted may be closed already; reading tells.
        let _closed = frames.write(&greeting).await;
        frames
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next frame; none at the connection's end, however it comes.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        within("a frame comes or the connection ends", async {
            let mut header = [0; 9];
            self.stream.read_exact(&mut header).await.ok()?;
            let [a, b, c, kind, flags, ..] = header;
            let length = u32::from_be_bytes([0, a, b, c]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind, flags, payload })
        })
        .await
    }

    /// Reads until a frame of this kind that is no acknowledgement.
    pub(crate) async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind && (kind == HEADERS || frame.flags & ACK == 0) {
                return Some(frame);
            }
        }
    }

    /// Reads until the peer has closed the connection.
    pub(crate) async fn end(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags], stream.to_be_bytes().as_slice(), payload].concat()
}

/// The header block of a call, every field a literal.
pub(crate) fn call_headers(method: &str) -> Vec<u8> {
    let path = format!("/linmem.v1.MemoryService/{method}");
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path.as_str()),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
